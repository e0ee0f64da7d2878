package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// relayed starts a relay over loopback TCP and returns both outer ends.
func relayed(t testing.TB, n *node, accepted bool) (owner *net.UnixConn, peer *net.TCPConn) {
	t.Helper()
	near, far := tcpPair(t)
	ours, theirs, err := socketPair(unix.SOCK_STREAM)
	if err != nil {
		t.Fatal(err)
	}
	owner = owned(t, theirs)
	t.Cleanup(func() { owner.Close() })
	if err := n.relay(ours, near, accepted); err != nil {
		t.Fatal(err)
	}
	return owner, far
}

func random(t testing.TB, size int) []byte {
	t.Helper()
	data := make([]byte, size)
	if _, err := rand.Read(data); err != nil {
		t.Fatal(err)
	}
	return data
}

type duplex interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// A side that shuts its writing down still gets the whole answer.
func TestR4HalfClose(t *testing.T) {
	n := newNode()
	defer n.close(closeLimit)
	question, reply := random(t, 300<<10), random(t, 5<<20)
	exchange := func(t *testing.T, asks, answers duplex) {
		var asked []byte
		var wait sync.WaitGroup
		wait.Go(func() {
			asked, _ = io.ReadAll(answers) // ends by the half-close alone
			answers.Write(reply)
			answers.Close()
		})
		if _, err := asks.Write(question); err != nil {
			t.Fatal(err)
		}
		if err := asks.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		answered, err := io.ReadAll(asks)
		wait.Wait()
		if err != nil || !bytes.Equal(answered, reply) || !bytes.Equal(asked, question) {
			t.Fatalf("question %d of %d bytes, answer %d of %d, %v",
				len(asked), len(question), len(answered), len(reply), err)
		}
	}
	for _, accepted := range []bool{true, false} {
		within(t, 10*time.Second, "the exchange", func() {
			owner, peer := relayed(t, n, accepted)
			exchange(t, peer, owner)
			owner, peer = relayed(t, n, accepted)
			exchange(t, owner, peer)
		})
	}
	settles(t, "open connections", func() int { n.mu.Lock(); defer n.mu.Unlock(); return len(n.open) }, 0)
}

