// Command go-proxy is what the gateway is measured against on the tailnet: Go's own reverse proxy on a node of its own, which asks
// who is calling for every request, or (with -copy) a node that copies bytes and asks nothing, the floor of what any node costs.
//
// In: the flags. Out: a line of JSON on stdout when it serves port 80 of the tailnet. It ends with its stdin.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"

	"tailscale.com/tsnet"
)

func main() {
	var (
		hostname = flag.String("hostname", "go", "name on the tailnet")
		dir      = flag.String("dir", "", "where the node keeps its state")
		control  = flag.String("control-url", "", "the control server")
		keyFile  = flag.String("auth-key-file", "", "a file with the auth key")
		upstream = flag.String("upstream", "", "http://address:port of what is called")
		copies   = flag.Bool("copy", false, "copy bytes, ask nothing")
	)
	flag.Parse()
	key, err := os.ReadFile(*keyFile)
	if err != nil {
		log.Fatal(err)
	}
	target, err := url.Parse(*upstream)
	if err != nil {
		log.Fatal(err)
	}
	node := &tsnet.Server{
		Hostname:   *hostname,
		Dir:        *dir,
		ControlURL: *control,
		AuthKey:    strings.TrimSpace(string(key)),
		Logf:       func(string, ...any) {},
	}
	if _, err := node.Up(context.Background()); err != nil {
		log.Fatal(err)
	}
	listener, err := node.Listen("tcp", ":80")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(`{"ready": true}`)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	if *copies {
		log.Fatal(copyAll(listener, target.Host))
	}
	log.Fatal(proxy(node, listener, target))
}

// copyAll joins each connection with one to the address.
func copyAll(listener net.Listener, address string) error {
	for {
		client, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer client.Close()
			server, err := net.Dial("tcp", address)
			if err != nil {
				return
			}
			defer server.Close()
			go func() {
				_, _ = io.Copy(server, client)
				server.Close()
			}()
			_, _ = io.Copy(client, server)
		}()
	}
}

// proxy serves net/http's reverse proxy, as its documentation shows it: pooled connections, flushed at once, and a WhoIs for
// each request.
func proxy(node *tsnet.Server, listener net.Listener, target *url.URL) error {
	local, err := node.LocalClient()
	if err != nil {
		return err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 256
	transport.MaxIdleConns = 256
	reverse := &httputil.ReverseProxy{
		Rewrite: func(request *httputil.ProxyRequest) {
			request.SetURL(target)
		},
		Transport:     transport,
		FlushInterval: -1,
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, err := local.WhoIs(r.Context(), r.RemoteAddr)
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		r.Header.Set("X-Caller", who.UserProfile.LoginName)
		reverse.ServeHTTP(w, r)
	})
	return http.Serve(listener, handler)
}
