// Owns the whole: relay, control server, API, client nodes, and their order
// of birth and death.
//
// In: Options and a Topology. Out: a running lab. It is the only file that
// knows every part.
package main

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"tailscale.com/envknob"
	"tailscale.com/net/netns"
	"tailscale.com/util/rands"
)

const (
	domain      = "tail-scale.ts.net"
	joinTimeout = 30 * time.Second
	joinAtOnce  = 16 // more only fight for the processors
)

// Options are the flags of the program.
type Options struct {
	FullNetmaps bool
	Verbose     bool
}

// Lab ties the tailnet, its client nodes and the API together.
type Lab struct {
	tailnet *Tailnet
	relay   *Relay
	control *Door
	issuer  *Issuer
	acmeURL string
	apiURL  string
	dir     string
	verbose bool
	servers []*http.Server
	stop    context.CancelFunc // of what runs in the background

	mu       sync.Mutex
	clients  map[string]*Client
	forwards []Forward
}

// Forward is a loopback port that leads to the tailnet.
type Forward struct {
	Node   string `json:"node"`
	To     string `json:"to"`
	Listen string `json:"listen"`
}

// SetEnvironment sets what tsnet needs in a process whose network is lo only.
// A process that joins from outside needs the same before it starts.
func SetEnvironment() {
	for k, v := range map[string]string{
		"TS_NO_LOGS_NO_SUPPORT": "true", "TS_ASSUME_NETWORK_UP_FOR_TEST": "1", "TS_DISABLE_PORTMAPPER": "1",
		"TS_DISABLE_UPNP": "1", "TS_PANIC_IF_HIT_MAIN_CONTROL": "1",
	} {
		envknob.Setenv(k, v)
	}
	netns.SetEnabled(false) // no SO_MARK or SO_BINDTODEVICE: everything is on loopback
}

// NewLab starts the servers; there are no nodes yet.
func NewLab(opts Options) (*Lab, error) {
	dir, err := os.MkdirTemp("", "tailnet-lab-")
	if err != nil {
		return nil, err
	}
	l := &Lab{tailnet: NewTailnet(domain), dir: dir, verbose: opts.Verbose, clients: map[string]*Client{}, forwards: []Forward{}}
	l.tailnet.delta = !opts.FullNetmaps
	if l.relay, err = StartRelay(); err != nil {
		l.Close()
		return nil, err
	}
	l.tailnet.DERPMap = l.relay.Map
	if l.control, err = NewDoor(); err != nil {
		l.Close()
		return nil, err
	}
	api, err := NewDoor()
	if err != nil {
		l.Close()
		return nil, err
	}
	acme, err := NewDoor()
	if err != nil {
		l.Close()
		return nil, err
	}
	if l.issuer, err = NewIssuer(l.tailnet.Records); err != nil {
		l.Close()
		return nil, err
	}
	l.acmeURL = "http://" + acme.Addr().String() + "/directory"
	l.serve(acme, l.issuer)
	l.tailnet.BaseURL = "http://" + l.control.Addr().String()
	l.apiURL = "http://" + api.Addr().String()
	l.serve(l.control, NewControl(l.tailnet))
	l.serve(api, NewAPI(l))
	ctx, cancel := context.WithCancel(context.Background())
	l.stop = cancel
	go l.prepare(ctx)
	return l, nil
}

func (l *Lab) serve(d *Door, h http.Handler) {
	srv := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}
	l.servers = append(l.servers, srv)
	go srv.Serve(d)
}

// Load builds the world of a topology.
func (l *Lab) Load(ctx context.Context, topo *Topology) error {
	l.tailnet.Update(func() error {
		for _, u := range topo.Users {
			l.tailnet.user(u.Login).Display = u.Display
		}
		for group, members := range topo.Groups {
			l.tailnet.groups[group] = members
		}
		for k, v := range topo.AuthKeys {
			l.tailnet.keys[k] = v
		}
		l.tailnet.grants = topo.Grants
		l.tailnet.approval = topo.Approval
		l.tailnet.https = topo.HTTPS
		return nil
	})
	_, err := l.AddNodes(ctx, topo.Nodes)
	return err
}

