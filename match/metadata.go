package match

import "github.com/weftmesh/weft/config"

// Metadata tells whether there is a value, and whether it is what is asked for, whatever Invert says.
func Metadata(m *config.MetadataMatch, all config.Metadata) (fits, found bool) {
	v, found := lookUp(m, all)
	return found && json(&m.Value, v), found
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

func json(m *config.ValueMatch, v any) bool {
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
		return ok && Text(&m.String, s)
	case config.ValueList:
		list, _ := v.([]any)
		for _, e := range list {
			if json(&m.Parts[0], e) {
				return true
			}
		}
	case config.ValueAny:
		for i := range m.Parts {
			if json(&m.Parts[i], v) {
				return true
			}
		}
	}
	return false
}
