package console

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weftmesh/weft/control/store"
)

// TestRoles asks everything as everybody.
func TestRoles(t *testing.T) {
	w := newWorld(t, store.NewMemory())
	w.file("{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: a}, type: Opaque, data: {password: c2VjcmV0}}")
	w.open(fmt.Sprintf(`
users:
- {name: root, tokenSHA256: %s, roles: {"*": admin}}
- {name: view, tokenSHA256: %s, roles: {"*": viewer}}
- {name: edit-a, tokenSHA256: %s, roles: {a: editor}}
- {name: edit-b, tokenSHA256: %s, roles: {b: editor, a: viewer}}
- {name: admin-a, tokenSHA256: %s, roles: {a: admin}}
`, sum("t-root"), sum("t-view"), sum("t-edit-a"), sum("t-edit-b"), sum("t-admin-a")))
	policy := "{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: p, namespace: a}, spec: {mtls: {mode: STRICT}}}"
	space := "{apiVersion: v1, kind: Namespace, metadata: {name: c}}"
	both := shop("a.test") + "---\n" + strings.Replace(shop("b.test"), "namespace: a", "namespace: b", 1)
	who := []string{"none", "wrong", "t-view", "t-edit-a", "t-edit-b", "t-admin-a", "t-root"}
	for _, one := range []struct {
		method, path, body string
		codes              [7]int // none, wrong, view, edit-a, edit-b, admin-a, root
	}{
		{"GET", "/api/whoami", "", [7]int{401, 401, 200, 200, 200, 200, 200}},
		{"GET", "/api/status", "", [7]int{401, 401, 200, 403, 403, 403, 200}},
		{"GET", "/api/clusters", "", [7]int{401, 401, 200, 403, 403, 403, 200}},
		{"PUT", "/api/clusters/east", `{"kubeconfig": "wrong"}`, [7]int{401, 401, 403, 403, 403, 403, 422}},
		{"PUT", "/api/clusters/east", `{"kubeconfig": "right"}`, [7]int{401, 401, 403, 403, 403, 403, 200}},
		{"PUT", "/api/clusters/west", `{"kubeconfig": "right", "discovery": true}`, [7]int{401, 401, 403, 403, 403, 403, 400}},
		{"DELETE", "/api/clusters/east", "", [7]int{401, 401, 403, 403, 403, 403, 200}},
		{"DELETE", "/api/clusters/east", "", [7]int{401, 401, 403, 403, 403, 403, 404}},
		{"PUT", "/api/broken/injection", `{"reason": "it does harm"}`, [7]int{401, 401, 403, 403, 403, 403, 200}},
		{"PUT", "/api/broken/injection", `{"reason": " "}`, [7]int{401, 401, 403, 403, 403, 403, 400}},
		{"PUT", "/api/broken/injection", `{"reason": "long", "for": "8760h"}`, [7]int{401, 401, 403, 403, 403, 403, 400}},
		{"PUT", "/api/broken/something", `{"reason": "it does harm"}`, [7]int{401, 401, 403, 403, 403, 403, 404}},
		{"DELETE", "/api/broken/injection", "", [7]int{401, 401, 403, 403, 403, 403, 200}},
		{"DELETE", "/api/broken/injection", "", [7]int{401, 401, 403, 403, 403, 403, 404}},
		{"GET", "/api/nothing", "", [7]int{404, 404, 404, 404, 404, 404, 404}},
		{"POST", "/api/objects?dryRun=true", shop("a.test"), [7]int{401, 401, 403, 200, 403, 200, 200}},
		{"POST", "/api/objects?dryRun=true", both, [7]int{401, 401, 403, 403, 403, 403, 200}},
		{"POST", "/api/objects?dryRun=true", policy, [7]int{401, 401, 403, 403, 403, 200, 200}},
		{"POST", "/api/objects?dryRun=true", space, [7]int{401, 401, 403, 403, 403, 403, 200}},
		{"POST", "/api/objects", shop("a.test"), [7]int{401, 401, 403, 200, 403, 200, 200}},
		{"GET", "/api/objects/" + shopPath, "", [7]int{401, 401, 200, 200, 200, 200, 200}},
		{"GET", "/api/objects/vs/b/shop", "", [7]int{401, 401, 404, 403, 404, 403, 404}},
		{"GET", "/api/objects/ns/-/c", "", [7]int{401, 401, 404, 403, 403, 403, 404}},
		{"GET", "/api/objects?namespace=b", "", [7]int{401, 401, 200, 403, 200, 403, 200}},
		{"GET", "/api/objects", "", [7]int{401, 401, 200, 200, 200, 200, 200}},
		{"GET", "/api/history/" + shopPath, "", [7]int{401, 401, 200, 200, 200, 200, 200}},
		{"GET", "/api/history/" + shopPath + "/1", "", [7]int{401, 401, 200, 200, 200, 200, 200}},
		{"GET", "/api/history/vs/b/shop/1", "", [7]int{401, 401, 404, 403, 404, 403, 404}},
		{"POST", "/api/rollback/" + shopPath + "/1", "", [7]int{401, 401, 403, 200, 403, 200, 200}},
		{"DELETE", "/api/objects/" + shopPath + "?dryRun=true", "", [7]int{401, 401, 403, 200, 403, 200, 200}},
		{"DELETE", "/api/objects/secret/a/s", "", [7]int{401, 401, 403, 403, 403, 409, 409}},
		{"POST", "/api/objects?dryRun=true&author=canary", shop("a.test"), [7]int{401, 401, 403, 403, 403, 403, 403}},
	} {
		for i, token := range who {
			body := w.expect(request{method: one.method, path: one.path, body: one.body, token: token}, one.codes[i])
			if one.codes[i] == 403 && !strings.Contains(body, "may not") {
				t.Errorf("%s %s: %s", one.method, one.path, body)
			}
			if t.Failed() {
				t.Fatalf("as %s", token)
			}
		}
	}
	w.expect(request{method: "POST", path: "/api/objects", body: policy, token: "t-edit-a"}, 403, "edit-a may not change PeerAuthentication a/p: that takes the role admin in namespace a, and the roles are {a: editor}")
	w.expect(request{method: "POST", path: "/api/objects?author=edit-a/canary", body: shop("c.test"), token: "t-edit-a"}, 200)
	w.expect(request{method: "GET", path: "/api/objects/" + shopPath, token: "t-view"}, 200, `"author": "edit-a/canary"`)
	for token, sees := range map[string]bool{"t-root": true, "t-admin-a": true, "t-view": false, "t-edit-a": false} {
		for _, path := range []string{"/api/objects/secret/a/s", "/api/objects?kind=secret"} {
			body := w.expect(request{method: "GET", path: path, token: token}, 200, "password")
			if strings.Contains(body, "c2VjcmV0") != sees {
				t.Errorf("as %s: %s", token, body)
			}
		}
	}
	if body := w.expect(request{method: "GET", path: "/api/objects?kind=vs", token: "t-edit-b"}, 200); strings.Count(body, `"inForce"`) != 1 {
		t.Errorf("as edit-b: %s", body)
	}
	refused := 0
	for _, e := range w.entries {
		if strings.Contains(e, "PeerAuthentication a/p edit-a may not") {
			refused++
		}
	}
	if refused != 2 {
		t.Errorf("what was refused is not in the audit: %q", w.entries)
	}
	for header, code := range map[string]int{"bearer t-root": 200, "Bearer": 401, "Bearer ": 401, "Basic t-root": 401, "Bearer  t-root": 401, "t-root": 401, "Bearer " + sum("t-root"): 401} {
		w.expect(request{method: "GET", path: "/api/whoami", token: "none", header: map[string]string{"Authorization": header}}, code)
	}
}

