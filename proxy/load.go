package proxy

import (
	"cmp"
	"slices"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/xds/load"
)

// Loads is what has been counted of each cluster that runs, by their names.
func (p *Proxy) Loads() []load.Cluster {
	running := p.clusters.List()
	out := make([]load.Cluster, 0, len(running))
	for name, c := range running {
		one := load.Cluster{Name: name, ID: c.Drops, Dropped: uint64(c.Drops.Refused.Load() + c.Drops.Spared.Load()), Spared: uint64(c.Drops.Spared.Load()), Category: c.DropCategory()}
		if c.Config.Type == config.EDS && c.Config.ServiceName != name {
			one.Service = c.Config.ServiceName
		}
		all := c.Endpoints().All
		one.Endpoints = make([]load.Endpoint, len(all))
		for i := range all {
			m := &all[i]
			one.Endpoints[i] = load.Endpoint{ID: m.Endpoint, Address: m.Address(), Locality: m.Locality, Priority: m.Priority,
				Issued: uint64(m.Counts.RqTotal.Load()), Succeeded: uint64(m.Counts.RqSuccess.Load()), Failed: uint64(m.Counts.RqError.Load()), Active: uint64(m.Active.Load())}
		}
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b load.Cluster) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
