package proxyproto

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
)

var (
	four  = netip.MustParseAddrPort("10.1.1.1:1234")
	local = netip.MustParseAddrPort("127.0.0.9:80")
	six   = netip.MustParseAddrPort("[2001::1]:1")
	six2  = netip.MustParseAddrPort("[2001::2]:2")
)

// v2 is a header with these bytes behind the signature.
func v2(command, family byte, rest string) string {
	return string(signature2) + string([]byte{command, family, byte(len(rest) >> 8), byte(len(rest))}) + rest
}

const addresses = "\x0a\x01\x01\x01\x7f\x00\x00\x09\x04\xd2\x00\x50"

func TestParse(t *testing.T) {
	for _, c := range []struct{ name, bytes, want string }{
		{"nothing", "", "more"},
		{"begins", "PRO", "more"},
		{"begins otherwise", "\r\n\r\n", "more"},
		{"a request", "GET / HTTP/1.1\r\n", "not"},
		{"a method alike", "PRI", "not"},
		{"lower case", "proxy TCP4 10.1.1.1 127.0.0.9 1234 80\r\n", "not"},
		{"one", "PROXY TCP4 10.1.1.1 127.0.0.9 1234 80\r\nx", "10.1.1.1:1234 127.0.0.9:80"},
		{"one of IPv6", "PROXY TCP6 2001::1 2001::2 1 2\r\n", "[2001::1]:1 [2001::2]:2"},
		{"one of nobody knows", "PROXY UNKNOWN\r\n", "unknown"},
		{"one of nobody knows, with words", "PROXY UNKNOWN 1 2 3\r\n", "unknown"},
		{"one without an end", "PROXY TCP4 10.1.1.1 127.0.0.9 1234 80\n", "more"},
		{"one that goes on", "PROXY UNKNOWN " + strings.Repeat("a", 100), "broken"},
		{"one that ends too late", "PROXY UNKNOWN " + strings.Repeat("a", 92) + "\r\n", "broken"},
		{"one that ends just in time", "PROXY UNKNOWN " + strings.Repeat("a", 91) + "\r\n", "unknown"},
		{"not an address", "PROXY TCP4 10.1.1 127.0.0.9 1234 80\r\n", "broken"},
		{"the other family", "PROXY TCP4 2001::1 127.0.0.9 1234 80\r\n", "broken"},
		{"a zone", "PROXY TCP6 fe80::1%lo 2001::2 1 2\r\n", "broken"},
		{"a port too high", "PROXY TCP4 10.1.1.1 127.0.0.9 65536 80\r\n", "broken"},
		{"a port with a sign", "PROXY TCP4 10.1.1.1 127.0.0.9 +1 80\r\n", "broken"},
		{"a port with a zero before", "PROXY TCP4 10.1.1.1 127.0.0.9 01 80\r\n", "broken"},
		{"a word too many", "PROXY TCP4 10.1.1.1 127.0.0.9 1234 80 x\r\n", "broken"},
		{"a word too few", "PROXY TCP4 10.1.1.1 127.0.0.9 1234\r\n", "broken"},
		{"two spaces", "PROXY  TCP4 10.1.1.1 127.0.0.9 1234 80\r\n", "broken"},
		{"another protocol", "PROXY UDP4 10.1.1.1 127.0.0.9 1234 80\r\n", "broken"},
		{"no words", "PROXY \r\n", "broken"},
		{"two", v2(0x21, 0x11, addresses) + "x", "10.1.1.1:1234 127.0.0.9:80"},
		{"two with TLVs", v2(0x21, 0x11, addresses+"\x02\x00\x01a\x05\x00\x00"), "10.1.1.1:1234 127.0.0.9:80 7"},
		{"two of datagrams", v2(0x21, 0x12, addresses), "10.1.1.1:1234 127.0.0.9:80"},
		{"two not whole", v2(0x21, 0x11, addresses)[:20], "more"},
		{"two of its own", v2(0x20, 0x11, addresses), "unknown"},
		{"two of its own and nobody", v2(0x20, 0, ""), "unknown"},
		{"two of its own and anything", v2(0x20, 0x41, "abc"), "unknown"},
		{"two of nobody", v2(0x21, 0, ""), "broken"},
		{"two of a Unix socket", v2(0x21, 0x31, strings.Repeat("a", 216)), "broken"},
		{"another command", v2(0x22, 0x11, addresses), "broken"},
		{"another version", v2(0x31, 0x11, addresses), "broken"},
		{"addresses too short", v2(0x21, 0x11, "abc"), "broken"},
		{"addresses of the other family", v2(0x21, 0x21, addresses), "broken"},
		{"a TLV longer than there is", v2(0x21, 0x11, addresses+"\x02\x00\x09a"), "broken"},
		{"a TLV of one byte", v2(0x21, 0x11, addresses+"\x02"), "broken"},
	} {
		var h Header
		v, n := Parse([]byte(c.bytes), &h)
		got := [...]string{"more", "", "not", "broken"}[v]
		switch {
		case v == Found && h.Unknown:
			got = "unknown"
		case v == Found:
			got = h.Source.String() + " " + h.Destination.String()
			if len(h.TLVs) > 0 {
				got += " " + string('0'+rune(len(h.TLVs)))
			}
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		if want := len(strings.TrimSuffix(c.bytes, "x")); v == Found && n != want {
			t.Errorf("%s: %d bytes of %d", c.name, n, want)
		}
	}
}

func TestWrittenIsRead(t *testing.T) {
	for _, c := range [][2]netip.AddrPort{{four, local}, {six, six2}, {four, six}, {{}, local}, {netip.MustParseAddrPort("[::ffff:10.1.1.1]:5"), local}} {
		unknown := !c[0].IsValid() || c[0].Addr().Unmap().Is4() != c[1].Addr().Unmap().Is4()
		tlvs := []byte("\x05\x00\x03abc")
		for version, b := range [][]byte{1: AppendV1(nil, c[0], c[1]), 2: AppendV2(nil, c[0], c[1], tlvs)} {
			if b == nil {
				continue
			}
			var h Header
			v, n := Parse(b, &h)
			if v != Found || n != len(b) || h.Unknown != unknown || int(h.Version) != version {
				t.Errorf("%v, version %d: %d, %+v", c, version, v, h)
			}
			if want := netip.AddrPortFrom(c[0].Addr().Unmap(), c[0].Port()); !unknown && (h.Source != want || h.Destination != c[1] || version == 2 && !bytes.Equal(h.TLVs, tlvs)) {
				t.Errorf("%v, version %d: %+v", c, version, h)
			}
		}
	}
}

// What is said of some bytes stays true whatever comes behind them, and no header is found before as many are there as were asked for.
func FuzzParse(f *testing.F) {
	f.Add([]byte("PROXY TCP4 10.1.1.1 127.0.0.9 1234 80\r\nGET"))
	f.Add([]byte(v2(0x21, 0x11, addresses+"\x02\x00\x01a")))
	f.Add([]byte(v2(0x20, 0, "")))
	f.Add([]byte("PROXY UNKNOWN\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 400 {
			return
		}
		var h, last Header
		was, need := Parse(nil, &last)
		for n := range b {
			v, next := Parse(b[:n+1], &h)
			switch {
			case was != More && (v != was || v == Found && (next != need || h.Source != last.Source)):
				t.Fatalf("%q: %d, one byte more: %d", b[:n], was, v)
			case was == More && v == Found && n+1 < need, v == Found && next > n+1, v == More && next <= n+1:
				t.Fatalf("%q: %d, %d", b[:n+1], v, next)
			}
			was, need, last = v, next, h
		}
	})
}
