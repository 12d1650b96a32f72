package decode

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	udpav1 "github.com/cncf/xds/go/udpa/type/v1"
	xdsv3 "github.com/cncf/xds/go/xds/type/v3"
	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
)

func decoder() *Decoder { return New([]filters.Spec{fake}, Options{}) }

// TestDefaults holds the defaults against Envoy's.
func TestDefaults(t *testing.T) {
	l, err := decoder().Listener(parse(t, `
name: l
address: {socket_address: {address: 127.0.0.1, port_value: 80}}
filter_chains:
- filters:
  - name: h
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
      stat_prefix: s
      route_config: {virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: c}}]}]}
      http_filters: [{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
`, &listenerv3.Listener{}))
	if err != nil {
		t.Fatal(err)
	}
	if l.BufferLimit != 1<<20 || !l.ReusePort || l.Transparent || l.Freebind || l.KeepAlive != nil {
		t.Errorf("listener: %+v", l)
	}
	h := *l.Chains[0].HTTP
	routes := h.Routes
	h.Routes = nil
	want := config.HTTP{
		HTTP2: http2Defaults, StatPrefix: "s", AllowAbsoluteURL: true, MaxHeadBytes: 60 << 10, MaxHeaders: 100, IdleTimeout: time.Hour, StreamIdleTimeout: 5 * time.Minute,
		DrainTimeout: 5 * time.Second, DelayedCloseTimeout: time.Second, GenerateRequestID: true, PackTraceReason: true, ServerName: "envoy",
	}
	if d := cmp.Diff(want, h); d != "" {
		t.Error(d)
	}
	if f := routes.VirtualHosts[0].Routes[0].Forward; f.Timeout != 15*time.Second || f.IdleTimeout != nil || f.MaxStreamDuration != nil || f.MissingCluster != 503 {
		t.Errorf("route: %+v", f)
	}

	c, err := decoder().Cluster(&clusterv3.Cluster{Name: "c"})
	if err != nil {
		t.Fatal(err)
	}
	b := config.Breaker{MaxConnections: 1024, MaxPending: 1024, MaxRequests: 1024, MaxRetries: 3}
	wantCluster := &config.Cluster{
		Name: "c", StatName: "c", ChoiceCount: 2, ActiveBias: 1, Panic: 50, Hashing: config.Hashing{MinRing: 1024, MaxRing: 8 << 20, TableSize: 65537}, ConnectTimeout: 5 * time.Second, BufferLimit: 1 << 20,
		Breakers: [2]config.Breaker{b, b}, IdleTimeout: time.Hour, MaxHeaders: 100, MaxHeadBytes: 60 << 10, Protocol: config.Protocol{HTTP2: http2Defaults}, Static: &config.Assignment{Name: "c", Overprovisioning: 140},
	}
	if !sameConfig(wantCluster, c) {
		t.Errorf("cluster: %+v", c)
	}

	p, err := decoder().Listener(&listenerv3.Listener{Name: "l", Address: l1(t).Address, FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{tcpFilter(t)}}}})
	if err != nil {
		t.Fatal(err)
	}
	if tcp := p.Chains[0].TCP; tcp.IdleTimeout != time.Hour || tcp.MaxConnectAttempts != 1 || tcp.MaxDownstreamDuration != 0 || tcp.TotalWeight != 1 {
		t.Errorf("tcp: %+v", tcp)
	}
}

func l1(t testing.TB) *listenerv3.Listener {
	return parse(t, `{name: l, address: {socket_address: {address: 127.0.0.1, port_value: 80}}}`, &listenerv3.Listener{})
}

func tcpFilter(t testing.TB) *listenerv3.Filter {
	return &listenerv3.Filter{Name: "t", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: pack(t, &tcpv3.TcpProxy{
		StatPrefix: "t", ClusterSpecifier: &tcpv3.TcpProxy_Cluster{Cluster: "c"},
	})}}
}