// An answer given before the question was read in full arrives whole, although
// its writer closed the connection with data unread.
func TestR4EarlyAnswer(t *testing.T) {
	n := newNode()
	defer n.close(closeLimit)
	owner, peer := relayed(t, n, true)
	reply := random(t, 1<<20)
	var wait sync.WaitGroup
	wait.Go(func() {
		for _, err := peer.Write(make([]byte, 64<<10)); err == nil; {
			_, err = peer.Write(make([]byte, 64<<10)) // a large upload
		}
	})
	if _, err := io.ReadFull(owner, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if _, err := owner.Write(reply); err != nil {
		t.Fatal(err)
	}
	owner.Close()
	got := make([]byte, len(reply))
	if count, err := io.ReadFull(peer, got); err != nil || !bytes.Equal(got, reply) {
		t.Fatalf("%d of %d bytes: %v", count, len(reply), err)
	}
	within(t, lingerLimit+2*time.Second, "the end of the upload", wait.Wait)
}

func TestR17Reset(t *testing.T) {
	n := newNode()
	defer n.close(closeLimit)
	reset := func(peer *net.TCPConn) {
		peer.SetLinger(0)
		peer.Close()
	}
	drain := func(owner *net.UnixConn) func() { return func() { io.Copy(io.Discard, owner) } }

	t.Run("idle", func(t *testing.T) {
		owner, peer := relayed(t, n, true)
		reset(peer)
		within(t, time.Second, "seeing the reset", drain(owner))
		settlesWrite(t, owner)
	})
	t.Run("while the owner writes", func(t *testing.T) {
		owner, peer := relayed(t, n, true)
		blocked := make(chan struct{})
		go func() {
			defer close(blocked)
			for chunk := make([]byte, 1<<20); ; {
				if _, err := owner.Write(chunk); err != nil {
					return
				}
			}
		}()
		if _, err := io.ReadFull(peer, make([]byte, 8<<20)); err != nil {
			t.Fatal(err)
		}
		reset(peer)
		within(t, time.Second, "failing the write", func() { <-blocked })
	})
	t.Run("after a half-close", func(t *testing.T) {
		owner, peer := relayed(t, n, true)
		peer.CloseWrite()
		drain(owner)()
		reset(peer)
		within(t, time.Second, "seeing the reset", func() { settlesWrite(t, owner) })
	})
}

// settlesWrite returns when writing fails.
func settlesWrite(t *testing.T, owner *net.UnixConn) {
	for {
		if _, err := owner.Write([]byte("x")); err != nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// An owner that goes away is seen by the peer at once, also after a half-close
// and also while the peer takes nothing.
func TestR17OwnerGone(t *testing.T) {
	n := newNode()
	defer n.close(closeLimit)
	for _, accepted := range []bool{true, false} {
		owner, peer := relayed(t, n, accepted)
		owner.Close()
		within(t, time.Second, "seeing the close", func() { io.Copy(io.Discard, peer) })

		owner, peer = relayed(t, n, accepted)
		owner.CloseWrite()
		io.Copy(io.Discard, peer)
		before := make([]byte, 10)
		peer.Write([]byte("still here"))
		if _, err := io.ReadFull(owner, before); err != nil {
			t.Fatal(err)
		}
		owner.Close()
		within(t, lingerLimit+time.Second, "failing the peer's writes", func() {
			for {
				if _, err := peer.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		})
	}
	// A cancelled request whose upstream has stopped reading.
	owner, peer := relayed(t, n, false)
	owner.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
	for {
		if _, err := owner.Write(make([]byte, 1<<20)); err != nil {
			break
		}
	}
	owner.Close()
	settles(t, "open connections", func() int { n.mu.Lock(); defer n.mu.Unlock(); return len(n.open) }, 0)
	peer.Close()
}

// Closing the node ends its connections for both sides.
func TestR5CloseEndsConnections(t *testing.T) {
	n := newNode()
	owner, peer := relayed(t, n, true)
	half, halfPeer := relayed(t, n, true)
	halfPeer.CloseWrite()
	io.Copy(io.Discard, half)
	within(t, time.Second, "closing", func() { n.close(closeLimit) })
	within(t, time.Second, "the end", func() {
		io.Copy(io.Discard, owner)
		io.Copy(io.Discard, peer)
		settlesWrite(t, half)
	})
}

// 10,000 connections leave no descriptor and no goroutine behind, and an idle
// one holds no large buffer.
func TestR6NoLeak(t *testing.T) {
	n := newNode()
	defer n.close(closeLimit)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	fd, err := n.serveListener(ln)
	if err != nil {
		t.Fatal(err)
	}
	in := newReceiver(t, fd)
	go func() {
		for {
			m, err := in.next()
			if err != nil {
				return
			}
			go func() {
				io.Copy(m.conn, m.conn)
				m.conn.Close()
			}()
		}
	}()
	descriptors, goroutines := openDescriptors(t), runtime.NumGoroutine()
	work := make(chan int)
	var wait sync.WaitGroup
	for range 16 {
		wait.Go(func() {
			for i := range work {
				c, err := net.Dial("tcp", ln.Addr().String())
				if err != nil {
					t.Error(err)
					return
				}
				switch c := c.(*net.TCPConn); i % 3 {
				case 0:
					c.Write([]byte("hello"))
					io.ReadFull(c, make([]byte, 5))
				case 1:
					c.Write([]byte("hello"))
					c.CloseWrite()
					io.Copy(io.Discard, c)
				case 2:
					c.SetLinger(0)
				}
				c.Close()
			}
		})
	}
	for i := range 10_000 {
		work <- i
	}
	close(work)
	wait.Wait()
	settles(t, "goroutines", runtime.NumGoroutine, goroutines)
	settles(t, "descriptors", func() int { return openDescriptors(t) }, descriptors)
}

// Both ends of a pair are non-blocking and close-on-exec.
func TestR7Flags(t *testing.T) {
	for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_SEQPACKET} {
		ours, theirs, err := socketPair(kind)
		if err != nil {
			t.Fatal(err)
		}
		defer ours.Close()
		defer unix.Close(theirs)
		check := func(fd uintptr) {
			if flags, _ := unix.FcntlInt(fd, unix.F_GETFD, 0); flags&unix.FD_CLOEXEC == 0 {
				t.Errorf("descriptor %d stays open in children", fd)
			}
			if flags, _ := unix.FcntlInt(fd, unix.F_GETFL, 0); flags&unix.O_NONBLOCK == 0 {
				t.Errorf("descriptor %d blocks", fd)
			}
		}
		check(uintptr(theirs))
		ours.raw.Control(check)
		// Deadlines work only on descriptors that the poller watches.
		if err := ours.SetReadDeadline(time.Now()); errors.Is(err, os.ErrNoDeadline) {
			t.Error("our end is not on the poller: each connection would hold a thread")
		}
	}
}

// The relay's own allocation and copying cost, without the network stack.
func BenchmarkRelay(b *testing.B) {
	n := newNode()
	defer n.close(closeLimit)
	owner, peer := relayed(b, n, true)
	go io.Copy(io.Discard, owner)
	chunk := make([]byte, 64<<10)
	b.SetBytes(int64(len(chunk)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := peer.Write(chunk); err != nil {
			b.Fatal(err)
		}
	}
}
