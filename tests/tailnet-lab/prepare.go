// Owns the paths between clients and processes from outside: they are tried
// before anybody needs them, because a first handshake may get lost.
//
// In: the tailnet's events. Out: paths that clients know to work. It must not
// hold anything up for long: a process may not want to be reached.
package main

import (
	"context"
	"time"
)

const pathLimit = 3 * time.Second

// awaitPaths waits until the clients reach the processes from outside that
// are online.
func (l *Lab) awaitPaths(ctx context.Context, clients []string) {
	var outside []string
	l.tailnet.Read(func() {
		for _, n := range l.tailnet.nodes {
			if !n.client && n.ready() {
				outside = append(outside, n.host)
			}
		}
	})
	atOnce(len(clients), func(i int) {
		for _, name := range outside {
			l.awaitPath(ctx, clients[i], name)
		}
	})
}

// prepare keeps the paths between clients that serve and processes from
// outside known, as these will dial and may not know to wait.
func (l *Lab) prepare(ctx context.Context) {
	type pair struct{ client, outside string }
	done := map[pair]string{} // the path it was done for
	for {
		var next []pair
		err := l.tailnet.Await(ctx, func() bool {
			for _, c := range l.tailnet.nodes {
				for _, n := range l.tailnet.nodes {
					if !c.serves || n.client || !n.ready() {
						continue
					}
					p, path := pair{c.host, n.host}, route(c, n).Path
					if done[p] != path {
						done[p] = path
						next = append(next, p)
					}
				}
			}
			return len(next) > 0
		})
		if err != nil {
			return
		}
		for _, p := range next {
			go l.awaitPath(ctx, p.client, p.outside)
		}
	}
}

// awaitPath waits a while until a client reaches a process from outside,
// which may not want to be reached.
func (l *Lab) awaitPath(ctx context.Context, client, outside string) {
	if c := l.Client(client); c != nil {
		ctx, cancel := context.WithTimeout(ctx, pathLimit)
		defer cancel()
		c.awaitPath(ctx, outside)
	}
}
