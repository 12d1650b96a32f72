package fields

import (
	"fmt"

	"github.com/weftmesh/weft/test/e2e"
)

// original is a cluster of type ORIGINAL_DST with that of its own.
func original(piece string) string {
	return e2e.Bootstrap(e2e.HTTPListener(all), "- {name: up, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED, "+piece+"}")
}

// notedTo is original behind a filter that notes what the field x-to says.
func notedTo(piece string) string {
	filter := e2e.Filter("f", "header_to_metadata.v3.Config", "request_rules: [{header: x-to, on_header_present: {metadata_namespace: a, key: b}}]")
	return e2e.Bootstrap(e2e.WithFilters(e2e.HTTPListener(all), filter), "- {name: up, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED, "+piece+"}")
}

// sentTo asks for a place in a field and tells the status of the answer. A port of 0 is the upstream's.
func sentTo(field string, port int) func(*world) string {
	return func(w *world) string {
		to := port
		if to == 0 {
			to = w.up.Port
		}
		return look(fmt.Sprintf("GET /; %s: 127.0.0.1:%d", field, to), "status")(w)
	}
}

// forgotten tells whether a destination whose connection is gone goes soon.
func forgotten(w *world) string {
	return soon(fmt.Sprintf("GET /; x-envoy-original-dst-host: 127.0.0.1:%d", w.up.Port), "cluster.up.membership_total", 0)(w)
}

const byHeader = "original_dst_lb_config: {use_http_header: true}"

var originalTrials = []trial{
	{paths: "Cluster.type=ORIGINAL_DST Cluster.lb_policy=CLUSTER_PROVIDED Cluster.original_dst_lb_config", site: func(p string) string {
		return e2e.Bootstrap(e2e.HTTPListener(all), "- {name: up, "+p+"}")
	}, base: "type: STATIC", flip: "type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED, " + byHeader, probe: sentTo("x-envoy-original-dst-host", 0), want: [2]string{"503", "200"}},
	{paths: "OriginalDstLbConfig.use_http_header", site: original, base: "original_dst_lb_config: {}", flip: byHeader, probe: sentTo("x-envoy-original-dst-host", 0), want: [2]string{"503", "200"}},
	{paths: "OriginalDstLbConfig.http_header_name", site: original, base: byHeader, flip: "original_dst_lb_config: {use_http_header: true, http_header_name: X-To}", probe: sentTo("x-to", 0), want: [2]string{"503", "200"}},
	{paths: "OriginalDstLbConfig.metadata_key", site: notedTo, base: "original_dst_lb_config: {}", flip: "original_dst_lb_config: {metadata_key: {key: a, path: [{key: b}]}}", probe: sentTo("x-to", 0), want: [2]string{"503", "200"}},
	{paths: "OriginalDstLbConfig.upstream_port_override", site: original, base: byHeader, flip: "original_dst_lb_config: {use_http_header: true, upstream_port_override: @PORT@}", probe: sentTo("x-envoy-original-dst-host", 9), want: [2]string{"503", "200"}},
	{paths: "Cluster.cleanup_interval", site: original, base: "cleanup_interval: 100s, " + byHeader, flip: "cleanup_interval: 0.01s, " + byHeader, up: answer("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"), probe: forgotten, want: [2]string{"no", "yes"}},
}
