// Owns the language of the start file, which is also that of POST /nodes.
package main

import "strconv"

// Topology is the world at the start.
type Topology struct {
	Users    []User              `json:"users"`
	Groups   map[string][]string `json:"groups"` // "group:x" -> logins
	Nodes    []NodeSpec          `json:"nodes"`
	Grants   []Grant             `json:"grants"`
	AuthKeys map[string]AuthKey  `json:"authKeys"` // for processes from outside
	Approval bool                `json:"approval"` // new machines need an approval
	HTTPS    bool                `json:"https"`    // nodes may have certificates
}

// NodeSpec is a client of the lab, or a reservation for an outside process.
type NodeSpec struct {
	Name string `json:"name"`
	Identity
	External bool              `json:"external,omitempty"` // somebody else's process; the lab only knows who it is
	Serve    map[uint16]string `json:"serve,omitempty"`    // tailnet port -> 127.0.0.1:port
	Forward  []string          `json:"forward,omitempty"`  // "ai:80" -> a loopback port, see state
	Count    int               `json:"count,omitempty"`    // that many nodes: name1, name2, ..
}

// expand replaces each spec that has a count by that many numbered ones.
func expand(specs []NodeSpec) (out []NodeSpec) {
	for _, s := range specs {
		if s.Count == 0 {
			out = append(out, s)
			continue
		}
		for i := range s.Count {
			n := s
			n.Name, n.Count = s.Name+strconv.Itoa(i+1), 0
			if i > 0 {
				n.IP = ""
			}
			out = append(out, n)
		}
	}
	return out
}
