package fields

import (
	"fmt"

	"github.com/weftmesh/weft/test/e2e"
)

// scopeTrials are about connection managers that choose among tables.
var scopeTrials = []trial{
	{paths: "HeaderValueExtractor.name", site: extracted, base: "name: x-a, index: 0", flip: "name: x-b, index: 0", probe: look("GET /; x-a: red; x-b: blue", "status"), want: [2]string{"201", "202"}},
	{paths: "HeaderValueExtractor.index", site: extracted, base: `name: x-a, element_separator: ",", index: 0`, flip: `name: x-a, element_separator: ",", index: 1`, probe: look("GET /; x-a: red,blue", "status"), want: [2]string{"201", "202"}},
	{paths: "HeaderValueExtractor.element_separator", site: extracted, base: `name: x-a, element_separator: ",", index: 1`, flip: `name: x-a, element_separator: "|", index: 1`, probe: look("GET /; x-a: x,red,y|blue|z", "status"), want: [2]string{"201", "202"}},
	{paths: "HeaderValueExtractor.element", site: extracted, base: `name: x-a, element: {separator: "=", key: k}`, flip: "name: x-a, index: 0", probe: look("GET /; x-a: k=red", "status"), want: [2]string{"201", "404"}},
	{paths: "KvElement.separator", site: extracted, base: `name: x-a, element: {separator: "=", key: k}`, flip: `name: x-a, element: {separator: "-", key: k}`, probe: look("GET /; x-a: k=red", "status"), want: [2]string{"201", "404"}},
	{paths: "KvElement.key", site: extracted, base: `name: x-a, element_separator: ",", element: {separator: "=", key: k}`, flip: `name: x-a, element_separator: ",", element: {separator: "=", key: j}`, probe: look("GET /; x-a: k=red,j=blue", "status"), want: [2]string{"201", "202"}},
	{paths: "ScopedRouteConfiguration.name", site: scopesHere, base: oneScope("a", "red", itsOwn(201)) + ", " + oneScope("b", "blue", itsOwn(202)), flip: oneScope("a", "red", itsOwn(201)) + ", " + oneScope("a", "blue", itsOwn(202)), probe: served, want: [2]string{"true", "false"}},
	{paths: "Key.Fragment.string_key", site: scopesHere, base: oneScope("a", "red", itsOwn(201)), flip: oneScope("a", "blue", itsOwn(201)), probe: look("GET /; x-a: red", "status"), want: [2]string{"201", "404"}},
	{paths: "ScopedRouteConfiguration.route_configuration", site: scopesHere, base: oneScope("a", "red", itsOwn(201)), flip: oneScope("a", "red", "route_configuration_name: t"), files: tablesInFiles, probe: look("GET /; x-a: red", "status"), want: [2]string{"201", "203"}},
	{paths: "ScopedRouteConfiguration.route_configuration_name", site: scopesHere, base: oneScope("a", "red", "route_configuration_name: t"), flip: oneScope("a", "red", "route_configuration_name: u"), files: tablesInFiles, probe: look("GET /; x-a: red", "status"), want: [2]string{"203", "204"}},
	{paths: "ScopedRoutes.name", site: scopesAnywhere, base: "name: s, " + scopesFrom("a") + tablesFrom("t"), flip: "name: z, " + scopesFrom("a") + tablesFrom("t"), files: tablesInFiles, probe: look("GET /", "#http.in.scoped_rds.s.all_scopes"), want: [2]string{"1", "-1"}},
	{paths: "ScopedRoutes.rds_config_source", site: scopesAnywhere, base: "name: s, " + scopesFrom("a") + tablesFrom("t"), flip: "name: s, " + scopesFrom("a") + tablesFrom("v"), files: tablesInFiles, probe: look("GET /; x-a: red", "status"), want: [2]string{"203", "205"}},
	{paths: "ScopedRds.scoped_rds_config_source", site: scopesAnywhere, base: "name: s, " + scopesFrom("a") + tablesFrom("t"), flip: "name: s, " + scopesFrom("b") + tablesFrom("t"), files: tablesInFiles, probe: look("GET /; x-a: red", "status"), want: [2]string{"203", "204"}},
}

const byTenant = "scope_key_builder: {fragments: [{header_value_extractor: {name: x-a, index: 0}}]}, "

// scopesAnywhere is a listener with scoped_routes in which the piece stands.
func scopesAnywhere(piece string) string { return scopedListener(byTenant + piece) }

func scopedListener(routes string) string {
	return e2e.Bootstrap(`
- name: l
  address: {socket_address: {address: 127.0.0.1, port_value: 0}}
  filter_chains: [{filters: [{name: h, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: in,
    scoped_routes: {`+routes+`}, http_filters: [{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]}}]}]`, upCluster())
}

// scopesHere is one with these scopes of its own.
func scopesHere(piece string) string {
	return scopesAnywhere("name: s, " + tablesFrom("t") + "scoped_route_configurations_list: {scoped_route_configurations: [" + piece + "]}")
}

// extracted is one with two scopes, of which the piece says which a request means.
func extracted(piece string) string {
	return scopedListener("name: s, scope_key_builder: {fragments: [{header_value_extractor: {" + piece + "}}]}, scoped_route_configurations_list: {scoped_route_configurations: [" +
		oneScope("a", "red", itsOwn(201)) + ", " + oneScope("b", "blue", itsOwn(202)) + "]}")
}

func oneScope(name, key, routes string) string {
	return "{name: " + name + ", key: {fragments: [{string_key: " + key + "}]}, " + routes + "}"
}

func itsOwn(status int) string { return "route_configuration: " + answersBy("x", status) }

func answersBy(name string, status int) string {
	return fmt.Sprintf(`{name: %s, virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: %d}}]}]}`, name, status)
}

func scopesFrom(name string) string {
	return "scoped_rds: {scoped_rds_config_source: {" + file + name + ".yaml\"}}}, "
}

func tablesFrom(name string) string { return "rds_config_source: {" + file + name + ".yaml\"}}, " }

var tablesInFiles = map[string]string{
	"t.yaml": inTables(answersBy("t", 203), answersBy("u", 204)),
	"v.yaml": inTables(answersBy("t", 205)),
	"a.yaml": "resources:\n- {\"@type\": type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration, " + oneScope("a", "red", "route_configuration_name: t")[1:],
	"b.yaml": "resources:\n- {\"@type\": type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration, " + oneScope("a", "red", "route_configuration_name: u")[1:],
}

func inTables(list ...string) string {
	text := "resources:\n"
	for _, r := range list {
		text += "- {\"@type\": type.googleapis.com/envoy.config.route.v3.RouteConfiguration, " + r[1:] + "\n"
	}
	return text
}
