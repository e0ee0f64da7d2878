// Owns held streams: requests that a client opens and keeps open until told
// otherwise, to see how a server bears many of them.
//
// In: a StreamOrder. Out: how many opened, and later how many still live. A
// stream is open once its response head and first body byte have come. It
// must not understand the body.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	streamsAtOnce = 32
	streamBuffer  = 1 << 10
	maxStreams    = 20000
)

// StreamOrder asks for a number of long-lived requests.
type StreamOrder struct {
	Request
	Count    int  `json:"count"`
	Parallel int  `json:"parallel"`  // opened at the same time, default 32
	HeadOnly bool `json:"head_only"` // do not wait for a first body byte
}

// StreamOpened is the answer to it.
type StreamOpened struct {
	Opened   int            `json:"opened"`
	Failed   int            `json:"failed"`
	Statuses map[int]int    `json:"statuses"`
	Errors   map[string]int `json:"errors"`
	TotalMS  float64        `json:"total_ms"`
}

// StreamReport tells how a client's streams are.
type StreamReport struct {
	Alive int            `json:"alive"`
	Ended int            `json:"ended"` // by the other side
	Ends  map[string]int `json:"ends"`  // how: "end" or an error
	Bytes int64          `json:"bytes"` // of all bodies
}

// stream is one request that is held open.
type stream struct {
	conn  net.Conn
	bytes atomic.Int64
	end   atomic.Pointer[string] // nil while alive
}

// OpenStreams opens streams and keeps them; it returns once each is open or
// has failed.
func (c *Client) OpenStreams(ctx context.Context, o *StreamOrder) (*StreamOpened, error) {
	if o.Count == 0 {
		o.Count = 1
	}
	if o.Parallel == 0 {
		o.Parallel = streamsAtOnce
	}
	if o.Count < 0 || o.Count > maxStreams || o.Parallel < 0 || o.Parallel > maxParallel {
		return nil, fmt.Errorf("count must be 1 to %d, parallel 1 to %d", maxStreams, maxParallel)
	}
	if err := o.Request.check(); err != nil {
		return nil, err
	}
	start := time.Now()
	out := &StreamOpened{Statuses: map[int]int{}, Errors: map[string]int{}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	var next atomic.Int64
	for range min(o.Parallel, o.Count) {
		wg.Go(func() {
			for next.Add(1) <= int64(o.Count) {
				s, status, err := c.openStream(ctx, o)
				mu.Lock()
				if status != 0 {
					out.Statuses[status]++
				}
				if err != nil {
					out.Failed++
					count(out.Errors, err.Error(), 1)
				} else {
					out.Opened++
				}
				mu.Unlock()
				if s != nil {
					c.mu.Lock()
					c.streams = append(c.streams, s)
					c.mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	out.TotalMS = milliseconds(time.Since(start))
	return out, nil
}

func (c *Client) openStream(ctx context.Context, o *StreamOrder) (s *stream, status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, o.timeout())
	defer cancel()
	conn, err := c.dial(ctx, o.Target)
	if err != nil {
		return nil, 0, err
	}
	defer func() {
		if err != nil {
			abort(conn)
		}
	}()
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	if err := writeRequest(conn, &o.Request, c.placeholders(conn), false); err != nil {
		return nil, 0, err
	}
	rsp, err := http.ReadResponse(bufio.NewReaderSize(conn, streamBuffer), nil)
	if err != nil {
		return nil, 0, fmt.Errorf("response head: %w", err)
	}
	if rsp.StatusCode < 200 || rsp.StatusCode > 299 {
		body, _ := io.ReadAll(io.LimitReader(rsp.Body, maxBodyShown))
		return nil, rsp.StatusCode, fmt.Errorf("status %d: %s", rsp.StatusCode, body)
	}
	s = &stream{conn: conn}
	if !o.HeadOnly {
		var first [1]byte
		if _, err := io.ReadFull(rsp.Body, first[:]); err != nil {
			return nil, rsp.StatusCode, fmt.Errorf("first body byte: %w", err)
		}
		s.bytes.Add(1)
	}
	conn.SetDeadline(time.Time{})
	go s.drain(rsp.Body)
	return s, rsp.StatusCode, nil
}

// drain reads what comes until the stream ends.
func (s *stream) drain(body io.Reader) {
	var buf [512]byte
	for {
		n, err := body.Read(buf[:])
		s.bytes.Add(int64(n))
		if err == nil {
			continue
		}
		how := "end"
		if !errors.Is(err, io.EOF) {
			how = err.Error()
		}
		s.end.Store(&how)
		s.conn.Close()
		return
	}
}

// StreamReport tells how the streams are.
func (c *Client) StreamReport() StreamReport {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := StreamReport{Ends: map[string]int{}}
	for _, s := range c.streams {
		r.Bytes += s.bytes.Load()
		if how := s.end.Load(); how != nil {
			r.Ended++
			count(r.Ends, *how, 1)
		} else {
			r.Alive++
		}
	}
	return r
}

// EndStreams closes all streams, with a reset if asked, and returns how they
// were before.
func (c *Client) EndStreams(reset bool) StreamReport {
	r := c.StreamReport()
	c.mu.Lock()
	streams := c.streams
	c.streams = nil
	c.mu.Unlock()
	for _, s := range streams {
		if reset {
			abort(s.conn)
		} else {
			s.conn.Close()
		}
	}
	return r
}
