package control

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"google.golang.org/protobuf/proto"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/translate"
	"github.com/weftmesh/weft/test/authority"
	"github.com/weftmesh/weft/test/envoy"
	"github.com/weftmesh/weft/test/manifest"
	"github.com/weftmesh/weft/test/xds"
	"github.com/weftmesh/weft/xds/server"
)

const (
	deadline = 30 * time.Second
	pace     = 20 * time.Millisecond
)

// resources are a view's as go-control-plane has them, the secrets of a workload, and more with its certificate and root.
func resources(t testing.TB, v *server.View, a *authority.Authority, account string, credentials ...string) (list []types.Resource) {
	t.Helper()
	for _, part := range v.Parts {
		for _, r := range part.Resources {
			var m proto.Message
			switch part.Kind {
			case server.Clusters:
				m = &clusterv3.Cluster{}
			case server.Endpoints:
				m = &endpointv3.ClusterLoadAssignment{}
			case server.Listeners:
				m = &listenerv3.Listener{}
			case server.Routes:
				m = &routev3.RouteConfiguration{}
			default:
				continue // for who asks
			}
			if err := proto.Unmarshal(r.Body, m); err != nil {
				t.Fatal(err)
			}
			list = append(list, m)
		}
	}
	a.Issue("own", []string{"spiffe://cluster.local/ns/shop/sa/" + account}, nil)
	text := func(name string) *corev3.DataSource {
		b, err := os.ReadFile(filepath.Join(a.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: b}}
	}
	for _, name := range credentials {
		list = append(list,
			&tlsv3.Secret{Name: name, Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{CertificateChain: text("own.pem"), PrivateKey: text("own.key")}}},
			&tlsv3.Secret{Name: name + "-cacert", Type: &tlsv3.Secret_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{TrustedCa: text("ca.pem")}}},
		)
	}
	return append(list,
		&tlsv3.Secret{Name: "default", Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{CertificateChain: text("own.pem"), PrivateKey: text("own.key")}}},
		&tlsv3.Secret{Name: "ROOTCA", Type: &tlsv3.Secret_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{TrustedCa: text("ca.pem")}}},
	)
}

// dump is what an Envoy says that it has: names of listeners and clusters that it serves with, and what it has refused.
func dump(admin string) (listeners, clusters, routes map[string]bool, refused []string) {
	listeners, clusters, routes = map[string]bool{}, map[string]bool{}, map[string]bool{}
	r, err := http.Get("http://" + admin + "/config_dump")
	if err != nil {
		return nil, nil, nil, []string{err.Error()}
	}
	defer r.Body.Close()
	text, _ := io.ReadAll(r.Body)
	var d struct {
		Configs []struct {
			DynamicListeners []struct {
				Name        string
				ActiveState json.RawMessage          `json:"active_state"`
				ErrorState  struct{ Details string } `json:"error_state"`
			} `json:"dynamic_listeners"`
			DynamicActiveClusters []struct{ Cluster struct{ Name string } } `json:"dynamic_active_clusters"`
			DynamicRoutes         []struct {
				RouteConfig struct{ Name string } `json:"route_config"`
			} `json:"dynamic_route_configs"`
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, nil, nil, []string{err.Error()}
	}
	for _, c := range d.Configs {
		for _, l := range c.DynamicListeners {
			if l.ActiveState != nil {
				listeners[l.Name] = true
			}
			if l.ErrorState.Details != "" {
				refused = append(refused, l.Name+": "+l.ErrorState.Details)
			}
		}
		for _, one := range c.DynamicActiveClusters {
			clusters[one.Cluster.Name] = true
		}
		for _, one := range c.DynamicRoutes {
			routes[one.RouteConfig.Name] = true
		}
	}
	return listeners, clusters, routes, refused
}

// takes has a real Envoy told a view, and wants all of it served.
func takes(t *testing.T, v *server.View, credentials ...string) {
	t.Helper()
	takesAs(t, v, authority.New(t, t.TempDir()), "anybody", credentials...)
}

// takesAs is takes for a service account, whose certificate an authority issues. It gives the control plane.
func takesAs(t *testing.T, v *server.View, a *authority.Authority, account string, credentials ...string) (plane *xds.Plane) {
	t.Helper()
	plane = xds.NewPlane(t, xds.OverTCP)
	plane.Serve(resources(t, v, a, account, credentials...)...)
	admin := envoy.Start(t, fmt.Sprintf(`
node: {id: a, cluster: b}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
dynamic_resources:
  ads_config: {api_type: DELTA_GRPC, transport_api_version: V3, set_node_on_first_message_only: true, grpc_services: [{envoy_grpc: {cluster_name: plane}}]}
  cds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}
  lds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}
static_resources:
  clusters:
  - name: plane
    type: STATIC
    connect_timeout: 1s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http2_protocol_options: {}}}
    load_assignment: {cluster_name: plane, endpoints: [{lb_endpoints: [%s]}]}
`, plane.Endpoint()))
	want := map[server.Kind][]string{}
	for _, part := range v.Parts {
		for _, r := range part.Resources {
			want[part.Kind] = append(want[part.Kind], r.Name)
		}
	}
	missing := func() (list []string) {
		listeners, clusters, routes, refused := dump(admin)
		list = append(list, refused...)
		for kind, have := range map[server.Kind]map[string]bool{server.Listeners: listeners, server.Clusters: clusters, server.Routes: routes} {
			for _, name := range want[kind] {
				if !have[name] {
					list = append(list, fmt.Sprint(kind, " ", name))
				}
			}
		}
		return list
	}
	end := time.Now().Add(deadline)
	for tick := time.NewTicker(pace); len(missing()) > 0; <-tick.C {
		if nacks := plane.Nacks(); len(nacks) > 0 || time.Now().After(end) {
			t.Fatalf("not served: %v\nrefused: %s", missing(), strings.Join(nacks, "\n"))
		}
	}
	if nacks := plane.Nacks(); len(nacks) > 0 {
		t.Errorf("refused: %s", strings.Join(nacks, "\n"))
	}
	return plane
}

// TestTheRealEnvoyTakesIt has a plain Envoy told all that a sidecar is.
func TestTheRealEnvoyTakesIt(t *testing.T) {
	takes(t, translate.New().View(meshOf(t, "mesh.yaml"), proxyOf(t, plainNode)))
}

// TestTheRealEnvoyIsGuarded has a plain Envoy told who may ask.
func TestTheRealEnvoyIsGuarded(t *testing.T) {
	const node = `{id: sidecar~10.1.0.1~web.shop~shop.svc.cluster.local, metadata: {NAMESPACE: shop, LABELS: {app: web}}}`
	takes(t, translate.New().View(meshOf(t, "access.yaml"), proxyOf(t, node)))
}

// TestTheRealEnvoyTakesWhatIsLookedAt has a plain Envoy told what goldens have, of policies, traces and settings.
func TestTheRealEnvoyTakesWhatIsLookedAt(t *testing.T) {
	for _, name := range []string{"custom-http", "custom-grpc", "custom-away", "tracing", "settings", "logs-otel", "dubbo-envoy", "dubbocalls-envoy"} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile("../../control/translate/testdata/" + name + ".yaml")
			if err != nil {
				t.Fatal(err)
			}
			objects, rest, _ := strings.Cut(string(text), "\n### node\n")
			node, _, _ := strings.Cut(rest, "\n### show\n")
			takes(t, translate.New().View(mesh.New().With(manifest.Read(t, objects)), proxyOf(t, node)))
		})
	}
}
