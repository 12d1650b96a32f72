package route

import (
	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/match"
	"github.com/weftmesh/weft/wire/http"
)

// Rules are the rules of routes, for rooms that may not see this one.
type Rules struct{}

// MatchHeaders tells whether all conditions hold.
func (Rules) MatchHeaders(list []config.HeaderMatch, r *http.Request) bool {
	return MatchHeaders(list, r)
}

// MatchMetadata tells whether there is a value, and whether it is what is asked for, whatever Invert says.
func (Rules) MatchMetadata(m *config.MetadataMatch, all config.Metadata) (fits, found bool) {
	v, found := lookUp(m, all)
	return found && matchJSON(&m.Value, v), found
}

func matchMetadata(m *config.MetadataMatch, all config.Metadata) bool {
	v, found := lookUp(m, all)
	return (found && matchJSON(&m.Value, v)) != m.Invert
}

// lookUp follows the keys of a path through objects.
func lookUp(m *config.MetadataMatch, all config.Metadata) (v any, found bool) {
	object := all[m.Namespace]
	for i, key := range m.Path {
		if v, found = object[key]; !found {
			return nil, false
		}
		if i < len(m.Path)-1 {
			object, _ = v.(map[string]any)
		}
	}
	return v, found
}

func matchJSON(m *config.ValueMatch, v any) bool {
	switch m.Kind {
	case config.ValuePresent:
		return m.Bool
	case config.ValueNull:
		return v == nil
	case config.ValueBool:
		b, ok := v.(bool)
		return ok && b == m.Bool
	case config.ValueNumber:
		n, ok := v.(float64)
		return ok && (n == m.From && m.From == m.To || m.From <= n && n < m.To)
	case config.ValueString:
		s, ok := v.(string)
		return ok && match.String(&m.String, []byte(s))
	case config.ValueList:
		list, _ := v.([]any)
		for _, e := range list {
			if matchJSON(&m.Parts[0], e) {
				return true
			}
		}
	case config.ValueAny:
		for i := range m.Parts {
			if matchJSON(&m.Parts[i], v) {
				return true
			}
		}
	}
	return false
}

func matchState(m *config.StateMatch, list []config.State) bool {
	for i := range list {
		if list[i].Name == m.Name {
			return match.String(&m.String, []byte(list[i].Value))
		}
	}
	return false
}
