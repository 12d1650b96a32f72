package fields

import (
	"fmt"

	"github.com/weftmesh/weft/test/e2e"
)

// discoveredTrials are about what comes by itself.
var discoveredTrials = []trial{
	{paths: "ExtensionConfigSource.config_source", site: discovered, base: faultsOnly + fromFile("a"), flip: faultsOnly + fromFile("b"), files: abortsInFiles, probe: look("GET /", "status"), want: [2]string{"418", "419"}},
	{paths: "ExtensionConfigSource.type_urls", site: discovered, base: faultsOnly + fromFile("a"), flip: "type_urls: [type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer], " + fromFile("a"), files: abortsInFiles, probe: served, want: [2]string{"true", "false"}},
	{paths: "ExtensionConfigSource.default_config", site: discovered, base: faultsOnly + fromNobody + "apply_default_config_without_warming: true, default_config: " + aborting(418), flip: faultsOnly + fromNobody + "apply_default_config_without_warming: true, default_config: " + aborting(419), probe: look("GET /", "status"), want: [2]string{"418", "419"}},
	{paths: "ExtensionConfigSource.apply_default_config_without_warming", site: discovered, base: faultsOnly + fromNobody + "default_config: " + aborting(418), flip: faultsOnly + fromNobody + "apply_default_config_without_warming: true, default_config: " + aborting(418), probe: func(w *world) string {
		if w.err != nil {
			w.t.Fatal(w.err)
		}
		return fmt.Sprint(len(w.Addresses()))
	}, want: [2]string{"0", "1"}},
	{paths: "RtdsLayer.rtds_config", process: true, site: layer, base: "name: a, rtds_layer: {name: live, rtds_config: {" + file + "a.yaml\"}}}", flip: "name: a, rtds_layer: {name: live, rtds_config: {" + file + "b.yaml\"}}}", files: layersInFiles, probe: met, want: [2]string{"418", "200"}},
	{paths: "RtdsLayer.name", process: true, site: layer, base: "name: a, rtds_layer: {name: live, rtds_config: {" + file + "a.yaml\"}}}", flip: "name: a, rtds_layer: {name: other, rtds_config: {" + file + "a.yaml\"}}}", files: layersInFiles, probe: met, want: [2]string{"418", "200"}},
}

// discovered is a chain with a filter whose configuration comes by itself.
func discovered(piece string) string {
	return e2e.WithFilters(e2e.Bootstrap(e2e.HTTPListener(all), upCluster(), e2e.Cluster("nobody", 1)), "- {name: x, config_discovery: {"+piece+"}}")
}

const (
	faultsOnly = "type_urls: [type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault], "
	fromNobody = "config_source: {initial_fetch_timeout: 0s, api_config_source: {api_type: GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: nobody}}]}}, "
)

func fromFile(name string) string { return "config_source: {" + file + name + ".yaml\"}}" }

func aborting(status int) string {
	return fmt.Sprintf(`{"@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault, abort: {http_status: %d, percentage: {numerator: 100}}}`, status)
}

var abortsInFiles = map[string]string{"a.yaml": inFile(418), "b.yaml": inFile(419)}

func inFile(status int) string {
	return "resources:\n- {\"@type\": type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig, name: x, typed_config: " + aborting(status) + "}"
}

var layersInFiles = map[string]string{
	"a.yaml": "resources:\n- {\"@type\": type.googleapis.com/envoy.service.runtime.v3.Runtime, name: live, layer: {k: 0}}\n- {\"@type\": type.googleapis.com/envoy.service.runtime.v3.Runtime, name: other, layer: {k: 100}}",
	"b.yaml": "resources:\n- {\"@type\": type.googleapis.com/envoy.service.runtime.v3.Runtime, name: live, layer: {k: 100}}",
}
