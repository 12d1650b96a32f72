package decode

import (
	"math"
	"regexp"
	"strings"

	metricsv3 "github.com/envoyproxy/go-control-plane/envoy/config/metrics/v3"
	overloadv3 "github.com/envoyproxy/go-control-plane/envoy/config/overload/v3"
	connectionsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/downstream_connections/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/weftmesh/weft/config"
)

// Bounds of what is asked of every name when statistics are shown.
const (
	maxStatLabels   = 256
	maxStatPatterns = 1024
	maxStatBuckets  = 256
)

// statistics reads how numbers are shown; nil: as they are.
func (s *session) statistics(m *metricsv3.StatsConfig, p *at) *config.Statistics {
	if m == nil {
		return nil
	}
	c := &config.Statistics{OwnLabels: !isTrue(m.GetUseAllDefaultTags(), true)}
	tags, tp := m.GetStatsTags(), p.field("stats_tags")
	switch {
	case len(tags) > 0 && !c.OwnLabels:
		s.problem(tp, "not supported yet: tags beside those that Envoy has by default: say use_all_default_tags: false and list all that are wanted")
		tags = nil
	case len(tags) > maxStatLabels:
		s.problem(tp, "%d tags: want %d at most", len(tags), maxStatLabels)
		tags = nil
	}
	for i, t := range tags {
		c.Labels = append(c.Labels, s.statLabel(t, tp.item(i)))
	}
	switch m, p := m.GetStatsMatcher(), p.field("stats_matcher"); {
	case m.GetRejectAll():
		c.None = true
	case m.GetInclusionList() != nil:
		c.Only = s.statNames(m.GetInclusionList(), p.field("inclusion_list"))
	case m.GetExclusionList() != nil:
		c.Except = s.statNames(m.GetExclusionList(), p.field("exclusion_list"))
	}
	list, hp := m.GetHistogramBucketSettings(), p.field("histogram_bucket_settings")
	if len(list) > maxStatPatterns {
		s.problem(hp, "%d settings: want %d at most", len(list), maxStatPatterns)
		return c
	}
	for i, h := range list {
		p := hp.item(i)
		b := config.StatBuckets{Name: s.stringMatch(h.GetMatch(), p.field("match")), Limits: h.GetBuckets()}
		if n := len(b.Limits); n > maxStatBuckets {
			s.problem(p.field("buckets"), "%d buckets: want %d at most", n, maxStatBuckets)
		}
		for j := range b.Limits {
			if v := b.Limits[j]; math.IsNaN(v) || j > 0 && v <= b.Limits[j-1] {
				s.problem(p.field("buckets").item(j), "the bounds must be in ascending order, each once")
				break
			}
		}
		c.Buckets = append(c.Buckets, b)
	}
	return c
}

func (s *session) statNames(m *matcherv3.ListStringMatcher, p *at) []config.StringMatch {
	p = p.field("patterns")
	if len(m.GetPatterns()) > maxStatPatterns {
		s.problem(p, "%d patterns: want %d at most", len(m.GetPatterns()), maxStatPatterns)
		return nil
	}
	out := make([]config.StringMatch, len(m.GetPatterns()))
	for i, one := range m.GetPatterns() {
		out[i] = s.stringMatch(one, p.item(i))
	}
	return out
}

// statLabel reads one rule. Its pattern is one of ECMAScript's, which Envoy has the standard library of C++ find: what RE2 has not is the look
// ahead, which is taken apart where it stands behind a literal beginning, as in Istio's.
func (s *session) statLabel(m *metricsv3.TagSpecifier, p *at) config.StatLabel {
	l := config.StatLabel{Name: m.GetTagName()}
	if l.Name == "" {
		s.problem(p.field("tag_name"), "a name is missing")
	}
	switch v := m.GetTagValue().(type) {
	case *metricsv3.TagSpecifier_FixedValue:
		l.Value = v.FixedValue
		return l
	case *metricsv3.TagSpecifier_Regex:
		if v.Regex != "" {
			p := p.field("regex")
			guard, pattern := lookAhead(v.Regex)
			if guard != "" {
				l.Guard = s.pattern(guard, "", "", p)
			}
			if l.Pattern = s.pattern(pattern, "", "", p); l.Pattern != nil && l.Pattern.NumSubexp() == 0 {
				s.problem(p, "a group is missing: the first is what the tag takes out of names")
			}
			return l
		}
	}
	s.problem(p, "not supported yet: tags of Envoy by their names: say regex or fixed_value")
	return l
}

// literalStart is a beginning of a pattern that stands for itself, and a look ahead behind it without groups of its own.
var literalStart = regexp.MustCompile(`^(\^[A-Za-z0-9_]+)\(\?=([^()]*)\)`)

// lookAhead takes a look ahead out of a pattern whose beginning is literal and tied to the beginning of the name: then what is looked for is at
// one place, and a pattern of its own says the same. guard is empty if there is none.
func lookAhead(pattern string) (guard, rest string) {
	m := literalStart.FindStringSubmatch(pattern)
	if m == nil {
		return "", pattern
	}
	return m[1] + "(?:" + m[2] + ")", m[1] + strings.TrimPrefix(pattern, m[0])
}

// connectionsMonitor is the name by which Envoy knows the one monitor that is run; the type of its configuration alone would not do.
const connectionsMonitor = "envoy.resource_monitors.global_downstream_max_connections"

// overload reads how many downstream connections there may be; 0: nobody says.
func (s *session) overload(m *overloadv3.OverloadManager, p *at) (most int64) {
	p = p.field("resource_monitors")
	for i, r := range m.GetResourceMonitors() {
		p := p.item(i)
		if r.GetName() != connectionsMonitor {
			s.problem(p.field("name"), "not supported yet: want %s", connectionsMonitor)
		}
		if most != 0 {
			s.problem(p.field("name"), "%s is listed already", r.GetName())
		}
		c := in[*connectionsv3.DownstreamConnectionsConfig](s, r.GetTypedConfig())
		if c == nil {
			s.problem(p.field("typed_config"), "a configuration is missing")
			continue
		}
		most = c.GetMaxActiveDownstreamConnections()
	}
	return most
}
