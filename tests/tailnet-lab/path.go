// Owns how a client reaches a peer: waiting for a path that works, dialling
// over it, pinging, and ending a connection with a reset.
//
// In: "node:port", "node.domain:port" or "ip:port". Out: connections of the
// client's own network stack, so nothing can ever leave by the host's network.
// It must not know what is sent over them.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"strconv"
	"time"
	"unsafe"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"tailscale.com/ipn/ipnstate"
	"tailscale.com/tailcfg"
)

const (
	dialTimeout  = 10 * time.Second
	discoTry     = 300 * time.Millisecond
	handshakeTry = 200 * time.Millisecond // the first
	directLimit  = time.Second            // after that a relayed path will do
)

var errNoPath = errors.New("no path within the time")

// dial connects to a peer of the tailnet, and to nothing else.
func (c *Client) dial(ctx context.Context, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	host, port, err := splitTarget(addr)
	if err != nil {
		return nil, err
	}
	r, err := c.awaitPath(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("%s to %s: %w", c.Name, addr, err)
	}
	return c.connect(ctx, r, port)
}

// connect dials over a path that works.
func (c *Client) connect(ctx context.Context, r Route, port uint16) (net.Conn, error) {
	conn, err := c.stack.DialContextTCPWithBind(ctx, r.Source, netip.AddrPortFrom(r.Target, port))
	if err != nil {
		return nil, err
	}
	return conn, nil
}

func splitTarget(addr string) (host string, port uint16, err error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("bad port in %q", addr)
	}
	return host, uint16(n), nil
}

// awaitPath returns the route to a peer once pings get through to it, directly
// if that comes about soon. Without that wait the first WireGuard handshake
// may be lost, because one end does not know the other yet, and it is only
// repeated after 5 s.
func (c *Client) awaitPath(ctx context.Context, host string) (Route, error) {
	start, try := time.Now(), handshakeTry
	for {
		r, err := c.tailnet.Route(c.Name, host)
		if err != nil {
			return r, err
		}
		if c.knows(r.Path) {
			return r, nil
		}
		if !r.Up {
			err := c.tailnet.Await(ctx, func() bool {
				n := c.tailnet.node(r.Peer)
				return n == nil || n.ready()
			})
			if err != nil {
				return r, errNoPath
			}
			continue
		}
		if c.pinged(ctx, r, start, &try) {
			c.mu.Lock()
			c.paths[r.Path] = true
			c.mu.Unlock()
			return r, nil
		}
		select { // the node has no event for "I know that peer now"
		case <-ctx.Done():
			return r, errNoPath
		case <-time.After(3 * time.Millisecond):
		}
	}
}

// pinged tries a disco ping until it comes back directly, then one through
// WireGuard: with that the handshake is done. If that one gets lost, the
// client forgets the peer and learns of it anew, which begins a new handshake
// at once; each try is given twice the time, as the machine may just be slow.
func (c *Client) pinged(ctx context.Context, r Route, start time.Time, try *time.Duration) bool {
	if p := c.tryPing(ctx, r, tailcfg.PingDisco, discoTry); p == nil || p.Endpoint == "" && time.Since(start) < directLimit {
		return false
	}
	if c.tryPing(ctx, r, tailcfg.PingTSMP, *try) != nil {
		return true
	}
	*try *= 2
	if ctx.Err() == nil {
		c.tailnet.Relearn(c.Name, r.Peer)
	}
	return false
}

func (c *Client) tryPing(ctx context.Context, r Route, kind tailcfg.PingType, limit time.Duration) *ipnstate.PingResult {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	p, err := c.local.Ping(ctx, r.Target, kind)
	if err != nil || p.Err != "" {
		return nil
	}
	return p
}

func (c *Client) knows(path string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.paths[path]
}

// Ping asks a peer for an answer: icmp, disco or tsmp.
func (c *Client) Ping(ctx context.Context, host string, kind tailcfg.PingType) (*ipnstate.PingResult, error) {
	r, err := c.tailnet.Route(c.Name, host)
	if err == nil && kind != tailcfg.PingDisco { // the others need a handshake
		r, err = c.awaitPath(ctx, host)
	}
	if err != nil {
		return nil, err
	}
	p, err := c.local.Ping(ctx, r.Target, kind)
	if err != nil {
		return nil, err
	}
	if p.Err != "" {
		return nil, errors.New(p.Err)
	}
	return p, nil
}

// abort closes with a reset, as SO_LINGER with zero seconds does.
func abort(conn net.Conn) {
	switch c := conn.(type) {
	case *gonet.TCPConn:
		if ep := endpointOf(c); ep != nil {
			ep.Abort()
		}
	case interface{ SetLinger(int) error }:
		c.SetLinger(0)
	}
	conn.Close()
}

// endpointOf reads the unexported endpoint of a gonet connection, which
// offers no other way to a reset. A test fails when that field moves.
func endpointOf(c *gonet.TCPConn) tcpip.Endpoint {
	f := reflect.ValueOf(c).Elem().FieldByName("ep")
	if !f.IsValid() || f.Type() != reflect.TypeFor[tcpip.Endpoint]() {
		return nil
	}
	return *(*tcpip.Endpoint)(unsafe.Pointer(f.UnsafeAddr()))
}
