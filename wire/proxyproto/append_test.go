package proxyproto

import (
	"net/netip"
	"testing"
)

// What is written is read again as it was meant.
func TestAppend(t *testing.T) {
	four, other, sixth := netip.MustParseAddrPort("10.1.2.3:4567"), netip.MustParseAddrPort("192.0.2.1:443"), netip.MustParseAddrPort("[2001:db8::1]:8443")
	for _, version := range []uint8{1, 2} {
		for _, c := range []struct{ from, to netip.AddrPort }{{four, other}, {sixth, sixth}, {four, sixth}, {sixth, four}, {netip.MustParseAddrPort("[fe80::1%eth0]:1"), sixth}} {
			b := Append([]byte("x"), &Header{Version: version, Source: c.from, Destination: c.to})[1:]
			var got Header
			v, n := Parse(append(b, "rest"...), &got)
			if v != Found || n != len(b) || got.Unknown || got.Version != version {
				t.Fatalf("version %d, %v: %q: %v, %d of %d", version, c, b, v, n, len(b))
			}
			same := func(a, b netip.AddrPort) bool {
				return a.Addr().Unmap() == b.Addr().Unmap().WithZone("") && a.Port() == b.Port()
			}
			if !same(got.Source, c.from) || !same(got.Destination, c.to) {
				t.Errorf("version %d: %v became %v, %v", version, c, got.Source, got.Destination)
			}
		}
		for _, h := range []Header{{Unknown: true, Source: four, Destination: other}, {Source: four}, {}} {
			h.Version = version
			b := Append(nil, &h)
			var got Header
			if v, n := Parse(b, &got); v != Found || n != len(b) || !got.Unknown {
				t.Errorf("version %d: %q: %v, %d, %+v", version, b, v, n, got)
			}
		}
	}
}
