// Owns the frame of the JSON API: routing, decoding, errors, and the promise
// that a change is answered once it is written to all nodes that are online.
//
// In: HTTP on loopback. Out: JSON with a proper status; every error has an
// "error" text. What the calls do is in api_tailnet.go (the world),
// api_nodes.go (one node) and api_load.go (bursts, streams, pings).
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"runtime/debug"
	"time"
)

const (
	flushLimit = 2 * time.Second
	maxBody    = 16 << 20
)

// API is the handler of all calls.
type API struct {
	lab     *Lab
	tailnet *Tailnet
	mux     *http.ServeMux
}

// NewAPI makes the API of a lab.
func NewAPI(l *Lab) *API {
	a := &API{lab: l, tailnet: l.tailnet, mux: http.NewServeMux()}
	a.tailnetCalls()
	a.nodeCalls()
	a.loadCalls()
	a.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, notFound("no call %s %s", r.Method, r.URL.Path))
	})
	return a
}

func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if e := recover(); e != nil {
			log.Printf("api: %v\n%s", e, debug.Stack())
			writeError(w, statusError{http.StatusInternalServerError, fmt.Sprint(e)})
		}
	}()
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	a.mux.ServeHTTP(w, r)
}

// fields is what a call answers besides "ok".
type fields map[string]any

// ask registers a call that changes nothing: its answer is out itself.
func (a *API) ask(pattern string, f func(r *http.Request) (out any, err error)) {
	a.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		out, err := f(r)
		if err != nil {
			writeError(w, err)
			return
		}
		writeJSON(w, http.StatusOK, out)
	})
}

// change registers a call that changes the world. It answers {"ok": true},
// more fields if there are any, and "behind" with the names of nodes that
// are online but did not take the change in time.
func (a *API) change(pattern string, f func(r *http.Request) (fields, error)) {
	a.ask(pattern, func(r *http.Request) (any, error) {
		more, err := f(r)
		if err != nil {
			return nil, err
		}
		out := fields{"ok": true}
		maps.Copy(out, more)
		if behind := a.tailnet.Flush(r.Context(), flushLimit); len(behind) > 0 {
			out["behind"] = behind
		}
		return out, nil
	})
}

// changeNode registers a change of one node, done under the tailnet's lock.
// body is false if there was none.
func changeNode[T any](a *API, pattern string, f func(n *Node, in T, body bool) error) {
	a.change(pattern, func(r *http.Request) (fields, error) {
		var in T
		body, err := decodeMaybe(r, &in)
		if err != nil {
			return nil, err
		}
		return nil, a.tailnet.Update(func() error {
			n := a.tailnet.node(r.PathValue("name"))
			if n == nil {
				return notFound("no node %q", r.PathValue("name"))
			}
			return f(n, in, body)
		})
	})
}

// changeTailnet registers a change of the tailnet, done under its lock.
func changeTailnet[T any](a *API, pattern string, f func(t *Tailnet, in T) error) {
	a.change(pattern, func(r *http.Request) (fields, error) {
		var in T
		if err := decode(r, &in); err != nil {
			return nil, err
		}
		return nil, a.tailnet.Update(func() error { return f(a.tailnet, in) })
	})
}

// decode reads a JSON body.
func decode(r *http.Request, in any) error {
	body, err := decodeMaybe(r, in)
	if err == nil && !body {
		err = errors.New("the call needs a JSON body")
	}
	return err
}

// decodeMaybe reads a JSON body if there is one.
func decodeMaybe(r *http.Request, in any) (bool, error) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return false, err
	}
	if len(bytes.TrimSpace(b)) == 0 {
		return false, nil
	}
	if err := json.Unmarshal(b, in); err != nil {
		return false, fmt.Errorf("bad body: %w", err)
	}
	return true, nil
}

// decodeStrict reads a JSON body and refuses keys it does not know: for the
// calls with so many options that a misspelt one would go unnoticed.
func decodeStrict(r *http.Request, in any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(in); err != nil {
		return fmt.Errorf("bad body: %w", err)
	}
	return nil
}

// statusError is an error with the HTTP status it means.
type statusError struct {
	status int
	text   string
}

func (e statusError) Error() string { return e.text }

func notFound(format string, a ...any) error {
	return statusError{http.StatusNotFound, fmt.Sprintf(format, a...)}
}

func conflict(format string, a ...any) error {
	return statusError{http.StatusConflict, fmt.Sprintf(format, a...)}
}

func tooLate(format string, a ...any) error {
	return statusError{http.StatusGatewayTimeout, fmt.Sprintf(format, a...)}
}

func writeError(w http.ResponseWriter, err error) {
	status := http.StatusBadRequest
	var e statusError
	if errors.As(err, &e) {
		status = e.status
	}
	writeJSON(w, status, map[string]string{"error": err.Error()})
}
