package main

// Accepted connections. The other side holds one end of a SOCK_SEQPACKET pair;
// each message on it is one connection: the peer's "ip:port" as text, after a
// space the stable ID of the node that it comes from (flow.go; neither if no node
// has the address), and one descriptor. Address, node and stream arrive together
// or not at all, so no table has to connect them, and none can mix them up. A
// connection without an address is never passed on.

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// tcpOnly refuses what a stream descriptor can't carry.
func tcpOnly(network string) error {
	switch network {
	case "tcp", "tcp4", "tcp6":
		return nil
	}
	return fmt.Errorf("network %q is not supported: only tcp, tcp4 and tcp6 are", network)
}

func (n *node) listen(network, address string) (fd int, err error) {
	if err := tcpOnly(network); err != nil {
		return -1, err
	}
	srv, err := n.begin()
	if err != nil {
		return -1, err
	}
	defer n.calls.Done()
	tailnet, err := n.listenFlows(srv, network, address)
	if err != nil {
		return -1, err
	}
	return n.serveListener(tailnet)
}

// serveListener passes on what tailnet accepts, until either side ends it.
func (n *node) serveListener(tailnet net.Listener) (fd int, err error) {
	ours, theirs, err := socketPair(unix.SOCK_SEQPACKET)
	if err != nil {
		tailnet.Close()
		return -1, err
	}
	stop := func() {
		tailnet.Close()
		ours.Close()
	}
	forget, err := n.track(stop)
	if err != nil {
		stop()
		unix.Close(theirs)
		return -1, err
	}
	n.spawn(stop, ours.awaitHangupQuietly)
	n.spawn(func() { stop(); forget() }, func() error { return n.acceptLoop(tailnet, ours) })
	return theirs, nil
}

func (n *node) acceptLoop(tailnet net.Listener, out *end) error {
	for {
		conn, err := tailnet.Accept()
		if err != nil {
			return nil // closed, by us or by tsnet
		}
		err = protect(func() error { return n.passOn(conn, out) })
		switch {
		case err == nil:
		case errors.Is(err, os.ErrClosed) || errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET):
			return nil // nobody is left to pass connections to
		default:
			// This connection only; the next may fare better.
			n.logs.backend("libtailscale: a connection was dropped: %v", err)
		}
	}
}

var errNoPeer = errors.New("its peer is not known, it was probably reset")

// peerAddress is the address of conn's peer in the form that the other side
// parses. The netstack answers nil once a peer has reset its connection.
func peerAddress(conn net.Conn) (string, error) {
	address := conn.RemoteAddr()
	if address == nil {
		return "", errNoPeer
	}
	var parsed netip.AddrPort
	if tcp, ok := address.(*net.TCPAddr); ok {
		if tcp == nil {
			return "", errNoPeer
		}
		parsed = tcp.AddrPort()
	} else if p, err := netip.ParseAddrPort(address.String()); err == nil {
		parsed = p
	}
	ip := parsed.Addr().Unmap().WithZone("")
	if !ip.IsValid() || ip.IsUnspecified() {
		return "", errNoPeer
	}
	return netip.AddrPortFrom(ip, parsed.Port()).String(), nil
}

// passOn sends one connection to the other side and starts relaying it. If it
// fails, also by a panic, the connection is closed.
func (n *node) passOn(conn net.Conn, out *end) error {
	passed := false
	defer func() {
		if !passed {
			conn.Close()
		}
	}()
	peer, err := peerAddress(conn)
	if err != nil {
		return err
	}
	if bound, ok := conn.(boundConn); ok {
		conn = bound.Conn
		if bound.node != "" {
			peer += " " + bound.node
		}
	}
	ours, theirs, err := socketPair(unix.SOCK_STREAM)
	if err != nil {
		return err
	}
	err = out.sendDescriptor(peer, theirs)
	unix.Close(theirs) // the message holds its own reference
	if err != nil {
		ours.Close()
		return err
	}
	passed = true
	return n.relay(ours, conn, true)
}

// relay starts relaying and returns.
func (n *node) relay(ours *end, conn net.Conn, accepted bool) error {
	r := newRelay(ours, conn, accepted)
	forget, err := n.track(r.abort)
	if err != nil {
		r.abort()
		return err
	}
	n.spawn(func() { r.abort(); forget() }, func() error {
		r.run(n)
		return nil
	})
	return nil
}

// sendDescriptor sends one message that carries text and a descriptor, waiting
// while the queue is full. What waits behind it is refused by tsnet after a
// second, which is the back-pressure that a slow acceptor should cause.
func (e *end) sendDescriptor(text string, fd int) error {
	rights := unix.UnixRights(fd)
	var err error
	waitErr := e.raw.Write(func(out uintptr) bool {
		for {
			err = unix.Sendmsg(int(out), []byte(text), rights, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
			if err != unix.EINTR {
				return err != unix.EAGAIN
			}
		}
	})
	if waitErr != nil {
		return waitErr
	}
	return err
}

func (e *end) awaitHangupQuietly() error {
	e.awaitHangup()
	return nil
}
