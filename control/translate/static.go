package translate

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/xds/server"
)

type staticKey struct {
	settings *mesh.Settings
	role     Role
	ipv6     bool
}

// staticLayer is the clusters that proxies have whatever is in the mesh.
type staticLayer struct{ clusters *part }

func (t *Translator) static(m *mesh.Mesh, p *Proxy) *staticLayer {
	return t.statics.get(staticKey{m.Settings, p.Role, p.Traits.IPv6}, func() *staticLayer {
		all := []*server.Resource{t.message(server.Clusters, blackHoleCluster, &clusterv3.Cluster{
			Name: blackHoleCluster, ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}, ConnectTimeout: durationpb.New(m.Settings.ConnectTimeout),
		})}
		if p.Role == Sidecar {
			in := original(m.Settings, inboundPassthroughCluster, mesh.Unknown)
			in.UpstreamBindConfig = localBind(p.Traits.IPv6)
			all = append(all, t.message(server.Clusters, inboundPassthroughCluster, in), t.message(server.Clusters, passthroughCluster, original(m.Settings, passthroughCluster, mesh.Unknown)))
		}
		return &staticLayer{t.part(server.Clusters, all)}
	})
}

// original is a cluster of whoever was meant.
func original(s *mesh.Settings, name string, protocol mesh.Protocol) *clusterv3.Cluster {
	c := &clusterv3.Cluster{
		Name: name, AltStatName: name + ";", ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_ORIGINAL_DST}, LbPolicy: clusterv3.Cluster_CLUSTER_PROVIDED,
		ConnectTimeout:  durationpb.New(s.ConnectTimeout),
		CircuitBreakers: &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{unlimited()}},
	}
	o := &httpv3.HttpProtocolOptions{}
	switch {
	case protocol.IsHTTP2():
		useHTTP2(o)
	case protocol == mesh.Unknown:
		useDownstream(o)
	}
	setOptions(c, o)
	return c
}

// localBind has what a proxy sends to its own workload come from an address that is not redirected to it again.
func localBind(ipv6 bool) *corev3.BindConfig {
	address := "127.0.0.6"
	if ipv6 {
		address = "::6"
	}
	return &corev3.BindConfig{SourceAddress: &corev3.SocketAddress{Address: address, PortSpecifier: &corev3.SocketAddress_PortValue{}}}
}
