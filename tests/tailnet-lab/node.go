// Owns what the control server knows about one node, and every way to change
// it: add, remove, address, user, tags, expiry, approval.
//
// In: registrations (register.go) and API calls. Out: the wire form in
// Node.tc. Everything here runs under the tailnet's lock. It must not know
// how changes reach the nodes.
package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tailscale.com/net/tsaddr"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
	"tailscale.com/util/dnsname"
)

const (
	keyLifetime = 180 * 24 * time.Hour
	otherDomain = "other-tailnet.ts.net" // where shared-in nodes come from
)

// Identity is what the policy says about a node.
type Identity struct {
	User   string                       `json:"user,omitempty"` // login
	Tags   []string                     `json:"tags,omitempty"`
	IP     string                       `json:"ip,omitempty"`   // wanted IPv4
	Caps   map[string][]json.RawMessage `json:"caps,omitempty"` // app capabilities at every node
	Shared bool                         `json:"shared,omitempty"`
	Sharer string                       `json:"sharer,omitempty"` // login; who shared it
}

// Node is one machine of the tailnet, or one shared into it.
type Node struct {
	Identity
	tc        tailcfg.Node // wire form
	host      string       // name without domain, unique
	client    bool         // one of the lab's own; else a process from outside
	serves    bool         // has tailnet ports that lead to loopback
	ephemeral bool
	polls     int // open map polls
	session   int // counts them: a process that starts again is another path
	cut       bool
	breaks    int // counts the ends of cuts and expiries: each needs a new path
	mapDelay  time.Duration
}

// User is a person, or "tagged-devices".
type User struct {
	ID      tailcfg.UserID `json:"id"`
	Login   string         `json:"login"`
	Display string         `json:"display"`
}

func (n *Node) expired() bool {
	return !n.tc.KeyExpiry.IsZero() && n.tc.KeyExpiry.Before(time.Now())
}

// ready reports whether peers can reach the node.
func (n *Node) ready() bool {
	return n.polls > 0 && n.tc.HomeDERP != 0 && n.tc.MachineAuthorized && !n.expired()
}

// user returns the user of that login, made on first use.
func (t *Tailnet) user(login string) *User {
	u := t.users[login]
	if u == nil {
		t.lastUser++
		name, _, _ := strings.Cut(login, "@")
		u = &User{ID: t.lastUser, Login: login, Display: name}
		t.users[login] = u
	}
	return u
}

// add makes a node at its first registration. Like the real control it
// numbers the name if another node has it: ai, ai-1, ai-2.
func (t *Tailnet) add(hostname string, id Identity, machine key.MachinePublic, node key.NodePublic) (*Node, error) {
	name := hostname
	for i := 1; t.node(name) != nil; i++ {
		name = fmt.Sprintf("%s-%d", hostname, i)
	}
	if name != hostname && t.ipOwner(id.IP) != nil {
		id.IP = "" // the namesake has it
	}
	domain := t.Domain
	if id.Shared {
		domain = otherDomain
		if id.Sharer == "" {
			id.Sharer = "sharer@" + otherDomain
		}
	}
	if id.User == "" {
		id.User = "user-" + name + "@" + domain
	}
	t.lastID++
	n := &Node{Identity: id, host: name}
	n.tc = tailcfg.Node{
		ID: t.lastID, StableID: tailcfg.StableNodeID(fmt.Sprintf("nLab%05dCNTRL", t.lastID)),
		Name: name + "." + domain + ".", Machine: machine, Key: node,
		Created: time.Now().UTC(), MachineAuthorized: true,
	}
	n.renewKey(node)
	if id.Shared {
		n.tc.Sharer = t.user(id.Sharer).ID
	}
	if err := t.setIP(n, id.IP); err != nil {
		return nil, err
	}
	t.setUser(n, id.User)
	t.nodes = append(t.nodes, n)
	return n, nil
}

// rename gives a node another name, as an admin can.
func (t *Tailnet) rename(n *Node, name string) error {
	name = hostLabel(name)
	if name == "" || t.node(name) != nil {
		return conflict("the name %q is taken", name)
	}
	n.tc.Name = name + strings.TrimPrefix(n.tc.Name, n.host)
	n.host = name
	return nil
}

// remove casts a node out; its process learns nothing but that its poll ends.
func (t *Tailnet) remove(n *Node) {
	t.nodes = slices.DeleteFunc(t.nodes, func(o *Node) bool { return o == n })
	t.endPolls(n)
}

func (n *Node) renewKey(k key.NodePublic) {
	n.tc.Key = k
	n.tc.KeyExpiry = time.Now().Add(keyLifetime).UTC().Truncate(time.Second)
}

// expireAt sets the end of the node's key and wakes everybody when it comes.
func (t *Tailnet) expireAt(n *Node, at time.Time) {
	n.breaks++
	n.tc.KeyExpiry = at.UTC()
	if d := time.Until(at); d > 0 && d < 24*time.Hour {
		time.AfterFunc(d+time.Millisecond, func() { t.Update(func() error { return nil }) })
	}
}

// setIP assigns want or, if empty, the next address never used before.
func (t *Tailnet) setIP(n *Node, want string) error {
	if want == "" {
		want = t.nextIP(nil)
	}
	ip, err := netip.ParseAddr(want)
	if err != nil || !tsaddr.CGNATRange().Contains(ip) {
		return fmt.Errorf("bad tailnet IPv4 %q", want)
	}
	if o := t.ipOwner(want); o != nil && o != n {
		return conflict("%s is taken by node %s", ip, o.host)
	}
	n.tc.Addresses = []netip.Prefix{
		netip.PrefixFrom(ip, 32),
		netip.PrefixFrom(tsaddr.Tailscale4To6(ip), 128),
	}
	n.tc.AllowedIPs = n.tc.Addresses
	n.IP = ip.String()
	return nil
}

// nextIP is an address that nobody has, had or is meant to have.
func (t *Tailnet) nextIP(planned []NodeSpec) string {
	for {
		t.lastIP++
		ip := fmt.Sprintf("100.64.%d.%d", t.lastIP>>8, t.lastIP&255)
		taken := t.ipOwner(ip) != nil
		for _, id := range t.reserved {
			taken = taken || id.IP == ip
		}
		for _, n := range planned {
			taken = taken || n.IP == ip
		}
		if !taken {
			return ip
		}
	}
}

func (t *Tailnet) ipOwner(ip string) *Node {
	for _, n := range t.nodes {
		if n.IP == ip {
			return n
		}
	}
	return nil
}

// setUser gives the node to a user. As in the real control a tagged node
// belongs to "tagged-devices"; its own user comes back when the tags go.
func (t *Tailnet) setUser(n *Node, login string) {
	n.User = login
	if len(n.Tags) > 0 {
		login = taggedDevices
	}
	n.tc.Tags = n.Tags
	n.tc.User = t.user(login).ID
}

func (t *Tailnet) setTags(n *Node, tags []string) {
	n.Tags = tags
	t.setUser(n, n.User)
}

// hostLabel makes a DNS label of what a node calls itself.
func hostLabel(s string) string { return dnsname.SanitizeHostname(s) }
