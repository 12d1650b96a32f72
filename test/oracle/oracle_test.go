package oracle

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"sigs.k8s.io/yaml"

	"github.com/weftmesh/weft/xds/decode"
)

// corpus is all that is asked of both.
var corpus = apart(slices.Concat(routing, heads, attempts, filtered, bodies, wire, logging, clustered, tables, listening, limiting, replies, metadata, matching, running, libraries, following, statistics, early, detections, leading, calls, access))

// odd are exchanges that differ in what is explained, by the scenario and their place in it. They are made a scenario of their own, so that
// the numbers of the others can be compared.
var odd = map[string][]int{"answers": {6, 7, 17}, "direct": {8}, "grpc-web": {2, 8, 9, 10, 11, 12}, "hosts": {18}, "ports-any": {4}, "ports-matching": {4}, "requests": {3, 11, 13, 14, 19, 20},
	"tls-choice": {2}, "tls-choice-nameless": {2}, "tls-choice-rsa": {2}, "tls-domains": {4, 9}, "tls-domains-titles": {1}, "tls-host": {0}, "tls-names": {1, 2}, "tls-scan": {2},
	"two-retries": {4, 27, 30, 31}, "two-broken-lenient": {3, 6, 7, 24}}

func apart(list []scenario) (out []scenario) {
	for _, c := range list {
		left := c
		left.name, left.sends = c.name+"-odd", nil
		var sends []exchange
		for i, e := range c.sends {
			if slices.Contains(odd[c.name], i) {
				left.sends = append(left.sends, e)
			} else {
				sends = append(sends, e)
			}
		}
		c.sends = sends
		if out = append(out, c); len(left.sends) > 0 {
			out = append(out, left)
		}
	}
	return out
}

// unasked are run paths that the corpus does not set, by what they begin with.
var unasked = map[string]string{
	"envoy.extensions.filters.network.dubbo_proxy.v3.DubboProxy.drds":                                 "test/xds asks the real Envoy (TestOracleDubbo)",
	"envoy.extensions.filters.network.dubbo_proxy.v3.Drds.":                                           "likewise",
	"envoy.extensions.filters.network.dubbo_proxy.v3.MultipleRouteConfiguration.name":                 "likewise",
	"envoy.extensions.filters.network.dubbo_proxy.v3.DubboProxy.route_config":                         "is the older place of multiple_route_config, which is asked",
	"envoy.config.route.v3.RateLimit.Action.dynamic_metadata":                                         "Envoy 1.40 refuses it, as long gone out of use",
	"envoy.config.route.v3.RateLimit.Action.DynamicMetaData.":                                         "is in dynamic_metadata only",
	"xds.type.matcher.v3.Matcher.OnMatch@chain.keep_matching":                                         "Envoy 1.40 ends when a connection meets it",
	"envoy.extensions.private_key_providers.":                                                         "builds of Envoy without contributed extensions do not have it",
	"envoy.extensions.transport_sockets.tls.v3.PrivateKeyProvider.":                                   "likewise",
	"envoy.extensions.transport_sockets.tls.v3.TlsCertificate.private_key_provider":                   "likewise",
	"envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport.":            "what it says has ports of the moment; it is read back in wire/proxyproto, and shows in test/fields",
	"envoy.config.core.v3.ProxyProtocolConfig.version=V2":                                             "likewise",
	"envoy.config.core.v3.TransportSocket@proxied.":                                                   "likewise",
	"envoy.config.bootstrap.v3.Bootstrap.ApplicationLogConfig.LogFormat.json_format":                  "a process has one log; its verdicts are in xds",
	"envoy.config.bootstrap.v3.Bootstrap.bootstrap_extensions":                                        "is harmless; test/istio asks the real Envoy",
	"envoy.config.core.v3.TypedExtensionConfig@bootstrap.typed_config":                                "is harmless; test/istio asks the real Envoy",
	"envoy.config.cluster.v3.Cluster.filters":                                                         "no stock Envoy has what may be in it",
	"envoy.config.cluster.v3.Filter.":                                                                 "no stock Envoy has what may be in it",
	"io.istio.http.peer_metadata.":                                                                    "no stock Envoy has it",
	"istio.envoy.config.filter.http.alpn.":                                                            "no stock Envoy has it",
	"weft.dubbo.v1.":                                                                                  "no stock Envoy has it",
	"envoy.config.core.v3.Metadata@dubbo.":                                                            "holds weft.dubbo.v1.Route",
	"envoy.extensions.filters.network.dubbo_proxy.v3.DubboProxy.dubbo_filters":                        "no stock Envoy has another one than the router",
	"envoy.extensions.filters.network.dubbo_proxy.v3.DubboFilter.config":                              "likewise",
	"envoy.extensions.filters.http.rbac.v3.RBAC@dubbo.":                                               "likewise",
	"envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit@dubbo.":                          "likewise",
	"envoy.config.bootstrap.v3.Bootstrap.overload_manager":                                            "is for the whole process; test/istio compares it",
	"envoy.config.overload.v3.":                                                                       "likewise",
	"envoy.extensions.resource_monitors.":                                                             "likewise",
	"envoy.config.listener.v3.Listener.bypass_overload_manager":                                       "likewise",
	"envoy.config.listener.v3.Listener.ignore_global_conn_limit":                                      "likewise",
	"envoy.config.bootstrap.v3.Bootstrap.stats_config":                                                "likewise",
	"envoy.config.metrics.v3.":                                                                        "likewise",
	"envoy.type.matcher.v3.ListStringMatcher.":                                                        "likewise",
	"envoy.config.bootstrap.v3.RuntimeLayer.RtdsLayer.":                                               "comes by itself; test/xds asks the real Envoy",
	"envoy.config.bootstrap.v3.RuntimeLayer.rtds_layer":                                               "likewise",
	"envoy.config.core.v3.ExtensionConfigSource.":                                                     "likewise",
	"envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter.config_discovery":         "likewise",
	"envoy.config.route.v3.RouteConfiguration.vhds":                                                   "likewise",
	"envoy.config.route.v3.Vhds.":                                                                     "likewise",
	"envoy.extensions.filters.http.on_demand.":                                                        "likewise",
	"envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.OnDemand.":                                "likewise",
	"envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.on_demand":                                "likewise",
	"envoy.config.route.v3.ScopedRouteConfiguration.":                                                 "likewise",
	"envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.scoped_routes": "likewise",
	"envoy.extensions.filters.network.http_connection_manager.v3.ScopedRds.":                          "likewise",
	"envoy.extensions.filters.network.http_connection_manager.v3.ScopedRouteConfigurationsList.":      "likewise",
	"envoy.extensions.filters.network.http_connection_manager.v3.ScopedRoutes.":                       "likewise",
	"envoy.config.core.v3.BindConfig.extra_source_addresses":                                          "wants upstreams of both families; test/fields has it",
	"envoy.config.core.v3.ExtraSourceAddress.":                                                        "likewise",
	"envoy.config.bootstrap.v3.Bootstrap.DynamicResources.ads_config":                                 "is for a control plane, which there is none of here; what comes from one is traffic like any other",
	"envoy.config.core.v3.ApiConfigSource.":                                                           "likewise",
	"envoy.config.core.v3.ConfigSource.ads":                                                           "likewise",
	"envoy.config.core.v3.ConfigSource.api_config_source":                                             "likewise",
	"envoy.config.core.v3.ConfigSource.initial_fetch_timeout":                                         "likewise",
	"envoy.config.core.v3.GrpcService.":                                                               "likewise",
	"envoy.config.core.v3.Node.client_features":                                                       "likewise",
	"envoy.config.core.v3.Node.dynamic_parameters":                                                    "likewise",
	"envoy.config.core.v3.Node.metadata":                                                              "likewise",
	"xds.core.v3.ContextParams.":                                                                      "likewise",
	"envoy.extensions.access_loggers.grpc.v3.":                                                        "is for a server of logs; test/report compares what it is told",
	"envoy.type.tracing.v3.CustomTag.":                                                                "likewise",
	"envoy.type.metadata.v3.MetadataKind.":                                                            "likewise",
	"envoy.config.bootstrap.v3.ClusterManager.load_stats_config":                                      "is for a server of reports; test/report compares what it is told",
}

