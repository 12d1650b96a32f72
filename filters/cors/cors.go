package cors

import (
	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/wire/http"
)

// Rows of the filter's numbers, under Envoy's names.
const (
	originValid = iota
	originInvalid
)

var stats = &telemetry.Table{Kind: "http_cors", Metrics: []telemetry.Metric{
	originValid:   {Name: "origin_valid"},
	originInvalid: {Name: "origin_invalid"},
}}

func build(_ any, site filters.Site) func(int) filters.Filter {
	owner := site.Stats.Acquire(stats, site.StatPrefix+"cors.")
	return func(loop int) filters.Filter { return &filter{stats: owner.Loop(loop)} }
}

// filter serves one exchange.
type filter struct {
	filters.Pass
	stats     *telemetry.Values
	policies  []any // from the most general to the most specific
	origin    []byte
	valid     bool // the origin may see the response
	preflight bool // and it is the filter that answers
	private   bool
}

// RequestHeaders judges the origin and answers preflight requests.
func (f *filter) RequestHeaders(x filters.Exchange, _ bool) filters.Action {
	r := x.Request()
	origin := r.Get(http.Origin)
	if len(origin) == 0 {
		return filters.Continue
	}
	if f.policies = x.Overrides(f.policies[:0]); len(f.policies) == 0 {
		return filters.Continue
	}
	p := f.policies[len(f.policies)-1].(*policy)
	enabled := filters.Draw(p.enabled, x.Random())
	if !enabled && !filters.Draw(p.shadow, x.Random()) {
		return filters.Continue
	}
	valid := f.allows(x, origin)
	if valid {
		f.stats.Inc(originValid)
	} else {
		f.stats.Inc(originInvalid)
	}
	if !enabled {
		return filters.Continue
	}
	f.valid = valid
	f.origin = append(f.origin[:0], origin...)
	asked := r.Find(http.Other, "access-control-request-method", 0)
	if string(r.Method()) != "OPTIONS" || asked < 0 || len(r.Value(asked)) == 0 || !valid && f.flag(func(p *policy) said { return p.forwarded }) != no {
		return filters.Continue
	}
	f.preflight = true
	i := r.Find(http.Other, "access-control-request-private-network", 0)
	f.private = i >= 0 && string(r.Value(i)) == "true"
	x.Reply(200, nil, "cors_response")
	return filters.Replied
}

// allows tells whether an origin is one of those that the policy names. A policy that names "*" means all.
func (f *filter) allows(x filters.Exchange, origin []byte) bool {
	for i := len(f.policies) - 1; i >= 0; i-- {
		list := f.policies[i].(*policy).origins
		if len(list) == 0 {
			continue
		}
		for i := range list {
			if m := &list[i]; m.Kind == config.StringExact && m.Value == "*" || x.MatchString(m, origin) {
				return true
			}
		}
		return false
	}
	return false
}

// text is what the most specific policy says that says something.
func (f *filter) text(of func(*policy) []byte) []byte {
	for i := len(f.policies) - 1; i >= 0; i-- {
		if v := of(f.policies[i].(*policy)); len(v) > 0 {
			return v
		}
	}
	return nil
}

func (f *filter) flag(of func(*policy) said) said {
	for i := len(f.policies) - 1; i >= 0; i-- {
		if v := of(f.policies[i].(*policy)); v != open {
			return v
		}
	}
	return open
}

// ResponseHeaders tells the browser what it may do, whoever has answered.
func (f *filter) ResponseHeaders(x filters.Exchange, _ bool) filters.Action {
	if !f.valid {
		return filters.Continue
	}
	h := &x.Response().Header
	set(h, "access-control-allow-origin", f.origin)
	if f.flag(func(p *policy) said { return p.credentials }) == yes {
		set(h, "access-control-allow-credentials", []byte("true"))
	}
	if f.preflight {
		set(h, "access-control-allow-methods", f.text(func(p *policy) []byte { return p.methods }))
		set(h, "access-control-allow-headers", f.text(func(p *policy) []byte { return p.headers }))
		set(h, "access-control-max-age", f.text(func(p *policy) []byte { return p.age }))
		if f.private && f.flag(func(p *policy) said { return p.private }) == yes {
			set(h, "access-control-allow-private-network", []byte("true"))
		}
	}
	set(h, "access-control-expose-headers", f.text(func(p *policy) []byte { return p.expose }))
	return filters.Continue
}

// set leaves one field with that value; an empty value is none.
func set(h *http.Header, name string, value []byte) {
	if len(value) == 0 {
		return
	}
	h.RemoveNamed(name)
	h.AddNamed([]byte(name), value)
}

// Done forgets the exchange.
func (f *filter) Done(filters.Exchange) {
	*f = filter{stats: f.stats, policies: f.policies[:0], origin: f.origin[:0]}
}
