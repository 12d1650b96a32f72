package proxy

import (
	"runtime"
	"time"

	"github.com/weftmesh/weft/proxy/admin"
	"github.com/weftmesh/weft/telemetry"
)

// Rows of the process's own numbers, under Envoy's names; agents read some of them to tell whether the proxy is ready.
const (
	serverUptime = iota
	serverConcurrency
	serverMemoryAllocated
	serverMemoryHeap
	serverMemoryPhysical
	serverTotalConnections
	serverParentConnections
	serverState
	serverLive
	serverHotRestartEpoch
	serverDaysLeft
)

// States of the server, as the gauge shows them.
const (
	stateLive            = 0
	stateDraining        = 1
	statePreInitializing = 2
	stateInitializing    = 3
)

var serverStats = &telemetry.Table{Kind: "server", Metrics: []telemetry.Metric{
	serverUptime:            {Name: "uptime", Type: telemetry.Gauge},
	serverConcurrency:       {Name: "concurrency", Type: telemetry.Gauge},
	serverMemoryAllocated:   {Name: "memory_allocated", Type: telemetry.Gauge},
	serverMemoryHeap:        {Name: "memory_heap_size", Type: telemetry.Gauge},
	serverMemoryPhysical:    {Name: "memory_physical_size", Type: telemetry.Gauge},
	serverTotalConnections:  {Name: "total_connections", Type: telemetry.Gauge},
	serverParentConnections: {Name: "parent_connections", Type: telemetry.Gauge},
	serverState:             {Name: "state", Type: telemetry.Gauge},
	serverLive:              {Name: "live", Type: telemetry.Gauge},
	serverHotRestartEpoch:   {Name: "hot_restart_epoch", Type: telemetry.Gauge},
	serverDaysLeft:          {Name: "days_until_first_cert_expiring", Type: telemetry.Gauge},
}}

const (
	listenersAdded = iota
	listenersModified
	listenersInPlace
	listenersRemoved
	listenersCreated
	listenersFailed
	listenersActive
	listenersWarming
	listenersDraining
	workersStarted
)

var listenerStats = &telemetry.Table{Kind: "listener_manager", Metrics: []telemetry.Metric{
	listenersAdded:    {Name: "listener_added"},
	listenersModified: {Name: "listener_modified"},
	listenersInPlace:  {Name: "listener_in_place_updated"},
	listenersRemoved:  {Name: "listener_removed"},
	listenersCreated:  {Name: "listener_create_success"},
	listenersFailed:   {Name: "listener_create_failure"},
	listenersActive:   {Name: "total_listeners_active", Type: telemetry.Gauge},
	listenersWarming:  {Name: "total_listeners_warming", Type: telemetry.Gauge},
	listenersDraining: {Name: "total_listeners_draining", Type: telemetry.Gauge},
	workersStarted:    {Name: "workers_started", Type: telemetry.Gauge},
}}

const (
	clustersAdded = iota
	clustersModified
	clustersRemoved
	clustersActive
	clustersWarming
)

var clusterStats = &telemetry.Table{Kind: "cluster_manager", Metrics: []telemetry.Metric{
	clustersAdded:    {Name: "cluster_added"},
	clustersModified: {Name: "cluster_modified"},
	clustersRemoved:  {Name: "cluster_removed"},
	clustersActive:   {Name: "active_clusters", Type: telemetry.Gauge},
	clustersWarming:  {Name: "warming_clusters", Type: telemetry.Gauge},
}}

// owners are where the process counts what is its own, outside of the loops.
type owners struct {
	server, listeners, clusters, moves *telemetry.Values
	started                            time.Time
}

func newOwners(s *telemetry.Store) owners {
	n := s.Loops()
	return owners{
		server:    s.Acquire(serverStats, "server.").Loop(n),
		listeners: s.Acquire(listenerStats, "listener_manager.").Loop(n),
		clusters:  s.Acquire(clusterStats, "cluster_manager.").Loop(n),
		moves:     s.Acquire(moveStats, "hot_restart.").Loop(n),
		started:   time.Now(),
	}
}

// Refresh brings the gauges up to date that are only worth it when somebody looks.
func (p *Proxy) Refresh() {
	p.clusters.Refresh()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	v := p.owners.server
	v.Set(serverHotRestartEpoch, uint64(p.options.Epoch))
	v.Set(serverUptime, uint64(time.Since(p.owners.started)/time.Second))
	v.Set(serverConcurrency, uint64(len(p.loops)))
	v.Set(serverMemoryAllocated, m.HeapAlloc)
	v.Set(serverMemoryHeap, m.HeapSys)
	v.Set(serverMemoryPhysical, m.Sys-m.HeapReleased)
	v.Set(serverTotalConnections, uint64(p.Connections()))
	v.Set(serverDaysLeft, daysLeft(p.Certificates(), time.Now()))
	p.tellEnds()
	_, state := p.state()
	v.Set(serverState, uint64(state))
	live := uint64(1)
	if state != stateLive {
		live = 0
	}
	v.Set(serverLive, live)
}

// State is what Envoy calls the server's state, and whether it serves.
func (p *Proxy) State() (name string, live bool) {
	name, state := p.state()
	return name, state == stateLive
}

func (p *Proxy) state() (string, int) {
	switch {
	case p.drain.Active(), p.origin.Health.Failed():
		return "DRAINING", stateDraining
	case !p.live.Load():
		return "PRE_INITIALIZING", statePreInitializing
	case p.options.Ready != nil && !p.options.Ready():
		return "INITIALIZING", stateInitializing
	}
	return "LIVE", stateLive
}

// Listeners are the listeners as the admin page shows them.
func (p *Proxy) Listeners() []admin.ListenerView {
	var list []admin.ListenerView
	for name, a := range p.Addresses() {
		list = append(list, admin.ListenerView{Name: name, Address: a})
	}
	return list
}
