package capture

import "net/netip"

// askingNames has questions at port 53 go to the proxy, which answers them. Those that the proxy asks itself are let go: its rules come before.
func (m *maker) askingNames() {
	m.add(raw, output, Match{}, jumpTo(questions))
	four, six := m.resolvers()
	if m.AllDNS || len(four) > 0 {
		m.addFor(IPv4, nat, outbound, Match{}, jumpTo(questions))
	}
	if m.AllDNS || len(six) > 0 {
		m.addFor(IPv6, nat, outbound, Match{}, jumpTo(questions))
	}
	for _, protocol := range []string{"tcp", "udp"} {
		m.toResolvers(nat, questions, Match{Protocol: protocol, Ports: []uint16{53}}, Target{Kind: ToPort, Port: DNSPort})
	}
	m.zones()
}

// toResolvers adds a rule for what goes to each resolver, or to anybody.
func (m *maker) toResolvers(table, chain string, match Match, do Target) {
	if m.AllDNS {
		m.add(table, chain, match, do)
		return
	}
	four, six := m.resolvers()
	for _, to := range four {
		match.Destination = to
		m.addFor(IPv4, table, chain, match, do)
	}
	for _, to := range six {
		match.Destination = to
		m.addFor(IPv6, table, chain, match, do)
	}
}

func (m *maker) resolvers() (four, six []netip.Prefix) {
	for _, a := range m.Resolvers {
		if a.Is4() {
			four = append(four, netip.PrefixFrom(a, 32))
		} else {
			six = append(six, netip.PrefixFrom(a, 128))
		}
	}
	return four, six
}

// zones keeps two kinds of UDP questions apart that the kernel could take for one another, since they may have the same ports: zone 1 is between
// the proxy and resolvers, zone 2 between applications and the proxy.
func (m *maker) zones() {
	ours := func(id uint32, group bool) {
		who := []Owner{{ID: id, Group: group}}
		m.add(raw, questions, Match{Protocol: "udp", Ports: []uint16{53}, Owners: who}, Target{Kind: SetZone, Zone: 1})
		m.add(raw, questions, Match{Protocol: "udp", SourcePort: DNSPort, Owners: who}, Target{Kind: SetZone, Zone: 2})
	}
	for _, id := range m.ProxyUIDs {
		ours(id, false)
	}
	for _, id := range m.ProxyGIDs {
		ours(id, true)
	}
	if m.AllDNS {
		m.add(raw, prerouting, Match{}, jumpTo(inbound))
	}
	m.toResolvers(raw, questions, Match{Protocol: "udp", Ports: []uint16{53}}, Target{Kind: SetZone, Zone: 2})
	answer, one := Match{Protocol: "udp", SourcePort: 53}, Target{Kind: SetZone, Zone: 1}
	if m.AllDNS {
		m.add(raw, inbound, answer, one)
		return
	}
	four, six := m.resolvers()
	for _, list := range [][]netip.Prefix{four, six} {
		for i, from := range list {
			if i == 0 {
				m.addFor(familyOf(from), raw, prerouting, Match{}, jumpTo(inbound))
			}
			answer.Source = from
			m.addFor(familyOf(from), raw, inbound, answer, one)
		}
	}
}
