// Owns the listening sockets that a fault may shut: control and relay.
//
// In: a loopback port taken once and kept for life, so that it can't pass to
// somebody else. Out: a net.Listener for an HTTP server. It must not know
// which protocol goes through it.
package main

import (
	"net"
	"sync"
)

// DoorState says what becomes of connections.
type DoorState int

// The states of a door. Both that are not open reset what was open before.
const (
	DoorOpen   DoorState = iota
	DoorSilent           // new connections get no answer until it opens
	DoorRefuse           // new connections are reset
)

// Door is a net.Listener that can be shut and opened again.
type Door struct {
	net.Listener
	mu     sync.Mutex
	moved  *sync.Cond
	state  DoorState
	closed bool
	conns  map[*doorConn]struct{}
}

// NewDoor listens on a free loopback port.
func NewDoor() (*Door, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d := &Door{Listener: ln, conns: map[*doorConn]struct{}{}}
	d.moved = sync.NewCond(&d.mu)
	return d, nil
}

// Accept returns the next connection that the door lets in.
func (d *Door) Accept() (net.Conn, error) {
	for {
		conn, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := d.admit(conn.(*net.TCPConn)); c != nil {
			return c, nil
		}
		abort(conn)
	}
}

func (d *Door) admit(conn *net.TCPConn) net.Conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.state == DoorSilent && !d.closed {
		d.moved.Wait()
	}
	if d.state == DoorRefuse || d.closed {
		return nil
	}
	c := &doorConn{conn, d}
	d.conns[c] = struct{}{}
	return c
}

// Set opens or shuts the door.
func (d *Door) Set(state DoorState) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.state = state
	if state != DoorOpen {
		for c := range d.conns {
			abort(c.TCPConn)
		}
		clear(d.conns)
	}
	d.moved.Broadcast()
}

// State tells how the door is.
func (d *Door) State() DoorState {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state
}

// Close gives the port back and resets what is open.
func (d *Door) Close() error {
	d.Set(DoorRefuse)
	d.mu.Lock()
	d.closed = true
	d.moved.Broadcast()
	d.mu.Unlock()
	return d.Listener.Close()
}

type doorConn struct {
	*net.TCPConn
	door *Door
}

func (c *doorConn) Close() error {
	c.door.mu.Lock()
	delete(c.door.conns, c)
	c.door.mu.Unlock()
	return c.TCPConn.Close()
}
