package proxyproto

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strconv"
)

// Verdict is what the bytes so far amount to.
type Verdict uint8

// The verdicts.
const (
	More     Verdict = iota // they may still become a header
	Found                   // they begin with one
	NotFound                // they are something else
	Broken                  // they begin like a header, and are none
)

// Header is what is said about a connection.
type Header struct {
	Version uint8 // 1 or 2
	// Unknown says that the connection is the proxy's own, or that it does not know: the addresses of the socket stand.
	Unknown             bool
	Source, Destination netip.AddrPort
	TLVs                []byte // of version 2: type, length and value, one after the other, known to be whole; a view of what was read
}

// Of the protocol (sections 2.1 and 2.2 of its specification).
const (
	maxV1     = 107 // bytes, with the end of the line
	fixedV2   = 16  // bytes before the addresses
	inet4     = 12  // bytes of two addresses and ports
	inet6     = 36
	tlvHeader = 3
)

var (
	signature1 = []byte("PROXY ")
	signature2 = []byte("\r\n\r\n\x00\r\nQUIT\n")
)

// Parse reads a header from the first bytes of a connection. n is its length; with More, how many bytes there must be before another look
// can tell more. A header has at most 65,551 bytes.
func Parse(b []byte, h *Header) (v Verdict, n int) {
	switch {
	case begins(b, signature2):
		return parse2(b, h)
	case begins(b, signature1):
		return parse1(b, h)
	}
	return NotFound, 0
}

// begins tells whether b begins with the signature, as far as it goes.
func begins(b, signature []byte) bool {
	n := min(len(b), len(signature))
	return bytes.Equal(b[:n], signature[:n])
}

func parse1(b []byte, h *Header) (Verdict, int) {
	end := bytes.Index(b[:min(len(b), maxV1)], []byte("\r\n"))
	if end < 0 {
		if len(b) >= maxV1 {
			return Broken, 0
		}
		return More, len(b) + 1
	}
	*h = Header{Version: 1}
	words := bytes.Split(b[len(signature1):end], []byte(" "))
	if string(words[0]) == "UNKNOWN" {
		h.Unknown = true // what may follow says nothing
		return Found, end + 2
	}
	v4 := string(words[0]) == "TCP4"
	if len(words) != 5 || !v4 && string(words[0]) != "TCP6" {
		return Broken, 0
	}
	var ok [2]bool
	h.Source, ok[0] = addrPort(words[1], words[3], v4)
	h.Destination, ok[1] = addrPort(words[2], words[4], v4)
	if !ok[0] || !ok[1] {
		return Broken, 0
	}
	return Found, end + 2
}

// addrPort reads an address without a zone, which would be the sender's, and a port without leading zeros.
func addrPort(address, port []byte, v4 bool) (netip.AddrPort, bool) {
	a, err := netip.ParseAddr(string(address))
	if err != nil || a.Zone() != "" || a.Is4() != v4 {
		return netip.AddrPort{}, false
	}
	p, err := strconv.ParseUint(string(port), 10, 16)
	if err != nil || len(port) > 1 && port[0] == '0' {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(a, uint16(p)), true
}

func parse2(b []byte, h *Header) (Verdict, int) {
	switch {
	case len(b) < len(signature2):
		return More, len(b) + 1 // it may be another version yet
	case len(b) < fixedV2:
		return More, fixedV2
	}
	command, family := b[12], b[13]
	n := fixedV2 + int(binary.BigEndian.Uint16(b[14:]))
	if command != 0x20 && command != 0x21 {
		return Broken, 0
	}
	if len(b) < n {
		return More, n
	}
	*h = Header{Version: 2}
	if command == 0x20 {
		h.Unknown = true // a health check of the proxy, say; families and addresses are not to be looked at
		return Found, n
	}
	rest := b[fixedV2:n]
	switch {
	case (family == 0x11 || family == 0x12) && len(rest) >= inet4:
		h.Source = netip.AddrPortFrom(netip.AddrFrom4([4]byte(rest[:4])), binary.BigEndian.Uint16(rest[8:]))
		h.Destination = netip.AddrPortFrom(netip.AddrFrom4([4]byte(rest[4:8])), binary.BigEndian.Uint16(rest[10:]))
		rest = rest[inet4:]
	case (family == 0x21 || family == 0x22) && len(rest) >= inet6:
		h.Source = netip.AddrPortFrom(netip.AddrFrom16([16]byte(rest[:16])), binary.BigEndian.Uint16(rest[32:]))
		h.Destination = netip.AddrPortFrom(netip.AddrFrom16([16]byte(rest[16:32])), binary.BigEndian.Uint16(rest[34:]))
		rest = rest[inet6:]
	default: // no family, Unix sockets, or too short: of no use to anybody, and refused by Envoy, too
		return Broken, 0
	}
	for left := rest; len(left) > 0; {
		if len(left) < tlvHeader {
			return Broken, 0
		}
		size := tlvHeader + int(binary.BigEndian.Uint16(left[1:]))
		if size > len(left) {
			return Broken, 0
		}
		left = left[size:]
	}
	h.TLVs = rest
	return Found, n
}
