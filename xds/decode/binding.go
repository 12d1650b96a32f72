package decode

import (
	"math"
	"net/netip"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/weftmesh/weft/config"
)

// binding reads what our side of a cluster's connections is made with. Like Envoy's, a cluster without a message takes the bootstrap's;
// one with a message has its own source address or none, and takes from the bootstrap's what else it leaves out.
func (s *session) binding(m *corev3.BindConfig, p *at) *config.Binding {
	if m == nil {
		return s.bound
	}
	b := &config.Binding{}
	if s.bound != nil {
		b.Freebind, b.Options = s.bound.Freebind, s.bound.Options
	}
	if m.GetFreebind() != nil {
		b.Freebind = m.GetFreebind().GetValue()
	}
	if a := m.GetSourceAddress(); a != nil {
		b.Source = s.sourceAddress(a, p.field("source_address"))
	}
	for i, e := range m.GetExtraSourceAddresses() {
		p := p.field("extra_source_addresses").item(i)
		switch other := s.sourceAddress(e.GetAddress(), p.field("address")); {
		case i > 0:
			s.problem(p, "want one at most: it is for the family that source_address is not of")
		case !b.Source.IsValid():
			s.problem(p, "wants a source_address, too: that one is for the other family")
		case b.Source.Addr().Is4() == other.Addr().Is4():
			s.problem(p.field("address"), "%s is of the family of source_address: want the other one", other.Addr())
		default:
			b.Other = other
		}
	}
	if len(m.GetSocketOptions()) > 0 {
		b.Options = s.socketOptions(m.GetSocketOptions(), p.field("socket_options"))
	}
	return b
}

func (s *session) sourceAddress(a *corev3.SocketAddress, p *at) netip.AddrPort {
	ip, err := netip.ParseAddr(a.GetAddress())
	if err != nil {
		s.problem(p.field("address"), "%q is not an IP address", a.GetAddress())
	}
	if a.GetPortSpecifier() == nil {
		s.problem(p.field("port_value"), "a port is missing: 0 leaves it to the kernel")
	}
	return netip.AddrPortFrom(ip.WithZone(""), uint16(a.GetPortValue()))
}

func (s *session) socketOptions(list []*corev3.SocketOption, p *at) (out []config.SocketOption) {
	for i, o := range list {
		p := p.item(i)
		number := func(name string, v int64) int {
			if v < math.MinInt32 || v > math.MaxInt32 {
				s.problem(p.field(name), "%d: want a number of 32 bits", v)
			}
			return int(int32(v))
		}
		if o.GetValue() == nil {
			s.problem(p.field("int_value"), "a value is missing")
		}
		out = append(out, config.SocketOption{Level: number("level", o.GetLevel()), Name: number("name", o.GetName()), Value: number("int_value", o.GetIntValue()),
			State: config.SocketState(o.GetState())})
	}
	return out
}
