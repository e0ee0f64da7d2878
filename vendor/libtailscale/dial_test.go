package main

import (
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tailscale.com/ipn/ipnstate"
	"tailscale.com/tsnet"
)

// R13 on a running node: peers by name and address, nothing outside of the
// tailnet, and never longer than the timeout.
func testDial(t *testing.T, n *node, alice *tsnet.Server, aliceIP, own netip.Addr) {
	model, err := alice.Listen("tcp", ":8000")
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	go func() {
		for {
			conn, err := model.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				io.Copy(conn, conn) // ends by the half-close alone
			}()
		}
	}()
	for _, host := range []string{"alice", "ALICE.tail-scale.ts.net.", aliceIP.String()} {
		fd, err := n.dial("tcp", net.JoinHostPort(host, "8000"), 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		conn := owned(t, fd)
		sent := random(t, 2<<20)
		go func() {
			conn.Write(sent)
			conn.CloseWrite()
		}()
		got, err := io.ReadAll(conn)
		if err != nil || string(got) != string(sent) {
			t.Errorf("%s: %d of %d bytes came back, %v", host, len(got), len(sent), err)
		}
		conn.Close()
	}
	fd, err := n.dial("tcp", netip.AddrPortFrom(own, 80).String(), 5*time.Second)
	if err != nil {
		t.Error("the node cannot reach itself:", err)
	} else {
		owned(t, fd).Close()
	}
	for address, reason := range map[string]string{
		"example.com:443":       "not a name in this tailnet",
		"localhost:80":          "not a name in this tailnet",
		"127.0.0.1:80":          "not an address of this tailnet",
		"[::1]:80":              "not an address of this tailnet",
		"[::ffff:127.0.0.1]:80": "not an address of this tailnet",
		"169.254.169.254:80":    "not an address of this tailnet",
		"192.168.1.1:80":        "not an address of this tailnet",
		"100.77.77.77:80":       "not an address of this tailnet",
		"[fe80::1%lo]:80":       "not an address of this tailnet",
		"alice:http":            "not a port number",
		"alice":                 "missing port",
		"alice:0":               "not a port number",
	} {
		within(t, time.Second, "refusing "+address, func() {
			if fd, err := n.dial("tcp", address, 5*time.Second); err == nil || !strings.Contains(err.Error(), reason) {
				t.Errorf("dial %s: descriptor %d, %v", address, fd, err)
			}
		})
	}
	if _, err := n.dial("tcp", net.JoinHostPort(aliceIP.String(), "8001"), 5*time.Second); err == nil {
		t.Error("a port nobody listens on was reached")
	}
	_, status := ask[ipnstate.Status](t, n, "GET", "status")
	for _, peer := range status.Peer {
		if strings.HasPrefix(peer.DNSName, "alice.") || strings.HasPrefix(peer.DNSName, "bob.") || len(peer.TailscaleIPs) == 0 {
			continue
		}
		silent := netip.AddrPortFrom(peer.TailscaleIPs[0], 80).String()
		took := within(t, 2*time.Second, "giving up on a silent peer", func() {
			if _, err := n.dial("tcp", silent, 300*time.Millisecond); err == nil {
				t.Error("a silent peer answered")
			}
		})
		if took < 250*time.Millisecond {
			t.Errorf("a silent peer was given up after %v", took)
		}
		return
	}
	t.Error("no silent peer to dial")
}
