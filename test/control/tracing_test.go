package control

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/translate"
	"github.com/weftmesh/weft/test/authority"
	"github.com/weftmesh/weft/test/manifest"
	"github.com/weftmesh/weft/test/vacant"
)

// span is one that a proxy has reported.
type span struct {
	service, name string
	tags          map[string]string
}

// collector takes spans, by OTLP over gRPC and in Zipkin's JSON, and logs by OTLP.
type collector struct {
	grpc, http int // ports
	mu         sync.Mutex
	spans      []span
	logs       []span   // of which the name is the text
	shares     []string // of x-share, by which Zipkin's spans came
}

func newCollector(t *testing.T) *collector {
	c := &collector{}
	zipkin := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var list []struct {
			Name          string            `json:"name"`
			Tags          map[string]string `json:"tags"`
			LocalEndpoint struct {
				ServiceName string `json:"serviceName"`
			} `json:"localEndpoint"`
		}
		if err := json.NewDecoder(r.Body).Decode(&list); err != nil || r.URL.Path != "/api/v2/spans" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		c.share(r.Header.Get("x-share"))
		for _, s := range list {
			c.add(span{s.LocalEndpoint.ServiceName, s.Name, s.Tags})
		}
	}))
	t.Cleanup(zipkin.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	calls := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
		m := &emptypb.Empty{} // of which all fields are unknown, and kept
		if err := s.RecvMsg(m); err != nil {
			return err
		}
		switch name, _ := grpc.MethodFromServerStream(s); name {
		case "/opentelemetry.proto.collector.trace.v1.TraceService/Export":
			c.otlp(m.ProtoReflect().GetUnknown())
		case "/opentelemetry.proto.collector.logs.v1.LogsService/Export":
			c.otlpLogs(m.ProtoReflect().GetUnknown())
		default:
			return status.Error(codes.Unimplemented, name)
		}
		return s.SendMsg(&emptypb.Empty{})
	}))
	go calls.Serve(l)
	t.Cleanup(calls.Stop)
	c.grpc, c.http = l.Addr().(*net.TCPAddr).Port, zipkin.Listener.Addr().(*net.TCPAddr).Port
	return c
}

func (c *collector) add(s span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spans = append(c.spans, s)
}

func (c *collector) share(s string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shares = append(c.shares, s)
}

// has tells whether a span has come that some test is true of.
func (c *collector) has(test func(span) bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if test(s) {
			return true
		}
	}
	return false
}

// fieldsOf are the values of a field of an encoded message.
func fieldsOf(b []byte, number protowire.Number) (list [][]byte) {
	for len(b) > 0 {
		n, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			return list
		}
		rest := b[size:]
		if size = protowire.ConsumeFieldValue(n, kind, rest); size < 0 {
			return list
		}
		if n == number && kind == protowire.BytesType {
			v, _ := protowire.ConsumeBytes(rest)
			list = append(list, v)
		}
		b = rest[size:]
	}
	return list
}

// attributes are KeyValues that are strings.
func attributes(list [][]byte) map[string]string {
	tags := map[string]string{}
	for _, one := range list {
		for _, key := range fieldsOf(one, 1) {
			for _, value := range fieldsOf(one, 2) {
				for _, text := range fieldsOf(value, 1) {
					tags[string(key)] = string(text)
				}
			}
		}
	}
	return tags
}

// otlp takes an opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest.
func (c *collector) otlp(request []byte) {
	for _, of := range fieldsOf(request, 1) {
		service := ""
		for _, resource := range fieldsOf(of, 1) {
			service = attributes(fieldsOf(resource, 1))["service.name"]
		}
		for _, scope := range fieldsOf(of, 2) {
			for _, one := range fieldsOf(scope, 2) {
				name := ""
				for _, text := range fieldsOf(one, 5) {
					name = string(text)
				}
				c.add(span{service, name, attributes(fieldsOf(one, 9))})
			}
		}
	}
}

