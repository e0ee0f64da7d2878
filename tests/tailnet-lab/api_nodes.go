// Owns the calls that add, change and remove one node.
package main

import (
	"encoding/json"
	"net/http"
	"time"
)

func (a *API) nodeCalls() {
	t := a.tailnet
	a.change("POST /nodes", a.addNode)
	a.change("DELETE /nodes/{name}", a.removeNode)

	changeNode(a, "POST /nodes/{name}/user", func(n *Node, in struct{ Login, Display string }, _ bool) error {
		if in.Login == "" {
			in.Login = n.User
		}
		if in.Display != "" {
			t.user(in.Login).Display = in.Display
		}
		t.setUser(n, in.Login)
		return nil
	})
	changeNode(a, "POST /nodes/{name}/tags", func(n *Node, in []string, _ bool) error {
		t.setTags(n, in)
		return nil
	})
	changeNode(a, "POST /nodes/{name}/caps", func(n *Node, in map[string][]json.RawMessage, _ bool) error {
		n.Caps = in
		return nil
	})
	changeNode(a, "POST /nodes/{name}/expire", func(n *Node, in struct{ Seconds *float64 }, _ bool) error {
		seconds := -1.0
		if in.Seconds != nil {
			seconds = *in.Seconds
		}
		t.expireAt(n, time.Now().Add(time.Duration(seconds*float64(time.Second))))
		return nil
	})
	changeNode(a, "POST /nodes/{name}/name", func(n *Node, in string, _ bool) error {
		if n.client {
			return conflict("%s is a client of the lab: its name is its handle", n.host)
		}
		return t.rename(n, in)
	})
	changeNode(a, "POST /nodes/{name}/approve", func(n *Node, in, body bool) error {
		n.tc.MachineAuthorized = in || !body
		return nil
	})
	a.change("POST /nodes/{name}/ip", func(r *http.Request) (fields, error) {
		var ip string
		if err := decode(r, &ip); err != nil {
			return nil, err
		}
		name := r.PathValue("name")
		held := false
		err := t.Update(func() error {
			n := t.node(name)
			if n == nil {
				return notFound("no node %q", name)
			}
			held = t.isHeld()
			return t.setIP(n, ip)
		})
		if c := a.lab.Client(name); c != nil && err == nil && !held {
			c.awaitIP(r.Context())
		}
		return nil, err
	})
	a.change("POST /nodes/{name}/forward", func(r *http.Request) (fields, error) {
		var to string
		c, err := a.lab.clientOf(r.PathValue("name"))
		if err == nil {
			err = decode(r, &to)
		}
		if err != nil {
			return nil, err
		}
		listen, err := a.lab.AddForward(c, to)
		return fields{"listen": listen}, err
	})
	a.change("POST /nodes/{name}/serve", func(r *http.Request) (fields, error) {
		var in map[uint16]string
		c, err := a.lab.clientOf(r.PathValue("name"))
		if err == nil {
			err = decode(r, &in)
		}
		if err != nil {
			return nil, err
		}
		for port, target := range in {
			if err := a.lab.AddServe(c, port, target); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	a.change("POST /nodes/{name}/faults", a.faultNode)
}

// addNode answers with the name that the node got: another node may have had
// the one that was asked for.
func (a *API) addNode(r *http.Request) (fields, error) {
	var spec NodeSpec
	if err := decode(r, &spec); err != nil {
		return nil, err
	}
	names, err := a.lab.AddNodes(r.Context(), []NodeSpec{spec})
	if err != nil {
		return nil, err
	}
	switch {
	case spec.External:
		return fields{"name": hostLabel(spec.Name)}, nil
	case spec.Count == 0:
		return fields{"name": names[0], "proxy": a.lab.Client(names[0]).Proxy}, nil
	}
	proxies := map[string]string{}
	for _, name := range names {
		proxies[name] = a.lab.Client(name).Proxy
	}
	return fields{"names": names, "proxies": proxies}, nil
}

// removeNode casts a node out. With keep=1 its process lives on.
func (a *API) removeNode(r *http.Request) (fields, error) {
	name := r.PathValue("name")
	err := a.tailnet.Update(func() error {
		n := a.tailnet.node(name)
		if _, ok := a.tailnet.reserved[name]; n == nil && !ok {
			return notFound("no node %q", name)
		}
		if n != nil {
			a.tailnet.remove(n)
		}
		delete(a.tailnet.reserved, name)
		return nil
	})
	if err == nil && r.FormValue("keep") == "" {
		a.lab.DropClient(name)
	}
	return nil, err
}

// faultNode cuts a client off from its peers, or slows down a node's map.
func (a *API) faultNode(r *http.Request) (fields, error) {
	var in struct {
		Cut        *bool  `json:"cut"`
		MapDelayMS *int64 `json:"map_delay_ms"`
	}
	if err := decodeStrict(r, &in); err != nil {
		return nil, err
	}
	name := r.PathValue("name")
	if in.Cut != nil {
		if _, err := a.lab.clientOf(name); err != nil {
			return nil, err // a process from outside would see its peers go, not silence
		}
	}
	return nil, a.tailnet.Update(func() error {
		n := a.tailnet.node(name)
		if n == nil {
			return notFound("no node %q", name)
		}
		if in.Cut != nil {
			if n.cut && !*in.Cut {
				n.breaks++
			}
			n.cut = *in.Cut
		}
		return setDelay(&n.mapDelay, in.MapDelayMS)
	})
}
