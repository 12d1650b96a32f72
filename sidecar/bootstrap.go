package sidecar

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

type object = map[string]any

// Names of secrets: those that control planes have listeners ask for at the agent's socket, and whom the control plane is believed by.
const (
	secretOwn   = "default"
	secretRoots = "ROOTCA"
	secretPlane = "xds-roots"
)

// Names of the bootstrap's clusters, which control planes and people know.
const (
	clusterPlane   = "xds-grpc"
	clusterSecrets = "sds-grpc"
)

// socket is where the workload's secrets are told.
func (s *Settings) socket() string { return cmp.Or(s.Identity.Socket, identitySocket) }

// proves says whether the workload has an identity at all.
func (s *Settings) proves() bool {
	return s.Identity.Socket != "" || s.Identity.Files != "" || s.Identity.CA.Address != ""
}

// planeRoots is the file that says, as a secret, in which file they are whom the control plane is believed by: so they are followed.
func (s *Settings) planeRoots() string { return filepath.Join(s.ConfigPath, "xds-roots.json") }

// Bootstrap is the configuration that the proxy starts from, as Istio's agent writes it, in JSON. Of its static listeners there are none: Listen of sidecar/status answers there.
func (s *Settings) Bootstrap() ([]byte, error) {
	locality := strings.SplitN(s.locality+"//", "/", 4)
	ads := object{"ads": object{}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"}
	plane, err := s.plane()
	if err != nil {
		return nil, err
	}
	clusters := []object{s.local("prometheus_stats", s.AdminPort), s.local("agent", uint16(s.AgentPort)), s.pipe(clusterSecrets, s.socket()), plane}
	if s.node["credential"] != nil {
		clusters = append(clusters, s.pipe("sds-external", credentialsDoor))
	}
	boot := object{
		"node": object{
			"id":      fmt.Sprintf("%s~%s~%s.%s~%s", s.Role, s.Addresses[0], s.Name, s.Namespace, s.Domain),
			"cluster": s.service, "metadata": s.node,
			"locality": object{"region": locality[0], "zone": locality[1], "sub_zone": locality[2]},
		},
		"layered_runtime":      object{"layers": []object{{"name": "global config", "static_layer": s.runtime()}, {"name": "admin", "admin_layer": object{}}}},
		"stats_config":         s.statistics(),
		"admin":                object{"address": address(s.loopback(), s.AdminPort), "profile_path": "./var/lib/istio/data/envoy.prof"},
		"dynamic_resources":    object{"lds_config": ads, "cds_config": ads, "ads_config": object{"api_type": "DELTA_GRPC", "set_node_on_first_message_only": true, "transport_api_version": "V3", "grpc_services": []object{{"envoy_grpc": object{"cluster_name": clusterPlane}}}}},
		"cluster_manager":      object{"outlier_detection": object{"event_log_path": "/dev/stdout"}},
		"static_resources":     object{"clusters": clusters},
		"stats_flush_interval": "10s",
	}
	return json.Marshal(boot)
}

// plane is the cluster of the control plane.
func (s *Settings) plane() (object, error) {
	host, text, err := net.SplitHostPort(s.Discovery.Address)
	if err != nil {
		return nil, fmt.Errorf("the control plane's address %q: want HOST:PORT", s.Discovery.Address)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("the control plane's address %q: want a number as its port", s.Discovery.Address)
	}
	most := object{"max_connections": 100000, "max_pending_requests": 100000, "max_requests": 100000}
	c := object{
		"name": clusterPlane, "alt_stat_name": clusterPlane + ";", "connect_timeout": "5s",
		"circuit_breakers":                 object{"thresholds": []object{merged(most, "priority", "DEFAULT"), merged(most, "priority", "HIGH")}},
		"upstream_connection_options":      object{"tcp_keepalive": object{"keepalive_time": 300}},
		"typed_extension_protocol_options": overHTTP2(object{"connection_keepalive": object{"interval": "30s", "timeout": "10s"}}),
		"load_assignment":                  assignment(clusterPlane, address(host, uint16(port))),
	}
	if _, err := netip.ParseAddr(host); err != nil {
		c["type"], c["respect_dns_ttl"], c["dns_refresh_rate"] = "STRICT_DNS", true, "30s"
	} else {
		c["type"] = "STATIC"
	}
	if s.Plain {
		return c, nil
	}
	is := object{"match_typed_subject_alt_names": []object{{"san_type": "DNS", "matcher": object{"exact": s.Discovery.Name}}}}
	tls := object{"alpn_protocols": []string{"h2"}}
	if s.Discovery.Roots == "" {
		is["system_root_certs"] = object{}
		tls["validation_context"] = is
	} else {
		tls["combined_validation_context"] = object{"default_validation_context": is, "validation_context_sds_secret_config": object{
			"name": secretPlane, "sds_config": object{"path_config_source": object{"path": s.planeRoots()}, "resource_api_version": "V3"}}}
	}
	if s.proves() {
		// Who has a token comes without, if the certificate is late; who has none would be turned away.
		wait := "10s"
		if s.Identity.Token != "" {
			wait = "1s"
		}
		tls["tls_certificate_sds_secret_configs"] = []object{{"name": secretOwn, "sds_config": object{"resource_api_version": "V3", "initial_fetch_timeout": wait, "api_config_source": object{
			"api_type": "GRPC", "set_node_on_first_message_only": true, "transport_api_version": "V3", "grpc_services": []object{{"envoy_grpc": object{"cluster_name": clusterSecrets}}}}}}}
	}
	c["transport_socket"] = object{"name": "envoy.transport_sockets.tls", "typed_config": typed("envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", object{"sni": s.Discovery.Name, "common_tls_context": tls})}
	return c, nil
}

// rootsSecret is what stands in planeRoots.
func (s *Settings) rootsSecret() ([]byte, error) {
	return json.Marshal(object{"resources": []object{typed("envoy.extensions.transport_sockets.tls.v3.Secret", object{
		"name": secretPlane, "validation_context": object{"trusted_ca": object{"filename": s.Discovery.Roots}}})}})
}

func (s *Settings) loopback() string {
	if strings.Contains(s.Addresses[0], ":") && !slices.ContainsFunc(s.Addresses, func(a string) bool { return !strings.Contains(a, ":") }) {
		return "::1"
	}
	return "127.0.0.1"
}

func (s *Settings) local(name string, port uint16) object {
	return object{"name": name, "alt_stat_name": name + ";", "type": "STATIC", "connect_timeout": "0.250s", "load_assignment": assignment(name, address(s.loopback(), port))}
}

func (s *Settings) pipe(name, path string) object {
	return object{"name": name, "alt_stat_name": name + ";", "type": "STATIC", "connect_timeout": "1s", "typed_extension_protocol_options": overHTTP2(object{}),
		"load_assignment": assignment(name, object{"pipe": object{"path": path}})}
}

// runtime are the values that Istio's agent sets, as far as anything here asks for them, and those of the ProxyConfig: an empty one unsets.
func (s *Settings) runtime() object {
	out := object{"envoy.reloadable_features.http_reject_path_with_fragment": false}
	for name, value := range s.proxy.RuntimeValues {
		switch value {
		case "":
			delete(out, name)
		case "true", "false":
			out[name] = value == "true"
		default:
			out[name] = value
		}
	}
	return out
}

// tags are the labels that Istio's bootstrap cuts out of the names of statistics.
var tags = [][2]string{
	{"cluster_name", `^cluster(\.(.+);)`},
	{"http_conn_manager_prefix", `^http\.(((?:[_.[:digit:]\w]*|[_\[\]aAbBcCdDeEfF[:digit:]\w\:]*));\.)`},
	{"tcp_prefix", `^tcp\.((.*?)\.)\w+?$`},
	{"response_code", `_rq(_(\d{3}))$`},
	{"response_code_class", `_rq(_(\dxx))$`},
	{"http_conn_manager_listener_prefix", `^listener(?=\.).*?\.http\.(((?:[_.[:digit:]]*|[_\[\]aAbBcCdDeEfF[:digit:]]*))\.)`},
	{"listener_address", `^listener\.(((?:[_.[:digit:]]*|[_\[\]aAbBcCdDeEfF[:digit:]]*))\.)`},
	{"mongo_prefix", `^mongo\.(.+?)\.(collection|cmd|cx_|op_|delays_|decoding_)(.*?)$`},
	{"component", `(component\.(.+?)\.)`},
	{"authz_enforce_result", `rbac(\.(allowed|denied))`},
}

// What of statistics is always shown: what dashboards, readiness and policies ask for, and what is counted of the sidecar itself.
var (
	shownPrefixes = []string{"reporter=", "cluster_manager", "listener_manager", "server", "cluster.xds-grpc", "wasm", "component", "istio", "identity", "control_plane", "status", "dns"}
	shownSuffixes = []string{"rbac.allowed", "rbac.denied", "shadow_allowed", "shadow_denied"}
	shownRegexps  = []string{`vhost\..*\.route\..*`}
)

// statistics is what is shown of them and how: Istio's, with what the ProxyConfig or an annotation adds.
func (s *Settings) statistics() object {
	said := func(annotation string, config, always []string) []string {
		if text := s.annotated["sidecar.istio.io/"+annotation]; text != "" {
			config = strings.Split(text, ",")
		}
		var all []string
		for _, one := range slices.Concat(config, always) {
			if !strings.Contains(one, "{pod_ip}") {
				all = append(all, one)
				continue
			}
			for _, ip := range s.Addresses {
				all = append(all, strings.ReplaceAll(one, "{pod_ip}", ip))
			}
		}
		return all
	}
	m := s.proxy.ProxyStatsMatcher
	var patterns []object
	for _, p := range said("statsInclusionPrefixes", m.InclusionPrefixes, shownPrefixes) {
		patterns = append(patterns, object{"prefix": p})
	}
	for _, p := range said("statsInclusionSuffixes", m.InclusionSuffixes, shownSuffixes) {
		patterns = append(patterns, object{"suffix": p})
	}
	for _, p := range said("statsInclusionRegexps", m.InclusionRegexps, shownRegexps) {
		patterns = append(patterns, object{"safe_regex": object{"regex": p}})
	}
	var named []object
	for _, t := range tags {
		named = append(named, object{"tag_name": t[0], "regex": t[1]})
	}
	extra := s.proxy.ExtraStatTags
	if text := s.annotated["sidecar.istio.io/extraStatTags"]; text != "" {
		extra = append(slices.Clip(extra), strings.Split(text, ",")...)
	}
	for _, name := range slices.Compact(slices.Sorted(slices.Values(extra))) {
		if name != "" {
			named = append(named, object{"tag_name": name, "regex": `(` + name + `\.=\.(.*?);\.)`})
		}
	}
	out := object{"use_all_default_tags": false, "stats_tags": named, "stats_matcher": object{"inclusion_list": object{"patterns": patterns}}}
	buckets := map[string][]float64{}
	if json.Unmarshal([]byte(s.annotated["sidecar.istio.io/statsHistogramBuckets"]), &buckets) == nil {
		var list []object
		for _, prefix := range slices.Sorted(maps.Keys(buckets)) {
			list = append(list, object{"match": object{"prefix": prefix}, "buckets": buckets[prefix]})
		}
		out["histogram_bucket_settings"] = list
	}
	return out
}

func address(host string, port uint16) object {
	return object{"socket_address": object{"address": host, "port_value": port}}
}

func assignment(name string, at object) object {
	return object{"cluster_name": name, "endpoints": []object{{"lb_endpoints": []object{{"endpoint": object{"address": at}}}}}}
}

func overHTTP2(options object) object {
	const of = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
	return object{of: typed(of, object{"explicit_http_config": object{"http2_protocol_options": options}})}
}

// typed is a message in an Any.
func typed(message string, m object) object {
	return merged(m, "@type", "type.googleapis.com/"+message)
}

func merged(m object, key string, value any) object {
	m = maps.Clone(m)
	m[key] = value
	return m
}
