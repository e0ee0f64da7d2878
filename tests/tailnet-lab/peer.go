// Owns the program as one node of another control server: -join URL. It is how
// tests have people on a tailnet that this program does not play itself.
//
// In: a control URL, a hostname, an auth key. Out: one JSON line with the
// node's name and addresses, and a loopback port for each tailnet address that
// it forwards to. It must not know what runs behind them.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strings"
	"time"

	"tailscale.com/ipn/store/mem"
	"tailscale.com/tsnet"
)

// dialLimit is how long a connection may wait for its path.
const dialLimit = 15 * time.Second

// PeerOptions say which node to be.
type PeerOptions struct {
	ControlURL, Hostname, AuthKey string
	Forward                       string // tailnet addresses, separated by commas
	Verbose                       bool
}

// RunPeer is a node until ctx ends.
func RunPeer(ctx context.Context, opts PeerOptions, out io.Writer) error {
	SetEnvironment()
	dir, err := os.MkdirTemp("", "tailnet-peer-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	discard := func(string, ...any) {}
	ts := &tsnet.Server{
		Dir: dir, Store: new(mem.Store), Hostname: opts.Hostname, Ephemeral: true,
		ControlURL: opts.ControlURL, AuthKey: opts.AuthKey, Logf: discard, UserLogf: discard,
	}
	if opts.Verbose {
		ts.Logf = log.Printf
	}
	defer ts.Close()
	joining, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	st, err := ts.Up(joining)
	if err != nil {
		return fmt.Errorf("joining as %s: %w", opts.Hostname, err)
	}
	forwards := map[string]string{}
	for to := range strings.SplitSeq(opts.Forward, ",") {
		if to == "" {
			continue
		}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer ln.Close()
		forwards[to] = ln.Addr().String()
		go accept(ln, func() (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, dialLimit)
			defer cancel()
			return ts.Dial(ctx, "tcp", to)
		})
	}
	ips := []string{}
	for _, ip := range st.TailscaleIPs {
		ips = append(ips, ip.String())
	}
	err = json.NewEncoder(out).Encode(map[string]any{
		"ready": true, "name": st.Self.DNSName, "ips": ips, "forwards": forwards,
	})
	if err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
