package main

// Outgoing connections, to tailnet destinations only. tsnet's own Dial resolves
// unknown names with the host's resolver and connects to addresses that are no
// peer's over the host's network, so a mistyped name would carry a request out
// of the tailnet. Here a name is looked up in the network map only, an address
// must belong to a node of the tailnet, and the connection is made by the
// user-space network stack, which has no way to the host's network at all.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"tailscale.com/net/tsaddr"
	"tailscale.com/tsnet"
	"tailscale.com/types/netmap"
)

func (n *node) dial(network, address string, timeout time.Duration) (fd int, err error) {
	if err := tcpOnly(network); err != nil {
		return -1, err
	}
	if timeout <= 0 {
		return -1, errors.New("a dial needs a positive timeout")
	}
	srv, err := n.begin()
	if err != nil {
		return -1, err
	}
	defer n.calls.Done()
	ctx, cancel := context.WithTimeout(n.ctx, timeout)
	defer cancel()

	conn, err := n.dialTailnet(ctx, srv, network, address)
	if err != nil {
		return -1, fmt.Errorf("dial %s: %w", address, err)
	}
	ours, theirs, err := socketPair(unix.SOCK_STREAM)
	if err != nil {
		conn.Close()
		return -1, err
	}
	if err := n.relay(ours, conn, false); err != nil {
		unix.Close(theirs)
		return -1, err
	}
	return theirs, nil
}

func (n *node) dialTailnet(ctx context.Context, srv *tsnet.Server, network, address string) (net.Conn, error) {
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || port == 0 {
		return nil, fmt.Errorf("port %q is not a port number", portText)
	}
	nm := n.api.LocalBackend().NetMapWithPeers()
	if nm == nil {
		return nil, errors.New("the node is not connected to a tailnet yet")
	}
	destination, source, err := newDirectory(nm).resolve(host, network)
	if err != nil {
		return nil, err
	}
	stack, err := netstackOf(srv)
	if err != nil {
		return nil, err
	}
	conn, err := stack.DialContextTCPWithBind(ctx, source, netip.AddrPortFrom(destination, uint16(port)))
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// directory is what a dial needs of a network map.
type directory struct {
	self   []netip.Addr
	suffix string                  // MagicDNS suffix, without dots around it
	names  map[string][]netip.Addr // full names, lower case, no final dot
	// nodes are addresses that a dial may go to; true: its key has expired.
	nodes map[netip.Addr]bool
}

func newDirectory(nm *netmap.NetworkMap) *directory {
	d := &directory{
		suffix: strings.ToLower(strings.Trim(nm.MagicDNSSuffix(), ".")),
		names:  map[string][]netip.Addr{},
		nodes:  map[netip.Addr]bool{},
	}
	for _, prefix := range nm.GetAddresses().All() {
		d.self = append(d.self, prefix.Addr())
		d.nodes[prefix.Addr()] = false
	}
	d.names[canonicalName(nm.SelfName())] = d.self
	for _, peer := range nm.Peers {
		var addresses []netip.Addr
		for _, prefix := range peer.Addresses().All() {
			addresses = append(addresses, prefix.Addr())
			d.nodes[prefix.Addr()] = peer.Expired()
		}
		d.names[canonicalName(peer.Name())] = addresses
		// Addresses that a peer serves without owning them: a Tailscale
		// service. Subnet routes and exit nodes are not tailnet destinations.
		for _, prefix := range peer.AllowedIPs().All() {
			if _, known := d.nodes[prefix.Addr()]; !known && prefix.IsSingleIP() && tsaddr.IsTailscaleIP(prefix.Addr()) {
				d.nodes[prefix.Addr()] = peer.Expired()
			}
		}
	}
	for _, record := range nm.DNS.ExtraRecords {
		name := canonicalName(record.Name)
		address, err := netip.ParseAddr(record.Value)
		if err == nil && (record.Type == "" || record.Type == "A" || record.Type == "AAAA") {
			d.names[name] = append(d.names[name], address)
		}
	}
	return d
}

func canonicalName(name string) string {
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

// resolve turns a host into an address of the tailnet, and finds our own address
// of the same family.
func (d *directory) resolve(host, network string) (destination, source netip.Addr, err error) {
	candidates, err := d.candidates(host)
	if err != nil {
		return netip.Addr{}, netip.Addr{}, err
	}
	for _, candidate := range candidates {
		candidate = candidate.Unmap()
		if (network == "tcp4" && !candidate.Is4()) || (network == "tcp6" && !candidate.Is6()) {
			continue
		}
		expired, known := d.nodes[candidate]
		if !known {
			err = errors.Join(err, fmt.Errorf("%s is not an address of this tailnet", candidate))
			continue
		}
		if expired {
			err = errors.Join(err, fmt.Errorf("the key of the node at %s has expired", candidate))
			continue
		}
		for _, own := range d.self {
			if own.Is4() == candidate.Is4() {
				return candidate, own, nil
			}
		}
	}
	if err == nil {
		err = fmt.Errorf("%s has no address for %s", host, network)
	}
	return netip.Addr{}, netip.Addr{}, err
}

func (d *directory) candidates(host string) ([]netip.Addr, error) {
	if address, err := netip.ParseAddr(host); err == nil {
		if address.Zone() != "" {
			return nil, fmt.Errorf("%s is not an address of this tailnet", host)
		}
		return []netip.Addr{address}, nil
	}
	name := canonicalName(host)
	if addresses, ok := d.names[name]; ok {
		return addresses, nil
	}
	if d.suffix != "" && !strings.Contains(name, ".") {
		if addresses, ok := d.names[name+"."+d.suffix]; ok {
			return addresses, nil
		}
	}
	return nil, fmt.Errorf("%q is not a name in this tailnet", host)
}
