package plane

import (
	"bytes"
	"fmt"
	"strings"
	"text/template"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
)

// Named is a resource.
type Named struct {
	Name    string
	Message proto.Message
}

// Shape is how large a mesh is.
type Shape struct {
	Services  int // each with Ports clusters and a virtual host
	Ports     int
	Endpoints int // of the first cluster; the others have one
	Listen    int // the port of the one listener
	Upstream  int // the port of all endpoints
	Chain     string
	Churn     *Churn // it is another mesh altogether
	Key       string // in PEM, with Chain the workload's certificate, which is its own root
}

// Mesh is all that a sidecar of such a mesh is told first.
func (s Shape) Mesh() (all []Named, err error) {
	for i := range s.Services {
		for p := range s.Ports {
			all = append(all, s.cluster(i, p), s.assignment(i, p, 0))
		}
	}
	all = append(all, s.listener(), s.table(1, 0), s.secret("default", "tls_certificate: {certificate_chain: {inline_string: "+quoted(s.Chain)+"}, private_key: {inline_string: "+quoted(s.Key)+"}}"),
		s.secret("ROOTCA", "validation_context: {trusted_ca: {inline_string: "+quoted(s.Chain)+"}}"))
	for _, r := range all {
		if r.Message == nil {
			return nil, fmt.Errorf("plane: resource %s cannot be made", r.Name)
		}
	}
	return all, nil
}

func quoted(text string) string { return fmt.Sprintf("%q", text) }

func host(i int) string { return fmt.Sprintf("service-%d.namespace-%d.svc.cluster.local", i, i%20) }

func clusterName(i, p int) string { return fmt.Sprintf("outbound|%d||%s", 80+p, host(i)) }

// read makes a message of YAML.
func read[M proto.Message](text string, m M) M {
	json, err := yaml.YAMLToJSON([]byte(text))
	if err == nil {
		err = protojson.Unmarshal(json, m)
	}
	if err != nil {
		panic(fmt.Sprintf("plane: %v\n%s", err, text)) // the text is the package's own
	}
	return m
}

// cluster is one of a service with automatic mutual TLS, as istiod writes it.
func (s Shape) cluster(i, p int) Named {
	name := clusterName(i, p)
	return Named{name, read(fmt.Sprintf(`
name: %[1]q
type: EDS
eds_cluster_config: {eds_config: {ads: {}, initial_fetch_timeout: 0s, resource_api_version: V3}, service_name: %[1]q}
connect_timeout: 10s
lb_policy: LEAST_REQUEST
circuit_breakers: {thresholds: [{max_connections: 4294967295, max_pending_requests: 4294967295, max_requests: 4294967295, max_retries: 4294967295, track_remaining: true}]}
common_lb_config: {locality_weighted_lb_config: {}}
metadata: {filter_metadata: {istio: {default_original_port: %[4]d, services: [{host: %[2]q, name: service-%[3]d, namespace: namespace-%[5]d}]}}}
transport_socket_matches:
- name: tlsMode-istio
  match: {tlsMode: istio}
  transport_socket:
    name: envoy.transport_sockets.tls
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
      sni: outbound_.%[4]d_._.%[2]s
      common_tls_context:
        alpn_protocols: [istio-peer-exchange, istio]
        tls_params: {tls_minimum_protocol_version: TLSv1_2, tls_maximum_protocol_version: TLSv1_3}
        tls_certificate_sds_secret_configs: [{name: default, sds_config: {ads: {}, initial_fetch_timeout: 0s, resource_api_version: V3}}]
        combined_validation_context:
          default_validation_context:
            match_typed_subject_alt_names:
            - {san_type: URI, matcher: {exact: "spiffe://cluster.local/ns/namespace-%[5]d/sa/service-%[3]d"}}
            - {san_type: URI, matcher: {exact: "spiffe://cluster.local/ns/namespace-%[5]d/sa/service-%[3]d-canary"}}
          validation_context_sds_secret_config: {name: ROOTCA, sds_config: {ads: {}, initial_fetch_timeout: 0s, resource_api_version: V3}}
- {name: tlsMode-disabled, match: {}, transport_socket: {name: envoy.transport_sockets.raw_buffer, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}}
`, name, host(i), i, 80+p, i%20), &clusterv3.Cluster{})}
}

