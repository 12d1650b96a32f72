package fields

import (
	"fmt"
	"strings"
	"time"

	"github.com/weftmesh/weft/test/e2e"
)

// names answers for all trials: each of them asks for names of its own kind only.
var names *e2e.Names

func serveNames() error {
	var err error
	if names, err = e2e.ServeNames(); err != nil {
		return err
	}
	names.Set("up.test", "A", 300, "127.0.0.1")
	names.Set("two.test", "A", 300, "127.0.0.1", "127.0.0.2")
	names.Set("both.test", "A", 300, "127.0.0.1")
	names.Set("both.test", "AAAA", 300, "::1")
	names.Set("short.test", "A", 1, "127.0.0.1")
	names.Set("tcp-only.test", "A", 300, "127.0.0.1")
	return nil
}

// resolved is a cluster of one endpoint of that name, with pieces of its own.
func resolved(name, own string) func(string) string {
	return func(piece string) string {
		own := strings.Replace(own, "PIECE", piece, 1)
		return strings.ReplaceAll(e2e.Bootstrap(e2e.HTTPListener(all), "- {name: up, "+own+", load_assignment: {cluster_name: up, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: "+name+", port_value: @PORT@}}}}]}]}}"), "@DNS@", fmt.Sprint(names.Port))
	}
}

const (
	asks       = "typed_dns_resolver_config: " + resolverOf
	resolverOf = `{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig, ` + server + `}}`
	server     = "resolvers: [{socket_address: {address: 127.0.0.1, port_value: @DNS@}}]"
	nobodyAt   = "resolvers: [{socket_address: {address: 127.0.0.1, port_value: @PORT@}}]" // of the upstream, which hears TCP only
)

// caresAt is the typed configuration with that in place of the servers.
func caresAt(piece string) string { return strings.Replace(resolverOf, server, piece, 1) }

// reaches tells whether a number becomes at least n within a time.
func reaches(stat string, n int64, within time.Duration) func(*world) string {
	return func(w *world) string {
		for end := time.Now().Add(within); w.stat(stat) < n; <-time.After(time.Millisecond) {
			if time.Now().After(end) {
				return "no"
			}
		}
		return "yes"
	}
}

const (
	attempts = "cluster.up.update_attempt"
	failures = "cluster.up.update_failure"
	total    = "#cluster.up.membership_total"
	patient  = 3 * time.Second
)

// namesTrials are the same for the older fields and the newer message: message is where they are, and of makes a cluster of one kind,
// with all addresses in one endpoint or not, from what it says.
func namesTrials(message string, of func(logical bool, body string) string) []trial {
	strict := func(name, body string) func(string) string { return resolved(name, of(false, body+", "+asks)) }
	logical := func(name, body string) func(string) string { return resolved(name, of(true, body+", "+asks)) }
	t := []trial{
		{paths: "dns_refresh_rate", site: strict("up.test", "dns_refresh_rate: PIECE"), base: "100s", flip: "0.01s", probe: reaches(attempts, 3, moment), want: [2]string{"no", "yes"}},
		{paths: "dns_jitter", site: strict("up.test", "dns_refresh_rate: 0.01s, dns_jitter: PIECE"), base: "0.001s", flip: "1000000s", probe: reaches(attempts, 3, moment), want: [2]string{"yes", "no"}},
		{paths: "respect_dns_ttl", site: strict("up.test", "dns_refresh_rate: 0.01s, respect_dns_ttl: PIECE"), base: "false", flip: "true", probe: reaches(attempts, 3, moment), want: [2]string{"yes", "no"}},
		{paths: "dns_failure_refresh_rate RefreshRate.base_interval", site: logical("gone.test", "dns_refresh_rate: 100s, dns_failure_refresh_rate: {base_interval: PIECE, max_interval: 1000000s}"), base: "1000000s", flip: "0.01s", probe: reaches(failures, 3, moment), want: [2]string{"no", "yes"}},
		{paths: "RefreshRate.max_interval", site: strict("up.test", "dns_failure_refresh_rate: {base_interval: 2s, max_interval: PIECE}"), base: "2s", flip: "1s", probe: served, want: [2]string{"true", "false"}},
		{paths: "dns_lookup_family=V4_ONLY", site: strict("both.test", "dns_lookup_family: PIECE"), base: "AUTO", flip: "V4_ONLY", probe: look("GET /", "status"), want: [2]string{"503", "200"}},
		{paths: "dns_lookup_family=V6_ONLY", site: strict("up.test", "dns_lookup_family: PIECE"), base: "AUTO", flip: "V6_ONLY", probe: look("GET /", "status"), want: [2]string{"200", "503"}},
		{paths: "dns_lookup_family=V4_PREFERRED", site: strict("both.test", "dns_lookup_family: PIECE"), base: "AUTO", flip: "V4_PREFERRED", probe: look("GET /", "status", total), want: [2]string{"503|1", "200|1"}},
		{paths: "dns_lookup_family=ALL", site: strict("both.test", "dns_lookup_family: PIECE"), base: "AUTO", flip: "ALL", probe: look("GET /", total), want: [2]string{"1", "2"}},
		{paths: "typed_dns_resolver_config", site: resolved("up.test", of(false, "typed_dns_resolver_config: PIECE")), base: caresAt(nobodyAt), flip: resolverOf, probe: look("GET /", "status"), want: [2]string{"503", "200"}},
	}
	for i := range t {
		ends := strings.Fields(t[i].paths)
		for k := range ends {
			ends[k] = message + "." + ends[k]
		}
		t[i].paths = strings.Join(ends, " ")
	}
	return t
}

