package translate

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/test/manifest"
)

// TestWhatIsReported is about which tracer a workload has on each side, of how many requests in a hundred, and with how many tags.
func TestWhatIsReported(t *testing.T) {
	const head = `kind: MeshConfig
metadata: {name: mesh}
spec:
  extensionProviders:
  - {name: zipkin, zipkin: {service: z.shop.svc.cluster.local, port: 9411}}
  - {name: otel, opentelemetry: {service: z.shop.svc.cluster.local, port: 9411}}
  - {name: sky, skywalking: {service: shop/z.shop.svc.cluster.local, port: 9411, accessToken: x}}
  - {name: dog, datadog: {service: z.shop.svc.cluster.local, port: 9411}}
  - {name: samples, opentelemetry: {service: z.shop.svc.cluster.local, port: 9411, http: {path: v1/traces}, dynatraceSampler: {tenant: a}}}
  - {name: nobody, zipkin: {service: none.shop.svc.cluster.local, port: 9411}}
  - {name: file, envoyFileAccessLog: {path: /tmp/log}}
%more%
---
kind: Service
metadata: {name: z, namespace: shop}
spec: {clusterIP: 10.0.0.9, ports: [{name: http, port: 9411}]}
---
`
	telemetry := func(namespace, spec string) string {
		return "---\nkind: Telemetry\nmetadata: {name: t" + string(rune('a'+len(spec)%26)) + ", namespace: " + namespace + "}\nspec: {" + spec + "}\n"
	}
	const zipkin = "zipkin 1% 9"
	for _, c := range []struct{ name, more, objects, node, client, server string }{
		{"nobody says anything", "", "", "", "", ""},
		{"tracers of bootstraps", "  enableTracing: true\n  defaultConfig: {tracing: {sampling: 5, customTags: {a: {literal: {value: b}}}}}", "", "", "bootstrap 5% 10", "bootstrap 5% 10"},
		{"of the proxy itself", "  enableTracing: true\n  defaultConfig: {tracing: {sampling: 5}}", "", "PROXY_CONFIG: {tracing: {sampling: 20, enableIstioTags: false, customTags: {a: {header: {name: b}}}}, drainDuration: 45s}, ", "bootstrap 20% 1", "bootstrap 20% 1"},
		{"a default provider", "  defaultProviders: {tracing: [zipkin, otel]}", "", "", zipkin, zipkin},
		{"named at the root", "", telemetry("istio-system", "tracing: [{providers: [{name: zipkin}]}]"), "", zipkin, zipkin},
		{"of another namespace", "", telemetry("other", "tracing: [{providers: [{name: zipkin}]}]"), "", "", ""},
		{"switched off below", "", telemetry("istio-system", "tracing: [{providers: [{name: zipkin}]}]") + telemetry("shop", "tracing: [{disableSpanReporting: true}]"), "", "", ""},
		{"switched off on one side", "", telemetry("istio-system", "tracing: [{providers: [{name: zipkin}]}]") + telemetry("shop", "tracing: [{match: {mode: SERVER}, disableSpanReporting: true}]"), "", zipkin, ""},
		{"and on again for the workload", "", telemetry("istio-system", "tracing: [{providers: [{name: zipkin}], disableSpanReporting: true, randomSamplingPercentage: 0}]") + telemetry("shop", "selector: {matchLabels: {app: web}}, tracing: [{disableSpanReporting: false}]"), "", "zipkin 0% 9", "zipkin 0% 9"},
		{"each side its own", "", telemetry("shop", "tracing: [{match: {mode: CLIENT}, providers: [{name: otel}], randomSamplingPercentage: 3}, {match: {mode: SERVER}, providers: [{name: dog}], enableIstioTags: false}]"), "", "opentelemetry 3% 9", "datadog 1% 0"},
		{"tags of the closest alone", "", telemetry("istio-system", "tracing: [{providers: [{name: sky}], customTags: {a: {literal: {value: b}}, c: {literal: {value: d}}}}]") + telemetry("shop", "tracing: [{customTags: {e: {formatter: {value: '%PROTOCOL%'}}}}]"), "", "skywalking 1% 10 apart", "skywalking 1% 10 apart"},
		{"which is too new", "", telemetry("shop", "tracing: [{providers: [{name: zipkin}], customTags: {e: {formatter: {value: '%PROTOCOL%'}}}}]"), "ISTIO_VERSION: 1.28.3, ", zipkin, zipkin},
		{"a sampler decides", "", telemetry("shop", "tracing: [{providers: [{name: samples}], randomSamplingPercentage: 3}]"), "", "opentelemetry 100% 9", "opentelemetry 100% 9"},
		{"whose collector nobody sees", "", telemetry("shop", "tracing: [{providers: [{name: nobody}]}]"), "", "", ""},
		{"that know no traces", "", telemetry("shop", "tracing: [{match: {mode: CLIENT}, providers: [{name: file}]}, {match: {mode: SERVER}, providers: [{name: unheard-of}]}]"), "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := mesh.New().With(manifest.Read(t, strings.Replace(head, "%more%", c.more, 1)+strings.TrimPrefix(c.objects, "---\n")))
			p := proxyOf(t, "id: sidecar~10.1.0.1~web-1.shop~shop.svc.cluster.local\nmetadata: {"+c.node+"NAMESPACE: shop, LABELS: {app: web}}")
			tr := New()
			for _, serving := range []bool{false, true} {
				k := tr.connections(m, p, tr.scope(m, p), serving)
				got := ""
				if k.traced != nil {
					config := k.manager("x").GetTracing()
					by := strings.TrimPrefix(config.GetProvider().GetName(), "envoy.tracers.")
					if by == "" {
						by = "bootstrap"
					}
					if got = fmt.Sprintf("%s %v%% %d", by, config.GetRandomSampling().GetValue(), len(config.GetCustomTags())); config.GetSpawnUpstreamSpan().GetValue() {
						got += " apart"
					}
				}
				want := c.client
				if serving {
					want = c.server
				}
				if got != want {
					t.Errorf("serving %v: %q, want %q", serving, got, want)
				}
				if again := tr.connections(m, p, tr.scope(m, p), serving); again != k {
					t.Error("it is another one each time")
				}
				p.Traits.Weft = true
				if k := tr.connections(m, p, tr.scope(m, p), serving); k.traced != nil {
					t.Error("weft is told of a tracer")
				}
				p.Traits.Weft = false
			}
		})
	}
}
