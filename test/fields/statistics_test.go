package fields

import (
	"fmt"
	"strings"
)

// counted is a process with a cluster, whose statistics are shown as the piece says.
func counted(piece string) string {
	return cluster("") + "\nadmin: {" + adminAt + "}\nstats_config: {" + piece + "}"
}

// measured is the line of /stats/prometheus that has all of these words; empty: there is none.
func measured(words ...string) func(*world) string {
	return func(w *world) string {
	lines:
		for line := range strings.Lines(w.ask("/stats/prometheus")) {
			for _, word := range words {
				if strings.HasPrefix(line, "#") || !strings.Contains(line, word) {
					continue lines
				}
			}
			name, _, _ := strings.Cut(line, " ")
			return name
		}
		return ""
	}
}

// onPage tells which of two numbers are.
func onPage(w *world) string {
	text := w.ask("/stats")
	return fmt.Sprint(strings.Contains(text, "\nserver.live:"), strings.Contains(text, "\ncluster.up.upstream_cx_total:"))
}

// packed is an echo in a process that takes so many connections.
func packed(most, piece string) string {
	text := networkFilters(`{name: echo, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo}}`)
	text = strings.Replace(text, "filter_chains", piece+"\n    filter_chains", 1)
	return text + "\noverload_manager: {resource_monitors: [{name: envoy.resource_monitors.global_downstream_max_connections, typed_config: {" +
		`"@type": type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig, max_active_downstream_connections: ` + most + "}}]}"
}

func packedListener(piece string) string { return packed("1", piece) }

func ownTags(piece string) string {
	return counted("use_all_default_tags: false, stats_tags: [{" + piece + "}]")
}

var statisticsTrials = []trial{
	{paths: "StatsConfig.use_all_default_tags", process: true, site: counted, base: "", flip: "use_all_default_tags: false", probe: measured("membership_total"),
		want: [2]string{`envoy_cluster_membership_total{envoy_cluster_name="up"}`, "envoy_cluster_up_membership_total"}},
	{paths: "StatsConfig.stats_tags", process: true, site: counted, base: "use_all_default_tags: false", flip: `use_all_default_tags: false, stats_tags: [{tag_name: a.b, regex: "^cluster(\\.(.+?))\\."}]`, probe: measured("membership_total"),
		want: [2]string{"envoy_cluster_up_membership_total", `envoy_cluster_membership_total{a_b="up"}`}},
	{paths: "TagSpecifier.tag_name", process: true, site: ownTags, base: `tag_name: a, regex: "^server(\\.live)"`, flip: `tag_name: b, regex: "^server(\\.live)"`, probe: measured(`".live"`),
		want: [2]string{`envoy_server{a=".live"}`, `envoy_server{b=".live"}`}},
	{paths: "TagSpecifier.regex", process: true, site: ownTags, base: `tag_name: a, regex: "^server(\\.live)"`, flip: `tag_name: a, regex: "^server(?=\\.l)(\\.(l)iv)"`, probe: measured("server", "{", "l"),
		want: [2]string{`envoy_server{a=".live"}`, `envoy_servere{a="l"}`}},
	{paths: "TagSpecifier.fixed_value", process: true, site: ownTags, base: "tag_name: a, fixed_value: one", flip: "tag_name: a, fixed_value: two", probe: measured("server_live"),
		want: [2]string{`envoy_server_live{a="one"}`, `envoy_server_live{a="two"}`}},
	{paths: "StatsMatcher.reject_all StatsConfig.stats_matcher", process: true, site: counted, base: "", flip: "stats_matcher: {reject_all: true}", probe: onPage, want: [2]string{"true true", "false false"}},
	{paths: "StatsMatcher.inclusion_list ListStringMatcher.patterns", process: true, site: counted, base: "stats_matcher: {inclusion_list: {patterns: [{prefix: server}, {prefix: cluster}]}}", flip: "stats_matcher: {inclusion_list: {patterns: [{prefix: cluster}]}}",
		probe: onPage, want: [2]string{"true true", "false true"}},
	{paths: "StatsMatcher.exclusion_list", process: true, site: counted, base: "", flip: `stats_matcher: {exclusion_list: {patterns: [{safe_regex: {regex: "cluster\\.up\\..*"}}]}}`, probe: onPage, want: [2]string{"true true", "true false"}},
	{paths: "StatsConfig.histogram_bucket_settings", process: true, site: counted, base: "", flip: "histogram_bucket_settings: [{match: {prefix: cluster.up}, buckets: [0.7, 7]}]", probe: measured("upstream_cx_connect_ms_bucket", `le="7"`),
		want: [2]string{"", `envoy_cluster_upstream_cx_connect_ms_bucket{envoy_cluster_name="up",le="7"}`}},
	{paths: "HistogramBucketSettings.match", process: true, site: counted, base: "histogram_bucket_settings: [{match: {prefix: cluster.down}, buckets: [0.7, 7]}]", flip: "histogram_bucket_settings: [{match: {prefix: cluster.up}, buckets: [0.7, 7]}]",
		probe: measured("upstream_cx_connect_ms_bucket", `le="7"`), want: [2]string{"", `envoy_cluster_upstream_cx_connect_ms_bucket{envoy_cluster_name="up",le="7"}`}},
	{paths: "HistogramBucketSettings.buckets", process: true, site: counted, base: "histogram_bucket_settings: [{match: {prefix: cluster.up}, buckets: [7]}]", flip: "histogram_bucket_settings: [{match: {prefix: cluster.up}, buckets: [8]}]",
		probe: measured("upstream_cx_connect_ms_bucket", `le="7"`), want: [2]string{`envoy_cluster_upstream_cx_connect_ms_bucket{envoy_cluster_name="up",le="7"}`, ""}},

	{paths: "DownstreamConnectionsConfig.max_active_downstream_connections", site: func(p string) string { return packed(p, "") }, base: "1", flip: "2", probe: oneMore, want: [2]string{"closed", "y"}},
	{paths: "Listener.ignore_global_conn_limit", site: packedListener, base: "", flip: "ignore_global_conn_limit: true", probe: oneMore, want: [2]string{"closed", "y"}},
	{paths: "Listener.bypass_overload_manager", site: packedListener, base: "", flip: "bypass_overload_manager: true", probe: oneMore, want: [2]string{"closed", "y"}},
}
