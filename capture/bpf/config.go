package bpf

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"
)

// Config says whose traffic is the proxy's. What is captured and what is not is decided in the order of Istio's chains.
type Config struct {
	OutboundPort uint16 // of loopback, where the proxy listens for what goes out
	InboundPort  uint16 // of every address, where it listens for what comes in
	NamesPort    uint16 // of loopback, where it answers questions about names; 0: they go where they go

	Users, Groups []uint32     // whose own connections are not captured: the proxy's; at most 64 together
	Own           []netip.Addr // the workload's addresses, but for loopback; at most 256
	Resolvers     []netip.Addr // whom questions about names are asked that the proxy is to answer; at most 64

	AllNames           bool           // whoever is asked for names, the proxy answers
	AllOutbound        bool           // all that goes out
	Ranges, LeftRanges []netip.Prefix // what goes there, and what goes there and is left alone; of one address the longest counts; at most 4,096 together
	OutboundPorts      []uint16       // what goes there whatever the address
	LeftOutboundPorts  []uint16       // and what is left alone
	AllInbound         bool           // all that comes in
	InboundPorts       []uint16       // what comes in there
	LeftInboundPorts   []uint16       // and what is left alone
	OnlyIPv4           bool           // IPv6 is left alone, both ways
	ShortCuts          bool           // what is sent to a proxy that asks for it, by its application or by another proxy of this node, goes from socket to socket
}

// What becomes of a port or a range, as capture.bpf.c has it.
const (
	captured uint8 = 1
	left     uint8 = 2
)

// mapped is an address as the programs have it: of IPv4 it is mapped into IPv6, and words are in network order.
func mapped(ip netip.Addr) (a kernelAddress) {
	b := ip.As16()
	for i := range a.Word {
		a.Word[i] = binary.NativeEndian.Uint32(b[i*4:])
	}
	return a
}

// rangeOf is the key of a range.
func rangeOf(p netip.Prefix) kernelPrefix {
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	return kernelPrefix{Bits: uint32(bits), Ip: mapped(p.Masked().Addr())}
}

// constants are what programs are told before they are loaded.
func (c *Config) constants(s *kernelSpecs) error {
	for _, one := range []struct {
		of    *ebpf.VariableSpec
		value any
	}{
		{s.OutboundPort, c.OutboundPort}, {s.InboundPort, c.InboundPort}, {s.NamesPort, c.NamesPort},
		{s.AllOutbound, c.AllOutbound}, {s.AllInbound, c.AllInbound}, {s.Names, c.NamesPort != 0}, {s.AllNames, c.AllNames}, {s.Shortcuts, c.ShortCuts}, {s.OnlyIpv4, c.OnlyIPv4},
	} {
		if err := one.of.Set(one.value); err != nil {
			return fmt.Errorf("bpf: %w", err)
		}
	}
	return nil
}

// fill writes the lists.
func (c *Config) fill(m *kernelMaps) (err error) {
	put := func(into *ebpf.Map, what string, key any, value uint8) {
		if err == nil {
			if err = into.Put(key, value); err != nil {
				err = fmt.Errorf("bpf: %s: %w", what, err)
			}
		}
	}
	for _, id := range c.Users {
		put(m.Owners, "users of the proxy's", uint64(id), 1)
	}
	for _, id := range c.Groups {
		put(m.Owners, "groups of the proxy's", uint64(id)|1<<32, 1)
	}
	for _, ip := range c.Own {
		put(m.Own, "addresses of the workload", mapped(ip), 1)
	}
	for _, ip := range c.Resolvers {
		put(m.Resolvers, "resolvers", mapped(ip), 1)
	}
	for _, p := range c.Ranges {
		put(m.Ranges, "ranges", rangeOf(p), captured)
	}
	for _, p := range c.LeftRanges {
		put(m.Ranges, "ranges that are left alone", rangeOf(p), left)
	}
	for _, port := range c.OutboundPorts {
		put(m.OutboundPorts, "outbound ports", port, captured)
	}
	for _, port := range c.LeftOutboundPorts {
		put(m.OutboundPorts, "outbound ports that are left alone", port, left)
	}
	for _, port := range c.InboundPorts {
		put(m.InboundPorts, "inbound ports", port, captured)
	}
	for _, port := range c.LeftInboundPorts {
		put(m.InboundPorts, "inbound ports that are left alone", port, left)
	}
	return err
}
