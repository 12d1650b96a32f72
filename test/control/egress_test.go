package control

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weftmesh/weft/test/authority"
	"github.com/weftmesh/weft/test/vacant"
)

// strictly passes a server's connections on, and counts those whose first byte is none of a handshake of TLS.
func strictly(t *testing.T, to int, plain *atomic.Int64) (port int) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer in.Close()
				out, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", to))
				if err != nil {
					return
				}
				defer out.Close()
				go func() {
					defer out.Close()
					b := make([]byte, 1)
					if n, _ := in.Read(b); n == 0 {
						return
					}
					if b[0] != 22 {
						plain.Add(1)
						return
					}
					out.Write(b)
					out.(*net.TCPConn).ReadFrom(in)
				}()
				in.(*net.TCPConn).ReadFrom(out)
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// Requests to who is outside go by mTLS to an egress gateway and from there over TLS that it opens, by the keys and the roots of credentials; a server that is not who it should be is told nothing, and
// what cannot be judged fails (hazard 67), never in plain text.
func TestEgressGatewaysOpenTLS(t *testing.T) {
	for _, program := range fronts {
		t.Run(program, func(t *testing.T) {
			a, other := authority.New(t, t.TempDir()), authority.Named(t, t.TempDir(), "other")
			a.Issue("egress", nil, nil)
			ports := vacant.Ports(t, 4)
			in, service, target, secure := ports[0], ports[1], ports[2], ports[3] // where the sidecar listens, the gateway's port as a service and on this host, and that of who is outside
			var plain atomic.Int64
			var objects strings.Builder
			fmt.Fprintf(&objects, `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: egress, namespace: shop}
spec: {hosts: [egress.shop.internal], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: %d, name: https, protocol: HTTPS}], endpoints: [{address: 127.0.0.1, labels: {app: door}, serviceAccount: door, ports: {https: %d}}]}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: client, namespace: shop}
spec: {workloadSelector: {labels: {app: client}}, outboundTrafficPolicy: {mode: REGISTRY_ONLY}, egress: [{hosts: ["./*"]}]}
`, service, target)
			cases := []struct{ name, tls, want string }{
				{"simple", "{mode: SIMPLE, credentialName: roots}", "200 host=simple.test at=simple sni=simple.test who=nobody"},
				{"mutual", "{mode: MUTUAL, credentialName: pair}", "200 host=mutual.test at=mutual sni=mutual.test who=egress"},
				{"named", "{mode: SIMPLE, credentialName: roots, sni: elsewhere.test, subjectAltNames: [named.test]}", "200 host=named.test at=named sni=elsewhere.test who=nobody"},
				{"misnamed", "{mode: SIMPLE, credentialName: roots, subjectAltNames: [other.test]}", "503"},
				{"stranger", "{mode: SIMPLE, credentialName: others}", "503"},
				{"missing", "{mode: SIMPLE, credentialName: nowhere}", "503"},
				{"keyless", "{mode: MUTUAL, credentialName: roots}", "503"},
				{"wants", "{mode: SIMPLE, credentialName: roots}", "503"}, // a certificate, which it is not shown
			}
			var hosts, subsets []string
			for _, c := range cases {
				host := c.name + ".test"
				hosts = append(hosts, host)
				subsets = append(subsets, fmt.Sprintf("{name: %s, trafficPolicy: {tls: {mode: ISTIO_MUTUAL, sni: %s}}}", c.name, host))
				var change func(*tls.Config)
				if c.name == "mutual" || c.name == "keyless" || c.name == "wants" {
					change = func(s *tls.Config) { s.ClientAuth, s.ClientCAs = tls.RequireAndVerifyClientCert, a.Pool() }
				}
				fmt.Fprintf(&objects, `---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: %[1]s, namespace: shop}
spec:
  hosts: [%[2]s]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{number: %[3]d, name: http, protocol: HTTP}, {number: %[4]d, name: https, protocol: HTTPS}]
  endpoints: [{address: 127.0.0.1, ports: {http: %[5]d, https: %[5]d}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: %[1]s, namespace: shop}
spec: {host: %[2]s, trafficPolicy: {portLevelSettings: [{port: {number: %[4]d}, tls: %[6]s}]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: %[1]s, namespace: shop}
spec:
  hosts: [%[2]s]
  gateways: [mesh, egress]
  http:
  - {match: [{gateways: [mesh], port: %[3]d}], route: [{destination: {host: egress.shop.internal, subset: %[1]s, port: {number: %[7]d}}}]}
  - {match: [{gateways: [egress], port: %[7]d}], route: [{destination: {host: %[2]s, port: {number: %[4]d}}}]}
`, c.name, host, in, secure, strictly(t, outside(t, a.Issue(c.name, []string{host}, nil), change), &plain), c.tls, service)
			}
			fmt.Fprintf(&objects, `---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: egress, namespace: shop}
spec: {selector: {app: door}, servers: [{port: {number: %d, name: https, protocol: HTTPS}, hosts: [%s], tls: {mode: ISTIO_MUTUAL}}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: egress, namespace: shop}
spec: {host: egress.shop.internal, subsets: [%s]}
`, service, strings.Join(hosts, ", "), strings.Join(subsets, ", "))
			objects.WriteString(manifestOf(t, a, "shop", "roots", "Opaque", map[string]string{"cacert": "ca.pem"}) +
				manifestOf(t, other, "shop", "others", "Opaque", map[string]string{"ca.crt": "ca.pem"}) +
				manifestOf(t, a, "shop", "pair", "kubernetes.io/tls", map[string]string{"tls.crt": "egress.pem", "tls.key": "egress.key", "ca.crt": "ca.pem"}))
			f := newFront(t, program, a, objects.String())
			f.plane.joinsBeside("client", "client").isReady()
			asks := func(host string) string { return answer(t, http.MethodGet, in, "/", host) }
			last := ""
			defer func() {
				if t.Failed() {
					t.Log(last)
				}
			}()
			eventually(t, "the way is open", func() bool { last = asks("simple.test"); return last == cases[0].want })
			for _, c := range cases {
				if got := asks(c.name + ".test"); !strings.HasPrefix(got, c.want) {
					t.Errorf("%s: %s, want %s", c.name, got, c.want)
				}
			}
			// What the mesh knows nothing of goes nowhere, neither from the sidecar nor by the gateway.
			if got := asks("unknown.test"); !strings.HasPrefix(got, "502") {
				t.Errorf("a host that nobody knows: %s", got)
			}
			member, _ := f.plane.join("spiffe://cluster.local/ns/other/sa/member")
			visit := func(sni, host string) string {
				said, _ := f.visits(target, host, &tls.Config{ServerName: sni, InsecureSkipVerify: true, Certificates: []tls.Certificate{*member}})
				return said
			}
			if got := visit("simple.test", "simple.test"); got != cases[0].want {
				t.Errorf("a member at the gateway: %s", got)
			}
			if got := visit("unknown.test", "unknown.test"); !strings.HasPrefix(got, "refused: ") {
				t.Errorf("a member that asks the gateway for what nobody knows: %s", got)
			}
			if got := visit("simple.test", "unknown.test"); !strings.HasPrefix(got, "4") {
				t.Errorf("and under another name: %s", got)
			}
			if got, _ := f.visits(target, "simple.test", f.names("simple.test")); !strings.HasPrefix(got, "refused: ") {
				t.Errorf("who is no member is let in: %s", got)
			}
			// A credential that comes is used, and one that goes wrong is not.
			f.plane.write("nowhere.yaml", manifestOf(t, a, "shop", "nowhere", "Opaque", map[string]string{"ca.crt": "ca.pem"}))
			eventually(t, "whom to believe has come", func() bool {
				last = asks("missing.test")
				return strings.HasPrefix(last, "200 host=missing.test at=missing")
			})
			f.plane.write("nowhere.yaml", manifestOf(t, other, "shop", "nowhere", "Opaque", map[string]string{"ca.crt": "ca.pem"}))
			eventually(t, "whom to believe is another", func() bool { last = asks("missing.test"); return strings.HasPrefix(last, "503") })
			if n := plain.Load(); n > 0 {
				t.Errorf("%d connections came in plain text to who is outside", n)
			}
		})
	}
}
