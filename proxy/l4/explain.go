package l4

import (
	"net/netip"

	"github.com/weftmesh/weft/proxy/upstream"
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

// Words are what the chain says by itself.
func (a *Answer) Words() string {
	if a.config.Echo {
		return "what the client says is said back to it (echo)"
	}
	return "the connection gets a text and is closed (direct_response)"
}
