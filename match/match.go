package match

import (
	"net/netip"

	"github.com/weftmesh/weft/config"
)

// Inputs tell what is known. Text and Addr say false for what is not. A text must stay as it is until the walk is over.
type Inputs interface {
	Text(i *config.MatchInput) ([]byte, bool)
	Addr(i *config.MatchInput) (netip.Addr, bool)
}

// Find is the number of the action that a matcher leads to; false: it leads nowhere. What leads nowhere is passed over, as Envoy does:
// the next rule, or the next shorter prefix, has its turn.
func Find(m *config.Matcher, in Inputs) (action int, ok bool) {
	for i := range m.Rules {
		if r := &m.Rules[i]; holds(&r.If, in) {
			if action, ok = follow(&r.Then, in); ok {
				return action, true
			}
		}
	}
	if m.Tree != nil {
		if action, ok = climb(m.Tree, in); ok {
			return action, true
		}
	}
	return follow(m.Otherwise, in)
}

func follow(o *config.OnMatch, in Inputs) (action int, ok bool) {
	switch {
	case o == nil || o.Skip:
		return 0, false
	case o.Matcher != nil:
		return Find(o.Matcher, in)
	}
	return o.Action, true
}

func climb(t *config.MatchTree, in Inputs) (action int, ok bool) {
	if t.Ranges != nil {
		return climbRanges(t, in)
	}
	text, known := in.Text(&t.Input)
	if !known {
		return 0, false
	}
	if o, found := t.Exact[string(text)]; found {
		return follow(o, in)
	}
	for _, n := range t.Lengths {
		if n > len(text) {
			continue
		}
		if o, found := t.Prefixes[string(text[:n])]; found {
			if action, ok = follow(o, in); ok {
				return action, true
			}
		}
	}
	return 0, false
}

func climbRanges(t *config.MatchTree, in Inputs) (action int, ok bool) {
	a, known := in.Addr(&t.Input)
	if !known {
		return 0, false
	}
	family := 0
	if a.Is6() {
		family = 1
	}
	first := true
	for _, bits := range t.Bits[family] {
		prefix, _ := a.WithZone("").Prefix(bits)
		for _, r := range t.Ranges[prefix] {
			if first || !r.Exclusive {
				if action, ok = follow(r.Then, in); ok {
					return action, true
				}
			}
			first = false
		}
	}
	return 0, false
}

// holds tells whether a condition does. A value that is not known fulfils none.
func holds(p *config.MatchPredicate, in Inputs) bool {
	switch {
	case p.Or != nil:
		for i := range p.Or {
			if holds(&p.Or[i], in) {
				return true
			}
		}
		return false
	case p.And != nil:
		for i := range p.And {
			if !holds(&p.And[i], in) {
				return false
			}
		}
		return true
	case p.Not != nil:
		return !holds(p.Not, in)
	}
	text, known := in.Text(&p.Input)
	return known && String(&p.Value, text)
}