// AddNodes reserves an identity for a hostname, or starts a client with it,
// for each node, and returns the names that the clients got. Clients join
// while changes are held, so that each of many is told of the others once.
func (l *Lab) AddNodes(ctx context.Context, specs []NodeSpec) ([]string, error) {
	all := expand(specs)
	var clients []NodeSpec
	err := l.tailnet.Update(func() error {
		for i := range all {
			n := &all[i]
			if n.Name = hostLabel(n.Name); n.Name == "" {
				return errors.New("a node needs a name")
			}
			if n.IP == "" { // now, so that the order of joining does not matter
				n.IP = l.tailnet.nextIP(all)
			}
		}
		for _, n := range all {
			if n.External {
				l.tailnet.reserved[n.Name] = n.Identity
			} else {
				clients = append(clients, n)
			}
		}
		return nil
	})
	if err != nil || len(clients) == 0 {
		return nil, err
	}
	names, err := l.startClients(ctx, clients)
	l.tailnet.Flush(ctx, flushLimit)
	l.awaitPaths(ctx, names)
	return names, err
}

func (l *Lab) startClients(ctx context.Context, specs []NodeSpec) ([]string, error) {
	if len(specs) > 1 {
		l.tailnet.Hold(+1)
		defer l.tailnet.Hold(-1)
	}
	names := make([]string, len(specs))
	errs := make([]error, len(specs))
	atOnce(len(specs), func(i int) { names[i], errs[i] = l.startClient(ctx, specs[i]) })
	l.mu.Lock()
	paceCollector(len(l.clients)) // not before: a small heap would be collected all the time
	l.mu.Unlock()
	return names, errors.Join(errs...)
}

// atOnce calls f for 0..n-1, a few at a time.
func atOnce(n int, f func(i int)) {
	slots := make(chan struct{}, joinAtOnce)
	var wg sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			f(i)
			<-slots
		})
	}
	wg.Wait()
}

func (l *Lab) startClient(ctx context.Context, spec NodeSpec) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	key := "tskey-auth-lab-" + rands.HexString(12)
	l.tailnet.Update(func() error {
		l.tailnet.keys[key] = AuthKey{Identity: spec.Identity, Hostname: spec.Name, Once: true, lab: true}
		return nil
	})
	c, err := joinClient(ctx, joinRequest{l.tailnet, spec.Name, key, l.dir, l.verbose})
	if err != nil {
		return "", err
	}
	l.mu.Lock()
	l.clients[c.Name] = c
	l.mu.Unlock()
	for port, target := range spec.Serve {
		if err := l.AddServe(c, port, target); err != nil {
			return c.Name, err
		}
	}
	for _, to := range spec.Forward {
		if _, err := l.AddForward(c, to); err != nil {
			return c.Name, err
		}
	}
	return c.Name, nil
}

// AddServe makes a tailnet port of a client lead to a loopback address.
func (l *Lab) AddServe(c *Client, port uint16, target string) error {
	if err := c.Serve(port, target); err != nil {
		return err
	}
	return l.tailnet.Update(func() error {
		if n := l.tailnet.node(c.Name); n != nil {
			n.serves = true
		}
		return nil
	})
}

// AddForward opens a loopback port that leads to a tailnet address.
func (l *Lab) AddForward(c *Client, to string) (string, error) {
	addr, err := c.Forward(to)
	if err == nil {
		l.mu.Lock()
		l.forwards = append(l.forwards, Forward{c.Name, to, addr})
		l.mu.Unlock()
	}
	return addr, err
}

// Client returns the client node of that name, or nil.
func (l *Lab) Client(name string) *Client {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.clients[name]
}

// DropClient ends a client node, in the background: it logs out first.
func (l *Lab) DropClient(name string) {
	l.mu.Lock()
	c := l.clients[name]
	delete(l.clients, name)
	l.forwards = slices.DeleteFunc(l.forwards, func(f Forward) bool { return f.Node == name })
	l.mu.Unlock()
	if c != nil {
		go c.Close()
	}
}

// Close ends the servers and leaves no files behind. The nodes end with the
// process: closing them one by one would only send logouts to a control
// server that ends too.
func (l *Lab) Close() {
	if l.stop != nil {
		l.stop()
	}
	for _, s := range l.servers {
		s.Close()
	}
	if l.relay != nil {
		l.relay.Close()
	}
	os.RemoveAll(l.dir)
}

func (l *Lab) clientOf(name string) (*Client, error) {
	if c := l.Client(name); c != nil {
		return c, nil
	}
	known := false
	l.tailnet.Read(func() { known = l.tailnet.node(name) != nil })
	if known {
		return nil, conflict("node %q is not a client of the lab", name)
	}
	return nil, notFound("no node %q", name)
}