// otlpLogs takes an opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest.
func (c *collector) otlpLogs(request []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range fieldsOf(request, 1) {
		for _, scope := range fieldsOf(of, 2) {
			for _, one := range fieldsOf(scope, 2) {
				for _, body := range fieldsOf(one, 5) {
					for _, text := range fieldsOf(body, 1) {
						c.logs = append(c.logs, span{name: string(text), tags: attributes(fieldsOf(one, 6))})
					}
				}
			}
		}
	}
}

// TestLogsGoToOpenTelemetry has a real Envoy write its access log to a collector.
func TestLogsGoToOpenTelemetry(t *testing.T) {
	c := newCollector(t)
	app := serving(t, "app")
	web := vacant.Ports(t, 1)[0]
	objects := fmt.Sprintf(`
kind: MeshConfig
metadata: {name: istio}
spec:
  defaultProviders: {accessLogging: [otel]}
  extensionProviders: [{name: otel, envoyOtelAls: {service: collector.internal, port: 16001, logFormat: {text: "%%REQ(:PATH)%% %%RESPONSE_CODE%%", labels: {who: "%%REQ(X-WHO)%%"}}}}]
---
kind: ServiceEntry
metadata: {name: collector, namespace: shop}
spec: {hosts: [collector.internal], location: MESH_EXTERNAL, resolution: STATIC, ports: [{number: 16001, name: grpc, protocol: GRPC}], endpoints: [{address: 127.0.0.1, ports: {grpc: %d}}]}
---
kind: Sidecar
metadata: {name: web, namespace: shop}
spec:
  ingress: [{port: {number: %d, name: http, protocol: HTTP}, bind: 127.0.0.1, captureMode: NONE, defaultEndpoint: "127.0.0.1:%d"}]
  egress: [{hosts: ["./*"]}]
`, c.grpc, web, app)
	p := proxyOf(t, `{id: sidecar~127.0.0.1~web.shop~shop.svc.cluster.local, cluster: web.shop, metadata: {NAMESPACE: shop, INTERCEPTION_MODE: NONE, WEFT_IDENTITY: none}}`)
	takes(t, translate.New().View(mesh.New().With(manifest.Read(t, objects)), p))
	eventually(t, "a request is logged", func() bool {
		r, err := http.NewRequest(http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/shelf", web), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("x-who", "ann")
		r.Close = true
		if got, err := (&http.Client{Timeout: deadline}).Do(r); err == nil {
			got.Body.Close()
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		return slices.ContainsFunc(c.logs, func(l span) bool { return l.name == "/shelf 200" && l.tags["who"] == "ann" })
	})
	p.Traits.Weft = true
	read(t, translate.New().View(mesh.New().With(manifest.Read(t, objects)), p)) // which would refuse a log that it cannot write
}

// TestSpansAreReported has a real Envoy report what it serves to a collector that a Telemetry names, and what is asked through it to another one.
func TestSpansAreReported(t *testing.T) {
	c := newCollector(t)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header.Get("traceparent") != "") }))
	t.Cleanup(app.Close)
	ports := vacant.Ports(t, 2)
	web, shop := ports[0], ports[1]
	objects := fmt.Sprintf(`
kind: MeshConfig
metadata: {name: istio}
spec:
  extensionProviders:
  - {name: otel, opentelemetry: {service: collector.internal, port: 16001, grpc: {timeout: 5s}, resourceDetectors: {environment: {}}}}
  - {name: zipkin, zipkin: {service: collector.internal, port: 16002, timeout: 5s, headers: [{name: x-share, value: '100%% %%REQ(x)%%'}]}}
  - {name: old, zipkin: {service: collector.internal, port: 16002}}
---
kind: ServiceEntry
metadata: {name: collector, namespace: shop}
spec:
  hosts: [collector.internal]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{number: 16001, name: grpc, protocol: GRPC}, {number: 16002, name: http, protocol: HTTP}]
  endpoints: [{address: 127.0.0.1, ports: {grpc: %d, http: %d}}]
---
kind: ServiceEntry
metadata: {name: shop, namespace: shop}
spec:
  hosts: [shop.internal]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{number: %d, name: http, protocol: HTTP}]
  endpoints: [{address: 127.0.0.1, ports: {http: %d}}]
---
kind: Sidecar
metadata: {name: web, namespace: shop}
spec:
  ingress: [{port: {number: %d, name: http, protocol: HTTP}, bind: 127.0.0.1, captureMode: NONE, defaultEndpoint: "%s"}]
  egress: [{hosts: ["./*"]}]
---
`, c.grpc, c.http, shop, app.Listener.Addr().(*net.TCPAddr).Port, web, app.Listener.Addr())
	telemetry := func(asks, more string) string {
		return "kind: Telemetry\nmetadata: {name: spans, namespace: shop}\nspec: {tracing: [{providers: [{name: otel}], randomSamplingPercentage: 100, customTags: {said: {literal: {value: here}}, who: {header: {name: x-who}}, path: {formatter: {value: '%REQ(:path)% of 100%%'}}, none: {formatter: {value: '100%'}}}" + more + "}, {match: {mode: CLIENT}, providers: [{name: " + asks + "}]}]}\n"
	}
	p := proxyOf(t, `{id: sidecar~127.0.0.1~web.shop~shop.svc.cluster.local, cluster: web.shop, metadata: {NAMESPACE: shop, INTERCEPTION_MODE: NONE, WEFT_IDENTITY: none, LABELS: {service.istio.io/canonical-name: web}}}`)
	a, tr := authority.New(t, t.TempDir()), translate.New()
	m := mesh.New().With(manifest.Read(t, objects+telemetry("zipkin", "")))
	plane := takesAs(t, tr.View(m, p), a, "web")
	ask := func(port int, who string) string {
		return answer(t, http.MethodGet, port, "/", "shop.internal", "x-who", who)
	}
	reported := func(port int, who, name string) {
		t.Helper()
		eventually(t, "spans of "+name, func() bool {
			if got := ask(port, who); got[:3] != "200" {
				t.Fatalf("%s; %v", got, plane.Nacks())
			}
			return c.has(func(s span) bool {
				return s.name == name && s.tags["who"] == who && s.tags["said"] == "here" && s.tags["path"] == "/ of 100%" && s.tags["istio.canonical_service"] == "web" && s.tags["istio.namespace"] == "shop" && s.tags["http.status_code"] == "200"
			})
		})
	}
	reported(web, "ann", fmt.Sprintf("web.shop:%d/*", web))
	reported(shop, "bob", fmt.Sprintf("shop.internal:%d/*", shop))
	if c.mu.Lock(); c.shares[0] != "100% %REQ(x)%" {
		t.Errorf("a header of the provider is %q", c.shares[0])
	}
	c.mu.Unlock()
	if !c.has(func(s span) bool { return s.service == "web.shop" }) {
		t.Errorf("of whom: %+v", c.spans[0])
	}
	if got := ask(web, ""); got != "200 true" {
		t.Errorf("the trace goes no further: %s", got)
	}
	m = m.With(manifest.Read(t, telemetry("old", "")))
	plane.Serve(resources(t, tr.View(m, p), a, "web")...)
	reported(shop, "eve", fmt.Sprintf("shop.internal:%d/*", shop))
	m = m.With(manifest.Read(t, telemetry("zipkin", ", disableSpanReporting: true")))
	plane.Serve(resources(t, tr.View(m, p), a, "web")...)
	eventually(t, "nothing is reported any more", func() bool { return ask(web, "") == "200 false" })
	if nacks := plane.Nacks(); len(nacks) > 0 {
		t.Errorf("refused: %v", nacks)
	}
}
