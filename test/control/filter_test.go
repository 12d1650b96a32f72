package control

import (
	"fmt"
	"net/http"
	"testing"
)

// What an EnvoyFilter says reaches the traffic and goes with it, under load, and what a proxy refuses of it leaves all else as it is.
func TestAnEnvoyFilterIsCarriedOut(t *testing.T) {
	for _, name := range proxies {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			p := newPlane(t, map[string]string{"shop.yaml": s.entry(""), "canary.yaml": canary(100)})
			p.proxy(name)
			s.opens()
			p.synced(1)
			end := s.load()
			fresh := http.Client{Timeout: deadline, Transport: &http.Transport{DisableKeepAlives: true}} // Envoy serves what stands by the filter chain that it came to
			header := func(path string) (int, string) {
				r, err := http.NewRequest(http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", s.port, path), nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Host = "shop.test"
				got, err := fresh.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				got.Body.Close()
				return got.StatusCode, got.Header.Get("x-patched")
			}
			filter := func(typed string) string {
				return `
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: more, namespace: a}
spec:
  configPatches:
  - applyTo: HTTP_FILTER
    match: {context: SIDECAR_OUTBOUND, listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager, subFilter: {name: envoy.filters.http.router}}}}}
    patch: {operation: INSERT_BEFORE, value: {name: more, typed_config: ` + typed + `}}
  - applyTo: HTTP_ROUTE
    match: {context: SIDECAR_OUTBOUND, routeConfiguration: {vhost: {domainName: shop.test}}}
    patch: {operation: INSERT_FIRST, value: {name: health, match: {path: /healthz}, direct_response: {status: 418}}}
`
			}
			p.write("filter.yaml", filter(`{"@type": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, mutations: {response_mutations: [{append: {header: {key: x-patched, value: "yes"}}}]}}`))
			eventually(t, "the filter and the route are there", func() bool {
				code, said := header("/healthz")
				_, too := header("/")
				return code == http.StatusTeapot && said == "yes" && too == "yes"
			})
			p.synced(1)
			p.write("filter.yaml", filter(`{"@type": type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer}`)) // without the bound that it must have
			eventually(t, "the listener is refused", func() bool { return len(p.status().Refused) == 1 })
			if _, said := header("/"); said != "yes" {
				t.Error("what was refused is in force, or nothing is")
			}
			p.write("filter.yaml", "")
			eventually(t, "the filter and the route are gone", func() bool {
				code, said := header("/healthz")
				return code == http.StatusOK && said == "" && len(p.status().Refused) == 0
			})
			if end() == 0 {
				t.Error("nothing was asked meanwhile")
			}
		})
	}
}
