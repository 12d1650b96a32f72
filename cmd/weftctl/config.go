package main

import (
	"fmt"
	"os"
	"strings"
)

// routeName and statPrefix are part of the names of the counters that tell when a route file is in force.
const (
	routeName    = "hello"
	statPrefix   = "demo"
	listenerName = "hello"
)

// bootstrap is an Envoy bootstrap: one listener whose routes come from the watched file, two clusters. Listener and admin take ports
// that the kernel chooses, so that no port can be taken between choosing and binding it.
func bootstrap(routes string, v1, v2 int) string {
	return fmt.Sprintf(`node: {id: weft-demo, cluster: weft-demo}
admin:
  address:
    socket_address: {address: 127.0.0.1, port_value: 0}
static_resources:
  listeners:
  - name: %[1]s
    address:
      socket_address: {address: 127.0.0.1, port_value: 0}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: %[2]s
          rds:
            route_config_name: %[3]s
            config_source:
              path_config_source: {path: %[4]q}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
%[5]s%[6]s`, listenerName, statPrefix, routeName, routes, cluster("hello-v1", v1), cluster("hello-v2", v2))
}

func cluster(name string, port int) string {
	return fmt.Sprintf(`  - name: %[1]s
    type: STATIC
    connect_timeout: 1s
    load_assignment:
      cluster_name: %[1]s
      endpoints:
      - lb_endpoints:
        - endpoint:
            address:
              socket_address: {address: 127.0.0.1, port_value: %[2]d}
`, name, port)
}

// routeFile is an Envoy DiscoveryResponse with the one route configuration, as a watched file holds it.
func routeFile(version int, w weights) string {
	return fmt.Sprintf(`version_info: "%d"
resources:
- "@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration
  name: %s
  virtual_hosts:
  - name: hello
    domains: ["*"]
    routes:
    - match: {prefix: /}
      route:
%s`, version, routeName, indent("        ", snippet(w)))
}

// snippet is the part of the route file that a step changes.
func snippet(w weights) string {
	return fmt.Sprintf(`weighted_clusters:
  clusters:
  - {name: hello-v1, weight: %d}
  - {name: hello-v2, weight: %d}
`, w.v1, w.v2)
}

// indent puts prefix before each line of text.
func indent(prefix, text string) string {
	return prefix + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n"+prefix) + "\n"
}

// replace puts text at path in one step: a watcher sees the old file or the new one, never half of it.
func replace(path, text string) error {
	next := path + ".next"
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		return fmt.Errorf("demo: writing the route file: %w", err)
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("demo: putting the route file in place: %w", err)
	}
	return nil
}
