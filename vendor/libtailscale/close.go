package main

// Closing a node, in every state: never started, start failed or still under
// way, waiting for login, running. Order matters. tsnet waits 5 s for a bus
// watch or a LocalAPI call that is still open, so those end first; then the
// descriptors on the other side see their end; then the server goes. All of it
// within a limit, because tsnet's own Close has none.

import (
	"errors"
	"fmt"
	"time"

	"tailscale.com/tsnet"
)

// closeLimit bounds tailscale_close as a whole, below the 10 s it promises.
const closeLimit = 9 * time.Second

var errCloseTimeout = errors.New("closing took too long and was abandoned; the process should end")

func (n *node) close(limit time.Duration) error {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()

	n.mu.Lock()
	if n.phase == closed {
		n.mu.Unlock()
		return errClosed
	}
	n.phase = closed
	srv, startEnd := n.srv, n.startEnd
	open := n.open
	n.open = map[*resource]struct{}{}
	n.mu.Unlock()

	n.cancel()
	for r := range open {
		r.close()
	}
	defer n.logs.close()

	if startEnd != nil {
		select {
		case <-startEnd:
		case <-deadline.C:
			return fmt.Errorf("start is still under way: %w", errCloseTimeout)
		}
		n.mu.Lock()
		srv = n.srv // a start under way may have set it since
		n.mu.Unlock()
	}
	if srv == nil {
		return nil
	}
	done := make(chan error, 1)
	go func() {
		n.calls.Wait()
		done <- protect(func() error { return closeServer(srv) })
	}()
	select {
	case err := <-done:
		return err
	case <-deadline.C:
		return errCloseTimeout
	}
}

// closeServer closes a server whose Start has returned, with or without error.
func closeServer(srv *tsnet.Server) error {
	if srv.Sys() == nil {
		// Start failed before it made anything; Close would panic.
		return nil
	}
	return srv.Close()
}
