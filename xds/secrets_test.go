package xds

import (
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/test/authority"
)

// withSecret is a bootstrap with a listener and a cluster that use secret s of the folder's file.
const withSecret = `
static_resources:
  listeners:
  - name: l
    address: {pipe: {path: /run/a}}
    filter_chains:
    - transport_socket:
        name: tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context: {tls_certificate_sds_secret_configs: [{name: s, sds_config: {path_config_source: {path: FOLDER/sds.yaml}}}]}
      filters: [{name: e, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo}}]
  clusters:
  - name: up
    connect_timeout: 1s
    transport_socket:
      name: tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        common_tls_context: {tls_certificate_sds_secret_configs: [{name: s, sds_config: {path_config_source: {path: FOLDER/sds.yaml}}}]}
`

// secretFile is the file of secret s, whose PEM files are in a folder; more is more of its certificate.
func secretFile(version, folder, more string) string {
	return fmt.Sprintf(`version_info: "%s"
resources:
- "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
  name: s
  tls_certificate: {certificate_chain: {filename: %[2]s/a.pem}, private_key: {filename: %[2]s/a.key}, %[3]s}
`, version, folder, more)
}

// holds waits until the secret is this certificate.
func (s *stage) holds(want *x509.Certificate) {
	s.t.Helper()
	for {
		n := s.snapshot()
		if n.Secrets["s"].Certificate.Leaf.Equal(want) {
			return
		}
	}
}

// A secret's PEM files are files of the configuration: whoever replaces them, and nothing else, has rotated it.
func TestSecretsRotateWithTheirFiles(t *testing.T) {
	pems := t.TempDir()
	a := authority.New(t, pems)
	first := a.Issue("a", []string{"a.test"}, nil)
	s := play(t, withSecret, map[string]string{"sds.yaml": secretFile("1", pems, "")})
	if got := s.feed.Snapshot().Secrets["s"].Certificate.Leaf; !got.Equal(first.Leaf) {
		t.Fatal("another certificate was read")
	}
	if o := s.outcome(); o.Kind != Secrets || o.Name != "s" || o.Err != nil {
		t.Fatal(o)
	}
	before := s.feed.Snapshot()
	for range 3 {
		second := a.Issue("a", []string{"a.test"}, nil)
		s.holds(second.Leaf)
	}
	after := s.feed.Snapshot()
	if after.Listeners[0] != before.Listeners[0] || after.Clusters[0] != before.Clusters[0] {
		t.Error("a listener or a cluster is another one for a rotation")
	}
	if n := s.count(SecretStats, "sds.s.", updateSuccess); n < 4 {
		t.Errorf("%d updates were counted", n)
	}
}

// A key that does not fit, or no longer, keeps the certificate that there is; when the other half has come, both are taken.
func TestHalfARotationChangesNothing(t *testing.T) {
	pems, aside := t.TempDir(), t.TempDir()
	a := authority.New(t, pems)
	first := a.Issue("a", []string{"a.test"}, nil)
	s := play(t, withSecret, map[string]string{"sds.yaml": secretFile("1", pems, "")})
	second := authority.New(t, aside).Issue("a", []string{"a.test"}, nil)
	move := func(name string) {
		if err := os.Rename(filepath.Join(aside, name), filepath.Join(pems, name)); err != nil {
			t.Fatal(err)
		}
	}
	move("a.key")
	for o := s.outcome(); ; o = s.outcome() {
		if o.Err != nil {
			if want := "private key does not match public key"; !strings.Contains(o.Err.Error(), want) || !strings.Contains(o.Err.Error(), pems+"/a.pem") || !strings.Contains(o.Err.Error(), "tls_certificate") {
				t.Errorf("want %s, with the place\ngot  %v", want, o.Err)
			}
			break
		}
	}
	if got := s.feed.Snapshot().Secrets["s"].Certificate.Leaf; !got.Equal(first.Leaf) {
		t.Error("half a rotation has changed something")
	}
	if s.count(SecretStats, "sds.s.", updateRejected) == 0 {
		t.Error("the refusal was not counted")
	}
	move("a.pem")
	s.holds(second.Leaf)
	for _, state := range s.feed.States() {
		if state.Failure != nil {
			t.Errorf("%s still has failed: %s", state.Name, state.Failure.Details)
		}
	}
}

