package decode

import (
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/weftmesh/weft/config"
)

// metadata reads what is said of something beside what is configured.
func (s *session) metadata(m *corev3.Metadata) config.Metadata {
	if len(m.GetFilterMetadata()) == 0 {
		return nil
	}
	return recall(&s.recent, m, func() config.Metadata {
		out := make(config.Metadata, len(m.GetFilterMetadata()))
		for name, v := range m.GetFilterMetadata() {
			out[name] = v.AsMap()
		}
		return out
	})
}

// object reads a JSON object.
func (s *session) object(m *structpb.Struct) map[string]any {
	return recall(&s.recent, m, m.AsMap)
}

// recent remembers values that resources say again and again, by their bytes: a mesh says the same of each cluster of a service, and the same
// match of every cluster. Of 3,000 clusters that is 6 MB and 20,000 maps (26 November 2026). What nobody has said for long is forgotten.
type recent struct {
	mu          sync.Mutex
	now, before map[config.Hash]any
}

// maxRecent is how many values are remembered at least and, twice as many, at most.
const maxRecent = 1024

// recall is what was read from the same bytes, or else what read reads.
func recall[V any](r *recent, m proto.Message, read func() V) V {
	key := hash(append(marshal(m), m.ProtoReflect().Descriptor().Name()...))
	r.mu.Lock()
	defer r.mu.Unlock()
	v, ok := r.now[key]
	if !ok {
		if v, ok = r.before[key]; !ok {
			v = read()
		}
		if len(r.now) >= maxRecent || r.now == nil {
			r.before, r.now = r.now, make(map[config.Hash]any)
		}
		r.now[key] = v
	}
	return v.(V)
}

func (s *session) metadataMatcher(m *matcherv3.MetadataMatcher, p *at) config.MetadataMatch {
	c := config.MetadataMatch{Namespace: m.GetFilter(), Invert: m.GetInvert(), Value: s.valueMatcher(m.GetValue(), 0, p.field("value"))}
	for _, segment := range m.GetPath() {
		c.Path = append(c.Path, segment.GetKey())
	}
	return c
}

// maxValueDepth bounds conditions on values within one another.
const maxValueDepth = 16

func (s *session) valueMatcher(m *matcherv3.ValueMatcher, depth int, p *at) (c config.ValueMatch) {
	if depth > maxValueDepth {
		s.problem(p, "conditions are nested more than %d deep", maxValueDepth)
		return c
	}
	switch v := m.GetMatchPattern().(type) {
	case *matcherv3.ValueMatcher_NullMatch_:
		c.Kind = config.ValueNull
	case *matcherv3.ValueMatcher_BoolMatch:
		c.Kind, c.Bool = config.ValueBool, v.BoolMatch
	case *matcherv3.ValueMatcher_PresentMatch:
		c.Kind, c.Bool = config.ValuePresent, v.PresentMatch
	case *matcherv3.ValueMatcher_StringMatch:
		c.Kind, c.String = config.ValueString, s.stringMatch(v.StringMatch, p.field("string_match"))
	case *matcherv3.ValueMatcher_DoubleMatch:
		c.Kind, c.From, c.To = config.ValueNumber, v.DoubleMatch.GetExact(), v.DoubleMatch.GetExact()
		if r := v.DoubleMatch.GetRange(); r != nil {
			if c.From, c.To = r.GetStart(), r.GetEnd(); c.From >= c.To {
				s.problem(p.field("double_match").field("range"), "nothing is in [%v, %v): want start below end", c.From, c.To)
			}
		}
	case *matcherv3.ValueMatcher_ListMatch:
		p := p.field("list_match").field("one_of")
		c.Kind, c.Parts = config.ValueList, []config.ValueMatch{s.valueMatcher(v.ListMatch.GetOneOf(), depth+1, p)}
	case *matcherv3.ValueMatcher_OrMatch:
		c.Kind = config.ValueAny
		for i, m := range v.OrMatch.GetValueMatchers() {
			c.Parts = append(c.Parts, s.valueMatcher(m, depth+1, p.field("or_match").field("value_matchers").item(i)))
		}
	}
	return c
}
