package translate

import (
	"strings"
	"testing"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/test/manifest"
)

// TestReferences names what is not there by object and field, and says nothing of what might be.
func TestReferences(t *testing.T) {
	const there = `
kind: MeshConfig
metadata: {name: istio}
spec: {extensionProviders: [{name: files, envoyFileAccessLog: {path: /dev/stdout}}, {name: asks, envoyExtAuthzGrpc: {service: shop/web.shop.svc.cluster.local, port: 80}},
  {name: spans, zipkin: {service: web.shop.svc.cluster.local, port: 80}}, {name: gone, envoyExtAuthzGrpc: {service: gone.test, port: 80}}, {name: requests, envoyExtAuthzHttp: {service: web.shop.svc.cluster.local, port: 80}}]}
---
kind: AuthorizationPolicy
metadata: {name: other, namespace: istio-system}
spec: {selector: {matchLabels: {app: web}}, action: CUSTOM, provider: {name: asks}, rules: [{}]}
---
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.0.0.1, ports: [{port: 80}]}
---
kind: Service
metadata: {name: x, namespace: shop, creationTimestamp: '2020-01-01T00:00:00Z'}
spec: {selector: {app: x}, clusterIP: 10.0.0.8, ports: [{port: 80, targetPort: 8080, name: http}, {port: 8082, name: http-x}]}
---
kind: Service
metadata: {name: elsewhere, namespace: shop}
spec: {type: ExternalName, externalName: example.com}
---
kind: ServiceEntry
metadata: {name: wide, namespace: far}
spec: {hosts: ["*.wide.test", Upper.test], resolution: NONE, ports: [{number: 80, name: http, protocol: HTTP}]}
---
kind: ServiceEntry
metadata: {name: bytes, namespace: far}
spec: {hosts: [bytes.test], addresses: [10.0.0.7], resolution: STATIC, ports: [{number: 6000, name: tcp, protocol: TCP}]}
---
kind: ServiceEntry
metadata: {name: any, namespace: far}
spec: {hosts: ["*.bytes.test"], resolution: NONE, ports: [{number: 6001, name: tcp, protocol: TCP}, {number: 6002, name: tls, protocol: TLS}]}
---
kind: DestinationRule
metadata: {name: web, namespace: far}
spec: {host: web.shop.svc.cluster.local, subsets: [{name: v1}]}
---
kind: DestinationRule
metadata: {name: all, namespace: far}
spec: {host: "*.wide.test", subsets: [{name: w}]}
---
kind: Gateway
metadata: {name: edge, namespace: gates}
spec: {selector: {a: b}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
kind: VirtualService
metadata: {name: part, namespace: far}
spec: {http: [{route: [{destination: {host: web.shop.svc.cluster.local}}]}]}
---
kind: VirtualService
metadata: {name: routed, namespace: shop}
spec: {hosts: ["*.routed.test"], http: [{route: [{destination: {host: web}}]}]}
---
`
	const dubbo = `
kind: Service
metadata: {name: calls, namespace: shop}
spec: {clusterIP: 10.0.0.6, ports: [{port: 20880, name: dubbo}]}
---
kind: Service
metadata: {name: both, namespace: shop}
spec: {clusterIP: 10.0.0.5, ports: [{port: 20880, name: dubbo}, {port: 80, name: http}]}
---
kind: ServiceEntry
metadata: {name: calls, namespace: far}
spec: {hosts: ["*.calls.test"], resolution: NONE, ports: [{number: 1, name: calls, protocol: DUBBO}]}
`
	for _, c := range []struct{ name, object, want string }{
		{"all is there", "kind: VirtualService\nmetadata: {name: a, namespace: shop}\nspec: {hosts: [web], gateways: [mesh, gates/edge], http: [{name: x, match: [{uri: {prefix: /x}}], delegate: {name: part, namespace: far}}, " +
			"{route: [{destination: {host: web, subset: v1}, weight: 1}, {destination: {host: elsewhere}, weight: 1}, {destination: {host: a.wide.test, subset: w}, weight: 1}, {destination: {host: upper.test}, weight: 1}], mirror: {host: WEB.shop.svc.cluster.local}}]}", ""},
		{"a host, as a short name elsewhere", "kind: VirtualService\nmetadata: {name: a, namespace: far}\nspec: {hosts: [x], http: [{route: [{destination: {host: web}}]}]}", "spec.http[0].route[0].destination.host: no service has the host web.far.svc.cluster.local"},
		{"a subset", "kind: VirtualService\nmetadata: {name: a, namespace: shop}\nspec: {hosts: [web], http: [{route: [{destination: {host: web}}]}, {route: [{destination: {host: web, subset: v2}}]}]}", "spec.http[1].route[0].destination.subset: no DestinationRule for web.shop.svc.cluster.local has a subset \"v2\""},
		{"a mirror", "kind: VirtualService\nmetadata: {name: a, namespace: shop}\nspec: {hosts: [web], http: [{route: [{destination: {host: web}}], mirrors: [{destination: {host: web}}, {destination: {host: gone.test}}]}]}", "spec.http[0].mirrors[1].destination.host: no service has the host gone.test"},
		{"of bytes", "kind: VirtualService\nmetadata: {name: a, namespace: shop}\nspec: {hosts: [web], tcp: [{route: [{destination: {host: x.test}}]}], tls: [{match: [{sniHosts: [web]}], route: [{destination: {host: y.test}}]}]}", "spec.tcp[0].route[0].destination.host: no service has the host x.test, spec.tls[0].route[0].destination.host: no service has the host y.test"},
		{"of calls", "kind: VirtualService\nmetadata: {name: a, namespace: shop}\nspec: {hosts: [calls], dubbo: [{routes: [{route: [{destination: {subset: v9}, fallback: {targets: [{destination: {host: calls}}, {destination: {host: gone.test}}]}}]}]}]}\n---\n" +
			"kind: Service\nmetadata: {name: calls, namespace: shop}\nspec: {clusterIP: 10.0.0.6, ports: [{port: 20880, name: dubbo}]}",
			"spec.dubbo[0].routes[0].route[0].destination.subset: no DestinationRule for calls.shop.svc.cluster.local has a subset \"v9\", spec.dubbo[0].routes[0].route[0].fallback.targets[1].destination.host: no service has the host gone.test"},
		{"calls of who takes none", "kind: VirtualService\nmetadata: {name: a, namespace: shop}\nspec: {hosts: [bytes.test], dubbo: [{routes: [{route: [{destination: {}}]}]}]}", "spec.dubbo: no service of its hosts has a port for calls"},
		{"requests that become calls, and their mirror", "kind: VirtualService\nmetadata: {name: a, namespace: shop}\nspec: {hosts: [web], http: [{route: [{destination: {host: calls, port: {number: 20880}}, weight: 1}, {destination: {host: both}, weight: 1}, {destination: {host: both, port: {number: 80}}, weight: 1}, {destination: {host: web}, weight: 1}, {destination: {host: a.calls.test, port: {number: 1}}, weight: 1}], mirror: {host: web, port: {number: 80}}, dubbo: {service: a.B, methods: [{serviceMethod: m}]}}]}\n---\n" + dubbo,
			"spec.http[0].route[2].destination: no port of both.shop.svc.cluster.local that this may mean carries calls of Dubbo, spec.http[0].route[3].destination: no port of web.shop.svc.cluster.local that this may mean carries calls of Dubbo, spec.http[0].mirror: no port of web.shop.svc.cluster.local that this may mean carries calls of Dubbo"},
		{"requests to who takes calls", "kind: VirtualService\nmetadata: {name: a, namespace: shop}\nspec: {hosts: [web], http: [{route: [{destination: {host: calls}, weight: 1}, {destination: {host: both}, weight: 1}, {destination: {host: both, port: {number: 20880}}, weight: 1}, {destination: {host: web}, weight: 1}, {destination: {host: a.calls.test}, weight: 1}]}]}\n---\n" + dubbo,
			"spec.http[0].route[0].destination: the port of calls.shop.svc.cluster.local carries calls of Dubbo, spec.http[0].route[2].destination: the port of both.shop.svc.cluster.local carries calls of Dubbo, spec.http[0].route[4].destination: the port of a.calls.test carries calls of Dubbo"},
		{"a gateway", "kind: VirtualService\nmetadata: {name: a, namespace: shop}\nspec: {hosts: [web], gateways: [edge], http: [{route: [{destination: {host: web}}]}]}", "spec.gateways[0]: there is no Gateway shop/edge"},
		{"a delegate", "kind: VirtualService\nmetadata: {name: a, namespace: shop}\nspec: {hosts: [web], http: [{delegate: {name: part}}]}", "spec.http[0].delegate: there is no VirtualService shop/part"},
		{"a rule", "kind: DestinationRule\nmetadata: {name: a, namespace: shop}\nspec: {host: nobody}", "spec.host: no service has the host nobody.shop.svc.cluster.local"},
		{"a rule for many", "kind: DestinationRule\nmetadata: {name: a, namespace: shop}\nspec: {host: '*.svc.cluster.local'}", ""},
		{"a Sidecar", "kind: Sidecar\nmetadata: {name: a, namespace: shop}\nspec: {egress: [{hosts: ['./*', 'far/*.wide.test', '*/b.wide.test', 'far/web.test', './x.routed.test']}]}", "spec.egress[0].hosts[3]: no service and no VirtualService has the host web.test"},
		{"a way in by name", "kind: Service\nmetadata: {name: a, namespace: shop, labels: {topology.istio.io/network: far}}\nspec: {clusterIP: 10.0.0.2, ports: [{port: 15443}]}\nstatus: {loadBalancer: {ingress: [{hostname: lb.test}]}}", "metadata.labels[topology.istio.io/network]: it is the way into the network \"far\", and nobody comes in, since no address of it is known"},
		{"a way in", "kind: Service\nmetadata: {name: a, namespace: shop, labels: {topology.istio.io/network: far}}\nspec: {clusterIP: 10.0.0.2, externalIPs: [192.0.2.1], ports: [{port: 15443}]}", ""},
		{"a provider", "kind: Telemetry\nmetadata: {name: a, namespace: shop}\nspec: {accessLogging: [{providers: [{name: envoy}, {name: files}, {name: file}]}]}", "spec.accessLogging[0].providers[2].name: MeshConfig describes no provider \"file\""},
		{"who counts", "kind: Telemetry\nmetadata: {name: a, namespace: shop}\nspec: {metrics: [{providers: [{name: prometheus}, {name: spans}]}]}", "spec.metrics[0].providers[1].name: \"spans\" is no provider of metrics that is run"},
		{"a tracer", "kind: Telemetry\nmetadata: {name: a, namespace: shop}\nspec: {tracing: [{providers: [{name: spans}]}, {providers: [{name: files}]}, {providers: [{name: span}]}]}", "spec.tracing[1].providers[0].name: provider \"files\" is none of traces that are run, spec.tracing[2].providers[0].name: MeshConfig describes no provider \"span\""},
		{"a port's name", "kind: Ingress\nmetadata: {name: a, namespace: shop, annotations: {kubernetes.io/ingress.class: istio}}\nspec: {rules: [{http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: x, port: {name: http-x}}}}]}}]}", ""},
		{"a port's name that none has", "kind: Ingress\nmetadata: {name: a, namespace: shop, annotations: {kubernetes.io/ingress.class: istio}}\nspec: {rules: [{http: {paths: [{path: /a, pathType: Exact, backend: {service: {name: x, port: {number: 80}}}}, {path: /, pathType: Prefix, backend: {service: {name: x, port: {name: htpp}}}}]}}]}", "spec.rules[0].http.paths[1].backend.service.port.name: no Service shop/x has a port \"htpp\""},
		{"another's Ingress", "kind: Ingress\nmetadata: {name: a, namespace: shop, annotations: {kubernetes.io/ingress.class: nginx}}\nspec: {rules: [{http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: x, port: {name: htpp}}}}]}}]}", ""},
		{"a module", "kind: WasmPlugin\nmetadata: {name: a, namespace: shop}\nspec: {url: 'http://web.shop.svc.cluster.local/a.wasm'}", ""},
		{"where nobody is", "kind: WasmPlugin\nmetadata: {name: a, namespace: shop}\nspec: {url: 'https://gone.test/a.wasm'}", "spec.url: no service has the host gone.test"},
		{"an address that somebody has", "kind: ServiceEntry\nmetadata: {name: a, namespace: shop}\nspec: {hosts: [zz.test], addresses: [10.0.0.7], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}, {number: 6000, name: tcp, protocol: TCP}]}", "spec.ports[1]: ServiceEntry far/bytes has the address 10.0.0.7 at port 6000, too"},
		{"every address", "kind: ServiceEntry\nmetadata: {name: a, namespace: shop}\nspec: {hosts: [zz.test], resolution: NONE, ports: [{number: 6001, name: tcp, protocol: TCP}, {number: 6002, name: tls, protocol: TLS}]}", "spec.ports[0]: ServiceEntry far/any has every address at port 6001, too"},
		{"which not everybody sees", "kind: ServiceEntry\nmetadata: {name: a, namespace: shop}\nspec: {hosts: [zz.test], exportTo: [.], resolution: NONE, ports: [{number: 6001, name: tcp, protocol: TCP}]}", ""},
		{"a port that somebody says", "kind: Service\nmetadata: {name: a, namespace: shop, creationTimestamp: '2020-01-02T00:00:00Z'}\nspec: {selector: {app: x, v: b}, clusterIP: 10.0.0.9, ports: [{port: 99, targetPort: 8080, name: tcp}, {port: 98, targetPort: 8081, name: tcp-x}, {port: 97, targetPort: 8082, name: http}]}", "spec.ports[0]: Service shop/x is older and says what comes to port 8080 of workloads of both"},
		{"of other workloads", "kind: Service\nmetadata: {name: a, namespace: shop, creationTimestamp: '2020-01-02T00:00:00Z'}\nspec: {selector: {app: other}, clusterIP: 10.0.0.9, ports: [{port: 99, targetPort: 8080, name: tcp}]}", ""},
		{"who is asked", "kind: AuthorizationPolicy\nmetadata: {name: a, namespace: shop}\nspec: {selector: {matchLabels: {app: web, v: x}}, action: CUSTOM, provider: {name: asks}, rules: [{}]}", ""},
		{"nobody to ask", "kind: AuthorizationPolicy\nmetadata: {name: a, namespace: shop}\nspec: {selector: {matchLabels: {app: b}}, action: CUSTOM, provider: {name: none}, rules: [{}]}", "spec.provider.name: MeshConfig describes no provider \"none\""},
		{"one who writes logs", "kind: AuthorizationPolicy\nmetadata: {name: a, namespace: shop}\nspec: {selector: {matchLabels: {app: b}}, action: CUSTOM, provider: {name: files}, rules: [{}]}", "spec.provider.name: the provider \"files\" cannot be asked"},
		{"one who is not there", "kind: AuthorizationPolicy\nmetadata: {name: a, namespace: shop}\nspec: {selector: {matchLabels: {app: b}}, action: CUSTOM, provider: {name: gone}, rules: [{}]}", "spec.provider.name: no service has the host gone.test of the provider \"gone\""},
		{"one who knows requests", "kind: AuthorizationPolicy\nmetadata: {name: a, namespace: shop}\nspec: {selector: {matchLabels: {app: b}}, action: CUSTOM, provider: {name: requests}, rules: [{to: [{operation: {ports: ['80']}}]}, {}]}", "spec.rules[1]: the provider \"requests\" can be asked about requests only"},
		{"two", "kind: AuthorizationPolicy\nmetadata: {name: a, namespace: shop}\nspec: {action: CUSTOM, provider: {name: requests}, rules: [{to: [{operation: {ports: ['80']}}]}]}", "spec.provider.name: the policy istio-system/other asks another provider for workloads of both"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, p := range References(mesh.New().With(manifest.Read(t, there+c.object))) {
				text, _, more := strings.Cut(p.Text, ": ")
				if p.Name == "other" {
					continue
				}
				if !more || p.Name != "a" || !p.Warning {
					t.Errorf("%+v: want what becomes of it", p)
				}
				got = append(got, p.Path+": "+text)
			}
			if strings.Join(got, ", ") != c.want {
				t.Errorf("says %q, want %q", got, c.want)
			}
		})
	}
}

