package fields

import (
	"fmt"
	"strings"
	"time"

	"github.com/weftmesh/weft/test/e2e"
	"github.com/weftmesh/weft/xds/decode"
)

// Pieces of a cluster of two endpoints, which stand each in a locality of its own.
const (
	one = "endpoint: {address: {socket_address: {port_value: @PORT@, address: 127.0.0.1}}}"
	two = "endpoint: {address: {socket_address: {port_value: @PORT@, address: 127.0.0.2}}}"
	ill = "health_status: UNHEALTHY, endpoint: {address: {socket_address: {port_value: 7, address: 127.0.0.3}}}"

	weights = "locality: {zone: a}, load_balancing_weight: 1, lb_endpoints: [{" + one + "}]"
	heavy   = "locality: {zone: b}, load_balancing_weight: 19, lb_endpoints: [{" + two + "}]"

	round, least, random = "round_robin.v3.RoundRobin", "least_request.v3.LeastRequest", "random.v3.Random"
	ring, maglev, subset = "ring_hash.v3.RingHash", "maglev.v3.Maglev", "subset.v3.Subset"
)

// fleet is a cluster with that of its own and those localities; PIECE is where the piece goes.
func fleet(own, first, second string) func(string) string {
	return fleetBehind(all, own, first, second)
}

func fleetBehind(vhost, own, first, second string) func(string) string {
	return func(piece string) string {
		text := e2e.Bootstrap(e2e.HTTPListener(vhost), "- {name: up, "+own+" load_assignment: {cluster_name: up, endpoints: [{"+first+"}, {"+second+"}]}}")
		return strings.ReplaceAll(text, "PIECE", piece)
	}
}

func zone(name, endpoint string) string {
	return "locality: {zone: " + name + "}, lb_endpoints: [{" + endpoint + "}]"
}

// twins are two endpoints that are alike, in a cluster with that of its own.
func twins(own string) func(string) string { return fleet(own, zone("a", one), zone("b", two)) }

// policy is a load_balancing_policy with that message.
func policy(message string) string {
	name, body, _ := strings.Cut(message, " ")
	return `load_balancing_policy: {policies: [{typed_extension_config: {name: p, typed_config: {"@type": type.googleapis.com/envoy.extensions.load_balancing_policies.` + name + ", " + body + "}}}]},"
}

// inner is the policy of a policy.
func inner(message string) string {
	return strings.TrimSuffix(strings.TrimPrefix(policy(message), "load_balancing_policy: {"), "},")
}

// part tells in a word how many of 800 requests the first endpoint gets. Where chance decides, a standard deviation is 14 of them: the
// words are five away from the shares that the trials have.
func part(w *world) string {
	const asked = 800
	counts, _ := hosts(w, asked, false)
	switch got := counts["127.0.0.1"]; {
	case got == 0:
		return "none"
	case got < 320:
		return "few"
	case got <= 480:
		return "half"
	case got < asked:
		return "most"
	}
	return "all"
}

// majority tells whether the first endpoint gets more than half, where each gets a third or two.
func majority(w *world) string {
	counts, _ := hosts(w, 600, false)
	return fmt.Sprint(counts["127.0.0.1"] > 300)
}

