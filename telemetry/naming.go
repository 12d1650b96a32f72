package telemetry

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
)

// Naming is what an operator says about which numbers are shown and how Prometheus is told their names. It changes nothing about what is
// counted, and what one process hands to the next is all of it.
type Naming struct {
	// Keep tells whether a number of that name is shown; nil: all are.
	Keep func(name string) bool
	// Labels, if it is not nil, cut labels out of names, and owners' tags are part of the name.
	Labels []LabelRule
	// Family is what the names that Prometheus is told begin with; empty: envoy_, which a data plane's dashboards expect.
	Family string
	// Limits are the upper bounds of a histogram's buckets, in ascending order; nil, or giving nil: those that Envoy has.
	Limits func(name string) []float64
}

// LabelRule makes a label of a part of a name.
type LabelRule struct {
	Name  string
	Value string // the same for all; Pattern is nil then
	// Pattern finds the part: its first group is cut out of the name, and its second is the label's value, or else the first. Only names
	// that Guard matches, too, are asked about; nil: all are.
	Pattern, Guard *regexp.Regexp
}

// SetNaming has samples be named so. It is called before anybody reads.
func (s *Store) SetNaming(n *Naming) { s.naming = n }

// cut applies the rules to a name: what is left of it, and the labels. All rules see the whole name, as Envoy's do.
func cut(rules []LabelRule, name string) (left string, labels []string) {
	type span struct{ from, to int }
	var spans []span
	for i := range rules {
		r := &rules[i]
		if r.Pattern == nil {
			labels = append(labels, Label(sanitize(r.Name), r.Value))
			continue
		}
		if r.Guard != nil && !r.Guard.MatchString(name) {
			continue
		}
		at := r.Pattern.FindStringSubmatchIndex(name)
		if len(at) < 4 || at[2] < 0 {
			continue
		}
		value := name[at[2]:at[3]]
		if len(at) >= 6 && at[4] >= 0 {
			value = name[at[4]:at[5]]
		}
		labels = append(labels, Label(sanitize(r.Name), value))
		spans = append(spans, span{at[2], at[3]})
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	var b strings.Builder
	at := 0
	for _, s := range spans {
		if s.from > at {
			b.WriteString(name[at:s.from])
		}
		at = max(at, s.to)
	}
	b.WriteString(name[at:])
	return b.String(), labels
}

// limits are the upper bounds of a sample's buckets.
func (s *Sample) limits() []float64 {
	if n := s.naming; n != nil && n.Limits != nil {
		if own := n.Limits(s.Name); own != nil {
			return own
		}
	}
	return buckets
}
