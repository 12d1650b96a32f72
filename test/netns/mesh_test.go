package netns

import (
	"context"
	"fmt"
	"net"
	"net/http"
)

// serviceIP is a service's whose endpoint is the pod itself, at the port of application.
const (
	serviceIP   = "10.96.0.1"
	application = 8080
	webPort     = 8000 // outbound connections to it are HTTP
)

// transport connects from the pod, always to address if there is one.
func (p *pod) transport(address string) *http.Transport {
	return &http.Transport{DisableKeepAlives: true, DialContext: func(_ context.Context, network, to string) (net.Conn, error) {
		if address != "" {
			to = address
		}
		return p.dial(network, to)
	}}
}

// sidecar is the bootstrap of a pod's proxy as Istio's control plane would have it: what goes out comes to one listener, what comes in to another, each
// hands over to the listener or chain of where it was going, and what nobody knows is passed through. Both turn away what was going to them.
func (p *pod) sidecar(transparent bool) string {
	const log = `access_log: [{name: log, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: "@LOG@", format: "%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %UPSTREAM_CLUSTER%\n"}}]`
	tcp := func(cluster string) string {
		return fmt.Sprintf(`filters: [{name: tcp, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: %[1]s, cluster: %[1]s, %[2]s}}]`, cluster, log)
	}
	return fmt.Sprintf(`
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 15000}}}
static_resources:
  listeners:
  - name: virtualOutbound
    address: {socket_address: {address: 0.0.0.0, port_value: 15001}}
    additional_addresses: [{address: {socket_address: {address: "::", port_value: 15001}}}]
    use_original_dst: true
    traffic_direction: OUTBOUND
    filter_chains:
    - name: virtualOutbound-blackhole
      filter_chain_match: {destination_port: 15001}
      %[1]s
    default_filter_chain: {name: virtualOutbound-catchall-tcp, %[2]s}
  - name: virtualInbound
    address: {socket_address: {address: 0.0.0.0, port_value: 15006}}
    additional_addresses: [{address: {socket_address: {address: "::", port_value: 15006}}}]
    transparent: %[3]t
    traffic_direction: INBOUND
    listener_filters:
    - {name: original, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst}}
    filter_chains:
    - name: virtualInbound-blackhole
      filter_chain_match: {destination_port: 15006}
      %[1]s
    - filter_chain_match: {prefix_ranges: [{address_prefix: 0.0.0.0, prefix_len: 0}]}
      %[4]s
    - filter_chain_match: {prefix_ranges: [{address_prefix: "::", prefix_len: 0}]}
      %[5]s
  - name: %[6]s_80
    address: {socket_address: {address: %[6]s, port_value: 80}}
    bind_to_port: false
    default_filter_chain: {%[7]s}
  - name: 0.0.0.0_%[8]d
    address: {socket_address: {address: 0.0.0.0, port_value: %[8]d}}
    bind_to_port: false
    default_filter_chain:
      filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: http
          %[9]s
          upgrade_configs: [{upgrade_type: websocket}]
          route_config: {name: r, virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: web, timeout: 0s}}]}]}
          http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
  clusters:
  - {name: BlackHoleCluster, type: STATIC}
  - {name: PassthroughCluster, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED}
  - {name: InboundPassthroughCluster, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED, upstream_bind_config: {source_address: {address: 127.0.0.6, port_value: 0}}}
  - {name: InboundPassthroughCluster6, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED, upstream_bind_config: {source_address: {address: "::6", port_value: 0}}}
  - {name: self, type: STATIC, load_assignment: {cluster_name: self, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: %[10]s, port_value: %[11]d}}}}]}]}}
  - name: web
    type: ORIGINAL_DST
    lb_policy: CLUSTER_PROVIDED
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        use_downstream_protocol_config: {}
`, tcp("BlackHoleCluster"), tcp("PassthroughCluster"), transparent, tcp("InboundPassthroughCluster"), tcp("InboundPassthroughCluster6"), serviceIP, tcp("self"), webPort, log, p.ip, application)
}
