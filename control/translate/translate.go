package translate

import (
	"encoding/binary"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/xds/server"
)

// Translator makes views and remembers the pieces that they are made of by all that goes into them. It is not safe for concurrent use.
type Translator struct {
	last *mesh.Mesh // that was looked at

	resources memo[resourceKey, server.Resource]
	parts     memo[partKey, part]
	chains    chains

	seens     memo[seenKey, seen]
	virtuals  memo[virtualsKey, virtuals]
	ruleds    memo[ruledKey, ruled]
	clusters  memo[clustersKey, clusterLayer]
	serviceCl memo[serviceClustersKey, pieces]
	endpoints memo[endpointsKey, endpointLayer]
	serviceEP memo[serviceEndpointsKey, pieces]
	listeners memo[listenersKey, listenerLayer]
	ageds     memo[agedKey, aged]
	tcps      memo[tcpListenerKey, server.Resource]
	wilds     memo[wildListenerKey, server.Resource]
	routes    memo[routesKey, routeLayer]
	hosts     memo[hostKey, host]
	inbounds  memo[inboundKey, inbound]
	statics   memo[staticKey, staticLayer]
	views     memo[viewKey, view]
}

// New makes a translator that remembers nothing yet.
func New() *Translator { return &Translator{} }

// pieces are the resources that one thing is told as.
type pieces struct{ resources []*server.Resource }

// view is a server.View and what it is made of, which is remembered as long as somebody has the view: whoever has a pointer into it has all of it.
type view struct {
	server.View
	key viewKey
}

type viewKey struct {
	static    *staticLayer
	clusters  *clusterLayer
	endpoints *endpointLayer
	listeners *listenerLayer
	routes    *routeLayer
	inbound   *inbound
}

// sweep forgets what was made of whole indexes and let go since: they are large, and each change makes another one.
func (t *Translator) sweep() {
	t.seens.sweep()
	t.ageds.sweep()
	t.virtuals.sweep()
	t.ruleds.sweep()
	t.clusters.sweep()
	t.endpoints.sweep()
	t.listeners.sweep()
	t.routes.sweep()
	t.views.sweep()
}

// View is what a proxy is to be told of a mesh.
func (t *Translator) View(m *mesh.Mesh, p *Proxy) *server.View {
	if m != t.last {
		t.last = m
		t.sweep()
	}
	k := viewKey{static: t.static(m, p)}
	switch p.Role {
	case Sidecar:
		s := t.scope(m, p)
		k.clusters, k.endpoints, k.listeners, k.routes = t.clusterLayer(m, p, s), t.endpointLayer(m, p, s), t.listenerLayer(m, p, s), t.routeLayer(m, p, s)
		k.inbound = t.inbound(m, p)
	}
	return &t.views.get(k, func() *view {
		v := &view{key: k}
		add := func(parts ...*part) {
			for _, p := range parts {
				if p != nil && len(p.Resources) > 0 {
					v.Parts = append(v.Parts, &p.Part)
				}
			}
		}
		add(k.static.clusters)
		if k.clusters != nil {
			add(k.clusters.part, k.endpoints.part, k.listeners.part, k.routes.tables, k.routes.hosts, k.inbound.clusters, k.inbound.listeners)
		}
		slices.SortStableFunc(v.Parts, func(a, b *server.Part) int { return int(a.Kind) - int(b.Kind) })
		d := xxhash.New()
		for _, p := range v.Parts {
			for _, r := range p.Resources {
				d.WriteString(r.Version)
			}
		}
		v.Version = version(binary.BigEndian.AppendUint64(nil, d.Sum64()))
		return v
	}).View
}
