package control

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/weftmesh/weft/test/authority"
	"github.com/weftmesh/weft/test/vacant"
)

// outside is a server outside of the mesh that speaks TLS with that certificate, and says who asks it for what.
func outside(t *testing.T, own tls.Certificate, change func(*tls.Config)) (port int) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := "nobody"
		if all := r.TLS.PeerCertificates; len(all) > 0 {
			who = all[0].Subject.CommonName
		}
		fmt.Fprintf(w, "host=%s at=%s sni=%s who=%s", r.Host, own.Leaf.Subject.CommonName, r.TLS.ServerName, who)
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{own}, ClientAuth: tls.RequestClientCert}
	if change != nil {
		change(s.TLS)
	}
	s.Config.SetKeepAlivesEnabled(false)           // a certificate is judged when a connection begins
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // that a client goes is no news
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().(*net.TCPAddr).Port
}

// At one port some doors end TLS, some pass it on by its SNI as it is, and some are for members of the mesh; and TCP goes through with and without TLS.
func TestDoorsPassOnAndEnd(t *testing.T) {
	for _, program := range fronts {
		t.Run(program, func(t *testing.T) {
			a := authority.New(t, t.TempDir())
			a.Issue("own", []string{"ended.example.com", "raw.example.com"}, nil)
			first := a.Issue("first", []string{"pass.example.com", "a.pass.example.com"}, nil)
			second := a.Issue("second", []string{"b.pass.example.com"}, nil)
			client := a.Issue("client", nil, nil)
			ports := vacant.Ports(t, 3)
			port, raw, plain := ports[0], ports[1], ports[2]
			f := newFront(t, program, a, fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door, namespace: shop}
spec:
  selector: {app: door}
  servers:
  - {port: {number: %[1]d, name: pass, protocol: TLS}, hosts: [pass.example.com, "*.pass.example.com"], tls: {mode: PASSTHROUGH}}
  - {port: {number: %[1]d, name: ended, protocol: HTTPS}, hosts: [ended.example.com], tls: {mode: SIMPLE, credentialName: own}}
  - {port: {number: %[1]d, name: members, protocol: HTTPS}, hosts: [members.example.com], tls: {mode: ISTIO_MUTUAL}}
  - {port: {number: %[2]d, name: raw, protocol: TLS}, hosts: [raw.example.com], tls: {mode: SIMPLE, credentialName: own}}
  - {port: {number: %[3]d, name: plain, protocol: TCP}, hosts: ["*"]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: pass, namespace: shop}
spec:
  hosts: [pass.example.com, "*.pass.example.com"]
  gateways: [door]
  tls:
  - {match: [{port: %[1]d, sniHosts: [pass.example.com, a.pass.example.com]}], route: [{destination: {host: first.test, port: {number: 443}}}]}
  - {match: [{port: %[1]d, sniHosts: [b.pass.example.com]}], route: [{destination: {host: second.test, port: {number: 443}}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ended, namespace: shop}
spec: {hosts: [ended.example.com, members.example.com], gateways: [door], http: [{route: [{destination: {host: web.shop.internal, port: {number: 80}}}]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: raw, namespace: shop}
spec: {hosts: ["*"], gateways: [door], tcp: [{match: [{port: %[2]d}, {port: %[3]d}], route: [{destination: {host: web.shop.internal, port: {number: 81}}}]}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: first, namespace: shop}
spec: {hosts: [first.test], location: MESH_EXTERNAL, resolution: STATIC, ports: [{number: 443, name: tls, protocol: TLS}], endpoints: [{address: 127.0.0.1, ports: {tls: %[4]d}}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: second, namespace: shop}
spec: {hosts: [second.test], location: MESH_EXTERNAL, resolution: STATIC, ports: [{number: 443, name: tls, protocol: TLS}], endpoints: [{address: 127.0.0.1, ports: {tls: %[5]d}}]}
`, port, raw, plain, outside(t, first, nil), outside(t, second, nil))+manifestOf(t, a, "shop", "own", "kubernetes.io/tls", map[string]string{"tls.crt": "own.pem", "tls.key": "own.key"}))
			f.opens(port, "ended.example.com")
			member, _ := f.plane.join("spiffe://cluster.local/ns/other/sa/member")
			members := func(own ...tls.Certificate) *tls.Config {
				return &tls.Config{ServerName: "members.example.com", InsecureSkipVerify: true, Certificates: own} // its certificate has an identity, and no name; it is looked at below
			}
			for _, c := range []struct {
				name, host string
				port       int
				config     *tls.Config
				want       string // "refused", or what is in the answer
				shows      string // by its common name, or identity
			}{
				{"passed on", "pass.example.com", port, f.names("pass.example.com", client), "200 host=pass.example.com at=first sni=pass.example.com who=client", "first"},
				{"passed on by a name under the wildcard", "a.pass.example.com", port, f.names("a.pass.example.com"), "200 host=a.pass.example.com at=first sni=a.pass.example.com who=nobody", "first"},
				{"to somebody else", "b.pass.example.com", port, f.names("b.pass.example.com"), "200 host=b.pass.example.com at=second", "second"},
				{"a name that no route has", "c.pass.example.com", port, f.names("c.pass.example.com"), "refused: ", ""},
				{"ended at the same port", "ended.example.com", port, f.names("ended.example.com"), "200 host=ended.example.com proto=https", "own"},
				{"a member", "members.example.com", port, members(*member), "URI=spiffe://cluster.local/ns/other/sa/member", "spiffe://cluster.local/ns/shop/sa/door"},
				{"no member", "members.example.com", port, members(), "refused: ", ""},
				{"somebody else's member", "members.example.com", port, members(client), "refused: ", ""},
				{"ended, and TCP inside", "raw.example.com", raw, func() *tls.Config { c := f.names("raw.example.com"); c.NextProtos = []string{"http/1.1"}; return c }(), "200 host=raw.example.com", "own"},
				{"of another name", "ended.example.com", raw, f.names("ended.example.com"), "refused: ", ""},
			} {
				said, met := f.visits(c.port, c.host, c.config)
				if !strings.Contains(said, c.want) {
					t.Errorf("%s: %s, want %s", c.name, said, c.want)
					continue
				}
				if met == nil {
					continue
				}
				shown := met.PeerCertificates[0].Subject.CommonName
				if uris := met.PeerCertificates[0].URIs; len(uris) > 0 {
					shown = uris[0].String()
				}
				if shown != c.shows {
					t.Errorf("%s: it has met %s, want %s", c.name, shown, c.shows)
				}
			}
			// TCP comes to the application through the sidecar, as the gateway's.
			if got := answer(t, "GET", plain, "/", "any.test"); !strings.HasPrefix(got, "200 host=any.test") {
				t.Errorf("by TCP: %s", got)
			}
			// What is no TLS, where names are asked for, leads nowhere (hazard 65).
			line, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				t.Fatal(err)
			}
			defer line.Close()
			fmt.Fprintf(line, "GET / HTTP/1.1\r\nhost: pass.example.com\r\n\r\n")
			if b, _ := io.ReadAll(line); len(b) > 0 {
				t.Errorf("in plain text: %q", b)
			}
		})
	}
}
