// Owns the count of what came back from a burst.
//
// In: the answer of each connection. Out: a BurstReport of bounded size. It
// must not know how connections are made.
package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	slowLimit    = 500 * time.Millisecond
	maxDistinct  = 1000 // bodies, errors
	maxBodyShown = 2000
	maxSamples   = 10
	moreDistinct = "(other)"
)

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
