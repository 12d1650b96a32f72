package control

import (
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/weftmesh/weft/test/authority"
	"github.com/weftmesh/weft/test/vacant"
)

// Of several hosts at a port a client gets that which it asks for by SNI, with that host's certificate and routes, by the HTTP that it speaks, and nobody gets another's.
func TestDoorsAreToldApartByName(t *testing.T) {
	for _, program := range fronts {
		t.Run(program, func(t *testing.T) {
			a := authority.New(t, t.TempDir())
			files := map[string]string{"tls.crt": "one.pem", "tls.key": "one.key"}
			one := a.Issue("one", []string{"one.example.com"}, nil)
			two := a.Issue("two", []string{"two.example.com", "*.wild.example.com"}, nil)
			objects := manifestOf(t, a, "shop", "one", "kubernetes.io/tls", files) +
				manifestOf(t, a, "shop", "two", "Opaque", map[string]string{"cert": "two.pem", "key": "two.key"})
			ports := vacant.Ports(t, 4)
			https, plain, tight, narrow := ports[0], ports[1], ports[2], ports[3]
			f := newFront(t, program, a, fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door, namespace: shop}
spec:
  selector: {app: door}
  servers:
  - {port: {number: %[1]d, name: one, protocol: HTTPS}, hosts: [one.example.com], tls: {mode: SIMPLE, credentialName: one}}
  - {port: {number: %[1]d, name: two, protocol: HTTPS}, hosts: [two.example.com, "*.wild.example.com"], tls: {mode: SIMPLE, credentialName: "kubernetes://two"}}
  - {port: {number: %[2]d, name: sent, protocol: HTTP}, hosts: [one.example.com], tls: {httpsRedirect: true}}
  - {port: {number: %[2]d, name: plain, protocol: HTTP}, hosts: [plain.example.com]}
  - {port: {number: %[3]d, name: tight, protocol: HTTPS}, hosts: [one.example.com], tls: {mode: SIMPLE, credentialName: one, minProtocolVersion: TLSV1_3}}
  - {port: {number: %[4]d, name: narrow, protocol: HTTPS}, hosts: [one.example.com], tls: {mode: SIMPLE, credentialName: one, maxProtocolVersion: TLSV1_2, cipherSuites: [ECDHE-ECDSA-AES256-GCM-SHA384]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: one, namespace: shop}
spec: {hosts: [one.example.com, plain.example.com], gateways: [door], http: [{route: [{destination: {host: web.shop.internal, port: {number: 80}}}]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: two, namespace: shop}
spec: {hosts: [two.example.com, a.wild.example.com], gateways: [door], http: [{route: [{destination: {host: web.shop.internal, port: {number: 80}}}]}]}
`, https, plain, tight, narrow)+objects)
			f.opens(https, "one.example.com")
			f.opens(https, "two.example.com")

			misdirected := "421" // by which a client that has taken the connection for both (RFC 9113, 9.1.1) asks over another one
			if program == "envoy" {
				misdirected = "404"
			}
			for _, c := range []struct {
				name, sni, host string
				port            int
				change          func(*tls.Config)
				want            string
				shows           *tls.Certificate
				proto           string
			}{
				{"the first host", "one.example.com", "", https, nil, "200 host=one.example.com proto=https", &one, "h2"},
				{"the second", "two.example.com", "", https, nil, "200 host=two.example.com proto=https", &two, "h2"},
				{"by HTTP/1.1", "one.example.com", "", https, func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} }, "200 host=one.example.com proto=https", &one, "http/1.1"},
				{"by what is best of both", "one.example.com", "", https, func(c *tls.Config) { c.NextProtos = []string{"http/1.1", "http/1.0"} }, "200 host=one.example.com", &one, "http/1.1"},
				{"with a port in its name", "one.example.com", fmt.Sprintf("one.example.com:%d", https), https, nil, "200 host=one.example.com:", &one, "h2"},
				{"a name under a wildcard", "a.wild.example.com", "", https, nil, "200 host=a.wild.example.com", &two, "h2"},
				{"one that nothing is said of", "b.wild.example.com", "", https, nil, "404", &two, "h2"},
				{"letters of the other size", "TWO.example.COM", "two.example.com", https, nil, "200 host=two.example.com", &two, "h2"},
				{"a name that no door has", "three.example.com", "", https, nil, "refused: ", nil, ""},
				{"no name", "", "one.example.com", https, func(c *tls.Config) { c.InsecureSkipVerify = true }, "refused: ", nil, ""},
				{"another door's host (hazard 62)", "one.example.com", "two.example.com", https, nil, misdirected, &one, "h2"},
				{"an old client where that may be", "one.example.com", "", narrow, nil, "200 host=one.example.com", &one, "h2"},
				{"where it may not be", "one.example.com", "", tight, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, "refused: ", nil, ""},
				{"a new one", "one.example.com", "", tight, nil, "200 host=one.example.com", &one, "h2"},
				{"older than any may be", "one.example.com", "", https, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, "refused: ", nil, ""},
				{"with a cipher that is not listed", "one.example.com", "", narrow, func(c *tls.Config) {
					c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
				}, "refused: ", nil, ""},
			} {
				config := f.names(c.sni)
				if c.change != nil {
					c.change(config)
				}
				if c.host == "" {
					c.host = c.sni
				}
				said, met := f.visits(c.port, c.host, config, "X-Forwarded-Client-Cert", "URI=spiffe://forged", "X-Forwarded-Proto", "http")
				if !strings.HasPrefix(said, c.want) || strings.Contains(said, "forged") {
					t.Errorf("%s: %s, want %s", c.name, said, c.want)
					continue
				}
				if strings.HasPrefix(said, "200") && !strings.Contains(said, "URI=spiffe://cluster.local/ns/shop/sa/door") {
					t.Errorf("%s: %s: want that the gateway has asked, by mTLS", c.name, said)
				}
				if c.shows != nil && (!met.PeerCertificates[0].Equal(c.shows.Leaf) || met.NegotiatedProtocol != c.proto) {
					t.Errorf("%s: it met %v by %q, want %q", c.name, met.PeerCertificates[0].DNSNames, met.NegotiatedProtocol, c.proto)
				}
				if c.port == narrow && met != nil && (met.Version != tls.VersionTLS12 || met.CipherSuite != tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384) {
					t.Errorf("%s: TLS %x with %x", c.name, met.Version, met.CipherSuite)
				}
			}
			// Who sends its first message in records of one byte gets the door that it names, or none (hazard 66).
			for _, name := range []string{"one.example.com", "two.example.com", "three.example.com"} {
				line, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", https))
				if err != nil {
					t.Fatal(err)
				}
				c := tls.Client(drip{line}, f.names(name))
				err = c.HandshakeContext(t.Context())
				if in := name != "three.example.com"; (err == nil) != in { // who believes another certificate's name has failed
					t.Errorf("%s, by the byte: %v, want that it is let in: %v", name, err, in)
				}
				c.Close()
			}
			// Who comes in plain text is sent to https, where that is said, and else served.
			for host, want := range map[string]string{"one.example.com": "301", "plain.example.com": "200 host=plain.example.com proto=http xfcc=", "two.example.com": "404"} {
				if got := answer(t, "GET", plain, "/x", host); !strings.HasPrefix(got, want) {
					t.Errorf("%s in plain text: %s, want %s", host, got, want)
				}
			}
			if f.gateway != nil {
				f.explains(https)
			}
			// Nobody is served in plain text where TLS is spoken (hazard 65).
			if got := answer(t, "GET", https, "/", "one.example.com"); got != "no answer" {
				t.Errorf("in plain text where TLS is spoken: %s", got)
			}
		})
	}
}

// explains asks the gateway itself what a client of its first door would meet.
func (f *front) explains(port int) {
	f.t.Helper()
	for _, c := range []struct {
		sni   string
		wants []string
	}{
		{"one.example.com", []string{fmt.Sprintf("listener 0.0.0.0_%d", port), "one.example.com:", "not #1: server name: want two.example.com", "forward", "cluster outbound|80||web.shop.internal", " healthy"}},
		{"three.example.com", []string{"the end: no filter chain matches"}},
	} {
		out, err := f.plane.weftctl("", "proxy", "explain", "--admin", fmt.Sprintf("127.0.0.1:%d", f.gateway.admin), "--address", fmt.Sprintf("127.0.0.1:%d", port), "--sni", c.sni, "https://"+c.sni+"/cart")
		for _, want := range c.wants {
			if err != nil || !strings.Contains(out, want) {
				f.t.Errorf("weftctl proxy explain: %v, want %q in\n%s", err, want, out)
			}
		}
	}
}
