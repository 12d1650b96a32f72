package translate

import (
	"fmt"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/test/manifest"
	"github.com/weftmesh/weft/xds/server"
)

// TestWhatIsBeforeAGateway is about whom a gateway believes where a client is and who it is: its own ProxyConfig counts before the mesh's, and two gateways that differ in it are told two things.
func TestWhatIsBeforeAGateway(t *testing.T) {
	m, tr := mesh.New().With(manifest.Read(t, `kind: MeshConfig
metadata: {name: istio}
spec: {defaultConfig: {gatewayTopology: {numTrustedProxies: 1, forwardClientCertDetails: SANITIZE}}}
---
kind: Gateway
metadata: {name: door, namespace: shop}
spec: {selector: {app: door}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
`)), New()
	for _, c := range []struct{ config, want string }{
		{"{concurrency: 2}", "1 SANITIZE false"},
		{"{gatewayTopology: {}}", "1 SANITIZE false"},
		{"{gatewayTopology: {numTrustedProxies: 2}}", "2 SANITIZE_SET false"},
		{"{gatewayTopology: {proxyProtocol: {}, forwardClientCertDetails: ALWAYS_FORWARD_ONLY, later: 1}}", "0 ALWAYS_FORWARD_ONLY true"},
	} {
		r := tr.View(m, proxyOf(t, `{id: router~10.0.0.1~door.shop~b, metadata: {LABELS: {app: door}, PROXY_CONFIG: `+c.config+`}}`)).Find(server.Listeners, "0.0.0.0_80")
		l, manager := &listenerv3.Listener{}, &hcmv3.HttpConnectionManager{}
		if r == nil || proto.Unmarshal(r.Body, l) != nil {
			t.Fatal("no listener")
		}
		for _, f := range l.FilterChains[0].Filters {
			if f.GetTypedConfig().MessageIs(manager) && f.GetTypedConfig().UnmarshalTo(manager) != nil {
				t.Fatal("no connection manager")
			}
		}
		proxied := false
		for _, f := range l.ListenerFilters {
			proxied = proxied || f.Name == proxyProtocol().Name
		}
		if got := fmt.Sprintln(manager.XffNumTrustedHops, manager.ForwardClientCertDetails, proxied); got != c.want+"\n" {
			t.Errorf("%s: %s, want %s", c.config, got, c.want)
		}
	}
	for _, said := range []map[string]any{{"numTrustedProxies": -1}, {"forwardClientCertDetails": 9}} {
		meta, err := structpb.NewStruct(map[string]any{"PROXY_CONFIG": map[string]any{"gatewayTopology": said}})
		if err != nil {
			t.Fatal(err)
		}
		if p, err := ProxyOf(&corev3.Node{Id: "router~10.0.0.1~door.shop~b", Metadata: meta}); err == nil {
			t.Errorf("%v is taken: %q", said, p.Topology)
		}
	}
}
