package fields

// virtual is a piece of a virtual host with these virtual clusters.
func virtual(piece string) string { return vhostAnd("virtual_clusters: [{" + piece + "}]") }

func routeNamed(piece string) string {
	return route("match: {prefix: /}, route: {cluster: up}, " + piece)
}

// hostNamed is a virtual host of that name with a route that is counted.
func hostNamed(piece string) string {
	return replaced(routeNamed("stat_prefix: r"), "name: all", piece)
}

var tallyTrials = []trial{
	{paths: "route.v3.Route.stat_prefix", site: routeNamed, base: "stat_prefix: a", flip: "stat_prefix: b", probe: look("GET /", "#vhost.all.route.a.upstream_rq_total", "#vhost.all.route.b.upstream_rq_200"), want: [2]string{"1|-1", "-1|1"}},
	{paths: "VirtualHost.name", site: hostNamed, base: "name: a", flip: "name: b", probe: look("GET /", "#vhost.a.route.r.upstream_rq_2xx", "#vhost.b.route.r.upstream_rq_completed"), want: [2]string{"1|-1", "-1|1"}},
	{paths: "VirtualHost.virtual_clusters", site: vhostAnd, flip: "virtual_clusters: [{name: v, headers: [{name: x, present_match: true}]}]", probe: look("GET /", "#vhost.all.vcluster.other.upstream_rq_total"), want: [2]string{"-1", "1"}},
	{paths: "VirtualCluster.name", site: virtual, base: "name: v, headers: [{name: x, present_match: true}]", flip: "name: w, headers: [{name: x, present_match: true}]", probe: look("GET /; x: 1", "#vhost.all.vcluster.v.upstream_rq_total", "#vhost.all.vcluster.w.upstream_rq_200"), want: [2]string{"1|-1", "-1|1"}},
	{paths: "VirtualCluster.headers", site: virtual, base: "name: v, headers: [{name: x, present_match: true}]", flip: "name: v, headers: [{name: z, present_match: true}]", probe: look("GET /; x: 1", "#vhost.all.vcluster.v.upstream_rq_total", "#vhost.all.vcluster.other.upstream_rq_total"), want: [2]string{"1|0", "0|1"}},
}
