package fields

import (
	"fmt"
	"io"
	"net"
	"time"

	"github.com/weftmesh/weft/test/e2e"
)

// demandTrials are about what requests miss. The control plane that is asked does not answer: how long a request waits is what shows.
var demandTrials = []trial{
	{paths: "OnDemandCds.timeout", site: lacking, base: odcds("0.05s"), flip: odcds("3s"), probe: waits(func(w *world) { look("GET /; x-to: gone", "status")(w) }), want: [2]string{"no", "yes"}},
	{paths: "OnDemandCds.timeout", site: lackingByRoute, base: odcds("0.05s"), flip: odcds("3s"), probe: waits(func(w *world) { look("GET /; x-to: gone", "status")(w) }), want: [2]string{"no", "yes"}},
	{paths: "TcpProxy.OnDemand.timeout", site: func(piece string) string {
		return e2e.Bootstrap(tcpListener("stat_prefix: t, cluster: gone, on_demand: {odcds_config: {"+fromDelta+"}, timeout: "+piece+"}"), upCluster(), e2e.Cluster("nobody", 1))
	}, base: "0.05s", flip: "3s", probe: waits(func(w *world) {
		c, err := net.Dial("tcp", w.address())
		if err != nil {
			w.t.Fatal(err)
		}
		defer c.Close()
		io.Copy(io.Discard, c)
	}), want: [2]string{"no", "yes"}},
}

const fromDelta = "api_config_source: {api_type: DELTA_GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: nobody}}]}"

func odcds(timeout string) string {
	return "odcds: {source: {" + fromDelta + "}, timeout: " + timeout + "}"
}

const toGone = `routes: [{match: {prefix: /}, route: {cluster_header: x-to}%s}]`

func lacking(piece string) string {
	return e2e.WithFilters(e2e.Bootstrap(e2e.HTTPListener(fmt.Sprintf(toGone, "")), upCluster(), e2e.Cluster("nobody", 1)), e2e.Filter("x", "on_demand.v3.OnDemand", piece))
}

func lackingByRoute(piece string) string {
	return e2e.WithFilters(e2e.Bootstrap(e2e.HTTPListener(fmt.Sprintf(toGone, ", "+e2e.Override("x", "on_demand.v3.PerRouteConfig", piece))), upCluster(), e2e.Cluster("nobody", 1)), e2e.Filter("x", "on_demand.v3.OnDemand", ""))
}

// waits tells whether something takes long.
func waits(f func(*world)) func(*world) string {
	return func(w *world) string {
		w.t.Helper()
		if w.err != nil {
			w.t.Fatal(w.err)
		}
		w.watch()
		began := time.Now()
		if f(w); time.Since(began) < 3*time.Second {
			return "no"
		}
		return "yes"
	}
}
