package translate

import (
	"encoding/binary"
	"slices"
	"weak"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/xds/server"
)

// Translator makes views and remembers the pieces that they are made of by all that goes into them. It is not safe for concurrent use.
type Translator struct {
	last    *mesh.Mesh // that was looked at
	commons map[kin]*common

	resources memo[resourceKey, server.Resource]
	parts     memo[partKey, part]
	chains    chains
	traces    memo[tracedKey, traced]
	meters    memo[string, metered]

	seens           memo[seenKey, seen]
	virtuals        memo[virtualsKey, virtuals]
	ruleds          memo[ruledKey, ruled]
	clusters        memo[clustersKey, clusterLayer]
	clusterPieces   memo[serviceClustersKey, pieces]
	endpoints       memo[endpointsKey, endpointLayer]
	endpointsBefore memo[endpointsBefore, endpointLayer]
	endpointPieces  memo[serviceEndpointsKey, pieces]
	listeners       memo[listenersKey, listenerLayer]
	ageds           memo[agedKey, aged]
	tcps            memo[tcpListenerKey, server.Resource]
	wilds           memo[wildListenerKey, server.Resource]
	founds          memo[foundKey, founds]
	routes          memo[routesKey, routeLayer]
	hosts           memo[hostKey, host]
	inbounds        memo[inboundKey, inbound]
	gateways        memo[gatewayKey, gateway]
	doorHosts       memo[doorHostKey, host]
	spaces          memo[spaceKey, space]
	statics         memo[staticKey, staticLayer]
	names           memo[namesKey, namesLayer]
	moduleLayers    memo[moduleKey, moduleLayer]
	patches         memo[patchesKey, patches]
	patcheds        memo[patchedKey, patched]
	views           memo[viewKey, view]

	proxylesses memo[proxylessKey, proxyless]

	patchedResources memo[patchedResourceKey, patchedResource]
}

// New makes a translator that remembers nothing yet.
func New() *Translator { return &Translator{} }

// pieces are the resources that one thing is told as.
type pieces struct{ resources []*server.Resource }

// view is a server.View and what it is made of, which is remembered as long as somebody has the view: whoever has a pointer into it has all of it.
type view struct {
	server.View
	layers
	credentials []string
	patched     []*patched
}

// layers are what a view is made of. Those that a proxy has no use for are nil.
type layers struct {
	static    *staticLayer
	clusters  *clusterLayer
	endpoints *endpointLayer
	listeners *listenerLayer
	routes    *routeLayer
	inbound   *inbound
	gateway   *gateway
	names     *namesLayer
	modules   *moduleLayer // nil: there are none
	proxyless *proxyless
	patches   *patches // nil: there are none
}

type viewKey struct {
	static    ref[staticLayer]
	clusters  ref[clusterLayer]
	endpoints ref[endpointLayer]
	listeners ref[listenerLayer]
	routes    ref[routeLayer]
	inbound   ref[inbound]
	gateway   ref[gateway]
	names     ref[namesLayer]
	modules   ref[moduleLayer]
	proxyless ref[proxyless]
	patches   ref[patches]
}

// sweep forgets what was made of whole indexes and let go since: they are large, and each change makes another one.
func (t *Translator) sweep() {
	t.seens.sweep()
	t.ageds.sweep()
	t.virtuals.sweep()
	t.ruleds.sweep()
	t.clusters.sweep()
	t.endpoints.sweep()
	t.endpointsBefore.sweep()
	t.listeners.sweep()
	t.routes.sweep()
	t.spaces.sweep()
	t.gateways.sweep()
	t.names.sweep()
	t.proxylesses.sweep()
	t.patcheds.sweep()
	t.views.sweep()
}

// View is what a proxy is to be told of a mesh.
func (t *Translator) View(m *mesh.Mesh, p *Proxy) *server.View {
	v, _ := t.Told(m, p)
	return v
}

// Told is View, with the names of the credentials that it has the proxy ask the control plane for, in order, which are not in it.
func (t *Translator) Told(m *mesh.Mesh, p *Proxy) (*server.View, []string) {
	v := t.view(m, p)
	return &v.View, v.credentials
}

