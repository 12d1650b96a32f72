package decode

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	statev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/telemetry/accesslog"
)

// The functions below read for HTTP filters what their messages have in common with the rest of a configuration. p is the path within
// the filter's message; an error is of type Problems, and the table has seen the message already.

func part[M, C any](m M, path string, read func(*session, M, *at) C) (C, error) {
	s := (&Decoder{}).session()
	c := read(s, m, (*at)(nil).field(path))
	return c, s.err()
}

// HeaderMatches reads conditions on a request's header.
func HeaderMatches(list []*routev3.HeaderMatcher, path string) ([]config.HeaderMatch, error) {
	return part(list, path, func(s *session, list []*routev3.HeaderMatcher, p *at) []config.HeaderMatch {
		var out []config.HeaderMatch
		for i, m := range list {
			out = append(out, s.headerMatch(m, p.item(i)))
		}
		return out
	})
}

// StringMatches reads conditions on a string.
func StringMatches(list []*matcherv3.StringMatcher, path string) ([]config.StringMatch, error) {
	return part(list, path, func(s *session, list []*matcherv3.StringMatcher, p *at) []config.StringMatch {
		var out []config.StringMatch
		for i, m := range list {
			out = append(out, s.stringMatch(m, p.item(i)))
		}
		return out
	})
}

// HeaderAdditions reads fields to be added.
func HeaderAdditions(list []*corev3.HeaderValueOption, path string) ([]config.HeaderAdd, error) {
	return part(list, path, (*session).additions)
}

// Fraction reads a share; nothing said is none.
func Fraction(m *typev3.FractionalPercent) config.Fraction {
	in := uint32(100)
	switch m.GetDenominator() {
	case typev3.FractionalPercent_TEN_THOUSAND:
		in = 10_000
	case typev3.FractionalPercent_MILLION:
		in = 1_000_000
	}
	return config.Fraction{Of: min(m.GetNumerator(), in), In: in}
}

// RuntimeFraction reads a share that a runtime key may change.
func RuntimeFraction(m *corev3.RuntimeFractionalPercent, otherwise config.Fraction) config.Fraction {
	if m == nil {
		return otherwise
	}
	f := Fraction(m.GetDefaultValue())
	f.Key = config.RuntimeKey(m.GetRuntimeKey())
	return f
}

// Duration reads a span of time that cannot be negative.
func Duration(m *durationpb.Duration, path string) (time.Duration, error) {
	return part(m, path, func(s *session, m *durationpb.Duration, p *at) time.Duration { return s.duration(m, 0, p) })
}

// Wrong is one thing that is wrong, as an error.
func Wrong(path, format string, args ...any) error {
	return Problems{{Path: path, Text: fmt.Sprintf(format, args...)}}
}

// Format reads a text with operators. An empty one is refused.
func Format(m *corev3.SubstitutionFormatString, path string) (*accesslog.Format, error) {
	return part(m, path, (*session).someText)
}

// someText is a text with operators that is not empty.
func (s *session) someText(m *corev3.SubstitutionFormatString, p *at) *accesslog.Format {
	if f, ok := m.GetFormat().(*corev3.SubstitutionFormatString_TextFormat); ok && f.TextFormat == "" {
		s.problem(p.field("text_format"), "a text is missing")
	}
	return s.format(m, p)
}

// Text reads a text with operators that writes nothing for what is missing.
func Text(text, path string) (*accesslog.Format, error) {
	return part(text, path, func(s *session, text string, p *at) *accesslog.Format {
		f, err := accesslog.Parse(text, accesslog.Options{OmitEmpty: true, Expression: inFormats})
		if err != nil {
			s.problem(p, "%v", err)
		}
		return f
	})
}

// Removal reads the name of a field that is to be removed.
func Removal(name, path string) (string, error) {
	list, err := part([]string{name}, path, (*session).removals)
	return list[0], err
}

// Substitution reads a pattern whose matches, wherever they are, are replaced, and by what, as regexp.Expand wants it.
func Substitution(m *matcherv3.RegexMatchAndSubstitute, path string) (*regexp.Regexp, string, error) {
	r, err := part(m, path, (*session).replacement)
	if err != nil {
		return nil, "", err
	}
	var by strings.Builder
	for _, p := range r.With {
		if p.Text == "" {
			fmt.Fprintf(&by, "${%d}", p.Group)
		}
		by.WriteString(strings.ReplaceAll(p.Text, "$", "$$"))
	}
	return r.Pattern, by.String(), nil
}

// minInterval is Envoy's.
const minInterval = 50 * time.Millisecond

// Rate reads how a token bucket fills.
func Rate(m *typev3.TokenBucket, path string) (config.Rate, error) {
	return part(m, path, (*session).rate)
}

func (s *session) rate(m *typev3.TokenBucket, p *at) config.Rate {
	r := config.Rate{Tokens: m.GetMaxTokens(), Fill: u32(m.GetTokensPerFill(), 1), Interval: m.GetFillInterval().AsDuration()}
	switch {
	case r.Interval < minInterval:
		s.problem(p.field("fill_interval"), "%v: want %v or more", r.Interval, minInterval)
	case float64(r.Tokens)*float64(r.Interval)/float64(max(r.Fill, 1)) >= math.MaxInt64/4: // what buckets reckon with
		s.problem(p, "would take more than 73 years to fill")
	}
	return r
}

// maxStates is what an exchange has room for.
const maxStates = filters.MaxFilterState

// FilterStates reads named values that are set.
func FilterStates(list []*statev3.FilterStateValue, path string) ([]config.SetState, error) {
	return part(list, path, (*session).filterStates)
}

func (s *session) filterStates(list []*statev3.FilterStateValue, p *at) []config.SetState {
	if len(list) > maxStates {
		s.problem(p, "%d: an exchange has room for %d", len(list), maxStates)
		return nil
	}
	var out []config.SetState
	for i, m := range list {
		p := p.item(i)
		switch factory := m.GetFactoryKey(); factory {
		case "envoy.string", "envoy.hashable_string", "istio.hashable_string":
		case "":
			s.problem(p.field("factory_key"), "is missing: want envoy.string, since a value is text here")
		default:
			s.problem(p.field("factory_key"), "%q: not supported yet: a value is text: want envoy.string", factory)
		}
		out = append(out, config.SetState{Name: m.GetObjectKey(), Format: s.someText(m.GetFormatString(), p.field("format_string")), SkipEmpty: m.GetSkipIfEmpty(), Hashable: m.GetFactoryKey() != "envoy.string"})
	}
	return out
}
