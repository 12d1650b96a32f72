package control

import (
	"testing"

	"github.com/weftmesh/weft/control/translate"
)

const gatewayNode = `{id: router~10.1.9.1~ingress.edge~edge.svc.cluster.local, cluster: ingress, metadata: {NAMESPACE: edge, LABELS: {app: ingress}}}`

// TestGatewaysSendRequestsOn runs what a gateway is told through the matcher that serves.
func TestGatewaysSendRequestsOn(t *testing.T) {
	v := read(t, translate.New().View(meshOf(t, "gateway.yaml"), proxyOf(t, gatewayNode)))
	const web, store = "outbound|8080||web.shop.svc.cluster.local", "outbound|80||store.shop.svc.cluster.local"
	for _, c := range []struct{ table, request, want string }{
		{"http.80", "GET http://shop.example.com/", web},
		{"http.80", "GET http://shop.example.com/store/1", store},
		{"http.80", "GET http://shop.example.com/inside", web}, // for the mesh only
		{"http.80", "GET http://a.open.example.com/", web},
		{"http.80", "GET http://partner.example.com/", ""}, // another door's
		{"http.80", "GET http://old.example.com/", ""},     // sent to https
		{"http.80", "GET http://nobody.example.com/", ""},
		{"https.443.https.front.edge", "GET http://shop.example.com/", web},
		{"https.443.https.front.edge", "GET http://partner.example.com/", ""},
		{"https.443.partner.front.edge", "GET http://partner.example.com/store", store},
	} {
		if got := v.outcomeIn(c.table, c.request); got != c.want {
			t.Errorf("%s: %s: %q, want %q", c.table, c.request, got, c.want)
		}
	}
	for _, name := range []string{"0.0.0.0_18080", "0.0.0.0_18443", "0.0.0.0_18444", "0.0.0.0_15432"} {
		if v["Listener "+name] == nil {
			t.Errorf("nobody listens on %s", name)
		}
	}
}

// guarded has the gateway check tokens, and decide who may ask what.
const guarded = `
kind: RequestAuthentication
metadata: {name: jwt, namespace: edge}
spec: {jwtRules: [{issuer: a, jwksUri: "https://none.example.com/keys"}]}
---
kind: AuthorizationPolicy
metadata: {name: deny, namespace: edge}
spec: {action: DENY, rules: [{to: [{operation: {paths: [/admin]}}]}]}`

// TestTheRealEnvoyIsAGateway has a plain Envoy told all that a gateway is.
func TestTheRealEnvoyIsAGateway(t *testing.T) {
	takes(t, translate.New().View(meshOf(t, "gateway.yaml", guarded), proxyOf(t, gatewayNode)), "kubernetes://shop-cert", "kubernetes://partner-cert")
}

const entryNode = `{id: router~10.1.9.1~ingress.istio-system~istio-system.svc.cluster.local, cluster: ingress, metadata: {NAMESPACE: istio-system, LABELS: {istio: ingressgateway}}}`

// TestIngressesLeadToServices runs what Ingresses are carried out as through the matcher that serves, and has a plain Envoy told it.
func TestIngressesLeadToServices(t *testing.T) {
	told := translate.New().View(meshOf(t, "ingress.yaml"), proxyOf(t, entryNode))
	v := read(t, told)
	const shop, admin = "outbound|80||shop.a.svc.cluster.local", "outbound|81||shop.a.svc.cluster.local"
	for _, table := range []string{"http.80", "https.443.https-443-ingress-front-a-0.ingress:https:front.a"} {
		for request, want := range map[string]string{
			"/": shop, "/x": shop, "/admin": shop, "/admin/": admin, "/admin/x": admin, "/administrator": shop, "/old": admin, "/older/1": admin,
		} {
			if got := v.outcomeIn(table, "GET http://shop.test"+request); got != want {
				t.Errorf("%s: %s: %q, want %q", table, request, got, want)
			}
		}
		if got := v.outcomeIn(table, "GET http://other.test/"); got != "" {
			t.Errorf("%s: what another controller carries out leads to %q", table, got)
		}
	}
	takes(t, told, "kubernetes://shop-cert")
}
