package main

import (
	"bufio"
	"io"
	"log"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Both kinds of lines go to the descriptor, each line marked, Go's own logger
// too; afterwards the descriptor is closed.
func TestR10LogDescriptor(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Dup(int(write.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	write.Close()
	n := newNode()
	s, err := newDescriptorSink(fd)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.setLogs(s); err != nil {
		t.Fatal(err)
	}
	n.logs.user("go to %s\n", "https://login.example/x")
	n.logs.backend("one\ntwo")
	log.Print("from a package")
	n.close(closeLimit)
	n.logs.user("too late")
	text, err := io.ReadAll(read)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(lines) != 4 || lines[0] != "user go to https://login.example/x" || lines[1] != "node one" ||
		lines[2] != "node two" || !strings.HasSuffix(lines[3], "from a package") {
		t.Errorf("%q", lines)
	}
	if log.Writer() != os.Stderr {
		t.Error("Go's logger still writes to a closed node")
	}
}

// A reader that does not read costs lines, never time.
func TestLogsNeverWait(t *testing.T) {
	read, write := io.Pipe()
	s := newSink(write, func() { write.Close() }, false)
	within(t, 5*time.Second, "logging", func() {
		for i := range 3 * maxLogLines {
			s.backend("%d", i)
		}
	})
	lines := bufio.NewScanner(read)
	for range 10 {
		lines.Scan()
	}
	s.user("next")
	within(t, 5*time.Second, "reporting the loss", func() {
		for lines.Scan() && !strings.Contains(lines.Text(), "were dropped") {
		}
	})
	go io.Copy(io.Discard, read)
	s.close()
}
