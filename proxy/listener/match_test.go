package listener

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/weftmesh/weft/config"
)

// slowly is Match without an index: of the chains that are left, those stay that answer a question in the most particular way that fits.
func slowly(l *config.Listener, in *Input) *config.FilterChain {
	left := slices.Clone(l.Chains)
	keep := func(rank func(*config.ChainMatch) int) {
		best := -1
		for _, c := range left {
			best = max(best, rank(&c.Match))
		}
		left = slices.DeleteFunc(left, func(c *config.FilterChain) bool { r := rank(&c.Match); return r < 0 || r != best })
	}
	keep(func(m *config.ChainMatch) int { return rankOf(m.DestinationPort, in.Destination.Port()) })
	keep(func(m *config.ChainMatch) int { return rankPrefix(m.Destinations, in.Destination.Addr()) })
	keep(func(m *config.ChainMatch) int {
		best := -1
		for _, n := range m.ServerNames {
			switch {
			case n == in.ServerName:
				best = 1 << 20
			case n[0] == '.' && strings.HasSuffix(in.ServerName[min(1, len(in.ServerName)):], n) && !strings.HasSuffix(in.ServerName, "."):
				best = max(best, len(n))
			}
		}
		if len(m.ServerNames) == 0 {
			return 0
		}
		return best
	})
	keep(func(m *config.ChainMatch) int { return rankOf(m.Transport, in.Transport) })
	keep(func(m *config.ChainMatch) int {
		for i, p := range in.Applications {
			if slices.Contains(m.Applications, p) {
				return 100 - i
			}
		}
		return min(0, -len(m.Applications))
	})
	keep(func(m *config.ChainMatch) int { return rankPrefix(m.DirectSources, in.Direct.Addr()) })
	keep(func(m *config.ChainMatch) int {
		s, d := in.Source.Addr(), in.Destination.Addr()
		local := !s.IsValid() || s == d || s.String() == "127.0.0.1" || s.String() == "::1"
		switch {
		case m.SourceType == config.AnySource:
			return 0
		case (m.SourceType == config.LocalSource) == local:
			return 1
		}
		return -1
	})
	keep(func(m *config.ChainMatch) int { return rankPrefix(m.Sources, in.Source.Addr()) })
	keep(func(m *config.ChainMatch) int {
		if len(m.SourcePorts) > 0 && in.Source.Port() != 0 && slices.Contains(m.SourcePorts, in.Source.Port()) {
			return 1
		}
		return min(0, -len(m.SourcePorts))
	})
	if len(left) == 0 {
		return l.Default
	}
	return left[0]
}

func rankOf[T comparable](want, is T) int {
	var none T
	switch want {
	case none:
		return 0
	case is:
		return 1
	}
	return -1
}

func rankPrefix(list []netip.Prefix, a netip.Addr) int {
	if !a.IsValid() {
		a = netip.MustParseAddr("255.255.255.255")
	}
	best := min(0, -len(list))
	for _, p := range list {
		if p.Contains(a.WithZone("")) {
			best = max(best, p.Bits()+1)
		}
	}
	return best
}

// choices reads small numbers from fuzzed bytes.
type choices []byte

func (c *choices) next(n int) int {
	if len(*c) == 0 {
		return 0
	}
	v := int((*c)[0]) % n
	*c = (*c)[1:]
	return v
}

func some[T any](c *choices, of ...T) (list []T) {
	for n := c.next(3); n > 0; n-- {
		list = append(list, of[c.next(len(of))])
	}
	return list
}

func pick[T any](c *choices, of ...T) T { return of[c.next(len(of))] }

func prefixList(text string) (list []netip.Prefix) {
	for _, f := range strings.Fields(text) {
		list = append(list, netip.MustParsePrefix(f))
	}
	return list
}

func FuzzMatch(f *testing.F) {
	for seed := range 64 {
		var b []byte
		for i := range 160 {
			b = append(b, byte(i*i*7+seed*(31+i)))
		}
		f.Add(b)
	}
	ips := prefixList("0.0.0.0/0 10.0.0.0/8 10.1.0.0/16 10.1.2.3/32 127.0.0.0/8 255.255.255.255/32 ::/0 fe80::/10 ::1/128")
	addresses := []string{"10.1.2.3:80", "10.1.9.9:80", "10.9.9.9:443", "127.0.0.1:80", "127.0.0.2:81", "192.168.0.1:443", "[::1]:80", "[fe80::1%lo]:443", "[2001::1]:7", ""}
	serverNames := []string{"a.example.com", ".example.com", ".com", "b.example.com", "com"}
	f.Fuzz(func(t *testing.T, b []byte) {
		c := choices(b)
		l := &config.Listener{}
		for i := range 1 + c.next(12) {
			l.Chains = append(l.Chains, &config.FilterChain{ID: fmt.Sprint(i), Hash: config.Hash{byte(i)}, Match: config.ChainMatch{
				DestinationPort: pick[uint16](&c, 0, 0, 80, 443),
				Destinations:    some(&c, ips...),
				ServerNames:     some(&c, serverNames...),
				Transport:       pick(&c, "", "tls", "raw_buffer"),
				Applications:    some(&c, "h2", "http/1.1", "istio"),
				DirectSources:   some(&c, ips...),
				SourceType:      config.SourceType(c.next(3)),
				Sources:         some(&c, ips...),
				SourcePorts:     some[uint16](&c, 80, 443, 7),
			}})
			if c.next(3) > 0 { // most chains of real listeners ask for one or two things
				m := &l.Chains[i].Match
				m.Sources, m.DirectSources, m.SourcePorts, m.SourceType = nil, nil, nil, config.AnySource
			}
		}
		if c.next(2) == 0 {
			l.Default = &config.FilterChain{ID: "default"}
		}
		// Two chains that ask for the same are refused before they come here.
		for i := len(l.Chains) - 1; i >= 0; i-- {
			for _, d := range l.Chains[:i] {
				if sameSomewhere(&l.Chains[i].Match, &d.Match) {
					l.Chains = slices.Delete(l.Chains, i, i+1)
					break
				}
			}
		}
		chains := Compile(l, nil, func(c *config.FilterChain) *Chain { return &Chain{Config: c} })
		address := func() netip.AddrPort {
			a, _ := netip.ParseAddrPort(pick(&c, addresses...))
			return a
		}
		for range 8 {
			in := Input{Destination: address(), Direct: address(), Source: address(), Transport: pick(&c, "tls", "raw_buffer"),
				ServerName: pick(&c, "", "a.example.com", "x.a.example.com", "example.com", ".example.com", "a.com", "com", "com.", "a.example.com."), Applications: some(&c, "h2", "http/1.1", "x", "istio")}
			want := slowly(l, &in)
			got := chains.Match(&in)
			if (got == nil) != (want == nil) || got != nil && got.Config != want {
				t.Fatalf("%+v\n got %+v\nwant %+v", in, got, want)
			}
		}
	})
}

func sameSomewhere(a, b *config.ChainMatch) bool {
	return a.DestinationPort == b.DestinationPort && a.Transport == b.Transport && a.SourceType == b.SourceType && shares(a.Destinations, b.Destinations) &&
		shares(a.ServerNames, b.ServerNames) && shares(a.Applications, b.Applications) && shares(a.DirectSources, b.DirectSources) && shares(a.Sources, b.Sources) && shares(a.SourcePorts, b.SourcePorts)
}

func shares[T comparable](a, b []T) bool {
	return len(a) == 0 && len(b) == 0 || slices.ContainsFunc(a, func(v T) bool { return slices.Contains(b, v) })
}
