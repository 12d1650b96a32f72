package main

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"

	plane "github.com/weftmesh/weft/control"
)

func TestAuthority(t *testing.T) {
	weftdWith(t, nil, plane.Options{SecureGRPC: "127.0.0.1:0"})
	roots := func() string {
		t.Helper()
		code, out, wrong := control("ca", "roots")
		if code != exitDone || !x509.NewCertPool().AppendCertsFromPEM([]byte(out)) {
			t.Fatalf("roots: exit code %d, %q, %q", code, out, wrong)
		}
		return out
	}
	before := roots()
	for _, c := range []struct {
		line     []string
		code     int
		out, err string // parts of what is written
	}{
		{[]string{"token", "default/sleep", "--life", "5m"}, exitDone, "weft-join-", ""},
		{[]string{"token", "spiffe://cluster.local/ns/default/sa/sleep"}, exitDone, "weft-join-", ""},
		{[]string{"token", "default/sleep", "--trust-domain", "mesh.test"}, exitFailed, "", `tokens for "mesh.test" are not made here: want "cluster.local"`},
		{[]string{"token"}, exitUsage, "", "who is to join?"},
		{[]string{"token", "sleep"}, exitUsage, "", `"sleep" is no identity: want NAMESPACE/ACCOUNT`},
		{[]string{"token", "a/b/c"}, exitUsage, "", `"a/b/c" is no identity`},
		{[]string{"token", "a/b", "--life", "25h"}, exitUsage, "", "--life is 25h0m0s: want more than nothing and at most 24h0m0s"},
		{[]string{"ca", "revoke", "--identity", "default/sleep", "--reason", "its key was lost"}, exitDone, "revoked", ""},
		{[]string{"ca", "revoke", "--serial", "4f:1c", "--reason", "a mistake"}, exitDone, "revoked", ""},
		{[]string{"ca", "revoke", "--serial", "zz", "--reason", "a mistake"}, exitFailed, "", "want hexadecimal digits"},
		{[]string{"ca", "revoke", "--serial", "4f"}, exitUsage, "", "--reason is missing"},
		{[]string{"ca", "revoke", "--reason", "a"}, exitUsage, "", "want --identity or --serial"},
		{[]string{"ca", "revoke", "--reason", "a", "--serial", "4f", "--identity", "a/b"}, exitUsage, "", "want one of them"},
		{[]string{"ca", "restore", "default/other"}, exitFailed, "", "is not revoked"},
		{[]string{"ca", "restore"}, exitUsage, "", "who is to be restored?"},
		{[]string{"ca", "rotate"}, exitDone, "a new root is trusted from now on", ""},
		{[]string{"ca", "rotate", "now"}, exitUsage, "", `unexpected argument "now"`},
		{[]string{"ca", "csr"}, exitDone, "BEGIN CERTIFICATE REQUEST", ""},
		{[]string{"ca", "csr", "--new"}, exitDone, "BEGIN CERTIFICATE REQUEST", ""},
		{[]string{"ca", "import"}, exitUsage, "", "what is to be imported?"},
		{[]string{"ca", "import", "authority_test.go"}, exitFailed, "", "has no certificate in PEM"},
		{[]string{"ca", "import", "none.pem"}, exitFailed, "", "none.pem"},
		{[]string{"ca"}, exitUsage, "", "Commands:"},
		{[]string{"ca", "--help"}, exitDone, "Commands:", ""},
		{[]string{"ca", "rotat"}, exitUsage, "", `there is no command "rotat"`},
	} {
		code, out, wrong := control(c.line...)
		if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(wrong, c.err) || (c.out == "") != (out == "") || (c.err == "") != (wrong == "") {
			t.Errorf("weftctl %q: exit code %d, output %q, errors %q: want %d, %q, %q", c.line, code, out, wrong, c.code, c.out, c.err)
		}
	}
	says(t, "its key was lost", "ca", "revoked") // once the store has told
	says(t, "BEGIN X509 CRL", "ca", "revoked", "--lists")
	if code, out, wrong := control("ca", "restore", "default/sleep"); code != exitDone || out != "restored\n" {
		t.Errorf("restored: exit code %d, %q, %q", code, out, wrong)
	}
	for end := time.Now().Add(patience); strings.Contains(says(t, "a mistake", "ca", "revoked"), "its key was lost"); {
		if time.Now().After(end) {
			t.Fatal("who was restored is revoked")
		}
	}
	after := roots()
	for end := time.Now().Add(patience); strings.Count(after, "BEGIN CERT") != 2; after = roots() {
		if time.Now().After(end) {
			t.Fatalf("after a rotation these are trusted:\n%s", after)
		}
	}
	if !strings.Contains(after, strings.TrimSpace(before)) {
		t.Errorf("after a rotation the old root is not trusted:\n%s", after)
	}
}

func TestNoAuthority(t *testing.T) {
	weftdWith(t, nil, plane.Options{})
	if code, _, wrong := control("ca", "roots"); code != exitFailed || !strings.Contains(wrong, "there is no authority here: start with --secure-grpc-addr") {
		t.Errorf("exit code %d, %q", code, wrong)
	}
}
