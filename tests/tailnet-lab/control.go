// Owns the HTTP side of the control server: its key, the Noise upgrade, and
// the wire format of what goes through it.
//
// In: connections of nodes. Out: calls of Register and ServeMap. Unlike
// upstream's testcontrol it answers 404 to what it does not know. It must not
// decide anything about nodes.
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"golang.org/x/net/http2"
	"tailscale.com/control/controlhttp/controlhttpserver"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
	"tailscale.com/util/zstdframe"
)

const maxRequest = 1 << 20

// Control is the front of the coordination server.
type Control struct {
	tailnet *Tailnet
	private key.MachinePrivate
	outer   *http.ServeMux
	inner   *http.ServeMux // inside Noise
}

type machineKey struct{}

// NewControl makes the front of t.
func NewControl(t *Tailnet) *Control {
	c := &Control{tailnet: t, private: key.NewMachine(), outer: http.NewServeMux(), inner: http.NewServeMux()}
	legacy := key.NewMachine().Public()
	c.outer.HandleFunc("/key", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, tailcfg.OverTLSPublicKeyResponse{LegacyPublicKey: legacy, PublicKey: c.private.Public()})
	})
	c.outer.HandleFunc("/ts2021", c.noise)
	c.outer.HandleFunc("/generate_204", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	oauth(t, c.outer)
	c.inner.HandleFunc("POST /machine/register", c.register)
	c.inner.HandleFunc("POST /machine/map", c.machineMap)
	c.inner.HandleFunc("POST /machine/set-dns", c.setDNS)
	c.inner.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // update-health, audit-log, ..
		w.WriteHeader(http.StatusNotFound)
	})
	return c
}

func (c *Control) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.outer.ServeHTTP(w, r) }

func (c *Control) noise(w http.ResponseWriter, r *http.Request) {
	conn, err := controlhttpserver.AcceptHTTP(r.Context(), w, r, c.private, nil)
	if err != nil {
		return // it has answered; a fault or a departing node, nothing to tell
	}
	defer conn.Close()
	(&http2.Server{}).ServeConn(conn, &http2.ServeConnOpts{
		Context:    context.WithValue(r.Context(), machineKey{}, conn.Peer()),
		BaseConfig: &http.Server{Handler: c.inner},
	})
}

func (c *Control) register(w http.ResponseWriter, r *http.Request) {
	var req tailcfg.RegisterRequest
	if err := json.NewDecoder(io.LimitReader(r.Body, maxRequest)).Decode(&req); err != nil || req.NodeKey.IsZero() {
		http.Error(w, "bad register request", http.StatusBadRequest)
		return
	}
	machine, _ := r.Context().Value(machineKey{}).(key.MachinePublic)
	rsp, err := c.tailnet.Register(r.Context(), &req, machine)
	if err != nil {
		rsp = &tailcfg.RegisterResponse{Error: err.Error()}
	}
	writeJSON(w, http.StatusOK, rsp)
}

func (c *Control) machineMap(w http.ResponseWriter, r *http.Request) {
	var req tailcfg.MapRequest
	if err := json.NewDecoder(io.LimitReader(r.Body, maxRequest)).Decode(&req); err != nil {
		http.Error(w, "bad map request", http.StatusBadRequest)
		return
	}
	err := c.tailnet.ServeMap(r.Context(), &mapWriter{w, req.Compress != ""}, &req)
	if errors.Is(err, errUnknownNode) {
		http.Error(w, err.Error(), http.StatusUnauthorized)
	}
}

// setDNS keeps a record that proves to an issuer whose name it is.
func (c *Control) setDNS(w http.ResponseWriter, r *http.Request) {
	var req tailcfg.SetDNSRequest
	if err := json.NewDecoder(io.LimitReader(r.Body, maxRequest)).Decode(&req); err != nil {
		http.Error(w, "bad set-dns request", http.StatusBadRequest)
		return
	}
	if err := c.tailnet.SetRecord(&req); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	writeJSON(w, http.StatusOK, tailcfg.SetDNSResponse{})
}

// mapWriter frames map messages: length, then maybe zstd, JSON.
type mapWriter struct {
	w    http.ResponseWriter
	zstd bool
}

func (m *mapWriter) Send(msg *tailcfg.MapResponse) error {
	b := mustJSON(msg)
	if m.zstd {
		b = zstdframe.AppendEncode(nil, b, zstdframe.FastestCompression)
	}
	frame := binary.LittleEndian.AppendUint32(make([]byte, 0, 4+len(b)), uint32(len(b)))
	if _, err := m.w.Write(append(frame, b...)); err != nil {
		return err
	}
	return http.NewResponseController(m.w).Flush()
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}
