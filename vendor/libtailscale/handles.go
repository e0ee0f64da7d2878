package main

// Handles: small integers that C code holds in place of pointers. A handle is
// never a descriptor's number and is never given out twice, so a stale one can
// only ever miss. Each node keeps the text of its last failed set-up call.

import (
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
)

var (
	errUnknownHandle = errors.New("unknown handle")
	errNullArgument  = errors.New("a required argument is NULL")
	errClosed        = errors.New("the node is closed")
	errNotStarted    = errors.New("the node has not been started")
	errStarted       = errors.New("the node has been started already")
)

var handles = struct {
	sync.Mutex
	next  int
	nodes map[int]*node
}{next: 1, nodes: map[int]*node{}}

// newHandle registers a fresh node and returns its handle.
func newHandle() int {
	handles.Lock()
	defer handles.Unlock()
	handle := handles.next
	handles.next++
	handles.nodes[handle] = newNode()
	return handle
}

func lookup(handle int) (*node, error) {
	handles.Lock()
	defer handles.Unlock()
	if n := handles.nodes[handle]; n != nil {
		return n, nil
	}
	return nil, errUnknownHandle
}

// closeHandle closes the node and forgets its handle. A node that could not be
// closed in time keeps its handle, so that the reason can still be read.
func closeHandle(handle int) error {
	n, err := lookup(handle)
	if err != nil {
		return err
	}
	if err := n.close(closeLimit); err != nil {
		n.setLastError(err)
		return err
	}
	handles.Lock()
	defer handles.Unlock()
	delete(handles.nodes, handle)
	return nil
}

// lastError is the text of the last failed set-up call on handle.
func lastError(handle int) string {
	n, err := lookup(handle)
	if err != nil {
		return err.Error()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lastErr
}

func (n *node) setLastError(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lastErr = err.Error()
}

// protect runs f and turns a panic into an error: a panic that left a goroutine
// or an exported function would end the whole process.
func protect(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	return f()
}

// spawn runs f on its own goroutine; a panic in it is logged, and cleanup runs
// in any case.
func (n *node) spawn(cleanup func(), f func() error) {
	go func() {
		defer cleanup()
		if err := protect(f); err != nil {
			n.logs.backend("libtailscale: %v", err)
		}
	}()
}
