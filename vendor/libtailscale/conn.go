package main

// A connection at the border: one end of a socket pair is the other side's, the
// other end and the tailnet connection are ours, and a relay copies between the
// two. No thread is held: our end is non-blocking and waits on Go's poller.
//
// The relay keeps what TCP promises. An end of stream passes through in one
// direction and leaves the other open. A full close passes through too, which
// on a socket pair is a different thing (a hang-up), so that a connection whose
// owner is gone cannot stay. An abnormal end closes both.

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	bulkSize = 64 << 10 // pooled, held only while data moves
	idleSize = 4 << 10  // what an idle direction keeps

	// lingerLimit bounds how long an accepted connection whose owner has
	// closed it keeps swallowing what its peer still sends. Closing at once
	// would reset it, and the peer could lose a response that it has not read.
	lingerLimit = time.Second
	// A peer that takes nothing for this long, from a connection whose owner has
	// closed it, is dropped. Long where a response may be on its way through a
	// bad network, short where a request has been cancelled.
	acceptedStallLimit = 15 * time.Second
	dialledStallLimit  = 500 * time.Millisecond
	// resetPoll is how often a half-closed peer is checked for a reset.
	resetPoll = 250 * time.Millisecond
)

var bulkBuffers = sync.Pool{New: func() any { b := make([]byte, bulkSize); return &b }}

// socketPair makes a connected pair: our end on Go's poller, theirs a plain
// number. Both are non-blocking and close-on-exec.
func socketPair(kind int) (ours *end, theirs int, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, -1, os.NewSyscallError("socketpair", err)
	}
	file := os.NewFile(uintptr(fds[0]), "libtailscale")
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		unix.Close(fds[1])
		return nil, -1, err
	}
	return &end{File: file, raw: raw}, fds[1], nil
}

// end is our end of a socket pair.
type end struct {
	*os.File
	raw syscall.RawConn
}

func (e *end) CloseWrite() error {
	var err error
	if ctl := e.raw.Control(func(fd uintptr) { err = unix.Shutdown(int(fd), unix.SHUT_WR) }); ctl != nil {
		return ctl
	}
	return err
}

// readBulk waits for data and only then takes a buffer, so that an idle
// connection holds none. The caller gives the buffer back to bulkBuffers.
func (e *end) readBulk() (buffer *[]byte, count int, err error) {
	waitErr := e.raw.Read(func(fd uintptr) bool {
		buffer = bulkBuffers.Get().(*[]byte)
		for {
			count, err = unix.Read(int(fd), *buffer)
			if err != unix.EINTR {
				break
			}
		}
		if err == nil && count > 0 {
			return true
		}
		bulkBuffers.Put(buffer)
		buffer = nil
		return err != unix.EAGAIN
	})
	if waitErr != nil {
		return nil, 0, waitErr
	}
	if err == nil && count == 0 {
		err = io.EOF
	}
	return buffer, count, err
}

