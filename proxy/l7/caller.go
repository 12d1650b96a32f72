package l7

import (
	"net/netip"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/match"
	"github.com/weftmesh/weft/proxy/route"
	"github.com/weftmesh/weft/wire/http"
)

// caller is who sends a request that nobody sends, as rules about callers see him. Filters note nothing of him, since none runs.
type caller struct {
	asked   *Asked
	request *http.Request
	client  netip.AddrPort
	table   *Table
	found   route.Result
}

// Headers, Path, Local, Direct, Source, Remote, ServerName, Peer, Metadata, Route and State are a match.Caller's.
func (c *caller) Headers(list []config.HeaderMatch) bool { return route.MatchHeaders(list, c.request) }
func (c *caller) Path() []byte {
	if c.table == nil {
		return c.request.Path()
	}
	return c.table.Path(&route.Input{Request: c.request})
}
func (c *caller) Local() netip.AddrPort {
	if c.asked.Destination.IsValid() {
		return c.asked.Destination
	}
	return c.asked.Local
}
func (c *caller) Direct() netip.Addr        { return c.asked.Source.Addr() }
func (c *caller) Source() netip.Addr        { return c.asked.Source.Addr() }
func (c *caller) Remote() netip.Addr        { return c.client.Addr() }
func (c *caller) ServerName() string        { return c.asked.ServerName }
func (c *caller) Metadata() config.Metadata { return nil }
func (c *caller) Route() (config.Metadata, bool) {
	if c.found.Route == nil {
		return nil, false
	}
	return c.found.Route.Metadata, true
}
func (c *caller) State(string) (string, bool) { return "", false }
func (c *caller) Peer() *match.Peer {
	if !c.asked.TLS {
		return nil
	}
	p := &match.Peer{}
	if c.asked.Identity != "" {
		p.URIs = []string{c.asked.Identity}
	}
	return p
}
