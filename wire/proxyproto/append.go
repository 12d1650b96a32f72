package proxyproto

import (
	"encoding/binary"
	"net/netip"
	"strconv"
)

// Append writes a header. Addresses of different families go as IPv6 ones; Unknown, or an address that is none, says that the connection
// is the proxy's own (version 2) or of nobody known (version 1).
func Append(b []byte, h *Header) []byte {
	source, destination := h.Source, h.Destination
	known := !h.Unknown && source.IsValid() && destination.IsValid()
	v4 := known && source.Addr().Unmap().Is4() && destination.Addr().Unmap().Is4()
	if h.Version == 1 {
		return append1(b, source, destination, known, v4)
	}
	b = append(b, signature2...)
	switch {
	case !known:
		return append(b, 0x20, 0, 0, 0)
	case v4:
		b = append(b, 0x21, 0x11)
		b = binary.BigEndian.AppendUint16(b, inet4)
		from, to := source.Addr().Unmap().As4(), destination.Addr().Unmap().As4()
		b = append(append(b, from[:]...), to[:]...)
	default:
		b = append(b, 0x21, 0x21)
		b = binary.BigEndian.AppendUint16(b, inet6)
		from, to := source.Addr().As16(), destination.Addr().As16()
		b = append(append(b, from[:]...), to[:]...)
	}
	b = binary.BigEndian.AppendUint16(b, source.Port())
	return binary.BigEndian.AppendUint16(b, destination.Port())
}

func append1(b []byte, source, destination netip.AddrPort, known, v4 bool) []byte {
	switch {
	case !known:
		return append(b, "PROXY UNKNOWN\r\n"...)
	case v4:
		b = append(b, "PROXY TCP4 "...)
		b = source.Addr().Unmap().AppendTo(b)
		b = append(b, ' ')
		b = destination.Addr().Unmap().AppendTo(b)
	default:
		b = append(b, "PROXY TCP6 "...)
		b = asIPv6(source).AppendTo(b)
		b = append(b, ' ')
		b = asIPv6(destination).AppendTo(b)
	}
	b = append(b, ' ')
	b = strconv.AppendUint(b, uint64(source.Port()), 10)
	b = append(b, ' ')
	b = strconv.AppendUint(b, uint64(destination.Port()), 10)
	return append(b, "\r\n"...)
}

// asIPv6 is an address as IPv6 has it, without a zone, which means nothing elsewhere.
func asIPv6(a netip.AddrPort) netip.Addr { return netip.AddrFrom16(a.Addr().As16()) }
