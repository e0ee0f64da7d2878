package main

// One node: its settings, the tsnet server made from them, and the set of all
// that is open on it. Settings are taken before the start only. Everything that
// is open hangs on the node's context and is tracked here, so that close.go can
// end it.

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"

	"tailscale.com/hostinfo"
	"tailscale.com/ipn"
	"tailscale.com/ipn/localapi"
	"tailscale.com/tailcfg"
	"tailscale.com/tsnet"
)

const logsDir = "TS_LOGS_DIR"

type phase int

const (
	fresh phase = iota
	starting
	running // started; says nothing about login
	failed
	closed
)

// settings is what the set functions collect before the start.
type settings struct {
	hostname, dir, store, authKey, controlURL, clientSecret string
	ephemeral                                               bool
	tags                                                    []string
	udpPort                                                 uint16
}

type node struct {
	ctx    context.Context // ends when the node is closed
	cancel context.CancelFunc
	logs   *sink

	api *localapi.Handler // the LocalAPI; set by the start

	mu       sync.Mutex
	phase    phase
	set      settings
	lastErr  string
	srv      *tsnet.Server
	startEnd chan struct{} // closed when the start has returned; nil before it
	open     map[*resource]struct{}
	calls    sync.WaitGroup // LocalAPI calls, watches and dials under way

	listening map[*flowListener]struct{}
}

// resource is something open on a node: a listener or a connection.
type resource struct{ close func() }

func newNode() *node {
	ctx, cancel := context.WithCancel(context.Background())
	return &node{
		ctx:    ctx,
		cancel: cancel,
		logs:   newStderrSink(),
		open:   map[*resource]struct{}{},

		listening: map[*flowListener]struct{}{},
	}
}

// configure changes a setting; only before the start.
func (n *node) configure(change func(*settings) error) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.phase == closed {
		return errClosed
	}
	if n.phase != fresh {
		return errStarted
	}
	return change(&n.set)
}

func setControlURL(s *settings, text string) error {
	if text == "" {
		s.controlURL = ""
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return fmt.Errorf("control URL %q is not an http or https URL", text)
	}
	s.controlURL = text
	return nil
}

func setTags(s *settings, list string) error {
	var tags []string
	for tag := range strings.SplitSeq(list, ",") {
		if tag = strings.TrimSpace(tag); tag == "" {
			continue
		}
		if err := tailcfg.CheckTag(tag); err != nil {
			return fmt.Errorf("tag %q: %w", tag, err)
		}
		tags = append(tags, tag)
	}
	s.tags = tags
	return nil
}

func setUDPPort(s *settings, port int) error {
	if port < 0 || port > 65535 {
		return fmt.Errorf("UDP port %d is out of range", port)
	}
	s.udpPort = uint16(port)
	return nil
}

// setLogs replaces where log lines go; a node that started keeps its sink.
func (n *node) setLogs(s *sink) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.phase != fresh {
		return errStarted
	}
	n.logs.close()
	n.logs = s
	return nil
}

// start starts the node. It waits neither for login nor for the node to run; it
// can wait for the network only when an OAuth client secret has to be exchanged
// for a key. A failed start is final.
func (n *node) start() error {
	n.mu.Lock()
	if n.phase != fresh {
		defer n.mu.Unlock()
		if n.phase == closed {
			return errClosed
		}
		return errStarted
	}
	if n.set.dir == "" {
		defer n.mu.Unlock()
		return errors.New("no state directory is set")
	}
	n.phase = starting
	set := n.set
	end := make(chan struct{})
	n.startEnd = end
	n.mu.Unlock()

	// On its own goroutine, so that closing the node ends this call even while
	// tsnet is stuck inside its start, which takes no context.
	result := make(chan error, 1)
	go func() {
		defer close(end)
		result <- protect(func() error { return n.startServer(set) })
	}()
	select {
	case err := <-result:
		return err
	case <-n.ctx.Done():
		return errClosed
	}
}

