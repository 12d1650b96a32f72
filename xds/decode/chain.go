package decode

import (
	"fmt"
	"math"
	"slices"
	"strings"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/weftmesh/weft/config"
)

func (s *session) chainMatch(m *listenerv3.FilterChainMatch, p *at) config.ChainMatch {
	c := config.ChainMatch{
		DestinationPort: uint16(min(u32(m.GetDestinationPort(), 0), math.MaxUint16)),
		Destinations:    s.prefixes(m.GetPrefixRanges(), p.field("prefix_ranges")),
		Transport:       m.GetTransportProtocol(),
		Applications:    m.GetApplicationProtocols(),
		DirectSources:   s.prefixes(m.GetDirectSourcePrefixRanges(), p.field("direct_source_prefix_ranges")),
		Sources:         s.prefixes(m.GetSourcePrefixRanges(), p.field("source_prefix_ranges")),
	}
	switch m.GetSourceType() {
	case listenerv3.FilterChainMatch_SAME_IP_OR_LOOPBACK:
		c.SourceType = config.LocalSource
	case listenerv3.FilterChainMatch_EXTERNAL:
		c.SourceType = config.OtherSource
	}
	for _, port := range m.GetSourcePorts() {
		c.SourcePorts = append(c.SourcePorts, uint16(min(port, math.MaxUint16)))
	}
	for i, name := range m.GetServerNames() {
		p := p.field("server_names").item(i)
		rest, wildcard := strings.CutPrefix(name, "*")
		switch {
		case name == "":
			s.problem(p, "a name is missing")
		case strings.Contains(rest, "*") || wildcard && (!strings.HasPrefix(rest, ".") || len(rest) < 2):
			s.problem(p, "%q: a * stands for whole labels at the beginning, as in *.example.com", name)
		case name != strings.ToLower(name):
			s.problem(p, "%q would never match: what clients ask for is compared in lower case", name)
		}
		c.ServerNames = append(c.ServerNames, rest)
	}
	unlisted(s, c.Destinations, p.field("prefix_ranges"))
	unlisted(s, c.DirectSources, p.field("direct_source_prefix_ranges"))
	unlisted(s, c.Sources, p.field("source_prefix_ranges"))
	unlisted(s, c.SourcePorts, p.field("source_ports"))
	unlisted(s, c.ServerNames, p.field("server_names"))
	unlisted(s, c.Applications, p.field("application_protocols"))
	return c
}

// unlisted refuses a list that says a thing twice, as Envoy does.
func unlisted[T comparable](s *session, list []T, p *at) {
	for i, v := range list {
		if slices.Contains(list[:i], v) {
			s.problem(p.item(i), "%v is listed twice", v)
		}
	}
}

// overlaps refuses chains between which nothing could decide, because something may be both.
func (s *session) overlaps(l *config.Listener, p *at) {
	for i, c := range l.Chains {
		for j, d := range l.Chains[:i] {
			if overlap(&c.Match, &d.Match) {
				s.problem(p.item(i).field("filter_chain_match"), "%s asks for the same as %s: nothing would tell which of the two is meant", chainCalled(c, i), chainCalled(d, j))
				break
			}
		}
	}
}

// overlap tells whether two matches have, for everything that they may ask, something in common. It is not asked whether one is more
// particular than the other: that decides.
func overlap(a, b *config.ChainMatch) bool {
	return a.DestinationPort == b.DestinationPort && a.Transport == b.Transport && a.SourceType == b.SourceType &&
		meet(a.Destinations, b.Destinations) && meet(a.ServerNames, b.ServerNames) && meet(a.Applications, b.Applications) &&
		meet(a.DirectSources, b.DirectSources) && meet(a.Sources, b.Sources) && meet(a.SourcePorts, b.SourcePorts)
}

func meet[T comparable](a, b []T) bool {
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	return slices.ContainsFunc(a, func(v T) bool { return slices.Contains(b, v) })
}

func chainCalled(c *config.FilterChain, i int) string {
	if c.Name == "" {
		return fmt.Sprintf("filter_chains[%d]", i)
	}
	return fmt.Sprintf("filter_chains[%d] (%q)", i, c.Name)
}
