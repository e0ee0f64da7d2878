package main

// The UDP port of the node. Peers keep sending to the port they know for several
// seconds, so a node that comes back on another one is deaf for that long. The
// port is therefore chosen once and kept in the state directory.

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const portFile = "udp-port"

// choosePort returns the port to bind: the configured one, else the remembered
// one, else any. A port that is taken is passed over for a free one.
func choosePort(dir string, configured uint16) (uint16, error) {
	wanted := configured
	if wanted == 0 {
		wanted = rememberedPort(dir)
	}
	if wanted != 0 && portIsFree(wanted) {
		return wanted, nil
	}
	conn, err := net.ListenUDP("udp4", nil)
	if err != nil {
		return 0, fmt.Errorf("no UDP port is available: %w", err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Port(), nil
}

func portIsFree(port uint16) bool {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{Port: int(port)})
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// rememberedPort is 0 when there is none; a damaged file counts as none.
func rememberedPort(dir string) uint16 {
	text, err := os.ReadFile(filepath.Join(dir, portFile))
	if err != nil {
		return 0
	}
	port, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 16)
	if err != nil {
		return 0
	}
	return uint16(port)
}

func rememberPort(dir string, port uint16) error {
	if port == 0 || port == rememberedPort(dir) {
		return nil
	}
	path := filepath.Join(dir, portFile)
	draft := path + ".new"
	if err := os.WriteFile(draft, fmt.Appendln(nil, port), 0o600); err != nil {
		return err
	}
	return os.Rename(draft, path)
}
