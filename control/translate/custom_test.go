package translate

import (
	"os"
	"strings"
	"testing"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/test/manifest"
	"github.com/weftmesh/weft/xds/server"
)

// TestWeftIsToldWhoIsAsked has a node that cannot ask yet be told to, so that it refuses the listener: told less, it would let everybody in.
func TestWeftIsToldWhoIsAsked(t *testing.T) {
	text, err := os.ReadFile("testdata/custom-grpc.yaml")
	if err != nil {
		t.Fatal(err)
	}
	objects, _, _ := strings.Cut(string(text), markNode)
	v := New().View(mesh.New().With(manifest.Read(t, objects)), proxyOf(t, "{id: sidecar~127.0.0.1~web.shop~shop.svc.cluster.local, user_agent_name: weft, metadata: {NAMESPACE: shop, INTERCEPTION_MODE: NONE, WEFT_IDENTITY: none}}"))
	for name, filter := range map[string]string{"127.0.0.1_8080": "envoy.filters.http.ext_authz", "127.0.0.1_9090": "envoy.filters.network.ext_authz"} {
		if l := v.Find(server.Listeners, name); l == nil || !strings.Contains(string(l.Body), filter) {
			t.Errorf("%s has no %s", name, filter)
		}
	}
}

// TestNobodyToAsk has what policies are for be denied wherever nobody can be asked.
func TestNobodyToAsk(t *testing.T) {
	const head = `kind: MeshConfig
metadata: {name: istio}
spec:
  extensionProviders:
  - {name: good, envoyExtAuthzGrpc: {service: check.auth.internal, port: 9000}}
  - {name: also, envoyExtAuthzGrpc: {service: auth/check.auth.internal, port: 9000}}
  - {name: twice, envoyExtAuthzGrpc: {service: check.auth.internal, port: 9000}}
  - {name: twice, envoyExtAuthzGrpc: {service: check.auth.internal, port: 9000}}
  - {name: port, envoyExtAuthzGrpc: {service: check.auth.internal, port: 9001}}
  - {name: status, envoyExtAuthzGrpc: {service: check.auth.internal, port: 9000, statusOnError: "299"}}
  - {name: body, envoyExtAuthzGrpc: {service: check.auth.internal, port: 9000, includeRequestBodyInCheck: {allowPartialMessage: true}}}
  - {name: path, envoyExtAuthzHttp: {service: check.auth.internal, port: 9000, pathPrefix: check}}
  - {name: all, envoyExtAuthzHttp: {service: check.auth.internal, port: 9000, headersToDownstreamOnDeny: ["*"]}}
  - {name: line, envoyExtAuthzHttp: {service: check.auth.internal, port: 9000, includeAdditionalHeadersInCheck: {":path": /}}}
  - {name: host, envoyExtAuthzHttp: {service: check.auth.internal, port: 9000, includeAdditionalHeadersInCheck: {Host: b}}}
  - {name: file, envoyFileAccessLog: {path: /dev/null}}
---
kind: ServiceEntry
metadata: {name: check, namespace: auth}
spec: {hosts: [check.auth.internal], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 9000, name: grpc, protocol: GRPC}], endpoints: [{address: 10.9.0.1}]}
`
	policy := func(name, provider string) string {
		return "---\nkind: AuthorizationPolicy\nmetadata: {name: " + name + ", namespace: shop}\nspec: {action: CUSTOM, provider: {name: " + provider + "}, rules: [{}]}\n"
	}
	for _, c := range []struct {
		name, objects string
		asked         bool
	}{
		{"one", policy("a", "good"), true},
		{"the same one", policy("a", "good") + policy("b", "good"), true},
		{"by its namespace", policy("a", "also"), true},
		{"two", policy("a", "good") + policy("b", "also"), false},
		{"two of a name", policy("a", "twice"), false},
		{"unheard of", policy("a", "none"), false},
		{"a port that is not there", policy("a", "port"), false},
		{"a status that is none", policy("a", "status"), false},
		{"a body of no bytes", policy("a", "body"), false},
		{"a path that is none", policy("a", "path"), false},
		{"fields that are no list", policy("a", "all"), false},
		{"a path of its own", policy("a", "line"), false},
		{"a host of its own", policy("a", "host"), false},
		{"who writes logs", policy("a", "file"), false},
		{"whom a Sidecar does not have seen", policy("a", "good") + "---\nkind: Sidecar\nmetadata: {name: all, namespace: shop}\nspec: {egress: [{hosts: [./*]}]}\n", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := New().View(mesh.New().With(manifest.Read(t, head+c.objects)), proxyOf(t, "{id: sidecar~10.1.0.1~web.shop~shop.svc.cluster.local, metadata: {NAMESPACE: shop}}"))
			body := string(v.Find(server.Listeners, virtualInbound).Body)
			for _, kind := range []string{"http", "network"} {
				if asked := strings.Contains(body, "envoy.filters."+kind+".ext_authz"); asked != c.asked {
					t.Errorf("%s: asked %v, want %v", kind, asked, c.asked)
				}
			}
			if denied := strings.Contains(body, deniedInstead); denied == c.asked {
				t.Errorf("denied %v, asked %v", denied, c.asked)
			}
		})
	}
}
