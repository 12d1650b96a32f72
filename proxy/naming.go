package proxy

import (
	"slices"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/match"
	"github.com/weftmesh/weft/telemetry"
)

// Naming is how numbers are shown, as a bootstrap says; nil: it says nothing.
func Naming(c *config.Statistics) *telemetry.Naming {
	if c == nil {
		return nil
	}
	n := &telemetry.Naming{}
	fits := func(list []config.StringMatch, name string) bool {
		return slices.ContainsFunc(list, func(m config.StringMatch) bool { return match.String(&m, []byte(name)) })
	}
	switch {
	case c.None:
		n.Keep = func(string) bool { return false }
	case c.Only != nil:
		n.Keep = func(name string) bool { return fits(c.Only, name) }
	case c.Except != nil:
		n.Keep = func(name string) bool { return !fits(c.Except, name) }
	}
	if c.OwnLabels {
		n.Labels = make([]telemetry.LabelRule, len(c.Labels))
		for i, l := range c.Labels {
			n.Labels[i] = telemetry.LabelRule(l)
		}
	}
	if len(c.Buckets) > 0 {
		n.Limits = func(name string) []float64 {
			for i := range c.Buckets {
				if b := &c.Buckets[i]; match.String(&b.Name, []byte(name)) {
					return b.Limits
				}
			}
			return nil
		}
	}
	return n
}
