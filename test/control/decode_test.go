package control

import (
	"os"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"sigs.k8s.io/yaml"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/translate"
	"github.com/weftmesh/weft/filters/builtin"
	"github.com/weftmesh/weft/proxy/route"
	"github.com/weftmesh/weft/test/manifest"
	"github.com/weftmesh/weft/wire/http"
	"github.com/weftmesh/weft/xds/decode"
	"github.com/weftmesh/weft/xds/server"
)

// Nodes that ask, in YAML. Both are of a workload that serves reviews.
const (
	plainNode = `{id: sidecar~10.1.0.1~reviews-v1.shop~shop.svc.cluster.local, cluster: reviews, metadata: {NAMESPACE: shop, LABELS: {app: reviews, version: v1}}}`
	istioNode = `{id: sidecar~10.1.0.1~reviews-v1.shop~shop.svc.cluster.local, cluster: reviews, metadata: {NAMESPACE: shop, LABELS: {app: reviews, version: v1}, ISTIO_VERSION: 1.29.0}, locality: {region: r1, zone: z1}}`
)

func proxyOf(t testing.TB, text string) *translate.Proxy {
	t.Helper()
	node := &corev3.Node{}
	js, err := yaml.YAMLToJSON([]byte(text))
	if err == nil {
		err = protojson.Unmarshal(js, node)
	}
	if err != nil {
		t.Fatal(err)
	}
	p, err := translate.ProxyOf(node)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// meshOf reads a mesh of testdata, and more of it.
func meshOf(t testing.TB, file string, more ...string) *mesh.Mesh {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return mesh.New().With(manifest.Read(t, strings.Join(append([]string{string(text)}, more...), "\n---\n")))
}

var kindMessages = map[server.Kind]string{
	server.Clusters: "envoy.config.cluster.v3.Cluster", server.Endpoints: "envoy.config.endpoint.v3.ClusterLoadAssignment",
	server.Listeners: "envoy.config.listener.v3.Listener", server.Routes: "envoy.config.route.v3.RouteConfiguration",
}

// told is what the data plane reads of a view.
type told map[string]any // by kind and name

// read has the data plane's own reader read all of a view. What it refuses is an error.
func read(t testing.TB, v *server.View) told {
	t.Helper()
	d := decode.New(builtin.All(), decode.Options{Shared: true, Servers: map[string]bool{"sds-grpc": true}})
	out := told{}
	for _, part := range v.Parts {
		for _, r := range part.Resources {
			name := kindMessages[part.Kind]
			if name == "" {
				continue
			}
			one, err := d.Wire(name, r.Body)
			if err != nil {
				t.Errorf("%s: %v", r.Name, err)
				continue
			}
			out[name[strings.LastIndexByte(name, '.')+1:]+" "+r.Name] = one
		}
	}
	return out
}

// TestTheDataPlaneReadsIt has all that sidecars are told taken by our own.
func TestTheDataPlaneReadsIt(t *testing.T) {
	m := meshOf(t, "mesh.yaml")
	for name, node := range map[string]string{"plain": plainNode, "istio": istioNode} {
		t.Run(name, func(t *testing.T) {
			p := proxyOf(t, node)
			read(t, translate.New().View(m, p))
			p.Traits.Bound = true
			read(t, translate.New().View(m, p))
		})
	}
}

// TestLogs has both read what is told of access logs.
func TestLogs(t *testing.T) {
	for _, c := range []string{"accessLogFile: /dev/stdout", "accessLogFile: /dev/null, accessLogEncoding: JSON", "accessLogFile: /dev/null, accessLogFormat: '%RESPONSE_CODE%'", "accessLogFile: /dev/null, accessLogEncoding: JSON, accessLogFormat: '{\"a\": \"%RESPONSE_CODE%\"}'"} {
		v := translate.New().View(meshOf(t, "mesh.yaml", "kind: MeshConfig\nmetadata: {name: mesh}\nspec: {"+c+"}"), proxyOf(t, plainNode))
		read(t, v)
		takes(t, v)
	}
}

// TestWhatWeftIsToldOfTelemetry has our own data plane read metrics, which it does not count yet, and no tracer, which it would refuse.
func TestWhatWeftIsToldOfTelemetry(t *testing.T) {
	const weft = `{id: sidecar~10.1.0.1~reviews-v1.shop~shop.svc.cluster.local, user_agent_name: weft, metadata: {NAMESPACE: shop, LABELS: {app: reviews, version: v1}}}`
	m := meshOf(t, "mesh.yaml", "kind: MeshConfig\nmetadata: {name: mesh}\nspec: {enableTracing: true, defaultProviders: {metrics: [prometheus], tracing: [zipkin]}, extensionProviders: [{name: zipkin, zipkin: {service: ratings.other.svc.cluster.local, port: 80}}]}",
		"kind: Telemetry\nmetadata: {name: counts, namespace: shop}\nspec: {metrics: [{reportingInterval: 5s, overrides: [{match: {metric: REQUEST_COUNT}, tagOverrides: {a: {value: request.host}, source_app: {operation: REMOVE}}}]}]}")
	v := read(t, translate.New().View(m, proxyOf(t, weft)))
	if v["Listener virtualInbound"] == nil || v["Listener 0.0.0.0_80"] == nil {
		t.Error("nothing was read")
	}
	if told := translate.New().View(m, proxyOf(t, istioNode)).Find(server.Listeners, "virtualInbound"); !strings.Contains(string(told.Body), "envoy.tracers.zipkin") {
		t.Error("an Envoy is not told of the tracer, so that this says nothing")
	}
}

// request is one of the workload's own, by a line such as GET http://host:port/path name=value.
func request(line string) (table string, r *http.Request) {
	words := strings.Fields(line)
	host, path, _ := strings.Cut(strings.TrimPrefix(words[1], "http://"), "/")
	table = "80"
	if _, port, ok := strings.Cut(host, ":"); ok {
		table = port
	}
	r = &http.Request{Version: http.HTTP11}
	r.SetMethod([]byte(words[0]))
	r.SetScheme([]byte("http"))
	r.SetAuthority([]byte(host))
	r.SetPath([]byte("/" + path))
	for _, f := range words[2:] {
		name, value, _ := strings.Cut(f, "=")
		r.AddNamed([]byte(name), []byte(value))
	}
	r.AddString(http.XForwardedProto, "http")
	return table, r
}

// outcome is what becomes of a request: clusters with their shares, a redirect, a status; empty: no route.
func (v told) outcome(line string) string {
	name, _ := request(line)
	return v.outcomeIn(name, line)
}

// outcomeIn is what becomes of it by a table.
func (v told) outcomeIn(name, line string) string {
	_, r := request(line)
	c, ok := v["RouteConfiguration "+name].(*config.RouteConfiguration)
	if !ok {
		return "no table"
	}
	found := route.Compile(c).Match(&route.Input{Request: r})
	switch {
	case found.Route == nil:
		return ""
	case found.Route.Redirect != nil:
		return "redirect"
	case found.Route.Direct != nil:
		return "direct"
	}
	var list []string
	for _, one := range found.Route.Forward.Clusters {
		list = append(list, one.Name)
	}
	return strings.Join(list, " ")
}

// TestRequestsGoWhereTheyAreSent runs what is told through the matcher that serves.
func TestRequestsGoWhereTheyAreSent(t *testing.T) {
	const v1, v2 = "outbound|80|v1|reviews.shop.svc.cluster.local", "outbound|80|v2|reviews.shop.svc.cluster.local"
	const ratings = "outbound|80||ratings.other.svc.cluster.local"
	v := read(t, translate.New().View(meshOf(t, "mesh.yaml"), proxyOf(t, plainNode)))
	for _, c := range []struct{ request, want string }{
		{"GET http://reviews/", v1 + " " + v2},
		{"GET http://reviews.shop/", v1 + " " + v2},
		{"GET http://reviews.shop.svc.cluster.local./", v1 + " " + v2},
		{"GET http://10.0.0.1/", v1 + " " + v2},
		{"GET http://reviews/ end-user=jason", v2},
		{"GET http://reviews/old/book", "redirect"},
		{"POST http://reviews/old/book", v1 + " " + v2},
		{"GET http://reviews/teapot", "direct"},
		{"GET http://reviews/api/v2/x?debug=1", v1},
		{"GET http://reviews/api/v2/x?debug=1 x-skip=1", v1 + " " + v2},
		{"GET http://reviews/api/v2/x", v1 + " " + v2},
		{"GET http://reviews:9000/", "outbound|9000|v1|reviews.shop.svc.cluster.local"},
		{"GET http://ratings.other/", ratings},
		{"GET http://ratings/", "PassthroughCluster"}, // of another namespace
		{"GET http://hidden.other/", "PassthroughCluster"},
		{"GET http://front.example.com/a/b/c", ratings},
		{"GET http://front.example.com/zzz", ratings}, // the delegate has no say outside of what is left to it
		{"GET http://vm.shop.internal:8000/", "outbound|8000||vm.shop.internal"},
		{"GET http://store/", "outbound|80||store.shop.svc.cluster.local"},
		{"GET http://one.store/", "outbound|80||store.shop.svc.cluster.local"},
		{"GET http://any.example.org/", "outbound|80||*.example.org"},
		{"GET http://nobody.example.com/", "PassthroughCluster"},
	} {
		if got := v.outcome(c.request); got != c.want {
			t.Errorf("%s: %q, want %q", c.request, got, c.want)
		}
	}
}

// TestAllOfItIsRun has the objects of these tests be such as are run to the last field.
func TestAllOfItIsRun(t *testing.T) {
	for _, file := range []string{"mesh.yaml", "gateway.yaml"} {
		text, err := os.ReadFile("testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range manifest.Read(t, string(text)) {
			for _, p := range translate.Check(c.Object) {
				if p.Warning {
					continue
				}
				t.Errorf("%s: %s: %s: %s", file, p.Key, p.Path, p.Text)
			}
		}
	}
}

// TestOnlyWhatIsNamed has a mesh block what nobody has named.
func TestOnlyWhatIsNamed(t *testing.T) {
	v := read(t, translate.New().View(meshOf(t, "mesh.yaml", "kind: MeshConfig\nmetadata: {name: mesh}\nspec: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}"), proxyOf(t, plainNode)))
	if got := v.outcome("GET http://nobody.example.com/"); got != "direct" {
		t.Errorf("%q", got)
	}
}
