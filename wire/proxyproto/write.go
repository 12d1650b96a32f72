package proxyproto

import (
	"encoding/binary"
	"net/netip"
	"strconv"
)

// AppendV1 writes a header of version 1 behind dst. Addresses of two families, or none, are UNKNOWN.
func AppendV1(dst []byte, source, destination netip.AddrPort) []byte {
	s, d := source.Addr().Unmap().WithZone(""), destination.Addr().Unmap().WithZone("")
	dst = append(dst, signature1...)
	switch {
	case !s.IsValid() || !d.IsValid() || s.Is4() != d.Is4():
		return append(dst, "UNKNOWN\r\n"...)
	case s.Is4():
		dst = append(dst, "TCP4 "...)
	default:
		dst = append(dst, "TCP6 "...)
	}
	dst = append(s.AppendTo(dst), ' ')
	dst = append(d.AppendTo(dst), ' ')
	dst = append(strconv.AppendUint(dst, uint64(source.Port()), 10), ' ')
	return append(strconv.AppendUint(dst, uint64(destination.Port()), 10), '\r', '\n')
}

// AppendV2 writes a header of version 2 behind dst, with TLVs as Header holds them, of 65,499 bytes at most. Addresses of two families, or
// none, are a connection of our own.
func AppendV2(dst []byte, source, destination netip.AddrPort, tlvs []byte) []byte {
	s, d := source.Addr().Unmap(), destination.Addr().Unmap()
	dst = append(dst, signature2...)
	switch {
	case !s.IsValid() || !d.IsValid() || s.Is4() != d.Is4():
		dst = append(dst, 0x20, 0)
		return append(binary.BigEndian.AppendUint16(dst, uint16(len(tlvs))), tlvs...)
	case s.Is4():
		dst = binary.BigEndian.AppendUint16(append(dst, 0x21, 0x11), uint16(inet4+len(tlvs)))
	default:
		dst = binary.BigEndian.AppendUint16(append(dst, 0x21, 0x21), uint16(inet6+len(tlvs)))
	}
	dst = append(append(dst, s.AsSlice()...), d.AsSlice()...)
	dst = binary.BigEndian.AppendUint16(dst, source.Port())
	return append(binary.BigEndian.AppendUint16(dst, destination.Port()), tlvs...)
}
