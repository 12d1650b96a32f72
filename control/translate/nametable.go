package translate

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"weak"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/xds/server"
)

// namesName is what the one table of names is called. Istio's agents do not look at it.
const namesName = "names"

type namesKey struct {
	seen      ref[seen]
	allocated bool
	network   string // of the proxy, if some network is said
	endpoints *chain // of services that have no address of their own
}

// namesLayer is what the DNS beside a proxy answers with: the names of all that it sees.
type namesLayer struct {
	part *part
	of   *seen
}

func (t *Translator) namesLayer(m *mesh.Mesh, p *Proxy, s *scope) *namesLayer {
	seen := s.ruled.seen
	k := namesKey{seen: weak.Make(seen), allocated: p.Traits.Captured, network: s.place.network}
	for _, svc := range seen.services {
		if unaddressed(svc) {
			k.endpoints = t.chains.add(k.endpoints, m.Endpoints.Of(svc))
		}
	}
	return t.names.get(k, func() *namesLayer {
		w := nameTable{}
		for _, svc := range seen.services {
			w.add(seen, svc, m.Endpoints.Of(svc), &k, m.Settings.ClusterName(seen.cluster))
		}
		return &namesLayer{t.part(server.Names, []*server.Resource{t.resource(server.Names, namesName, w.bytes())}), seen}
	})
}

// unaddressed tells whether clients find a service by the addresses of its endpoints.
func unaddressed(svc *mesh.Service) bool {
	return svc.Resolution == mesh.Passthrough && len(svc.Addresses) == 0 && len(svc.Ports) > 0
}

// nameInfo is what is known of a name.
type nameInfo struct {
	addresses        []string
	kubernetes       bool
	short, namespace string // of Kubernetes' names alone: the DNS makes of them what else they are known by
}

// nameTable is names with what is known of them.
type nameTable map[string]*nameInfo

// add takes a service in. Of those that have no address, as Istio: the addresses of their endpoints, and each endpoint that has a host name by that: of several
// clusters' the one of its own cluster, home.
func (t nameTable) add(seen *seen, svc *mesh.Service, endpoints *mesh.Endpoints, k *namesKey, home string) {
	info := &nameInfo{kubernetes: svc.Kubernetes()}
	if info.kubernetes {
		info.short, info.namespace = svc.Name, svc.Namespace
	}
	addresses, _ := seen.addresses(svc)
	for _, said := range addresses {
		if a, ok := single(said); ok {
			info.addresses = append(info.addresses, a)
		}
	}
	if len(svc.Addresses) == 0 && k.allocated && svc.Allocated != "" {
		info.addresses = []string{svc.Allocated}
	}
	if unaddressed(svc) && len(endpoints.Ports) > 0 {
		short, domain, _ := strings.Cut(svc.Host, ".")
		own := map[string]bool{} // host names of endpoints at home
		for _, e := range endpoints.Ports[0] {
			own[e.Hostname] = own[e.Hostname] || e.Cluster == home
		}
		for _, e := range endpoints.Ports[0] {
			a, ok := single(e.Address)
			if !ok || e.Network != "" && k.network != "" && e.Network != k.network { // it is reached by a gateway, which no name leads to
				continue
			}
			info.addresses = append(info.addresses, a)
			if e.Hostname == "" || e.Cluster != home && own[e.Hostname] {
				continue
			}
			name := e.Hostname + "." + short
			one := t[name+"."+domain]
			if one == nil {
				one = &nameInfo{kubernetes: true, short: name, namespace: svc.Namespace}
				t[name+"."+domain] = one
			}
			one.addresses = append(one.addresses, a)
		}
	}
	if len(info.addresses) > 0 {
		t[svc.Host] = info
	}
}

// single is an address, which may be written as a prefix of one.
func single(text string) (string, bool) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Addr().String(), p.IsSingleIP()
	}
	a, err := netip.ParseAddr(text)
	return a.String(), err == nil && !a.IsUnspecified()
}

// Numbers of fields of istio.networking.nds.v1.NameTable and its NameInfo, and what registries are called there.
const (
	ofTableEntries  = 1
	ofEntryName     = 1
	ofEntryInfo     = 2
	ofInfoAddresses = 1
	ofInfoRegistry  = 2
	ofInfoShort     = 3
	ofInfoNamespace = 4
	registryOwn     = "Kubernetes"
	registryOthers  = "External"
)

// bytes is the table as a message, in the order of names.
func (t nameTable) bytes() (out []byte) {
	text := func(b []byte, number protowire.Number, s string) []byte {
		return protowire.AppendString(protowire.AppendTag(b, number, protowire.BytesType), s)
	}
	var info, entry []byte
	for _, name := range slices.Sorted(maps.Keys(t)) {
		one := t[name]
		info, entry = info[:0], entry[:0]
		for _, a := range one.addresses {
			info = text(info, ofInfoAddresses, a)
		}
		if one.kubernetes {
			info = text(text(text(info, ofInfoRegistry, registryOwn), ofInfoShort, one.short), ofInfoNamespace, one.namespace)
		} else {
			info = text(info, ofInfoRegistry, registryOthers)
		}
		entry = text(entry, ofEntryName, name)
		entry = protowire.AppendBytes(protowire.AppendTag(entry, ofEntryInfo, protowire.BytesType), info)
		out = protowire.AppendBytes(protowire.AppendTag(out, ofTableEntries, protowire.BytesType), entry)
	}
	return out
}
