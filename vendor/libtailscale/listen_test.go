package main

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeListener accepts what a test gives it.
type fakeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newFakeListener() *fakeListener {
	return &fakeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *fakeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *fakeListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *fakeListener) Addr() net.Addr { return nil }

// peerConn is a connection from a made-up peer.
type peerConn struct {
	net.Conn
	remote func() net.Addr
}

func (c peerConn) RemoteAddr() net.Addr { return c.remote() }

// 100 peers, bursts of connections, some reset before they are accepted, the
// accepting side closing descriptors all the time so that numbers recur: each
// stream carries its peer's own address, and the message must say the same.
func TestR1AddressAndStreamArriveTogether(t *testing.T) {
	const peers, bursts = 100, 20
	n := newNode()
	defer n.close(closeLimit)
	ln := newFakeListener()
	fd, err := n.serveListener(ln)
	if err != nil {
		t.Fatal(err)
	}
	in := newReceiver(t, fd)
	var senders sync.WaitGroup
	for peer := range peers {
		senders.Go(func() {
			for burst := range bursts {
				address := netip.AddrPortFrom(netip.AddrFrom4([4]byte{100, 64, byte(burst), byte(peer)}), uint16(1024+burst))
				if peer%4 == 0 {
					address = netip.AddrPortFrom(netip.MustParseAddr(fmt.Sprintf("fd7a:115c:a1e0::%x:%x", burst, peer)), 9)
				}
				near, far := net.Pipe()
				remote := func() net.Addr { return net.TCPAddrFromAddrPort(address) }
				if burst%5 == 4 {
					remote = func() net.Addr { return nil }
				}
				ln.conns <- peerConn{near, remote}
				if burst%5 == 4 {
					continue
				}
				fmt.Fprint(far, address)
				far.Close()
			}
		})
	}
	const want = peers * bursts * 4 / 5
	var readers sync.WaitGroup
	for range want {
		m, err := in.next()
		if err != nil {
			t.Fatal(err)
		}
		readers.Go(func() {
			defer m.conn.Close()
			said, err := io.ReadAll(m.conn)
			if err != nil || string(said) != m.peer {
				t.Errorf("the stream of %q came with the address %q (%v)", said, m.peer, err)
			}
		})
	}
	senders.Wait()
	readers.Wait()
}

// No peer can end the process or the listener: a connection that does not say
// whose it is, or that panics when it is asked, is dropped alone.
func TestR2UnknownPeer(t *testing.T) {
	n := newNode()
	defer n.close(closeLimit)
	ln := newFakeListener()
	fd, err := n.serveListener(ln)
	if err != nil {
		t.Fatal(err)
	}
	in := newReceiver(t, fd)
	good := net.TCPAddrFromAddrPort(netip.MustParseAddrPort("100.64.0.1:1"))
	for name, remote := range map[string]func() net.Addr{
		"nil":        func() net.Addr { return nil },
		"typed nil":  func() net.Addr { return (*net.TCPAddr)(nil) },
		"empty":      func() net.Addr { return &net.TCPAddr{} },
		"all zero":   func() net.Addr { return &net.TCPAddr{IP: net.IPv4zero, Port: 1} },
		"not an IP":  func() net.Addr { return &net.UnixAddr{Name: "x"} },
		"panicking":  func() net.Addr { panic("gone") },
		"short addr": func() net.Addr { return &net.TCPAddr{IP: net.IP{1, 2}} },
	} {
		near, far := net.Pipe()
		ln.conns <- peerConn{near, remote}
		within(t, time.Second, name+": closing it", func() {
			if _, err := far.Read(make([]byte, 1)); err == nil {
				t.Errorf("%s: it was served", name)
			}
		})
		near, far = net.Pipe()
		ln.conns <- peerConn{near, func() net.Addr { return good }}
		m, err := in.next()
		if err != nil || m.peer != "100.64.0.1:1" {
			t.Fatalf("%s: the next connection: %q, %v", name, m.peer, err)
		}
		m.conn.Close()
		far.Close()
	}
}

// Mapped addresses arrive plain, IPv6 in brackets, as a socket address prints.
func TestR1AddressForm(t *testing.T) {
	for given, want := range map[string]string{
		"[::ffff:100.64.0.9]:80": "100.64.0.9:80",
		"[fd7a:115c:a1e0::1]:80": "[fd7a:115c:a1e0::1]:80",
		"100.64.0.9:65535":       "100.64.0.9:65535",
	} {
		got, err := peerAddress(peerConn{nil, func() net.Addr {
			return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(given))
		}})
		if err != nil || got != want {
			t.Errorf("%s: %q, %v", given, got, err)
		}
	}
}

// The other side closes its descriptor: the tailnet listener ends.
func TestR5ListenerFollowsItsReader(t *testing.T) {
	n := newNode()
	defer n.close(closeLimit)
	ln := newFakeListener()
	fd, err := n.serveListener(ln)
	if err != nil {
		t.Fatal(err)
	}
	newReceiver(t, fd).socket.Close()
	within(t, time.Second, "closing the tailnet listener", func() { <-ln.closed })
}

// A reader that accepts nothing holds up nothing else: connections queue, then
// wait, and closing the node ends reader, listener and queue.
func TestR5CloseWithFullQueue(t *testing.T) {
	n := newNode()
	ln := newFakeListener()
	fd, err := n.serveListener(ln)
	if err != nil {
		t.Fatal(err)
	}
	in := newReceiver(t, fd)
	address := net.TCPAddrFromAddrPort(netip.MustParseAddrPort("100.64.0.1:1"))
	queued := 0
	var far []net.Conn
	for full := false; !full; queued++ {
		near, other := net.Pipe()
		far = append(far, other)
		select {
		case ln.conns <- peerConn{near, func() net.Addr { return address }}:
		case <-time.After(200 * time.Millisecond):
			full = true
		}
	}
	t.Logf("%d connections wait before the acceptor blocks", queued-2)
	if queued < 100 {
		t.Errorf("a burst of %d connections would be refused", queued)
	}
	within(t, time.Second, "closing", func() { n.close(closeLimit) })
	within(t, time.Second, "the end of every connection", func() {
		for _, c := range far[:queued-1] {
			c.Read(make([]byte, 1))
		}
	})
	for {
		m, err := in.next()
		if err != nil {
			break
		}
		m.conn.Close()
	}
}

func TestR15OnlyTCP(t *testing.T) {
	n := newNode()
	defer n.close(closeLimit)
	for _, network := range []string{"udp", "udp4", "unix", "", "TCP"} {
		if _, err := n.listen(network, ":80"); err == nil || !strings.Contains(err.Error(), "not supported") {
			t.Errorf("listen on %q: %v", network, err)
		}
		if _, err := n.dial(network, "alice:80", time.Second); err == nil || !strings.Contains(err.Error(), "not supported") {
			t.Errorf("dial on %q: %v", network, err)
		}
	}
}
