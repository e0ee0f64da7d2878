package main

// Questions and small commands to the node's own LocalAPI. They go over an
// in-memory pipe inside this process: no socket, no credentials, nothing that
// another process could reach. The answer's status and body are passed on as
// they are; what they mean is for the other side to say.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tailscale.com/client/tailscale/apitype"
	"tailscale.com/tailcfg"
	"tailscale.com/tsnet"
)

const (
	localAPIPrefix = "http://" + apitype.LocalAPIHost + "/localapi/v0/"
	// maxAnswer bounds an answer in memory; a status of thousands of peers is a
	// few megabytes.
	maxAnswer = 256 << 20
)

// localClient makes a client of our own over tsnet's in-memory dialer: tsnet's
// client keeps two idle connections and cannot be told to drop them, which
// delays closing by seconds.
func localClient(srv *tsnet.Server) (*http.Client, error) {
	lc, err := srv.LocalClient()
	if err != nil {
		return nil, err
	}
	if lc.Dial == nil {
		return nil, errors.New("tsnet's LocalAPI client has no in-memory dialer")
	}
	return &http.Client{
		Transport: &http.Transport{
			DialContext:         lc.Dial,
			MaxIdleConnsPerHost: 32,
			DisableCompression:  true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// localAPI makes one call. path is relative to the LocalAPI's root, with its
// query: "whois?addr=100.64.0.1".
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

	res, err := n.localRequest(ctx, method, path, strings.NewReader(body))
	if err != nil {
		return -1, nil, err
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return -1, nil, err
	}
	if len(answer) > maxAnswer {
		return -1, nil, fmt.Errorf("the answer to %s is larger than %d bytes", path, maxAnswer)
	}
	return res.StatusCode, answer, nil
}

func (n *node) localRequest(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, localAPIPrefix+strings.TrimPrefix(path, "/"), body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Tailscale-Cap", strconv.Itoa(int(tailcfg.CurrentCapabilityVersion)))
	return n.api.Do(req)
}
