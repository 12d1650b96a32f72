package csrf

import (
	"bytes"

	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/wire/http"
)

// Rows of the filter's numbers, under Envoy's names.
const (
	missingSource = iota
	invalid
	valid
)

var stats = &telemetry.Table{Kind: "http_csrf", Metrics: []telemetry.Metric{
	missingSource: {Name: "missing_source_origin"},
	invalid:       {Name: "request_invalid"},
	valid:         {Name: "request_valid"},
}}

func build(c any, site filters.Site) func(int) filters.Filter {
	owner := site.Stats.Acquire(stats, site.StatPrefix+"csrf.")
	return func(loop int) filters.Filter { return filter{chain: c.(*policy), stats: owner.Loop(loop)} }
}

type filter struct {
	filters.Pass
	chain *policy
	stats *telemetry.Values
}

// RequestHeaders refuses what comes from elsewhere.
func (f filter) RequestHeaders(x filters.Exchange, _ bool) filters.Action {
	p := f.chain
	if o, ok := x.Override().(*policy); ok {
		p = o
	}
	r := x.Request()
	switch string(r.Method()) {
	case "POST", "PUT", "DELETE", "PATCH":
	default:
		return filters.Continue
	}
	enabled := filters.Draw(p.enabled, x.Random())
	if !enabled && !filters.Draw(p.shadow, x.Random()) {
		return filters.Continue
	}
	source := host(r.Get(http.Origin))
	if len(source) == 0 {
		source = host(r.Get(http.Referer))
	}
	switch {
	case len(source) == 0:
		f.stats.Inc(missingSource)
	case f.fits(x, p, source):
		f.stats.Inc(valid)
		return filters.Continue
	default:
		f.stats.Inc(invalid)
	}
	if !enabled {
		return filters.Continue
	}
	x.Reply(403, []byte("Invalid origin"), "csrf_origin_mismatch")
	return filters.Replied
}

// fits tells whether a source is the host that is asked, port and all, or one of those that are configured.
func (f filter) fits(x filters.Exchange, p *policy, source []byte) bool {
	if bytes.Equal(source, x.Request().Authority()) {
		return true
	}
	for i := range p.origins {
		if x.MatchString(&p.origins[i], source) {
			return true
		}
	}
	return false
}

// host is host and port of a URL, or nothing if it is none, such as the origin "null".
func host(url []byte) []byte {
	_, rest, ok := bytes.Cut(url, []byte("://"))
	if !ok {
		return nil
	}
	if i := bytes.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	return rest
}
