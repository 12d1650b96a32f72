package push

import (
	"time"

	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/xds/server"
)

// Stats is what is counted of a Push.
var Stats = &telemetry.Table{Kind: "push", Metrics: metrics()}

const (
	connected      = iota // streams, now
	turned                // streams whose node says nothing that can be served
	expelled              // streams that were ended since who they are was revoked
	rounds                // in which something was taken
	pushes                // views that were shown to streams
	failures              // views that could not be made
	refusing              // what is refused, now
	unremembered          // refusals for which there was no room
	uninvestigated        // of which nobody finds out what they were made of, for the same reason
	holding               // objects that are held back, now
	takenBack             // changes that were under way
	unheard               // words of proxies about those, for which there was no room
	computed              // ms from when a source told something until all views were shown
	answered              // ms until a stream had answered all of it
	converged             // ms until the last had
	acks                  // by kind
	nacks          = acks + server.Kinds
)

func metrics() []telemetry.Metric {
	list := make([]telemetry.Metric, nacks+server.Kinds)
	copy(list, []telemetry.Metric{
		connected:      {Name: "streams", Type: telemetry.Gauge},
		turned:         {Name: "streams_turned_away"},
		expelled:       {Name: "streams_expelled"},
		rounds:         {Name: "rounds_total"},
		pushes:         {Name: "pushes_total"},
		failures:       {Name: "failures_total"},
		refusing:       {Name: "refused", Type: telemetry.Gauge},
		unremembered:   {Name: "refused_unremembered"},
		uninvestigated: {Name: "refused_uninvestigated"},
		holding:        {Name: "held_back", Type: telemetry.Gauge},
		takenBack:      {Name: "taken_back"},
		unheard:        {Name: "rollout_events_unheard"},
		computed:       {Name: "computed", Type: telemetry.Histogram, Unit: "ms"},
		answered:       {Name: "answered", Type: telemetry.Histogram, Unit: "ms"},
		converged:      {Name: "converged", Type: telemetry.Histogram, Unit: "ms"},
	})
	for i, name := range [server.Kinds]string{"clusters", "endpoints", "listeners", "routes", "virtual_hosts", "secrets", "extensions", "names"} {
		list[acks+i].Name, list[nacks+i].Name = name+"_acks", name+"_nacks"
	}
	return list
}

func (p *Push) count(row int, n uint64) {
	if p.Stats != nil {
		p.Stats.Add(row, n)
	}
}

func (p *Push) gauge(row, n int) {
	if p.Stats != nil {
		p.Stats.Set(row, uint64(n))
	}
}

func (p *Push) observe(row int, d time.Duration) {
	if p.Stats != nil {
		p.Stats.Observe(row, uint64(d.Milliseconds()))
	}
}
