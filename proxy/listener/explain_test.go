package listener

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/weftmesh/weft/config"
)

// TestExplainSaysWhy is about the words for each question: what is wanted and what is given.
func TestExplainSaysWhy(t *testing.T) {
	prefixes := func(s string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(s)} }
	in := Input{Destination: netip.MustParseAddrPort("10.0.0.1:80"), ServerName: "a.test", Transport: "tls", Applications: []string{"h2", "http/1.1"},
		Direct: netip.MustParseAddrPort("10.0.0.3:9"), Source: netip.MustParseAddrPort("10.0.0.2:7")}
	for _, c := range []struct {
		match config.ChainMatch
		want  string
	}{
		{config.ChainMatch{}, "it is for every connection"},
		{config.ChainMatch{DestinationPort: 80}, "it matches"},
		{config.ChainMatch{DestinationPort: 81}, "destination port: want 81, is 80"},
		{config.ChainMatch{Destinations: prefixes("10.1.0.0/16")}, "destination address: want 10.1.0.0/16, is 10.0.0.1"},
		{config.ChainMatch{ServerNames: []string{"b.test", ".b.test"}}, "server name: want b.test or *.b.test, is a.test"},
		{config.ChainMatch{Transport: "raw_buffer"}, "transport protocol: want raw_buffer, is tls"},
		{config.ChainMatch{Applications: []string{"istio"}}, "application protocols: want istio, is h2, http/1.1"},
		{config.ChainMatch{DirectSources: prefixes("10.0.0.2/32")}, "address of the peer: want 10.0.0.2/32, is 10.0.0.3"},
		{config.ChainMatch{SourceType: config.LocalSource}, "source type: want this host itself, is elsewhere"},
		{config.ChainMatch{Sources: prefixes("10.0.0.3/32")}, "source address: want 10.0.0.3/32, is 10.0.0.2"},
		{config.ChainMatch{SourcePorts: []uint16{8}}, "source port: want 8, is 7"},
	} {
		l := &config.Listener{Chains: []*config.FilterChain{{Name: "c", Match: c.match}}}
		_, steps := Compile(l, nil, func(c *config.FilterChain) *Chain { return &Chain{Config: c} }).Explain(&in)
		if len(steps) != 1 || steps[0].Why != c.want || steps[0].Name != "c" {
			t.Errorf("%+v\nwant %s", steps, c.want)
		}
	}
	// The closest is taken for good, even if what lies behind it fits nothing.
	l := &config.Listener{Chains: []*config.FilterChain{{Name: "wide", Match: config.ChainMatch{Destinations: prefixes("10.0.0.0/8")}, Hash: config.Hash{1}, ID: "1"},
		{Name: "close", Match: config.ChainMatch{Destinations: prefixes("10.0.0.0/24"), SourcePorts: []uint16{8}}, Hash: config.Hash{2}, ID: "2"}}, Default: &config.FilterChain{ID: "3", Hash: config.Hash{3}}}
	chain, steps := Compile(l, nil, func(c *config.FilterChain) *Chain { return &Chain{Config: c} }).Explain(&in)
	var why []string
	for _, s := range steps {
		why = append(why, s.Name+": "+s.Why)
	}
	want := []string{"wide: destination address: chain close asks for it more closely, and the closest is taken for good", "close: source port: want 8, is 7", "default: no other chain matches"}
	if chain.Config != l.Default || !slices.Equal(why, want) {
		t.Errorf("%q\nwant %q", why, want)
	}
}

// TestLook: what a chain sees of a connection is what the listener's filters look for.
func TestLook(t *testing.T) {
	bound, to := netip.MustParseAddrPort("127.0.0.1:15001"), netip.MustParseAddrPort("10.0.0.1:80")
	tls, http, original := config.ListenerFilter{Kind: config.LookForTLS}, config.ListenerFilter{Kind: config.LookForHTTP}, config.ListenerFilter{Kind: config.LookForDestination}
	off := tls
	off.Disabled = &config.ConnectionMatch{Ports: &config.PortRange{From: 80, To: 81}}
	for _, c := range []struct {
		name        string
		listener    config.Listener
		c           Connection
		destination netip.AddrPort
		transport   string
		name2       string
		notes       int
	}{
		{"straight", config.Listener{}, Connection{Destination: bound}, bound, "raw_buffer", "", 0},
		{"redirected, and nobody looks", config.Listener{}, Connection{Destination: to, Redirected: true}, bound, "raw_buffer", "", 1},
		{"redirected", config.Listener{Filters: []config.ListenerFilter{original}}, Connection{Destination: to, Redirected: true}, to, "raw_buffer", "", 0},
		{"transparent", config.Listener{Transparent: true}, Connection{Destination: to, Redirected: true}, to, "raw_buffer", "", 0},
		{"handed over", config.Listener{}, Connection{Destination: to, Redirected: true, HandedOver: true}, to, "raw_buffer", "", 0},
		{"TLS", config.Listener{Filters: []config.ListenerFilter{tls}}, Connection{Destination: bound, TLS: true, ServerName: "a"}, bound, "tls", "a", 0},
		{"TLS, and nobody looks", config.Listener{}, Connection{Destination: bound, TLS: true, ServerName: "a"}, bound, "raw_buffer", "", 1},
		{"TLS, and it is off there", config.Listener{Filters: []config.ListenerFilter{original, off}}, Connection{Destination: to, Redirected: true, TLS: true, ServerName: "a"}, to, "raw_buffer", "", 2},
		{"TLS before HTTP", config.Listener{Filters: []config.ListenerFilter{tls, http}}, Connection{Destination: bound, TLS: true}, bound, "tls", "", 0},
	} {
		c.listener.Address.AddrPort = bound
		l := &Listener{Config: &c.listener, Address: c.listener.Address}
		in, _, notes := l.Look(&c.c)
		if in.Destination != c.destination || in.Transport != c.transport || in.ServerName != c.name2 || len(notes) != c.notes {
			t.Errorf("%s: %+v, %q", c.name, in, notes)
		}
	}
}