// assignment is a cluster's endpoints; version n of the first one's has another one in its middle.
func (s Shape) assignment(i, p, n int) Named {
	count := 1
	if i == 0 && p == 0 {
		count = max(s.Endpoints, 1)
	}
	var list []string
	for k := range count {
		at := fmt.Sprintf("127.0.%d.%d", k/250, 1+k%250)
		if k == count/2 && n > 0 {
			at = fmt.Sprintf("127.1.%d.%d", n/250, 1+n%250)
		}
		list = append(list, fmt.Sprintf(`{endpoint: {address: {socket_address: {address: %s, port_value: %d}}}, load_balancing_weight: 1, metadata: {filter_metadata: {istio: {workload: "service-%d;namespace-%d;service-%d;;Kubernetes"}}}}`,
			at, s.Upstream, i, i%20, i))
	}
	name := clusterName(i, p)
	return Named{name, read(fmt.Sprintf("cluster_name: %q\nendpoints: [{locality: {region: r, zone: z}, load_balancing_weight: %d, lb_endpoints: [%s]}]", name, count, strings.Join(list, ", ")), &endpointv3.ClusterLoadAssignment{})}
}

func (s Shape) listener() Named {
	return Named{"down", read(fmt.Sprintf(`
name: down
address: {socket_address: {address: 127.0.0.1, port_value: %d}}
traffic_direction: OUTBOUND
filter_chains:
- filters:
  - name: envoy.filters.network.http_connection_manager
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
      stat_prefix: outbound_0.0.0.0_80
      rds: {config_source: {ads: {}, initial_fetch_timeout: 0s, resource_api_version: V3}, route_config_name: "80"}
      normalize_path: true
      http_filters:
      - {name: envoy.filters.http.fault, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault}}
      - {name: envoy.filters.http.cors, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors}}
      - {name: envoy.filters.http.router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
`, s.Listen), &listenerv3.Listener{})}
}

var tableText = template.Must(template.New("table").Parse(`
name: "80"
validate_clusters: false
virtual_hosts:
{{- range .Hosts}}
- name: {{.Host}}:80
  domains: [{{.Host}}, "{{.Host}}:80", {{.Short}}, "{{.Short}}:80", {{.Short}}.svc, "{{.Short}}.svc:80", {{.Address}}, "{{.Address}}:80"]
  include_request_attempt_count: true
  routes:
  - name: default
    match: {prefix: /}
    decorator: {operation: "{{.Host}}:80/*"}
    route:
{{- if .Weight}}
      weighted_clusters: {clusters: [{name: "outbound|80||{{.Host}}", weight: {{.Weight}}}, {name: "outbound|80||{{.Host}}", weight: {{.Rest}}}]}
{{- else}}
      cluster: "outbound|80||{{.Host}}"
{{- end}}
      timeout: {{.Timeout}}s
      retry_policy: {retry_on: "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes", num_retries: 2, host_selection_retry_max_attempts: 5, retriable_status_codes: [503], retry_host_predicate: [{name: envoy.retry_host_predicates.previous_hosts, typed_config: {"@type": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate}}]}
      max_grpc_timeout: 0s
{{- end}}
`))

// table is all virtual hosts. The first one shares its requests by weight; timeout is that of all of them.
func (s Shape) table(weight, timeout int) Named {
	type one struct {
		Host, Short, Address  string
		Weight, Rest, Timeout int
	}
	var hosts []one
	for i := range s.Services {
		h := one{Host: host(i), Short: fmt.Sprintf("service-%d.namespace-%d", i, i%20), Address: fmt.Sprintf("10.0.%d.%d", i/250, 1+i%250), Timeout: timeout}
		if i == 0 {
			h.Weight, h.Rest = weight, 100-weight
		}
		hosts = append(hosts, h)
	}
	var b bytes.Buffer
	if err := tableText.Execute(&b, map[string]any{"Hosts": hosts}); err != nil {
		panic(err) // the template and its data are both in this file
	}
	return Named{"80", read(b.String(), &routev3.RouteConfiguration{})}
}

func (s Shape) secret(name, more string) Named {
	return Named{name, read("name: "+name+"\n"+more, &tlsv3.Secret{})}
}
