package upstream

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/weftmesh/weft/config"
)

// subsets are a cluster's endpoints by what their metadata says, found by one look into a map.
type subsets struct {
	of        map[string]*choices // by config.Subset.Of
	selectors []config.SubsetSelector
	fallback  config.SubsetFallback
	other     *choices // of the default subset
	panicAny  bool
	redundant bool
	cut       int // endpoints that are in more subsets of a selector than may be
}

// subsets cuts the endpoints up.
func (f *factors) subsets(all []Member) *subsets {
	c := f.cluster.Subsets
	s := &subsets{of: map[string]*choices{}, selectors: c.Selectors, fallback: c.Fallback, panicAny: c.PanicAny, redundant: c.Redundant}
	if c.ScaleLocalities {
		f.whole = countLocalities(all, nil)
	}
	parts := map[string][]int32{}
	single := map[string]bool{}
	for i := range all {
		about := all[i].Metadata[lbMetadata]
		for k := range c.Selectors {
			left := maxCombinations
			eachSubset(about, c.Selectors[k].Keys, nil, c.ListAsAny, func(values []string) bool {
				if left == 0 {
					s.cut++
					return false
				}
				left--
				of := subsetOf(c.Selectors[k].Keys, values)
				// Two selectors may have the same keys, and a list the same value twice.
				if p := parts[of]; len(p) == 0 || p[len(p)-1] != int32(i) {
					parts[of] = append(p, int32(i))
				}
				single[of] = single[of] || c.Selectors[k].SingleHost
				return true
			})
		}
	}
	for of, members := range parts {
		var made choices
		if single[of] {
			made = choices{groups: []group{f.group(all, members[:1])}, places: 1, shares: []share{{until: 100}}}
		} else {
			made = f.choices(all, members)
		}
		s.of[of] = &made
	}
	if needsDefault(c) {
		var members []int32
		for i := range all {
			if inSubset(all[i].Metadata[lbMetadata], &c.Default, c.ListAsAny) {
				members = append(members, int32(i))
			}
		}
		made := f.choices(all, members)
		s.other = &made
	}
	return s
}

func needsDefault(c *config.Subsets) bool {
	return c.Fallback == config.FallbackDefault || slices.ContainsFunc(c.Selectors, func(s config.SubsetSelector) bool {
		return s.Fallback == config.FallbackDefault
	})
}

// maxCombinations bounds in how many subsets of a selector one endpoint is: lists under several keys multiply.
const maxCombinations = 1024

// eachSubset calls f with every combination of values that an endpoint has of the keys, until it says false; never, if one is lacking.
func eachSubset(about map[string]any, keys, values []string, listAsAny bool, f func(values []string) bool) bool {
	if len(values) == len(keys) {
		return f(values)
	}
	v, ok := about[keys[len(values)]]
	if !ok {
		return true
	}
	list, ok := v.([]any)
	if !ok || !listAsAny {
		return eachSubset(about, keys, append(values, subsetValue(v)), listAsAny, f)
	}
	for _, one := range list {
		if !eachSubset(about, keys, append(values, subsetValue(one)), listAsAny, f) {
			return false
		}
	}
	return true
}

// inSubset tells whether an endpoint's metadata has all that a subset asks for.
func inSubset(about map[string]any, s *config.Subset, listAsAny bool) bool {
	for i, key := range s.Keys {
		v, ok := about[key]
		if !ok {
			return false
		}
		list, isList := v.([]any)
		switch {
		case isList && listAsAny:
			if !slices.ContainsFunc(list, func(one any) bool { return subsetValue(one) == s.Values[i] }) {
				return false
			}
		case subsetValue(v) != s.Values[i]:
			return false
		}
	}
	return true
}

// subsetValue writes a value of metadata as config.Subset has it.
func subsetValue(v any) string {
	b, err := json.Marshal(v) // keys of objects are sorted
	if err != nil {
		panic("upstream: metadata is made of JSON's types only: " + err.Error())
	}
	return string(b)
}

// subsetOf writes keys and values as config.Subset.Of has them.
func subsetOf(keys, values []string) string {
	var b strings.Builder
	for i, k := range keys {
		b.WriteString(k)
		b.WriteByte(0)
		b.WriteString(values[i])
		b.WriteByte(0)
	}
	return b.String()
}

// found is how a subset was found.
type found uint8

const (
	foundNone       found = iota
	foundAsked            // it is the one that was asked for
	foundBySelector       // a selector's fallback
	foundByCluster        // the cluster's fallback
)

// find is what an attempt chooses among: its subset, or what serves instead; nil if nobody does.
func (s *subsets) find(w *config.Subset, any *choices) (*choices, found) {
	fallback, how := s.fallback, foundByCluster
	if w != nil {
		keys := s.reduced(w.Keys)
		if from := s.fewer(w, keys); from != nil {
			return from, foundAsked
		}
		for {
			sel := s.selector(keys)
			if sel == nil || sel.Fallback == config.FallbackUnset {
				break
			}
			if sel.Fallback != config.FallbackKeys {
				fallback, how = sel.Fallback, foundBySelector
				break
			}
			keys = s.reduced(sel.FallbackKeys) // fewer each time
			if from := s.fewer(w, keys); from != nil {
				return from, foundAsked
			}
		}
	}
	switch fallback {
	case config.FallbackAny:
		return any, how
	case config.FallbackDefault:
		return s.other, how
	}
	return nil, foundNone
}

// reduced are the keys of the first selector that has no others than those, if a request may ask for more than a selector has.
func (s *subsets) reduced(keys []string) []string {
	if !s.redundant {
		return keys
	}
	for i := range s.selectors {
		if own := s.selectors[i].Keys; len(own) <= len(keys) && !slices.ContainsFunc(own, func(k string) bool { return !slices.Contains(keys, k) }) {
			return own
		}
	}
	return keys
}

// selector is the one of these keys; nil if there is none, or if one before it has the same keys and more behind them: Envoy 1.40 does
// not see a selector's fallback then.
func (s *subsets) selector(keys []string) *config.SubsetSelector {
	for i := range s.selectors {
		sel := &s.selectors[i]
		if len(sel.Keys) < len(keys) || !slices.Equal(sel.Keys[:len(keys)], keys) {
			continue
		}
		if len(sel.Keys) > len(keys) {
			return nil
		}
		return sel
	}
	return nil
}

// fewer finds the subset by those keys only.
func (s *subsets) fewer(w *config.Subset, keys []string) *choices {
	if len(keys) == len(w.Keys) {
		return s.of[w.Of]
	}
	var room [256]byte
	of := room[:0]
	for i, k := range w.Keys {
		if slices.Contains(keys, k) {
			of = append(append(append(append(of, k...), 0), w.Values[i]...), 0)
		}
	}
	return s.of[string(of)]
}

// notIn is how many subsets there are that the other has not. Either may be nil, which has none.
func (s *subsets) notIn(other *subsets) int {
	if s == nil {
		return 0
	}
	n := 0
	for of := range s.of {
		if other == nil || other.of[of] == nil {
			n++
		}
	}
	return n
}
