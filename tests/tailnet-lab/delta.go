// Owns what was sent on one poll, and finds the smallest message that brings
// the node up to date.
//
// In: views of netmap.go. Out: MapResponse messages. It must not know when
// they are sent or how.
package main

import (
	"bytes"

	"tailscale.com/tailcfg"
)

// sent is what one node was told on its open poll.
type sent struct {
	self, filter []byte
	peers        map[tailcfg.NodeID]*tailcfg.Node
	users        map[tailcfg.UserID]*tailcfg.UserProfile
	groups       bool
}

func sentOf(v *view) *sent {
	s := &sent{
		self: mustJSON(v.self), filter: mustJSON(v.filter), groups: v.groups,
		peers: make(map[tailcfg.NodeID]*tailcfg.Node, len(v.peers)),
		users: make(map[tailcfg.UserID]*tailcfg.UserProfile, len(v.users)),
	}
	for _, p := range v.peers {
		s.peers[p.ID] = p
	}
	for _, u := range v.users {
		s.users[u.ID] = u
	}
	return s
}

// forget drops peers as if they had never been sent, and returns them: those
// asked for and, if restarted counts, those with a new disco key.
func (s *sent) forget(v *view, asked map[tailcfg.NodeID]bool, restarted bool) (ids []tailcfg.NodeID) {
	for _, p := range v.peers {
		o := s.peers[p.ID]
		if o != nil && (asked[p.ID] || restarted && !o.DiscoKey.IsZero() && o.DiscoKey != p.DiscoKey) {
			ids = append(ids, p.ID)
			delete(s.peers, p.ID)
		}
	}
	return ids
}

// diff is the message that takes a node from s to v, whose own sent form is
// now; nil if there is nothing to say.
func (s *sent) diff(v *view, now *sent) *tailcfg.MapResponse {
	d, any := &tailcfg.MapResponse{}, false
	if !bytes.Equal(now.self, s.self) {
		d.Node, any = v.self, true
	}
	if !bytes.Equal(now.filter, s.filter) {
		d.PacketFilters, any = map[string][]tailcfg.FilterRule{"base": v.filter}, true
	}
	for _, p := range v.peers {
		if s.peers[p.ID] != p {
			d.PeersChanged, any = append(d.PeersChanged, p), true
		}
	}
	for id := range s.peers {
		if now.peers[id] == nil {
			d.PeersRemoved, any = append(d.PeersRemoved, id), true
		}
	}
	known := s.users
	if v.groups != s.groups {
		known = nil // every profile looks different now
	}
	d.UserProfiles = v.profiles(known)
	if any || len(d.UserProfiles) > 0 {
		return d
	}
	return nil
}
