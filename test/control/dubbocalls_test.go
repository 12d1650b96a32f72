package control

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/weftmesh/weft/test/e2e"
	"github.com/weftmesh/weft/test/envoy"
	"github.com/weftmesh/weft/test/vacant"
)

// webToDubbo has a gateway make calls of requests, as a delegate says, which is where the block stands.
const webToDubbo = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: greeter, namespace: a}
spec:
  hosts: [greeter.test]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{number: 20880, name: calls, protocol: DUBBO}]
  endpoints: [{address: 127.0.0.1, ports: {calls: %[1]d}}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front, namespace: a}
spec: {selector: {app: front}, servers: [{port: {number: %[2]d, name: http, protocol: HTTP}, hosts: [greeter.test], bind: 127.0.0.1}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: a}
spec: {hosts: [greeter.test], gateways: [front], http: [{match: [{uri: {prefix: /greet}}], delegate: {name: greets}}, {directResponse: {status: 200, body: {string: home}}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: greets, namespace: a}
spec:
  http:
  - route: [{destination: {host: greeter.test, port: {number: 20880}}}]
    dubbo:
      service: org.example.Greeter
      version: 1.0.0
      methods:
      - serviceMethod: greet
        httpPath: /greet/{name}
        httpMethods: [GET]
        params: [{paramSource: PATH, paramKey: name, paramType: java.lang.String}]
`

// What requests become comes through a directory and a real API server as it was written, and what is wrong with it is said. An Envoy that is not weft sends none of these requests on, answers them with 501, and weftd has said so.
func TestCallsOfRequestsAreToldOfBySources(t *testing.T) {
	for _, from := range sources {
		t.Run(from, func(t *testing.T) {
			ports := vacant.Ports(t, 1)
			provider := e2e.Provider(t, "v1", 1)
			text := fmt.Sprintf(webToDubbo, provider.Port, ports[0])
			p := newPlaneOf(t, from, map[string]string{"web.yaml": text})
			if p.cluster != nil {
				var o struct {
					Spec struct {
						HTTP []struct {
							Dubbo struct {
								Service string
								Methods []struct {
									HTTPPath string
									Params   []map[string]string
								}
							}
						}
					}
				}
				p.cluster.Get("{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: greets, namespace: a}}", &o)
				if d := o.Spec.HTTP[0].Dubbo; d.Service != "org.example.Greeter" || d.Methods[0].HTTPPath != "/greet/{name}" || d.Methods[0].Params[0]["paramKey"] != "name" {
					t.Errorf("the API server gives back %+v", o)
				}
			}
			boot := strings.Replace(bootstrap("NAMESPACE: a, LABELS: {app: front}", p.grpc, ""), "sidecar~", "router~", 1)
			envoy.Start(t, boot)
			get := func(path string) string {
				request, _ := http.NewRequest(http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", ports[0], path), nil)
				request.Host = "greeter.test"
				response, err := http.DefaultClient.Do(request)
				if err != nil {
					return ""
				}
				defer response.Body.Close()
				body, _ := io.ReadAll(response.Body)
				return fmt.Sprintf("%d %s", response.StatusCode, body)
			}
			eventually(t, "the gateway answers", func() bool { return get("/") == "200 home" })
			if got := get("/greet/ann"); !strings.HasPrefix(got, "501 requests of this route become calls of Dubbo, which this proxy does not make") {
				t.Errorf("an Envoy answers %q", got)
			}
			said := func(want string) func() bool {
				return func() bool {
					for _, one := range p.status().Problems {
						if strings.Contains(fmt.Sprintf("%+v", one), want) {
							return true
						}
					}
					return false
				}
			}
			if !said("an Envoy that is not weft makes no calls of requests")() || len(p.status().Problems) != 1 {
				t.Errorf("problems are %+v: want the one of Envoys", p.status().Problems)
			}
			p.write("web.yaml", strings.Replace(text, "paramKey: name", "paramKey: nam", 1))
			eventually(t, "it says what is wrong", said("httpPath has no {nam}"))
			if got := get("/greet/ann"); !strings.HasPrefix(got, "501 ") {
				t.Errorf("after a change that is refused it answers %q", got)
			}
		})
	}
}
