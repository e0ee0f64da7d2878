// Owns bursts: many short connections through one or many clients, each with
// one HTTP/1.1 request, without a proxy in between, and the count of what
// came back.
//
// In: a Burst. Out: a BurstReport. "Mismatched" is an answer that does not
// contain what this very connection expects, so one call can prove that no
// peer is taken for another. It must not know what the target is.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	slowLimit      = 500 * time.Millisecond
	burstTimeout   = 10 * time.Second // of one connection
	pathTimeout    = 30 * time.Second // before the first, with everybody at once
	maxBursts      = 1000000
	maxParallel    = 4096
	maxDistinct    = 1000 // bodies, errors
	maxBodyShown   = 2000
	maxSamples     = 10
	maxAnswer      = 8 << 20
	answerBuffer   = 1 << 10
	moreDistinct   = "(other)"
	resetConnected = "connected" // before the request
	resetSent      = "sent"      // after the request, before the answer
	resetAnswered  = "answered"  // after the answer
	resetMixed     = "mixed"     // the three in turn
)

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

// Burst is a number of short connections.
type Burst struct {
	Request
	Count    int      `json:"count"`
	Parallel int      `json:"parallel"`
	Reset    float64  `json:"reset"`    // fraction of the connections that end with a reset
	ResetAt  string   `json:"reset_at"` // connected, sent, answered or mixed (default)
	Expect   string   `json:"expect"`   // the answer must contain it
	Close    string   `json:"close"`    // who closes: server (default) or client
	Nodes    []string `json:"nodes"`    // POST /burst only; names or "peer*", empty is all clients
}

// BurstReport is the outcome.
type BurstReport struct {
	OK         int            `json:"ok"`     // whole answers with status 2xx
	Failed     int            `json:"failed"` // no connection, no whole answer, or another status
	Reset      int            `json:"reset"`  // ended on purpose; in neither of the two above
	Slow       int            `json:"slow_over_500ms"`
	Mismatched int            `json:"mismatched"`
	MaxMS      float64        `json:"max_ms"`
	P50MS      float64        `json:"p50_ms"`
	P99MS      float64        `json:"p99_ms"`
	TotalMS    float64        `json:"total_ms"`
	Statuses   map[int]int    `json:"statuses"`
	Bodies     map[string]int `json:"bodies"`
	Errors     map[string]int `json:"errors"`
	Samples    []Mismatch     `json:"mismatches"` // some

	times []time.Duration
}

// Mismatch is an answer to the wrong caller.
type Mismatch struct {
	Node string `json:"node"`
	Want string `json:"want"`
	Got  string `json:"got"`
}

// check fills in defaults and says what is wrong.
func (b *Burst) check() error {
	if err := b.Request.check(); err != nil {
		return err
	}
	if b.Count == 0 {
		b.Count = 1
	}
	if b.Parallel == 0 {
		b.Parallel = 1
	}
	if b.ResetAt == "" {
		b.ResetAt = resetMixed
	}
	switch {
	case b.Count < 0 || b.Count > maxBursts:
		return fmt.Errorf("count must be 1 to %d", maxBursts)
	case b.Parallel < 0 || b.Parallel > maxParallel:
		return fmt.Errorf("parallel must be 1 to %d", maxParallel)
	case b.Reset < 0 || b.Reset > 1:
		return errors.New("reset must be 0 to 1")
	case !slices.Contains([]string{resetConnected, resetSent, resetAnswered, resetMixed}, b.ResetAt):
		return fmt.Errorf("reset_at must be %s, %s, %s or %s", resetConnected, resetSent, resetAnswered, resetMixed)
	case b.Close != "" && b.Close != "server" && b.Close != "client":
		return errors.New("close must be server or client")
	}
	return nil
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

// RunBurst runs b on every client at the same time and adds up the reports.
func RunBurst(ctx context.Context, clients []*Client, b *Burst) *BurstReport {
	start := time.Now()
	reports := make([]*BurstReport, len(clients))
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Go(func() { reports[i] = c.burst(ctx, b) })
	}
	wg.Wait()
	sum := newReport()
	for _, r := range reports {
		sum.add(r)
	}
	sum.finish(time.Since(start))
	return sum
}

