package main

// The C functions. Each converts its arguments, calls one plain Go function and
// converts the result; nothing is decided here. No panic leaves an export, every
// argument may be NULL, and every handle may be stale: those are errors, not
// crashes. Unless a function says otherwise it returns 0, or -1 and a text for
// tailscale_errmsg. Strings that are handed out are freed with tailscale_free.

// #include <stdint.h>
// #include <stdlib.h>
import "C"

import (
	"time"
	"unsafe"
)

// Names for the C types, for code outside this file.
type (
	cInt        = C.int
	charPointer = *C.char
)

// newText is a C string, to be freed with tailscale_free.
func newText(text string) *C.char { return C.CString(text) }

// onNode calls f on the node behind a handle and keeps the error's text there.
func onNode(sd C.int, f func(*node) error) C.int {
	n, err := lookup(int(sd))
	if err != nil {
		return -1
	}
	if err := protect(func() error { return f(n) }); err != nil {
		n.setLastError(err)
		return -1
	}
	return 0
}

// setText changes a setting that is a text; NULL is an error.
func setText(sd C.int, value *C.char, change func(*settings, string) error) C.int {
	return onNode(sd, func(n *node) error {
		if value == nil {
			return errNullArgument
		}
		text := C.GoString(value)
		return n.configure(func(s *settings) error { return change(s, text) })
	})
}

// goText is "" for NULL.
func goText(value *C.char) string {
	if value == nil {
		return ""
	}
	return C.GoString(value)
}

// answer hands out a text, if the caller wants it.
func answer(out **C.char, text string) {
	if out != nil {
		*out = newText(text)
	}
}

// tailscale_new makes a node and returns its handle. No I/O.
//
//export tailscale_new
func tailscale_new() C.int { return C.int(newHandle()) }

// tailscale_set_hostname sets the name that the node asks for.
//
//export tailscale_set_hostname
func tailscale_set_hostname(sd C.int, value *C.char) C.int {
	return setText(sd, value, func(s *settings, v string) error { s.hostname = v; return nil })
}

// tailscale_set_dir sets the state directory. Required.
//
//export tailscale_set_dir
func tailscale_set_dir(sd C.int, value *C.char) C.int {
	return setText(sd, value, func(s *settings, v string) error { s.dir = v; return nil })
}

// tailscale_set_store says where the node's key is kept, if not in the state
// directory: "kube:SECRET" is a Secret of the pod's own namespace. The directory
// is required all the same.
//
//export tailscale_set_store
func tailscale_set_store(sd C.int, value *C.char) C.int { return setText(sd, value, setStore) }

// tailscale_set_authkey sets the key that registers the node; ignored by a node
// that is registered already.
//
//export tailscale_set_authkey
func tailscale_set_authkey(sd C.int, value *C.char) C.int {
	return setText(sd, value, func(s *settings, v string) error { s.authKey = v; return nil })
}

// tailscale_set_control_url sets the control server; "" is Tailscale's own.
//
//export tailscale_set_control_url
func tailscale_set_control_url(sd C.int, value *C.char) C.int {
	return setText(sd, value, setControlURL)
}

// tailscale_set_ephemeral makes the node ephemeral if value is not 0: it leaves
// the tailnet when it is closed.
//
//export tailscale_set_ephemeral
func tailscale_set_ephemeral(sd C.int, value C.int) C.int {
	return onNode(sd, func(n *node) error {
		return n.configure(func(s *settings) error { s.ephemeral = value != 0; return nil })
	})
}

// tailscale_set_tags sets the tags that the node asks for, separated by commas.
//
//export tailscale_set_tags
func tailscale_set_tags(sd C.int, value *C.char) C.int { return setText(sd, value, setTags) }

// tailscale_set_client_secret sets an OAuth client secret, from which a key is
// made at the start. It needs tags.
//
//export tailscale_set_client_secret
func tailscale_set_client_secret(sd C.int, value *C.char) C.int {
	return setText(sd, value, func(s *settings, v string) error { s.clientSecret = v; return nil })
}

// tailscale_set_udp_port sets the UDP port; 0 is the remembered one, or any. A
// port that is taken is replaced by a free one.
//
//export tailscale_set_udp_port
func tailscale_set_udp_port(sd C.int, port C.int) C.int {
	return onNode(sd, func(n *node) error {
		return n.configure(func(s *settings) error { return setUDPPort(s, int(port)) })
	})
}

// tailscale_set_logfd sends log lines to fd, which the node owns from then on,
// also when the call fails; -1 discards them. Without it the operator's lines go
// to standard error and the others nowhere.
//
//export tailscale_set_logfd
func tailscale_set_logfd(sd C.int, fd C.int) C.int {
	return onNode(sd, func(n *node) error {
		s, err := newDescriptorSink(int(fd))
		if err != nil {
			return err
		}
		if err := n.setLogs(s); err != nil {
			s.close()
			return err
		}
		return nil
	})
}

