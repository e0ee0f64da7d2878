package main

import (
	"strings"
	"sync"
	"testing"
	"unsafe"
)

// cText is a C string; its type has no name outside of files that import "C".
func cText(t testing.TB, text string) charPointer {
	t.Helper()
	p := newText(text)
	t.Cleanup(func() { tailscale_free(p) })
	return p
}

// Every function takes NULL and a handle that does not exist.
func TestR9NullAndUnknownHandles(t *testing.T) {
	real := tailscale_new()
	defer tailscale_close(real)
	for _, sd := range []cInt{0, -1, 1 << 30, real} {
		fd, text := cInt(7), charPointer(nil)
		for name, got := range map[string]cInt{
			"set_hostname":      tailscale_set_hostname(sd, nil),
			"set_dir":           tailscale_set_dir(sd, nil),
			"set_authkey":       tailscale_set_authkey(sd, nil),
			"set_control_url":   tailscale_set_control_url(sd, nil),
			"set_tags":          tailscale_set_tags(sd, nil),
			"set_client_secret": tailscale_set_client_secret(sd, nil),
			"set_udp_port":      tailscale_set_udp_port(sd, 65536),
			"set_logfd":         tailscale_set_logfd(sd, 1<<20),
			"listen, all NULL":  tailscale_listen(sd, nil, nil, nil),
			"listen":            tailscale_listen(sd, nil, nil, &fd),
			"dial, all NULL":    tailscale_dial(sd, nil, nil, 0, nil, nil),
			"dial":              tailscale_dial(sd, nil, nil, 1000, &fd, &text),
			"localapi, NULL":    tailscale_localapi(sd, nil, nil, nil, 0, nil),
			"watch, NULL":       tailscale_watch(sd, 0, nil),
			"watch":             tailscale_watch(sd, 0, &fd),
		} {
			if got != -1 {
				t.Errorf("%s on handle %d: %d", name, sd, got)
			}
		}
		if sd != real && fd != 7 && fd != -1 {
			t.Errorf("a descriptor came from handle %d: %d", sd, fd)
		}
		if text == nil || goText(text) == "" {
			t.Error("dial gave no reason")
		}
		tailscale_free(text)
		message := tailscale_errmsg(sd)
		if goText(message) == "" {
			t.Errorf("no message for handle %d", sd)
		}
		tailscale_free(message)
	}
	if tailscale_close(0) != -1 || tailscale_start(-5) != -1 {
		t.Error("an unknown handle was accepted")
	}
	tailscale_free(nil)
}

func TestR9FlagTakesZeroAndOne(t *testing.T) {
	sd := tailscale_new()
	defer tailscale_close(sd)
	n, err := lookup(int(sd))
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []cInt{1, 0, 1} {
		if tailscale_set_ephemeral(sd, value) != 0 || n.set.ephemeral != (value == 1) {
			t.Errorf("set_ephemeral(%d): %v", value, n.set.ephemeral)
		}
	}
}

// The types are the width that C code uses.
func TestR9Widths(t *testing.T) {
	if size := unsafe.Sizeof(cInt(0)); size != 4 {
		t.Errorf("int has %d bytes", size)
	}
}

// Failing calls at the same time are safe (the race detector watches), and each
// dial gets the text of its own failure.
func TestR8ParallelFailures(t *testing.T) {
	sd := tailscale_new()
	defer tailscale_close(sd)
	var wait sync.WaitGroup
	for i := range 50 {
		network := strings.Repeat("n", i+1)
		c, bad := cText(t, network), cText(t, "no tag")
		wait.Go(func() {
			for range 20 {
				fd, text := cInt(0), charPointer(nil)
				tailscale_set_tags(sd, bad)
				if tailscale_dial(sd, c, c, 1000, &fd, &text) != -1 || fd != -1 {
					t.Error("a dial succeeded")
				}
				if got := goText(text); !strings.Contains(got, `"`+network+`"`) {
					t.Errorf("dial on %s failed with %q", network, got)
				}
				tailscale_free(text)
				message := tailscale_errmsg(sd)
				if got := goText(message); !strings.Contains(got, "tag") {
					t.Errorf("message %q", got)
				}
				tailscale_free(message)
			}
		})
	}
	wait.Wait()
}

// A handle is never used twice, and a closed one is gone.
func TestHandlesAreNotReused(t *testing.T) {
	first := tailscale_new()
	if tailscale_close(first) != 0 || tailscale_close(first) != -1 {
		t.Error("closing twice")
	}
	second := tailscale_new()
	defer tailscale_close(second)
	if second == first {
		t.Error("a handle came back")
	}
}
