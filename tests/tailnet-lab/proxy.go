// Owns the HTTP proxy of a client: CONNECT and absolute URLs.
//
// In: requests of curl, SDKs, browsers on a loopback port. Out: the same
// bytes, through the client's node. Each connection to the proxy has its own
// connection to the tailnet, kept as long. It must not change or add headers.
package main

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
)

// headers that ReverseProxy takes away and a transparent proxy must not
var forwarded = []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func newProxy(c *Client) *http.Server {
	type transportKey struct{}
	var transports sync.Map // net.Conn -> *http.Transport
	plain := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.Host = r.In.Host
			r.Out.URL.RawQuery = r.In.URL.RawQuery
			for _, h := range forwarded {
				if v, ok := r.In.Header[h]; ok {
					r.Out.Header[h] = v
				}
			}
		},
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0),
		Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			return r.Context().Value(transportKey{}).(*http.Transport).RoundTrip(r)
		}),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			w.Header().Set("X-Lab-Proxy-Error", err.Error())
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	dial := func(ctx context.Context, _, addr string) (net.Conn, error) { return c.dial(ctx, addr) }
	return &http.Server{
		ErrorLog: log.New(io.Discard, "", 0),
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			tr := &http.Transport{DialContext: dial, DisableCompression: true, MaxConnsPerHost: 1}
			transports.Store(conn, tr)
			return context.WithValue(ctx, transportKey{}, tr)
		},
		ConnState: func(conn net.Conn, st http.ConnState) {
			if st == http.StateClosed || st == http.StateHijacked {
				if tr, ok := transports.LoadAndDelete(conn); ok {
					tr.(*http.Transport).CloseIdleConnections()
				}
			}
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method == http.MethodConnect:
				tunnel(c, w, r)
			case r.URL.Host == "":
				http.Error(w, "this is a proxy", http.StatusBadRequest)
			default:
				// Full duplex: a streamed upload and its response may overlap.
				http.NewResponseController(w).EnableFullDuplex()
				plain.ServeHTTP(w, r)
			}
		}),
	}
}

// tunnel answers CONNECT.
func tunnel(c *Client, w http.ResponseWriter, r *http.Request) {
	up, err := c.dial(r.Context(), r.Host)
	if err != nil {
		w.Header().Set("X-Lab-Proxy-Error", err.Error())
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	down, buf, err := w.(http.Hijacker).Hijack()
	if err != nil {
		abort(up)
		return
	}
	io.WriteString(down, "HTTP/1.1 200 OK\r\n\r\n")
	splice(down, buf.Reader, up)
}
