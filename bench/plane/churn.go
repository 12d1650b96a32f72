package plane

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
)

// Churn is a small configuration that carries every kind of traffic, and of which everything changes again and again.
type Churn struct {
	HTTP, HTTPS, TCP            int // ports of the listeners
	ToHTTP1, ToHTTP2, ToStreams int // ports of the upstream
	// Pairs are certificates and their keys, in PEM, which follow one another.
	Pairs [][2]string
	// Astray has a cluster be removed before the route to it is another one.
	Astray bool
}

// generations is after how many changes a cluster's name comes again.
const generations = 16

const adsYAML = "{ads: {}, initial_fetch_timeout: 0s, resource_api_version: V3}"

func (c Churn) name(protocol string, n int) string {
	return fmt.Sprintf("%s-%d", protocol, n%generations)
}

// cluster is one that takes endpoints by name; what it says otherwise is another thing each time.
func (c Churn) cluster(name string, n int) Named {
	options := ""
	if strings.HasPrefix(name, "h2") {
		options = `
typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    explicit_http_config: {http2_protocol_options: {}}`
	}
	return Named{name, read(fmt.Sprintf(`
name: %q
type: EDS
eds_cluster_config: {eds_config: %s}
connect_timeout: 5s
metadata: {filter_metadata: {churn: {n: %d}}}
circuit_breakers: {thresholds: [{max_connections: 1000000, max_pending_requests: 1000000, max_requests: 1000000}]}%s`, name, adsYAML, n, options), &clusterv3.Cluster{})}
}

// assignment has one endpoint, of which weight, locality and all that is said otherwise change.
func (c Churn) assignment(name string, port, n int) Named {
	more := ""
	if n%2 == 1 {
		more = fmt.Sprintf(", metadata: {filter_metadata: {envoy.lb: {n: %d}}}", n)
	}
	return Named{name, read(fmt.Sprintf(`
cluster_name: %q
endpoints:
- locality: {region: r, zone: z%d}
  load_balancing_weight: 1
  lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}, load_balancing_weight: %d%s}]`, name, n%2, port, 1+n%5, more), &endpointv3.ClusterLoadAssignment{})}
}

// routes share the requests of each protocol between two clusters, the next of which is new.
func (c Churn) routes(n int) Named {
	shared := func(protocol string) string {
		return fmt.Sprintf("weighted_clusters: {clusters: [{name: %q, weight: %d}, {name: %q, weight: %d}]}", c.name(protocol, n), 1+n%9, c.name(protocol, n+1), 10-n%9)
	}
	return Named{"routes", read(fmt.Sprintf(`
name: routes
validate_clusters: false
virtual_hosts:
- name: all
  domains: ["*"]
  routes:
  - {match: {prefix: /http2}, route: {%s}}
  - {match: {prefix: /websocket}, route: {timeout: 0s, %s}}
  - {match: {prefix: /}, route: {%s}}`, shared("h2"), shared("h1"), shared("h1")), &routev3.RouteConfiguration{})}
}

// listener is one whose first chain stays, and has a second one for nobody that is another one each time.
func (c Churn) listener(name string, port, n int, socket, filter string) Named {
	if socket != "" {
		socket = "\n  transport_socket: " + socket
	}
	return Named{name, read(fmt.Sprintf(`
name: %[1]s
address: {socket_address: {address: 127.0.0.1, port_value: %[2]d}}
filter_chains:
- name: stays%[3]s
  filters: [%[4]s]
- name: changes-%[5]d
  filter_chain_match: {destination_port: 9}
  filters: [%[6]s]`, name, port, socket, filter, n%2, proxyTo("changes", fmt.Sprintf("streams, idle_timeout: %ds", 10+n))), &listenerv3.Listener{})}
}

func proxyTo(prefix, cluster string) string {
	return fmt.Sprintf(`{name: envoy.filters.network.tcp_proxy, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: %s, cluster: %s}}`, prefix, cluster)
}

func (c Churn) listeners(n int) []Named {
	web := `{name: envoy.filters.network.http_connection_manager, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager,
    stat_prefix: web, rds: {route_config_name: routes, config_source: ` + adsYAML + `}, upgrade_configs: [{upgrade_type: websocket}],
    http_filters: [{name: envoy.filters.http.router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]}}`
	socket := `{name: envoy.transport_sockets.tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext,
    common_tls_context: {tls_certificate_sds_secret_configs: [{name: own, sds_config: ` + adsYAML + `}]}}}`
	return []Named{
		c.listener("http", c.HTTP, n, "", web),
		c.listener("https", c.HTTPS, n, socket, web),
		c.listener("tcp", c.TCP, n, "", proxyTo("tcp", "streams")),
	}
}

func (c Churn) secret(n int) Named {
	pair := c.Pairs[n%len(c.Pairs)]
	return Named{"own", read("name: own\ntls_certificate: {certificate_chain: {inline_string: "+quoted(pair[0])+"}, private_key: {inline_string: "+quoted(pair[1])+"}}", &tlsv3.Secret{})}
}

// all is everything that there is after n changes.
func (c Churn) all(n int) []Named {
	list := []Named{c.cluster("streams", n), c.assignment("streams", c.ToStreams, n)}
	for _, k := range []int{n, n + 1} {
		list = append(list,
			c.cluster(c.name("h1", k), k), c.assignment(c.name("h1", k), c.ToHTTP1, n),
			c.cluster(c.name("h2", k), k), c.assignment(c.name("h2", k), c.ToHTTP2, n))
	}
	list = append(list, c.listeners(n)...)
	return append(list, c.routes(n), c.secret(n))
}

// gone are the clusters that the n-th change does without.
func (c Churn) gone(n int) []Named {
	return []Named{c.cluster(c.name("h1", n-1), 0), c.cluster(c.name("h2", n-1), 0)}
}

// step says the n-th change.
func (c Churn) step(ctx context.Context, p *Plane, n int) error {
	all := c.all(n)
	first := slices.IndexFunc(all, func(r Named) bool { return r.Name == "http" }) // clusters and their endpoints are before the listeners
	early, late := c.gone(n), []Named(nil)
	if !c.Astray {
		early, late = nil, early
	}
	if err := p.Tell(ctx, early, all[:first]...); err != nil {
		return err
	}
	if err := p.Tell(ctx, nil, all[first:]...); err != nil || len(late) == 0 {
		return err
	}
	return p.Tell(ctx, late)
}

// run says a change once in so long, as often as it is told, and says how often it was late by a whole turn.
func (c Churn) run(ctx context.Context, p *Plane, from, times int, every time.Duration) (late int, err error) {
	pace := time.NewTicker(every)
	defer pace.Stop()
	for i := range times {
		<-pace.C
		began := time.Now()
		if err := c.step(ctx, p, from+i); err != nil {
			return late, err
		}
		if time.Since(began) > every {
			late++
		}
	}
	return late, nil
}