func (c *Client) burst(ctx context.Context, b *Burst) *BurstReport {
	report := newReport()
	host, port, _ := splitTarget(b.Target)
	pctx, cancel := context.WithTimeout(ctx, max(b.timeout(), pathTimeout))
	route, err := c.awaitPath(pctx, host)
	cancel()
	if err != nil {
		report.Failed = b.Count
		count(report.Errors, err.Error(), b.Count)
		return report
	}
	var mu sync.Mutex
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(b.Parallel, b.Count) {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= b.Count {
					return
				}
				start := time.Now()
				a := c.once(ctx, b, route, port, i)
				a.took = time.Since(start)
				mu.Lock()
				report.count(c.Name, a)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return report
}

// answer is the outcome of one connection.
type answer struct {
	reset  bool
	status int
	body   string
	want   string
	err    error
	took   time.Duration
}

// once opens connection number i, asks, and ends it.
func (c *Client) once(ctx context.Context, b *Burst, route Route, port uint16, i int) (a answer) {
	ctx, cancel := context.WithTimeout(ctx, b.timeout())
	defer cancel()
	stage := b.resetStage(i)
	conn, err := c.connect(ctx, route, port)
	if err != nil {
		a.err = fmt.Errorf("dial: %w", err)
		return a
	}
	end := conn.Close
	defer func() { end() }()
	if stage != "" {
		a.reset = true
		end = func() error { abort(conn); return nil }
	}
	if stage == resetConnected {
		return a
	}
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	fill := c.placeholders(conn)
	if a.err = writeRequest(conn, &b.Request, fill, b.Close != "client"); a.err != nil || stage == resetSent {
		return a
	}
	rsp, err := http.ReadResponse(bufio.NewReaderSize(conn, answerBuffer), nil)
	if err != nil {
		a.err = fmt.Errorf("response head: %w", err)
		return a
	}
	defer rsp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(rsp.Body, maxAnswer))
	if err != nil {
		a.err = fmt.Errorf("response body: %w", err)
		return a
	}
	a.status, a.body = rsp.StatusCode, string(body)
	a.want = fill.Replace(b.Expect)
	return a
}

// resetStage says at which point connection number i is reset, or "".
func (b *Burst) resetStage(i int) string {
	before, after := int(float64(i)*b.Reset), int(float64(i+1)*b.Reset)
	switch {
	case before == after:
		return ""
	case b.ResetAt == resetMixed:
		return []string{resetConnected, resetSent, resetAnswered}[before%3]
	default:
		return b.ResetAt
	}
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

func newReport() *BurstReport {
	return &BurstReport{Statuses: map[int]int{}, Bodies: map[string]int{}, Errors: map[string]int{}, Samples: []Mismatch{}}
}

func (r *BurstReport) count(node string, a answer) {
	r.times = append(r.times, a.took)
	if a.took > slowLimit {
		r.Slow++
	}
	if a.status != 0 {
		r.Statuses[a.status]++
		count(r.Bodies, cutTo(a.body, maxBodyShown), 1)
		if !strings.Contains(a.body, a.want) {
			r.Mismatched++
			if len(r.Samples) < maxSamples {
				r.Samples = append(r.Samples, Mismatch{node, a.want, cutTo(a.body, maxBodyShown)})
			}
		}
	}
	switch {
	case a.err != nil:
		r.Failed++
		count(r.Errors, a.err.Error(), 1)
	case a.reset:
		r.Reset++
	case a.status < 200 || a.status > 299:
		r.Failed++
		count(r.Errors, fmt.Sprintf("status %d", a.status), 1)
	default:
		r.OK++
	}
}

func (r *BurstReport) add(o *BurstReport) {
	r.OK += o.OK
	r.Failed += o.Failed
	r.Reset += o.Reset
	r.Slow += o.Slow
	r.Mismatched += o.Mismatched
	r.times = append(r.times, o.times...)
	for k, n := range o.Statuses {
		r.Statuses[k] += n
	}
	for k, n := range o.Bodies {
		count(r.Bodies, k, n)
	}
	for k, n := range o.Errors {
		count(r.Errors, k, n)
	}
	r.Samples = append(r.Samples, o.Samples[:min(len(o.Samples), maxSamples-len(r.Samples))]...)
}

func (r *BurstReport) finish(total time.Duration) {
	r.TotalMS = milliseconds(total)
	slices.Sort(r.times)
	if n := len(r.times); n > 0 {
		r.P50MS, r.P99MS, r.MaxMS = milliseconds(r.times[n/2]), milliseconds(r.times[n*99/100]), milliseconds(r.times[n-1])
	}
}

// count adds to a map that does not grow for ever.
func count(m map[string]int, key string, n int) {
	if _, ok := m[key]; !ok && len(m) >= maxDistinct {
		key = moreDistinct
	}
	m[key] += n
}

func cutTo(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
