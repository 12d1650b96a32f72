package rbac

import (
	"net/netip"
	"strings"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/match"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/telemetry/accesslog"
)

// Rows of the filter's numbers, under Envoy's names.
const (
	allowed = iota
	denied
)

var (
	enforced = &telemetry.Table{Kind: "http_rbac", Metrics: []telemetry.Metric{allowed: {Name: "allowed"}, denied: {Name: "denied"}}}
	weighed  = &telemetry.Table{Kind: "http_rbac_shadow", Metrics: []telemetry.Metric{allowed: {Name: "shadow_allowed"}, denied: {Name: "shadow_denied"}}}
)

// Where what was found out is noted.
const (
	namespace = "envoy.filters.http.rbac"
	common    = "envoy.common"
	hint      = "access_log_hint"
)

func build(c any, site filters.Site) func(int) filters.Filter {
	p := c.(*policy)
	kept, shadow := site.Stats.Acquire(enforced, site.StatPrefix+"rbac."+p.rulesPrefix), site.Stats.Acquire(weighed, site.StatPrefix+"rbac."+p.shadowPrefix)
	return func(loop int) filters.Filter {
		return &filter{chain: p, kept: kept.Loop(loop), weighed: shadow.Loop(loop)}
	}
}

// filter is also what is known of the one who asks, while its hook runs.
type filter struct {
	filters.Pass
	filters.Exchange
	chain         *policy
	kept, weighed *telemetry.Values
}

// RequestHeaders lets the request pass, or not.
func (f *filter) RequestHeaders(x filters.Exchange, _ bool) filters.Action {
	p := f.chain
	if o, ok := x.Override().(*policy); ok {
		p = o
	}
	f.Exchange = x
	defer func() { f.Exchange = nil }()
	if p.shadow != nil {
		by := match.Access(p.shadow, f)
		result := f.count(f.weighed, match.Passes(p.shadow, by))
		if by >= 0 {
			x.SetMetadata(namespace, p.shadowPrefix+"shadow_effective_policy_id", p.shadow.Policies[by].Name)
		}
		x.SetMetadata(namespace, p.shadowPrefix+"shadow_engine_result", result)
	}
	if p.rules == nil {
		return filters.Continue
	}
	by := match.Access(p.rules, f)
	if p.rules.Action == config.AccessNote {
		x.SetMetadata(common, hint, by >= 0)
	}
	if match.Passes(p.rules, by) {
		f.count(f.kept, true)
		return filters.Continue
	}
	f.count(f.kept, false)
	name := "none"
	if by >= 0 {
		name = p.rules.Policies[by].Name
	}
	x.Reply(403, []byte("RBAC: access denied"), "rbac_access_denied_matched_policy["+strings.Join(strings.Fields(name), "_")+"]")
	return filters.Replied
}

func (f *filter) count(v *telemetry.Values, passes bool) (result string) {
	if passes {
		v.Inc(allowed)
		return "allowed"
	}
	v.Inc(denied)
	return "denied"
}

// Headers, Path, Local, Direct, Remote, ServerName, Peer and State are a match.Caller's.
func (f *filter) Headers(list []config.HeaderMatch) bool { return f.MatchHeaders(list) }
func (f *filter) Path() []byte                           { return f.Request().Path() }
func (f *filter) Local() netip.AddrPort                  { return f.Entry().Local }
func (f *filter) Direct() netip.Addr                     { return f.Entry().Direct.Addr() }
func (f *filter) Remote() netip.Addr                     { return f.Downstream().Addr() }
func (f *filter) ServerName() string                     { return f.Entry().ServerName }
func (f *filter) State(name string) (string, bool)       { return f.FilterState(name) }
func (f *filter) Peer() *match.Peer {
	if f.Entry().TLS == nil {
		return nil
	}
	return f.OfConnection(peerKey{}, func() any { return peerOf(f.Entry().TLS) }).(*match.Peer)
}

// peerKey is where what the peer's certificate says is kept, which is the same for all requests of a connection.
type peerKey struct{}

// peerOf reads what a certificate says.
func peerOf(t accesslog.Transport) *match.Peer {
	p := &match.Peer{}
	if shown := t.Peer(); len(shown) > 0 {
		for _, u := range shown[0].URIs {
			p.URIs = append(p.URIs, u.String())
		}
		p.Hosts, p.Subject = shown[0].DNSNames, t.Name(shown[0].RawSubject)
	}
	return p
}