// Who is taken out of the file is out at once, and a file that is wrong lets nobody in.
func TestTheFileOfUsersIsFollowed(t *testing.T) {
	w := newWorld(t, store.NewMemory())
	line := func(name, role string) string {
		return fmt.Sprintf("- {name: %s, tokenSHA256: %s, roles: {a: %s}}\n", name, sum("t-"+name), role)
	}
	w.open("users:\n" + line("ann", "viewer"))
	as := func(name string, code int, words ...string) {
		t.Helper()
		w.expect(request{method: "GET", path: "/api/whoami", token: "t-" + name}, code, words...)
	}
	as("ann", 200, `"a": "viewer"`)
	as("ben", 401)
	w.write("users:\n" + line("ann", "admin") + line("ben", "viewer"))
	as("ann", 200, `"a": "admin"`)
	as("ben", 200)
	w.write("users:\n" + line("ben", "viewer"))
	as("ann", 401)
	w.write("users:\n" + line("ben", "wiewer"))
	as("ben", 401)
	as("ben", 401)
	if n := w.log.count("want viewer, editor or admin"); n != 1 {
		t.Errorf("it is said %d times", n)
	}
	if err := os.Remove(w.users); err != nil {
		t.Fatal(err)
	}
	as("ben", 401)
	w.write("users:\n" + line("ben", "viewer"))
	as("ben", 200)
}

