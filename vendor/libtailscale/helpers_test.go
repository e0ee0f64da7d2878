package main

// What the tests share: the other side of the border (what Rust does with the
// descriptors), and a tailnet on loopback made of tailscale's own test parts.

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"tailscale.com/envknob"
	"tailscale.com/ipn/store/mem"
	"tailscale.com/net/netns"
	"tailscale.com/tailcfg"
	"tailscale.com/tsnet"
	"tailscale.com/tstest/integration"
	"tailscale.com/tstest/integration/testcontrol"
	"tailscale.com/types/logger"
)

func TestMain(m *testing.M) {
	for name, value := range map[string]string{
		"TS_ASSUME_NETWORK_UP_FOR_TEST": "1",
		"TS_NO_LOGS_NO_SUPPORT":         "true",
		"TS_DISABLE_PORTMAPPER":         "1",
		"TS_DISABLE_UPNP":               "1",
		"TS_PANIC_IF_HIT_MAIN_CONTROL":  "1",
	} {
		envknob.Setenv(name, value)
	}
	netns.SetEnabled(false) // else sockets are bound away from loopback
	os.Exit(m.Run())
}

// within fails the test if f takes longer than limit.
func within(t *testing.T, limit time.Duration, what string, f func()) time.Duration {
	t.Helper()
	began := time.Now()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(limit):
		t.Fatalf("%s took longer than %v", what, limit)
	}
	return time.Since(began)
}

// owned makes a Go connection of a descriptor that crossed the border.
func owned(t testing.TB, fd int) *net.UnixConn {
	t.Helper()
	file := os.NewFile(uintptr(fd), "owned")
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		t.Fatal(err)
	}
	return conn.(*net.UnixConn)
}

// message is one message of a listener descriptor.
type message struct {
	peer, node string
	conn       *net.UnixConn
}

// receiver reads a listener descriptor as Rust does.
type receiver struct{ socket *net.UnixConn }

func newReceiver(t testing.TB, fd int) *receiver {
	r := &receiver{owned(t, fd)}
	t.Cleanup(func() { r.socket.Close() })
	return r
}

func (r *receiver) next() (message, error) {
	text, control := make([]byte, 128), make([]byte, 128)
	n, controlLen, flags, _, err := r.socket.ReadMsgUnix(text, control)
	if err != nil {
		return message{}, err
	}
	if n == 0 && controlLen == 0 {
		return message{}, io.EOF
	}
	if flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		return message{}, fmt.Errorf("message cut short: flags %x", flags)
	}
	parts, err := unix.ParseSocketControlMessage(control[:controlLen])
	if err != nil || len(parts) != 1 {
		return message{}, fmt.Errorf("message without a descriptor: %d parts, %v", len(parts), err)
	}
	fds, err := unix.ParseUnixRights(&parts[0])
	if err != nil || len(fds) != 1 {
		return message{}, fmt.Errorf("message with %d descriptors, %v", len(fds), err)
	}
	unix.CloseOnExec(fds[0])
	file := os.NewFile(uintptr(fds[0]), "accepted")
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		return message{}, err
	}
	peer, node, _ := strings.Cut(string(text[:n]), " ")
	return message{peer, node, conn.(*net.UnixConn)}, nil
}

// tcpPair is a connected pair over loopback: near plays the tailnet connection,
// far its peer.
func tcpPair(t testing.TB) (near, far *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dialled, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialled.Close(); accepted.Close() })
	return accepted.(*net.TCPConn), dialled.(*net.TCPConn)
}

func openDescriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// settles waits until count is at most limit: goroutines and descriptors go
// away on their own time, and no event tells when.
func settles(t testing.TB, what string, count func() int, limit int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for count() > limit {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			stacks = stacks[:runtime.Stack(stacks, true)]
			t.Fatalf("%s: %d, want at most %d\n%s", what, count(), limit, stacks[:min(len(stacks), 20000)])
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// tailnet is a control server with a DERP relay, on loopback.
type tailnet struct {
	control *testcontrol.Server
	url     string
}

func newTailnet(t testing.TB, change ...func(*testcontrol.Server)) *tailnet {
	t.Helper()
	control := &testcontrol.Server{
		DERPMap:        integration.RunDERPAndSTUN(t, logger.Discard, "127.0.0.1"),
		DNSConfig:      &tailcfg.DNSConfig{Proxied: true},
		MagicDNSDomain: "tail-scale.ts.net",
		Logf:           logger.Discard,
	}
	for _, f := range change {
		f(control)
	}
	control.HTTPTestServer = httptest.NewServer(control)
	t.Cleanup(func() {
		control.HTTPTestServer.CloseClientConnections()
		control.HTTPTestServer.Close()
	})
	return &tailnet{control, control.HTTPTestServer.URL}
}

// shared is the tailnet of the tests that change nothing in it.
var shared = struct {
	once  sync.Once
	net   *tailnet
	alice *tsnet.Server
}{}

// outlivingTB lets what a test makes live as long as the process.
type outlivingTB struct{ testing.TB }

func (outlivingTB) Cleanup(func()) {}

func sharedTailnet(t testing.TB) (*tailnet, *tsnet.Server) {
	t.Helper()
	shared.once.Do(func() {
		tb := outlivingTB{t}
		shared.net = newTailnet(tb)
		dir, err := os.MkdirTemp("", "libtailscale-test-")
		if err != nil {
			t.Fatal(err)
		}
		shared.alice = shared.net.client(tb, dir, "alice")
	})
	if shared.alice == nil {
		t.Fatal("the shared tailnet did not start")
	}
	return shared.net, shared.alice
}

// client adds an ordinary node and waits until peers can reach it.
func (tn *tailnet) client(t testing.TB, dir, name string) *tsnet.Server {
	t.Helper()
	srv := &tsnet.Server{
		Dir: filepath.Join(dir, name), ControlURL: tn.url, Hostname: name,
		Store: new(mem.Store), Ephemeral: true, Logf: logger.Discard, UserLogf: logger.Discard,
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if _, err := srv.Up(ctx); err != nil {
		t.Fatal(err)
	}
	if err := tune(srv); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	awaitRelay(t, ctx, srv)
	return srv
}

// awaitRelay waits until the node is connected to its relay: before that, first
// packets to it are lost and the handshake stalls for seconds.
func awaitRelay(t testing.TB, ctx context.Context, srv *tsnet.Server) {
	t.Helper()
	health, sock := srv.Sys().HealthTracker.Get(), srv.Sys().MagicSock.Get()
	for {
		report := sock.GetLastNetcheckReport(ctx)
		if report != nil && report.PreferredDERP != 0 && !health.GetDERPRegionReceivedTime(report.PreferredDERP).IsZero() {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal("not connected to the relay:", ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// gateway makes a node of ours, not started.
func (tn *tailnet) gateway(t testing.TB, name string) *node {
	t.Helper()
	n := newNode()
	dir := t.TempDir()
	if err := n.setLogs(newSink(io.Discard, func() {}, false)); err != nil {
		t.Fatal(err)
	}
	err := n.configure(func(s *settings) error {
		s.dir, s.hostname = dir, name
		return setControlURL(s, tn.url)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.close(closeLimit) })
	return n
}

// running starts a node of ours and waits until it runs and can be reached.
func (tn *tailnet) running(t testing.TB, name string) *node {
	t.Helper()
	n := tn.gateway(t, name)
	if err := n.start(); err != nil {
		t.Fatal(err)
	}
	awaitState(t, n, "Running")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	awaitRelay(t, ctx, n.srv)
	return n
}
