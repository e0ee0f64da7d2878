// Owns the admission of nodes: auth keys, login URLs, logout, new keys.
//
// In: registration requests of control.go, completed logins of the API. Out:
// nodes. It must not know about polls or HTTP.
package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
	"tailscale.com/util/rands"
)

// AuthKey admits nodes without a login.
type AuthKey struct {
	Identity
	Hostname      string `json:"hostname,omitempty"`      // if set, only this hostname may use it
	Once          bool   `json:"once,omitempty"`          // it admits one node
	Expired       bool   `json:"expired,omitempty"`       // it admits nobody any more
	Ephemeral     bool   `json:"ephemeral,omitempty"`     // its nodes leave when they log out
	Refuse        string `json:"refuse,omitempty"`        // if set, the words with which it is refused
	Preauthorized bool   `json:"preauthorized,omitempty"` // no machine approval needed
	used          bool   // somebody has joined with it
	lab           bool   // of a client node of the lab: identity and admission are settled
}

// Login is a registration that waits for somebody to log in at its URL.
type Login struct {
	URL      string    `json:"url"`
	Hostname string    `json:"hostname"`
	Since    time.Time `json:"since"`

	path    string
	nodeKey key.NodePublic
	done    chan struct{}
	refused string // why, if it was
	user    string // who logged in, if told
}

func (l *Login) completed() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

var (
	errInvalidKey = errors.New("invalid key: unable to validate API key")
	errUsedKey    = errors.New("invalid key: API key has been used already")
	errExpiredKey = errors.New("invalid key: API key has expired")
)

// check says why a key, if it is there at all, does not admit a host.
func (k AuthKey) check(known bool, hostname string) error {
	switch {
	case !known || k.Hostname != "" && k.Hostname != hostname:
		return errInvalidKey
	case k.Refuse != "":
		return errors.New(k.Refuse)
	case k.Expired:
		return errExpiredKey
	case k.Once && k.used:
		return errUsedKey
	}
	return nil
}

// Register admits a node: by auth key, or after somebody completed its login
// through the API, or because its key is already known and valid.
func (t *Tailnet) Register(ctx context.Context, req *tailcfg.RegisterRequest, machine key.MachinePublic) (*tailcfg.RegisterResponse, error) {
	if req.Followup != "" {
		if err := t.awaitLogin(ctx, req.Followup); err != nil {
			return nil, err
		}
	}
	var rsp *tailcfg.RegisterResponse
	err := t.Update(func() (err error) {
		rsp, err = t.register(req, machine)
		return err
	})
	return rsp, err
}

func (t *Tailnet) register(req *tailcfg.RegisterRequest, machine key.MachinePublic) (*tailcfg.RegisterResponse, error) {
	n := t.nodeByKey(req.NodeKey)
	if !req.Expiry.IsZero() && req.Expiry.Before(time.Now()) {
		t.logout(n, req.Expiry)
		return &tailcfg.RegisterResponse{NodeKeyExpired: true}, nil
	}
	if n != nil && n.expired() {
		return &tailcfg.RegisterResponse{NodeKeyExpired: true}, nil
	}
	if n == nil {
		hostname := "node"
		if req.Hostinfo != nil && req.Hostinfo.Hostname != "" {
			hostname = hostLabel(req.Hostinfo.Hostname)
		}
		admission, login, err := t.admit(req, hostname)
		if err != nil {
			return nil, err
		}
		if login != nil {
			return &tailcfg.RegisterResponse{AuthURL: login.URL}, nil
		}
		if old := t.nodeByKey(req.OldNodeKey); old != nil && old.tc.Machine == machine {
			n = old // the same node with a new key
			n.renewKey(req.NodeKey)
			t.endPolls(n)
		} else if n, err = t.join(req, hostname, admission, machine); err != nil {
			return nil, err
		}
	}
	n.ephemeral = n.ephemeral || req.Ephemeral
	if req.Hostinfo != nil {
		n.tc.Hostinfo = req.Hostinfo.View()
	}
	u := t.user(n.User)
	return &tailcfg.RegisterResponse{
		MachineAuthorized: n.tc.MachineAuthorized,
		User:              tailcfg.User{ID: n.tc.User, DisplayName: u.Display},
		Login:             tailcfg.Login{ID: tailcfg.LoginID(u.ID), Provider: "lab", LoginName: u.Login, DisplayName: u.Display},
	}, nil
}

// admit finds out by what right an unknown node key comes in: an auth key or
// a completed login. Without either it returns the login to be completed.
func (t *Tailnet) admit(req *tailcfg.RegisterRequest, hostname string) (AuthKey, *Login, error) {
	if req.Auth != nil && req.Auth.AuthKey != "" {
		k, ok := t.keys[req.Auth.AuthKey]
		if !t.forceLogin || k.lab {
			if err := k.check(ok, hostname); err != nil {
				return k, nil, err
			}
			k.used = true
			t.keys[req.Auth.AuthKey] = k
			return k, nil, nil
		}
	}
	for path, l := range t.pending {
		switch {
		case l.nodeKey != req.NodeKey:
		case !l.completed():
			return AuthKey{}, l, nil
		case l.refused == "":
			delete(t.pending, path)
			return AuthKey{Identity: Identity{User: l.user}}, nil, nil
		default:
			delete(t.pending, path)
		}
	}
	l := &Login{Hostname: hostname, Since: time.Now(), path: "/auth/" + rands.HexString(16), nodeKey: req.NodeKey, done: make(chan struct{})}
	l.URL = t.BaseURL + l.path
	t.pending[l.path] = l
	return AuthKey{}, l, nil
}

// join adds a node that was admitted. Its identity is the reservation for its
// hostname, else that of its key or login; requested tags count if it has none.
func (t *Tailnet) join(req *tailcfg.RegisterRequest, hostname string, k AuthKey, machine key.MachinePublic) (*Node, error) {
	id := k.Identity
	if r, ok := t.reserved[hostname]; ok && !k.lab {
		id = r
	}
	if len(id.Tags) == 0 && req.Hostinfo != nil {
		id.Tags = slices.Clone(req.Hostinfo.RequestTags)
	}
	n, err := t.add(hostname, id, machine, req.NodeKey)
	if err != nil {
		return nil, err
	}
	n.client = k.lab
	n.ephemeral = k.Ephemeral
	n.tc.MachineAuthorized = !t.approval || k.Preauthorized || k.lab
	return n, nil
}

func (t *Tailnet) logout(n *Node, at time.Time) {
	switch {
	case n == nil:
	case n.ephemeral:
		t.remove(n)
	default:
		n.tc.KeyExpiry = at
	}
}

// awaitLogin blocks until somebody completed or refused the login of that URL.
func (t *Tailnet) awaitLogin(ctx context.Context, url string) error {
	var login *Login
	t.Read(func() {
		for _, l := range t.pending {
			if l.URL == url {
				login = l
			}
		}
	})
	if login == nil {
		return nil // completed before, or never heard of: register decides
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-login.done:
	}
	if login.refused != "" {
		return errors.New(login.refused)
	}
	return nil
}

// CompleteLogin finishes the pending login with that URL or, with url empty,
// of that hostname. A non-empty refusal refuses it.
func (t *Tailnet) CompleteLogin(url, hostname, user, refusal string) error {
	return t.Update(func() error {
		for _, l := range t.pending {
			if (url != "" && l.URL == url || url == "" && l.Hostname == hostname) && !l.completed() {
				l.refused, l.user = refusal, user
				close(l.done)
				return nil
			}
		}
		return notFound("no such pending login")
	})
}
