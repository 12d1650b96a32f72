package translate

import (
	"weak"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/xds/server"
)

// A client of gRPC's own (xds:///HOST:PORT) asks for a listener of that name, for the table that it names, and so on. It reads little of what a proxy does, and
// refuses what it cannot do (gRFC A27, A28, A31). So it is told what a sidecar's namespace sees in as few words as there are.

type proxylessKey struct {
	routeTraits
	ruled     ref[ruled]
	virtuals  ref[virtuals]
	endpoints ref[mesh.Steady]
}

// proxyless is what such a client is told beside endpoints.
type proxyless struct {
	clusters, listeners, tables *part
	routes                      *routeLayer // holds what tables are made of
	of                          *ruled
}

func (t *Translator) proxyless(m *mesh.Mesh, p *Proxy, s *scope) *proxyless {
	k := routeTraits{settings: m.Settings, namespace: p.Namespace, domain: p.Domain, labels: s.virtuals.labelsOf(p)}
	return t.proxylesses.get(proxylessKey{k, weak.Make(s.ruled), weak.Make(s.virtuals), weak.Make(m.Endpoints.Steady)}, func() *proxyless {
		layer := &proxyless{routes: &routeLayer{of: s, traits: t.chains.add(nil, k)}, of: s.ruled}
		w := &hostFinder{t: t, k: &k, traits: layer.routes.traits, scope: s, proxy: p, layer: layer.routes}
		var clusters, listeners, tables []*server.Resource
		for i, svc := range s.ruled.services {
			rule := s.ruled.rules[i]
			key := serviceClustersKey{clusterTraits: clusterTraits{settings: m.Settings, identity: NoIdentity}, service: svc, rule: rule}
			for at, port := range svc.Ports {
				if svc.Resolution != mesh.Listed || !port.Protocol.IsHTTP() && port.Protocol != mesh.Unknown {
					continue
				}
				subsets := []*networking.Subset{nil}
				if rule != nil {
					subsets = append(subsets, rule.Spec.GetSubsets()...)
				}
				for _, subset := range subsets {
					if c := plainCluster(key.cluster(at, subset, m.Endpoints.Of(svc))); c != nil {
						clusters = append(clusters, t.message(server.Clusters, c.Name, c))
					}
				}
				name := detectedTable(svc.Host, port.Number)
				h := w.of(svc, rule, port.Number).withDomains([]string{"*"})
				layer.routes.made = append(layer.routes.made, h)
				table := &tableWriter{name: name, hosts: []*host{h}}
				listeners = append(listeners, t.message(server.Listeners, name, apiListener(name)))
				tables = append(tables, t.resource(server.Routes, name, table.bytes(false)))
			}
		}
		layer.clusters, layer.listeners, layer.tables = t.part(server.Clusters, clusters), t.part(server.Listeners, listeners), t.part(server.Routes, tables)
		return layer
	})
}

// plainCluster is what such a client runs of a cluster; nil: it would not be what its rule asks for. Its certificates are its own, so that a rule that
// asks for TLS has it told nothing rather than send in plain text.
func plainCluster(c *clusterv3.Cluster) *clusterv3.Cluster {
	if c == nil || c.TransportSocket != nil {
		return nil
	}
	out := &clusterv3.Cluster{Name: c.Name, ClusterDiscoveryType: c.ClusterDiscoveryType, EdsClusterConfig: c.EdsClusterConfig, CircuitBreakers: c.CircuitBreakers, OutlierDetection: c.OutlierDetection}
	if c.LbPolicy == clusterv3.Cluster_RING_HASH {
		out.LbPolicy, out.LbConfig = c.LbPolicy, c.LbConfig
	}
	return out
}

// apiListener leads to the table of its name.
func apiListener(name string) *listenerv3.Listener {
	return &listenerv3.Listener{Name: name, ApiListener: &listenerv3.ApiListener{ApiListener: wrap(&hcmv3.HttpConnectionManager{
		RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{ConfigSource: fromStream(), RouteConfigName: name}},
		HttpFilters:    []*hcmv3.HttpFilter{httpFilter("envoy.filters.http.router", &routerv3.Router{})},
	})}}
}