// TestTraffic asks both and wants every difference to be explained, and every explanation to explain something.
func TestTraffic(t *testing.T) { askBoth(t, corpus, explained) }

// TestSecureTraffic is TestTraffic for TLS, and asks others of both, since what is checked every minute shows in numbers after one.
func TestSecureTraffic(t *testing.T) {
	askBoth(t, slices.Concat(secured, logsOfTLS, negotiated), explainedTLS)
}

// TestTrafficOfHTTP2 is TestTraffic for peers that speak HTTP/2.
func TestTrafficOfHTTP2(t *testing.T) { askBoth(t, versions, explainedHTTP2) }

func askBoth(t *testing.T, corpus []scenario, explained []difference) {
	t.Parallel()
	names := map[string]bool{}
	for i := range corpus {
		if named := names[corpus[i].name]; named {
			t.Fatalf("two scenarios are called %s", corpus[i].name)
		}
		names[corpus[i].name] = true
	}
	keys := issue(t)
	sides := []*side{startEnvoy(t, corpus, keys), startWeft(t, corpus, keys)}
	var seen [2]map[string]string
	var wait sync.WaitGroup
	for i, s := range sides {
		seen[i] = map[string]string{}
		wait.Go(func() {
			for k := range corpus {
				for _, f := range s.run(&corpus[k]) {
					seen[i][f.what] = f.value
				}
			}
		})
	}
	wait.Wait()
	// Logs and counters follow in their own time.
	var differences map[string][2]string
	var unexplained map[string][]string
	var used []bool
	var facts int
	for end, tick := time.Now().Add(5*time.Second), time.NewTicker(100*time.Millisecond); ; <-tick.C {
		all := [2]map[string]string{maps.Clone(seen[0]), maps.Clone(seen[1])}
		for i, s := range sides {
			s.after(corpus, all[i])
		}
		facts, differences = len(all[0]), compare(all[0], all[1])
		if unexplained, used = explain(explained, differences); len(unexplained) == 0 && !slices.Contains(used, false) || time.Now().After(end) {
			break
		}
	}
	for _, name := range slices.Sorted(maps.Keys(unexplained)) {
		t.Errorf("%s differs in\n%s", name, strings.Join(unexplained[name], "\n"))
	}
	for i := range explained {
		if !used[i] {
			t.Errorf("nothing differs in %s, which is said to be because %s", explained[i].what, explained[i].why)
		}
	}
	t.Logf("%d scenarios, %d facts, %d differences", len(corpus), facts, len(differences))
}

