// Owns the state of the tailnet: nodes, users, policy, keys, faults of the
// map stream, all in memory under one lock.
//
// In: changes, each a function given to Update. Out: a wake-up for every open
// poll (poll.go), which then sends its node whatever changed for it, and an
// event for everybody in Await. It must not know about HTTP or client nodes.
package main

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

// Tailnet is the world as the control server sees it.
type Tailnet struct {
	Domain  string // MagicDNS domain, no dots at the ends
	BaseURL string // of the control server
	DERPMap *tailcfg.DERPMap

	mu       sync.Mutex
	changed  chan struct{} // closed and renewed at every change and every caught-up poll
	gen      int           // counts the changes
	snap     *snapshot     // of the generation it says
	lastID   tailcfg.NodeID
	lastUser tailcfg.UserID
	lastIP   uint16

	nodes    []*Node
	reserved map[string]Identity // by hostname, for processes from outside
	users    map[string]*User    // by login
	keys     map[string]AuthKey
	oauth    map[string]OAuthClient // by secret
	pending  map[string]*Login      // by path "/auth/.."
	groups   map[string][]string
	grants   []Grant
	visible  []string // selectors of the nodes that see groups; nil is all

	forceLogin bool // auth keys are not enough: everybody gets a URL
	approval   bool // new machines need an approval
	delta      bool // send deltas like the real control, else a full netmap each time
	held       bool // changes are collected, not sent, until released
	holds      int  // the same, by the lab itself
	mapDelay   time.Duration
	keepPaths  bool // do not make peers forget a node that started again
	polls      map[*poll]struct{}
	https      bool                // nodes may have certificates
	records    map[string][]string // TXT, by name
}

// NewTailnet makes an empty tailnet.
func NewTailnet(domain string) *Tailnet {
	return &Tailnet{
		Domain: domain, changed: make(chan struct{}), delta: true,
		reserved: map[string]Identity{}, users: map[string]*User{}, keys: map[string]AuthKey{},
		oauth: map[string]OAuthClient{}, pending: map[string]*Login{}, groups: map[string][]string{}, polls: map[*poll]struct{}{},
		records: map[string][]string{},
	}
}

// Update runs f under the lock and wakes the polls if f succeeds.
func (t *Tailnet) Update(f func() error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := f(); err != nil {
		return err
	}
	t.gen++
	t.broadcast()
	if !t.isHeld() {
		for p := range t.polls {
			p.poke()
		}
	}
	return nil
}

// Hold counts who wants changes to be collected, not sent.
func (t *Tailnet) Hold(by int) {
	t.Update(func() error { t.holds += by; return nil })
}

func (t *Tailnet) isHeld() bool { return t.held || t.holds > 0 }

// Read runs f under the lock.
func (t *Tailnet) Read(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f()
}

// broadcast tells everybody in Await to look again. The lock is held.
func (t *Tailnet) broadcast() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// Await returns once done, called under the lock after each event, says so.
func (t *Tailnet) Await(ctx context.Context, done func() bool) error {
	for {
		t.mu.Lock()
		ok, changed := done(), t.changed
		t.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Flush waits until every open poll has written what was changed before, and
// names the nodes whose poll did not manage in time. Polls that a fault slows
// down, and all polls while changes are held, are not waited for.
func (t *Tailnet) Flush(ctx context.Context, limit time.Duration) (behind []string) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	want := -1
	err := t.Await(ctx, func() bool {
		if want < 0 {
			want = t.gen
		}
		behind = nil
		for p := range t.polls {
			if p.gen < want && !t.isHeld() && t.delayOf(p.node) == 0 {
				behind = append(behind, p.node.host)
			}
		}
		return len(behind) == 0
	})
	if err == nil {
		return nil
	}
	return behind
}

func (t *Tailnet) delayOf(n *Node) time.Duration { return max(t.mapDelay, n.mapDelay) }

// node returns the node of that name, or nil.
func (t *Tailnet) node(name string) *Node {
	for _, n := range t.nodes {
		if n.host == name {
			return n
		}
	}
	return nil
}

func (t *Tailnet) nodeByKey(k key.NodePublic) *Node {
	if k.IsZero() {
		return nil
	}
	for _, n := range t.nodes {
		if n.tc.Key == k {
			return n
		}
	}
	return nil
}

// SetRecord keeps a TXT record of a node, below its own name only.
func (t *Tailnet) SetRecord(req *tailcfg.SetDNSRequest) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.nodeByKey(req.NodeKey)
	if n == nil || !t.https || req.Type != "TXT" || req.Name+"." != "_acme-challenge."+n.tc.Name {
		return fmt.Errorf("no record %s %q for this node", req.Type, req.Name)
	}
	t.records[req.Name] = append(t.records[req.Name], req.Value)
	return nil
}

// Records are the values of a TXT record.
func (t *Tailnet) Records(name string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.records[name]
}

// Route is how one node reaches another.
type Route struct {
	Source, Target netip.Addr
	Peer           string // name of the target
	Path           string // changes when either end gets new keys or connects again
	Up             bool   // the target can be reached at all
}

// Route finds a peer of node "from" by name, FQDN or address.
func (t *Tailnet) Route(from, host string) (r Route, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	self := t.node(from)
	if self == nil {
		return r, fmt.Errorf("node %s is not in the tailnet", from)
	}
	name := strings.TrimSuffix(strings.ToLower(host), ".")
	for _, n := range t.nodes {
		for i, a := range n.tc.Addresses {
			if (i != 0 || name != n.host && name+"." != n.tc.Name) && a.Addr().String() != host {
				continue
			}
			r = route(self, n)
			r.Source, r.Target = self.tc.Addresses[i].Addr(), a.Addr()
			return r, nil
		}
	}
	return r, fmt.Errorf("no node %q in the tailnet", host)
}

// route is how self reaches n by IPv4.
func route(self, n *Node) Route {
	return Route{
		Source: self.tc.Addresses[0].Addr(), Target: n.tc.Addresses[0].Addr(), Peer: n.host,
		Path: fmt.Sprint(self.tc.Key, self.breaks, n.tc.Key, n.tc.DiscoKey, n.session, n.breaks),
		Up:   n.ready(),
	}
}
