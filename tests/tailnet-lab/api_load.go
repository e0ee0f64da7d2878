// Owns the calls that make client nodes talk: bursts, held streams, pings.
package main

import (
	"context"
	"errors"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"tailscale.com/tailcfg"
)

const (
	answerTimeout = 5 * time.Second // of a ping
)

func (a *API) loadCalls() {
	a.ask("POST /burst", func(r *http.Request) (any, error) {
		var in Burst
		if err := decodeStrict(r, &in); err != nil {
			return nil, err
		}
		clients, err := a.clientsLike(in.Nodes)
		if err != nil {
			return nil, err
		}
		return a.burst(r.Context(), clients, &in)
	})
	a.ask("POST /nodes/{name}/burst", func(r *http.Request) (any, error) {
		var in Burst
		c, err := a.lab.clientOf(r.PathValue("name"))
		if err == nil {
			err = decodeStrict(r, &in)
		}
		if err != nil {
			return nil, err
		}
		return a.burst(r.Context(), []*Client{c}, &in)
	})
	a.ask("POST /nodes/{name}/streams", func(r *http.Request) (any, error) {
		var in StreamOrder
		c, err := a.lab.clientOf(r.PathValue("name"))
		if err == nil {
			err = decodeStrict(r, &in)
		}
		if err != nil {
			return nil, err
		}
		return c.OpenStreams(r.Context(), &in)
	})
	a.ask("GET /nodes/{name}/streams", func(r *http.Request) (any, error) {
		c, err := a.lab.clientOf(r.PathValue("name"))
		if err != nil {
			return nil, err
		}
		return c.StreamReport(), nil
	})
	a.ask("DELETE /nodes/{name}/streams", func(r *http.Request) (any, error) {
		c, err := a.lab.clientOf(r.PathValue("name"))
		if err != nil {
			return nil, err
		}
		return c.EndStreams(r.FormValue("reset") != ""), nil
	})
	a.ask("POST /nodes/{name}/ping", a.ping)
}

func (a *API) burst(ctx context.Context, clients []*Client, b *Burst) (any, error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	return RunBurst(ctx, clients, b), nil
}

// clientsLike returns the clients with one of the names or patterns ("peer*"),
// all without any, in the order of their names.
func (a *API) clientsLike(patterns []string) ([]*Client, error) {
	if len(patterns) == 0 {
		patterns = []string{"*"}
	}
	a.lab.mu.Lock()
	defer a.lab.mu.Unlock()
	found := map[string]*Client{}
	for _, pattern := range patterns {
		any := false
		for name, c := range a.lab.clients {
			ok, err := path.Match(pattern, name)
			if err != nil {
				return nil, err
			}
			if ok {
				found[name], any = c, true
			}
		}
		if !any {
			return nil, notFound("no client of the lab is called %q", pattern)
		}
	}
	var out []*Client
	for _, c := range found {
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b *Client) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

var pingKinds = map[string]tailcfg.PingType{
	"": tailcfg.PingICMP, "icmp": tailcfg.PingICMP, "disco": tailcfg.PingDisco, "tsmp": tailcfg.PingTSMP,
}

func (a *API) ping(r *http.Request) (any, error) {
	in := struct {
		Target    string `json:"target"`
		Type      string `json:"type"`
		TimeoutMS int64  `json:"timeout_ms"`
	}{TimeoutMS: answerTimeout.Milliseconds()}
	c, err := a.lab.clientOf(r.PathValue("name"))
	if err == nil {
		err = decodeStrict(r, &in)
	}
	if err != nil {
		return nil, err
	}
	kind, ok := pingKinds[strings.ToLower(in.Type)]
	if !ok {
		return nil, errors.New("type must be icmp, disco or tsmp")
	}
	if _, err := a.tailnet.Route(c.Name, in.Target); err != nil {
		return nil, notFound("%v", err)
	}
	ctx, cancel := context.WithTimeout(r.Context(), time.Duration(in.TimeoutMS)*time.Millisecond)
	defer cancel()
	p, err := c.Ping(ctx, in.Target, kind)
	if err != nil {
		return nil, tooLate("no answer from %s: %v", in.Target, err)
	}
	return fields{
		"ok": true, "ms": p.LatencySeconds * 1000, "type": kind,
		"ip": p.IP, "endpoint": p.Endpoint, "derp": p.DERPRegionCode,
	}, nil
}