// explain gives the differences that nothing explains, by scenario, and which explanations were of use.
func explain(explained []difference, differences map[string][2]string) (unexplained map[string][]string, used []bool) {
	unexplained, used = map[string][]string{}, make([]bool, len(explained))
	for _, what := range slices.Sorted(maps.Keys(differences)) {
		found := false
		for i := range explained {
			if explained[i].what.MatchString(what) {
				used[i], found = true, true
			}
		}
		if !found && !explainedBefore(what) {
			name, rest, _ := strings.Cut(what, "/")
			d := differences[what]
			unexplained[name] = append(unexplained[name], fmt.Sprintf("%s\n  Envoy %s\n  weft  %s", rest, d[0], d[1]))
		}
	}
	return unexplained, used
}

// again are the ends of names of scenarios of HTTP/1 that are asked once more in HTTP/2.
var again = []string{"-h2", "-h2-down", "-h2-up"}

// explainedBefore tells whether a difference is one in HTTP/1, too. What is said there of all scenarios, and names none, holds here only
// for clients that speak HTTP/1.
func explainedBefore(what string) bool {
	name, rest, _ := strings.Cut(what, "/")
	for _, end := range again {
		base, ok := strings.CutSuffix(name, end)
		if !ok {
			continue
		}
		was := base + "/" + strings.ReplaceAll(rest, name, base)
		for i := range explained {
			if p := explained[i].what; p.MatchString(was) && (end == "-h2-up" || strings.HasPrefix(p.String(), "^")) {
				return true
			}
		}
	}
	return false
}

// after adds the lines of logs and the counters.
func (s *side) after(corpus []scenario, seen map[string]string) {
	for i := range corpus {
		c := &corpus[i]
		for n, line := range s.logsOf(c) {
			for k, value := range strings.Split(line, "\u00a6") {
				operator := "too many"
				if k < len(logged) {
					operator = logged[k]
				}
				seen[fmt.Sprintf("%s/log%d:%s", c.name, n, operator)] = s.mask(c, ":"+operator, value)
			}
		}
	}
	for name, value := range s.stats() {
		if value == 0 {
			continue
		}
		m := owned.FindStringSubmatch(name)
		if m != nil && !uncompared.MatchString(name) && slices.ContainsFunc(corpus, func(c scenario) bool { return c.name == m[1] }) {
			seen[m[1]+"/"+name] = fmt.Sprint(value)
			if strings.HasSuffix(name, ".expiration_unix_time_seconds") { // certificates are not all issued within one second
				seen[m[1]+"/"+name] = time.Until(time.Unix(value, 0)).Round(time.Hour).String()
			}
		}
	}
}

// owned are the statistics that belong to a scenario, whose name is the group.
var owned = regexp.MustCompile(`^(?:http|tcp|listener|cluster|vhost)\.([a-z0-9-]+)[._]`)

// compare gives what two saw differently.
func compare(a, b map[string]string) map[string][2]string {
	differences := map[string][2]string{}
	for what, v := range a {
		if w, ok := b[what]; !ok || v != w {
			if !ok {
				w = "(nothing)"
			}
			differences[what] = [2]string{v, w}
		}
	}
	for what, w := range b {
		if _, ok := a[what]; !ok {
			differences[what] = [2]string{"(nothing)", w}
		}
	}
	return differences
}

// TestCoverage wants every field that we run to be in the corpus, or among those of which it is said why they are not.
func TestCoverage(t *testing.T) {
	s := newSide(t, "nobody", issue(t))
	set := decode.RunPathsIn(&bootstrapv3.Bootstrap{})
	for _, text := range []string{s.text(slices.Concat(corpus, secured, versions, negotiated)), dubboText(1, 1, 1), sourceText(1, 1)} {
		json, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		var m bootstrapv3.Bootstrap
		if err := protojson.Unmarshal(json, &m); err != nil {
			t.Fatal(err)
		}
		maps.Copy(set, decode.RunPathsIn(&m))
	}
	used := map[string]bool{}
	for _, p := range slices.Sorted(maps.Keys(decode.RunPaths())) {
		if _, ok := set[p]; ok {
			continue
		}
		found := false
		for begin := range unasked {
			if strings.HasPrefix(p, begin) {
				used[begin], found = true, true
			}
		}
		if !found {
			t.Errorf("no scenario sets %s", p)
		}
	}
	for begin := range unasked {
		if !used[begin] {
			t.Errorf("%s is said not to be asked, and is, or is not run", begin)
		}
	}
}
