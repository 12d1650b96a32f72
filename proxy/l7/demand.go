package l7

import (
	"errors"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/match"
)

// patience is how long a request waits for routes; how long for a cluster is configured.
const patience = 5 * time.Second

// What a filter hears that has waited in vain.
var (
	errNotDemanded = errors.New("l7: demand: too much is asked for already")
	errNotInTime   = errors.New("l7: demand: it has not come in time")
)

// AwaitMissing implements filters.Exchange.
func (x *exchange) AwaitMissing(clusters *config.OnDemand) bool {
	if _, _, lacks := x.lacks(clusters); !lacks {
		return false
	}
	x.renew() // what is missing may have come since the request began
	d, timeout, lacks := x.lacks(clusters)
	if !lacks || x.generation.Answered[d] {
		return false
	}
	a := x.beginAwait()
	if !x.local.Demands.Wait(d, a) {
		x.conn.stats.Inc(AwaitsRefused)
		sequence := a.sequence
		x.local.Loop.Post(func() { a.late(sequence, filters.Result{Err: errNotDemanded}) })
		return true
	}
	a.demand, a.demands = d, true
	x.conn.stats.Inc(AwaitsPending)
	x.local.Loop.SetTimer(&a.timer, timeout, a)
	return true
}

// renew has the request go on with what is in force now.
func (x *exchange) renew() {
	if g := x.local.Generation; g != x.generation {
		x.generation = g
		x.state &^= rerouted
	}
}

// lacks finds what the request cannot go on without and can be asked for.
func (x *exchange) lacks(clusters *config.OnDemand) (d config.Demand, wait time.Duration, ok bool) {
	x.match()
	switch {
	case x.found.TLSRedirect:
	case x.found.Route != nil:
		f := x.found.Route.Forward
		if clusters == nil || f == nil || x.cluster != nil {
			return
		}
		name := x.share.Name
		if x.share.Header != "" {
			name = string(x.request.Field(x.share.Header))
		}
		return config.Demand{Kind: config.DemandCluster, From: clusters.From, Name: name}, clusters.Timeout, name != "" && len(name) <= maxDemanded
	case x.table == nil && x.server.config.Scoped != nil:
		c, s := x.server.config.Scoped, x.scope().of
		if s == nil || !s.OnDemand || s.RouteName == "" || c.RouteStream == nil {
			return
		}
		return config.Demand{Kind: config.DemandRoutes, From: c.RouteStream.Stream, Name: s.RouteName}, patience, true
	case x.table != nil && x.table.Config.Hosts != nil:
		host := x.request.Authority() // with its port, if it has one, as Envoy does
		if len(host) == 0 || len(host) > maxDemanded {
			return
		}
		name := make([]byte, 0, len(x.table.Config.Name)+1+len(host))
		name = append(append(name, x.table.Config.Name...), '/')
		for _, c := range host {
			name = append(name, match.LowerByte(c))
		}
		return config.Demand{Kind: config.DemandHost, From: x.table.Config.Hosts.Stream, Name: string(name)}, patience, true
	}
	return
}

// maxDemanded bounds, in bytes, a name that a peer may have asked for: no domain is longer.
const maxDemanded = 255

// Answered implements upstream.Demander.
func (a *await) Answered() {
	a.left()
	a.exchange.renew()
	a.resume(filters.Result{})
}

// left notes that the demand is over.
func (a *await) left() {
	if a.demands {
		a.demands = false
		a.exchange.conn.stats.Dec(AwaitsPending)
	}
}

// leave takes the exchange from among those who wait.
func (a *await) leave() {
	if a.demands {
		a.exchange.local.Demands.Leave(a.demand, a)
		a.left()
	}
}
