// Owns the picture of the lab that GET /state and the ready line show.
package main

import "time"

// NodeState is one node as the API shows it.
type NodeState struct {
	ID        int64      `json:"id"`
	StableID  string     `json:"stableID"`
	Name      string     `json:"name"`
	FQDN      string     `json:"fqdn"` // with the dot at the end
	User      string     `json:"user"`
	Tags      []string   `json:"tags"`
	Caps      any        `json:"caps"`
	IPs       []string   `json:"ips"`
	Online    bool       `json:"online"`
	Expired   bool       `json:"expired"`
	KeyExpiry time.Time  `json:"keyExpiry"`
	Endpoints []string   `json:"endpoints"`
	Approved  bool       `json:"approved"`
	Ephemeral bool       `json:"ephemeral"`
	External  bool       `json:"external"`
	Shared    bool       `json:"shared"`
	Session   int        `json:"session"` // counts its map polls
	Proxy     string     `json:"proxy,omitempty"`
	Streams   int        `json:"streams"` // held open through it
	Faults    NodeFaults `json:"faults"`
}

// NodeFaults is what goes wrong for one node.
type NodeFaults struct {
	Cut        bool  `json:"cut"`
	MapDelayMS int64 `json:"map_delay_ms"`
}

// Faults is what goes wrong for everybody.
type Faults struct {
	Control    bool  `json:"control"` // down
	Relay      bool  `json:"relay"`   // down
	MapDelayMS int64 `json:"map_delay_ms"`
	KeepPaths  bool  `json:"keep_paths"`
}

// State is everything there is to see.
func (l *Lab) State() map[string]any {
	t := l.tailnet
	clients := map[string]*Client{}
	proxies := map[string]string{}
	l.mu.Lock()
	forwards := append([]Forward{}, l.forwards...)
	for name, c := range l.clients {
		clients[name], proxies[name] = c, c.Proxy
	}
	l.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	nodes := []NodeState{}
	for _, n := range t.nodes {
		nodes = append(nodes, stateOf(n, clients[n.host]))
	}
	pending := []Login{}
	for _, p := range t.pending {
		if !p.completed() {
			pending = append(pending, *p)
		}
	}
	grants := t.grants
	if grants == nil {
		grants = []Grant{}
	}
	groups := map[string][]string{}
	for group, members := range t.groups {
		groups[group] = members
	}
	return map[string]any{
		"controlURL": t.BaseURL, "apiURL": l.apiURL, "acmeURL": l.acmeURL, "ca": l.issuer.CA(), "issued": l.issuer.Issued(), "https": t.https, "domain": t.Domain,
		"nodes": nodes, "proxies": proxies, "forwards": forwards, "pendingAuth": pending,
		"groups": groups, "groupsVisibleTo": t.visible, "grants": grants,
		"held": t.held, "delta": t.delta, "forceLogin": t.forceLogin, "approval": t.approval,
		"faults": Faults{l.control.State() != DoorOpen, l.relay.Door.State() != DoorOpen, t.mapDelay.Milliseconds(), t.keepPaths},
	}
}

// stateOf is one node. The tailnet's lock is held; c may be nil.
func stateOf(n *Node, c *Client) NodeState {
	s := NodeState{
		ID: int64(n.tc.ID), StableID: string(n.tc.StableID), Name: n.host, FQDN: n.tc.Name,
		User: n.User, Tags: n.Tags, Caps: n.Caps, IPs: []string{}, Endpoints: []string{},
		Online: n.polls > 0, Expired: n.expired(), KeyExpiry: n.tc.KeyExpiry,
		Approved: n.tc.MachineAuthorized, Ephemeral: n.ephemeral, External: !n.client, Shared: n.Shared,
		Session: n.session, Faults: NodeFaults{n.cut, n.mapDelay.Milliseconds()},
	}
	for _, a := range n.tc.Addresses {
		s.IPs = append(s.IPs, a.Addr().String())
	}
	for _, e := range n.tc.Endpoints {
		s.Endpoints = append(s.Endpoints, e.String())
	}
	if c != nil {
		s.Proxy = c.Proxy
		s.Streams = c.StreamReport().Alive
	}
	return s
}
