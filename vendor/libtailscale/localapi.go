package main

// Questions and small commands to the node's own LocalAPI: its HTTP handler is
// called directly, in this process. No socket and no credentials exist that
// another process could reach, and no connection has to be kept or closed. The
// answer's status and body are passed on as they are; what they mean is for the
// other side to say.

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"tailscale.com/client/tailscale/apitype"
	"tailscale.com/ipn/localapi"
	"tailscale.com/tsnet"
)

const (
	localAPIRoot = "http://" + apitype.LocalAPIHost + "/localapi/v0/"
	// maxAnswer bounds an answer in memory; a status of thousands of peers is a
	// few megabytes.
	maxAnswer = 256 << 20
)

// tsnet keeps its LocalAPI handler to itself, but every endpoint is given it. So
// this endpoint of ours, asked once after the start, hands it over to whoever
// knows the token that was made for the purpose.
const handoverEndpoint = "libtailscale-handler"

var handovers sync.Map // token → chan *localapi.Handler

func init() {
	localapi.Register(handoverEndpoint, func(h *localapi.Handler, w http.ResponseWriter, r *http.Request) {
		waiting, ok := handovers.LoadAndDelete(r.FormValue("token"))
		if !ok {
			http.NotFound(w, r)
			return
		}
		waiting.(chan *localapi.Handler) <- h
	})
}

// localAPIHandler gets the handler of a server that has started.
func localAPIHandler(srv *tsnet.Server) (*localapi.Handler, error) {
	lc, err := srv.LocalClient()
	if err != nil {
		return nil, err
	}
	token := rand.Text()
	handed := make(chan *localapi.Handler, 1)
	handovers.Store(token, handed)
	defer handovers.Delete(token)

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, localAPIRoot+handoverEndpoint+"?token="+token, nil)
	if err != nil {
		return nil, err
	}
	req.Close = true
	res, err := lc.DoLocalRequest(req)
	if err != nil {
		return nil, fmt.Errorf("the node's LocalAPI does not answer: %w", err)
	}
	res.Body.Close()
	select {
	case h := <-handed:
		return h, nil
	default:
		return nil, fmt.Errorf("the node's LocalAPI does not know %s: %s", handoverEndpoint, res.Status)
	}
}

// localAPI makes one call. path is relative to the LocalAPI's root, with its
// query: "whois?addr=100.64.0.1". The timeout is a context's: endpoints that
// wait for something look at it.
func (n *node) localAPI(method, path, body string, timeout time.Duration) (status int, answer []byte, err error) {
	if timeout <= 0 {
		return -1, nil, errors.New("a LocalAPI call needs a positive timeout")
	}
	if _, err := n.begin(); err != nil {
		return -1, nil, err
	}
	defer n.calls.Done()
	ctx, cancel := context.WithTimeout(n.ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, localAPIRoot+strings.TrimPrefix(path, "/"), strings.NewReader(body))
	if err != nil {
		return -1, nil, err
	}

	// On this goroutine: it is bound to the C thread that called, and waiting for
	// another one would cost two switches of threads at every question.
	rec := &recorder{header: http.Header{}}
	n.api.ServeHTTP(rec, req)
	switch {
	case ctx.Err() != nil:
		return -1, nil, fmt.Errorf("%s %s: %w", method, req.URL.Path, ctx.Err())
	case rec.overflow:
		return -1, nil, fmt.Errorf("the answer to %s is larger than %d bytes", req.URL.Path, maxAnswer)
	case rec.status == 0:
		rec.status = http.StatusOK
	}
	return rec.status, rec.body.Bytes(), nil
}

// recorder keeps an answer. It can't flush, so endpoints that never end refuse
// to begin.
type recorder struct {
	header   http.Header
	status   int
	body     bytes.Buffer
	overflow bool
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

func (r *recorder) Write(data []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	if r.overflow = r.overflow || r.body.Len()+len(data) > maxAnswer; r.overflow {
		return 0, errors.New("the answer is too large")
	}
	return r.body.Write(data)
}
