package control

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"

	"github.com/weftmesh/weft/test/authority"
	"github.com/weftmesh/weft/test/vacant"
)

// Doors take clients by their certificates: by the roots of their credential, or those of a secret beside it, less what is revoked; and the application is told who it was.
func TestDoorsTakeClientsByCertificate(t *testing.T) {
	for _, program := range fronts {
		t.Run(program, func(t *testing.T) {
			a, other := authority.New(t, t.TempDir()), authority.Named(t, t.TempDir(), "other")
			names := []string{"both.example.com", "split.example.com", "maybe.example.com", "partner.example.com", "simple.example.com"}
			a.Issue("server", names, nil)
			good := a.Issue("good", []string{"spiffe://partner/good"}, nil)
			lost := a.Issue("lost", []string{"spiffe://partner/lost"}, nil)
			under := a.Under("between", nil).Issue("under", []string{"spiffe://partner/under"}, nil)
			server := a.Issue("only-server", []string{"spiffe://partner/server"}, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
			foreign := other.Issue("foreign", []string{"spiffe://partner/foreign"}, nil)
			a.Revoke("list.pem", lost.Leaf)
			port := vacant.Ports(t, 1)[0]
			pair := map[string]string{"tls.crt": "server.pem", "tls.key": "server.key"}
			f := newFront(t, program, a, fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door, namespace: shop}
spec:
  selector: {app: door}
  servers:
  - {port: {number: %[1]d, name: both, protocol: HTTPS}, hosts: [both.example.com], tls: {mode: MUTUAL, credentialName: both}}
  - {port: {number: %[1]d, name: split, protocol: HTTPS}, hosts: [split.example.com], tls: {mode: MUTUAL, credentialName: split}}
  - {port: {number: %[1]d, name: maybe, protocol: HTTPS}, hosts: [maybe.example.com], tls: {mode: OPTIONAL_MUTUAL, credentialName: both}}
  - {port: {number: %[1]d, name: partner, protocol: HTTPS}, hosts: [partner.example.com], tls: {mode: MUTUAL, credentialName: both, subjectAltNames: ["spiffe://partner/good"]}}
  - {port: {number: %[1]d, name: simple, protocol: HTTPS}, hosts: [simple.example.com], tls: {mode: SIMPLE, credentialName: both}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: all, namespace: shop}
spec: {hosts: ["*.example.com"], gateways: [door], http: [{route: [{destination: {host: web.shop.internal, port: {number: 80}}}]}]}
`, port)+manifestOf(t, a, "shop", "both", "kubernetes.io/tls", map[string]string{"tls.crt": "server.pem", "tls.key": "server.key", "ca.crt": "ca.pem", "ca.crl": "list.pem"})+
				manifestOf(t, a, "shop", "split", "kubernetes.io/tls", pair)+manifestOf(t, other, "shop", "split-cacert", "Opaque", map[string]string{"ca.crt": "ca.pem"}))
			for _, host := range names {
				own := good
				if host == "split.example.com" {
					own = foreign
				}
				f.opens(port, host, own)
			}
			nobody := tls.Certificate{}
			for _, c := range []struct {
				name string
				own  tls.Certificate
				in   string // the hosts that let it in; all others refuse it
			}{
				{"good", good, "both maybe partner simple"},
				{"under", under, "simple"}, // where there is a list, each authority of a chain has to have one
				{"nobody", nobody, "maybe simple"},
				{"lost", lost, "simple"},
				{"foreign", foreign, "split simple"},
				{"server", server, "simple"},
			} {
				for _, host := range names {
					config := f.names(host)
					if c.own.Leaf != nil {
						config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c.own, nil } // even if its authority was not asked for
					}
					said, _ := f.visits(port, host, config, "X-Forwarded-Client-Cert", "URI=spiffe://partner/forged")
					short, _, _ := strings.Cut(host, ".")
					in := strings.Contains(" "+c.in+" ", " "+short+" ")
					if in != strings.HasPrefix(said, "200 host="+host) || !in && !strings.HasPrefix(said, "refused: ") {
						t.Errorf("%s at %s: %s, want that it is let in: %v", c.name, host, said, in)
						continue
					}
					if !in {
						continue
					}
					// The gateway says who it was, and the sidecar that it was the gateway.
					wants, not := []string{"URI=spiffe://cluster.local/ns/shop/sa/door"}, []string{"forged"}
					if c.own.Leaf != nil && short != "simple" {
						wants = append(wants, "Hash=", `Subject="CN=`+c.own.Leaf.Subject.CommonName+`"`, "URI=spiffe://partner/"+c.own.Leaf.Subject.CommonName, "Cert=")
					} else {
						not = append(not, "spiffe://partner")
					}
					for _, want := range wants {
						if !strings.Contains(said, want) {
							t.Errorf("%s at %s: %s, want %s", c.name, host, said, want)
						}
					}
					for _, bad := range not {
						if strings.Contains(said, bad) {
							t.Errorf("%s at %s: %s, want no %s", c.name, host, said, bad)
						}
					}
				}
			}
			// What was begun at a door that asks for nothing is not gone on with at one that does.
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				kept := &anySession{}
				resumes := func(host string) (string, bool) {
					said, met := f.visits(port, host, &tls.Config{ServerName: host, InsecureSkipVerify: true, MaxVersion: version, ClientSessionCache: kept})
					return said, met != nil && met.DidResume
				}
				resumes("simple.example.com")
				if kept.session == nil {
					t.Fatalf("TLS %x: there is no session to go on with", version)
				}
				for _, host := range []string{"both.example.com", "split.example.com", "partner.example.com"} {
					if said, _ := resumes(host); !strings.HasPrefix(said, "refused: ") {
						t.Errorf("TLS %x, %s, by the session of another door: %s", version, host, said)
					}
				}
			}
		})
	}
}

// anySession keeps one session and takes it for everybody's.
type anySession struct{ session *tls.ClientSessionState }

// Get implements tls.ClientSessionCache.
func (a *anySession) Get(string) (*tls.ClientSessionState, bool) { return a.session, a.session != nil }

// Put implements tls.ClientSessionCache.
func (a *anySession) Put(_ string, s *tls.ClientSessionState) {
	if s != nil && a.session == nil {
		a.session = s
	}
}
