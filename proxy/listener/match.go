package listener

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/match"
	"github.com/weftmesh/weft/proxy/dubbo"
	"github.com/weftmesh/weft/proxy/l4"
	"github.com/weftmesh/weft/proxy/l7"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/tls"
	"github.com/weftmesh/weft/wire/hello"
)

// Chain is a running filter chain. Exactly one of HTTP, TCP, Dubbo and Answer is set.
type Chain struct {
	Config *config.FilterChain
	Guards l4.Guards
	Rules  *l4.Rules    // nil: none
	TLS    *tls.Context // nil: plain text
	HTTP   *l7.Server
	TCP    *l4.Server
	Dubbo  *dubbo.Server
	Answer *l4.Answer

	requests *telemetry.Owner // of l7.ListenerStats, if it is HTTP
	ssl      *telemetry.Owner // of tls.ListenerStats, if it speaks TLS
	agreed   *telemetry.Owner // of tls.ListenerAgreed, likewise
}

// Chains are the filter chains of a listener and the index by which a connection finds its own. They are not written to after they were
// made.
type Chains struct {
	All   []*Chain        // the default one last
	by    *config.Matcher // finds a chain by its number; nil: ports does
	only  *Chain          // that everything meets, if nothing need be asked
	other *Chain          // the default; nil: none
	ports map[uint16]*prefixes[names]
	dubbo bool // one asks for connections of Dubbo, so that somebody has to look for them
}

// Input is what is known of a connection when its chain is chosen. The order of these is the order of precedence.
type Input struct {
	Destination  netip.AddrPort // not valid for a Unix socket
	ServerName   string         // in lower case; empty: none was named
	Transport    string         // "tls" or "raw_buffer"
	Applications []string       // protocols, the dearest first
	Direct       netip.AddrPort // the peer of the socket
	Source       netip.AddrPort // whom the connection is from
}

// The index is one map within the other, a level for each question. Zero values stand for chains that do not ask.
type (
	names        map[string]transports
	transports   map[string]applications
	applications map[string]*prefixes[sourceTypes]
	sourceTypes  [3]*prefixes[sourcePorts]
	sourcePorts  map[uint16]*Chain
)

// Compile makes the chains of a listener. Those of old that did not change are taken over; build makes the others.
func Compile(c *config.Listener, old *Chains, build func(*config.FilterChain) *Chain) *Chains {
	known := map[config.Hash]*Chain{}
	if old != nil {
		for _, o := range old.All {
			known[o.Config.Hash] = o
		}
	}
	find := func(f *config.FilterChain) *Chain {
		if o := known[f.Hash]; o != nil && o.Config.ID == f.ID {
			return o
		}
		return build(f)
	}
	s := &Chains{ports: map[uint16]*prefixes[names]{}}
	for _, f := range c.Chains {
		chain := find(f)
		if s.All = append(s.All, chain); c.Matcher == nil {
			s.add(chain)
		}
	}
	if c.Default != nil {
		s.other = find(c.Default)
		s.All = append(s.All, s.other)
	}
	if s.by = c.Matcher; s.by != nil {
		return s
	}
	if len(s.All) == 1 && (len(c.Chains) == 0 || asksNothing(&c.Chains[0].Match)) {
		s.only = s.All[0]
	}
	return s
}

func asksNothing(m *config.ChainMatch) bool {
	return m.DestinationPort == 0 && m.Transport == "" && m.SourceType == config.AnySource &&
		len(m.Destinations)+len(m.ServerNames)+len(m.Applications)+len(m.DirectSources)+len(m.Sources)+len(m.SourcePorts) == 0
}

// add puts a chain under each combination of what it asks for.
func (s *Chains) add(c *Chain) {
	m := &c.Config.Match
	s.dubbo = s.dubbo || slices.Contains(m.Applications, hello.Dubbo)
	destinations := within(s.ports, m.DestinationPort, newPrefixes[names])
	for _, destination := range orAny(m.Destinations) {
		byName := destinations.at(destination, func() names { return names{} })
		for _, name := range orAny(m.ServerNames) {
			byTransport := within(byName, name, func() transports { return transports{} })
			byApplication := within(byTransport, m.Transport, func() applications { return applications{} })
			for _, application := range orAny(m.Applications) {
				direct := within(byApplication, application, newPrefixes[sourceTypes])
				for _, d := range orAny(m.DirectSources) {
					types := direct.at(d, func() sourceTypes { return sourceTypes{} })
					if types[m.SourceType] == nil {
						types[m.SourceType] = newPrefixes[sourcePorts]()
						direct.set(d, types)
					}
					for _, source := range orAny(m.Sources) {
						byPort := types[m.SourceType].at(source, func() sourcePorts { return sourcePorts{} })
						for _, port := range orAny(m.SourcePorts) {
							byPort[port] = c
						}
					}
				}
			}
		}
	}
}

// orAny is the list, or the one zero that stands for an empty one.
func orAny[T any](list []T) []T {
	if len(list) == 0 {
		return make([]T, 1)
	}
	return list
}

func within[K comparable, V any](m map[K]V, k K, make func() V) V {
	v, ok := m[k]
	if !ok {
		v = make()
		m[k] = v
	}
	return v
}

// Match finds the chain of a connection, or nil. At each question the most particular answer that fits is taken for good: if what lies
// behind it fits nothing, the connection gets the default chain, not a less particular one. So does Envoy.
func (s *Chains) Match(in *Input) *Chain {
	if s.only != nil {
		return s.only
	}
	if s.by != nil {
		if i, ok := match.Find(s.by, in); ok {
			return s.All[i]
		}
		return s.other
	}
	if c := s.match(in); c != nil {
		return c
	}
	return s.other
}