func pack(t testing.TB, m proto.Message) *anypb.Any {
	t.Helper()
	a, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestProblems holds the text of errors, path and all.
func TestProblems(t *testing.T) {
	hcm := func(more string) string {
		return `
name: l
address: {socket_address: {address: 127.0.0.1, port_value: 80}}
filter_chains:
- filters:
  - name: h
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
      stat_prefix: s
      ` + more
	}
	const chain = "filter_chains[0].filters[0].typed_config(HttpConnectionManager)."
	router := `{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}`
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"everything at once", hcm(`codec_type: HTTP3
      stream_idle_timeout: -1s
      server_header_transformation: PASS_THROUGH
      tracing: {provider: {name: x}}
      route_config:
        virtual_hosts:
        - name: v
          domains: ["*", "*"]
          routes:
          - {match: {prefix: /, filter_state: [{key: k, address_match: {}}]}, route: {cluster: c, hash_policy: [{terminal: true}]}}
          - {match: {safe_regex: {regex: "("}}, route: {cluster: c}}
      http_filters: [` + router + `, ` + router + `]`), []string{
			chain + `codec_type: HTTP3: not supported yet: comes with HTTP/3`,
			chain + `route_config.virtual_hosts[0].routes[0].match.filter_state[0].address_match: not supported yet: what filters set is text here`,
			chain + `tracing.provider: not supported yet: comes with tracing`,
			chain + `route_config.virtual_hosts[0].routes[0].route.hash_policy[0].header|cookie|connection_properties|query_parameter|filter_state: value is required`,
			chain + `stream_idle_timeout: -1s is negative: want 0s or more`,
			chain + `route_config.virtual_hosts[0].domains[1]: "*" belongs to virtual_hosts[0] already`,
			chain + "route_config.virtual_hosts[0].routes[1].match.safe_regex.regex: not a pattern of RE2: error parsing regexp: missing closing ): `(`",
			chain + `http_filters[0]: the router ends the chain: it must be the last of the 2 filters`,
		}},
		{"two filters of a name", hcm(`route_config: {}
      http_filters: [{name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer, max_request_bytes: 1}}, {name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer, max_request_bytes: 2}}, ` + strings.Replace(router, "r,", "x,", 1) + `]`), []string{
			chain + `http_filters[2].name: http_filters[1] is called "x", too, and is of another kind: routes could not tell them apart`,
		}},
		{"type that is not run", hcm(`route_config: {}
      http_filters: [{name: x, typed_config: {"@type": type.googleapis.com/envoy.config.core.v3.Locality}}, ` + router + `]`), []string{
			chain + `http_filters[0].typed_config: envoy.config.core.v3.Locality is not supported here; there may be ` +
				`envoy.extensions.filters.http.buffer.v3.Buffer, envoy.extensions.filters.http.router.v3.Router`,
		}},
		{"filter that says no", hcm(`route_config: {}
      http_filters: [{name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer, max_request_bytes: 13}}, ` + router + `]`), []string{
			chain + `http_filters[0].typed_config(Buffer).max_request_bytes: want any other number`,
		}},
		{"override that changes nothing", hcm(`route_config: {virtual_hosts: [{name: v, domains: [d], typed_per_filter_config: {x: {"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig}}}]}
      http_filters: [` + router + `]`), []string{
			chain + `route_config.virtual_hosts[0].typed_per_filter_config["x"](FilterConfig).config: neither a configuration nor disabled: nothing would change`,
		}},
		{"exception to a refusal", "name: l\naddress: {pipe: {path: /a}}\nmetadata: {}\ninternal_listener: {}\ndeprecated_v1: {}\nfilter_chains: [{filters: []}]", []string{
			`internal_listener: not supported yet: comes with internal listeners`,
			`filter_chains[0].filters: a filter is missing: want one HttpConnectionManager or TcpProxy`,
		}},
		{"text that leaves its line", hcm(`http_protocol_options: {default_host_for_http_10: "a\r\nb"}
      route_config: {virtual_hosts: [{name: v, domains: [d], routes: [{match: {prefix: /}, redirect: {scheme_redirect: "a\nb", host_redirect: "c\nd"}}]}]}
      http_filters: [` + router + `]`), []string{
			chain + "route_config.virtual_hosts[0].routes[0].redirect.host_redirect: value does not match regex pattern \"^[^\\x00\\n\\r]*$\"",
			chain + `http_protocol_options.default_host_for_http_10: "a\r\nb" holds a control character`,
			chain + `route_config.virtual_hosts[0].routes[0].redirect.scheme_redirect: "a\nb" holds a control character`,
		}},
		{"empty chains", "name: l\naddress: {pipe: {path: /a}}\nfilter_chains: [{}]\ndefault_filter_chain: {}", []string{
			`filter_chains[0].filters: a filter is missing: want one HttpConnectionManager or TcpProxy`,
			`default_filter_chain.filters: a filter is missing: want one HttpConnectionManager or TcpProxy`,
		}},
		{"log of a server", hcm(`access_log: [{typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig, common_config: {log_name: l, grpc_service: {google_grpc: {target_uri: x, stat_prefix: x}}, buffer_size_bytes: 2000000, custom_tags: [{tag: a, value: "%DOWNSTREAM_TLS_NOBODY%"}, {tag: a, metadata: {metadata_key: {key: "b:c", path: [{key: d}]}}}]}}}]
      route_config: {}
      http_filters: [` + router + `]`), []string{
			chain + `access_log[0].typed_config(HttpGrpcAccessLogConfig).common_config.grpc_service.google_grpc: not supported: use envoy_grpc`,
			chain + `access_log[0].typed_config(HttpGrpcAccessLogConfig).common_config.grpc_service.envoy_grpc: is missing`,
			chain + `access_log[0].typed_config(HttpGrpcAccessLogConfig).common_config.buffer_size_bytes: 2000000: want at most 1048576`,
			chain + `access_log[0].typed_config(HttpGrpcAccessLogConfig).common_config.custom_tags[0].value: accesslog: DOWNSTREAM_TLS_NOBODY at byte 1: ` +
				`not an operator that is supported; the nearest that is supported is DOWNSTREAM_TLS_CIPHER`,
			chain + `access_log[0].typed_config(HttpGrpcAccessLogConfig).common_config.custom_tags[1].tag: "a": another one has this name`,
			chain + `access_log[0].typed_config(HttpGrpcAccessLogConfig).common_config.custom_tags[1].metadata.kind: is missing: want request, route, cluster or host`,
			chain + `access_log[0].typed_config(HttpGrpcAccessLogConfig).common_config.custom_tags[1].metadata.metadata_key: "b:c": a key with a colon or a parenthesis cannot be told from others`,
		}},
		{"log format", hcm(`access_log: [{typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog, log_format: {json_format: {a: {b: "%DOWNSTREAM_TLS_NOBODY%"}}}}}]
      route_config: {}
      http_filters: [` + router + `]`), []string{
			chain + `access_log[0].typed_config(StdoutAccessLog).log_format.json_format: accesslog: a.b: DOWNSTREAM_TLS_NOBODY at byte 1: ` +
				`not an operator that is supported; the nearest that is supported is DOWNSTREAM_TLS_CIPHER`,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := decoder().Listener(parse(t, c.text, &listenerv3.Listener{}))
			if err == nil {
				t.Fatal("accepted")
			}
			if d := cmp.Diff(c.want, strings.Split(err.Error(), "\n")); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestProblemsAreBounded says no more than fifty.
func TestProblemsAreBounded(t *testing.T) {
	m := &bootstrapv3.Bootstrap{StaticResources: &bootstrapv3.Bootstrap_StaticResources{}}
	for range 1000 {
		m.StaticResources.Clusters = append(m.StaticResources.Clusters, &clusterv3.Cluster{Name: "a"})
	}
	_, err := decoder().Bootstrap(m)
	if p, ok := err.(Problems); !ok || len(p) != maxProblems {
		t.Errorf("%T of %d", err, len(p))
	}
}

// TestUnknownFields refuses bytes that no field of the program reads, at any depth, unless they are allowed.
func TestUnknownFields(t *testing.T) {
	extra := protowire.AppendVarint(protowire.AppendTag(nil, 4000, protowire.VarintType), 1)
	filter := tcpFilter(t)
	filter.GetTypedConfig().Value = append(filter.GetTypedConfig().Value, extra...)
	l := l1(t)
	l.FilterChains = []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{filter}}}
	wire, err := proto.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	wire = append(wire, extra...)
	_, err = decoder().Wire("envoy.config.listener.v3.Listener", wire)
	want := []string{
		"unknown field number 4000 of Listener: it is newer than this program, or the bytes are broken",
		"filter_chains[0].filters[0].typed_config(TcpProxy): unknown field number 4000 of TcpProxy: it is newer than this program, or the bytes are broken",
	}
	if err == nil {
		t.Fatal("accepted")
	}
	if d := cmp.Diff(want, strings.Split(err.Error(), "\n")); d != "" {
		t.Error(d)
	}

	boot := &bootstrapv3.Bootstrap{}
	boot.ProtoReflect().SetUnknown(extra)
	if _, err := decoder().Bootstrap(proto.CloneOf(boot)); err == nil {
		t.Error("a bootstrap with an unknown field is accepted")
	}
	if _, err := New(nil, Options{AllowUnknownFields: true}).Bootstrap(boot); err != nil {
		t.Errorf("AllowUnknownFields: %v", err)
	}
}

// TestTypedStruct reads both spellings as the message that they name.
func TestTypedStruct(t *testing.T) {
	value, err := structpb.NewStruct(map[string]any{"stat_prefix": "t", "cluster": "c"})
	if err != nil {
		t.Fatal(err)
	}
	const url = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
	l := l1(t)
	l.FilterChains = []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{tcpFilter(t)}}}
	want, err := decoder().Listener(proto.CloneOf(l))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []proto.Message{&udpav1.TypedStruct{TypeUrl: url, Value: value}, &xdsv3.TypedStruct{TypeUrl: url, Value: value}} {
		l.FilterChains[0].Filters[0].ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: pack(t, m)}
		got, err := decoder().Listener(proto.CloneOf(l))
		if err != nil {
			t.Fatal(err)
		}
		if !sameConfig(want, got) {
			t.Errorf("%T: %+v", m, got.Chains[0].TCP)
		}
	}
	broken := pack(t, &xdsv3.TypedStruct{TypeUrl: url, Value: &structpb.Struct{Fields: map[string]*structpb.Value{"nobody": structpb.NewBoolValue(true)}}})
	l.FilterChains[0].Filters[0].ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: broken}
	_, err = decoder().Listener(l)
	if want := `filter_chains[0].filters[0].typed_config: not a TcpProxy: (line 1:2): unknown field "nobody"`; err == nil || err.Error() != want {
		t.Errorf("want %s, got %v", want, err)
	}
}

