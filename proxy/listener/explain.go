package listener

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/match"
)

// Connection is what is said of a connection that nobody makes: explain asks what it would meet.
type Connection struct {
	Source netip.AddrPort
	// Destination is where the client connects to. Redirected says that something on the way, not the client, brings it to the listener.
	Destination netip.AddrPort
	Redirected  bool
	HandedOver  bool // another listener has found out where it was going
	TLS         bool
	ServerName  string
	// Applications are what TLS offers, or, in plain text, the version of HTTP that would be seen; none: no HTTP.
	Applications []string
}

// Look finds out what the filters of the listener would, as inspect does with bytes. handOver is where the connection would be handed over
// to, if some listener is there; notes are what is to be known beside it.
func (l *Listener) Look(c *Connection) (in Input, handOver netip.AddrPort, notes []string) {
	local := c.Destination
	if c.Redirected && !c.HandedOver && !l.Config.Transparent {
		local = l.Address.AddrPort
	}
	in = Input{Destination: local, Direct: c.Source, Source: c.Source, Transport: "raw_buffer"}
	asked, sniffed := local == c.Destination, false
	for i := range l.Config.Filters {
		f := &l.Config.Filters[i]
		off := f.Disabled != nil && matches(f.Disabled, &in)
		if off {
			notes = append(notes, fmt.Sprintf("listener filter %d is off for this destination (filter_disabled)", i))
			continue
		}
		switch f.Kind {
		case config.LookForDestination:
			if c.Redirected {
				in.Destination, asked, handOver = c.Destination, true, c.Destination
			}
		case config.LookForTLS:
			sniffed = true
			switch {
			case c.TLS:
				in.Transport, in.ServerName, in.Applications = "tls", c.ServerName, c.Applications
			case f.CloseOther:
				notes = append(notes, "the TLS inspector closes connections in plain text (close_connection_on_client_hello_parsing_errors)")
			}
		case config.LookForHTTP:
			if in.Transport == "raw_buffer" && !c.TLS {
				in.Applications = c.Applications
			}
		case config.ReadProxyHeader:
			notes = append(notes, "the listener reads a PROXY protocol header; source and address are taken as if it had said them")
			in.Destination, asked = c.Destination, true
		case config.KeepSource:
			notes = append(notes, fmt.Sprintf("connections to endpoints seem to come from %s (original_src)", c.Source.Addr()))
		}
	}
	if !l.Config.HandOver || c.HandedOver {
		handOver = netip.AddrPort{}
	}
	if !asked {
		notes = append(notes, fmt.Sprintf("the listener does not look for the original destination (no original_dst filter): its chains see %s", local))
	}
	if c.TLS && !sniffed && (c.ServerName != "" || len(c.Applications) > 0) {
		notes = append(notes, "the listener has no TLS inspector: its chains see neither server name nor protocols, and take the connection for plain text")
	}
	return in, handOver, notes
}

// Places finds listeners by address, as connections are handed over.
type Places map[netip.AddrPort]*Listener

// Add puts a listener in.
func (p Places) Add(l *Listener) {
	add := func(a netip.AddrPort) {
		if a.IsValid() {
			p[netip.AddrPortFrom(a.Addr().Unmap(), a.Port())] = l
		}
	}
	if l.Config.Unbound {
		add(l.Address.AddrPort)
	}
	for _, s := range l.sockets {
		add(s.at.AddrPort)
	}
}

// At is the listener at an address, or else the one at all addresses of its port; nil: there is none.
func (p Places) At(a netip.AddrPort) *Listener {
	return at(p, a, func(l *Listener) bool { return l.Config.IPv4Compat })
}

// Has tells whether a listener's socket is at an address: then nothing has to redirect the connection.
func (l *Listener) Has(a netip.AddrPort) bool {
	if l.Config.Unbound {
		return false
	}
	p := Places{}
	p.Add(l)
	return p.At(netip.AddrPortFrom(a.Addr().Unmap(), a.Port())) != nil
}

// ChainStep is a filter chain that was looked at.
type ChainStep struct {
	Name  string `json:"name"`
	Match string `json:"match"`
	Met   bool   `json:"met"`
	Why   string `json:"why"`
}

