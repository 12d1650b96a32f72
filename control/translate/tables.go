package translate

import (
	"net"
	"slices"
	"strings"
	"weak"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/xds/server"
)

// routeTraits are what routes depend on of a proxy and of the whole mesh.
type routeTraits struct {
	settings  *mesh.Settings
	namespace string
	domain    string
	labels    string // those of the proxy that are asked for
	allocated bool
	blocked   bool // hosts that nobody has named are
}

type routesKey struct {
	routeTraits
	byHost   bool
	ruled    ref[ruled]
	virtuals ref[virtuals]
}

// routeLayer is the tables of a proxy and, if it takes them one by one, their hosts.
type routeLayer struct {
	tables, hosts *part
	of            *scope
	made          []*host
	found         []*founds
	traits        *chain
}

// The fields of a RouteConfiguration that tables are written with, by number.
const (
	fieldTableName = 1
	fieldTableHost = 2
)

func (t *Translator) routeLayer(m *mesh.Mesh, p *Proxy, s *scope) *routeLayer {
	k := routeTraits{settings: m.Settings, namespace: p.Namespace, domain: p.Domain, labels: s.virtuals.labelsOf(p), allocated: p.Traits.Captured, blocked: blocks(m.Settings, s.sidecar)}
	return t.routes.get(routesKey{k, p.Traits.ByHost, weak.Make(s.ruled), weak.Make(s.virtuals)}, func() *routeLayer {
		layer := &routeLayer{of: s, traits: t.chains.add(nil, k)}
		w := &hostFinder{t: t, k: &k, traits: layer.traits, scope: s, proxy: p, layer: layer}
		var tables, singles []*server.Resource
		for _, port := range httpPorts(s.ruled.seen) {
			hosts := w.at(port)
			table := &tableWriter{name: portText(port), taken: make(map[string]bool, usualDomains*len(hosts)), hosts: make([]*host, 0, len(hosts)+1)}
			for _, h := range hosts {
				if h = table.untaken(h); h != nil {
					table.hosts = append(table.hosts, h)
				}
			}
			table.hosts = append(table.hosts, t.catchAll(k.blocked))
			layer.made = append(layer.made, table.hosts...)
			if p.Traits.ByHost {
				for _, h := range table.hosts {
					singles = append(singles, t.resource(server.VirtualHosts, table.name+"/"+h.name, h.body))
				}
				// Not even the one for all others is in the table: requests would be passed through until the others have come.
				table.hosts = nil
			}
			tables = append(tables, t.resource(server.Routes, table.name, table.bytes(p.Traits.ByHost)))
		}
		for i, svc := range s.ruled.services {
			for _, port := range svc.Ports {
				if port.Protocol != mesh.Unknown {
					continue
				}
				table := &tableWriter{name: detectedTable(svc.Host, port.Number), hosts: []*host{w.of(svc, s.ruled.rules[i], port.Number).withDomains([]string{"*"})}}
				tables = append(tables, t.resource(server.Routes, table.name, table.bytes(false)))
			}
		}
		layer.tables, layer.hosts = t.part(server.Routes, tables), t.part(server.VirtualHosts, singles)
		return layer
	})
}

// detectedTable is the name of the table of a port where the protocol has to be found out.
func detectedTable(host string, port uint32) string { return host + ":" + portText(port) }

// httpPorts are the ports where somebody serves requests, or may, in order.
func httpPorts(s *seen) []uint32 {
	has := map[uint32]bool{}
	for _, svc := range s.services {
		for _, p := range svc.Ports {
			if p.Protocol.IsHTTP() {
				has[p.Number] = true
			}
		}
	}
	ports := make([]uint32, 0, len(has))
	for p := range has {
		ports = append(ports, p)
	}
	slices.Sort(ports)
	return ports
}

// usualDomains is how many names most services have.
const usualDomains = 6

// at are the virtual hosts of a port, by name: of services, and of VirtualServices for hosts that are no services.
func (w *hostFinder) at(port uint32) (list []*host) {
	s := w.scope
	for i, svc := range s.ruled.services {
		if sp := svc.Port(port); sp != nil && (sp.Protocol.IsHTTP() || sp.Protocol == mesh.Unknown) {
			list = append(list, w.of(svc, s.ruled.rules[i], port))
		}
	}
	for _, v := range s.virtuals.list {
		if len(v.HTTP) == 0 {
			continue
		}
		here, elsewhere, others := false, false, []string(nil)
		for _, host := range v.Hosts {
			found := false
			for _, svc := range matching(s.ruled.seen, host) {
				if found = true; s.virtuals.find(svc.Host) != v {
					continue
				}
				for _, sp := range svc.Ports {
					if sp.Protocol.IsHTTP() || sp.Protocol == mesh.Unknown {
						here, elsewhere = here || sp.Number == port, elsewhere || sp.Number != port
					}
				}
			}
			if !found {
				others = append(others, host)
			}
		}
		// Without a service nobody says a port: then it is 80, as Istio has it.
		if len(others) == 0 || !here && (elsewhere || port != 80) {
			continue
		}
		for _, host := range others {
			if s.virtuals.find(host) == v {
				if h := w.named(v, host, port); h != nil {
					list = append(list, h)
				}
			}
		}
	}
	slices.SortStableFunc(list, func(a, b *host) int { return strings.Compare(a.name, b.name) })
	return list
}