func (n *node) startServer(set settings) (err error) {
	defer func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		switch {
		case n.phase == closed: // close.go is waiting for us
		case err != nil:
			n.phase = failed
		default:
			n.phase = running
		}
	}()
	port, err := choosePort(set.dir, set.udpPort)
	if err != nil {
		return err
	}
	store, err := n.openStore(set.store)
	if err != nil {
		return err
	}
	// Otherwise the backend looks for a place outside the state directory, makes
	// a directory there, and panics where nothing can be written (a container's
	// read-only root). This changes the environment of the whole process: Rust
	// has read what it needs by now, and reads nothing while a node starts.
	if os.Getenv(logsDir) == "" {
		os.Setenv(logsDir, set.dir)
	}
	// What tsnet would take from the environment is the caller's to set, and a
	// key that was set differently, or has been forgotten, must not come back.
	for _, name := range []string{"TS_AUTHKEY", "TS_AUTH_KEY", "TS_CLIENT_SECRET"} {
		os.Unsetenv(name)
	}
	hostinfo.SetApp("aperture")
	srv, err := n.startTsnet(set, store, port)
	if err != nil && isSecret(set) && strings.Contains(err.Error(), "resolving auth key") && isRegistered(set.dir, store) {
		// tsnet makes a key of the secret at every start, also when the node has
		// no use for one: an outage of that API must not keep it from starting.
		n.logs.user("no auth key could be made of the OAuth client secret, so the node starts with what it has: %v", err)
		if err := protect(func() error { return closeServer(srv) }); err != nil {
			n.logs.backend("libtailscale: %v", err)
		}
		set.authKey, set.clientSecret = "", ""
		srv, err = n.startTsnet(set, store, port)
	}
	if err != nil {
		return err
	}
	if err := tune(srv); err != nil {
		return err
	}
	n.api, err = localAPIHandler(srv)
	if err != nil {
		return err
	}
	// What was bound can differ from what was asked for: another process may
	// have taken the port in between.
	if err := rememberPort(set.dir, srv.Sys().MagicSock.Get().LocalPort()); err != nil {
		n.logs.user("the UDP port cannot be remembered, so peers will be slow to find this node after a restart: %v", err)
	}
	return nil
}

// startTsnet makes the node's server and starts it. The server is returned, and
// kept for close.go, also when its start fails.
func (n *node) startTsnet(set settings, store ipn.StateStore, port uint16) (*tsnet.Server, error) {
	srv := &tsnet.Server{
		Dir:           set.dir,
		Store:         store,
		Hostname:      set.hostname,
		AuthKey:       set.authKey,
		ClientSecret:  set.clientSecret,
		ControlURL:    set.controlURL,
		Ephemeral:     set.ephemeral,
		AdvertiseTags: set.tags,
		Port:          port,
		Logf:          n.logs.backend,
		UserLogf:      n.logs.user,
	}
	n.mu.Lock()
	n.srv = srv
	n.mu.Unlock()
	return srv, srv.Start()
}

// isSecret reports whether a key has to be made of an OAuth client's secret.
func isSecret(set settings) bool {
	return set.clientSecret != "" || strings.HasPrefix(set.authKey, "tskey-client-")
}

// begin counts a call on a running node; the caller calls n.calls.Done at its
// end. Closing waits for counted calls before it closes the server.
func (n *node) begin() (*tsnet.Server, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch n.phase {
	case running:
		n.calls.Add(1)
		return n.srv, nil
	case closed:
		return nil, errClosed
	default:
		return nil, errNotStarted
	}
}

// track notes that something is open and returns the function that forgets it.
func (n *node) track(close func()) (forget func(), err error) {
	r := &resource{close: close}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.phase == closed {
		return nil, errClosed
	}
	n.open[r] = struct{}{}
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.open, r)
	}, nil
}
