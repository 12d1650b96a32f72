package control

import (
	"crypto/tls"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weftmesh/weft/test/authority"
	"github.com/weftmesh/weft/test/e2e"
	"github.com/weftmesh/weft/test/envoy"
	"github.com/weftmesh/weft/test/vacant"
)

// unnamed is a provider whose port has no protocol, behind a sidecar of its own, and a client's sidecar, which is weft.
type unnamed struct {
	*greeter
	provider *e2e.Upstream
	in       int // the port of the provider's sidecar
	client   *tls.Config
}

// newUnnamed has the provider's sidecar be a weft or an Envoy, and take what a mode says.
func newUnnamed(t *testing.T, program, mode string) *unnamed {
	ports := vacant.Ports(t, 2)
	u := &unnamed{greeter: &greeter{t: t, port: ports[0]}, in: ports[1], provider: e2e.Provider(t, "v1", 1)}
	u.plane = newPlane(t, map[string]string{"greeter.yaml": fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: greeter, namespace: shop}
spec:
  hosts: [greeter.internal]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: %[1]d, name: what}]
  endpoints: [{address: 127.0.0.1, labels: {app: web}, serviceAccount: web, ports: {what: %[2]d}}]
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: web, namespace: shop}
spec:
  workloadSelector: {labels: {app: web}}
  ingress: [{port: {number: %[2]d, name: what}, bind: 127.0.0.1, captureMode: NONE, defaultEndpoint: "127.0.0.1:%[3]d"}]
  egress: [{hosts: ["~/*"]}]
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: all, namespace: shop}
spec: {mtls: {mode: %[4]s}}
`, u.port, u.in, u.provider.Port, mode)})
	a := authority.New(t, t.TempDir())
	for _, one := range []string{"web", "client"} {
		boot := bootstrap(fmt.Sprintf("NAMESPACE: shop, LABELS: {app: %s}", one), u.plane.grpc, agent(t, a, one))
		boot = asMember(boot, "sidecar", one)
		if one == "web" && program == "envoy" {
			envoy.Start(t, boot)
			continue
		}
		weft(t, boot)
	}
	own, err := tls.LoadX509KeyPair(filepath.Join(a.Dir, "client.pem"), filepath.Join(a.Dir, "client.key"))
	if err != nil {
		t.Fatal(err)
	}
	u.client = &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{own}} // who asks here is who is judged
	return u
}

// rules puts a policy of calls of a method in force.
func (u *unnamed) rules(action, method string) {
	u.plane.write("access.yaml", fmt.Sprintf(`
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: greeter, namespace: shop}
spec: {action: %s, selector: {matchLabels: {app: web}}, rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/client]}}], to: [{operation: {paths: [/org.example.Greeter/%s], methods: [POST]}}]}]}
`, action, method))
}

// sends is what a client of the mesh hears that offers those protocols and sends bytes: what is answered, and which protocol was chosen.
func (u *unnamed) sends(frame []byte, offers ...string) (answer, chosen string) {
	c := u.client.Clone()
	c.NextProtos = offers
	line, err := e2e.TryTLS(u.t, fmt.Sprintf("127.0.0.1:%d", u.in), c)
	if err != nil {
		return err.Error(), ""
	}
	defer line.Close()
	line.Write(frame)
	chosen = line.Conn.(*tls.Conn).ConnectionState().NegotiatedProtocol
	h, body, err := e2e.ReadFrame(line)
	if err != nil {
		return "closed", chosen
	}
	return e2e.Said(u.t, h, body), chosen
}

// A port without a protocol sees calls inside of mTLS, where a weft says by ALPN that it speaks Dubbo: each is judged by itself. Who leaves the word out, or says it and speaks something else, comes round no policy.
func TestUnnamedPortsSeeCallsByMTLS(t *testing.T) {
	for _, mode := range []string{"STRICT", "PERMISSIVE"} {
		t.Run(mode, func(t *testing.T) {
			u := newUnnamed(t, "weft", mode)
			greet := e2e.CallFrame(t, 1, e2e.TwoWay, "org.example.Greeter", "greet", nil, "ann")
			secret := e2e.CallFrame(t, 1, e2e.TwoWay, "org.example.Greeter", "secret", nil, "ann")
			eventually(t, "calls are answered", func() bool { return u.call(u.port, "ann") == "20 v1 ann" })
			for offer, want := range map[string]string{"weft-dubbo": "weft-dubbo", "istio-peer-exchange": ""} {
				if got, chosen := u.sends(greet, offer, "istio"); got != "20 v1 ann" || chosen != want {
					t.Errorf("without a policy, of %q: %q by %q, want v1 by %q", offer, got, chosen, want)
				}
			}
			for action, method := range map[string]string{"ALLOW": "greet", "DENY": "secret"} {
				u.rules(action, method)
				eventually(t, action+" is in force", func() bool { return strings.Contains(u.says(u.port, "secret", "ann"), "RBAC: access denied") })
				before := len(u.provider.Heads())
				if got := u.call(u.port, "ann"); got != "20 v1 ann" {
					t.Errorf("%s: what may be called answers %q", action, got)
				}
				if got := u.says(u.port, "secret", "ann"); !strings.Contains(got, "RBAC: access denied") {
					t.Errorf("%s: what may not be called answers %q", action, got)
				}
				if got, _ := u.sends(secret, "weft-dubbo"); !strings.Contains(got, "RBAC: access denied") {
					t.Errorf("%s: what may not be called answers a peer that says that it is Dubbo %q", action, got)
				}
				for _, offers := range [][]string{{"istio"}, {"istio-peer-exchange", "istio"}, {"dubbo"}, {"istio-http/1.1"}, {"h2"}, nil} {
					if got, _ := u.sends(secret, offers...); strings.HasPrefix(got, "20 ") {
						t.Errorf("%s: a peer that offers %q walks round it: %q", action, offers, got)
					}
				}
				for _, say := range []string{"hello, hello, hello", "GET / HTTP/1.1\r\nhost: a\r\n\r\n", "\xda\xbbhello, hello, hello, hello, hello"} {
					if got, _ := u.sends([]byte(say), "weft-dubbo"); got != "closed" {
						t.Errorf("%s: a peer that says that it is Dubbo and says %q hears %q", action, say, got)
					}
				}
				if now := len(u.provider.Heads()); now != before+1 {
					t.Errorf("%s: the provider was called %d times, want once", action, now-before)
				}
				if got := u.says(u.in, "secret", "ann"); action == "ALLOW" && (mode == "STRICT" && got != "" || mode == "PERMISSIVE" && !strings.Contains(got, "RBAC: access denied")) {
					t.Errorf("in plain text it answers %q", got)
				}
				u.plane.write("access.yaml", "")
				eventually(t, "without it all calls are answered", func() bool { return u.says(u.port, "secret", "ann") == "20 v1 ann" })
			}
			if st := u.plane.status(); len(st.Refused) > 0 {
				t.Errorf("refused %+v", st.Refused)
			}
		})
	}
}

// An Envoy that is not weft does not know the word and passes bytes on as before; policies of calls it cannot weigh let none in.
func TestUnnamedPortsOfAnEnvoyByMTLS(t *testing.T) {
	for _, mode := range []string{"STRICT", "PERMISSIVE"} {
		t.Run(mode, func(t *testing.T) {
			u := newUnnamed(t, "envoy", mode)
			greet := e2e.CallFrame(t, 1, e2e.TwoWay, "org.example.Greeter", "greet", nil, "ann")
			eventually(t, "calls are answered", func() bool { return u.call(u.port, "ann") == "20 v1 ann" })
			if got, chosen := u.sends(greet, "weft-dubbo", "istio"); got != "20 v1 ann" || chosen != "" {
				t.Errorf("it answers %q, and has chosen %q", got, chosen)
			}
			for action, method := range map[string]string{"ALLOW": "greet", "DENY": "secret"} {
				u.rules(action, method)
				eventually(t, "of "+action+" nothing is left but to close", func() bool { got, _ := u.sends(greet, "weft-dubbo", "istio"); return got == "closed" })
				u.plane.write("access.yaml", "")
				eventually(t, "without it calls are answered", func() bool { got, _ := u.sends(greet, "weft-dubbo", "istio"); return got == "20 v1 ann" })
			}
			if st := u.plane.status(); len(st.Refused) > 0 {
				t.Errorf("refused %+v", st.Refused)
			}
		})
	}
}