// TestHeaderMatch covers the older spellings of a condition.
func TestHeaderMatch(t *testing.T) {
	for text, want := range map[string]config.HeaderMatch{
		`{name: A}`:                                               {Name: "a", Present: true},
		`{name: a, present_match: true}`:                          {Name: "a", Present: true},
		`{name: a, present_match: false}`:                         {Name: "a", Present: true, Invert: true},
		`{name: a, present_match: false, invert_match: true}`:     {Name: "a", Present: true},
		`{name: a, exact_match: B}`:                               {Name: "a", String: config.StringMatch{Value: "B"}},
		`{name: a, string_match: {suffix: B, ignore_case: true}}`: {Name: "a", String: config.StringMatch{Kind: config.StringSuffix, Value: "b", IgnoreCase: true}},
		`{name: a, range_match: {start: -1, end: 1}}`:             {Name: "a", Range: &config.Int64Range{Start: -1, End: 1}},
	} {
		s := decoder().session()
		got := s.headerMatch(parse(t, text, &routev3.HeaderMatcher{}), nil)
		if d := cmp.Diff(want, got); d != "" || s.err() != nil {
			t.Errorf("%s: %s%v", text, d, s.err())
		}
	}
}

// TestRegex is about the whole of a string, and bounded.
func TestRegex(t *testing.T) {
	read := func(pattern string) (*session, *config.StringMatch) {
		s := decoder().session()
		m := parse(t, `{string_match: {safe_regex: {regex: ""}}, name: a}`, &routev3.HeaderMatcher{})
		m.GetStringMatch().GetSafeRegex().Regex = pattern
		c := s.headerMatch(m, nil)
		return s, &c.String
	}
	s, m := read("a|ab")
	if s.err() != nil || !m.Regex.MatchString("ab") || m.Regex.MatchString("abc") || m.Regex.MatchString("ab\n") || m.Regex.MatchString("xa") {
		t.Errorf("a|ab: %v %v", s.err(), m.Regex)
	}
	for pattern, want := range map[string]string{
		strings.Repeat("a", maxPattern+1): "string_match.safe_regex.regex: 16385 bytes: a pattern has at most 16384",
		"((a{100}){10}){50}":              "string_match.safe_regex.regex: not a pattern of RE2: error parsing regexp: invalid repeat count: `{50}`",
		"(?:a{1000}|b{1000}|c{1000}|d{1000}|e{1000}|f{1000}|g{1000}|h{1000}|i{1000}|j{1000}|k{1000}|l{1000}|m{1000}|n{1000}|o{1000}|p{1000}|q{1000}|r{1000}|s{1000}|t{1000}|u{1000})": "string_match.safe_regex.regex: compiles to 21024 instructions: a pattern has at most 20000",
		`a\C`: "string_match.safe_regex.regex: not a pattern of RE2: error parsing regexp: invalid escape sequence: `\\C`",
	} {
		if s, _ := read(pattern); s.err() == nil || s.err().Error() != want {
			t.Errorf("%.20q: want %s, got %v", pattern, want, s.err())
		}
	}
}

