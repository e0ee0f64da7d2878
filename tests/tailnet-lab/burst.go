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
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	pathTimeout    = 30 * time.Second // before the first, with everybody at once
	maxBursts      = 1000000
	maxParallel    = 4096
	maxAnswer      = 8 << 20
	answerBuffer   = 1 << 10
	resetConnected = "connected" // before the request
	resetSent      = "sent"      // after the request, before the answer
	resetAnswered  = "answered"  // after the answer
	resetMixed     = "mixed"     // the three in turn
)

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
