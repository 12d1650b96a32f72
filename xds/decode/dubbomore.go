package decode

import (
	"math"
	"slices"

	"google.golang.org/protobuf/types/known/anypb"

	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	dubbov1 "github.com/weftmesh/weft/api/dubbo/v1"
	"github.com/weftmesh/weft/config"
)

// dubboKey is where a weft.dubbo.v1.Route stands in a route's typed metadata.
const dubboKey = "weft.dubbo"

// Bounds of what a route may ask for: Java's methods have no more parameters, and a call that fails so often is not going to succeed.
const (
	maxDubboArguments = 255
	maxDubboAttempts  = 10
)

// dubboMore reads what Envoy's routes have no words for.
func (s *session) dubboMore(any *anypb.Any, r *config.DubboRoute, p *at) {
	m := in[*dubbov1.Route](s, any)
	if m == nil {
		return
	}
	if match := m.GetMatch(); match != nil {
		r.More = s.dubboMatch(match, p.field("match"))
	}
	r.Timeout = s.duration(m.GetTimeout(), 0, p.field("timeout"))
	if again := m.GetRetry(); again != nil {
		p := p.field("retry")
		r.Retry = &config.DubboRetry{Attempts: again.GetAttempts(), PerTry: s.duration(again.GetPerTryTimeout(), 0, p.field("per_try_timeout")), Idempotent: again.GetIdempotent()}
		if n := again.GetAttempts(); n < 1 || n > maxDubboAttempts {
			s.problem(p.field("attempts"), "%d: want 1 to %d", n, maxDubboAttempts)
		}
	}
	for i, mirror := range m.GetMirrors() {
		p := p.field("mirrors").item(i)
		to := config.DubboMirror{Cluster: mirror.GetCluster(), Share: config.Always}
		if to.Cluster == "" {
			s.problem(p.field("cluster"), "a name is missing")
		}
		if f := mirror.GetFraction(); f != nil {
			to.Share = Fraction(f)
		}
		r.Mirrors = append(r.Mirrors, to)
	}
	for name, to := range m.GetFallbacks() {
		p := p.field("fallbacks").key(name)
		switch {
		case name == "":
			s.problem(p, "the name of a cluster is missing")
		case len(to.GetClusters()) == 0:
			s.problem(p.field("clusters"), "is empty: want the cluster that calls go to when %q has nobody", name)
		case slices.Contains(to.GetClusters(), ""):
			s.problem(p.field("clusters"), "a name is missing")
		}
		if r.Fallbacks == nil {
			r.Fallbacks = map[string][]string{}
		}
		r.Fallbacks[name] = to.GetClusters()
	}
}

func (s *session) dubboMatch(m *dubbov1.Match, p *at) *config.DubboMore {
	out := &config.DubboMore{}
	for i, service := range m.GetServices() {
		out.Services = append(out.Services, s.checkedMatch(service, p.field("services").item(i)))
	}
	if n := m.GetArgc(); n != nil {
		argc := n.GetValue()
		out.Argc = &argc
	}
	for i, a := range m.GetArguments() {
		p := p.field("arguments").item(i)
		one := config.DubboParameter{Index: a.GetIndex(), Type: a.GetType()}
		if one.Index >= maxDubboArguments {
			s.problem(p.field("index"), "%d: a method has at most %d parameters, the first of which is 0", one.Index, maxDubboArguments)
		}
		switch v := a.GetValue().(type) {
		case *dubbov1.Argument_Texts:
			one.Value = s.dubboTexts(v.Texts, p.field("texts"))
		case *dubbov1.Argument_Numbers:
			one.Value = s.dubboNumbers(v.Numbers, p.field("numbers"))
		case *dubbov1.Argument_Booleans:
			if one.Value = (&config.DubboValue{Kind: config.DubboBooleans, None: v.Booleans.GetNone(), Booleans: v.Booleans.GetValues()}); len(one.Value.Booleans) == 0 {
				s.problem(p.field("booleans").field("values"), "is empty: want true or false")
			}
		}
		out.Arguments = append(out.Arguments, one)
	}
	for i, a := range m.GetAttachments() {
		p := p.field("attachments").item(i)
		if a.GetName() == "" {
			s.problem(p.field("name"), "a name is missing")
		}
		out.Attachments = append(out.Attachments, config.DubboAttachment{Name: a.GetName(), Value: *s.dubboTexts(a.GetTexts(), p.field("texts"))})
	}
	return out
}

func (s *session) dubboTexts(m *dubbov1.Texts, p *at) *config.DubboValue {
	out := &config.DubboValue{Kind: config.DubboTexts, None: m.GetNone()}
	for i, one := range m.GetPatterns() {
		out.Texts = append(out.Texts, s.checkedMatch(one, p.field("patterns").item(i)))
	}
	if len(out.Texts) == 0 {
		s.problem(p.field("patterns"), "is empty: want what the text has to be")
	}
	return out
}

func (s *session) dubboNumbers(m *dubbov1.Numbers, p *at) *config.DubboValue {
	out := &config.DubboValue{Kind: config.DubboNumbers, None: m.GetNone()}
	for i, one := range m.GetPatterns() {
		p := p.field("patterns").item(i)
		var n config.DubboNumber
		switch v := one.GetPattern().(type) {
		case *dubbov1.Number_Exact:
			if n.From, n.To = v.Exact, v.Exact; math.IsNaN(v.Exact) {
				s.problem(p.field("exact"), "NaN is no number, and equals none")
			}
		case *dubbov1.Number_Range:
			if n.From, n.To = v.Range.GetStart(), v.Range.GetEnd(); !(n.From < n.To) {
				s.problem(p.field("range"), "nothing is in [%v, %v): want start below end", n.From, n.To)
			}
		default:
			s.problem(p, "is empty: want exact or range")
		}
		out.Numbers = append(out.Numbers, n)
	}
	if len(out.Numbers) == 0 {
		s.problem(p.field("patterns"), "is empty: want what the number has to be")
	}
	return out
}

// checkedMatch is a condition on a text in a message that does not look after its own parts.
func (s *session) checkedMatch(m *matcherv3.StringMatcher, p *at) config.StringMatch {
	s.validate(m, p)
	return s.stringMatch(m, p)
}
