// Owns a stand-in for an issuer of certificates (ACME, RFC 8555): what the
// node's own client speaks with, and a CA that lives as long as the lab.
//
// In: requests of nodes, whose signatures it does not check: it is on loopback,
// and nobody trusts its CA but the tests. Out: certificates for names whose
// TXT record the control server was told, which it does check. It must not know
// about nodes.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const usualValidity = 90 * 24 * time.Hour

// Issuer is the stand-in.
type Issuer struct {
	mux *http.ServeMux
	key *ecdsa.PrivateKey
	ca  *x509.Certificate
	txt func(name string) []string

	mu       sync.Mutex
	accounts map[string]bool // by thumbprint
	orders   []*order
	issued   int
	refuse   string        // why it issues nothing
	age      time.Duration // of the certificates that it issues
	left     time.Duration // until they expire
}

type order struct {
	domain      string
	thumbprint  string
	token       string
	status      string // pending, ready, valid, invalid
	certificate []byte // PEM
}

// NewIssuer makes a CA. txt looks up what the control server was told.
func NewIssuer(txt func(name string) []string) (*Issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tailnet-lab CA"},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(365 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	i := &Issuer{mux: http.NewServeMux(), key: key, ca: ca, txt: txt, accounts: map[string]bool{}, left: usualValidity}
	i.mux.HandleFunc("GET /directory", i.directory)
	i.mux.HandleFunc("/nonce", func(w http.ResponseWriter, r *http.Request) {})
	i.post("/account", i.account)
	i.post("/order", i.newOrder)
	i.post("/order/{n}", i.showOrder)
	i.post("/authorization/{n}", i.authorization)
	i.post("/challenge/{n}", i.challenge)
	i.post("/finalize/{n}", i.finalize)
	i.post("/certificate/{n}", i.certificate)
	return i, nil
}

func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Replay-Nonce", rand.Text())
	i.mux.ServeHTTP(w, r)
}

// CA is the issuer's own certificate, in PEM.
func (i *Issuer) CA() string { return string(pemOf(i.ca.Raw)) }

func pemOf(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// signed is a request, its signature left aside.
type signed struct {
	*http.Request
	base    string // of the issuer's URLs
	account string // thumbprint
	payload []byte
}

// problem is an error as ACME writes it.
type problem struct {
	status int
	kind   string
	detail string
}

func (p problem) Error() string { return p.detail }

func badRequest(kind, format string, a ...any) error {
	return problem{http.StatusBadRequest, kind, fmt.Sprintf(format, a...)}
}

// post registers a call with a JWS as its body. The lock is held while it runs.
func (i *Issuer) post(pattern string, f func(w http.ResponseWriter, r *signed) error) {
	i.mux.HandleFunc("POST "+pattern, func(w http.ResponseWriter, r *http.Request) {
		s, err := read(r)
		if err == nil {
			i.mu.Lock()
			defer i.mu.Unlock()
			err = f(w, s)
		}
		if err != nil {
			p := problem{http.StatusInternalServerError, "serverInternal", err.Error()}
			errors.As(err, &p)
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(p.status)
			json.NewEncoder(w).Encode(map[string]string{"type": "urn:ietf:params:acme:error:" + p.kind, "detail": p.detail})
		}
	})
}

// read takes a JWS apart. An account's URL ends with the thumbprint of its key.
func read(r *http.Request) (*signed, error) {
	var jws struct{ Protected, Payload string }
	if err := json.NewDecoder(io.LimitReader(r.Body, maxRequest)).Decode(&jws); err != nil {
		return nil, badRequest("malformed", "no JWS: %v", err)
	}
	head, err := base64.RawURLEncoding.DecodeString(jws.Protected)
	if err != nil {
		return nil, badRequest("malformed", "bad head: %v", err)
	}
	payload, err := base64.RawURLEncoding.DecodeString(jws.Payload)
	if err != nil {
		return nil, badRequest("malformed", "bad payload: %v", err)
	}
	var protected struct {
		KID string `json:"kid"`
		JWK struct{ Crv, Kty, X, Y string }
	}
	if err := json.Unmarshal(head, &protected); err != nil {
		return nil, badRequest("malformed", "bad head: %v", err)
	}
	account := protected.KID[strings.LastIndex(protected.KID, "/")+1:]
	if k := protected.JWK; account == "" { // RFC 7638
		text := fmt.Sprintf(`{"crv":%q,"kty":%q,"x":%q,"y":%q}`, k.Crv, k.Kty, k.X, k.Y)
		sum := sha256.Sum256([]byte(text))
		account = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return &signed{r, "http://" + r.Host, account, payload}, nil
}

func (i *Issuer) directory(w http.ResponseWriter, r *http.Request) {
	base := "http://" + r.Host
	writeJSON(w, http.StatusOK, map[string]any{
		"newNonce": base + "/nonce", "newAccount": base + "/account", "newOrder": base + "/order",
		"revokeCert": base + "/revoke", "keyChange": base + "/rollover",
		"meta": map[string]any{"termsOfService": base + "/terms"},
	})
}

func (i *Issuer) account(w http.ResponseWriter, r *signed) error {
	var in struct{ OnlyReturnExisting bool }
	if err := json.Unmarshal(r.payload, &in); err != nil {
		return badRequest("malformed", "bad account: %v", err)
	}
	known := i.accounts[r.account]
	if !known && in.OnlyReturnExisting {
		return badRequest("accountDoesNotExist", "no such account")
	}
	i.accounts[r.account] = true
	w.Header().Set("Location", r.base+"/account/"+r.account)
	status := http.StatusCreated
	if known {
		status = http.StatusOK
	}
	writeJSON(w, status, map[string]string{"status": "valid"})
	return nil
}

func (i *Issuer) newOrder(w http.ResponseWriter, r *signed) error {
	var in struct {
		Identifiers []struct{ Type, Value string }
	}
	if err := json.Unmarshal(r.payload, &in); err != nil || len(in.Identifiers) != 1 {
		return badRequest("malformed", "an order is for one name")
	}
	if i.refuse != "" {
		return problem{http.StatusForbidden, "rejectedIdentifier", i.refuse}
	}
	i.orders = append(i.orders, &order{domain: in.Identifiers[0].Value, thumbprint: r.account, token: rand.Text(), status: "pending"})
	return i.tell(w, r, len(i.orders)-1, http.StatusCreated)
}

// order is the one that the path names.
func (i *Issuer) order(r *signed) (int, *order, error) {
	n, err := strconv.Atoi(r.PathValue("n"))
	if err != nil || n < 0 || n >= len(i.orders) {
		return 0, nil, problem{http.StatusNotFound, "malformed", "no such order"}
	}
	return n, i.orders[n], nil
}

func (i *Issuer) tell(w http.ResponseWriter, r *signed, n, status int) error {
	o := i.orders[n]
	out := map[string]any{
		"status": o.status, "identifiers": []any{map[string]string{"type": "dns", "value": o.domain}},
		"authorizations": []string{fmt.Sprintf("%s/authorization/%d", r.base, n)},
		"finalize":       fmt.Sprintf("%s/finalize/%d", r.base, n),
	}
	if o.certificate != nil {
		out["certificate"] = fmt.Sprintf("%s/certificate/%d", r.base, n)
	}
	w.Header().Set("Location", fmt.Sprintf("%s/order/%d", r.base, n))
	writeJSON(w, status, out)
	return nil
}

func (i *Issuer) showOrder(w http.ResponseWriter, r *signed) error {
	n, _, err := i.order(r)
	if err != nil {
		return err
	}
	return i.tell(w, r, n, http.StatusOK)
}

func (i *Issuer) authorization(w http.ResponseWriter, r *signed) error {
	n, o, err := i.order(r)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"status": o.status, "identifier": map[string]string{"type": "dns", "value": o.domain},
		"challenges": []any{i.challengeOf(r, n, o)},
	})
	return nil
}

