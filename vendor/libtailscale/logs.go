package main

// The node's log lines. Each line starts with its source: "user " for what an
// operator should see (the login address, changes of state), "node " for the
// backend's own talk. Writing never makes the node wait: a reader that falls
// behind loses lines and is told how many.

import (
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	maxLogLines = 1024
	// flushLimit bounds how long closing waits for the reader.
	flushLimit = 500 * time.Millisecond
)

type sink struct {
	// quiet drops the backend's lines: what an unset or discarding log means.
	quiet bool

	mu      sync.Mutex
	lines   chan string // nil: nothing is written, or no more
	dropped int
	flushed chan struct{}
}

// newStderrSink writes the operator's lines to standard error, the rest nowhere.
func newStderrSink() *sink {
	return newSink(os.Stderr, func() {}, true)
}

// newDescriptorSink writes to fd, which it owns from then on; -1 discards.
// While it is open, lines of packages that use Go's own logger go there too.
func newDescriptorSink(fd int) (*sink, error) {
	if fd == -1 {
		s := newSink(io.Discard, func() {}, true)
		captureGoLog(s)
		return s, nil
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
		return nil, fmt.Errorf("log descriptor %d: %w", fd, err)
	}
	unix.CloseOnExec(fd)
	file := os.NewFile(uintptr(fd), "log")
	s := newSink(file, func() { file.Close() }, false)
	captureGoLog(s)
	return s, nil
}

func newSink(out io.Writer, done func(), quiet bool) *sink {
	s := &sink{quiet: quiet, lines: make(chan string, maxLogLines), flushed: make(chan struct{})}
	go func(lines <-chan string) {
		defer close(s.flushed)
		defer done()
		for line := range lines {
			io.WriteString(out, line)
		}
	}(s.lines)
	return s
}

func (s *sink) user(format string, args ...any) { s.write("user ", format, args...) }

func (s *sink) backend(format string, args ...any) {
	if !s.quiet {
		s.write("node ", format, args...)
	}
}

func (s *sink) write(source, format string, args ...any) {
	text := strings.TrimRight(fmt.Sprintf(format, args...), "\n")
	line := source + strings.ReplaceAll(text, "\n", "\n"+source) + "\n"
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lines == nil {
		return
	}
	if s.dropped > 0 {
		select {
		case s.lines <- fmt.Sprintf("node libtailscale: %d log lines were dropped\n", s.dropped):
			s.dropped = 0
		default:
		}
	}
	select {
	case s.lines <- line:
	default:
		s.dropped++
	}
}

// close ends the sink; lines that come later are dropped.
func (s *sink) close() {
	releaseGoLog(s)
	s.mu.Lock()
	lines := s.lines
	s.lines = nil
	s.mu.Unlock()
	if lines == nil {
		return
	}
	close(lines)
	select {
	case <-s.flushed:
	case <-time.After(flushLimit):
	}
}

// goLog is which sink Go's process-wide logger writes to, if one of ours.
var goLog struct {
	sync.Mutex
	current *sink
}

type goLogWriter struct{ s *sink }

func (w goLogWriter) Write(line []byte) (int, error) {
	w.s.backend("%s", line)
	return len(line), nil
}

func captureGoLog(s *sink) {
	goLog.Lock()
	defer goLog.Unlock()
	goLog.current = s
	log.SetOutput(goLogWriter{s})
}

func releaseGoLog(s *sink) {
	goLog.Lock()
	defer goLog.Unlock()
	if goLog.current == s {
		goLog.current = nil
		log.SetOutput(os.Stderr)
	}
}
