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
		p := p.field("source_address")
		ip, err := netip.ParseAddr(a.GetAddress())
		if err != nil {
			s.problem(p.field("address"), "%q is not an IP address", a.GetAddress())
		}
		if a.GetPortSpecifier() == nil {
			s.problem(p.field("port_value"), "a port is missing: 0 leaves it to the kernel")
		}
		b.Source = netip.AddrPortFrom(ip.WithZone(""), uint16(a.GetPortValue()))
	}
	if len(m.GetSocketOptions()) > 0 {
		b.Options = s.socketOptions(m.GetSocketOptions(), p.field("socket_options"))
	}
	return b
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
