package translate

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/test/manifest"
)

// TestWhatIsCounted is about which metrics a workload counts on each side, and what of them is otherwise.
func TestWhatIsCounted(t *testing.T) {
	const head = `kind: MeshConfig
metadata: {name: mesh}
spec:
  extensionProviders:
  - {name: other, prometheus: {}}
  - {name: zipkin, zipkin: {service: z.shop.svc.cluster.local, port: 9411}}
%defaults%
`
	const usual = "  defaultProviders: {metrics: [prometheus]}"
	telemetry := func(namespace, spec string) string {
		return "---\nkind: Telemetry\nmetadata: {name: t" + string(rune('a'+len(spec)%26)) + ", namespace: " + namespace + "}\nspec: {" + spec + "}\n"
	}
	for _, c := range []struct{ name, defaults, objects, client, server string }{
		{"nobody says anything", "", "", "", ""},
		{"a default provider", usual, "", "[]", "[]"},
		{"two", "  defaultProviders: {metrics: [prometheus, other, stackdriver, zipkin]}", "", "[] []", "[] []"},
		{"named below", "", telemetry("shop", "metrics: [{providers: [{name: other}]}]"), "[]", "[]"},
		{"who is no longer named", usual, telemetry("istio-system", "metrics: [{overrides: [{match: {metric: REQUEST_COUNT}, disabled: true}]}]") + telemetry("shop", "metrics: [{providers: [{name: other}]}]"), "[]", "[]"},
		{"of another namespace", usual, telemetry("other", "metrics: [{overrides: [{disabled: true}]}]"), "[]", "[]"},
		{"nothing", usual, telemetry("istio-system", "metrics: [{overrides: [{disabled: true}]}]"), "", ""},
		{"nothing on one side", usual, telemetry("istio-system", "metrics: [{overrides: [{match: {mode: SERVER}, disabled: true}]}]"), "[]", ""},
		{"nothing but one, below", usual, telemetry("istio-system", "metrics: [{overrides: [{disabled: true}]}]") + telemetry("shop", "metrics: [{overrides: [{match: {metric: REQUEST_COUNT, mode: CLIENT}, disabled: false}]}]"), "[requests_total]", ""},
		{"off, and on below with another tag", usual, telemetry("istio-system", "metrics: [{overrides: [{match: {metric: REQUEST_SIZE}, disabled: true, tagOverrides: {a: {operation: REMOVE}}}]}]") + telemetry("shop", "metrics: [{overrides: [{match: {metric: REQUEST_SIZE}, disabled: false, tagOverrides: {b: {value: request.host}}}]}]"),
			"[request_bytes -a b=request.host]", "[request_bytes -a b=request.host]"},
		{"one's own", usual, telemetry("shop", "metrics: [{reportingInterval: 5s, overrides: [{match: {customMetric: own, mode: SERVER}, tagOverrides: {a: {value: \"'b'\"}}}, {match: {metric: TCP_SENT_BYTES, mode: CLIENT}, disabled: true}]}]"), "[5s tcp_sent_bytes_total off]", "[5s own a='b']"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := mesh.New().With(manifest.Read(t, strings.Replace(head, "%defaults%", c.defaults, 1)+c.objects))
			p := proxyOf(t, "id: sidecar~10.1.0.1~web-1.shop~shop.svc.cluster.local\nmetadata: {NAMESPACE: shop, ISTIO_VERSION: 1.29.0, LABELS: {app: web}}")
			tr := New()
			for _, serving := range []bool{false, true} {
				k := tr.connections(m, p, tr.scope(m, p), serving)
				var all []string
				if k.metered != nil {
					for _, config := range k.metered.configs {
						var text []string
						if d := config.GetTcpReportingDuration(); d != nil {
							text = append(text, d.AsDuration().String())
						}
						for _, one := range config.GetMetrics() {
							text = append(text, one.GetName())
							if one.GetDrop() {
								text = append(text, "off")
							}
							for _, tag := range one.GetTagsToRemove() {
								text = append(text, "-"+tag)
							}
							var dimensions []string
							for tag, value := range one.GetDimensions() {
								dimensions = append(dimensions, tag+"="+value)
							}
							slices.Sort(dimensions)
							text = append(text, dimensions...)
						}
						all = append(all, fmt.Sprint(text))
						if config.GetDisableHostHeaderFallback() != serving {
							t.Error("whoever asks may say which host he means")
						}
					}
				}
				want := c.client
				if serving {
					want = c.server
				}
				if got := strings.Join(all, " "); got != want {
					t.Errorf("serving %v: %q, want %q", serving, got, want)
				}
				if again := tr.connections(m, p, tr.scope(m, p), serving); again != k {
					t.Error("it is another one each time")
				}
			}
			p.Traits.Istio = false
			if k := tr.connections(m, p, tr.scope(m, p), true); k.metered != nil {
				t.Error("a plain Envoy is told of Istio's filter")
			}
		})
	}
}
