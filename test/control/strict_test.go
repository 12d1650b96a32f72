package control

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/weftmesh/weft/test/authority"
	"github.com/weftmesh/weft/test/envoy"
	"github.com/weftmesh/weft/test/vacant"
	"github.com/weftmesh/weft/test/xds"
)

// agent serves a workload of namespace shop its secrets, as Istio's agent does, and is a cluster of its bootstrap.
func agent(t testing.TB, a *authority.Authority, account string) (cluster string) {
	t.Helper()
	a.Issue(account, []string{"spiffe://cluster.local/ns/shop/sa/" + account}, nil)
	text := func(name string) *corev3.DataSource {
		b, err := os.ReadFile(filepath.Join(a.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: b}}
	}
	p := xds.NewPlane(t, xds.OverTCP)
	p.Serve(&tlsv3.Secret{Name: "default", Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{CertificateChain: text(account + ".pem"), PrivateKey: text(account + ".key")}}},
		&tlsv3.Secret{Name: "ROOTCA", Type: &tlsv3.Secret_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{TrustedCa: text("ca.pem")}}})
	return fmt.Sprintf(`
  - name: sds-grpc
    type: STATIC
    connect_timeout: 1s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http2_protocol_options: {}}}
    load_assignment: {cluster_name: sds-grpc, endpoints: [{lb_endpoints: [%s]}]}
`, p.Endpoint())
}

// A service that takes plain text as well as mTLS takes none any more when it is told so, and then only who may ask, as objects say from each source.
func TestPermissiveToStrictByWeftd(t *testing.T) {
	for _, from := range sources {
		for _, name := range proxies {
			t.Run(name+" by "+from, func(t *testing.T) { permissiveToStrict(t, name, from) })
		}
	}
}

func permissiveToStrict(t *testing.T, name, from string) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, who, _ := strings.Cut(r.Header.Get("X-Forwarded-Client-Cert"), "URI=")
		fmt.Fprint(w, "hello ", who)
	}))
	t.Cleanup(app.Close)
	ports := vacant.Ports(t, 2)
	out, in := ports[0], ports[1]
	p := newPlaneOf(t, from, map[string]string{"web.yaml": fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: web, namespace: shop}
spec:
  hosts: [web.shop.internal]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: %d, name: http, protocol: HTTP}]
  endpoints: [{address: 127.0.0.1, labels: {app: web}, serviceAccount: web, ports: {http: %d}}]
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: web, namespace: shop}
spec:
  workloadSelector: {labels: {app: web}}
  ingress: [{port: {number: %[2]d, name: http, protocol: HTTP}, bind: 127.0.0.1, captureMode: NONE, defaultEndpoint: "%[3]s"}]
  egress: [{hosts: ["~/*"]}]
`, out, in, app.Listener.Addr())})
	a := authority.New(t, t.TempDir())
	for _, one := range []string{"web", "client"} {
		boot := bootstrap(fmt.Sprintf("NAMESPACE: shop, LABELS: {app: %s}", one), p.grpc, agent(t, a, one))
		boot = asMember(boot, "sidecar", one)
		if name == "envoy" {
			envoy.Start(t, boot)
			continue
		}
		weft(t, boot)
	}
	method := http.MethodGet
	becomes := func(what string, port int, want string) {
		t.Helper()
		last := ""
		defer func() {
			if t.Failed() {
				t.Logf("%s: %s", what, last)
			}
		}()
		eventually(t, what+" it is "+want, func() bool { last = answer(t, method, port, "/", "web.shop.internal"); return last == want })
	}
	const proven = "200 hello spiffe://cluster.local/ns/shop/sa/client"
	becomes("by mTLS", out, proven)
	becomes("in plain text, as long as it may", in, "200 hello")
	p.write("strict.yaml", "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: all, namespace: shop}\nspec: {mtls: {mode: STRICT}}\n")
	becomes("in plain text", in, "no answer")
	becomes("by mTLS, as before", out, proven)
	st := p.status()
	if len(st.Refused) > 0 || len(st.Problems) > 0 {
		t.Errorf("refused %+v, problems %+v", st.Refused, st.Problems)
	}
	policy := func(who string) string {
		return "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: web, namespace: shop}\n" +
			"spec: {selector: {matchLabels: {app: web}}, rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/" + who + "]}}]}]}\n"
	}
	p.write("access.yaml", policy("other"))
	becomes("for others only", out, "403 RBAC: access denied")
	p.write("access.yaml", policy("client"))
	becomes("for this one", out, proven)
	p.write("deny.yaml", "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: reads, namespace: shop}\n"+
		"spec: {action: DENY, selector: {matchLabels: {app: web}}, rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/client]}}], to: [{operation: {methods: [GET], ports: [\""+strconv.Itoa(in)+"\"]}}]}]}\n")
	becomes("to read", out, "403 RBAC: access denied")
	method = http.MethodPost
	becomes("to write", out, proven)
	if st := p.status(); len(st.Problems) > 0 || len(st.Refused) > 0 {
		t.Errorf("with policies, refused %+v, problems %+v", st.Refused, st.Problems)
	}
}
