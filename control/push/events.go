package push

import (
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/telemetry"
)

// EventNames are what may become of an object, in the order of rows.
var EventNames = [...]string{"add", "update", "delete"}

const (
	added = iota
	updated
	deleted
)

// TriggerNames are what sets off a round, in the words of Istio's numbers.
var TriggerNames = [...]string{"config", "endpoint", "service", "secret", "namespace", "networks", "global"}

const (
	byConfig = iota
	byEndpoint
	byService
	bySecret
	byNamespace
	byNetworks
	byGlobal
)

// Events is what becomes of objects, by kind, and what sets off rounds.
var Events = &telemetry.Table{Kind: "events", Metrics: events()}

// triggers is the first row of them.
var triggers = len(source.Forms) * len(EventNames)

func events() (list []telemetry.Metric) {
	for k := range source.Forms {
		for _, e := range EventNames {
			list = append(list, telemetry.Metric{Name: source.Forms[k].Name + "." + e})
		}
	}
	for _, t := range TriggerNames {
		list = append(list, telemetry.Metric{Name: "trigger." + t})
	}
	return list
}

// event counts what has become of an object that counts.
func (p *Push) event(was *source.Object, c source.Change) {
	if p.Events == nil || was == nil && c.Object == nil {
		return
	}
	what := updated
	switch {
	case c.Object == nil:
		what = deleted
	case was == nil:
		what = added
	}
	p.Events.Inc(int(c.Kind)*len(EventNames) + what)
}

// trigger counts what has set off a round, each once.
func (p *Push) trigger(changes []source.Change) {
	if p.Events == nil {
		return
	}
	var by [len(TriggerNames)]bool
	for _, c := range changes {
		by[triggerOf(c.Kind)] = true
	}
	for i, is := range by {
		if is {
			p.Events.Inc(triggers + i)
		}
	}
}

func triggerOf(k source.Kind) int {
	switch k {
	case source.EndpointSlice, source.Pod, source.WorkloadEntry, source.Node:
		return byEndpoint
	case source.Service, source.ServiceEntry:
		return byService
	case source.Secret:
		return bySecret
	case source.Namespace:
		return byNamespace
	case source.MeshNetworks:
		return byNetworks
	case source.MeshConfig:
		return byGlobal
	}
	return byConfig
}
