// Owns the map polls: the long-lived request on which a node is told the
// netmap and its changes, and the short one with which it tells about itself.
//
// In: map requests of control.go, wake-ups of tailnet.go. Out: messages in
// order, slowed down if a fault says so. It must not know the wire format.
package main

import (
	"context"
	"errors"
	"time"

	"tailscale.com/tailcfg"
)

const keepAliveInterval = 45 * time.Second

// poll is one open map request of a node.
type poll struct {
	node   *Node
	wake   chan struct{}
	cancel context.CancelFunc
	gen    int                     // of the last view written
	forget map[tailcfg.NodeID]bool // peers to be told of anew
}

func (p *poll) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// sender is where map messages go.
type sender interface {
	Send(*tailcfg.MapResponse) error
}

var errUnknownNode = errors.New("unknown node")

// ServeMap answers one map request.
func (t *Tailnet) ServeMap(ctx context.Context, w sender, req *tailcfg.MapRequest) error {
	if !req.Stream {
		if err := t.updateFromNode(req); err != nil || req.OmitPeers {
			return err
		}
		var msg *tailcfg.MapResponse // a one-off netmap
		t.Read(func() {
			if n := t.nodeByKey(req.NodeKey); n != nil {
				msg = t.full(t.viewOf(n))
			}
		})
		if msg == nil {
			return errUnknownNode
		}
		return w.Send(msg)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := &poll{wake: make(chan struct{}, 1), cancel: cancel}
	if err := t.openPoll(p, req); err != nil {
		return err
	}
	defer t.closePoll(p)
	return t.run(ctx, p, w)
}

func (t *Tailnet) openPoll(p *poll, req *tailcfg.MapRequest) error {
	return t.Update(func() error {
		n := t.nodeByKey(req.NodeKey)
		if n == nil {
			return errUnknownNode
		}
		t.endPolls(n) // a node has one poll; the new one wins
		p.node = n
		n.polls++
		n.session++
		t.polls[p] = struct{}{}
		return nil
	})
}

// closePoll ends a poll. An ephemeral node stays until it logs out or is removed.
func (t *Tailnet) closePoll(p *poll) {
	t.Update(func() error {
		delete(t.polls, p)
		p.node.polls--
		return nil
	})
}

// endPolls cancels the open polls of n. The lock is held.
func (t *Tailnet) endPolls(n *Node) {
	for p := range t.polls {
		if p.node == n {
			p.cancel()
		}
	}
}

// run sends the node its netmap and then every change, until ctx ends.
func (t *Tailnet) run(ctx context.Context, p *poll, w sender) error {
	keepAlive := time.NewTicker(keepAliveInterval)
	defer keepAlive.Stop()
	var last *sent
	for {
		var v *view
		var delta, keepPaths bool
		var delay time.Duration
		var forget map[tailcfg.NodeID]bool
		t.Read(func() {
			v, delta, keepPaths, delay = t.viewOf(p.node), t.delta, t.keepPaths, t.delayOf(p.node)
			forget, p.forget = p.forget, nil
		})
		now := sentOf(v)
		var msgs []*tailcfg.MapResponse
		if last == nil {
			msgs = append(msgs, t.full(v))
		} else {
			// A process that started again: its peers would trust its old UDP
			// port for another 6 s, so make them forget it first.
			if ids := last.forget(v, forget, delta && !keepPaths); ids != nil {
				msgs = append(msgs, &tailcfg.MapResponse{PeersRemoved: ids})
			}
			if d := last.diff(v, now); d != nil && delta {
				msgs = append(msgs, d)
			} else if d != nil {
				msgs = append(msgs, t.full(v))
			}
		}
		if len(msgs) > 0 && delay > 0 {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(delay):
			}
		}
		for _, m := range msgs {
			if err := w.Send(m); err != nil {
				return err
			}
		}
		last = now
		t.Read(func() {
			p.gen = v.gen
			t.broadcast()
		})
		select {
		case <-ctx.Done():
			return nil
		case <-p.wake:
		case <-keepAlive.C:
			if err := w.Send(&tailcfg.MapResponse{KeepAlive: true}); err != nil {
				return err
			}
		}
	}
}

// Relearn makes a node forget a peer and learn of it again.
func (t *Tailnet) Relearn(name, peer string) {
	t.Update(func() error {
		n := t.node(peer)
		for p := range t.polls {
			if n != nil && p.node.host == name {
				p.forget = map[tailcfg.NodeID]bool{n.tc.ID: true}
			}
		}
		return nil
	})
}

// updateFromNode stores what a node tells about itself.
func (t *Tailnet) updateFromNode(req *tailcfg.MapRequest) error {
	if req.ReadOnly {
		return nil
	}
	return t.Update(func() error {
		n := t.nodeByKey(req.NodeKey)
		if n == nil {
			return errUnknownNode
		}
		n.tc.DiscoKey = req.DiscoKey
		n.tc.Cap = req.Version
		n.tc.Endpoints = nil
		for _, ep := range req.Endpoints {
			if ep.Addr().Zone() == "" && !ep.Addr().IsLinkLocalUnicast() {
				n.tc.Endpoints = append(n.tc.Endpoints, ep)
			}
		}
		if hi := req.Hostinfo; hi != nil {
			n.tc.Hostinfo = hi.View()
			if hi.NetInfo != nil && hi.NetInfo.PreferredDERP != 0 {
				n.tc.HomeDERP = hi.NetInfo.PreferredDERP
			}
		}
		return nil
	})
}
