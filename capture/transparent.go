package capture

// transparentHead is what TPROXY puts before the inbound rules: packets that are not taken. Those with the mark have been taken, those from the
// inbound side's address go to the application, and what else comes over loopback without the proxy's mark is between the pod's programs.
func (m *maker) transparentHead() {
	seen := tcp()
	seen.Mark = m.Mark
	m.add(mangle, inbound, seen, Target{Kind: Return})
	m.addFor(IPv4, mangle, inbound, Match{Source: inboundSource4, In: "lo", Protocol: "tcp"}, Target{Kind: Return})
	m.addFor(IPv6, mangle, inbound, Match{Source: inboundSource6, In: "lo", Protocol: "tcp"}, Target{Kind: Return})
	m.add(mangle, inbound, Match{In: "lo", Protocol: "tcp", Mark: outboundMark, NotMark: true}, Target{Kind: Return})
	if m.InboundPorts.None() {
		return
	}
	m.add(mangle, divert, Match{}, Target{Kind: SetMark, Mark: m.Mark})
	m.add(mangle, divert, Match{}, Target{Kind: Accept})
	m.addBeyond(mangle, tproxy, tcp(), Target{Kind: ToProxy, Port: m.InboundPort, Mark: m.Mark})
}

// transparentMarks keeps, for a connection that the proxy opens to the application from the client's address, that its answers come back to the
// proxy: its mark becomes that of the connection, and that of each answer. And it marks what the proxy sends to the pod's own address.
func (m *maker) transparentMarks() {
	marked, kept := tcp(), tcp()
	marked.Mark, kept.ConnMark = m.Mark, m.Mark
	m.add(mangle, prerouting, marked, Target{Kind: SaveMark})
	marked.Out = "lo"
	m.add(mangle, output, marked, Target{Kind: Return})
	for _, id := range m.ProxyUIDs {
		m.addBeyond(mangle, output, Match{Out: "lo", Protocol: "tcp", Owners: []Owner{{ID: id}}}, Target{Kind: SetMark, Mark: outboundMark})
	}
	for _, id := range m.ProxyGIDs {
		m.addBeyond(mangle, output, Match{Out: "lo", Protocol: "tcp", Owners: []Owner{{ID: id, Group: true}}}, Target{Kind: SetMark, Mark: outboundMark})
	}
	m.add(mangle, output, kept, Target{Kind: RestoreMark})
}
