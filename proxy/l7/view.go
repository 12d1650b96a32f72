package l7

import (
	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/match"
	"github.com/weftmesh/weft/proxy/route"
	"github.com/weftmesh/weft/proxy/upstream"
	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/tls"
	"github.com/weftmesh/weft/wire/http"
)

// Reply implements filters.Exchange.
func (x *exchange) Reply(status uint16, body []byte, details string) {
	x.abandonAttempts()
	x.reply(status, details, body, "")
}

// ReplyGRPC implements filters.Exchange.
func (x *exchange) ReplyGRPC(status uint16, code uint8, body []byte, details string) {
	x.abandonAttempts()
	x.replyAs(answer{status: status, details: details, body: body, code: code, hasCode: true})
}

// Fail implements filters.Exchange.
func (x *exchange) Fail(status uint16, body []byte, details string) {
	x.state &^= replied // an answer of ours may be what is broken
	x.failAs(0, answer{status: status, details: details, body: body})
}

// Entry implements filters.Exchange.
func (x *exchange) Entry() *accesslog.Entry { return &x.entry }

// Flag implements filters.Exchange.
func (x *exchange) Flag(f accesslog.Flags) { x.entry.Flags |= f }

// Metadata implements filters.Exchange.
func (x *exchange) Metadata() config.Metadata { return x.entry.Metadata }

// SetMetadata implements filters.Exchange.
func (x *exchange) SetMetadata(namespace, key string, value any) bool {
	m := x.entry.Metadata[namespace]
	if _, ok := m[key]; !ok {
		n := 0
		for _, m := range x.entry.Metadata {
			n += len(m)
		}
		if n >= filters.MaxMetadata {
			return false
		}
	}
	if m == nil {
		m = x.spare.namespace(&x.entry.Metadata, namespace)
	}
	m[key] = value
	return true
}

// FilterState implements filters.Exchange.
func (x *exchange) FilterState(name string) (string, bool) { return x.entry.StateOf(name) }

// SetFilterState implements filters.Exchange.
func (x *exchange) SetFilterState(s config.State) bool {
	list := x.entry.State
	for i := range list {
		if list[i].Name == s.Name {
			list[i] = s
			return true
		}
	}
	if len(list) >= filters.MaxFilterState {
		return false
	}
	x.entry.State = append(list, s)
	return true
}

// OfConnection implements filters.Exchange.
func (x *exchange) OfConnection(key any, make func() any) any {
	c := x.conn
	v, ok := c.kept[key]
	if !ok {
		if c.kept == nil {
			c.kept = map[any]any{}
		}
		v = make()
		c.kept[key] = v
	}
	return v
}

// Path implements filters.Exchange.
func (x *exchange) Path() []byte {
	if x.match(); x.table == nil {
		return x.request.Path()
	}
	return x.table.Path(&x.input)
}

// Random implements filters.Exchange.
func (x *exchange) Random() uint64 { return x.local.Loop.Random() }

// Endpoints implements filters.Exchange.
func (x *exchange) Endpoints(cluster string) (all, well int, known bool) {
	c := x.generation.Clusters[cluster]
	if c == nil {
		return 0, 0, false
	}
	e := c.Endpoints()
	return len(e.All), e.Healthy() + e.Degraded(), true
}

// MatchHeaders implements filters.Exchange.
func (x *exchange) MatchHeaders(list []config.HeaderMatch) bool {
	return route.MatchHeaders(list, &x.request)
}

// MatchString implements filters.Exchange.
func (x *exchange) MatchString(m *config.StringMatch, b []byte) bool { return match.String(m, b) }

// AddHeader implements filters.Exchange.
func (x *exchange) AddHeader(h *http.Header, a *config.HeaderAdd) { x.add(h, a) }

// Cluster implements filters.Exchange.
func (x *exchange) Cluster() string {
	x.match()
	if x.share != nil {
		return x.share.Name
	}
	return ""
}

// UpstreamVersion implements filters.Exchange.
func (x *exchange) UpstreamVersion() (http.Version, bool) {
	if x.match(); x.cluster == nil {
		return 0, false
	}
	came := x.request.Version
	switch speaks := x.cluster.Speaks(came); {
	case speaks == upstream.SpeaksDubbo:
		return 0, false
	case speaks != upstream.SpeaksHTTP1:
		return http.HTTP2, true
	case x.cluster.Config.Protocol.Mode == config.ProtocolAsDownstream && came == http.HTTP10:
		return http.HTTP10, true
	}
	return http.HTTP11, true
}

// UpstreamDubbo implements filters.Exchange.
func (x *exchange) UpstreamDubbo() bool {
	x.match()
	return x.cluster != nil && x.cluster.Speaks(x.request.Version) == upstream.SpeaksDubbo
}

// Offer implements filters.Exchange.
func (x *exchange) Offer(o *tls.Offer) { x.offer = o }

// RateLimits implements filters.Exchange.
func (x *exchange) RateLimits() (route, virtualHost []config.RateLimit, include bool) {
	x.match()
	if v := x.found.VirtualHost; v != nil {
		virtualHost = v.RateLimits
	}
	if f := x.matchedForward(); f != nil {
		route, include = f.RateLimits, f.VirtualHostLimits
	}
	return route, virtualHost, include
}

// HoldUpTo implements filters.Exchange.
func (x *exchange) HoldUpTo(bytes int) { x.up.limit = bytes }