// TestHash is equal for equal resources, whatever the order of maps, at every depth, and different for different ones.
func TestHash(t *testing.T) {
	entries := map[string]*anypb.Any{}
	for _, k := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		entries[k] = pack(t, &routev3.FilterConfig{Disabled: true})
	}
	table := func(entries map[string]*anypb.Any, domain string) *listenerv3.Listener {
		l := parse(t, `
name: l
address: {socket_address: {address: 127.0.0.1, port_value: 80}}
filter_chains:
- filters:
  - name: h
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
      stat_prefix: s
      route_config: {virtual_hosts: [{name: v, domains: [d]}]}
      http_filters: [{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
`, &listenerv3.Listener{})
		a := l.FilterChains[0].Filters[0].GetTypedConfig()
		m, err := a.UnmarshalNew()
		if err != nil {
			t.Fatal(err)
		}
		type holder interface {
			GetRouteConfig() *routev3.RouteConfiguration
		}
		v := m.(holder).GetRouteConfig().VirtualHosts[0]
		v.TypedPerFilterConfig, v.Domains = entries, []string{domain}
		a.Value = shuffled(t, m)
		return l
	}
	first, err := decoder().Listener(table(entries, "d"))
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		again, err := decoder().Listener(table(maps.Clone(entries), "d"))
		if err != nil {
			t.Fatal(err)
		}
		if again.Hash != first.Hash || !slices.Equal(again.Raw, first.Raw) {
			t.Fatal("equal listeners have different hashes")
		}
	}
	unlike, err := decoder().Listener(table(entries, "e"))
	if err != nil {
		t.Fatal(err)
	}
	if unlike.Hash == first.Hash {
		t.Error("different listeners have equal hashes")
	}
}

