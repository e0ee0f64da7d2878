// Owns the DERP relay and the STUN server, both on 127.0.0.1.
//
// In: nothing but a Door. Out: the DERPMap that the control server hands to
// the nodes. It must not know which nodes exist.
package main

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"

	"tailscale.com/derp/derpserver"
	"tailscale.com/net/stun"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
	"tailscale.com/types/logger"
)

// Relay is DERP over TLS (with a throw-away certificate that the map tells
// clients not to check) and STUN.
type Relay struct {
	Map  *tailcfg.DERPMap
	Door *Door // shutting it takes DERP away; STUN stays

	derp *derpserver.Server
	http *httptest.Server
	stun *net.UDPConn
}

// StartRelay starts both servers.
func StartRelay() (*Relay, error) {
	door, err := NewDoor()
	if err != nil {
		return nil, err
	}
	pc, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		door.Close()
		return nil, err
	}
	r := &Relay{Door: door, derp: derpserver.New(key.NewNode(), logger.Discard), stun: pc}
	r.http = &httptest.Server{Listener: door, Config: &http.Server{
		Handler:      derpserver.Handler(r.derp),
		ErrorLog:     log.New(io.Discard, "", 0),
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}, // DERP needs HTTP/1.1
	}}
	r.http.StartTLS()
	go serveSTUN(pc)
	r.Map = &tailcfg.DERPMap{OmitDefaultRegions: true, Regions: map[int]*tailcfg.DERPRegion{1: {
		RegionID: 1, RegionCode: "lab", RegionName: "lab",
		Nodes: []*tailcfg.DERPNode{{
			Name: "lab1", RegionID: 1, HostName: "127.0.0.1", IPv4: "127.0.0.1", IPv6: "none",
			DERPPort: door.Addr().(*net.TCPAddr).Port, STUNPort: pc.LocalAddr().(*net.UDPAddr).Port,
			STUNTestIP: "127.0.0.1", InsecureForTests: true,
		}},
	}}}
	return r, nil
}

// Close stops both servers.
func (r *Relay) Close() {
	r.stun.Close()
	r.Door.Set(DoorRefuse)
	r.derp.Close()
	r.http.Close()
}

func serveSTUN(pc *net.UDPConn) {
	var buf [2048]byte
	for {
		n, src, err := pc.ReadFromUDPAddrPort(buf[:])
		if err != nil {
			return
		}
		if txid, err := stun.ParseBindingRequest(buf[:n]); err == nil {
			src = netip.AddrPortFrom(src.Addr().Unmap(), src.Port())
			pc.WriteToUDPAddrPort(stun.Response(txid, src), src)
		}
	}
}
