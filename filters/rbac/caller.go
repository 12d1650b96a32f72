package rbac

import (
	"net/netip"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/match"
	"github.com/weftmesh/weft/telemetry/accesslog"
)

// caller is what is known of who asks, while the filter's hook runs.
type caller struct {
	x     filters.Exchange
	known *match.Peer // nil: nobody has asked yet
	learn func() any  // of the peer, made once, since what is handed over is kept
}

// The route was matched when the hook asked for what its route overrides.
//
// Headers, Path, Local, Direct, Source, Remote, ServerName, Peer, Metadata, Route and State are a match.Caller's.
func (c *caller) Headers(list []config.HeaderMatch) bool { return c.x.MatchHeaders(list) }
func (c *caller) Path() []byte                           { return c.x.Path() }
func (c *caller) Local() netip.AddrPort                  { return c.x.Entry().Local }
func (c *caller) Direct() netip.Addr                     { return c.x.Entry().Direct.Addr() }
func (c *caller) Source() netip.Addr                     { return c.x.Source().Addr() }
func (c *caller) Remote() netip.Addr                     { return c.x.Downstream().Addr() }
func (c *caller) ServerName() string                     { return c.x.Entry().ServerName }
func (c *caller) Metadata() config.Metadata              { return c.x.Metadata() }
func (c *caller) Route() (config.Metadata, bool) {
	return c.x.Entry().About[accesslog.OfRoute], c.x.Entry().Routed
}
func (c *caller) State(name string) (string, bool) { return c.x.FilterState(name) }
func (c *caller) Peer() *match.Peer {
	if c.known == nil && c.x.Entry().TLS != nil {
		c.known = c.x.OfConnection(peerKey{}, c.learn).(*match.Peer)
	}
	return c.known
}

// peerKey is where what the peer's certificate says is kept: it is the same for all requests of a connection.
type peerKey struct{}

func (c *caller) peer() any { return match.PeerOf(c.x.Entry().TLS) }