// newcomer tells whether the first endpoint keeps its requests when another one comes, which is a matter of their ages: where they are to
// count, the third power makes a few times as old many times as heavy.
func newcomer(w *world) string {
	w.dial().Get("/")
	<-time.After(600 * time.Millisecond)
	boot, err := decode.New(nil, decode.Options{}).Bootstrap(parse(w.t, strings.Replace(w.text, "127.0.0.2", "127.0.0.3", 1)))
	if err == nil {
		err = w.Update(&boot.Static)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	if counts, _ := hosts(w, 40, false); counts["127.0.0.1"] > 34 {
		return "kept"
	}
	return "shared"
}

// crowded tells which endpoint gets requests while three are under way.
func crowded(w *world) string {
	for i := range 3 {
		w.dial().Send(raw("GET /hang"))
		w.eventually("a request that hangs", func() bool { return w.stat("cluster.up.upstream_rq_active") == int64(i+1) })
	}
	return w.dial().Get("/").Body
}

// Subsets: the first endpoint is version 1 of both, the second 2.
func versions(route, own string) func(string) string {
	return fleetBehind("routes: [{match: {prefix: /}, route: {"+route+"}}]", own,
		`lb_endpoints: [{metadata: {filter_metadata: {envoy.lb: {v: "1", s: x}}}, `+one+"}]", `lb_endpoints: [{metadata: {filter_metadata: {envoy.lb: {v: "2", s: x}}}, `+two+"}]")
}

const (
	asks1 = `cluster: up, metadata_match: {filter_metadata: {envoy.lb: {v: "1"}}}`
	asks3 = `cluster: up, metadata_match: {filter_metadata: {envoy.lb: {v: "3"}}}`
	asksX = `cluster: up, metadata_match: {filter_metadata: {envoy.lb: {s: x}}}`
	asksW = `cluster: up, metadata_match: {filter_metadata: {envoy.lb: {v: "1", w: y}}}`

	slowStart = "slow_start_config: {slow_start_window: 100s, PIECE}"
	skewed1   = `metadata: {filter_metadata: {envoy.lb: {hash_key: a224}}}, ` + one
	skewed2   = `metadata: {filter_metadata: {envoy.lb: {hash_key: b224}}}, ` + two
	sameKey   = `metadata: {filter_metadata: {envoy.lb: {hash_key: k}}}, `
	selector  = "subset_selectors: [{keys: [v]}]"
	status    = "status"
)

// subsetTrials are the same for the older message and the newer one.
func subsetTrials(message string, cluster func(body string) string) []trial {
	t := []trial{
		{paths: "fallback_policy=ANY_ENDPOINT", site: versions(asks3, cluster("PIECE"+selector)), base: "", flip: "fallback_policy: ANY_ENDPOINT, ", probe: look("GET /", status), want: [2]string{"503", "200"}},
		{paths: "fallback_policy=DEFAULT_SUBSET", site: versions(asks3, cluster(`default_subset: {v: "1"}, PIECE`+selector)), base: "fallback_policy: ANY_ENDPOINT, ", flip: "fallback_policy: DEFAULT_SUBSET, ", probe: part, want: [2]string{"half", "all"}},
		{paths: "default_subset", site: versions(asks3, cluster("PIECE, fallback_policy: DEFAULT_SUBSET, "+selector)), base: `default_subset: {v: "1"}`, flip: `default_subset: {v: "2"}`, probe: part, want: [2]string{"all", "none"}},
		{paths: "panic_mode_any", site: versions(asks3, cluster(`PIECE default_subset: {v: "9"}, fallback_policy: DEFAULT_SUBSET, `+selector)), flip: "panic_mode_any: true, ", probe: look("GET /", status), want: [2]string{"503", "200"}},
		{paths: "list_as_any", site: fleetBehind("routes: [{match: {prefix: /}, route: {"+asks1+"}}]", cluster("PIECE "+selector),
			`lb_endpoints: [{metadata: {filter_metadata: {envoy.lb: {v: ["0", "1"]}}}, `+one+"}]", "lb_endpoints: [{"+two+"}]"), flip: "list_as_any: true, ", probe: look("GET /", status), want: [2]string{"503", "200"}},
		{paths: "LbSubsetSelector.keys", site: versions(asks1, cluster("subset_selectors: [{keys: PIECE}]")), base: "[s]", flip: "[v]", probe: look("GET /", status), want: [2]string{"503", "200"}},
		{paths: "LbSubsetSelector.single_host_per_subset", site: versions(asksX, cluster("subset_selectors: [{keys: [s], PIECE}]")), flip: "single_host_per_subset: true", probe: part, want: [2]string{"half", "all"}},
		{paths: "LbSubsetSelector.fallback_policy=NO_FALLBACK", site: versions(asks3, cluster("fallback_policy: ANY_ENDPOINT, subset_selectors: [{keys: [v], PIECE}]")), flip: "fallback_policy: NO_FALLBACK", probe: look("GET /", status), want: [2]string{"200", "503"}},
		{paths: "LbSubsetSelector.fallback_policy=ANY_ENDPOINT", site: versions(asks3, cluster("subset_selectors: [{keys: [v], PIECE}]")), flip: "fallback_policy: ANY_ENDPOINT", probe: look("GET /", status), want: [2]string{"503", "200"}},
		{paths: "LbSubsetSelector.fallback_policy=DEFAULT_SUBSET", site: versions(asks3, cluster(`default_subset: {v: "1"}, subset_selectors: [{keys: [v], PIECE}]`)), flip: "fallback_policy: DEFAULT_SUBSET", probe: look("GET /", status), want: [2]string{"503", "200"}},
		{paths: "LbSubsetSelector.fallback_policy=KEYS_SUBSET LbSubsetSelector.fallback_keys_subset", site: versions(asksW, cluster("subset_selectors: [{keys: [v]}, {keys: [v, w], PIECE}]")), flip: "fallback_policy: KEYS_SUBSET, fallback_keys_subset: [v]", probe: look("GET /", status), want: [2]string{"503", "200"}},
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

// slowTrials are the same for the older messages and the newer one.
func slowTrials(message string, cluster func(body string) string) []trial {
	return []trial{
		{paths: message + ".slow_start_window", site: twins(cluster("slow_start_config: {PIECE}")), base: "aggression: {default_value: 0.3333}, min_weight_percent: {value: 0}", flip: "aggression: {default_value: 0.3333}, min_weight_percent: {value: 0}, slow_start_window: 100s", up: everywhere, probe: newcomer, want: [2]string{"shared", "kept"}},
		{paths: message + ".aggression", site: twins(cluster(slowStart)), base: "min_weight_percent: {value: 0}, aggression: {default_value: 0.3333}", flip: "min_weight_percent: {value: 0}, aggression: {default_value: 10000}", up: everywhere, probe: newcomer, want: [2]string{"kept", "shared"}},
		{paths: message + ".min_weight_percent", site: twins(cluster(slowStart)), base: "aggression: {default_value: 0.3333}, min_weight_percent: {value: 0}", flip: "aggression: {default_value: 0.3333}, min_weight_percent: {value: 100}", up: everywhere, probe: newcomer, want: [2]string{"kept", "shared"}},
	}
}

var balanceTrials = everywhereToo(append(append(append(append([]trial{
	{paths: "LocalityLbEndpoints.priority", site: fleet("", zone("a", one), "PIECE "+zone("b", two)), flip: "priority: 1, ", probe: part, want: [2]string{"half", "all"}},
	{paths: "LocalityLbEndpoints.load_balancing_weight", site: fleet("common_lb_config: {locality_weighted_lb_config: {}},", weights, "load_balancing_weight: PIECE, "+zone("b", two)), base: "1", flip: "19", probe: part, want: [2]string{"half", "few"}},
	{paths: "CommonLbConfig.locality_weighted_lb_config", site: fleet("PIECE", weights, heavy), flip: "common_lb_config: {locality_weighted_lb_config: {}},", probe: part, want: [2]string{"half", "few"}},
	{paths: "Policy.overprovisioning_factor", site: overflowing("{}, {"+ill+"}", "policy: {PIECE},"), flip: "overprovisioning_factor: 200", probe: part, want: [2]string{"most", "all"}},
	{paths: "Policy.drop_overloads DropOverload.drop_percentage", site: overflowing("{}, {"+ill+"}", "policy: {drop_overloads: [{category: a, drop_percentage: {PIECE}}]},"), base: "numerator: 0", flip: "numerator: 100", probe: look("GET /", "<x-envoy-unconditional-drop-overload"), want: [2]string{"-", "true"}},
	{paths: "Policy.weighted_priority_health", site: overflowing("{load_balancing_weight: 9, "+ill+"}", "policy: {PIECE},"), flip: "weighted_priority_health: true", probe: part, want: [2]string{"most", "few"}},
	{paths: "health_status=DEGRADED", site: fleet("", zone("a", one), zone("b", "PIECE "+two)), flip: "health_status: DEGRADED, ", probe: part, want: [2]string{"half", "most"}},
	{paths: "RoundRobinLbConfig.slow_start_config", site: twins("PIECE"), base: "", flip: "round_robin_lb_config: {slow_start_config: {slow_start_window: 100s, aggression: {default_value: 0.3333}, min_weight_percent: {value: 0}}},", probe: newcomer, want: [2]string{"shared", "kept"}},
	{paths: "Cluster.lb_policy=RING_HASH", site: twins("PIECE"), base: "", flip: "lb_policy: RING_HASH,", probe: look("GET /", "#cluster.up.ring_hash_lb.size", "#cluster.up.ring_hash_lb.min_hashes_per_host", "#cluster.up.ring_hash_lb.max_hashes_per_host"), want: [2]string{"-1|-1|-1", "1024|512|512"}},
	{paths: "Cluster.lb_policy=MAGLEV", site: twins("PIECE"), base: "", flip: "lb_policy: MAGLEV,", probe: look("GET /", "#cluster.up.maglev_lb.min_entries_per_host", "#cluster.up.maglev_lb.max_entries_per_host"), want: [2]string{"-1|-1", "32768|32769"}},
	{paths: "Cluster.lb_policy=LOAD_BALANCING_POLICY_CONFIG", site: twins("PIECE"), base: "", flip: "lb_policy: LOAD_BALANCING_POLICY_CONFIG,", probe: served, want: [2]string{"true", "false"}},
	{paths: "Cluster.RingHashLbConfig.minimum_ring_size", site: twins("lb_policy: RING_HASH, ring_hash_lb_config: {PIECE},"), base: "", flip: "minimum_ring_size: 2048", probe: look("GET /", "#cluster.up.ring_hash_lb.size"), want: [2]string{"1024", "2048"}},
	{paths: "Cluster.RingHashLbConfig.maximum_ring_size", site: twins("lb_policy: RING_HASH, ring_hash_lb_config: {minimum_ring_size: 11, PIECE},"), base: "", flip: "maximum_ring_size: 11", probe: look("GET /", "#cluster.up.ring_hash_lb.size"), want: [2]string{"12", "11"}},
	{paths: "Cluster.RingHashLbConfig.hash_function=MURMUR_HASH_2", site: fleet("lb_policy: RING_HASH, ring_hash_lb_config: {minimum_ring_size: 2, PIECE},", zone("a", skewed1), zone("b", skewed2)), base: "", flip: "hash_function: MURMUR_HASH_2", probe: part, want: [2]string{"few", "most"}},
	{paths: "MaglevLbConfig.table_size", site: twins("lb_policy: MAGLEV, maglev_lb_config: {PIECE},"), base: "", flip: "table_size: 7", probe: look("GET /", "#cluster.up.maglev_lb.max_entries_per_host"), want: [2]string{"32769", "4"}},
	{paths: "CommonLbConfig.ConsistentHashingLbConfig.hash_balance_factor", site: fleet("lb_policy: RING_HASH, common_lb_config: {consistent_hashing_lb_config: {PIECE}},", zone("a", sameKey+one), zone("b", sameKey+two)), base: "", flip: "hash_balance_factor: 100", probe: crowded, want: [2]string{"127.0.0.1", "127.0.0.2"}},

	{paths: "TypedExtensionConfig@policy.typed_config", site: twins("PIECE"), base: policy(round), flip: policy(ring), probe: look("GET /", "#cluster.up.ring_hash_lb.size"), want: [2]string{"-1", "1024"}},
	{paths: "RoundRobin.locality_lb_config LocalityLbConfig.locality_weighted_lb_config", site: fleet(policy(round+" PIECE"), weights, heavy), base: "", flip: "locality_lb_config: {locality_weighted_lb_config: {}}", probe: part, want: [2]string{"half", "few"}},
	{paths: "LeastRequest.locality_lb_config", site: fleet(policy(least+" PIECE"), weights, heavy), base: "", flip: "locality_lb_config: {locality_weighted_lb_config: {}}", probe: part, want: [2]string{"half", "few"}},
	{paths: "Random.locality_lb_config", site: fleet(policy(random+" PIECE"), weights, heavy), base: "", flip: "locality_lb_config: {locality_weighted_lb_config: {}}", probe: part, want: [2]string{"half", "few"}},
	{paths: "LeastRequest.choice_count", site: twins(policy(least + " PIECE")), base: "choice_count: 2", flip: "choice_count: 10", probe: fewer, want: [2]string{"false", "true"}},
	{paths: "LeastRequest.enable_full_scan", site: twins(policy(least + " PIECE")), base: "choice_count: 2", flip: "choice_count: 2, enable_full_scan: true", probe: fewer, want: [2]string{"false", "true"}},
	{paths: "LeastRequest.selection_method=FULL_SCAN", site: twins(policy(least + " PIECE")), base: "choice_count: 2", flip: "choice_count: 2, selection_method: FULL_SCAN", probe: fewer, want: [2]string{"false", "true"}},
	{paths: "LeastRequest.active_request_bias", site: fleet(policy(least+" active_request_bias: {runtime_key: k, default_value: PIECE}"), zone("a", "load_balancing_weight: 2, "+one), zone("b", two)), base: "0", flip: "9", probe: fewer, want: [2]string{"false", "true"}},
	{paths: "LeastRequest.slow_start_config", site: twins(policy(least + " PIECE")), base: "choice_count: 2", flip: "slow_start_config: {slow_start_window: 100s, aggression: {default_value: 0.3333}, min_weight_percent: {value: 0}}", probe: newcomer, want: [2]string{"shared", "kept"}},
	{paths: "RingHash.minimum_ring_size", site: twins(policy(ring + " PIECE")), base: "", flip: "minimum_ring_size: 2048", probe: look("GET /", "#cluster.up.ring_hash_lb.size"), want: [2]string{"1024", "2048"}},
	{paths: "RingHash.maximum_ring_size", site: twins(policy(ring + " minimum_ring_size: 11, PIECE")), base: "", flip: "maximum_ring_size: 11", probe: look("GET /", "#cluster.up.ring_hash_lb.size"), want: [2]string{"12", "11"}},
	{paths: "RingHash.hash_function=MURMUR_HASH_2", site: fleet(policy(ring+" minimum_ring_size: 2, PIECE"), zone("a", skewed1), zone("b", skewed2)), base: "", flip: "hash_function: MURMUR_HASH_2", probe: part, want: [2]string{"few", "most"}},
	{paths: "RingHash.hash_function=XX_HASH", site: fleet(policy(ring+" minimum_ring_size: 2, PIECE"), zone("a", skewed1), zone("b", skewed2)), base: "hash_function: MURMUR_HASH_2", flip: "hash_function: XX_HASH", probe: part, want: [2]string{"most", "few"}},
	{paths: "RingHash.use_hostname_for_hashing", site: namesakes(policy(ring + " minimum_ring_size: 65536, PIECE")), base: "", flip: "use_hostname_for_hashing: true", probe: part, want: [2]string{"half", "all"}},
	{paths: "RingHash.hash_balance_factor", site: namesakes(policy(ring + " use_hostname_for_hashing: true, PIECE")), base: "", flip: "hash_balance_factor: 100", probe: crowded, want: [2]string{"127.0.0.1", "127.0.0.2"}},
	{paths: "common.v3.ConsistentHashingLbConfig.use_hostname_for_hashing", site: namesakes(policy(ring + " minimum_ring_size: 65536, consistent_hashing_lb_config: {PIECE}")), base: "", flip: "use_hostname_for_hashing: true", probe: part, want: [2]string{"half", "all"}},
	{paths: "common.v3.ConsistentHashingLbConfig.hash_balance_factor", site: namesakes(policy(ring + " consistent_hashing_lb_config: {use_hostname_for_hashing: true, PIECE}")), base: "", flip: "hash_balance_factor: 100", probe: crowded, want: [2]string{"127.0.0.1", "127.0.0.2"}},
	{paths: "common.v3.ConsistentHashingLbConfig.hash_policy", site: twins(policy(ring + " minimum_ring_size: 65536, consistent_hashing_lb_config: {PIECE}")), base: "", flip: "hash_policy: [{header: {header_name: host}}]", probe: alone, want: [2]string{"false", "true"}},
	{paths: "CommonLbConfig.ConsistentHashingLbConfig.use_hostname_for_hashing", site: resolved("two.test", "type: STRICT_DNS, dns_lookup_family: V4_ONLY, lb_policy: RING_HASH, ring_hash_lb_config: {minimum_ring_size: 65536}, common_lb_config: {consistent_hashing_lb_config: {PIECE}}, "+asks), base: "", flip: "use_hostname_for_hashing: true", probe: alone, want: [2]string{"false", "true"}},
	{paths: "LbSubsetConfig.locality_weight_aware", site: weighed("common_lb_config: {locality_weighted_lb_config: {}}, lb_subset_config: {PIECE subset_selectors: [{keys: [s]}]},"), base: "", flip: "locality_weight_aware: true,", probe: part, want: [2]string{"half", "few"}},
	{paths: "LbSubsetConfig.scale_locality_weight", site: weighed("common_lb_config: {locality_weighted_lb_config: {}}, lb_subset_config: {locality_weight_aware: true, PIECE subset_selectors: [{keys: [s]}]},"), base: "", flip: "scale_locality_weight: true,", probe: part, want: [2]string{"few", "half"}},
	{paths: "subset.v3.Subset.locality_weight_aware", site: weighed(policy(subset + " PIECE subset_selectors: [{keys: [s]}], subset_lb_policy: {" + inner(round+" locality_lb_config: {locality_weighted_lb_config: {}}") + "}")), base: "", flip: "locality_weight_aware: true,", probe: part, want: [2]string{"half", "few"}},
	{paths: "subset.v3.Subset.scale_locality_weight", site: weighed(policy(subset + " locality_weight_aware: true, PIECE subset_selectors: [{keys: [s]}], subset_lb_policy: {" + inner(round+" locality_lb_config: {locality_weighted_lb_config: {}}") + "}")), base: "", flip: "scale_locality_weight: true,", probe: part, want: [2]string{"few", "half"}},
	{paths: "Subset.allow_redundant_keys", site: versions(asksW, policy(subset+" "+selector+", PIECE subset_lb_policy: {"+inner(round)+"}")), base: "", flip: "allow_redundant_keys: true,", probe: look("GET /", status), want: [2]string{"503", "200"}},
	{paths: "RingHash.locality_weighted_lb_config", site: fleet(policy(ring+" minimum_ring_size: 65536, PIECE"), weights, heavy), base: "", flip: "locality_weighted_lb_config: {}", probe: part, want: [2]string{"half", "few"}},
	{paths: "Maglev.locality_weighted_lb_config", site: fleet(policy(maglev+" PIECE"), weights, heavy), base: "", flip: "locality_weighted_lb_config: {}", probe: part, want: [2]string{"half", "few"}},
	{paths: "Maglev.table_size", site: twins(policy(maglev + " PIECE")), base: "", flip: "table_size: 7", probe: look("GET /", "#cluster.up.maglev_lb.max_entries_per_host"), want: [2]string{"32769", "4"}},
	{paths: "Maglev.consistent_hashing_lb_config", site: fleet(policy(maglev+" table_size: 3, PIECE"), zone("a", strings.Replace(one, "{", "{hostname: z, ", 1)), zone("b", strings.Replace(two, "{", "{hostname: a, ", 1))), base: "", flip: "consistent_hashing_lb_config: {use_hostname_for_hashing: true}", probe: majority, want: [2]string{"true", "false"}},

	{paths: "Subset.subset_lb_policy", site: twins(policy(subset + " " + selector + ", subset_lb_policy: {PIECE}")), base: inner(round), flip: inner(ring), probe: look("GET /", "#cluster.up.ring_hash_lb.max_hashes_per_host"), want: [2]string{"-1", "512"}},
	{paths: "RouteAction.metadata_match", site: versions("cluster: up, PIECE", "lb_subset_config: {fallback_policy: ANY_ENDPOINT, "+selector+"},"), base: "", flip: `metadata_match: {filter_metadata: {envoy.lb: {v: "1"}}}`, probe: part, want: [2]string{"half", "all"}},
	{paths: "ClusterWeight.metadata_match", site: versions("weighted_clusters: {clusters: [{name: up, weight: 1, PIECE}]}", "lb_subset_config: {fallback_policy: ANY_ENDPOINT, "+selector+"},"), base: "", flip: `metadata_match: {filter_metadata: {envoy.lb: {v: "1"}}}`, probe: part, want: [2]string{"half", "all"}},
	{paths: "LbEndpoint.metadata Metadata.filter_metadata", site: fleetBehind("routes: [{match: {prefix: /}, route: {"+asks1+"}}]", "lb_subset_config: {"+selector+"},", "lb_endpoints: [{PIECE "+one+"}]", "lb_endpoints: [{"+two+"}]"), base: "", flip: `metadata: {filter_metadata: {envoy.lb: {v: "1"}}}, `, probe: look("GET /", status), want: [2]string{"503", "200"}},
}, subsetTrials("Cluster.LbSubsetConfig", func(body string) string { return "lb_subset_config: {" + body + "}," })...),
	subsetTrials("subset.v3.Subset", func(body string) string {
		return policy(subset + " " + body + ", subset_lb_policy: {" + inner(round) + "}")
	})...),
	slowTrials("Cluster.SlowStartConfig", func(body string) string { return "lb_policy: LEAST_REQUEST, least_request_lb_config: {" + body + "}," })...),
	slowTrials("common.v3.SlowStartConfig", func(body string) string { return policy(round + " " + body) })...))

// alone tells whether one endpoint gets all requests.
func alone(w *world) string {
	counts, _ := hosts(w, 100, false)
	return fmt.Sprint(max(counts["127.0.0.1"], counts["127.0.0.2"]) == 100)
}

// weighed is a subset of both endpoints. The second one's locality weighs 19 times as much, and has 18 more endpoints that are in no subset.
func weighed(own string) func(string) string {
	var others strings.Builder
	for i := range 18 {
		fmt.Fprintf(&others, ", {endpoint: {address: {socket_address: {port_value: @PORT@, address: 127.0.0.%d}}}}", i+3)
	}
	return fleetBehind("routes: [{match: {prefix: /}, route: {"+asksX+"}}]", own,
		"load_balancing_weight: 1, locality: {zone: a}, lb_endpoints: [{metadata: {filter_metadata: {envoy.lb: {s: x}}}, "+one+"}]",
		"load_balancing_weight: 19, locality: {zone: b}, lb_endpoints: [{metadata: {filter_metadata: {envoy.lb: {s: x}}}, "+two+"}"+others.String()+"]")
}

// namesakes are twins with one hostname.
func namesakes(own string) func(string) string {
	return fleet(own, zone("a", strings.Replace(one, "{", "{hostname: h, ", 1)), zone("b", strings.Replace(two, "{", "{hostname: h, ", 1)))
}

// overflowing is a first priority of one endpoint and more, and a second one.
func overflowing(more, policy string) func(string) string {
	more = strings.TrimPrefix(more, "{}, ")
	site := fleet("", "lb_endpoints: [{"+one+"}, "+more+"]", "priority: 1, lb_endpoints: [{"+two+"}]")
	return func(piece string) string {
		return strings.Replace(site(piece), "cluster_name: up,", "cluster_name: up, "+strings.Replace(policy, "PIECE", piece, 1), 1)
	}
}

// everywhereToo has upstreams listen at every address of this host.
func everywhereToo(list []trial) []trial {
	for i := range list {
		list[i].up = everywhere
	}
	return list
}
