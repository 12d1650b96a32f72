package translate

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"sigs.k8s.io/yaml"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
)

// TestMerge has what is set in a patch count, lists grow or be replaced, and what is one thing be taken whole.
func TestMerge(t *testing.T) {
	const typed = `"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy`
	for _, c := range []struct {
		name, is, patch string
		replacing       bool
		want            string
	}{
		{"a scalar", `{name: a, stat_prefix: s}`, `{stat_prefix: t}`, false, `{name: a, stat_prefix: t}`},
		{"a duration is one thing", `{listener_filters_timeout: 1.5s}`, `{listener_filters_timeout: 3s}`, false, `{listener_filters_timeout: 3s}`},
		{"a number that may be absent", `{per_connection_buffer_limit_bytes: 7}`, `{per_connection_buffer_limit_bytes: 0}`, false, `{per_connection_buffer_limit_bytes: 0}`},
		{"a list grows", `{filter_chains: [{name: a}]}`, `{filter_chains: [{name: b}]}`, false, `{filter_chains: [{name: a}, {name: b}]}`},
		{"a list is replaced", `{filter_chains: [{name: a}]}`, `{filter_chains: [{name: b}]}`, true, `{filter_chains: [{name: b}]}`},
		{"a message within", `{address: {socket_address: {address: 1.2.3.4, port_value: 1}}}`, `{address: {socket_address: {port_value: 2}}}`, false, `{address: {socket_address: {address: 1.2.3.4, port_value: 2}}}`},
		{"another of several", `{address: {pipe: {path: a}}}`, `{address: {socket_address: {address: 1.2.3.4}}}`, false, `{address: {socket_address: {address: 1.2.3.4}}}`},
		{"what is packed", `{udp_listener_config: {}, default_filter_chain: {transport_socket: {name: a, typed_config: {` + typed + `, cluster: c, stat_prefix: s}}}}`,
			`{default_filter_chain: {transport_socket: {typed_config: {` + typed + `, stat_prefix: t, idle_timeout: 1s}}}}`, false,
			`{udp_listener_config: {}, default_filter_chain: {transport_socket: {name: a, typed_config: {` + typed + `, cluster: c, stat_prefix: t, idle_timeout: 1s}}}}`},
		{"what is packed and of another type", `{default_filter_chain: {transport_socket: {name: a, typed_config: {` + typed + `, cluster: c}}}}`,
			`{default_filter_chain: {transport_socket: {typed_config: {"@type": type.googleapis.com/envoy.config.listener.v3.Filter, name: f}}}}`, false,
			`{default_filter_chain: {transport_socket: {name: a, typed_config: {"@type": type.googleapis.com/envoy.config.listener.v3.Filter, name: f}}}}`},
		{"a mapping", `{metadata: {filter_metadata: {a: {x: 1}, b: {y: 1}}}}`, `{metadata: {filter_metadata: {a: {z: 2}, c: {}}}}`, false, `{metadata: {filter_metadata: {a: {z: 2}, b: {y: 1}, c: {}}}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			read := func(text string) *listenerv3.Listener {
				js, err := yaml.YAMLToJSON([]byte(text))
				l := &listenerv3.Listener{}
				if err == nil {
					err = protojson.Unmarshal(js, l)
				}
				if err != nil {
					t.Fatal(err)
				}
				return l
			}
			is, patch, want := read(c.is), read(c.patch), read(c.want)
			before := proto.Clone(patch)
			merge(is.ProtoReflect(), patch.ProtoReflect(), c.replacing)
			if d := cmp.Diff(want, is, protocmp.Transform()); d != "" {
				t.Error(d)
			}
			if len(is.FilterChains) > 0 {
				is.FilterChains[len(is.FilterChains)-1].Name = "of the listener alone"
			}
			if !proto.Equal(before, patch) {
				t.Error("the patch is another than before")
			}
		})
	}
}
