// Owns who may what: groups, grants, selectors, the packet filter.
//
// In: the state under the tailnet's lock. Out: filter rules for one
// destination, user profiles with their groups. It must not change anything.
package main

import (
	"encoding/json"
	"slices"
	"strings"

	"tailscale.com/tailcfg"
)

const taggedDevices = "tagged-devices"

// Grant gives app capabilities to sources at destinations, like a grant in
// the policy file of a tailnet. Selectors: "*", a login, "group:x", "tag:x",
// "autogroup:member", "autogroup:shared", or a node's name.
type Grant struct {
	Src []string                     `json:"src"`
	Dst []string                     `json:"dst"`
	App map[string][]json.RawMessage `json:"app"`
}

// matches reports whether one of the selectors selects n.
func (t *Tailnet) matches(n *Node, selectors []string) bool {
	for _, s := range selectors {
		switch {
		case s == "*", s == n.host:
			return true
		case strings.HasPrefix(s, "tag:"):
			if slices.Contains(n.Tags, s) {
				return true
			}
		case len(n.Tags) > 0: // has no user
		case strings.HasPrefix(s, "group:"):
			if slices.Contains(t.groups[s], n.User) {
				return true
			}
		case s == n.User, s == "autogroup:member" && !n.Shared, s == "autogroup:shared" && n.Shared:
			return true
		}
	}
	return false
}

// source is one grant with its sources looked up, the same for every
// destination.
type source struct {
	dst   []string
	app   tailcfg.PeerCapMap
	nodes []*Node
}

// sources resolves all grants, and the capabilities that belong to one node.
func (t *Tailnet) sources() (out []source) {
	grants := slices.Clone(t.grants)
	for _, n := range t.nodes {
		if len(n.Caps) > 0 {
			grants = append(grants, Grant{Src: []string{n.host}, Dst: []string{"*"}, App: n.Caps})
		}
	}
	for _, g := range grants {
		s := source{dst: g.Dst, app: tailcfg.PeerCapMap{}}
		for name, values := range g.App {
			var raw []tailcfg.RawMessage
			for _, v := range values {
				raw = append(raw, tailcfg.RawMessage(v))
			}
			s.app[tailcfg.PeerCapability(name)] = raw
		}
		for _, n := range t.nodes {
			if t.matches(n, g.Src) {
				s.nodes = append(s.nodes, n)
			}
		}
		out = append(out, s)
	}
	return out
}

// filterFor is the packet filter of node n: everybody may connect, plus one
// rule for each grant of app capabilities that has n as a destination.
func (t *Tailnet) filterFor(n *Node, sources []source) []tailcfg.FilterRule {
	rules := slices.Clone(tailcfg.FilterAllowAll)
	for _, s := range sources {
		if !t.matches(n, s.dst) {
			continue
		}
		r := tailcfg.FilterRule{CapGrant: []tailcfg.CapGrant{{Dsts: n.tc.Addresses, CapMap: s.app}}}
		for _, p := range s.nodes {
			if p == n {
				continue
			}
			for _, a := range p.tc.Addresses {
				r.SrcIPs = append(r.SrcIPs, a.String())
			}
		}
		if len(r.SrcIPs) > 0 {
			rules = append(rules, r)
		}
	}
	return rules
}

// profile is what nodes that may see groups learn about a user.
func (t *Tailnet) profile(u *User) tailcfg.UserProfile {
	p := tailcfg.UserProfile{ID: u.ID, LoginName: u.Login, DisplayName: u.Display}
	for group, members := range t.groups {
		if slices.Contains(members, u.Login) {
			p.Groups = append(p.Groups, group)
		}
	}
	slices.Sort(p.Groups)
	return p
}

// seesGroups reports whether groups are revealed to n.
func (t *Tailnet) seesGroups(n *Node) bool { return t.visible == nil || t.matches(n, t.visible) }
