package main

// Listeners that know which node a connection comes from. An address says it
// only as long as nobody else gets the address, so the question is asked when
// the first packet of a connection has come and before it is answered. WhoIs
// holds the lock under which a change of the network map also reaches
// WireGuard: if it names a node, only that node's packets pass under the
// address from then on, and no other node can complete the handshake. Asked any
// later, at the accept or by the other side, it may name the next owner of an
// address for what the last one has sent.

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"tailscale.com/tsnet"
)

// acceptPatience is how long a connection waits for its acceptor, as long as
// with tsnet's own listeners.
const acceptPatience = time.Second

// boundConn is a connection and the stable ID of the node that it comes from;
// empty for a peer that the network map does not know.
type boundConn struct {
	net.Conn
	node string
}

// flowListener accepts the TCP flows to one address of the node.
type flowListener struct {
	network string
	address netip.AddrPort // without IP: the node's own addresses
	conns   chan net.Conn
	closed  chan struct{}
	once    sync.Once
	release func()
}

// listenFlows listens on ":80" (the node's own addresses) or "ip:80".
func (n *node) listenFlows(srv *tsnet.Server, network, text string) (*flowListener, error) {
	address, err := listenAddress(text)
	if err != nil {
		return nil, err
	}
	l := &flowListener{
		network: network,
		address: address,
		conns:   make(chan net.Conn),
		closed:  make(chan struct{}),
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for other := range n.listening {
		if other.address == address && (other.network == network || other.network == "tcp" || network == "tcp") {
			return nil, fmt.Errorf("the node listens on %s already", text)
		}
	}
	n.listening[l] = struct{}{}
	deregister := srv.RegisterFallbackTCPHandler(func(src, dst netip.AddrPort) (handler func(net.Conn), intercept bool) {
		err := protect(func() error {
			if l.takes(srv, dst) {
				node := n.owner(src.Addr())
				handler, intercept = func(c net.Conn) { l.offer(boundConn{c, node}) }, true
			}
			return nil
		})
		if err != nil {
			n.logs.backend("libtailscale: a connection was refused: %v", err)
			return nil, true
		}
		return handler, intercept
	})
	l.release = func() {
		deregister()
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.listening, l)
	}
	return l, nil
}

func listenAddress(text string) (netip.AddrPort, error) {
	bad := fmt.Errorf("%q is neither \":port\" nor \"ip:port\"", text)
	host, service, err := net.SplitHostPort(text)
	if err != nil {
		return netip.AddrPort{}, bad
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil || port == 0 {
		return netip.AddrPort{}, bad
	}
	var ip netip.Addr
	if host != "" {
		if ip, err = netip.ParseAddr(host); err != nil {
			return netip.AddrPort{}, bad
		}
	}
	return netip.AddrPortFrom(ip, uint16(port)), nil
}

// takes reports whether a flow to dst is for this listener.
func (l *flowListener) takes(srv *tsnet.Server, dst netip.AddrPort) bool {
	if dst.Port() != l.address.Port() {
		return false
	}
	if l.network == "tcp4" && dst.Addr().Is6() || l.network == "tcp6" && dst.Addr().Is4() {
		return false
	}
	if l.address.Addr().IsValid() {
		return dst.Addr() == l.address.Addr()
	}
	ip4, ip6 := srv.TailscaleIPs()
	return dst.Addr() == ip4 || dst.Addr() == ip6
}

// owner is the stable ID of the node that has the address, or empty.
func (n *node) owner(ip netip.Addr) string {
	// Without a port: an address that this node itself forwards for is nobody's.
	node, _, ok := n.api.LocalBackend().WhoIs("tcp", netip.AddrPortFrom(ip, 0))
	if !ok {
		return ""
	}
	return string(node.StableID())
}

func (l *flowListener) offer(c net.Conn) {
	patience := time.NewTimer(acceptPatience)
	defer patience.Stop()
	select {
	case l.conns <- c:
		return
	case <-l.closed:
	case <-patience.C:
	}
	c.Close()
}

func (l *flowListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *flowListener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.release()
	})
	return nil
}

func (l *flowListener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.address) }