// Text implements match.Inputs.
func (in *Input) Text(i *config.MatchInput) ([]byte, bool) {
	text := ""
	switch i.Of {
	case config.MatchDestinationPort:
		return portText(in.Destination)
	case config.MatchSourcePort:
		return portText(in.Source)
	case config.MatchSourceType:
		if isLocal(in.Source.Addr(), in.Destination.Addr()) {
			text = "local"
		}
	case config.MatchServerName:
		text = in.ServerName
	case config.MatchTransport:
		text = in.Transport
	case config.MatchApplications:
		if len(in.Applications) > 0 {
			text = "'" + strings.Join(in.Applications, "','") + "'"
		}
	default:
		a, ok := in.Addr(i)
		if !ok {
			return nil, false
		}
		text = a.String()
	}
	return []byte(text), text != ""
}

func portText(a netip.AddrPort) ([]byte, bool) {
	return strconv.AppendInt(nil, int64(a.Port()), 10), a.IsValid()
}

// Addr implements match.Inputs.
func (in *Input) Addr(i *config.MatchInput) (netip.Addr, bool) {
	var a netip.Addr
	switch i.Of {
	case config.MatchDestinationIP:
		a = in.Destination.Addr()
	case config.MatchSourceIP:
		a = in.Source.Addr()
	case config.MatchDirectSourceIP:
		a = in.Direct.Addr()
	}
	return a, a.IsValid()
}

func (s *Chains) match(in *Input) *Chain {
	destinations := either(s.ports, in.Destination.Port(), 0)
	byName, _ := destinations.longest(in.Destination.Addr())
	byTransport := byName.of(in.ServerName)
	byApplication := either(byTransport, in.Transport, "")
	direct := byApplication.of(in.Applications)
	types, _ := direct.longest(in.Direct.Addr())
	sources := types[config.AnySource]
	if types[config.LocalSource] != nil || types[config.OtherSource] != nil {
		t := types[config.OtherSource]
		if isLocal(in.Source.Addr(), in.Destination.Addr()) {
			t = types[config.LocalSource]
		}
		if t != nil {
			sources = t
		}
	}
	byPort, _ := sources.longest(in.Source.Addr())
	return either(byPort, in.Source.Port(), 0)
}

// either is what stands under k, or under the key of those that do not ask.
func either[K comparable, V any](m map[K]V, k, any K) V {
	if v, ok := m[k]; ok {
		return v
	}
	return m[any]
}

// of finds a name, or the longest end of it that begins with a dot.
func (n names) of(name string) transports {
	if t, ok := n[name]; ok || len(n) == 0 {
		return t
	}
	for at := 1; at < len(name); at++ {
		if at = indexFrom(name, at); at < 0 || at == len(name)-1 {
			break
		}
		if t, ok := n[name[at:]]; ok {
			return t
		}
	}
	return n[""]
}

func indexFrom(name string, at int) int {
	i := strings.IndexByte(name[at:], '.')
	if i < 0 {
		return -1
	}
	return at + i
}

// of finds the first protocol that some chain asks for.
func (a applications) of(protocols []string) *prefixes[sourceTypes] {
	for _, p := range protocols {
		if d, ok := a[p]; ok {
			return d
		}
	}
	return a[""]
}

// isLocal tells whether a connection comes from loopback or from where it goes to. Loopback is one address of each family, as for
// Envoy; the peer of a Unix socket is local.
func isLocal(source, destination netip.Addr) bool {
	return !source.IsValid() || source == netip.IPv6Loopback() || source == loopback4 || source == destination
}

var loopback4 = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// prefixes find the longest prefix that an address is in.
type prefixes[T any] struct {
	under   map[netip.Prefix]T // not valid: for who does not ask
	lengths [2][]int           // that there are, of IPv4 and IPv6, the longest first
}

func newPrefixes[T any]() *prefixes[T] { return &prefixes[T]{under: map[netip.Prefix]T{}} }

// at is what stands under a prefix; make makes it.
func (p *prefixes[T]) at(prefix netip.Prefix, make func() T) T {
	v, ok := p.under[prefix]
	if !ok {
		v = make()
		p.set(prefix, v)
	}
	return v
}

func (p *prefixes[T]) set(prefix netip.Prefix, v T) {
	p.under[prefix] = v
	if !prefix.IsValid() {
		return
	}
	list := &p.lengths[family(prefix.Addr())]
	if at, ok := slices.BinarySearchFunc(*list, prefix.Bits(), func(a, b int) int { return b - a }); !ok {
		*list = slices.Insert(*list, at, prefix.Bits())
	}
}

func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// longest finds what an address meets. An address that is not valid, of a Unix socket, counts as 255.255.255.255, as for Envoy.
func (p *prefixes[T]) longest(a netip.Addr) (v T, ok bool) {
	if p == nil {
		return v, false
	}
	if !a.IsValid() {
		a = netip.AddrFrom4([4]byte{255, 255, 255, 255})
	}
	for _, bits := range p.lengths[family(a)] {
		prefix, _ := a.WithZone("").Prefix(bits)
		if v, ok = p.under[prefix]; ok {
			return v, true
		}
	}
	v, ok = p.under[netip.Prefix{}]
	return v, ok
}
