package dubbo

import (
	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/match"
	wire "github.com/weftmesh/weft/wire/dubbo"
)

// judgeAround asks for what Envoy's routes have no words for, of the service and what is attached.
func (q *question) judgeAround(m *config.DubboMore) miss {
	if len(m.Services) > 0 && !q.meetsService(m.Services) {
		return missService
	}
	for i := range m.Attachments {
		a := &m.Attachments[i]
		if text, is := q.attachment(a.Name); !is || anyText(a.Value.Texts, text) == a.Value.None {
			return missOf(missAttached, i)
		}
	}
	return missNothing
}

// judgeMore does of what is called, and with what.
func (q *question) judgeMore(m *config.DubboMore) miss {
	if m.Argc != nil {
		if _, n, is := q.called(); !is || uint64(n) != uint64(*m.Argc) {
			return missCount
		}
	}
	for i := range m.Arguments {
		if !q.meetsParameter(&m.Arguments[i]) {
			return missOf(missParameter, i)
		}
	}
	return missNothing
}

// meetsService asks for the interface, or for how registries name the service: with its version and group, either of which may be empty. The attachments are not read for whom the first is enough.
func (q *question) meetsService(patterns []config.StringMatch) bool {
	if anyText(patterns, q.call.Path) {
		return true
	}
	group, _ := q.attachment("group")
	return anyText(patterns, q.call.Service(group))
}

func (q *question) meetsParameter(a *config.DubboParameter) bool {
	v, is := q.argument(a.Index)
	if !is || a.Type != "" && !q.declares(a.Index, a.Type) {
		return false
	}
	return a.Value == nil || q.meetsValue(a.Value, &v)
}

// declares tells whether a parameter is of a type.
func (q *question) declares(index uint32, name string) (is bool) {
	if !q.within {
		return q.call.Declares(int(index), name)
	}
	is, _ = q.call.TargetType(int(index), name)
	return is
}

func (q *question) meetsValue(m *config.DubboValue, v *wire.Value) bool {
	if v.Kind == wire.Null || v.Kind == wire.Other {
		return false
	}
	one := false
	switch m.Kind {
	case config.DubboTexts:
		one = anyText(m.Texts, q.call.Written(v))
	case config.DubboNumbers:
		n := v.Double
		switch v.Kind {
		case wire.Int:
			n = float64(v.Int)
		case wire.Double:
		default:
			return false
		}
		for i := range m.Numbers {
			r := &m.Numbers[i]
			one = one || n >= r.From && n < r.To || r.From == r.To && n == r.From
		}
	case config.DubboBooleans:
		if v.Kind != wire.Bool {
			return false
		}
		for _, b := range m.Booleans {
			one = one || b == v.Bool
		}
	}
	return one != m.None
}

func anyText(patterns []config.StringMatch, text []byte) bool {
	for i := range patterns {
		if match.String(&patterns[i], text) {
			return true
		}
	}
	return false
}