// Explain walks the chains without the index: of those that are left, each question leaves the ones that answer it in the most particular way
// that fits. The chain is the one that Match finds; nil: the connection is closed.
func (s *Chains) Explain(in *Input) (*Chain, []ChainStep) {
	chosen := s.other
	var steps []ChainStep
	count := len(s.All)
	if s.other != nil {
		count--
	}
	for i, c := range s.All[:count] {
		steps = append(steps, ChainStep{Name: chainName(c.Config, i), Match: matchWords(&c.Config.Match)})
	}
	if s.by != nil {
		i, led := match.Find(s.by, in)
		if led {
			chosen = s.All[i]
		}
		for k := range steps {
			steps[k].Match = ""
			if steps[k].Met = led && k == i; steps[k].Met {
				steps[k].Why = "the listener's filter_chain_matcher leads here"
			} else {
				steps[k].Why = "the listener's filter_chain_matcher leads elsewhere"
			}
		}
	} else if i := s.walk(in, steps); i >= 0 {
		chosen = s.All[i]
	}
	if s.other != nil {
		d := ChainStep{Name: chainName(s.other.Config, -1), Met: chosen == s.other, Why: "it is for what no other chain matches, and one does"}
		if d.Met {
			d.Why = "no other chain matches"
		}
		steps = append(steps, d)
	}
	return chosen, steps
}

// walk says of each chain why it is not the one, and gives the position of the one that is; -1: none.
func (s *Chains) walk(in *Input, steps []ChainStep) int {
	left := make([]int, len(steps))
	for i := range left {
		left[i] = i
	}
	for q := range questions {
		best := 0
		for _, i := range left {
			best = max(best, questions[q].rank(&s.All[i].Config.Match, in))
		}
		closer := 0
		for _, i := range left {
			if questions[q].rank(&s.All[i].Config.Match, in) == best {
				closer = i
				break
			}
		}
		left = slices.DeleteFunc(left, func(i int) bool {
			m := &s.All[i].Config.Match
			switch rank := questions[q].rank(m, in); {
			case rank < 0:
				steps[i].Why = fmt.Sprintf("%s: want %s, is %s", questions[q].name, questions[q].want(m), questions[q].given(in))
			case rank < best:
				steps[i].Why = fmt.Sprintf("%s: chain %s asks for it more closely, and the closest is taken for good", questions[q].name, steps[closer].Name)
			default:
				return false
			}
			return true
		})
	}
	if len(left) == 0 {
		return -1
	}
	steps[left[0]].Met = true
	steps[left[0]].Why = "it matches"
	if steps[left[0]].Match == matchesAll {
		steps[left[0]].Why = "it is for every connection"
	}
	return left[0]
}

func chainName(c *config.FilterChain, i int) string {
	switch {
	case c.Name != "":
		return c.Name
	case i < 0:
		return "default"
	}
	return fmt.Sprintf("#%d", i)
}

// NameOf is what explain calls a chain.
func (s *Chains) NameOf(c *Chain) string {
	if c == s.other {
		return chainName(c.Config, -1)
	}
	return chainName(c.Config, slices.Index(s.All, c))
}

// question is one thing that chains may ask of a connection. rank tells how closely a chain's answer fits: -1 not, 0 it does not ask, more the
// closer.
type question struct {
	name  string
	rank  func(*config.ChainMatch, *Input) int
	want  func(*config.ChainMatch) string
	given func(*Input) string
}

