package translate

import (
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/mesh"
)

// passes tells whether a proxy is a gateway that others send to by names of clusters: some door of it is AUTO_PASSTHROUGH.
func passes(m *mesh.Mesh, p *Proxy) bool {
	if p.Role != Gateway {
		return false
	}
	for _, o := range gatewaysOf(m, p) {
		for _, s := range o.Spec.(*networking.Gateway).GetServers() {
			if s.GetTls().GetMode() == networking.ServerTLSSettings_AUTO_PASSTHROUGH {
				return true
			}
		}
	}
	return false
}

// passed tells whether a service can be the one that somebody sends to by the name of a cluster: it is in the mesh, what serves it is known, and it has one name. Envoy refuses a listener with
// a chain for names with a wildcard that is not their first label, as one for "outbound_.443_._.*.local" would be.
func passed(svc *mesh.Service) bool {
	return !svc.External && !strings.HasPrefix(svc.Host, "*") && (svc.Resolution == mesh.Listed || svc.Resolution == mesh.Passthrough)
}

// passage is a cluster as mTLS from elsewhere is passed on to it: as it comes, since it ends at the workload.
func passage(c *clusterv3.Cluster, port uint32, subset, host string) *clusterv3.Cluster {
	c.Name = serverName(port, subset, host)
	c.AltStatName, c.EdsClusterConfig.ServiceName = c.Name+";", c.Name
	c.TransportSocket, c.TransportSocketMatches, c.TypedExtensionProtocolOptions = nil, nil, nil
	return c
}

// passages adds, for each service that is in the hosts of a door, what sends mTLS for its name on. Each has a chain of its own, and what names no service that there is
// is refused: who could name any cluster could reach what the door is not for.
func (w *gatewayWriter) passages(d *door, add func(*listenerv3.FilterChain)) {
	for i, svc := range w.scope.ruled.services {
		if !passed(svc) || !w.admits(d, svc) {
			continue
		}
		for _, port := range svc.Ports {
			if port.Protocol == mesh.UDP {
				continue
			}
			one := func(subset string) {
				name := serverName(port.Number, subset, svc.Host)
				add(&listenerv3.FilterChain{
					FilterChainMatch: &listenerv3.FilterChainMatch{TransportProtocol: "tls", ServerNames: []string{name},
						ApplicationProtocols: []string{alpnMesh, alpnExchange, alpnHTTP10, alpnHTTP11, alpnHTTP2}},
					Filters: w.k.guarded(d.server.GetPort().GetNumber(), &w.k.guards, w.k.tcpProxy(name)),
				})
			}
			one("")
			if rule := w.scope.ruled.rules[i]; rule != nil {
				for _, s := range rule.Spec.GetSubsets() {
					one(s.GetName())
				}
			}
		}
	}
}

// admits tells whether a service is in the hosts of a door.
func (w *gatewayWriter) admits(d *door, svc *mesh.Service) bool {
	for _, said := range d.server.GetHosts() {
		where, name, ok := strings.Cut(said, "/")
		if !ok {
			where, name = "*", said
		}
		if where == "." {
			where = d.object.Namespace
		}
		if (where == "*" || where == svc.Namespace) && covers(strings.ToLower(name), svc.Host) {
			return true
		}
	}
	return false
}
