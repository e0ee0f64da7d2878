// Tests of what can be made to go wrong.
package main

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestControlDown(t *testing.T) {
	f := startLab(t)
	f.joinGateway()
	f.askAs("alice")
	f.post("/faults/control", map[string]any{"down": true})
	f.await("ai", "offline")
	f.await("alice", "offline")
	if answers(f.lab.tailnet.BaseURL + "/key") {
		t.Error("the control server answers")
	}
	if w := f.burst("alice", Burst{Count: 5}); w.OK != 5 {
		t.Errorf("without control the nodes no longer talk: %+v", w)
	}
	f.post("/faults/control", map[string]any{"down": false})
	start := time.Now()
	f.await("ai", "online")
	t.Logf("the gateway is back after %v", time.Since(start))
	f.call(http.StatusBadRequest, "POST", "/faults/control", map[string]any{"dwon": true})
	f.call(http.StatusBadRequest, "POST", "/faults/control", map[string]any{})
}

func TestRelayDown(t *testing.T) {
	f := startLab(t)
	f.joinGateway()
	f.askAs("alice")
	relay := "http://" + f.lab.relay.Door.Addr().String() // it speaks TLS, but has an answer for that
	for _, refuse := range []bool{false, true} {
		f.post("/faults/relay", map[string]any{"down": true, "refuse": refuse})
		if answers(relay) {
			t.Errorf("the relay answers, refuse %v", refuse)
		}
	}
	f.askAs("alice") // the path is direct
	f.post("/faults/relay", map[string]any{"down": false})
	if !answers(relay) {
		t.Error("the relay does not come back")
	}
}

// answers reports whether there is any HTTP answer soon.
func answers(url string) bool {
	c := &http.Client{Transport: &http.Transport{}, Timeout: 300 * time.Millisecond}
	defer c.CloseIdleConnections()
	rsp, err := c.Get(url)
	if err != nil {
		return false
	}
	rsp.Body.Close()
	return true
}

func TestSlowMap(t *testing.T) {
	f := startLab(t)
	f.joinGateway()
	f.askAs("alice")
	const delay = 400 * time.Millisecond
	for _, fault := range []string{"/faults/map", "/nodes/ai/faults"} {
		key := map[string]string{"/faults/map": "delay_ms", "/nodes/ai/faults": "map_delay_ms"}[fault]
		f.post(fault, map[string]any{key: delay.Milliseconds()})
		start := time.Now()
		group := "group:" + key
		f.post("/groups", map[string]any{group: []string{"alice@example.com"}})
		if took := time.Since(start); took > delay/2 {
			t.Errorf("%s: the change was answered after %v", fault, took)
		}
		f.eventually(5*time.Second, "group", func() bool { return strings.Contains(strings.Join(f.askAs("alice").Groups, " "), group) })
		if took := time.Since(start); took < delay {
			t.Errorf("%s: the change was there after %v", fault, took)
		}
		f.post(fault, map[string]any{key: 0})
	}
}

func TestCut(t *testing.T) {
	f := startLab(t)
	f.joinGateway()
	f.askAs("alice")
	f.post("/nodes/alice/streams", StreamOrder{Request: Request{Target: "ai:80", Path: "/stream"}})
	f.post("/nodes/alice/faults", map[string]any{"cut": true})
	f.eventually(time.Second, "alice is cut off", func() bool {
		return f.burst("alice", Burst{Request: Request{TimeoutMS: 200}}).OK == 0
	})
	if w := f.burst("bob", Burst{}); w.OK != 1 {
		t.Errorf("bob suffers too: %+v", w)
	}
	if n := f.node("alice"); !n.Online || !n.Faults.Cut {
		t.Errorf("alice is %+v", n)
	}
	f.post("/nodes/alice/faults", map[string]any{"cut": false})
	f.askAs("alice")
	if r := f.lab.Client("alice").StreamReport(); r.Alive != 1 {
		t.Errorf("the stream did not survive a short cut: %+v", r)
	}
	f.call(http.StatusConflict, "POST", "/nodes/ai/faults", map[string]any{"cut": true})
	f.call(http.StatusNotFound, "POST", "/nodes/nobody/faults", map[string]any{"cut": true})
}