// TestDefaultsNameWhoIsThere says which providers of who names none are nobody.
func TestDefaultsNameWhoIsThere(t *testing.T) {
	problems := References(mesh.New().With(manifest.Read(t, "kind: MeshConfig\nmetadata: {name: istio}\nspec: {defaultProviders: {accessLogging: [envoy, a], metrics: [prometheus, b], tracing: [c]}}")))
	var got []string
	for _, p := range problems {
		got = append(got, p.Path)
	}
	if want := "spec.defaultProviders.accessLogging[1] spec.defaultProviders.metrics[1] spec.defaultProviders.tracing[0]"; strings.Join(got, " ") != want {
		t.Errorf("says %v, want %s", got, want)
	}
}

// TestWaysThatNobodyComesInBy says of which Services that MeshNetworks name nobody comes into the network.
func TestWaysThatNobodyComesInBy(t *testing.T) {
	problems := References(mesh.New().With(manifest.Read(t, `
kind: MeshNetworks
metadata: {name: default}
spec:
  networks:
    near: {endpoints: [{fromRegistry: Kubernetes}], gateways: [{registryServiceName: Way.edge.svc.cluster.local, port: 443}, {registryServiceName: inner.edge.svc.cluster.local, port: 443}, {address: 192.0.2.7, port: 443}]}
    far: {gateways: [{registryServiceName: way.edge.svc.cluster.local, port: 443}, {registryServiceName: gone.edge.svc.cluster.local, port: 443}, {registryServiceName: way.test, port: 443}]}
---
kind: Service
metadata: {name: way, namespace: edge}
spec: {clusterIP: 10.0.0.1, externalIPs: [192.0.2.1], ports: [{port: 443}]}
---
kind: Service
metadata: {name: inner, namespace: edge}
spec: {clusterIP: 10.0.0.2, ports: [{port: 443}]}
`)))
	var got []string
	for _, p := range problems {
		text, _, _ := strings.Cut(p.Text, ": ")
		got = append(got, p.Path+" "+text[strings.LastIndex(text, " ")+1:])
	}
	want := "networks[far].gateways gone.edge.svc.cluster.local, networks[near].gateways inner.edge.svc.cluster.local, networks[far].gateways way.edge.svc.cluster.local, networks[far].gateways way.test"
	if strings.Join(got, ", ") != want {
		t.Errorf("says %v, want %s", got, want)
	}
}