// matching are the services of a host, or of all hosts in a wildcard.
func matching(s *seen, host string) []*mesh.Service {
	if !strings.HasPrefix(host, "*") {
		if svc := s.service(host); svc != nil {
			return []*mesh.Service{svc}
		}
		return nil
	}
	var list []*mesh.Service
	for _, svc := range s.services {
		if covers(host, svc.Host) {
			list = append(list, svc)
		}
	}
	return list
}

// tableWriter puts a table together.
type tableWriter struct {
	name  string
	hosts []*host
	taken map[string]bool // domains
}

// untaken gives a host without domains that others of the table have already; nil: it has no other.
func (w *tableWriter) untaken(h *host) *host {
	var rest []string // from the first that is taken on
	clash := false
	for i, d := range h.domains {
		switch {
		case w.taken[d] && !clash:
			clash, rest = true, slices.Clone(h.domains[:i])
		case w.taken[d]:
		default:
			if w.taken[d] = true; clash {
				rest = append(rest, d)
			}
		}
	}
	switch {
	case !clash:
		return h
	case len(rest) == 0:
		return nil
	}
	return h.withDomains(rest)
}

// bytes writes the table: its hosts are bytes already, and only they can be many. byHost: they come by themselves.
func (w *tableWriter) bytes(byHost bool) []byte {
	rest := &routev3.RouteConfiguration{ValidateClusters: wrapperspb.Bool(false), IgnorePortInHostMatching: true, MaxDirectResponseBodySizeBytes: u32(maxDirectBody)}
	if byHost {
		rest.Vhds = &routev3.Vhds{ConfigSource: fromStream()}
	}
	tail := encode(rest)
	size := len(w.name) + len(tail) + 16
	for _, h := range w.hosts {
		size += len(h.body) + 8
	}
	b := make([]byte, 0, size)
	b = protowire.AppendString(protowire.AppendTag(b, fieldTableName, protowire.BytesType), w.name)
	for _, h := range w.hosts {
		b = protowire.AppendBytes(protowire.AppendTag(b, fieldTableHost, protowire.BytesType), h.body)
	}
	return append(b, tail...)
}

// maxDirectBody is how many bytes a direct response may have: as many as Istio's validation lets it.
const maxDirectBody = 1 << 20

// blocks tells whether hosts that nobody has named are blocked.
func blocks(s *mesh.Settings, sidecar *source.Object) bool {
	if sidecar != nil {
		if policy := sidecar.Spec.(*networking.Sidecar).GetOutboundTrafficPolicy(); policy != nil {
			return policy.GetMode() == networking.OutboundTrafficPolicy_REGISTRY_ONLY
		}
	}
	return s.RegistryOnly
}

// catchAll is for hosts that nobody has named.
func (t *Translator) catchAll(blocked bool) *host {
	name := "allow_any"
	if blocked {
		name = "block_all"
	}
	return t.hosts.get(hostKey{name: name}, func() *host {
		v := &routev3.VirtualHost{Name: "allow_any", Domains: []string{"*"}, IncludeRequestAttemptCount: true, Routes: []*routev3.Route{{
			Name: "allow_any", Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
			Action: &routev3.Route_Route{Route: &routev3.RouteAction{
				ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: passthroughCluster}, Timeout: durationpb.New(0), MaxGrpcTimeout: durationpb.New(0), // as Istio's
			}},
		}}}
		if blocked {
			v.Name, v.Routes[0].Name = "block_all", "block_all"
			v.Routes[0].Action = &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: 502}}
		}
		return newHost(v)
	})
}

// domainsOf are the names that clients call a service by.
func domainsOf(k *routeTraits, svc *mesh.Service) []string {
	domains := []string{svc.Host}
	domains = append(domains, shorter(svc.Host, k.domain)...)
	if svc.Headless && svc.Kubernetes() {
		for _, d := range slices.Clone(domains) {
			domains = append(domains, "*."+d)
		}
	}
	for _, a := range svc.Addresses {
		if !strings.Contains(a, "/") {
			domains = append(domains, bracketed(a))
		}
	}
	if k.allocated && svc.Allocated != "" {
		domains = append(domains, svc.Allocated)
	}
	return domains
}

func bracketed(a string) string {
	if ip := net.ParseIP(a); ip != nil && ip.To4() == nil {
		return "[" + a + "]"
	}
	return a
}

// shorter are the other names of a host in a workload's domain: with a dot at its end, and what resolvers of that domain make longer. Of hosts that are
// not of Kubernetes none are made up in a domain of Kubernetes, where they could be somebody's.
func shorter(host, domain string) []string {
	if strings.Contains(host, "*") || net.ParseIP(host) != nil {
		return nil
	}
	names := []string{host + "."}
	if own, cluster, ok := strings.Cut(domain, ".svc."); ok {
		name, rest, _ := strings.Cut(host, ".")
		namespace, ok := strings.CutSuffix(rest, ".svc."+cluster)
		if !ok {
			return names
		}
		if namespace == own {
			names = append(names, name)
		}
		return append(names, name+"."+namespace+".svc", name+"."+namespace)
	}
	have, from := strings.Split(host, "."), strings.Split(domain, ".")
	n := 0 // labels at the end of both
	for n < len(have)-1 && n < len(from) && have[len(have)-1-n] == from[len(from)-1-n] {
		n++
	}
	if n == 0 {
		return names
	}
	own := len(have) - n
	if names = append(names, strings.Join(have[:own], ".")); own == 2 {
		names = append(names, strings.Join(have[:own+1], "."))
	}
	return names
}