// tailscale_start starts the node. It waits neither for login nor for the node
// to run. A failed start is final for its handle.
//
//export tailscale_start
func tailscale_start(sd C.int) C.int { return onNode(sd, (*node).start) }

// tailscale_listen listens on a TCP address of the node (":80" is port 80 on its
// own addresses), also before login. *fd becomes a SOCK_SEQPACKET descriptor,
// non-blocking and close-on-exec, that the caller owns. Each message on it is
// one connection: as data the peer's "ip:port", a space, and the stable ID of the
// node that it comes from (only the address if no node has it); and one
// descriptor. Closing it ends the listener.
//
//export tailscale_listen
func tailscale_listen(sd C.int, network, address *C.char, fd *C.int) C.int {
	return onNode(sd, func(n *node) error {
		if fd == nil {
			return errNullArgument
		}
		*fd = -1
		got, err := n.listen(goText(network), goText(address))
		*fd = C.int(got)
		return err
	})
}

// tailscale_dial connects to a TCP address of the tailnet, "name:port" or
// "ip:port", within timeout_ms. Anything else is refused, never dialled over the
// host's network. *fd becomes a stream descriptor that the caller owns. On -1,
// *err is the reason, and tailscale_errmsg is left alone.
//
//export tailscale_dial
func tailscale_dial(sd C.int, network, address *C.char, timeout_ms C.int, fd *C.int, err **C.char) C.int {
	fail := func(reason error) C.int {
		answer(err, reason.Error())
		return -1
	}
	if err != nil {
		*err = nil
	}
	if fd == nil {
		return fail(errNullArgument)
	}
	*fd = -1
	n, lookupErr := lookup(int(sd))
	if lookupErr != nil {
		return fail(lookupErr)
	}
	reason := protect(func() error {
		got, err := n.dial(goText(network), goText(address), time.Duration(timeout_ms)*time.Millisecond)
		*fd = C.int(got)
		return err
	})
	if reason != nil {
		*fd = -1
		return fail(reason)
	}
	return 0
}

// tailscale_localapi makes one call to the node's LocalAPI within timeout_ms.
// path is relative and has its query: "whois?addr=100.64.0.1". body may be NULL.
// It returns the HTTP status and sets *out to the body, or returns -1 and sets
// *out to the reason; tailscale_errmsg is left alone.
//
//export tailscale_localapi
func tailscale_localapi(sd C.int, method, path, body *C.char, timeout_ms C.int, out **C.char) C.int {
	if out != nil {
		*out = nil
	}
	status, text := -1, ""
	err := protect(func() error {
		if method == nil || path == nil {
			return errNullArgument
		}
		n, err := lookup(int(sd))
		if err != nil {
			return err
		}
		timeout := time.Duration(timeout_ms) * time.Millisecond
		code, body, err := n.localAPI(C.GoString(method), C.GoString(path), goText(body), timeout)
		if err != nil {
			return err
		}
		status, text = code, string(body)
		return nil
	})
	if err != nil {
		answer(out, err.Error())
		return -1
	}
	answer(out, text)
	return C.int(status)
}

// tailscale_watch subscribes to the notification bus; mask is the sum of
// ipn.NotifyWatchOpt bits. *fd becomes a stream descriptor that the caller owns,
// with one JSON object a line. It ends when the caller falls behind or the node
// is closed.
//
//export tailscale_watch
func tailscale_watch(sd C.int, mask C.uint64_t, fd *C.int) C.int {
	return onNode(sd, func(n *node) error {
		if fd == nil {
			return errNullArgument
		}
		*fd = -1
		got, err := n.watch(uint64(mask))
		*fd = C.int(got)
		return err
	})
}

// tailscale_close closes what is open on the node, then the node, in whatever
// state it is, within 10 s, and frees its handle. On -1 the node did not close
// in time: the handle stays for tailscale_errmsg, and the process should end.
//
//export tailscale_close
func tailscale_close(sd C.int) C.int {
	if err := protect(func() error { return closeHandle(int(sd)) }); err != nil {
		return -1
	}
	return 0
}

// tailscale_errmsg is the text of the last failed call on a handle that returns
// no text of its own. Never NULL.
//
//export tailscale_errmsg
func tailscale_errmsg(sd C.int) *C.char { return newText(lastError(int(sd))) }

// tailscale_free frees a string that one of these functions returned.
//
//export tailscale_free
func tailscale_free(text *C.char) { C.free(unsafe.Pointer(text)) }
