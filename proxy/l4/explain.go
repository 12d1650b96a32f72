package l4

import (
	"net/netip"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/match"
	"github.com/weftmesh/weft/proxy/upstream"
	"github.com/weftmesh/weft/telemetry/accesslog"
)

// Explain is where the TCP proxy would carry a connection: to each of the clusters by its weight, or to the one that a TLS client names.
func (s *Server) Explain(clusters upstream.Clusters, serverName string, to netip.AddrPort) []upstream.Target {
	c := s.config
	var out []upstream.Target
	for i := range c.Clusters {
		share := &c.Clusters[i]
		name := share.Name
		byName := c.ByServerName && serverName != ""
		if byName {
			name = serverName
		}
		t := clusters.Target(name, share.Subset, to)
		t.Weight, t.Of = share.Weight, c.TotalWeight
		if byName {
			t.Chosen = true
			if t.Why == "" {
				t.Why = "the server name that the client asks for is the cluster's (sni_cluster)"
			}
		}
		if len(c.Clusters) == 1 {
			t.Weight, t.Of = 1, 1
		}
		out = append(out, t)
		if byName {
			out[0].Weight, out[0].Of = 1, 1
			break
		}
	}
	return out
}

// Asked is a connection that nobody makes.
type Asked struct {
	Source, Destination netip.AddrPort
	ServerName          string
	TLS                 bool
	Identity            string // a URI of the certificate that the client shows; empty: it shows none
}

// Explain is what each of the rules that has a say says of a connection, up to the one that denies it.
func (r *Rules) Explain(a *Asked) (says []string, passes bool) {
	if r == nil {
		return nil, true
	}
	c := &caller{entry: accesslog.Entry{Direct: a.Source, Remote: a.Source, Local: a.Destination, ServerName: a.ServerName, Metadata: config.Metadata{}}}
	if a.TLS {
		if c.peer = (&match.Peer{}); a.Identity != "" {
			c.peer.URIs = []string{a.Identity}
		}
	}
	c.entry.SetState(r.state)
	for _, one := range r.list {
		if one.Rules == nil {
			continue
		}
		words, passes := match.Words(one.Rules, c)
		if words != "" {
			says = append(says, words)
		}
		if !passes {
			return says, false
		}
	}
	return says, true
}

// Words are what the chain says by itself.
func (a *Answer) Words() string {
	if a.config.Echo {
		return "what the client says is said back to it (echo)"
	}
	return "the connection gets a text and is closed (direct_response)"
}
