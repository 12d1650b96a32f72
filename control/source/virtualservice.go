package source

import (
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"
)

const meshGateway = "mesh" // all sidecars

func (c *checker) virtualService(v *networking.VirtualService) {
	var dubbo []DubboServiceRoute
	more, is := c.object.More.(*VirtualServiceMore)
	if is {
		dubbo = more.Dubbo
	}
	delegate := len(v.Hosts) == 0
	if delegate {
		if len(v.Gateways) > 0 {
			c.bad("gateways", "delegate virtual service must have no gateways specified")
		}
		if len(v.Tls) > 0 {
			c.bad("tls", "delegate virtual service must have no tls route specified")
		}
		if len(v.Tcp) > 0 {
			c.bad("tcp", "delegate virtual service must have no tcp route specified")
		}
		if len(dubbo) > 0 {
			c.bad("dubbo", "delegate virtual service must have no dubbo route specified")
		}
	}
	c.gatewayNames(v.Gateways)
	gateway := len(v.Gateways) > 0 && !slices.Contains(v.Gateways, meshGateway)
	c.virtualHosts(v, gateway)
	if len(v.Http) == 0 && len(v.Tcp) == 0 && len(v.Tls) == 0 && len(dubbo) == 0 {
		c.bad("", "http, tcp or tls must be provided in virtual service")
	}
	each(c, "http", v.Http, func(i int, r *networking.HTTPRoute) {
		c.httpRoute(r, delegate, gateway)
		c.dubboCalls(more.Calls(i), r)
	})
	each(c, "tls", v.Tls, func(_ int, r *networking.TLSRoute) {
		if len(r.Match) == 0 {
			c.bad("match", "TLS route must have at least one match condition")
		}
		each(c, "match", r.Match, func(_ int, m *networking.TLSMatchAttributes) {
			if len(m.SniHosts) == 0 {
				c.bad("sniHosts", "TLS match must have at least one SNI host")
			}
			each(c, "sniHosts", m.SniHosts, func(_ int, s string) { c.sniHost(s, v.Hosts, gateway) })
			c.l4Match(m.DestinationSubnets, m.Port, m.SourceLabels, m.Gateways, m.SourceNamespace)
		})
		c.destinations(r.Route)
	})
	each(c, "tcp", v.Tcp, func(_ int, r *networking.TCPRoute) {
		each(c, "match", r.Match, func(_ int, m *networking.L4MatchAttributes) {
			c.l4Match(m.DestinationSubnets, m.Port, m.SourceLabels, m.Gateways, m.SourceNamespace)
		})
		c.destinations(r.Route)
	})
	c.dubbo(dubbo)
	c.exportTo(v.ExportTo, false)
	unreachable(c, "http", v.Http)
	unreachable(c, "tls", v.Tls)
	unreachable(c, "tcp", v.Tcp)
}

// virtualHosts checks whom the requests are for.
func (c *checker) virtualHosts(v *networking.VirtualService, gateway bool) {
	sni := slices.ContainsFunc(v.Tls, func(t *networking.TLSRoute) bool {
		return slices.ContainsFunc(t.Match, func(m *networking.TLSMatchAttributes) bool { return len(m.SniHosts) > 0 })
	})
	good := true
	each(c, "hosts", v.Hosts, func(_ int, h string) {
		switch err := wildcardDomain(h); {
		case isAddress(h), gateway && sni && isAutomatic(h):
		case err != nil:
			c.fault("", err)
			good = false
		case h == "*" && !gateway:
			c.bad("", "wildcard host * is not allowed for virtual services bound to the mesh gateway")
			good = false
		}
	})
	if !good {
		return
	}
	const most = 100 // beyond which each with each is too much, and only the same one is found
	if len(v.Hosts) > most {
		seen := map[string]bool{}
		each(c, "hosts", v.Hosts, func(_ int, h string) {
			if seen[h] {
				c.bad("", "duplicate hosts in virtual service: %s", short(h))
			}
			seen[h] = true
		})
		return
	}
	each(c, "hosts", v.Hosts, func(i int, h string) {
		for _, other := range v.Hosts[:i] {
			if overlap(h, other) {
				c.bad("", "duplicate hosts in virtual service: %s & %s", short(other), short(h))
				return
			}
		}
	})
}

// isAutomatic says whether a host is of the form that gateways between networks match: outbound_.80_.v1_.a.b.
func isAutomatic(h string) bool {
	parts := strings.Split(h, "_")
	return len(parts) >= 4 && parts[0] == "outbound" && portText(strings.Trim(parts[1], ".")) == nil && fqdn(strings.Trim(parts[3], ".")) == nil
}

