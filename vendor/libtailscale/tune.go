package main

// Settings that tsnet has no field for: of the user-space network stack, and of
// the Go runtime.

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"tailscale.com/tsnet"
	"tailscale.com/wgengine/netstack"
)

// timeWait replaces the stack's 60 s. A new connection from an address and port
// that are still in TIME_WAIT is dropped when it comes through tsnet's forwarder
// (the stack hands it to a listening endpoint only, and there is none), so with
// 60 s a busy client would be locked out of ports it has used, and closing the
// node would hang on the entries.
const timeWait = time.Millisecond

// shareProcessors leaves half of the processors to the program around this
// library, which has a part in every request. Go would otherwise take a thread
// for each: with two processors, packets are handed from thread to thread while
// both are busy, and every hand-over is a wake-up. GOMAXPROCS in the environment
// decides where it is set.
var shareProcessors = sync.OnceFunc(func() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(1, runtime.GOMAXPROCS(0)/2))
	}
})

func netstackOf(srv *tsnet.Server) (*netstack.Impl, error) {
	stack, ok := srv.Sys().Netstack.Get().(*netstack.Impl)
	if !ok {
		return nil, errors.New("the node runs without the user-space network stack")
	}
	return stack, nil
}

func tune(srv *tsnet.Server) error {
	shareProcessors()
	stack, err := netstackOf(srv)
	if err != nil {
		return err
	}
	option := tcpip.TCPTimeWaitTimeoutOption(timeWait)
	if err := stack.SetTransportProtocolOption(tcp.ProtocolNumber, &option); err != nil {
		return fmt.Errorf("cannot set TIME_WAIT: %s", err)
	}
	return nil
}
