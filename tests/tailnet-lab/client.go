// Owns one client node: a tsnet server inside this process, its life from
// join to close, and what hangs on it (proxy, forwards, held streams).
//
// In: an auth key of the tailnet. Out: connections to other nodes, see
// path.go. A Client is ready when its home relay is chosen and the paths to
// the processes from outside work. It must not change the tailnet.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"tailscale.com/client/local"
	"tailscale.com/ipn/store/mem"
	"tailscale.com/tsnet"
	"tailscale.com/wgengine/netstack"
)

// timeWait replaces gVisor's 60 s: entries that old keep tsnet.Server.Close
// from returning, and bursts would pile them up.
const timeWait = time.Millisecond

// Client is a node of the tailnet that lives in the lab.
type Client struct {
	Name  string // in the tailnet, which may have numbered it
	Proxy string // http://127.0.0.1:port

	tailnet *Tailnet
	ts      *tsnet.Server
	local   *local.Client
	stack   *netstack.Impl
	dir     string

	mu      sync.Mutex
	closers []func() error
	paths   map[string]bool // known to work, see awaitPath
	streams []*stream
}

// joinRequest is what a new client needs.
type joinRequest struct {
	tailnet  *Tailnet
	hostname string
	authKey  string
	dir      string // parent of its own directory
	verbose  bool
}

// joinClient starts a node and waits until it is part of the tailnet.
func joinClient(ctx context.Context, j joinRequest) (*Client, error) {
	c := &Client{tailnet: j.tailnet, paths: map[string]bool{}}
	var err error
	if c.dir, err = os.MkdirTemp(j.dir, j.hostname+"-"); err != nil {
		return nil, err
	}
	discard := func(string, ...any) {}
	c.ts = &tsnet.Server{
		Dir: c.dir, Store: new(mem.Store), Hostname: j.hostname, Ephemeral: true,
		ControlURL: j.tailnet.BaseURL, AuthKey: j.authKey, Logf: discard, UserLogf: discard,
	}
	if j.verbose {
		c.ts.Logf = func(format string, a ...any) { log.Printf(j.hostname+": "+format, a...) }
	}
	c.closers = append(c.closers, c.ts.Close, func() error { return os.RemoveAll(c.dir) })
	if err := c.join(ctx); err != nil {
		c.Close()
		return nil, fmt.Errorf("client %s: %w", j.hostname, err)
	}
	return c, nil
}

func (c *Client) join(ctx context.Context) error {
	st, err := c.ts.Up(ctx)
	if err != nil {
		return err
	}
	c.Name, _, _ = strings.Cut(st.Self.DNSName, ".")
	if c.local, err = c.ts.LocalClient(); err != nil {
		return err
	}
	c.stack = c.ts.Sys().Netstack.Get().(*netstack.Impl)
	wait := tcpip.TCPTimeWaitTimeoutOption(timeWait)
	if err := c.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &wait); err != nil {
		return fmt.Errorf("TIME_WAIT: %v", err)
	}
	if err := c.awaitRelay(ctx); err != nil {
		return fmt.Errorf("no home relay: %w", err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	c.Proxy = "http://" + ln.Addr().String()
	srv := newProxy(c)
	c.onClose(srv.Close)
	go srv.Serve(ln)
	return nil
}

// awaitRelay waits until the node has told its home relay: without it the
// first packets are lost.
func (c *Client) awaitRelay(ctx context.Context) error {
	return c.tailnet.Await(ctx, func() bool {
		n := c.tailnet.node(c.Name)
		return n == nil || n.tc.HomeDERP != 0
	})
}

// awaitIP waits until the node itself knows the address the tailnet gave it:
// it binds its connections to it. The node offers no event for that.
func (c *Client) awaitIP(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for ctx.Err() == nil {
		r, err := c.tailnet.Route(c.Name, c.Name)
		if v4, _ := c.ts.TailscaleIPs(); err != nil || v4 == r.Target {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (c *Client) onClose(f func() error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closers = append(c.closers, f)
}

// Close ends the streams, the node, and then what hangs on it.
func (c *Client) Close() {
	c.mu.Lock()
	closers := c.closers
	c.closers = nil
	c.mu.Unlock()
	c.EndStreams(true) // with more than 512 connections open tsnet's Close hangs
	for _, f := range closers {
		f()
	}
}
