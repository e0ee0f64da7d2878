package main

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tailscale.com/kube/kubeclient"
)

func TestStoreNames(t *testing.T) {
	for _, wrong := range []string{"", "kube:", "mem:", "/var/lib/state", "kube"} {
		if err := newNode().configure(func(s *settings) error { return setStore(s, wrong) }); err == nil {
			t.Errorf("%q is accepted", wrong)
		}
	}
	if err := newNode().configure(func(s *settings) error { return setStore(s, "kube:ai-node") }); err != nil {
		t.Error(err)
	}
}

// pod makes this process look like one in a cluster whose API server is api.
func pod(t *testing.T, api http.Handler) {
	server := httptest.NewTLSServer(api)
	t.Cleanup(server.Close)
	root := t.TempDir()
	account := filepath.Join(root, "var/run/secrets/kubernetes.io/serviceaccount")
	if err := os.MkdirAll(account, 0o700); err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for name, text := range map[string]string{"namespace": "models", "token": "t", "ca.crt": string(certificate)} {
		if err := os.WriteFile(filepath.Join(account, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	kubeclient.SetRootPathForTesting(root)
	t.Cleanup(func() { kubeclient.SetRootPathForTesting("") })
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("TS_KUBERNETES_READ_API_SERVER_ADDRESS_FROM_ENV", "true")
	t.Setenv("KUBERNETES_SERVICE_HOST", at.Hostname())
	t.Setenv("KUBERNETES_SERVICE_PORT_HTTPS", at.Port())
}

func startWithStore(t *testing.T) (*node, <-chan error) {
	n := newNode()
	if err := n.configure(func(s *settings) error {
		s.dir = t.TempDir()
		return setStore(s, "kube:ai-node")
	}); err != nil {
		t.Fatal(err)
	}
	started := make(chan error, 1)
	go func() { started <- n.start() }()
	return n, started
}

// The library asks the API server without a deadline: closing the node must not
// wait for it.
func TestSilentAPIServerDoesNotHoldTheClose(t *testing.T) {
	asked := make(chan struct{}, 1)
	release := make(chan struct{})
	pod(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		select {
		case asked <- struct{}{}:
		default:
		}
		<-release
	}))
	// Before the server's own end, which waits for its handlers.
	t.Cleanup(func() { close(release) })
	n, started := startWithStore(t)
	<-asked
	within(t, 5*time.Second, "closing", func() { n.close(closeLimit) })
	if err := <-started; err == nil {
		t.Error("a closed node has started")
	}
}

func TestRefusedSecretIsNamed(t *testing.T) {
	pod(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusCreated)
		w.Write([]byte(`{"status": {"allowed": false}}`))
	}))
	n, started := startWithStore(t)
	defer n.close(closeLimit)
	err := <-started
	if err == nil || !strings.Contains(err.Error(), `Secret "ai-node"`) || !strings.Contains(err.Error(), "missing get permission") {
		t.Error(err)
	}
}