func (c *checker) sniHost(s string, hosts []string, gateway bool) {
	if err := wildcardDomain(s); err != nil && !(gateway && isAutomatic(s)) {
		if isAddress(s) {
			c.warn("", "using an IP address (%q) goes against SNI spec and most clients do not support this", s)
			return
		}
		c.fault("", err)
		return
	}
	if !slices.ContainsFunc(hosts, func(h string) bool { return within(s, h) }) {
		c.bad("", "SNI host %q is not a compatible subset of any of the virtual service hosts: [%s]", short(s), short(strings.Join(hosts, ", ")))
	}
}

func (c *checker) gatewayNames(list []string) {
	each(c, "gateways", list, func(_ int, g string) {
		namespace, name, scoped := strings.Cut(g, "/")
		switch {
		case !scoped:
			c.fault("", fqdn(g))
			if parts := strings.Split(g, "."); len(parts) > 1 {
				c.warn("", "using legacy gateway name %q; prefer %s/%s", short(g), short(parts[1]), short(parts[0]))
			}
		case namespace == "" || name == "":
			c.bad("", "namespace and name of a gateway cannot be empty")
		case !isLabel(namespace):
			c.bad("", "invalid value for namespace: %q", short(namespace))
		case !isLabel(name):
			c.bad("", "invalid value for gateway name: %q", short(name))
		}
	})
}

func (c *checker) l4Match(subnets []string, number uint32, labels map[string]string, gateways []string, namespace string) {
	each(c, "destinationSubnets", subnets, func(_ int, s string) { c.fault("", subnet(s)) })
	if number != 0 {
		c.fault("port", port(number))
	}
	c.labels("sourceLabels", labels)
	c.gatewayNames(gateways)
	if namespace != "" && !isLabel(namespace) {
		c.bad("sourceNamespace", "%q is no namespace", short(namespace))
	}
}

// weighted checks a destination with its weight and gives that.
func (c *checker) weighted(d *networking.Destination, weight int32) int64 {
	if d == nil {
		c.bad("destination", "destination is required")
	} else {
		c.at("destination")
		c.destination(d)
		c.up()
	}
	if weight < 0 {
		c.bad("weight", "weight %d < 0", weight)
	}
	return int64(weight)
}

// total checks the sum of weights, of which a proxy can use 32 bits.
func (c *checker) total(field string, count int, sum int64) {
	if count > 1 && sum == 0 {
		c.bad(field, "total destination weight = 0")
	}
	if sum > math.MaxUint32 {
		c.bad(field, "total destination weight %d is more than %d", sum, uint32(math.MaxUint32))
	}
}

func (c *checker) destinations(list []*networking.RouteDestination) {
	if len(list) == 0 {
		c.bad("route", "route is required")
	}
	total := int64(0)
	each(c, "route", list, func(_ int, d *networking.RouteDestination) { total += c.weighted(d.Destination, d.Weight) })
	c.total("route", len(list), total)
}

func (c *checker) destination(d *networking.Destination) {
	if d.Host == "*" {
		c.bad("host", "invalid destination host *")
	} else {
		c.fault("host", wildcardDomain(d.Host))
	}
	if d.Subset != "" && !isLabel(d.Subset) {
		if strings.HasPrefix(d.Subset, "$") {
			c.bad("subset", "%s is a variable of a TrafficLabel of ASM's, which are not run here yet", short(d.Subset))
		} else {
			c.bad("subset", "subset name is invalid: %s", short(d.Subset))
		}
	}
	if d.Port != nil {
		c.fault("port.number", port(d.Port.Number))
	}
}

// unreachable warns of rules that are never come to: after one without matches, or with the matches of one before.
func unreachable[M proto.Message, R interface{ GetMatch() []M }](c *checker, field string, routes []R) {
	all := -1
	seen := map[string]int{}
	each(c, field, routes, func(i int, r R) {
		if all >= 0 {
			c.warn("", "rule is not used: rule %d before it has no matches and takes everything", all)
			return
		}
		if len(r.GetMatch()) == 0 {
			all = i
			return
		}
		if len(routes) < 2 {
			return
		}
		each(c, "match", r.GetMatch(), func(_ int, m M) {
			key := matchKey(m)
			if first, is := seen[key]; is {
				c.warn("", "match is not used: it is one of rule %d too", first)
				return
			}
			seen[key] = i
		})
	})
}

// matchKey is the same for matches of the same requests.
func matchKey(m proto.Message) string {
	if h, is := m.(*networking.HTTPMatchRequest); is && h.Name != "" {
		named := proto.Clone(h).(*networking.HTTPMatchRequest)
		named.Name = ""
		m = named
	}
	b, _ := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	return string(b)
}