// shuffled marshals with maps in any order.
func shuffled(t *testing.T, m proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: false}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestClusterHash is of everything but the endpoints.
func TestClusterHash(t *testing.T) {
	read := func(text string) *config.Cluster {
		c, err := decoder().Cluster(parse(t, text, &clusterv3.Cluster{}))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	const a = `{name: c, load_assignment: {cluster_name: c, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 1}}}}]}]}}`
	one, two := read(a), read(strings.Replace(a, "port_value: 1", "port_value: 2", 1))
	if one.Hash != two.Hash || bytes.Equal(one.Static.Raw, two.Static.Raw) {
		t.Error("endpoints belong to the assignment's hash and not to the cluster's")
	}
	if other := read(strings.Replace(a, "{name: c,", "{name: c, connect_timeout: 1s,", 1)); other.Hash == one.Hash || !bytes.Equal(other.Static.Raw, one.Static.Raw) {
		t.Error("the timeout belongs to the cluster's hash and not to the assignment's")
	}
}

// TestWire reads every kind of resource and gives back its canonical bytes.
func TestWire(t *testing.T) {
	for _, m := range []proto.Message{
		&clusterv3.Cluster{Name: "x"},
		&routev3.RouteConfiguration{Name: "x"},
		&endpointv3.ClusterLoadAssignment{ClusterName: "x"},
	} {
		wire, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		v, err := decoder().Wire(string(proto.MessageName(m)), wire)
		if err != nil {
			t.Fatal(err)
		}
		var name string
		var raw []byte
		switch v := v.(type) {
		case *config.Cluster:
			name, raw = v.Name, v.Raw
		case *config.RouteConfiguration:
			name, raw = v.Name, v.Raw
		case *config.Assignment:
			name, raw = v.Name, v.Raw
		}
		if name != "x" || !slices.Equal(raw, wire) {
			t.Errorf("%T: %q, %x", v, name, raw)
		}
	}
	for message, wire := range map[string][]byte{"envoy.config.cluster.v3.Cluster": {0xff}, "nobody": nil} {
		if v, err := decoder().Wire(message, wire); err == nil || v != nil {
			t.Errorf("%s: %v, %v", message, v, err)
		}
	}
}

// FuzzWire must not panic, whatever the bytes.
func FuzzWire(f *testing.F) {
	for _, m := range []proto.Message{
		&clusterv3.Cluster{Name: "x"},
		&listenerv3.Listener{FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{tcpFilter(f)}}}},
		parse(f, `{name: t, virtual_hosts: [{name: v, domains: [d], routes: [{match: {prefix: /}, route: {weighted_clusters: {clusters: [{name: a, weight: 1}]}}}]}]}`, &routev3.RouteConfiguration{}),
		parse(f, `{cluster_name: c, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 1}}}}]}]}`, &endpointv3.ClusterLoadAssignment{}),
	} {
		wire, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(proto.MessageName(m)), wire)
	}
	d := decoder()
	f.Fuzz(func(t *testing.T, message string, wire []byte) {
		v, err := d.Wire(message, wire)
		if (v == nil) == (err == nil) {
			t.Errorf("%v with %v", v, err)
		}
	})
}
