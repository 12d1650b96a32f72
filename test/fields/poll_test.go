package fields

import (
	"fmt"
	"testing"
	"time"

	"github.com/weftmesh/weft/test/e2e"
)

// pollTrials are about control planes that are asked by REST.
var pollTrials = []trial{
	{paths: "ApiConfigSource.api_type=REST", site: polled, base: "api_type: GRPC, grpc_services: [{envoy_grpc: {cluster_name: nobody}}]", flip: "api_type: REST, cluster_names: [up], " + eachTenth, up: restPlane, probe: toldOf, want: [2]string{"0", "1"}},
	{paths: "ApiConfigSource.cluster_names", site: polled, base: "api_type: REST, cluster_names: [nobody], " + eachTenth, flip: "api_type: REST, cluster_names: [up], " + eachTenth, up: restPlane, probe: toldOf, want: [2]string{"0", "1"}},
	{paths: "ApiConfigSource.refresh_delay", site: polled, base: "api_type: REST, cluster_names: [up], refresh_delay: 600s", flip: "api_type: REST, cluster_names: [up], refresh_delay: 0.01s", up: restPlane, probe: func(w *world) string {
		w.watch()
		w.eventually("an answer", func() bool { return len(w.Addresses()) > 0 })
		return comesSoon(func() bool { return len(w.up.Heads()) > 2 })
	}, want: [2]string{"no", "yes"}},
	{paths: "ApiConfigSource.request_timeout", site: polled, base: "api_type: REST, cluster_names: [up], refresh_delay: 600s, request_timeout: 600s", flip: "api_type: REST, cluster_names: [up], refresh_delay: 600s, request_timeout: 0.01s", up: neverAnswers, probe: func(w *world) string {
		w.watch()
		return comesSoon(func() bool { return w.stat("listener_manager.lds.update_failure") > 0 })
	}, want: [2]string{"no", "yes"}},
}

const eachTenth = "refresh_delay: 0.01s"

// polled is a bootstrap whose listeners are asked for by REST.
func polled(piece string) string {
	return e2e.Bootstrap("  []", upCluster(), e2e.Cluster("nobody", 1)) +
		"\ndynamic_resources: {lds_config: {api_config_source: {transport_api_version: V3, " + piece + "}}}"
}

// toldOf is how many listeners there are when the control plane has answered, or has not.
func toldOf(w *world) string {
	w.watch()
	w.eventually("an answer, or none", func() bool { return len(w.Addresses()) > 0 || w.stat("listener_manager.lds.update_failure") > 0 })
	return fmt.Sprint(len(w.Addresses()))
}

// comesSoon says whether something comes about within a moment.
func comesSoon(f func() bool) string {
	for end := time.Now().Add(moment); time.Now().Before(end); <-time.After(time.Millisecond) {
		if f() {
			return "yes"
		}
	}
	return "no"
}

// restPlane is a control plane that knows one listener.
func restPlane(t testing.TB) *e2e.Upstream {
	const body = `{"version_info": "1", "resources": [{"@type": "type.googleapis.com/envoy.config.listener.v3.Listener", "name": "l", "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}, "filter_chains": [{"filters": [{"name": "e", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo"}}]}]}]}`
	return answers(t, 200, "", body)
}

// neverAnswers is an upstream that reads and never answers.
func neverAnswers(t testing.TB) *e2e.Upstream {
	return e2e.Serve(t, func(_ *e2e.Upstream, c *e2e.Conn) { c.Rest() })
}