// questions are all there are, in the order of precedence.
var questions = [...]question{
	{"destination port",
		func(m *config.ChainMatch, in *Input) int { return rankOne(m.DestinationPort, in.Destination.Port()) },
		func(m *config.ChainMatch) string { return fmt.Sprint(m.DestinationPort) },
		func(in *Input) string { return fmt.Sprint(in.Destination.Port()) }},
	{"destination address",
		func(m *config.ChainMatch, in *Input) int { return rankPrefixes(m.Destinations, in.Destination.Addr()) },
		func(m *config.ChainMatch) string { return anyOf(m.Destinations) },
		func(in *Input) string { return addressWords(in.Destination.Addr()) }},
	{"server name",
		func(m *config.ChainMatch, in *Input) int { return rankNames(m.ServerNames, in.ServerName) },
		func(m *config.ChainMatch) string { return anyOf(starred(m.ServerNames)) },
		func(in *Input) string { return orNone(in.ServerName) }},
	{"transport protocol",
		func(m *config.ChainMatch, in *Input) int { return rankOne(m.Transport, in.Transport) },
		func(m *config.ChainMatch) string { return m.Transport },
		func(in *Input) string { return in.Transport }},
	{"application protocols",
		func(m *config.ChainMatch, in *Input) int { return rankFirst(m.Applications, in.Applications) },
		func(m *config.ChainMatch) string { return anyOf(m.Applications) },
		func(in *Input) string { return orNone(strings.Join(in.Applications, ", ")) }},
	{"address of the peer",
		func(m *config.ChainMatch, in *Input) int { return rankPrefixes(m.DirectSources, in.Direct.Addr()) },
		func(m *config.ChainMatch) string { return anyOf(m.DirectSources) },
		func(in *Input) string { return addressWords(in.Direct.Addr()) }},
	{"source type",
		func(m *config.ChainMatch, in *Input) int {
			switch {
			case m.SourceType == config.AnySource:
				return 0
			case (m.SourceType == config.LocalSource) == isLocal(in.Source.Addr(), in.Destination.Addr()):
				return 1
			}
			return -1
		},
		func(m *config.ChainMatch) string { return sourceWords(m.SourceType == config.LocalSource) },
		func(in *Input) string { return sourceWords(isLocal(in.Source.Addr(), in.Destination.Addr())) }},
	{"source address",
		func(m *config.ChainMatch, in *Input) int { return rankPrefixes(m.Sources, in.Source.Addr()) },
		func(m *config.ChainMatch) string { return anyOf(m.Sources) },
		func(in *Input) string { return addressWords(in.Source.Addr()) }},
	{"source port",
		func(m *config.ChainMatch, in *Input) int {
			if in.Source.Port() != 0 && slices.Contains(m.SourcePorts, in.Source.Port()) {
				return 1
			}
			return min(0, -len(m.SourcePorts))
		},
		func(m *config.ChainMatch) string { return anyOf(m.SourcePorts) },
		func(in *Input) string { return fmt.Sprint(in.Source.Port()) }},
}

func rankOne[T comparable](want, is T) int {
	var none T
	switch want {
	case none:
		return 0
	case is:
		return 1
	}
	return -1
}

func rankPrefixes(list []netip.Prefix, a netip.Addr) int {
	if !a.IsValid() {
		a = netip.AddrFrom4([4]byte{255, 255, 255, 255}) // as prefixes.longest has it
	}
	best := min(0, -len(list))
	for _, p := range list {
		if p.Contains(a.WithZone("")) {
			best = max(best, p.Bits()+1)
		}
	}
	return best
}

// rankNames ranks a whole name above every end of it, and longer ends above shorter ones.
func rankNames(list []string, name string) int {
	const whole = 1 << 20
	best := min(0, -len(list))
	for _, n := range list {
		switch {
		case n == name:
			best = whole
		case n[0] == '.' && len(name) > 1 && strings.HasSuffix(name[1:], n) && !strings.HasSuffix(name, "."):
			best = max(best, len(n))
		}
	}
	return best
}

// rankFirst ranks by the dearest of the protocols that is asked for.
func rankFirst(list, protocols []string) int {
	for i, p := range protocols {
		if slices.Contains(list, p) {
			return len(protocols) - i
		}
	}
	return min(0, -len(list))
}

// matchesAll are the words for a chain that asks for nothing.
const matchesAll = "everything"

// matchWords are what a chain asks for, in one line.
func matchWords(m *config.ChainMatch) string {
	var list []string
	asks := [...]bool{m.DestinationPort != 0, len(m.Destinations) > 0, len(m.ServerNames) > 0, m.Transport != "", len(m.Applications) > 0,
		len(m.DirectSources) > 0, m.SourceType != config.AnySource, len(m.Sources) > 0, len(m.SourcePorts) > 0}
	for i := range questions {
		if asks[i] {
			list = append(list, questions[i].name+" "+questions[i].want(m))
		}
	}
	if len(list) == 0 {
		return matchesAll
	}
	return strings.Join(list, ", ")
}

// mostNamed bounds how much of a list is said.
const mostNamed = 8

func anyOf[T any](list []T) string {
	var words []string
	for _, v := range list[:min(len(list), mostNamed)] {
		words = append(words, fmt.Sprint(v))
	}
	if more := len(list) - mostNamed; more > 0 {
		words = append(words, fmt.Sprintf("%d more", more))
	}
	return strings.Join(words, " or ")
}

// starred are names as they were configured.
func starred(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		if out[i] = n; n[0] == '.' {
			out[i] = "*" + n
		}
	}
	return out
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func addressWords(a netip.Addr) string {
	if !a.IsValid() {
		return "none (a Unix socket)"
	}
	return a.String()
}

func sourceWords(local bool) string {
	if local {
		return "this host itself"
	}
	return "elsewhere"
}
