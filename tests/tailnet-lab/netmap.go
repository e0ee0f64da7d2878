// Owns what each node is told: one snapshot of the world per generation,
// shared by all polls, and the view of it that one node gets.
//
// In: the state under the tailnet's lock. Out: immutable values; a peer or a
// profile that did not change keeps its pointer, so that a poll finds what to
// send by comparing pointers (with 100 nodes that is what keeps a change
// cheap). It must not know what was sent before: that is delta.go.
package main

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"

	"tailscale.com/tailcfg"
	"tailscale.com/types/dnstype"
)

const visibleGroups tailcfg.NodeCapability = "tailscale.com/visible-groups"

// snapshot is the tailnet at one generation, as everybody sees it.
type snapshot struct {
	gen     int
	peers   []*tailcfg.Node // approved nodes only
	users   map[tailcfg.UserID]*tailcfg.UserProfile
	sources []source
}

// view is the part of a snapshot that one node may see.
type view struct {
	gen    int
	self   *tailcfg.Node
	filter []tailcfg.FilterRule
	peers  []*tailcfg.Node
	users  []*tailcfg.UserProfile
	groups bool // profiles come with groups
	https  bool // it may have a certificate
}

// snapshot returns the current one. The lock is held.
func (t *Tailnet) snapshot() *snapshot {
	if t.snap != nil && t.snap.gen == t.gen {
		return t.snap
	}
	old := t.snap
	if old == nil {
		old = &snapshot{}
	}
	known := make(map[tailcfg.NodeID]*tailcfg.Node, len(old.peers))
	for _, p := range old.peers {
		known[p.ID] = p
	}
	s := &snapshot{gen: t.gen, users: map[tailcfg.UserID]*tailcfg.UserProfile{}, sources: t.sources()}
	for _, n := range t.nodes {
		if !n.tc.MachineAuthorized {
			continue
		}
		online := n.polls > 0
		c := n.tc // shallow: nothing that it points to is ever changed in place
		c.Online = &online
		c.Expired = n.expired()
		p := known[c.ID]
		if !p.Equal(&c) {
			p = &c
		}
		s.peers = append(s.peers, p)
	}
	for _, u := range t.users {
		p := t.profile(u)
		s.users[u.ID] = &p
		if o := old.users[u.ID]; o != nil && reflect.DeepEqual(*o, p) {
			s.users[u.ID] = o
		}
	}
	t.snap = s
	return s
}

// viewOf is the world for node n. The lock is held.
func (t *Tailnet) viewOf(n *Node) *view {
	s := t.snapshot()
	self := n.tc
	self.CapMap = tailcfg.NodeCapMap{
		tailcfg.NodeAttrDisableUPnP:                   nil,
		tailcfg.NodeAttrDisableCaptivePortalDetection: nil,
	}
	v := &view{gen: s.gen, self: &self, filter: t.filterFor(n, s.sources), groups: t.seesGroups(n), https: t.https, peers: []*tailcfg.Node{}}
	if v.groups {
		self.CapMap[visibleGroups] = nil
	}
	seen := map[tailcfg.UserID]bool{self.User: true}
	if n.tc.MachineAuthorized && !n.cut {
		for _, p := range s.peers {
			if p.ID == self.ID {
				continue
			}
			v.peers = append(v.peers, p)
			seen[p.User], seen[p.Sharer] = true, true
		}
	}
	for id := range seen {
		if u := s.users[id]; u != nil {
			v.users = append(v.users, u)
		}
	}
	slices.SortFunc(v.users, func(a, b *tailcfg.UserProfile) int { return int(a.ID - b.ID) })
	return v
}

// full is the view as a whole netmap.
func (t *Tailnet) full(v *view) *tailcfg.MapResponse {
	now := time.Now().UTC()
	var certDomains []string
	if v.https {
		certDomains = []string{strings.TrimSuffix(v.self.Name, ".")}
	}
	return &tailcfg.MapResponse{
		Node: v.self, DERPMap: t.DERPMap, Domain: t.Domain, CollectServices: "false", ControlTime: &now,
		DNSConfig: &tailcfg.DNSConfig{
			Proxied: true, Domains: []string{t.Domain},
			Routes:      map[string][]*dnstype.Resolver{t.Domain: nil},
			CertDomains: certDomains,
		},
		PacketFilter: v.filter,
		Peers:        v.peers,
		UserProfiles: v.profiles(nil),
	}
}

// profiles lists the users' profiles that differ from those sent before.
func (v *view) profiles(sent map[tailcfg.UserID]*tailcfg.UserProfile) (out []tailcfg.UserProfile) {
	for _, u := range v.users {
		if sent[u.ID] == u {
			continue
		}
		p := *u
		if !v.groups {
			p.Groups = nil
		}
		out = append(out, p)
	}
	return out
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
