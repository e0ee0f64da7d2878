package main

// The notification bus as a stream descriptor that carries one JSON object a
// line. A watcher that does not read is never waited for: past a bound its
// stream is closed, and it starts anew. Closing the node ends every watch first.

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"sync"

	"golang.org/x/sys/unix"
	"tailscale.com/ipn"
)

// What may wait behind the message that is being written. That one may have any
// size: the first can carry a whole network map.
const (
	maxWatchMessages = 128
	maxWatchBytes    = 8 << 20
)

// watch returns once the watch is registered: nothing that happens later is
// missed.
func (n *node) watch(mask uint64) (fd int, err error) {
	opts := ipn.NotifyWatchOpt(mask)
	if err := ipn.ValidateNotifyWatchOpt(opts); err != nil {
		return -1, err
	}
	if opts&ipn.NotifyInProcessNoDisconnect != 0 {
		return -1, errors.New("a watch that is never ended can't be had")
	}
	if _, err := n.begin(); err != nil {
		return -1, err
	}
	ours, theirs, err := socketPair(unix.SOCK_STREAM)
	if err != nil {
		n.calls.Done()
		return -1, err
	}
	ctx, cancel := context.WithCancel(n.ctx)
	n.spawn(cancel, ours.awaitHangupQuietly)
	lines := n.writeLines(ours)
	registered := make(chan struct{})
	n.spawn(func() {
		lines.close()
		cancel()
		n.calls.Done()
	}, func() error {
		added := sync.OnceFunc(func() { close(registered) })
		defer added()
		n.api.LocalBackend().WatchNotificationsAs(ctx, n.api.Actor, opts, added, func(notify *ipn.Notify) bool {
			line, err := json.Marshal(notify)
			if err != nil {
				ours.Close()
				return false
			}
			if !lines.offer(append(line, '\n')) {
				ours.Close() // it has fallen behind
				return false
			}
			return true
		})
		return nil
	})
	<-registered
	return theirs, nil
}

// writeLines returns a queue whose lines are written to out. Closing the queue
// closes out after the last of them.
func (n *node) writeLines(out *end) *lineQueue {
	queue := newLineQueue()
	n.spawn(func() { out.Close() }, func() error {
		for line := range queue.all() {
			if _, err := out.Write(line); err != nil {
				break
			}
		}
		return nil
	})
	return queue
}

// lineQueue is a bounded queue of one writer and one reader.
type lineQueue struct {
	changed chan struct{}

	mu    sync.Mutex
	lines [][]byte // the first is being written
	bytes int      // of all but the first
	ended bool
}

func newLineQueue() *lineQueue { return &lineQueue{changed: make(chan struct{}, 1)} }

// offer reports whether there was room.
func (q *lineQueue) offer(line []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.lines) > 0 {
		if len(q.lines) > maxWatchMessages || q.bytes+len(line) > maxWatchBytes {
			return false
		}
		q.bytes += len(line)
	}
	q.lines = append(q.lines, line)
	q.signal()
	return true
}

// close lets the reader end once it has read everything.
func (q *lineQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	q.signal()
}

func (q *lineQueue) signal() {
	select {
	case q.changed <- struct{}{}:
	default:
	}
}

// all yields lines as they come; a line counts as being written until the next
// is asked for.
func (q *lineQueue) all() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for {
			q.mu.Lock()
			waiting, ended := len(q.lines) > 0, q.ended
			var line []byte
			if waiting {
				line = q.lines[0]
			}
			q.mu.Unlock()
			switch {
			case waiting:
				if !yield(line) {
					return
				}
				q.drop()
			case ended:
				return
			default:
				<-q.changed
			}
		}
	}
}

// drop removes the first line; the next becomes the one being written.
func (q *lineQueue) drop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.lines[0] = nil
	if q.lines = q.lines[1:]; len(q.lines) > 0 {
		q.bytes -= len(q.lines[0])
	}
}
