package kube

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// Account makes a service account, which may do nothing yet but what everybody may.
func (c *Cluster) Account(namespace, name string) {
	c.t.Helper()
	c.Apply(fmt.Sprintf("{apiVersion: v1, kind: ServiceAccount, metadata: {namespace: %s, name: %s}}", namespace, name))
}

// Token is one of a service account that is there, for these audiences, or for the API server itself; it is good for an hour.
func (c *Cluster) Token(namespace, account string, audiences ...string) string {
	c.t.Helper()
	q, _ := json.Marshal(map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": map[string]any{"audiences": audiences, "expirationSeconds": 3600}})
	var a struct{ Status struct{ Token string } }
	text := c.want(http.MethodPost, "/api/v1/namespaces/"+namespace+"/serviceaccounts/"+account+"/token", "application/json", q)
	if err := json.Unmarshal(text, &a); err != nil || a.Status.Token == "" {
		c.t.Fatalf("no token: %v %s", err, text)
	}
	return a.Status.Token
}

// Ended is a token as Token gives it, whose time is over. It is signed as it ought to be: an API server gives none that is so short.
func (c *Cluster) Ended(namespace, account string, audiences ...string) string {
	c.t.Helper()
	var o struct{ Metadata struct{ UID string } }
	c.Get(fmt.Sprintf("{apiVersion: v1, kind: ServiceAccount, metadata: {namespace: %s, name: %s}}", namespace, account), &o)
	now := time.Now()
	claims := map[string]any{"iss": issuer, "sub": "system:serviceaccount:" + namespace + ":" + account, "aud": audiences,
		"iat": now.Add(-2 * time.Hour).Unix(), "nbf": now.Add(-2 * time.Hour).Unix(), "exp": now.Add(-time.Hour).Unix(),
		"kubernetes.io": map[string]any{"namespace": namespace, "serviceaccount": map[string]any{"name": account, "uid": o.Metadata.UID}}}
	part := func(v any) string {
		text, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(text)
	}
	said := part(map[string]any{"alg": "ES256", "typ": "JWT"}) + "." + part(claims)
	sum := sha256.Sum256([]byte(said))
	r, s, err := ecdsa.Sign(rand.Reader, c.key, sum[:])
	if err != nil {
		c.t.Fatal(err)
	}
	var signature [64]byte
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return said + "." + base64.RawURLEncoding.EncodeToString(signature[:])
}

// KubeconfigOf writes the kubeconfig of a service account that is there.
func (c *Cluster) KubeconfigOf(namespace, account string) string {
	c.t.Helper()
	return c.kubeconfig(namespace+"."+account, c.Token(namespace, account))
}

// kubeconfig writes one for who has a token. Its context and its cluster are called "test".
func (c *Cluster) kubeconfig(name, token string) string {
	c.t.Helper()
	path := filepath.Join(c.dir, name+".yaml")
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: test, user: {token: %q}}]
contexts: [{name: test, context: {cluster: test, user: test}}]
current-context: test
`, c.URL, filepath.Join(c.dir, "ca.pem"), token)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return path
}

// Portable is the kubeconfig of who may do everything, which names no file.
func (c *Cluster) Portable() string { return c.PortableOf(c.token) }

// PortableOf is that of who has a token.
func (c *Cluster) PortableOf(token string) string {
	c.t.Helper()
	ca, err := os.ReadFile(filepath.Join(c.dir, "ca.pem"))
	if err != nil {
		c.t.Fatal(err)
	}
	return fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: %q, certificate-authority-data: %s}}]
users: [{name: test, user: {token: %q}}]
contexts: [{name: test, context: {cluster: test, user: test}}]
current-context: test
`, c.URL, base64.StdEncoding.EncodeToString(ca), token)
}

// until waits for something that the API server does in its own time.
func (c *Cluster) until(what string, f func() bool) {
	c.t.Helper()
	end := time.Now().Add(patience)
	for tick := time.NewTicker(5 * time.Millisecond); !f(); <-tick.C {
		if time.Now().After(end) {
			c.t.Fatalf("not within %v: %s", patience, what)
		}
	}
}
