// Package main is the gateway's C library over tailscale.com/tsnet: one node of
// a tailnet, driven through a dozen C functions and file descriptors.
//
// It owns the tsnet server, the connections that cross the border, and nothing
// else: what a connection carries, who may use it and what a LocalAPI answer
// means are questions for the other side. It is built with
// -buildmode=c-archive, which is why it is a package main with an empty main.
//
//	exports.go   the C functions: convert, call, convert back
//	handles.go   handle numbers and the text of the last error
//	node.go      one node: settings, start, what is open
//	close.go     shutting a node down, in every state, in bounded time
//	listen.go    accepted connections, passed with their peer's address
//	conn.go      socket pairs and the relay between them and the tailnet
//	dial.go      outgoing connections, to tailnet destinations only
//	localapi.go  questions to the node's own LocalAPI, in memory
//	watch.go     the notification bus as a stream of lines
//	tune.go      settings of the user-space network stack
//	port.go      the remembered UDP port
//	store.go     where the node's key is kept, if not in the directory
//	logs.go      the node's log lines, written to a descriptor
package main

func main() {}
