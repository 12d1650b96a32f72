package capture

import (
	"net/netip"
	"slices"
)

// Tables and chains, by the names that Istio gives them: what looks for them in a pod finds them.
const (
	nat    = "nat"
	mangle = "mangle"
	raw    = "raw"

	prerouting = "PREROUTING"
	output     = "OUTPUT"

	inbound    = "ISTIO_INBOUND"
	outbound   = "ISTIO_OUTPUT"
	questions  = "ISTIO_OUTPUT_DNS"
	redirect   = "ISTIO_REDIRECT"
	inRedirect = "ISTIO_IN_REDIRECT"
	divert     = "ISTIO_DIVERT"
	tproxy     = "ISTIO_TPROXY"
	drop       = "ISTIO_DROP"
)

// tables are those that a plan may use, in the order in which they are applied: what decides last where traffic goes comes last.
var tables = []string{raw, mangle, nat}

// chains are all that are ours, in every table.
var chains = []string{inbound, outbound, questions, redirect, inRedirect, divert, tproxy, drop}

// Plan is all that the kernel is told. It is made by Make, and compared and carried out by everybody else.
type Plan struct {
	Rules []Rule // those of a chain in their order
	IPv6  bool   // rules of both versions count for IPv6, and the loopback interface has the address ::6
	// Mark and RouteTable: packets with the mark are of this host, wherever they are going. 0: no such route.
	Mark, RouteTable uint32
}

// outboundMark is for what the proxy sends to the pod's own address, which comes in again and is the inbound side's.
const outboundMark = 1338

// Addresses that the inbound side of a proxy connects from, so that what it sends to the application is not captured again.
var (
	inboundSource4 = netip.MustParsePrefix("127.0.0.6/32")
	inboundSource6 = netip.MustParsePrefix("::6/128")
	loopback6      = netip.MustParsePrefix("::1/128")
)

// maker collects the rules of one plan.
type maker struct {
	Settings
	rules []Rule
}

func (m *maker) add(table, chain string, match Match, do Target) {
	m.rules = append(m.rules, Rule{Table: table, Chain: chain, Match: match, Target: do})
}

// addFor adds a rule for one version of IP.
func (m *maker) addFor(f Family, table, chain string, match Match, do Target) {
	if f == IPv4 || m.IPv6 {
		m.rules = append(m.rules, Rule{Table: table, Chain: chain, Family: f, Match: match, Target: do})
	}
}

// addBeyond adds a rule for destinations other than the pod's loopback.
func (m *maker) addBeyond(table, chain string, match Match, do Target) {
	match.NotDestination = true
	match.Destination = m.Loopback
	m.addFor(IPv4, table, chain, match, do)
	match.Destination = loopback6
	m.addFor(IPv6, table, chain, match, do)
}

func jumpTo(chain string) Target { return Target{Kind: Jump, Chain: chain} }

func tcp(ports ...uint16) Match { return Match{Protocol: "tcp", Ports: ports} }

func familyOf(p netip.Prefix) Family {
	if p.Addr().Is4() {
		return IPv4
	}
	return IPv6
}

// Make is the plan for settings. Chains, rules and their order are istio-iptables'.
func Make(s Settings) Plan {
	m := &maker{Settings: s}
	m.DNS = s.DNS && (s.AllDNS || len(s.Resolvers) > 0)
	for _, name := range s.ExcludedInterfaces {
		m.add(nat, prerouting, Match{In: name}, Target{Kind: Return})
		m.add(nat, output, Match{Out: name}, Target{Kind: Return})
		if s.Mode == Transparent {
			m.add(mangle, prerouting, Match{In: name}, Target{Kind: Return})
			m.add(mangle, output, Match{Out: name}, Target{Kind: Return})
		}
	}
	m.virtual()
	if s.DropInvalid {
		m.add(mangle, prerouting, Match{State: "INVALID"}, jumpTo(drop))
		m.add(mangle, drop, Match{}, Target{Kind: Drop})
	}
	m.add(nat, inbound, tcp(s.TunnelPort), Target{Kind: Return})
	m.add(nat, redirect, tcp(), Target{Kind: ToPort, Port: s.ProxyPort})
	m.add(nat, inRedirect, tcp(), Target{Kind: ToPort, Port: s.InboundPort})
	if s.Mode == Transparent {
		m.transparentHead()
	}
	m.comingIn()
	m.goingOut()
	if s.Mode == Transparent {
		m.transparentMarks()
	}
	p := Plan{Rules: m.rules, IPv6: s.IPv6}
	if s.Mode == Transparent && !s.InboundPorts.None() {
		p.Mark, p.RouteTable = s.Mark, s.RouteTable
	}
	return p
}

// comingIn has connections to the pod go to the inbound port.
func (m *maker) comingIn() {
	if m.InboundPorts.None() {
		return
	}
	table, take := nat, []Target{jumpTo(inRedirect)}
	if m.Mode == Transparent {
		table, take = mangle, []Target{jumpTo(divert), jumpTo(tproxy)}
	}
	m.add(table, prerouting, tcp(), jumpTo(inbound))
	ports := [][]uint16{nil}
	if m.InboundPorts.All {
		for _, port := range m.ExcludedInboundPorts {
			m.add(table, inbound, tcp(port), Target{Kind: Return})
		}
	} else {
		ports = ports[:0]
		for _, port := range m.InboundPorts.List {
			ports = append(ports, []uint16{port})
		}
	}
	for _, p := range ports {
		for _, to := range take {
			match := tcp(p...)
			if to.Chain == divert { // what belongs to a connection that has been taken
				match.State = "RELATED,ESTABLISHED"
			}
			m.add(table, inbound, match, to)
		}
	}
}

