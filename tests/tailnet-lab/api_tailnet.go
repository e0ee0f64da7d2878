// Owns the calls that look at the whole world or change it: state, waiting,
// groups, grants, keys, logins, approval, faults.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

const awaitTimeout = 10 * time.Second

func (a *API) tailnetCalls() {
	a.ask("GET /state", func(r *http.Request) (any, error) { return a.lab.State(), nil })
	a.ask("GET /await", a.await)

	changeTailnet(a, "POST /groups", func(t *Tailnet, in map[string][]string) error {
		for group, members := range in {
			if t.groups[group] = members; members == nil {
				delete(t.groups, group)
			}
		}
		return nil
	})
	changeTailnet(a, "POST /groups/visible", func(t *Tailnet, in []string) error { t.visible = in; return nil })
	changeTailnet(a, "POST /grants", func(t *Tailnet, in []Grant) error { t.grants = in; return nil })
	changeTailnet(a, "POST /authkeys", func(t *Tailnet, in map[string]*AuthKey) error {
		for k, v := range in {
			if v == nil {
				delete(t.keys, k)
			} else {
				t.keys[k] = *v
			}
		}
		return nil
	})
	changeTailnet(a, "POST /oauth", func(t *Tailnet, in map[string]*OAuthClient) error {
		for secret, client := range in {
			if client == nil {
				delete(t.oauth, secret)
			} else {
				t.oauth[secret] = *client
			}
		}
		return nil
	})
	changeTailnet(a, "POST /auth/force", func(t *Tailnet, in bool) error { t.forceLogin = in; return nil })
	a.change("POST /auth/complete", func(r *http.Request) (fields, error) {
		var in struct{ URL, Hostname, User, Refuse string }
		if err := decode(r, &in); err != nil {
			return nil, err
		}
		return nil, a.tailnet.CompleteLogin(in.URL, in.Hostname, in.User, in.Refuse)
	})
	changeTailnet(a, "POST /approve/require", func(t *Tailnet, in bool) error { t.approval = in; return nil })
	changeTailnet(a, "POST /hold", func(t *Tailnet, in bool) error { t.held = in; return nil })
	changeTailnet(a, "POST /delta", func(t *Tailnet, in bool) error { t.delta = in; return nil })

	a.change("POST /issuer", func(r *http.Request) (fields, error) {
		var in struct {
			Refuse  *string `json:"refuse"`
			AgeMS   *int64  `json:"age_ms"`
			ValidMS *int64  `json:"valid_ms"`
		}
		if err := decodeStrict(r, &in); err != nil {
			return nil, err
		}
		duration := func(ms *int64) *time.Duration {
			if ms == nil {
				return nil
			}
			d := time.Duration(*ms) * time.Millisecond
			return &d
		}
		a.lab.issuer.Set(in.Refuse, duration(in.AgeMS), duration(in.ValidMS))
		return nil, nil
	})

	a.change("POST /faults/control", a.shut(a.lab.control))
	a.change("POST /faults/relay", a.shut(a.lab.relay.Door))
	a.change("POST /faults/map", func(r *http.Request) (fields, error) {
		var in struct {
			DelayMS   *int64 `json:"delay_ms"`
			KeepPaths *bool  `json:"keep_paths"`
		}
		if err := decodeStrict(r, &in); err != nil {
			return nil, err
		}
		return nil, a.tailnet.Update(func() error {
			if in.KeepPaths != nil {
				a.tailnet.keepPaths = *in.KeepPaths
			}
			return setDelay(&a.tailnet.mapDelay, in.DelayMS)
		})
	})
}

// shut is the fault that takes a server away or gives it back.
func (a *API) shut(d *Door) func(r *http.Request) (fields, error) {
	return func(r *http.Request) (fields, error) {
		var in struct {
			Down   *bool `json:"down"`
			Refuse bool  `json:"refuse"`
		}
		if err := decodeStrict(r, &in); err != nil {
			return nil, err
		}
		switch {
		case in.Down == nil:
			return nil, errors.New(`the body must say "down": true or false`)
		case !*in.Down:
			d.Set(DoorOpen)
		case in.Refuse:
			d.Set(DoorRefuse)
		default:
			d.Set(DoorSilent)
		}
		return nil, nil
	}
}

func setDelay(d *time.Duration, ms *int64) error {
	if ms == nil {
		return nil
	}
	if *ms < 0 {
		return errors.New("a delay can't be negative")
	}
	*d = time.Duration(*ms) * time.Millisecond
	return nil
}

// conditions of GET /await, for the node n (nil if absent) or a pending login.
var conditions = map[string]func(t *Tailnet, hostname string, n *Node) bool{
	"present":    func(_ *Tailnet, _ string, n *Node) bool { return n != nil },
	"absent":     func(_ *Tailnet, _ string, n *Node) bool { return n == nil },
	"online":     func(_ *Tailnet, _ string, n *Node) bool { return n != nil && n.polls > 0 },
	"offline":    func(_ *Tailnet, _ string, n *Node) bool { return n != nil && n.polls == 0 },
	"ready":      func(_ *Tailnet, _ string, n *Node) bool { return n != nil && n.ready() },
	"expired":    func(_ *Tailnet, _ string, n *Node) bool { return n != nil && n.expired() },
	"unapproved": func(_ *Tailnet, _ string, n *Node) bool { return n != nil && !n.tc.MachineAuthorized },
	"login": func(t *Tailnet, hostname string, _ *Node) bool {
		for _, l := range t.pending {
			if l.Hostname == hostname && !l.completed() {
				return true
			}
		}
		return false
	},
}

// await answers when a node has come to a state, so that no test must poll.
func (a *API) await(r *http.Request) (any, error) {
	name, is := r.FormValue("node"), r.FormValue("is")
	condition := conditions[is]
	if condition == nil {
		return nil, fmt.Errorf("is=%q: must be present, absent, online, offline, ready, expired, unapproved or login", is)
	}
	limit := awaitTimeout
	if ms, err := strconv.Atoi(r.FormValue("timeout_ms")); err == nil {
		limit = time.Duration(ms) * time.Millisecond
	}
	session, _ := strconv.Atoi(r.FormValue("session"))
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	start := time.Now()
	out := fields{"ok": true}
	client := a.lab.Client(name)
	err := a.tailnet.Await(ctx, func() bool {
		n := a.tailnet.node(name)
		if !condition(a.tailnet, name, n) || n != nil && n.session < session {
			return false
		}
		if n != nil {
			out["node"] = stateOf(n, client)
		}
		for _, l := range a.tailnet.pending {
			if is == "login" && l.Hostname == name && !l.completed() {
				out["login"] = *l
			}
		}
		return true
	})
	if err != nil {
		return nil, tooLate("node %q is not %s within %v", name, is, limit)
	}
	out["waited_ms"] = milliseconds(time.Since(start))
	return out, nil
}
