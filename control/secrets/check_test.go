package secrets

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/test/authority"
	"github.com/weftmesh/weft/xds/server"
)

// files has what an authority has written.
type files struct {
	*authority.Authority
	t *testing.T
}

func newFiles(t *testing.T) *files {
	f := &files{authority.New(t, t.TempDir()), t}
	f.Issue("web", []string{"web.test"}, nil)
	f.Issue("other", []string{"other.test"}, nil)
	f.Issue("ended", []string{"web.test"}, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	f.IssueRSA("rsa", []string{"web.test"})
	f.Revoke("list.pem")
	return f
}

func (f *files) read(name string) []byte {
	f.t.Helper()
	b, err := os.ReadFile(filepath.Join(f.Dir, name))
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

// data is a Secret's, of pairs of key and file.
func (f *files) data(pairs ...string) map[string][]byte {
	m := map[string][]byte{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = f.read(pairs[i+1])
	}
	return m
}

func secretOf(namespace, name, kind string, data map[string][]byte) *source.Object {
	return &source.Object{Key: source.Key{Kind: source.Secret, Namespace: namespace, Name: name}, Spec: &source.SecretSpec{Type: kind, Data: data}}
}

// TestCheck says which key of a Secret is wrong, and that nothing is of those that are for others.
func TestCheck(t *testing.T) {
	f := newFiles(t)
	_, edwards, _ := ed25519.GenerateKey(rand.Reader)
	small, _ := rsa.GenerateKey(rand.Reader, 1024)
	with := func(m map[string][]byte, key string, value []byte) map[string][]byte {
		m = maps.Clone(m)
		m[key] = value
		return m
	}
	good := f.data("tls.crt", "web.pem", "tls.key", "web.key")
	for _, c := range []struct {
		name, kind string
		data       map[string][]byte
		want       string // path and text; empty: nothing is wrong
	}{
		{"good", typeTLS, good, ""},
		{"good, RSA", typeTLS, f.data("tls.crt", "rsa.pem", "tls.key", "rsa.key"), ""},
		{"good with roots and a list", "Opaque", f.data("tls.crt", "web.pem", "tls.key", "web.key", "ca.crt", "ca.pem", "ca.crl", "list.pem"), ""},
		{"generic", "", f.data("cert", "web.pem", "key", "web.key", "cacert", "ca.pem", "crl", "list.pem"), ""},
		{"roots alone", "Opaque", f.data("cacert", "ca.pem"), ""},
		{"a password", "Opaque", map[string][]byte{"password": []byte("x"), "key": []byte("y")}, ""},
		{"nothing", "Opaque", nil, ""},
		{"another's key", typeTLS, f.data("tls.crt", "web.pem", "tls.key", "other.key"), "data[tls.key] is not the private key, in PEM, of the certificate in tls.crt"},
		{"a key that is none", typeTLS, with(good, "tls.key", []byte("x")), "data[tls.key] is not the private key"},
		{"no key", typeTLS, f.data("tls.crt", "web.pem"), "data[tls.key] is missing"},
		{"no certificate", typeTLS, f.data("tls.key", "web.key"), "data[tls.crt] is missing"},
		{"nothing, where something ought to be", typeTLS, nil, "data[tls.crt] is missing"},
		{"generic without its key", "Opaque", f.data("cert", "web.pem"), "data[key] is missing"},
		{"a certificate that is none", typeTLS, with(good, "tls.crt", []byte("x")), "data[tls.crt] has no certificate in PEM"},
		{"a certificate that cannot be read", typeTLS, with(good, "tls.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})), "data[tls.crt] certificate 1 cannot be read"},
		{"a key that nobody takes", typeTLS, strangeKey(t, edwards.Public(), edwards), "data[tls.crt] its key is Ed25519"},
		{"a small key", typeTLS, strangeKey(t, small.Public(), small), "data[tls.crt] its key is RSA of 1024 bits"},
		{"roots that are none", "Opaque", map[string][]byte{"ca.crt": []byte("x")}, "data[ca.crt] has no certificate in PEM"},
		{"a list that is none", "Opaque", with(f.data("cacert", "ca.pem"), "crl", []byte("x")), "data[crl] has no list"},
		{"a list that cannot be read", "Opaque", with(f.data("ca.crt", "ca.pem"), "ca.crl", pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: []byte("x")})), "data[ca.crl] a list of revoked certificates cannot be read"},
		{"a staple that is none", typeTLS, with(good, "tls.ocsp-staple", []byte("x")), "data[tls.ocsp-staple] is no OCSP response"},
		{"one that has ended", typeTLS, f.data("tls.crt", "ended.pem", "tls.key", "ended.key"), "warning data[tls.crt] the certificate has ended"},
	} {
		var got string
		for _, p := range Check(secretOf("a", "b", c.kind, c.data)) {
			if p.Warning {
				got += "warning "
			}
			got += p.Path + " " + p.Text
			if p.Name != "b" || strings.Contains(p.Text, "PRIVATE") {
				t.Errorf("%s: %+v", c.name, p)
			}
		}
		if !strings.HasPrefix(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if p := Check(&source.Object{Key: source.Key{Kind: source.ConfigMap, Name: "b"}, Spec: &source.ConfigMapSpec{Data: map[string]string{"ca.crt": "x"}}}); len(p) != 1 || p[0].Path != "data[ca.crt]" {
		t.Errorf("a ConfigMap: %v", p)
	}
	if p := Check(&source.Object{Key: source.Key{Kind: source.Service, Name: "b"}, Spec: &source.ServiceSpec{}}); p != nil {
		t.Errorf("a Service: %v", p)
	}
}

// strangeKey is a certificate of such a key, signed by itself.
func strangeKey(t *testing.T, public, private any) map[string][]byte {
	t.Helper()
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, public, private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{"tls.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), "tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})}
}

// TestCredentials gives by name what is there for a namespace, and says why the rest is withheld.
func TestCredentials(t *testing.T) {
	f := newFiles(t)
	s := &Secrets{credentials: map[credentialKey]credential{}}
	pair := f.data("tls.crt", "web.pem", "tls.key", "web.key", "ca.crt", "ca.pem")
	objects := []*source.Object{
		secretOf("a", "web", typeTLS, pair), secretOf("a", "web-cacert", "Opaque", f.data("cacert", "other.pem")), secretOf("a", "both", typeTLS, pair),
		secretOf("a", "password", "Opaque", map[string][]byte{"password": []byte("x")}), secretOf("b", "web", typeTLS, pair),
		{Key: source.Key{Kind: source.ConfigMap, Namespace: "a", Name: "roots"}, Spec: &source.ConfigMapSpec{Data: map[string]string{"ca.crt": string(f.read("ca.pem")), "tls.key": "x"}}},
	}
	m := mesh.New()
	put := func(list ...*source.Object) {
		var changes []source.Change
		for _, o := range list {
			changes = append(changes, source.Change{Key: o.Key, Object: o})
		}
		m = m.With(changes)
	}
	put(objects...)
	const foreign = `it is of namespace "b" and the proxy of "a"`
	names := []string{}
	for _, c := range []struct{ name, want string }{ // which file it has, or why not
		{"kubernetes://web", "web.pem"},
		{"kubernetes://a/web", "web.pem"},
		{"kubernetes-gateway://a/web", "web.pem"},
		{"kubernetes://web-cacert", "other.pem"}, // the Secret of that name counts first
		{"kubernetes://both-cacert", "ca.pem"},
		{"configmap://a/roots-cacert", "ca.pem"},
		{"configmap://roots", "ca.pem"},
		{"kubernetes://none", "there is no Secret a/none"},
		{"kubernetes://none-cacert", "there is no Secret a/none"},
		{"kubernetes://password", "Secret a/password: it has neither tls.crt with tls.key nor cert with key"},
		{"kubernetes://password-cacert", "Secret a/password: it has neither ca.crt nor cacert"},
		{"kubernetes://b/web", foreign},
		{"kubernetes://b/none", foreign},
		{"kubernetes://b/web-cacert", foreign},
		{"kubernetes-gateway://b/web", foreign},
		{"configmap://b/roots-cacert", foreign},
		{"kubernetes://", "there is no Secret a/"},
		{"kubernetes://../b/web", `it is of namespace ".."`},
		{"default", "want a name"},
	} {
		part, not := s.Credentials(m, "", "a", []string{c.name}, nil)
		if len(not) == 1 {
			if not[0].Name != c.name || !strings.HasPrefix(not[0].Because, c.want) || part != nil {
				t.Errorf("%s: %v, want %s", c.name, not, c.want)
			}
			continue
		}
		names = append(names, c.name)
		var r tlsv3.Secret
		if err := proto.Unmarshal(part.Resources[0].Body, &r); err != nil || r.Name != c.name {
			t.Fatal(err, r.Name)
		}
		got := r.GetTlsCertificate().GetCertificateChain().GetInlineBytes()
		if r.GetValidationContext() != nil {
			got = r.GetValidationContext().GetTrustedCa().GetInlineBytes()
		}
		if !strings.HasSuffix(c.want, ".pem") || !bytes.Equal(got, f.read(c.want)) {
			t.Errorf("%s: is another than %s", c.name, c.want)
		}
	}
	// What is the same stays the same, by pointer, and what is another is that alone.
	part, _ := s.Credentials(m, "", "a", names, nil)
	if again, _ := s.Credentials(m, "", "a", names, part); again != part {
		t.Error("the same credentials are another part")
	}
	f.Issue("web", []string{"web.test"}, nil)
	put(secretOf("a", "both", typeTLS, f.data("tls.crt", "web.pem", "tls.key", "web.key", "ca.crt", "ca.pem")))
	next, _ := s.Credentials(m, "", "a", append(names, "kubernetes://both"), part)
	same := 0
	for _, r := range next.Resources {
		if slices.Contains(part.Resources, r) {
			same++
		}
	}
	if same != len(part.Resources)-1 { // its roots were made again, and are the same bytes
		t.Errorf("%d of %d are the same", same, len(part.Resources))
	}
	if !slices.IsSortedFunc(next.Resources, func(a, b *server.Resource) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("not in the order of names")
	}
	if !bytes.Contains(next.Resources[0].Body, []byte("CERTIFICATE")) {
		t.Error("nothing is in it")
	}
}
