package main

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A watcher that reads nothing is told from one that is a little late, and gets
// an end; offering it lines never waits.
func TestR12SlowWatcherIsClosed(t *testing.T) {
	for name, line := range map[string]string{
		"many small": strings.Repeat("x", 100) + "\n",
		"few large":  strings.Repeat("x", 3<<20) + "\n",
	} {
		n := newNode()
		ours, theirs, err := socketPair(unix.SOCK_STREAM)
		if err != nil {
			t.Fatal(err)
		}
		owner := owned(t, theirs)
		lines := n.writeLines(ours)
		offered := 0
		within(t, 5*time.Second, name+": filling the queue", func() {
			for lines.offer([]byte(line)) {
				offered++
			}
		})
		if offered < 2 || offered*len(line) > maxWatchBytes+maxWatchMessages*len(line) {
			t.Errorf("%s: %d lines were taken", name, offered)
		}
		ours.Close() // as watch does
		within(t, 5*time.Second, name+": the end", func() { io.Copy(io.Discard, owner) })
		lines.close()
		owner.Close()
		n.close(closeLimit)
	}
}

// A watcher that reads gets every line, whole, also when a line is larger than
// all that may wait.
func TestR12LinesArriveWhole(t *testing.T) {
	n := newNode()
	defer n.close(closeLimit)
	ours, theirs, err := socketPair(unix.SOCK_STREAM)
	if err != nil {
		t.Fatal(err)
	}
	owner := owned(t, theirs)
	defer owner.Close()
	lines := n.writeLines(ours)
	var want bytes.Buffer
	for _, line := range []string{strings.Repeat("y", maxWatchBytes+1) + "\n", "{}\n", "{\"State\":6}\n"} {
		want.WriteString(line)
		if !lines.offer([]byte(line)) {
			t.Fatalf("a line of %d bytes was refused", len(line))
		}
	}
	lines.close()
	got, err := io.ReadAll(owner)
	if err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Fatalf("%d of %d bytes, %v", len(got), want.Len(), err)
	}
}
