package decode

import (
	rulesv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	earlyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/early_header_mutation/header_mutation/v3"

	"github.com/weftmesh/weft/config"
)

// HeaderMutations reads changes of header fields, for HTTP filters.
func HeaderMutations(list []*rulesv3.HeaderMutation, path string) ([]config.HeaderMutation, error) {
	return part(list, path, (*session).mutations)
}

func (s *session) mutations(list []*rulesv3.HeaderMutation, p *at) []config.HeaderMutation {
	var out []config.HeaderMutation
	for i, m := range list {
		p := p.item(i)
		var c config.HeaderMutation
		switch a := m.GetAction().(type) {
		case *rulesv3.HeaderMutation_Append:
			c.Add = &s.additions([]*corev3.HeaderValueOption{a.Append}, p.field("append"))[0]
		case *rulesv3.HeaderMutation_Remove:
			c.Remove = s.removals([]string{a.Remove}, p.field("remove"))[0]
		case *rulesv3.HeaderMutation_RemoveOnMatch_:
			match := s.stringMatch(a.RemoveOnMatch.GetKeyMatcher(), p.field("remove_on_match").field("key_matcher"))
			c.Match = &match
		}
		out = append(out, c)
	}
	return out
}

// early reads what is done to requests before anything else is.
func (s *session) early(list []*corev3.TypedExtensionConfig, p *at) []config.HeaderMutation {
	var out []config.HeaderMutation
	for i, e := range list {
		m := in[*earlyv3.HeaderMutation](s, e.GetTypedConfig())
		out = append(out, s.mutations(m.GetMutations(), p.item(i).field("typed_config").as("HeaderMutation").field("mutations"))...)
	}
	return out
}
