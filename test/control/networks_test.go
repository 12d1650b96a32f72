package control

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/weftmesh/weft/test/authority"
	"github.com/weftmesh/weft/test/envoy"
	"github.com/weftmesh/weft/test/kube"
	"github.com/weftmesh/weft/test/vacant"
)

// TestAcrossNetworks has a client of one network ask a workload of another one, by mTLS through the gateway there, which opens nothing of it; and who takes none is not asked at all.
func TestAcrossNetworks(t *testing.T) {
	for _, name := range proxies {
		t.Run(name, func(t *testing.T) {
			app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, who, _ := strings.Cut(r.Header.Get("X-Forwarded-Client-Cert"), "URI=")
				fmt.Fprint(w, "hello ", who)
			}))
			t.Cleanup(app.Close)
			ports := vacant.Ports(t, 4)
			out, in, door, admin := ports[0], ports[1], ports[2], ports[3]
			service := func(account string) string {
				return fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: web, namespace: shop}
spec:
  hosts: [web.shop.internal]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: %d, name: http, protocol: HTTP}]
  endpoints: [{address: 127.0.0.1, network: far, labels: {app: web}, %s ports: {http: %d}}]
`, out, account, in)
			}
			p := newPlane(t, map[string]string{"service.yaml": service("serviceAccount: web,"), "web.yaml": fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: web, namespace: shop}
spec:
  workloadSelector: {labels: {app: web}}
  ingress: [{port: {number: %d, name: http, protocol: HTTP}, bind: 127.0.0.1, captureMode: NONE, defaultEndpoint: "%s"}]
  egress: [{hosts: ["~/*"]}]
---
apiVersion: v1
kind: Service
metadata: {name: eastwest, namespace: edge, labels: {topology.istio.io/network: far, networking.istio.io/gatewayPort: "%d"}, annotations: {networking.istio.io/exportTo: "."}} # or sidecars would listen at its port
spec: {clusterIP: None, externalIPs: [127.0.0.1], ports: [{name: tls, port: %[3]d}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: eastwest, namespace: shop}
spec: {selector: {app: gw}, servers: [{port: {number: %[3]d, name: tls, protocol: TLS}, tls: {mode: AUTO_PASSTHROUGH}, hosts: ["*.internal"]}]}
`, in, app.Listener.Addr(), door)})
			a := authority.New(t, t.TempDir())
			start := func(who, kind, network string) *process {
				boot := bootstrap(fmt.Sprintf("NAMESPACE: shop, LABELS: {app: %s}, NETWORK: %s", who, network), p.grpc, agent(t, a, who))
				boot = asMember(boot, kind, who)
				if who == "gw" {
					boot = strings.Replace(boot, "port_value: 0", fmt.Sprintf("port_value: %d", admin), 1)
				}
				if name == "envoy" {
					envoy.Start(t, boot)
					return nil
				}
				return weft(t, boot)
			}
			start("web", "sidecar", "far")
			start("gw", "router", "far")
			start("client", "sidecar", "near")
			ask := func() string { return answer(t, http.MethodGet, out, "/", "web.shop.internal") }
			last := ""
			becomes := func(what, want string) {
				t.Helper()
				defer func() {
					if t.Failed() {
						t.Logf("%s: %s", what, last)
					}
				}()
				eventually(t, what, func() bool { last = ask(); return strings.HasPrefix(last, want) })
			}
			becomes("the workload is asked as who asks", "200 hello spiffe://cluster.local/ns/shop/sa/client")
			answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/clusters", admin))
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			text, _ := io.ReadAll(answer.Body)
			passed := fmt.Sprintf("outbound_.%d_._.web.shop.internal::127.0.0.1:%d::cx_total::", out, in)
			if _, rest, is := strings.Cut(string(text), passed); !is || strings.HasPrefix(rest, "0\n") {
				t.Errorf("the gateway has passed nothing on: %q of\n%s", passed, text)
			}
			// What names no service that is there, or does not say that it is mTLS of the mesh, is let in nowhere.
			for _, c := range []*tls.Config{
				{ServerName: fmt.Sprintf("outbound_.%d_._.nobody.internal", out), NextProtos: []string{"istio"}},
				{ServerName: fmt.Sprintf("outbound_.%d_._.web.shop.internal", out), NextProtos: []string{"h2"}},
				{ServerName: "web.shop.internal", NextProtos: []string{"istio"}},
			} {
				c.InsecureSkipVerify = true // nobody is to answer at all
				dialer := &tls.Dialer{NetDialer: &net.Dialer{Timeout: deadline}, Config: c}
				if conn, err := dialer.DialContext(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", door)); err == nil {
					t.Errorf("%s by %v is let in", c.ServerName, c.NextProtos)
					conn.Close()
				}
			}
			p.write("service.yaml", service(""))
			becomes("who takes no mTLS is not reached", "503 no healthy upstream")
			p.write("service.yaml", service("serviceAccount: web,"))
			becomes("who does is reached again", "200 hello spiffe://cluster.local/ns/shop/sa/client")
		})
	}
}