func TestFilesOfUsersThatAreWrong(t *testing.T) {
	good := sum("x")
	for text, want := range map[string]string{
		"users: [{name: a}]":                                                   "users[0].roles: are not said",
		"users: [{name: '', roles: {a: viewer}}]":                              "users[0].name",
		"users: [{name: 'a b', roles: {a: viewer}}]":                           "users[0].name",
		"users: [{name: a, role: {a: viewer}}]":                                "field role not found",
		"users: [{name: a, roles: {a: viewer}}]":                               "oidc: is missing, and there are users without tokenSHA256",
		"groups: [{name: a, roles: {a: viewer}}]":                              "oidc: is missing, and there are groups",
		"groups: [{roles: {a: viewer}}]":                                       "groups[0].name: is not said",
		"users: [{name: a, tokenSHA256: secret, roles: {a: viewer}}]":          "users[0].tokenSHA256: want the SHA-256",
		"users: [{name: a, tokenSHA256: " + sum("") + ", roles: {a: viewer}}]": "empty token",
		"users: [{name: a, tokenSHA256: " + good + ", roles: {a: viewer}}, {name: b, tokenSHA256: " + good + ", roles: {a: viewer}}]":     `users[1].tokenSHA256: is the one of "a"`,
		"users: [{name: a, tokenSHA256: " + good + ", roles: {a: viewer}}, {name: a, tokenSHA256: " + sum("y") + ", roles: {a: viewer}}]": "users[1].name: \"a\" is there twice",
		"oidc: {issuer: 'http://a.test', audience: b}":                "want https",
		"oidc: {issuer: 'https://a.test'}":                            "oidc.audience: is not said",
		"oidc: {issuer: a, audience: b}":                              "oidc.issuer",
		"oidc: {issuer: 'https://a.test', audience: b, ca: /nowhere}": "oidc.ca",
		"users: []\n---\nusers: []":                                   "several documents",
		"- a":                                                         "cannot unmarshal",
	} {
		if _, err := parseUsers([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v: want %q", text, err, want)
		}
	}
}

// issuer is an OpenID provider.
type issuer struct {
	*httptest.Server
	key   *ecdsa.PrivateKey
	id    string // of the key
	asked atomic.Int64
	away  atomic.Bool
}

func newIssuer(t *testing.T) *issuer {
	i := &issuer{}
	i.rotate(t)
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"issuer": %q, "jwks_uri": %q, "id_token_signing_alg_values_supported": ["ES256"]}`, i.URL, i.URL+"/keys")
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, r *http.Request) {
		i.asked.Add(1)
		b64 := func(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.FillBytes(make([]byte, 32))) }
		fmt.Fprintf(w, `{"keys": [{"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": %q, "x": %q, "y": %q}]}`, i.id, b64(i.key.X), b64(i.key.Y))
	})
	i.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if i.away.Load() {
			http.Error(w, "away", http.StatusBadGateway)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) rotate(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i.key, i.id = key, fmt.Sprintf("%x", key.X.Bytes()[:4])
}

// token signs claims that are good but for those that are said.
func (i *issuer) token(t *testing.T, head, said map[string]any) string {
	t.Helper()
	h := map[string]any{"alg": "ES256", "typ": "JWT", "kid": i.id}
	c := map[string]any{"iss": i.URL, "aud": "weft", "sub": "1234", "email": "ann@shop.test", "email_verified": true, "exp": time.Now().Add(time.Minute).Unix(), "iat": time.Now().Unix(), "groups": []string{"shop", "others"}}
	for k, v := range head {
		h[k] = v
	}
	for k, v := range said {
		if c[k] = v; v == nil {
			delete(c, k)
		}
	}
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	text := part(h) + "." + part(c)
	switch h["alg"] {
	case "none":
		return text + "."
	case "HS256": // by what everybody knows
		m := hmac.New(sha256.New, i.key.X.Bytes())
		m.Write([]byte(text))
		return text + "." + base64.RawURLEncoding.EncodeToString(m.Sum(nil))
	}
	digest := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, i.key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}

// TestOIDC takes the tokens of an OpenID provider that are good, and no others.
func TestOIDC(t *testing.T) {
	i := newIssuer(t)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, store.NewMemory())
	w.file("{apiVersion: v1, kind: Namespace, metadata: {name: a}}")
	i.away.Store(true)
	w.open(fmt.Sprintf(`
users:
- {name: ann@shop.test, roles: {b: viewer}}
- {name: fixed@shop.test, tokenSHA256: %s, roles: {"*": admin}}
groups:
- {name: shop, roles: {a: editor}}
oidc: {issuer: %q, audience: weft, usernameClaim: email, ca: %q}
`, sum("t"), i.URL, ca))
	as := func(token string, code int, words ...string) {
		t.Helper()
		w.expect(request{method: "GET", path: "/api/whoami", token: token}, code, words...)
	}
	as(i.token(t, nil, nil), 401) // the provider is away, and comes back
	i.away.Store(false)
	w.eventually("it is asked again", func() bool {
		code, _ := w.ask(request{method: "GET", path: "/api/whoami", token: i.token(t, nil, nil)})
		return code == 200
	})
	as(i.token(t, nil, nil), 200, `"name": "ann@shop.test"`, `"a": "editor"`, `"b": "viewer"`, `"by": "oidc `+i.URL)
	as(i.token(t, nil, map[string]any{"groups": "shop"}), 200, `"a": "editor"`)
	as(i.token(t, nil, map[string]any{"groups": nil, "email": "new@shop.test"}), 200, `"roles": {}`)
	as(i.token(t, nil, map[string]any{"email": "fixed@shop.test", "groups": nil}), 200, `"roles": {}`) // he is who has the token of the file, and nobody else
	w.expect(request{method: "POST", path: "/api/objects", body: shop("a.test"), token: i.token(t, nil, nil)}, 200, "created")
	for name, token := range map[string]string{
		"another's audience": i.token(t, nil, map[string]any{"aud": "others"}),
		"no audience":        i.token(t, nil, map[string]any{"aud": nil}),
		"another issuer":     i.token(t, nil, map[string]any{"iss": "https://evil.test"}),
		"expired":            i.token(t, nil, map[string]any{"exp": time.Now().Add(-time.Minute).Unix()}),
		"never expires":      i.token(t, nil, map[string]any{"exp": nil}),
		"not yet":            i.token(t, nil, map[string]any{"nbf": time.Now().Add(time.Hour).Unix()}),
		"no name":            i.token(t, nil, map[string]any{"email": nil}),
		"a name of two":      i.token(t, nil, map[string]any{"email": "ann ben"}),
		"a list of names":    i.token(t, nil, map[string]any{"email": []string{"ann@shop.test"}}),
		"not verified":       i.token(t, nil, map[string]any{"email_verified": false}),
		"verified by nobody": i.token(t, nil, map[string]any{"email_verified": nil}),
		"groups of numbers":  i.token(t, nil, map[string]any{"groups": []int{1}}),
		"many groups":        i.token(t, nil, map[string]any{"groups": strings.Split(strings.Repeat("g ", maxGroups+1), " ")}),
		"not signed":         i.token(t, map[string]any{"alg": "none"}, nil),
		"a shared key":       i.token(t, map[string]any{"alg": "HS256"}, nil),
		"another key":        (&issuer{Server: i.Server, key: func() *ecdsa.PrivateKey { k, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader); return k }(), id: i.id}).token(t, nil, nil),
		"cut":                i.token(t, nil, nil)[:100],
		"no JWT":             "a.b.c",
		"empty parts":        "..",
	} {
		if code, body := w.ask(request{method: "GET", path: "/api/whoami", token: token}); code != 401 || strings.Contains(body, "oidc") || strings.Contains(body, "expired") {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
	// Whoever has no good token cannot have the provider asked as often as he likes, and a new key is found all the same.
	before, began := i.asked.Load(), time.Now()
	for range 200 {
		as(i.token(t, map[string]any{"kid": rand.Text()}, nil), 401)
	}
	if n := i.asked.Load() - before; n > int64(time.Since(began)/oidcPace)+2 {
		t.Errorf("the keys were asked for %d times", n)
	}
	i.rotate(t)
	w.eventually("the new key is known", func() bool {
		code, _ := w.ask(request{method: "GET", path: "/api/whoami", token: i.token(t, nil, nil)})
		return code == 200
	})
}

// FuzzUsers: what is taken gives nobody a role that is none, and no token that anybody could guess.
func FuzzUsers(f *testing.F) {
	f.Add([]byte("users: [{name: a, tokenSHA256: " + sum("x") + ", roles: {a: viewer, '*': admin}}]\n"))
	f.Add([]byte("users: [{name: a@b, roles: {a: editor}}]\ngroups: [{name: g, roles: {b: viewer}}]\noidc: {issuer: 'https://a.test', audience: b}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := parseUsers(data)
		if err != nil {
			return
		}
		all := []Grants{}
		for key, one := range p.byToken {
			if all = append(all, one.grants); key == sha256.Sum256(nil) || one.name == "" {
				t.Errorf("%+v", one)
			}
		}
		for _, one := range p.byName {
			all = append(all, one.grants)
		}
		for _, g := range p.groups {
			all = append(all, g)
		}
		for _, g := range all {
			for namespace, r := range g {
				if r < Viewer || r > Admin {
					t.Errorf("%q: %d", namespace, r)
				}
			}
		}
		if p.oidc == nil && len(p.byName)+len(p.groups) > 0 {
			t.Error("there are people whom nobody knows")
		}
	})
}
