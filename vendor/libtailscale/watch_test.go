package main

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A watcher that reads nothing gets an end, and the bus is never held up: the
// source below could otherwise not be written to the end.
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
		source, bus := io.Pipe()
		ended := make(chan struct{})
		go func() {
			n.pump(source, ours)
			source.Close()
			close(ended)
		}()
		within(t, 5*time.Second, name+": giving the watcher up", func() {
			for {
				if _, err := io.WriteString(bus, line); err != nil {
					break
				}
			}
			<-ended
		})
		within(t, 5*time.Second, name+": the end", func() { io.Copy(io.Discard, owner) })
		owner.Close()
		n.close(closeLimit)
	}
}

// A watcher that reads gets every line, whole, also one that is larger than all
// that may wait.
func TestR12LinesArriveWhole(t *testing.T) {
	n := newNode()
	defer n.close(closeLimit)
	ours, theirs, err := socketPair(unix.SOCK_STREAM)
	if err != nil {
		t.Fatal(err)
	}
	owner := owned(t, theirs)
	defer owner.Close()
	text := []byte(strings.Repeat("y", maxWatchBytes+1) + "\n{}\n{\"State\":6}\n")
	go n.pump(io.MultiReader(bytes.NewReader(text), strings.NewReader("half a li")), ours)
	got, err := io.ReadAll(owner)
	if err != nil || !bytes.Equal(got, text) {
		t.Fatalf("%d of %d bytes, %v", len(got), len(text), err)
	}
}
