package main

// Where the node's key and profile are kept: in the state directory, or in a
// Kubernetes Secret. A Secret survives a pod that has no volume, and the library
// talks to the API server as the pod's service account.

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"tailscale.com/ipn"
	"tailscale.com/ipn/store"
	"tailscale.com/ipn/store/kubestore"
	"tailscale.com/types/logger"
)

const kubePrefix = "kube:"

func setStore(s *settings, text string) error {
	if name, ok := strings.CutPrefix(text, kubePrefix); !ok || name == "" {
		return fmt.Errorf("store %q is unknown: it is %sSECRET", text, kubePrefix)
	}
	s.store = text
	return nil
}

// isRegistered reports whether the node has been registered before, by what is
// kept of it. Without a store of its own tsnet keeps a file in the directory.
func isRegistered(dir string, kept ipn.StateStore) bool {
	if kept == nil {
		var err error
		kept, err = store.New(logger.Discard, filepath.Join(dir, "tailscaled.state"))
		if err != nil {
			return false
		}
	}
	profile, err := kept.ReadState(ipn.CurrentProfileStateKey)
	return err == nil && len(profile) > 0
}

// openStore is nil without a setting: tsnet then keeps a file in its directory.
func (n *node) openStore(text string) (ipn.StateStore, error) {
	if text == "" {
		return nil, nil
	}
	name := strings.TrimPrefix(text, kubePrefix)
	// Asks the API server without a deadline of its own, so it gets the node's:
	// whoever closes the node does not wait for an answer that never comes.
	type result struct {
		store *kubestore.Store
		err   error
	}
	opened := make(chan result, 1)
	go func() {
		var r result
		r.err = protect(func() (err error) {
			r.store, err = kubestore.New(n.logs.backend, name)
			return err
		})
		opened <- r
	}()
	select {
	case r := <-opened:
		if r.err != nil {
			return nil, fmt.Errorf("Secret %q: %w", name, r.err)
		}
		return r.store, nil
	case <-n.ctx.Done():
		return nil, errors.Join(errClosed, n.ctx.Err())
	}
}
