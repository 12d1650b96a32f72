package kube

import (
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// letter is a kubeconfig of two contexts, of which the first is the current one, with something said of its cluster and its user.
func letter(cluster, user string) string {
	return `{apiVersion: v1, kind: Config, current-context: one,
clusters: [{name: c, cluster: {` + cluster + `}}, {name: other, cluster: {server: "https://other.test:6443"}}],
users: [{name: u, user: {` + user + `}}, {name: bad, user: {exec: {command: /bin/true, apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never}}}],
contexts: [{name: one, context: {cluster: c, user: u}}, {name: two, context: {cluster: other, user: bad}}, {name: three, context: {cluster: gone, user: u}}]}`
}

// TestKubeconfigsOfOthers refuses what would have a program run, a file read, or somebody believed without proof, by the field.
func TestKubeconfigsOfOthers(t *testing.T) {
	const server, token = `server: "https://one.test:6443/"`, "token: t"
	for _, c := range []struct{ name, text, context, want string }{
		{"a token", letter(server, token), "", ""},
		{"one of two", letter(server, token), "one", ""},
		{"a program of the context that is asked for", letter(server, token), "two", "users[bad].exec is refused, since it has a program run"},
		{"a context that is not there", letter(server, token), "none", `no context "none"`},
		{"a cluster that is not there", letter(server, token), "three", `no cluster "gone"`},
		{"a program", letter(server, "exec: {command: /bin/true, apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never}"), "", "users[u].exec is refused"},
		{"a provider", letter(server, "auth-provider: {name: gcp}"), "", "users[u].auth-provider is refused"},
		{"a file with a token", letter(server, "tokenFile: /etc/passwd"), "", "users[u].tokenFile is refused"},
		{"a file with a token, beside one", letter(server, "token: t, tokenFile: /etc/passwd"), "", "users[u].tokenFile is refused"},
		{"a file with a certificate", letter(server, "client-certificate: /etc/a.pem, client-key-data: YQ=="), "", "users[u].client-certificate is refused"},
		{"a file with a key", letter(server, "client-certificate-data: YQ==, client-key: /etc/a.key"), "", "users[u].client-key is refused"},
		{"a file with an authority", letter(server+", certificate-authority: /etc/ca.pem", token), "", "clusters[c].certificate-authority is refused"},
		{"anybody", letter(server+", insecure-skip-tls-verify: true", token), "", "clusters[c].insecure-skip-tls-verify is refused"},
		{"a proxy", letter(server+", proxy-url: \"http://10.0.0.1:3128\"", token), "", "clusters[c].proxy-url is refused"},
		{"plain text", letter(`server: "http://one.test"`, token), "", "clusters[c].server is refused"},
		{"no server", letter("", token), "", "clusters[c].server is refused"},
		{"no kubeconfig", "[", "", "cannot be read"},
		{"too much", strings.Repeat(" ", MaxKubeconfig+1), "", "want at most 65536"},
	} {
		s, err := Attach("east", []byte(c.text), c.context, "test")
		switch {
		case c.want == "" && (err != nil || s.URL != "https://one.test:6443" || s.Name != "east"):
			t.Errorf("%s: %+v, %v", c.name, s, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	for _, name := range []string{"", "-a", "a b", "a/b", "a\n", strings.Repeat("a", 64)} {
		if _, err := Attach(name, []byte(letter(server, token)), "", "test"); err == nil {
			t.Errorf("the name %q is taken", name)
		}
	}
}

// TestNobodyIsSentElsewhere has an API server that sends on be refused, and whom it names not be asked, whichever way it says it and whatever it is asked.
func TestNobodyIsSentElsewhere(t *testing.T) {
	var asked atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		io.WriteString(w, `{"status": {"authenticated": true, "audiences": ["istio-ca"], "user": {"username": "system:serviceaccount:a:b"}, "allowed": true}}`)
	}))
	defer elsewhere.Close()
	code := 0
	sends := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", elsewhere.URL+"/ca/rotate")
		w.WriteHeader(code)
		io.WriteString(w, `{"kind": "Status", "code": 200}`)
	}))
	defer sends.Close()
	root := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: sends.Certificate().Raw}))
	s, err := Attach("east", []byte(letter(fmt.Sprintf("server: %q, certificate-authority-data: %s", sends.URL, root), "token: t")), "", "test")
	if err != nil {
		t.Fatal(err)
	}
	for _, code = range []int{300, 301, 302, 303, 304, 305, 307, 308} {
		namespace, account, err := s.Review(t.Context(), "a.b.c", "istio-ca")
		may, err2 := s.MayReadSecrets(t.Context(), "a", "b")
		_, said, err3 := s.Call(t.Context(), http.MethodGet, "/api/v1/pods", nil, nil)
		if asked.Load() != 0 || namespace != "" || account != "" || may || !errors.Is(err, ErrUnreviewed) || err2 == nil || said != code || err3 == nil || !strings.Contains(err3.Error(), "want the address of the API server itself") {
			t.Errorf("%d: %d asked, %q %q %v %d, %v, %v, %v", code, asked.Load(), namespace, account, may, said, err, err2, err3)
		}
	}
}

// TestPortable has what is sent elsewhere name no file, and have one context.
func TestPortable(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("ca.pem", "an authority")
	good := write("good", letter(`server: "https://one.test:6443", certificate-authority: ca.pem`, "token: t"))
	text, err := Portable(good, "")
	if err != nil {
		t.Fatal(err)
	}
	if s := string(text); strings.Contains(s, "ca.pem") || strings.Contains(s, "other.test") || strings.Contains(s, "exec") || !strings.Contains(s, "certificate-authority-data: YW4gYXV0aG9yaXR5") {
		t.Errorf("%s", s)
	}
	for _, c := range []struct{ path, context, want string }{
		{good, "two", "exec"},
		{write("token", letter(`server: "https://one.test:6443"`, "tokenFile: ca.pem")), "", "tokenFile"},
		{write("gone", letter(`server: "https://one.test:6443", certificate-authority: gone.pem`, "token: t")), "", "gone.pem"},
		{filepath.Join(dir, "nothing"), "", "no such file"},
	} {
		if _, err := Portable(c.path, c.context); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.path, err, c.want)
		}
	}
}
