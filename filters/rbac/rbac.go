package rbac

import (
	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/match"
)

// Where what was found out is noted, and as what.
const (
	namespace = "envoy.filters.http.rbac"
	common    = "envoy.common"
	hint      = "access_log_hint"
)

var results = [...]any{allowed: "allowed", denied: "denied"}

func build(c any, site filters.Site) func(int) filters.Filter {
	p := c.(*policy)
	kept := newCounters(&site, p.kept.prefix, stats, policyStats)
	weighed := newCounters(&site, p.weighed.prefix, shadowStats, shadowPolicyStats)
	return func(loop int) filters.Filter {
		f := &filter{chain: p, kept: kept, weighed: weighed, loop: loop}
		f.caller.learn = f.caller.peer
		return f
	}
}

type filter struct {
	filters.Pass
	caller        caller
	chain         *policy
	kept, weighed *counters
	loop          int
}

// RequestHeaders lets the request pass, or not.
func (f *filter) RequestHeaders(x filters.Exchange, _ bool) filters.Action {
	p := f.chain
	if o, ok := x.Override().(*policy); ok {
		p = o
	}
	f.caller.x = x
	defer func() { f.caller.x, f.caller.known = nil, nil }()
	if p.weighed.rules != nil {
		f.judge(&p.weighed, &f.chain.weighed, f.weighed, p.each)
	}
	if p.kept.rules == nil {
		return filters.Continue
	}
	by, row := f.judge(&p.kept, &f.chain.kept, f.kept, p.each)
	if p.kept.rules.Action == config.AccessNote {
		x.SetMetadata(common, hint, by >= 0)
	}
	if row == allowed {
		return filters.Continue
	}
	x.Reply(403, []byte("RBAC: access denied"), match.Denied(p.kept.rules, by))
	return filters.Replied
}

// judge finds out what rules say of the one who asks, counts it and notes it.
func (f *filter) judge(s, ofChain *side, c *counters, each bool) (by, row int) {
	by, row = match.Access(s.rules, &f.caller), allowed
	if !match.Passes(s.rules, by) {
		row = denied
	}
	c.owner.Loop(f.loop).Inc(row)
	n := &s.notes
	if s.prefix == "" {
		n = &ofChain.notes
	}
	if by >= 0 {
		f.caller.x.SetMetadata(namespace, n.policy, s.names[by])
		if each {
			c.policy(s.rules.Policies[by].Name, f.loop).Inc(row)
		}
	}
	f.caller.x.SetMetadata(namespace, n.result, results[row])
	return by, row
}