// goingOut has what the pod's programs connect to go to the outbound port, and leaves out the proxy and what is excluded.
func (m *maker) goingOut() {
	m.add(nat, output, Match{}, jumpTo(outbound))
	for _, port := range m.ExcludedOutboundPorts {
		m.add(nat, outbound, tcp(port), Target{Kind: Return})
		m.add(nat, outbound, Match{Protocol: "udp", Ports: []uint16{port}}, Target{Kind: Return})
	}
	m.addFor(IPv4, nat, outbound, Match{Source: inboundSource4, Out: "lo"}, Target{Kind: Return})
	m.addFor(IPv6, nat, outbound, Match{Source: inboundSource6, Out: "lo"}, Target{Kind: Return})
	if m.Mode == Transparent { // from the client's address (original_src) to the pod's: it would come to the proxy again, and again
		marked := tcp()
		marked.Out, marked.Mark = "lo", m.Mark
		m.add(nat, outbound, marked, Target{Kind: Return})
	}
	for _, id := range m.ProxyUIDs {
		m.proxy(id, false)
	}
	for _, id := range m.ProxyGIDs {
		m.proxy(id, true)
	}
	m.groups()
	if m.DNS {
		m.askingNames()
	}
	m.addFor(IPv4, nat, outbound, Match{Destination: m.Loopback}, Target{Kind: Return})
	m.addFor(IPv6, nat, outbound, Match{Destination: loopback6}, Target{Kind: Return})
	for _, v := range []Family{IPv4, IPv6} {
		for _, to := range m.ExcludedOutboundRanges {
			if familyOf(to) == v {
				m.addFor(v, nat, outbound, Match{Destination: to}, Target{Kind: Return})
			}
		}
	}
	for _, port := range m.OutboundPorts {
		m.add(nat, outbound, tcp(port), jumpTo(redirect))
	}
	if m.OutboundRanges.All {
		m.add(nat, outbound, Match{}, jumpTo(redirect))
		return
	}
	for _, v := range []Family{IPv4, IPv6} {
		for _, to := range m.OutboundRanges.List {
			if familyOf(to) == v {
				m.addFor(v, nat, outbound, Match{Destination: to}, jumpTo(redirect))
			}
		}
	}
}

// proxy leaves out what the proxy sends. What it sends to the pod's own address is for its inbound side: an application has called its own
// service. What anybody else sends over loopback stays between the pod's programs.
func (m *maker) proxy(id uint32, group bool) {
	is, other := []Owner{{ID: id, Group: group}}, []Owner{{ID: id, Group: group, Not: true}}
	self := Match{Out: "lo", Protocol: "tcp", Ports: []uint16{m.TunnelPort}, NotPorts: true, Owners: is}
	if m.DNS && !group { // a resolver on this pod is asked, and not the inbound side
		self.Ports = []uint16{53, m.TunnelPort}
	}
	m.addBeyond(nat, outbound, self, jumpTo(inRedirect))
	if !slices.ContainsFunc(m.OutboundRanges.List, func(p netip.Prefix) bool { return p.Addr().IsLoopback() }) {
		between := Match{Out: "lo", Owners: other}
		if m.DNS { // a resolver on this pod is one whose questions are taken
			between.Protocol, between.Ports, between.NotPorts = "tcp", []uint16{53}, true
		}
		m.add(nat, outbound, between, Target{Kind: Return})
	}
	m.add(nat, outbound, Match{Owners: is}, Target{Kind: Return})
}

// groups leaves out the groups that are not to be captured.
func (m *maker) groups() {
	if m.Groups.All {
		for _, id := range m.ExcludedGroups {
			m.add(nat, outbound, Match{Owners: []Owner{{ID: id, Group: true}}}, Target{Kind: Return})
		}
		return
	}
	var none []Owner
	for _, id := range m.Groups.List {
		none = append(none, Owner{ID: id, Group: true, Not: true})
	}
	m.add(nat, outbound, Match{Owners: none}, Target{Kind: Return})
}

// virtual has what comes in by the interfaces of virtual machines count as going out. Istio puts each rule before all others, so that the last one
// is the first.
func (m *maker) virtual() {
	var rules []Rule
	head := func(f Family, match Match, do Target) {
		if f != IPv6 || m.IPv6 {
			rules = append(rules, Rule{Table: nat, Chain: prerouting, Family: f, Head: true, Match: match, Target: do})
		}
	}
	for _, name := range m.VirtualInterfaces {
		head(0, Match{In: name}, Target{Kind: Return})
	}
	if m.OutboundRanges.All {
		for _, name := range m.VirtualInterfaces {
			head(0, Match{In: name}, jumpTo(redirect))
		}
	}
	for _, v := range []Family{IPv4, IPv6} {
		for _, to := range m.OutboundRanges.List {
			for _, name := range m.VirtualInterfaces {
				if familyOf(to) == v {
					head(v, Match{In: name, Destination: to}, jumpTo(redirect))
				}
			}
		}
	}
	slices.Reverse(rules)
	m.rules = append(rules, m.rules...)
}
