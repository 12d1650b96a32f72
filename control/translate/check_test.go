package translate

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/test/manifest"
)

// TestWhatIsNotRunIsSaid names what is not run by object and field.
func TestWhatIsNotRunIsSaid(t *testing.T) {
	for _, c := range []struct{ name, object, want string }{
		{"all is run", "kind: VirtualService\nmetadata: {name: a, namespace: b}\nspec: {hosts: [a], http: [{route: [{destination: {host: a}}]}]}", ""},
		{"calls that an Envoy does not make", "kind: VirtualService\nmetadata: {name: a, namespace: b}\nspec: {hosts: [a], http: [{match: [{uri: {prefix: /a}}], route: [{destination: {host: a}}]}, {route: [{destination: {host: a}}], dubbo: {service: a.B, methods: [{serviceMethod: m}]}}]}", "warning spec.http[1].dubbo"},
		{"a field", "kind: DestinationRule\nmetadata: {name: a, namespace: b}\nspec: {host: a, workloadSelector: {matchLabels: {a: b}}}", "spec.workloadSelector"},
		{"a field far down", "kind: DestinationRule\nmetadata: {name: a, namespace: b}\nspec: {host: a, subsets: [{name: c, trafficPolicy: {proxyProtocol: {version: V1}}}]}", "spec.subsets[0].trafficPolicy.proxyProtocol"},
		{"a credential of another kind", "kind: Gateway\nmetadata: {name: a, namespace: b}\nspec: {selector: {a: b}, servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: ['*'], tls: {mode: SIMPLE, credentialName: 'sds://a'}}]}", "spec.servers[0].tls.credentialName"},
		{"a credential for gateways", "kind: DestinationRule\nmetadata: {name: a, namespace: b}\nspec: {host: a, trafficPolicy: {tls: {mode: MUTUAL, credentialName: d}}}", "warning spec.trafficPolicy.tls.credentialName"},
		{"names by nobody's word", "kind: DestinationRule\nmetadata: {name: a, namespace: b}\nspec: {host: a, trafficPolicy: {tls: {mode: SIMPLE, subjectAltNames: [d]}}}", "warning spec.trafficPolicy.tls.subjectAltNames"},
		{"a ConfigMap has no key", "kind: DestinationRule\nmetadata: {name: a, namespace: b}\nspec: {host: a, trafficPolicy: {portLevelSettings: [{port: {number: 1}, tls: {mode: MUTUAL, credentialName: 'configmap://d'}}]}}", "spec.trafficPolicy.portLevelSettings[0].tls.credentialName"},
		{"a value", "kind: ServiceEntry\nmetadata: {name: a, namespace: b}\nspec: {hosts: [\"*.b\"], resolution: DYNAMIC_DNS, ports: [{number: 1, name: a, protocol: HTTP}]}", "spec.resolution, spec.hosts[0]"},
		{"a setting is only warned of", "kind: MeshConfig\nmetadata: {name: a}\nspec: {enableTracing: true}", "warning spec.enableTracing"},
		{"a setting of proxies", "kind: MeshConfig\nmetadata: {name: a}\nspec: {defaultConfig: {concurrency: 2, tracing: {sampling: 1}, gatewayTopology: {numTrustedProxies: 1, forwardClientCertDetails: SANITIZE}, proxyHeaders: {}}}", "warning spec.defaultConfig.proxyHeaders, warning spec.defaultConfig.tracing"},
		{"logs", "kind: Telemetry\nmetadata: {name: a, namespace: b}\nspec: {selector: {matchLabels: {a: b}}, accessLogging: [{match: {mode: SERVER}, providers: [{name: c}], disabled: false, filter: {expression: x}}], tracing: [{}]}", "warning spec.tracing"},
		{"providers", "kind: MeshConfig\nmetadata: {name: a}\nspec: {defaultProviders: {accessLogging: [x], metrics: [why]}, extensionProviders: [{name: x, envoyFileAccessLog: {path: /a, logFormat: {text: b}}}, {name: why, prometheus: {}}, {name: old, stackdriver: {}}, {name: o, envoyOtelAls: {service: a.b, port: 1, logFormat: {text: x}}}]}", "warning spec.extensionProviders[2].stackdriver, warning spec.extensionProviders[3].envoyOtelAls, warning spec.defaultProviders.metrics"},
		{"who is told of spans", "kind: MeshConfig\nmetadata: {name: a}\nspec: {defaultProviders: {tracing: [x]}, extensionProviders: [{name: l, lightstep: {service: a.b, port: 1}}, {name: o, opentelemetry: {service: a.b, port: 1, dynatraceSampler: {}}}, {name: x, opentelemetry: {service: a.b, port: 1, http: {path: /v1/traces, headers: [{name: a, envName: b}]}}}]}", "warning spec.extensionProviders[0].lightstep, warning spec.extensionProviders[2].opentelemetry.http.headers[0].envName, warning spec.extensionProviders[1], warning spec.defaultProviders.tracing"},
		{"an image", "kind: WasmPlugin\nmetadata: {name: a, namespace: b}\nspec: {url: 'a.test/b:1', imagePullSecret: c, verificationKey: d, phase: ASM_ROUTER, match: [{mode: CLIENT, ports: [{number: 1}]}]}", "warning spec.imagePullSecret, warning spec.verificationKey, warning spec, warning spec.url"},
		{"a module", "kind: WasmPlugin\nmetadata: {name: a, namespace: b}\nspec: {url: 'http://a.test/b'}", "warning spec, warning spec.sha256"},
		{"tags", "kind: Telemetry\nmetadata: {name: a, namespace: b}\nspec: {tracing: [{customTags: {a: {literal: {value: b}}, c: {header: {name: \"no\\nheader\"}}}}]}", "warning spec.tracing, warning spec.tracing[0].customTags[c]"},
		{"tags that are no formats", "kind: Telemetry\nmetadata: {name: a, namespace: b}\nspec: {tracing: [{customTags: {a: {formatter: {value: '100%'}}, c: {formatter: {value: '%FOO%'}}, d: {formatter: {value: '%REQ('}}, e: {formatter: {value: '100%% of %REQ(x)%'}}, f: {literal: {value: '100%'}}}}]}", "warning spec.tracing, warning spec.tracing[0].customTags[a], warning spec.tracing[0].customTags[c], warning spec.tracing[0].customTags[d]"},
		{"metrics", "kind: Telemetry\nmetadata: {name: a, namespace: b}\nspec: {metrics: [{providers: [{name: prometheus}], reportingInterval: 5s, overrides: [{match: {metric: REQUEST_COUNT, mode: CLIENT}, disabled: true, tagOverrides: {a: {operation: UPSERT, value: b}}}]}]}", "warning spec.metrics"},
		{"who is asked", "kind: MeshConfig\nmetadata: {name: a}\nspec: {extensionProviders: [{name: x, envoyExtAuthzHttp: {service: a.b, port: 1, headersToUpstreamOnAllow: ['*']}}, {name: w, envoyExtAuthzGrpc: {service: a.b, port: 1, includeRequestBodyInCheck: {}}}, {name: z, envoyExtAuthzGrpc: {service: a.b, port: 1}}, {name: h, envoyExtAuthzHttp: {service: a.b, port: 1, includeAdditionalHeadersInCheck: {Host: b}}}]}", "warning spec.extensionProviders[0], warning spec.extensionProviders[1], warning spec.extensionProviders[3]"},
		{"a bootstrap", "kind: EnvoyFilter\nmetadata: {name: a, namespace: b}\nspec: {configPatches: [{applyTo: BOOTSTRAP, patch: {operation: MERGE, value: {}}}]}", "warning spec.configPatches[0].applyTo"},
		{"a patch that does nothing", "kind: EnvoyFilter\nmetadata: {name: a, namespace: b}\nspec: {configPatches: [{applyTo: ROUTE_CONFIGURATION, patch: {operation: REMOVE}}, {applyTo: HTTP_FILTER, patch: {operation: REMOVE}}]}", "warning spec.configPatches[0].patch.operation, warning spec.configPatches[1].match.listener"},
		{"proxies by metadata", "kind: EnvoyFilter\nmetadata: {name: a, namespace: b}\nspec: {configPatches: [{applyTo: CLUSTER, match: {proxy: {metadata: {a: b}}}, patch: {operation: REMOVE}}]}", "spec.configPatches[0].match.proxy.metadata"},
		{"a waypoint", "kind: EnvoyFilter\nmetadata: {name: a, namespace: b}\nspec: {targetRefs: [{kind: Service, name: x}], configPatches: [{applyTo: CLUSTER, patch: {operation: REMOVE}}]}", "warning spec.targetRefs"},
		{"an endpoint", "kind: Sidecar\nmetadata: {name: a, namespace: b}\nspec: {ingress: [{port: {number: 81, name: http, protocol: HTTP}, captureMode: NONE}, {port: {number: 82, name: http, protocol: HTTP}, defaultEndpoint: '0.0.0.0:80'}]}", "spec.ingress[0].defaultEndpoint"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, p := range Check(manifest.Read(t, c.object)[0].Object) {
				text := p.Path
				if p.Warning {
					text = "warning " + text
				}
				got = append(got, text)
				if p.Text == "" || p.Name != "a" && p.Kind != source.MeshConfig {
					t.Errorf("%+v", p)
				}
			}
			if strings.Join(got, ", ") != c.want {
				t.Errorf("says %v, want %s", got, c.want)
			}
		})
	}
}

// TestFieldsAreThere holds the lists to the messages: each name is of a field, once.
func TestFieldsAreThere(t *testing.T) {
	for name, list := range known {
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var seen []string
		for _, field := range strings.Fields(list.run + " " + list.idle + " " + list.warn) {
			if d.(protoreflect.MessageDescriptor).Fields().ByName(protoreflect.Name(field)) == nil {
				t.Errorf("%s has no %s", name, field)
			}
			if slices.Contains(seen, field) {
				t.Errorf("%s: %s is twice in the lists", name, field)
			}
			seen = append(seen, field)
		}
	}
}
