package translate

import (
	"slices"
	"strings"
	"testing"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/test/manifest"
)

// TestWhoIsToldOfTraffic is about which providers of access logs a workload has, on each side, and with which filter.
func TestWhoIsToldOfTraffic(t *testing.T) {
	const head = `kind: MeshConfig
metadata: {name: mesh}
spec:
  accessLogFile: /dev/stdout
  extensionProviders:
  - {name: file, envoyFileAccessLog: {path: /tmp/log}}
  - {name: als, envoyHttpAls: {service: als.shop.svc.cluster.local, port: 9000}}
  - {name: nobody, envoyHttpAls: {service: none.shop.svc.cluster.local, port: 9000}}
  - {name: traces, zipkin: {service: z.shop.svc.cluster.local, port: 9411}}
%defaults%
---
kind: Service
metadata: {name: als, namespace: shop}
spec: {clusterIP: 10.0.0.9, ports: [{name: grpc, port: 9000}]}
---
`
	telemetry := func(namespace, spec string) string {
		return "---\nkind: Telemetry\nmetadata: {name: t" + string(rune('a'+len(spec)%26)) + ", namespace: " + namespace + "}\nspec: {" + spec + "}\n"
	}
	for _, c := range []struct{ name, defaults, objects, client, server string }{
		{"the mesh's own file", "", "", "own", "own"},
		{"default providers", "  defaultProviders: {accessLogging: [file, als]}", "", "file als", "file als"},
		{"for all, named at the root", "", telemetry("istio-system", "accessLogging: [{providers: [{name: file}]}]"), "file", "file"},
		{"what is built in", "", telemetry("istio-system", "accessLogging: [{providers: [{name: envoy}]}]"), "envoy", "envoy"},
		{"of another namespace", "", telemetry("other", "accessLogging: [{providers: [{name: file}]}]"), "own", "own"},
		{"switched off below", "", telemetry("istio-system", "accessLogging: [{providers: [{name: file}]}]") + telemetry("shop", "accessLogging: [{disabled: true}]"), "", ""},
		{"switched off on one side", "", telemetry("istio-system", "accessLogging: [{providers: [{name: file}]}]") + telemetry("shop", "accessLogging: [{match: {mode: SERVER}, disabled: true}]"), "file", ""},
		{"on one side only", "", telemetry("shop", "accessLogging: [{match: {mode: CLIENT}, providers: [{name: file}]}]"), "file", ""},
		{"another one below", "", telemetry("istio-system", "accessLogging: [{providers: [{name: file}]}]") + telemetry("shop", "accessLogging: [{providers: [{name: als}]}]"), "als", "als"},
		{"for the workload alone", "", telemetry("shop", "accessLogging: [{providers: [{name: file}]}]") + telemetry("shop", "selector: {matchLabels: {app: web}}, accessLogging: [{providers: [{name: als}]}]"), "als", "als"},
		{"for another workload", "", telemetry("shop", "selector: {matchLabels: {app: other}}, accessLogging: [{providers: [{name: als}]}]"), "own", "own"},
		{"a filter", "  defaultProviders: {accessLogging: [file]}", telemetry("shop", "accessLogging: [{filter: {expression: response.code >= 400}}]"), "file(response.code >= 400)", "file(response.code >= 400)"},
		{"two at once", "", telemetry("shop", "accessLogging: [{providers: [{name: file}, {name: als}]}]"), "file als", "file als"},
		{"whose server nobody sees", "", telemetry("shop", "accessLogging: [{providers: [{name: nobody}]}]"), "", ""},
		{"that keep no logs", "", telemetry("shop", "accessLogging: [{providers: [{name: traces}, {name: unheard-of}, {name: file}]}]"), "file", "file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := mesh.New().With(manifest.Read(t, strings.Replace(head, "%defaults%", c.defaults, 1)+strings.TrimPrefix(c.objects, "---\n")))
			p := proxyOf(t, "id: sidecar~10.1.0.1~web-1.shop~shop.svc.cluster.local\nmetadata: {NAMESPACE: shop, LABELS: {app: web}}")
			tr := New()
			s := tr.scope(m, p)
			for _, serving := range []bool{false, true} {
				var got []string
				for link := tr.logsOf(m, s, telemetriesOf(m, p), serving); link != nil; link = link.before {
					to := link.item.(logTo)
					text := "own"
					if to.provider != nil {
						text = to.provider.Name
					}
					if to.filter != "" {
						text += "(" + to.filter + ")"
					}
					got = append(got, text)
				}
				slices.Reverse(got)
				want := c.client
				if serving {
					want = c.server
				}
				if strings.Join(got, " ") != want {
					t.Errorf("serving %v: %q, want %q", serving, got, want)
				}
			}
		})
	}
}
