// Command tailnet-lab is a whole private tailnet on loopback; see README.md.
//
// This file owns the process: flags, signals, the ready line and the exit.
// In: flags, stdin (only to notice that the parent is gone). Out: one JSON
// line on stdout when everything is up. It knows nothing of tailnets.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

func main() {
	var opts Options
	topology := flag.String("topology", "", "JSON `file` with the first users, groups, nodes, grants, auth keys")
	flag.BoolVar(&opts.FullNetmaps, "full-netmaps", false, "send whole netmaps on each change, not deltas")
	flag.BoolVar(&opts.Verbose, "v", false, "log what the client nodes log")
	withStdin := flag.Bool("exit-with-stdin", false, "stop when stdin closes, so that a dead parent leaves nothing behind")
	var peer PeerOptions
	flag.StringVar(&peer.ControlURL, "join", "", "be nothing but one node of the control server at that `URL`")
	flag.StringVar(&peer.Hostname, "hostname", "peer", "with -join: the node's `name`")
	flag.StringVar(&peer.AuthKey, "authkey", "", "with -join: its auth `key`")
	flag.StringVar(&peer.Forward, "forward", "", "with -join: tailnet `addresses` that loopback ports lead to, separated by commas")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *withStdin {
		go func() {
			io.Copy(io.Discard, os.Stdin)
			stop()
		}()
	}
	start := func() error { return run(ctx, opts, *topology, os.Stdout) }
	if peer.ControlURL != "" {
		peer.Verbose = opts.Verbose
		start = func() error { return RunPeer(ctx, peer, os.Stdout) }
	}
	if err := start(); err != nil {
		fmt.Fprintf(os.Stderr, "tailnet-lab: %v\n", err)
		os.Exit(1)
	}
}

// run starts the lab, announces it on out and keeps it until ctx ends.
func run(ctx context.Context, opts Options, topologyFile string, out io.Writer) error {
	start := time.Now()
	var topo Topology
	if topologyFile != "" {
		b, err := os.ReadFile(topologyFile)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(b, &topo); err != nil {
			return fmt.Errorf("topology %s: %w", topologyFile, err)
		}
	}
	SetEnvironment()
	lab, err := NewLab(opts)
	if err != nil {
		return err
	}
	defer lab.Close()
	if err := lab.Load(ctx, &topo); err != nil {
		if ctx.Err() != nil {
			return nil // told to stop before it was ready
		}
		return err
	}
	ready := lab.State()
	ready["ready"] = true
	ready["ms"] = time.Since(start).Milliseconds()
	ready["go"] = runtime.Version()
	if err := json.NewEncoder(out).Encode(ready); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