func oldNames(logical bool, body string) string {
	if logical {
		return "type: LOGICAL_DNS, " + body
	}
	return "type: STRICT_DNS, " + body
}

func newNames(logical bool, body string) string {
	if logical {
		body = "all_addresses_in_single_endpoint: true, " + body
	}
	return `cluster_type: {name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster, ` + body + "}}"
}

var dnsTrials = append(append(namesTrials("Cluster", oldNames), namesTrials("DnsCluster", newNames)...), []trial{
	{paths: "Cluster.type=STRICT_DNS Cluster.type=LOGICAL_DNS", site: resolved("two.test", "type: PIECE, "+asks), base: "LOGICAL_DNS", flip: "STRICT_DNS", probe: look("GET /", total), want: [2]string{"1", "2"}},
	{paths: "Cluster.cluster_type CustomClusterType.typed_config", site: resolved("two.test", "PIECE"), base: oldNames(false, asks), flip: newNames(true, asks), probe: look("GET /", total), want: [2]string{"2", "1"}},
	{paths: "DnsCluster.all_addresses_in_single_endpoint", site: resolved("two.test", "PIECE"), base: newNames(false, asks), flip: newNames(true, asks), probe: look("GET /", total), want: [2]string{"2", "1"}},
	{paths: "DnsCluster.dns_lookup_family=AUTO", site: resolved("both.test", newNames(false, "dns_lookup_family: PIECE, "+asks)), base: "V4_ONLY", flip: "AUTO", probe: look("GET /", "status"), want: [2]string{"200", "503"}},
	{paths: "DnsCluster.dns_min_refresh_rate", site: resolved("short.test", newNames(false, "dns_refresh_rate: 100s, respect_dns_ttl: true, dns_min_refresh_rate: PIECE, "+asks)), base: "1s", flip: "100s", probe: reaches(attempts, 2, patient), want: [2]string{"yes", "no"}},
	{paths: "Cluster.wait_for_warm_on_init", site: resolved("mute.test", oldNames(false, "dns_lookup_family: V4_ONLY, wait_for_warm_on_init: PIECE, typed_dns_resolver_config: "+caresAt(server+", query_tries: 1, query_timeout_seconds: 1"))), base: "true", flip: "false", probe: func(w *world) string { return fmt.Sprint(w.stat(failures)) }, want: [2]string{"1", "0"}},
	{paths: "Cluster.dns_resolvers", site: resolved("up.test", "type: STRICT_DNS, dns_PIECE"), base: nobodyAt, flip: server, probe: look("GET /", "status"), want: [2]string{"503", "200"}},
	{paths: "Cluster.use_tcp_for_dns_lookups", site: resolved("tcp-only.test", "type: STRICT_DNS, dns_"+server+", use_tcp_for_dns_lookups: PIECE"), base: "false", flip: "true", probe: look("GET /", "status"), want: [2]string{"503", "200"}},
	{paths: "Bootstrap.typed_dns_resolver_config", site: func(p string) string {
		return resolved("up.test", "type: STRICT_DNS")("") + "\ntyped_dns_resolver_config: " + strings.ReplaceAll(p, "@DNS@", fmt.Sprint(names.Port))
	}, base: caresAt(nobodyAt), flip: resolverOf, probe: look("GET /", "status"), want: [2]string{"503", "200"}},
	{paths: "CaresDnsResolverConfig.resolvers", site: resolved("up.test", oldNames(false, "typed_dns_resolver_config: "+caresAt("PIECE"))), base: nobodyAt, flip: server, probe: look("GET /", "status"), want: [2]string{"503", "200"}},
	{paths: "CaresDnsResolverConfig.query_timeout_seconds", site: resolved("mute.test", oldNames(false, "dns_lookup_family: V4_ONLY, wait_for_warm_on_init: false, typed_dns_resolver_config: "+caresAt(server+", query_tries: 1, query_timeout_seconds: PIECE"))), base: "1", flip: "100", probe: reaches(failures, 1, patient), want: [2]string{"yes", "no"}},
	{paths: "CaresDnsResolverConfig.query_tries", site: resolved("mute.test", oldNames(false, "dns_lookup_family: V4_ONLY, wait_for_warm_on_init: false, typed_dns_resolver_config: "+caresAt(server+", query_timeout_seconds: 1, query_tries: PIECE"))), base: "1", flip: "16", probe: reaches(failures, 1, patient), want: [2]string{"yes", "no"}},
	{paths: "CaresDnsResolverConfig.dns_resolver_options DnsResolverOptions.use_tcp_for_dns_lookups", site: resolved("tcp-only.test", oldNames(false, "typed_dns_resolver_config: "+caresAt(server+"PIECE"))), base: "", flip: ", dns_resolver_options: {use_tcp_for_dns_lookups: true}", probe: look("GET /", "status"), want: [2]string{"503", "200"}},
}...)
