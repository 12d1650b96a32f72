package listener

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/weftmesh/weft/config"
)

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
			// The index finds what walking the questions finds, and the walk says of every other chain why it is not the one.
			want, steps := chains.Explain(&in)
			if got := chains.Match(&in); got != want {
				t.Fatalf("%+v\n got %+v\nwant %+v\n%+v", in, got, want, steps)
			}
			met := 0
			for i, s := range steps {
				if s.Why == "" || s.Name == "" {
					t.Fatalf("%+v\nchain %d says nothing: %+v", in, i, s)
				}
				if s.Met {
					met++
				}
			}
			if (met == 1) != (want != nil) || met > 1 {
				t.Fatalf("%d chains are met: %+v", met, steps)
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