// hungUp reports whether the other side has closed its end altogether, as
// against having shut down its writing only.
func hungUp(fd uintptr) bool {
	poll := []unix.PollFd{{Fd: int32(fd)}}
	n, err := unix.Poll(poll, 0)
	return err == nil && n == 1 && poll[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0
}

// awaitHangup returns when the other side has closed its end altogether (nil)
// or ours is closed (an error).
func (e *end) awaitHangup() error { return e.raw.Read(hungUp) }

func (e *end) isHungUp() bool {
	gone := true
	if err := e.raw.Control(func(fd uintptr) { gone = hungUp(fd) }); err != nil {
		return true
	}
	return gone
}

// relay copies between our end of a socket pair and a tailnet connection until
// both directions have ended or one has failed.
type relay struct {
	ours *end
	peer net.Conn
	// accepted connections linger; a dialled one whose owner has gone is a
	// request to be cancelled, and is closed at once.
	accepted bool

	ended atomic.Int32 // directions that have ended cleanly
	once  sync.Once
	done  chan struct{} // closed by abort
}

func newRelay(ours *end, peer net.Conn, accepted bool) *relay {
	return &relay{ours: ours, peer: peer, accepted: accepted, done: make(chan struct{})}
}

// abort closes both connections; whatever waits on them returns.
func (r *relay) abort() {
	r.once.Do(func() {
		close(r.done)
		r.ours.Close()
		// The netstack's Close does not promise to wake a blocked read or write.
		r.peer.SetDeadline(time.Unix(1, 0))
		r.peer.Close()
	})
}

// run relays on the calling goroutine and one more, and closes both ends.
func (r *relay) run(n *node) {
	var inward sync.WaitGroup
	inward.Add(1)
	n.spawn(inward.Done, func() error {
		r.peerToOurs()
		return nil
	})
	defer r.abort()
	r.oursToPeer()
	inward.Wait()
}

// oursToPeer copies what the owner writes. It returns when the owner has closed
// its end altogether, or the relay is aborted.
func (r *relay) oursToPeer() {
	for {
		buffer, count, err := r.ours.readBulk()
		if err != nil {
			r.ownerDone(err)
			return
		}
		err = r.writePeer((*buffer)[:count])
		bulkBuffers.Put(buffer)
		if err != nil {
			r.abort()
			return
		}
	}
}

// ownerDone passes on that the owner writes no more, and then waits until the
// owner is gone.
func (r *relay) ownerDone(err error) {
	// ECONNRESET: the owner closed its end without having read everything.
	if err != io.EOF && !errors.Is(err, unix.ECONNRESET) {
		r.abort()
		return
	}
	if half, ok := r.peer.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
		r.abort()
		return
	}
	if r.bothEnded() || r.ours.awaitHangup() != nil {
		return
	}
	if !r.accepted {
		r.abort()
		return
	}
	r.peer.SetReadDeadline(time.Now().Add(lingerLimit))
}

// bothEnded notes a clean end of one direction; after the second, nothing is
// left to do.
func (r *relay) bothEnded() bool {
	if r.ended.Add(1) < 2 {
		return false
	}
	r.abort()
	return true
}

// writePeer writes all of data. The peer may take as long as it likes while the
// connection has an owner; without one, a peer that takes nothing is dropped.
func (r *relay) writePeer(data []byte) error {
	stall := dialledStallLimit
	if r.accepted {
		stall = acceptedStallLimit
	}
	for {
		r.peer.SetWriteDeadline(time.Now().Add(stall))
		count, err := r.peer.Write(data)
		if err == nil {
			return nil
		}
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() || (count == 0 && r.ours.isHungUp()) {
			return err
		}
		data = data[count:]
	}
}

// peerToOurs copies what the peer sends. It returns when nothing more can be
// sent to the owner and nothing more needs to be read from the peer.
func (r *relay) peerToOurs() {
	idle := make([]byte, idleSize)
	buffer := idle
	var bulk *[]byte
	defer func() {
		if bulk != nil {
			bulkBuffers.Put(bulk)
		}
	}()
	ownerReads := true
	for {
		count, err := r.peer.Read(buffer)
		if count > 0 && ownerReads {
			if _, writeErr := r.ours.Write(buffer[:count]); writeErr != nil {
				// The owner is gone, but what it wrote before may still be on
				// its way out: oursToPeer ends this, not us.
				ownerReads = false
			}
		}
		if err == io.EOF {
			r.peerDone()
			return
		}
		if err != nil {
			r.abort()
			return
		}
		// A large buffer pays while data comes faster than it is copied; a
		// direction that waits should not hold one.
		switch {
		case count == len(buffer) && bulk == nil:
			bulk = bulkBuffers.Get().(*[]byte)
			buffer = *bulk
		case count < idleSize && bulk != nil:
			bulkBuffers.Put(bulk)
			bulk, buffer = nil, idle
		}
	}
}

// peerDone passes on that the peer sends no more. The other direction goes on,
// and nothing waits for the peer's packets any more, so a reset would be noticed
// only at the next write: look for one.
func (r *relay) peerDone() {
	if r.ours.CloseWrite() != nil {
		r.abort()
		return
	}
	if r.bothEnded() {
		return
	}
	tick := time.NewTicker(resetPoll)
	defer tick.Stop()
	var probe [1]byte
	for {
		select {
		case <-r.done:
			return
		case <-tick.C:
			if _, err := r.peer.Read(probe[:]); err != io.EOF {
				r.abort()
				return
			}
		}
	}
}
