package rivals

import (
	"slices"
	"strings"
	"text/template"

	"github.com/weftmesh/weft/bench/upstream"
)

// bootstrap renders Envoy's configuration. The circuit breakers, 1,024 connections and requests by
// default, are raised out of the way; everything else is what Envoy does by itself, statistics and a
// fresh x-request-id included.
func bootstrap(p Plan) string {
	var b strings.Builder
	if p.Plane != 0 {
		if err := sidecarText.Execute(&b, p); err != nil {
			panic(err) // the template and its data are both the package's own
		}
		return b.String()
	}
	data := struct {
		Plan
		Decoys     []string
		Match      string
		Interfaces []string
		Extra      []struct{}
	}{p, decoys, match, append(slices.Clip(interfaces), upstream.Interface), make([]struct{}, p.Clusters)}
	if err := bootstrapText.Execute(&b, data); err != nil {
		panic(err) // the template and its data are both in this file
	}
	return b.String()
}

// sidecarText is the bootstrap of who takes everything from a control plane, as Istio's agent writes it.
var sidecarText = template.Must(template.New("sidecar").Parse(`admin:
  address:
    socket_address: {address: 127.0.0.1, port_value: {{.Admin}}}
{{- with .Profile}}
  profile_path: "{{.}}"
{{- end}}
{{if .Gateway -}}
node: {id: router~127.0.0.1~gate.bench~bench.svc.cluster.local, cluster: gate.bench, metadata: {NAMESPACE: bench, WEFT_IDENTITY: none, LABELS: {app: gate}}, locality: {region: r, zone: z}}
{{- else -}}
node: {id: sidecar~127.0.0.1~bench.bench~bench.svc.cluster.local, cluster: bench.bench, metadata: {NAMESPACE: bench, ISTIO_VERSION: 1.27.0}, locality: {region: r, zone: z}}
{{- end}}
dynamic_resources:
  ads_config: {api_type: DELTA_GRPC, transport_api_version: V3, set_node_on_first_message_only: true, grpc_services: [{envoy_grpc: {cluster_name: xds-grpc}}]}
  cds_config: {ads: {}, initial_fetch_timeout: 0s, resource_api_version: V3}
  lds_config: {ads: {}, initial_fetch_timeout: 0s, resource_api_version: V3}
static_resources:
  clusters:
  - name: xds-grpc
    type: STATIC
    connect_timeout: 1s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment:
      cluster_name: xds-grpc
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: {{.Plane}}}}}}]}]
`))

var bootstrapText = template.Must(template.New("bootstrap").Parse(`admin:
  address:
    socket_address: {address: 127.0.0.1, port_value: {{.Admin}}}
{{- with .Profile}}
  profile_path: "{{.}}"
{{- end}}
{{- with .Secrets}}
node: {id: bench, cluster: bench}
{{- end}}
static_resources:
  listeners:
  - name: down
    address:
      socket_address: {address: 127.0.0.1, port_value: {{.Listen}}}
    filter_chains:
    -
{{- with .Certificate}}
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            tls_certificates:
            - certificate_chain: {filename: "{{.}}"}
              private_key: {filename: "{{.}}"}
{{- end}}
{{- with .Secrets}}
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            tls_certificate_sds_secret_configs:
            - {name: own, sds_config: {path_config_source: {path: "{{.}}/own.json"}, resource_api_version: V3}}
            validation_context_sds_secret_config: {name: roots, sds_config: {path_config_source: {path: "{{.}}/roots.json"}, resource_api_version: V3}}
{{- end}}
      filters:
{{- if .TCP}}
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: down
          cluster: up
{{- else if .Dubbo}}
      - name: envoy.filters.network.dubbo_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.dubbo_proxy.v3.DubboProxy
          stat_prefix: down
          multiple_route_config:
            name: routes
            route_config:
{{- range .Interfaces}}
            - interface: {{.}}
              routes:
              - match: {method: {name: {exact: echo}}}
                route: {cluster: up}
{{- end}}
{{- else}}
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: down
          use_remote_address: true
          generate_request_id: true
{{- if .HTTP2}}
          codec_type: HTTP2
{{- end}}
          route_config:
            name: routes
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
{{- range .Decoys}}
              - match: {prefix: "{{.}}"}
                route: {cluster: up}
{{- end}}
              - match: {prefix: "{{.Match}}"}
                route: {cluster: up{{with .Policies.Route}}, {{.}}{{end}}}
          http_filters:
{{- with .Policies.Filter}}
          - {{.}}
{{- end}}
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
{{- end}}
  clusters:
  - name: up
    type: STATIC
    connect_timeout: 5s
{{- if .HTTP2}}
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
{{- end}}
{{- with .Policies.Cluster}}
    {{.}}
{{- end}}
    circuit_breakers:
      thresholds:
      - priority: DEFAULT
        max_connections: 1000000
        max_pending_requests: 1000000
        max_requests: 1000000
        max_retries: 1000000
{{- with .Policies.Breakers}}
        {{.}}
{{- end}}
    load_assignment:
      cluster_name: up
      endpoints:
      - lb_endpoints:
        - endpoint:
            address:
              socket_address: {address: 127.0.0.1, port_value: {{.Upstream}}}
{{- range .Policies.Endpoints}}
        - endpoint:
            address:
              socket_address: {address: 127.0.0.1, port_value: {{.}}}
{{- end}}
{{- range $i, $_ := .Extra}}
  - name: extra-{{$i}}
    type: STATIC
    connect_timeout: 5s
    load_assignment:
      cluster_name: extra-{{$i}}
      endpoints:
      - lb_endpoints:
        - endpoint:
            address:
              socket_address: {address: 127.0.0.1, port_value: {{$.Upstream}}}
{{- end}}
`))
