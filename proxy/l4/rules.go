package l4

import (
	"net/netip"
	"strings"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/match"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/telemetry/accesslog"
)

// Rules are the network filters of a chain that say by rules whose connections may stand, in order. They are looked at once, when the
// connection stands. Envoy 1.40 looks at the first byte that comes, and has dialled the upstream before: who is denied may hear there what
// the upstream says first, and here does not.
type Rules struct {
	list  []*rule
	state []config.SetState // of every connection
}

type rule struct {
	*config.AccessCheck
	delay        time.Duration
	kept, shadow *telemetry.Owner
	notes        [2]string // keys of the result and of the policy of Shadow
}

// Where what was found out is noted.
const (
	rulesNamespace = "envoy.filters.network.rbac"
	common         = "envoy.common"
	hint           = "access_log_hint"
)

// NewRules compiles those of a chain; nil: it has none.
func NewRules(c *config.FilterChain, store *telemetry.Store) *Rules {
	r := &Rules{state: c.State}
	for i := range c.Guards {
		g := &c.Guards[i]
		if g.Access == nil {
			continue
		}
		prefix := join(g.StatPrefix) + "rbac."
		r.list = append(r.list, &rule{
			AccessCheck: g.Access,
			delay:       g.Delay,
			kept:        store.Acquire(AccessStats, prefix),
			shadow:      store.Acquire(ShadowStats, prefix+join(g.Access.ShadowPrefix)),
			notes:       [2]string{g.Access.ShadowPrefix + "shadow_engine_result", g.Access.ShadowPrefix + "shadow_effective_policy_id"},
		})
	}
	if r.list == nil {
		return nil
	}
	return r
}

// join is the beginning of a name, which ends in one point.
func join(prefix string) string {
	if prefix == "" {
		return ""
	}
	return strings.TrimSuffix(prefix, ".") + "."
}

// Verdict is what rules say of a connection.
type Verdict struct {
	Denied   string        // why it may not stand, as logs say it; empty: it may
	Delay    time.Duration // until it is closed then
	Metadata config.Metadata
}

// Judge looks at a connection that stands; nil: there are no rules.
func (r *Rules) Judge(l *Local, p *loop.Pending) *Verdict {
	if r == nil {
		return nil
	}
	c := &caller{entry: accesslog.Entry{Start: l.Loop.Now(), Direct: p.Remote, Remote: p.Remote, Local: p.Local(), Metadata: config.Metadata{}}}
	e := &c.entry
	if a := p.Arrival; a != nil {
		e.ServerName = a.ServerName
		if a.Source.IsValid() {
			e.Remote = a.Source
		}
		if a.Destination.IsValid() {
			e.Local, e.DirectLocal = a.Destination, e.Local
		}
	}
	if p.Conn != nil && p.Conn.TLS() != nil {
		e.TLS, e.ServerName = p.Conn.TLS(), p.Conn.ServerName()
	}
	e.SetState(r.state)
	v := &Verdict{Metadata: e.Metadata}
	for _, one := range r.list {
		if v.Denied = one.judge(c, l.Loop.Index()); v.Denied != "" {
			v.Delay = one.delay
			break
		}
	}
	return v
}

// judge says why a connection may not stand; empty: it may.
func (r *rule) judge(c *caller, loop int) (denied string) {
	if s := r.Shadow; s != nil {
		by, row, result := match.Access(s, c), Allowed, "allowed"
		if !match.Passes(s, by) {
			row, result = Denied, "denied"
		}
		r.shadow.Loop(loop).Inc(row)
		c.note(rulesNamespace, r.notes[0], result)
		if by >= 0 {
			c.note(rulesNamespace, r.notes[1], s.Policies[by].Name)
		}
	}
	if r.Rules == nil {
		return ""
	}
	by := match.Access(r.Rules, c)
	if r.Rules.Action == config.AccessNote {
		c.note(common, hint, by >= 0)
	}
	if match.Passes(r.Rules, by) {
		r.kept.Loop(loop).Inc(Allowed)
		return ""
	}
	r.kept.Loop(loop).Inc(Denied)
	return match.Denied(r.Rules, by)
}

// TurnAway closes a connection that may not stand.
func (v *Verdict) TurnAway(l *Local, p *loop.Pending) { turnAway(l, p, v.Delay, v.Denied) }

// caller is what is known of whose connection it is.
type caller struct {
	entry accesslog.Entry
	peer  *match.Peer
}

func (c *caller) note(namespace, key string, value any) {
	m := c.entry.Metadata[namespace]
	if m == nil {
		m = map[string]any{}
		c.entry.Metadata[namespace] = m
	}
	m[key] = value
}

// Headers, Path, Local, Direct, Source, Remote, ServerName, Peer, Metadata, Route and State are a match.Caller's. There is no request.
func (c *caller) Headers([]config.HeaderMatch) bool        { return false }
func (c *caller) Path() []byte                             { return nil }
func (c *caller) Local() netip.AddrPort                    { return c.entry.Local }
func (c *caller) Direct() netip.Addr                       { return c.entry.Direct.Addr() }
func (c *caller) Source() netip.Addr                       { return c.entry.Remote.Addr() }
func (c *caller) Remote() netip.Addr                       { return c.entry.Remote.Addr() }
func (c *caller) ServerName() string                       { return c.entry.ServerName }
func (c *caller) Metadata() config.Metadata                { return c.entry.Metadata }
func (c *caller) Route() (config.Metadata, bool)           { return nil, false }
func (c *caller) State(name string) (value string, k bool) { return c.entry.StateOf(name) }
func (c *caller) Peer() *match.Peer {
	if c.peer == nil && c.entry.TLS != nil {
		c.peer = match.PeerOf(c.entry.TLS)
	}
	return c.peer
}