// kin is what proxies are alike in that are told the same but for what they serve.
type kin struct {
	role                               Role
	namespace, account, domain, labels string
	locality                           mesh.Locality
	place                              whereabouts
	identity                           Identity
	version                            string
	cluster, mesh, service, tracing    string
	topology                           string
	traits                             Traits
}

// common is what is made for kin: its layers are all but inbound.
type common struct {
	scope   *scope
	serving connections // of what comes to sidecars
	layers
}

// commonOf finds it once for each mesh. To look all its layers up costs 20 µs for each of ten thousand proxies.
func (t *Translator) commonOf(m *mesh.Mesh, p *Proxy) *common {
	k := kin{p.Role, p.Namespace, p.Account, p.Domain, labelsText(p.Labels), p.Locality, placeOf(m, p), p.Identity, p.Version, p.Cluster, p.Mesh, p.Service, p.Tracing, p.Topology, p.Traits}
	if c := t.commons[k]; c != nil {
		return c
	}
	s := t.scope(m, p)
	c := &common{scope: s, layers: layers{endpoints: t.endpointLayer(m, p, s)}}
	if p.Traits.Proxyless {
		c.proxyless = t.proxyless(m, p, s)
	} else {
		c.static, c.clusters, c.patches = t.static(m, p), t.clusterLayer(m, p, s), t.patchesFor(m, p)
		if p.Traits.Captured { // which nobody else asks for
			c.names = t.namesLayer(m, p, s)
		}
		c.modules = t.modules(m, p, s)
		if p.Role == Sidecar {
			c.serving, c.listeners, c.routes = t.connections(m, p, s, true), t.listenerLayer(m, p, s), t.routeLayer(m, p, s)
		} else {
			c.gateway = t.gateway(m, p, s)
		}
	}
	if len(t.commons) >= maxKin { // proxies that come and go while nothing changes
		clear(t.commons)
	}
	t.commons[k] = c
	return c
}

// maxKin bounds for how many kinds of proxies what they have in common is kept.
const maxKin = 10_000

func (t *Translator) view(m *mesh.Mesh, p *Proxy) *view {
	if m != t.last {
		t.last, t.commons = m, map[kin]*common{}
		t.sweep()
	}
	c := t.commonOf(m, p)
	l := c.layers
	if p.Role == Sidecar && !p.Traits.Proxyless {
		l.inbound = t.inbound(m, p, c)
	}
	k := viewKey{weak.Make(l.static), weak.Make(l.clusters), weak.Make(l.endpoints), weak.Make(l.listeners), weak.Make(l.routes), weak.Make(l.inbound), weak.Make(l.gateway), weak.Make(l.names), weak.Make(l.modules), weak.Make(l.proxyless), weak.Make(l.patches)}
	return t.views.get(k, func() *view {
		v := &view{layers: l}
		var parts []*part
		if l.proxyless != nil {
			parts = []*part{l.proxyless.clusters, l.endpoints.part, l.proxyless.listeners, l.proxyless.tables}
		} else {
			v.credentials = l.credentials(p.Role)
			parts = []*part{l.static.clusters, l.clusters.part, l.endpoints.part}
			if p.Role == Sidecar {
				parts = append(parts, l.listeners.part, l.routes.tables, l.routes.hosts, l.inbound.clusters, l.inbound.listeners)
			} else {
				parts = append(parts, l.gateway.listeners, l.gateway.tables)
			}
			if l.modules != nil {
				parts = append(parts, l.modules.part)
			}
		}
		parts = slices.DeleteFunc(parts, func(p *part) bool { return p == nil })
		if l.patches != nil {
			v.patched = t.patch(p, l.patches, parts)
			parts = parts[:0]
			for _, one := range v.patched {
				parts = append(parts, one.part)
			}
		}
		if l.names != nil {
			parts = append(parts, l.names.part)
		}
		var sums []byte
		for _, one := range parts {
			if len(one.Resources) > 0 {
				v.Parts = append(v.Parts, &one.Part)
				sums = binary.BigEndian.AppendUint64(sums, one.sum)
			}
		}
		slices.SortStableFunc(v.Parts, func(a, b *server.Part) int { return int(a.Kind) - int(b.Kind) })
		v.Version = version(sums)
		return v
	})
}
