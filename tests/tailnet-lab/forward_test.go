// Tests of the ways bytes go between loopback and the tailnet, and of the
// program itself.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestServeAndForward(t *testing.T) {
	f := startLab(t)
	g := f.joinGateway()
	model := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "a model") }))
	defer model.Close()
	target := strings.TrimPrefix(model.URL, "http://")
	f.post("/nodes", map[string]any{"name": "gpu", "tags": []string{"tag:model"}, "serve": map[string]string{"8000": target}})
	// The gateway reaches what a client serves.
	start := time.Now()
	rsp, err := g.ts.HTTPClient().Get("http://gpu:8000/")
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(rsp.Body)
	rsp.Body.Close()
	if string(b) != "a model" || time.Since(start) > 3*time.Second {
		t.Errorf("%q after %v", b, time.Since(start))
	}
	// A loopback port leads to the gateway, as bob.
	listen := f.post("/nodes/bob/forward", "ai:80")["listen"].(string)
	rsp, err = http.Get("http://" + listen + "/whoami")
	if err != nil {
		t.Fatal(err)
	}
	defer rsp.Body.Close()
	var who whoami
	if err := json.NewDecoder(rsp.Body).Decode(&who); err != nil || who.Login != "bob@example.com" {
		t.Errorf("through the forward: %+v, %v", who, err)
	}
	f.call(http.StatusBadRequest, "POST", "/nodes/bob/forward", "ai")
	f.call(http.StatusBadRequest, "POST", "/nodes/bob/serve", map[string]string{"80": "10.0.0.1:80"})
	f.call(http.StatusConflict, "POST", "/nodes/ai/forward", "alice:80")
}

// A client that shuts its write side still gets the whole answer, by CONNECT
// and by a forward.
func TestHalfClose(t *testing.T) {
	f := startLab(t)
	g := f.joinGateway()
	ln, err := g.ts.Listen("tcp", ":90")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			b, _ := io.ReadAll(conn)
			io.WriteString(conn, "got "+string(b))
			conn.Close()
		}
	}()
	check := func(conn net.Conn, r io.Reader) {
		t.Helper()
		defer conn.Close()
		io.WriteString(conn, "all")
		conn.(*net.TCPConn).CloseWrite()
		if b, err := io.ReadAll(r); string(b) != "got all" || err != nil {
			t.Errorf("answer %q, %v", b, err)
		}
	}
	conn, err := net.Dial("tcp", f.post("/nodes/alice/forward", "ai:90")["listen"].(string))
	if err != nil {
		t.Fatal(err)
	}
	check(conn, conn)
	conn, err = net.Dial("tcp", strings.TrimPrefix(f.lab.Client("alice").Proxy, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(conn, "CONNECT ai:90 HTTP/1.1\r\nHost: ai:90\r\n\r\n")
	r := bufio.NewReader(conn)
	rsp, err := http.ReadResponse(r, &http.Request{Method: "CONNECT"})
	if err != nil || rsp.StatusCode != http.StatusOK {
		t.Fatalf("CONNECT: %v %v", rsp, err)
	}
	check(conn, r)
}

func TestAPIErrors(t *testing.T) {
	f := startLab(t)
	f.call(http.StatusNotFound, "GET", "/nothing", nil)
	f.call(http.StatusNotFound, "GET", "/nodes/alice/user", nil)
	f.call(http.StatusNotFound, "POST", "/nodes/nobody/tags", []string{})
	f.call(http.StatusBadRequest, "POST", "/nodes/alice/tags", "not a list")
	f.call(http.StatusBadRequest, "POST", "/grants", nil)
	f.call(http.StatusBadRequest, "POST", "/nodes", map[string]any{"user": "x@example.com"})
	f.call(http.StatusBadRequest, "GET", "/await?node=alice&is=happy", nil)
	f.call(http.StatusGatewayTimeout, "GET", "/await?node=alice&is=offline&timeout_ms=20", nil)
}

// The program announces itself in one line and ends with its stdin.
func TestProgram(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, Options{}, "topology.json", w) }()
	var ready struct {
		Ready              bool
		ControlURL, APIURL string
		Proxies            map[string]string
		Nodes              []NodeState
		Ms                 *float64
	}
	if err := json.NewDecoder(r).Decode(&ready); err != nil {
		t.Fatal(err)
	}
	if !ready.Ready || ready.ControlURL == "" || ready.APIURL == "" || ready.Proxies["alice"] == "" || len(ready.Nodes) != 3 || ready.Ms == nil {
		t.Errorf("ready line: %+v", ready)
	}
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("it does not end")
	}
}
