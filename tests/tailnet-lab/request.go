// Owns the HTTP/1.1 request that bursts and held streams send, and how it is
// filled in for one connection.
//
// In: a Request of the API. Out: its bytes. It must not read answers.
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

const burstTimeout = 10 * time.Second // of one connection

// Request is what is sent on a connection. In headers, body, path and in
// what is expected, {name} {ip} {port} {addr} {user} {fqdn} {id} stand for
// the calling node and connection.
type Request struct {
	Target    string            `json:"target"` // "ai:80"
	Method    string            `json:"method"`
	Path      string            `json:"path"`
	Headers   map[string]string `json:"headers"`
	Body      string            `json:"body"`
	TimeoutMS int64             `json:"timeout_ms"` // of one connection, default 10,000
}

// check fills in defaults and says what is wrong.
func (r *Request) check() error {
	if r.Method == "" {
		r.Method = http.MethodGet
	}
	if r.Path == "" {
		r.Path = "/"
	}
	if !strings.HasPrefix(r.Path, "/") {
		return errors.New("path must begin with /")
	}
	_, _, err := splitTarget(r.Target)
	return err
}

func (r *Request) timeout() time.Duration {
	if r.TimeoutMS > 0 {
		return time.Duration(r.TimeoutMS) * time.Millisecond
	}
	return burstTimeout
}

// placeholders replaces {ip} and the like by what is true of this connection.
func (c *Client) placeholders(conn net.Conn) *strings.Replacer {
	addr := conn.LocalAddr().String()
	ip, port, _ := net.SplitHostPort(addr)
	pairs := []string{"{name}", c.Name, "{ip}", ip, "{port}", port, "{addr}", addr}
	c.tailnet.Read(func() {
		if n := c.tailnet.node(c.Name); n != nil {
			pairs = append(pairs, "{user}", n.User, "{fqdn}", n.tc.Name, "{id}", string(n.tc.StableID))
		}
	})
	return strings.NewReplacer(pairs...)
}

func writeRequest(w io.Writer, r *Request, fill *strings.Replacer, serverCloses bool) error {
	var head strings.Builder
	body := fill.Replace(r.Body)
	fmt.Fprintf(&head, "%s %s HTTP/1.1\r\n", r.Method, fill.Replace(r.Path))
	names := map[string]bool{}
	for name, value := range r.Headers {
		names[strings.ToLower(name)] = true
		fmt.Fprintf(&head, "%s: %s\r\n", name, fill.Replace(value))
	}
	if !names["host"] {
		host, port, _ := net.SplitHostPort(r.Target)
		if port != "80" {
			host = r.Target
		}
		fmt.Fprintf(&head, "Host: %s\r\n", host)
	}
	if body != "" && !names["content-length"] && !names["transfer-encoding"] {
		fmt.Fprintf(&head, "Content-Length: %d\r\n", len(body))
	}
	if serverCloses && !names["connection"] {
		head.WriteString("Connection: close\r\n")
	}
	head.WriteString("\r\n" + body)
	if _, err := io.WriteString(w, head.String()); err != nil {
		return fmt.Errorf("request: %w", err)
	}
	return nil
}