// As Kubernetes does: the files are links through ..data, which is a link to a folder and is replaced by another one.
func TestSecretsRotateByLinks(t *testing.T) {
	for _, c := range []struct {
		name   string
		lay    func(pems string) // links
		swap   string            // the link that is replaced
		more   string            // of the certificate
		folder string            // that it names
	}{
		{"files", func(pems string) {
			for _, f := range []string{"a.pem", "a.key"} {
				os.Symlink(filepath.Join("..data", f), filepath.Join(pems, f))
			}
		}, "..data", "", "."},
		{"files-watched", func(pems string) {
			for _, f := range []string{"a.pem", "a.key"} {
				os.Symlink(filepath.Join("..data", f), filepath.Join(pems, f))
			}
		}, "..data", "watched_directory: {path: PEMS}", "."},
		// Nothing changes in the folder that the files' names lead to, but one above it.
		{"folder-watched", func(string) {}, "current", "watched_directory: {path: PEMS}", "current"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			pems := t.TempDir()
			swap := func(version string) *x509.Certificate {
				folder := filepath.Join(pems, version)
				if err := os.Mkdir(folder, 0o755); err != nil {
					t.Fatal(err)
				}
				leaf := authority.New(t, folder).Issue("a", []string{"a.test"}, nil).Leaf
				if err := os.Symlink(version, filepath.Join(pems, "next")); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(filepath.Join(pems, "next"), filepath.Join(pems, c.swap)); err != nil {
					t.Fatal(err)
				}
				return leaf
			}
			swap("v1")
			c.lay(pems)
			s := play(t, withSecret, map[string]string{"sds.yaml": secretFile("1", filepath.Join(pems, c.folder), strings.ReplaceAll(c.more, "PEMS", pems))})
			for i := range 3 {
				leaf := swap(fmt.Sprint("w", i))
				s.holds(leaf)
				if i == 0 {
					os.RemoveAll(filepath.Join(pems, "v1")) // as Kubernetes tidies up
				}
			}
		})
	}
}

// The file of secrets itself may change, too: to other PEM files, which are followed from then on.
func TestSecretsMoveToOtherFiles(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	authority.New(t, one).Issue("a", []string{"a.test"}, nil)
	b := authority.New(t, two)
	second := b.Issue("a", []string{"a.test"}, nil)
	s := play(t, withSecret, map[string]string{"sds.yaml": secretFile("1", one, "")})
	s.write("sds.yaml", secretFile("2", two, ""))
	s.holds(second.Leaf)
	third := b.Issue("a", []string{"a.test"}, nil)
	s.holds(third.Leaf)
}

// What cannot be served is not taken, though the file is good: a secret of another kind, or none at all.
func TestSecretsStayOfTheirKind(t *testing.T) {
	pems := t.TempDir()
	first := authority.New(t, pems).Issue("a", []string{"a.test"}, nil)
	s := play(t, withSecret, map[string]string{"sds.yaml": secretFile("1", pems, "")})
	s.until("1")
	for version, text := range map[string][2]string{
		"kind":  {`listener l: secret "s" is not a certificate`, `{"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret, name: s, validation_context: {trusted_ca: {filename: ` + pems + `/ca.pem}}}`},
		"other": {`"s" is missing; it holds "t"`, `{"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret, name: t, validation_context: {}}`},
		"ended": {"the certificate ended on", `{"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret, name: s, tls_certificate: {certificate_chain: {filename: ` + pems + `/ended.pem}, private_key: {filename: ` + pems + `/ended.key}}}`},
	} {
		authority.New(t, pems).Issue("ended", nil, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
		s.write("sds.yaml", "version_info: "+version+"\nresources: ["+text[1]+"]\n")
		if o := s.until(version); o.Err == nil || !strings.Contains(o.Err.Error(), text[0]) || !strings.Contains(o.Err.Error(), "sds.yaml") {
			t.Errorf("%s: want %s of sds.yaml, got %v", version, text[0], o.Err)
		}
		if got := s.feed.Snapshot().Secrets["s"].Certificate; got == nil || !got.Leaf.Equal(first.Leaf) {
			t.Errorf("%s: the certificate is another one", version)
		}
	}
	if n := s.count(SecretStats, "sds.s.", updateRejected); n < 3 {
		t.Errorf("%d refusals were counted, want 3", n)
	}
}