// TestNetworksOfClusters has two clusters be of two networks, as their API servers say it, and a real Envoy of the one be told the gateway of the other.
func TestNetworksOfClusters(t *testing.T) {
	web := func(address string) string {
		return fmt.Sprintf(`
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: a}, spec: {ports: [{name: http, port: 80}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: a, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [%[1]s], targetRef: {kind: Pod, namespace: a, name: web}}]
ports: [{name: http, port: 8080, protocol: TCP}]
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: a, labels: {app: web, security.istio.io/tlsMode: istio}}
spec: {containers: [{name: c, image: x}]}
status: {phase: Running, podIP: %[1]s, podIPs: [{ip: %[1]s}], conditions: [{type: Ready, status: "True"}]}
`, address)
	}
	pod := func(address string) string { return web(address)[strings.LastIndex(web(address), "---")+4:] }
	network := func(name string) string {
		return fmt.Sprintf("{apiVersion: v1, kind: Namespace, metadata: {name: istio-system, labels: {topology.istio.io/network: %s}}}", name)
	}
	p := newPlaneOf(t, sources[1], map[string]string{"web": web("10.1.0.1")})
	p.cluster.ApplyStatus(pod("10.1.0.1"))
	p.cluster.Apply(network("near"))
	east := kube.Start(t)
	east.Apply(web("10.1.0.1")) // the same address, in another network
	east.ApplyStatus(pod("10.1.0.1"))
	const gateway = "{apiVersion: v1, kind: Service, metadata: {name: eastwest, namespace: istio-system, labels: {topology.istio.io/network: far}}, spec: {type: LoadBalancer, ports: [{name: tls, port: 15443}]}, status: {loadBalancer: {ingress: [{ip: 192.0.2.7}]}}}"
	east.Apply(gateway)
	east.ApplyStatus(gateway)
	east.Apply(network("far"))
	a := authority.New(t, t.TempDir())
	boot := strings.Replace(bootstrap("NAMESPACE: a", p.grpc, agent(t, a, "client")), "WEFT_IDENTITY: none", "WEFT_IDENTITY: agent", 1)
	admin := envoy.Start(t, boot)
	is := func(want ...string) {
		t.Helper()
		var got []string
		defer func() {
			if t.Failed() {
				t.Logf("it has %q", got)
			}
		}()
		eventually(t, fmt.Sprintf("it has %q", want), func() bool {
			got = nil
			answer, err := http.Get("http://" + admin + "/clusters")
			if err != nil {
				return false
			}
			defer answer.Body.Close()
			text, _ := io.ReadAll(answer.Body)
			for line := range strings.Lines(string(text)) {
				if rest, is := strings.CutPrefix(line, "outbound|80||web.a.svc.cluster.local::"); is && strings.Contains(rest, "::weight::") {
					got = append(got, strings.TrimSpace(rest))
				}
			}
			slices.Sort(got)
			return slices.Equal(got, want)
		})
	}
	is("10.1.0.1:8080::weight::1")
	p.cluster.Apply(attaches("east", east.Portable()))
	is("10.1.0.1:8080::weight::1", "192.0.2.7:15443::weight::1")
	east.ApplyStatus(strings.Replace(gateway, "ip: 192.0.2.7", "hostname: localhost", 1)) // as load balancers of some clouds have it
	is("10.1.0.1:8080::weight::1", "127.0.0.1:15443::weight::1")
	east.Delete("{apiVersion: v1, kind: Service, metadata: {name: eastwest, namespace: istio-system}}")
	eventually(t, "nobody comes in any more", func() bool { return p.following()["east"].Objects["Service"] == 2 }) // web, and kubernetes
	p.cluster.Delete("{apiVersion: v1, kind: Secret, metadata: {name: istio-remote-secret-east, namespace: istio-system}}")
	is("10.1.0.1:8080::weight::1")
}
