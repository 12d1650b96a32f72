package control

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/weftmesh/weft/test/authority"
	"github.com/weftmesh/weft/test/vacant"
)

// fronts are the programs that are tried as a gateway: `weft gateway`, as a user has it, and the real Envoy told the same.
var fronts = []string{"weft gateway", "envoy"}

// front is a gateway, and behind it a service whose sidecar takes mutual TLS alone. All are of namespace shop.
type front struct {
	t       *testing.T
	a       *authority.Authority // of what doors show, and of clients
	plane   *securePlane
	gateway *beside // nil: it is an Envoy
}

// newFront starts a service, web.shop.internal, whose application says by whom it was asked, and a gateway with the labels {app: door} that these objects are for.
func newFront(t *testing.T, program string, a *authority.Authority, objects string) *front {
	t.Helper()
	return newFrontUnder(t, program, a, objects, newSecurePlane)
}

// newFrontUnder is newFront under a plane that is made in some other way.
func newFrontUnder(t *testing.T, program string, a *authority.Authority, objects string, under func(*testing.T, map[string]string) *securePlane) *front {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "host=%s proto=%s xfcc=%s", r.Host, r.Header.Get("X-Forwarded-Proto"), r.Header.Get("X-Forwarded-Client-Cert"))
	}))
	t.Cleanup(app.Close)
	f := &front{t: t, a: a}
	f.plane = under(t, map[string]string{"web.yaml": webBehind(t, app.Listener.Addr().String()), "front.yaml": objects})
	f.plane.joinsBeside("web", "web").isReady()
	if program == "envoy" {
		f.plane.joinsAs("router", program, "door", "door")
		return f
	}
	f.gateway = f.plane.gatewayBeside("door")
	f.gateway.begin()
	return f
}

// mayRead lets a service account read the Secrets of its namespace, as Istio's charts do for a gateway's.
const mayRead = `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: %[1]s, namespace: shop}
rules: [{apiGroups: [""], resources: [secrets], verbs: [get, watch, list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: %[1]s, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: %[1]s}
subjects: [{kind: ServiceAccount, name: %[1]s, namespace: shop}]
`

// gatewayBeside makes a gateway with the label {app: account}: under an API server one that shows the token of its service account, and else a join token.
func (s *securePlane) gatewayBeside(account string) *beside {
	s.t.Helper()
	if s.cluster != nil {
		s.cluster.Account("shop", account)
		s.cluster.Apply(fmt.Sprintf(mayRead, account))
		b := s.besideAs("gateway", account, account)
		b.put("var/run/secrets/tokens/istio-token", s.cluster.Token("shop", account, "istio-ca"))
		return b
	}
	b := s.besideAs("gateway", account, account, "--join-token-file", "token", "--state", "state")
	b.put("token", s.joinToken(account))
	return b
}

// webBehind is the service: of HTTP at port 80, and of whatever else by TCP at 81, of the same application.
func webBehind(t *testing.T, app string) string {
	in := vacant.Ports(t, 2)
	return fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: web, namespace: shop}
spec:
  hosts: [web.shop.internal]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 81, name: tcp, protocol: TCP}]
  endpoints: [{address: 127.0.0.1, labels: {app: web}, serviceAccount: web, ports: {http: %d, tcp: %d}}]
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: web, namespace: shop}
spec:
  workloadSelector: {labels: {app: web}}
  ingress:
  - {port: {number: %[1]d, name: http, protocol: HTTP}, bind: 127.0.0.1, captureMode: NONE, defaultEndpoint: "%[3]s"}
  - {port: {number: %[2]d, name: tcp, protocol: TCP}, bind: 127.0.0.1, captureMode: NONE, defaultEndpoint: "%[3]s"}
  egress: [{hosts: ["~/*"]}]
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: all, namespace: shop}
spec: {mtls: {mode: STRICT}}
`, in[0], in[1], app)
}

// visits asks a door once, over a connection of its own, as a client that has these settings of TLS, and says what has come: a status and a body, or why there is none.
func (f *front) visits(port int, host string, c *tls.Config, headers ...string) (said string, met *tls.ConnectionState) {
	f.t.Helper()
	line := &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: c.NextProtos == nil, DisableKeepAlives: true}
	defer line.CloseIdleConnections()
	return f.asks(&http.Client{Timeout: deadline, Transport: line, CheckRedirect: afresh.CheckRedirect}, port, host, headers...)
}

// asks is visits over the connections of a client.
func (f *front) asks(client *http.Client, port int, host string, headers ...string) (said string, met *tls.ConnectionState) {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.t.Context(), http.MethodGet, fmt.Sprintf("https://127.0.0.1:%d/", port), nil)
	if err != nil {
		f.t.Fatal(err)
	}
	r.Host = host
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	a, err := client.Do(r)
	if err != nil {
		return "refused: " + err.Error(), nil
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		return "cut off: " + err.Error(), nil
	}
	return strings.TrimSpace(fmt.Sprint(a.StatusCode, " ", string(b))), a.TLS
}

// names is a client that asks for a name, believes the authority, and shows these certificates.
func (f *front) names(name string, own ...tls.Certificate) *tls.Config {
	return &tls.Config{ServerName: name, RootCAs: f.a.Pool(), Certificates: own}
}

// opens waits until a door leads to the application.
func (f *front) opens(port int, host string, own ...tls.Certificate) {
	f.t.Helper()
	last := ""
	defer func() {
		if f.t.Failed() {
			f.t.Log(last)
		}
	}()
	eventually(f.t, host+" is served", func() bool {
		last, _ = f.visits(port, host, f.names(host, own...))
		return strings.HasPrefix(last, "200 host="+host)
	})
}

// slices of a byte each are what a client's first message comes in.
type drip struct{ net.Conn }

// Write sends each byte of a handshake in a record of TLS of its own, and each byte of that by itself.
func (d drip) Write(b []byte) (n int, err error) {
	for rest := b; len(rest) >= 5; {
		size := int(rest[3])<<8 | int(rest[4])
		if rest[0] != 22 || len(rest) < 5+size { // what is no handshake goes as it is
			_, err = d.Conn.Write(rest)
			break
		}
		for _, one := range rest[5 : 5+size] {
			for _, octet := range []byte{22, rest[1], rest[2], 0, 1, one} {
				if _, err = d.Conn.Write([]byte{octet}); err != nil {
					return 0, err
				}
			}
		}
		rest = rest[5+size:]
	}
	return len(b), err
}
