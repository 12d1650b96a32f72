package e2e

import (
	"strings"
	"testing"
)

// Tunnels of an endpoint that becomes unwell are closed in order where that is asked for, whoever opened them: connections of TCP
// listeners, and CONNECT that ends here. Exchanges end as they would.
func TestTunnelsOfUnwellEndpointsAreClosed(t *testing.T) {
	for _, more := range []string{"connect_timeout: 5s", "close_connections_on_host_health_failure: true"} {
		w := newWard(t, "w")
		connects := "routes: [{match: {connect_matcher: {}}, route: {cluster: up, upgrade_configs: [{upgrade_type: CONNECT, connect_config: {}}]}}, {match: {prefix: /}, route: {cluster: up}}]"
		p := Start(t, Bootstrap(HTTPListener(connects, "upgrade_configs: [{upgrade_type: CONNECT}]")+`
- name: tcp
  address: {socket_address: {address: 127.0.0.1, port_value: 0}}
  filter_chains: [{filters: [{name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: tcp, cluster: up}}]}]
`, several(group("priority: 0", w.Port), check, more)))
		tunnel, connect, exchange := p.Dial("tcp"), p.Dial("http"), p.Dial("http")
		tunnel.Get("/").Want(t, 200, "w")
		connect.Send(connectHead).Read("CONNECT").Want(t, 200)
		connect.Get("/").Want(t, 200, "w")
		exchange.Get("/").Want(t, 200, "w")
		w.status.Store(500)
		p.WantStat("cluster.up.membership_healthy", 0)
		if strings.HasPrefix(more, "close") {
			for what, c := range map[string]*Conn{"tunnel": tunnel, "CONNECT": connect} {
				if rest, err := c.Rest(); rest != "" || err != nil {
					t.Errorf("%s: %q, %v", what, rest, err)
				}
			}
			p.WantStat("cluster.up.upstream_cx_active", 0)
			p.WantStat("cluster.up.upstream_cx_destroy_local_with_active_rq", 2)
			p.WantStat("cluster.up.upstream_rq_active", 0)
		} else {
			p.WantStat("cluster.up.upstream_cx_active", 2)
			tunnel.Get("/").Want(t, 200, "w")
			connect.Get("/").Want(t, 200, "w")
		}
		exchange.Get("/").Want(t, 200, "w") // the only endpoint, unwell or not
	}
}
