// Owns the listening sockets that a fault may shut: control and relay.
//
// In: a loopback port taken once and kept for life. Out: a net.Listener for an
// HTTP server. While shut, open connections are reset and new ones are reset
// as soon as they are accepted, so the port can never pass to somebody else.
// It must not know which protocol goes through it.
package main

import (
	"net"
	"sync"
)

// Door is a net.Listener that can be shut and opened again.
type Door struct {
	net.Listener
	mu   sync.Mutex
	shut bool
	open map[*doorConn]struct{}
}

// NewDoor listens on a free loopback port.
func NewDoor() (*Door, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return &Door{Listener: ln, open: map[*doorConn]struct{}{}}, nil
}

// Accept returns the next connection that arrives while the door is open.
func (d *Door) Accept() (net.Conn, error) {
	for {
		conn, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &doorConn{conn.(*net.TCPConn), d}
		d.mu.Lock()
		shut := d.shut
		if !shut {
			d.open[c] = struct{}{}
		}
		d.mu.Unlock()
		if !shut {
			return c, nil
		}
		abort(conn)
	}
}

// Shut resets every open connection and all that come later, or lets new
// ones in again.
func (d *Door) Shut(shut bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shut = shut
	if shut {
		for c := range d.open {
			abort(c.TCPConn)
		}
		clear(d.open)
	}
}

// IsShut reports the fault.
func (d *Door) IsShut() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.shut
}

type doorConn struct {
	*net.TCPConn
	door *Door
}

func (c *doorConn) Close() error {
	c.door.mu.Lock()
	delete(c.door.open, c)
	c.door.mu.Unlock()
	return c.TCPConn.Close()
}
