// Owns byte-for-byte forwarding between loopback and the tailnet, both ways.
//
// In: a loopback port (forward) or a tailnet port (serve). Out: the other.
// The end of one direction is passed on as a half-close, an error as a reset.
// It must not look at the bytes.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
)

// Forward opens a loopback port whose connections go to addr ("ai:80") on the
// tailnet, and returns its address.
func (c *Client) Forward(addr string) (string, error) {
	if _, _, err := splitTarget(addr); err != nil {
		return "", err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	c.onClose(ln.Close)
	go accept(ln, func() (net.Conn, error) { return c.dial(context.Background(), addr) })
	return ln.Addr().String(), nil
}

// Serve listens on a tailnet port and forwards to a loopback address.
func (c *Client) Serve(port uint16, target string) error {
	ap, err := netip.ParseAddrPort(target)
	if err != nil || !ap.Addr().IsLoopback() {
		return fmt.Errorf("target %q is not a loopback ip:port", target)
	}
	ln, err := c.ts.Listen("tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		return err
	}
	c.onClose(ln.Close)
	go accept(ln, func() (net.Conn, error) { return net.Dial("tcp", target) })
	return nil
}

func accept(ln net.Listener, dial func() (net.Conn, error)) {
	for {
		down, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			up, err := dial()
			if err != nil {
				abort(down)
				return
			}
			splice(down, down, up)
		}()
	}
}

// splice copies both ways until both are done.
func splice(down net.Conn, downReader io.Reader, up net.Conn) {
	var wg sync.WaitGroup
	one := func(dst net.Conn, src io.Reader) {
		if _, err := io.Copy(dst, src); err != nil && !errors.Is(err, io.EOF) {
			abort(down)
			abort(up)
		} else if half, ok := dst.(interface{ CloseWrite() error }); ok {
			half.CloseWrite()
		} else {
			dst.Close()
		}
	}
	wg.Go(func() { one(up, downReader) })
	one(down, up)
	wg.Wait()
	down.Close()
	up.Close()
}
