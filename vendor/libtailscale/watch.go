package main

// The notification bus as a stream descriptor that carries one JSON object a
// line. A watcher that does not read is never waited for: past a bound its
// stream is closed, and it starts anew. Closing the node ends every watch first,
// since tsnet waits for them.

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// What may wait behind the message that is being written. That one may have any
// size: the first can carry a whole network map.
const (
	maxWatchMessages = 128
	maxWatchBytes    = 8 << 20
)

// openWatch subscribes to the bus; the body ends with ctx.
func (n *node) openWatch(ctx context.Context, mask uint64) (io.ReadCloser, error) {
	res, err := n.localRequest(ctx, http.MethodGet, fmt.Sprintf("watch-ipn-bus?mask=%d", mask), nil)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		defer res.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10))
		return nil, fmt.Errorf("watch: %s: %s", res.Status, strings.TrimSpace(string(text)))
	}
	return res.Body, nil
}

func (n *node) watch(mask uint64) (fd int, err error) {
	if _, err := n.begin(); err != nil {
		return -1, err
	}
	ctx, cancel := context.WithCancel(n.ctx)
	fail := func(err error) (int, error) {
		cancel()
		n.calls.Done()
		return -1, err
	}
	body, err := n.openWatch(ctx, mask)
	if err != nil {
		return fail(err)
	}
	ours, theirs, err := socketPair(unix.SOCK_STREAM)
	if err != nil {
		body.Close()
		return fail(err)
	}
	n.spawn(cancel, ours.awaitHangupQuietly)
	n.spawn(func() {
		cancel()
		body.Close()
		n.calls.Done()
	}, func() error { return n.pump(body, ours) })
	return theirs, nil
}

// pump copies lines from body to out until either ends or out falls behind.
func (n *node) pump(body io.Reader, out io.WriteCloser) error {
	queue := newLineQueue()
	defer queue.close()
	n.spawn(func() { out.Close() }, func() error {
		for line := range queue.all() {
			if _, err := out.Write(line); err != nil {
				break
			}
		}
		return nil
	})
	reader := bufio.NewReaderSize(body, 16<<10)
	for {
		line, err := reader.ReadBytes('\n')
		if err != nil {
			return nil // a partial line is no message
		}
		if !queue.offer(line) {
			out.Close()
			return nil
		}
	}
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
