// Owns the garbage collector's pace.
//
// WireGuard keeps some 34 MB of packet buffers per node. Few of their pages
// are ever touched, but the collector counts them as live and would let the
// same amount of garbage pile up before it runs: gigabytes with 100 nodes.
package main

import "runtime/debug"

const (
	nodeBuffers    = 34  // MB per node
	wantedGarbage  = 300 // MB
	defaultPercent = 100
	leastPercent   = 3
)

// paceCollector makes the collector run about every 300 MB of garbage.
func paceCollector(nodes int) {
	debug.SetGCPercent(max(leastPercent, min(defaultPercent, 100*wantedGarbage/(nodeBuffers*(nodes+1)))))
}