func (i *Issuer) challengeOf(r *signed, n int, o *order) map[string]string {
	return map[string]string{
		"type": "dns-01", "url": fmt.Sprintf("%s/challenge/%d", r.base, n), "token": o.token, "status": o.status,
	}
}

// challenge looks for the record at once: the control server was told before.
func (i *Issuer) challenge(w http.ResponseWriter, r *signed) error {
	n, o, err := i.order(r)
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(o.token + "." + o.thumbprint))
	want := base64.RawURLEncoding.EncodeToString(sum[:])
	o.status = "invalid"
	for _, value := range i.txt("_acme-challenge." + o.domain) {
		if value == want {
			o.status = "ready"
		}
	}
	out := i.challengeOf(r, n, o)
	if o.status == "ready" {
		out["status"] = "valid"
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

func (i *Issuer) finalize(w http.ResponseWriter, r *signed) error {
	n, o, err := i.order(r)
	if err != nil {
		return err
	}
	var in struct{ CSR string }
	json.Unmarshal(r.payload, &in)
	der, err := base64.RawURLEncoding.DecodeString(in.CSR)
	if err != nil {
		return badRequest("badCSR", "%v", err)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return badRequest("badCSR", "%v", err)
	}
	if o.status != "ready" || len(csr.DNSNames) != 1 || csr.DNSNames[0] != o.domain {
		return problem{http.StatusForbidden, "orderNotReady", "the order is " + o.status}
	}
	i.issued++
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(int64(i.issued) + 1), Subject: pkix.Name{CommonName: o.domain}, DNSNames: csr.DNSNames,
		NotBefore: now.Add(-i.age), NotAfter: now.Add(i.left),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	leaf, err := x509.CreateCertificate(rand.Reader, template, i.ca, csr.PublicKey, i.key)
	if err != nil {
		return err
	}
	o.certificate, o.status = append(pemOf(leaf), pemOf(i.ca.Raw)...), "valid"
	return i.tell(w, r, n, http.StatusOK)
}

func (i *Issuer) certificate(w http.ResponseWriter, r *signed) error {
	_, o, err := i.order(r)
	if err != nil || o.certificate == nil {
		return problem{http.StatusNotFound, "malformed", "no such certificate"}
	}
	w.Header().Set("Content-Type", "application/pem-certificate-chain")
	w.Write(o.certificate)
	return nil
}

// Set changes how it issues from now on.
func (i *Issuer) Set(refuse *string, age, left *time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if refuse != nil {
		i.refuse = *refuse
	}
	if age != nil {
		i.age = *age
	}
	if left != nil {
		i.left = *left
	}
}

// Issued counts the certificates.
func (i *Issuer) Issued() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.issued
}
