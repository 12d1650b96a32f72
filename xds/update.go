package xds

import (
	"maps"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/telemetry"
)

// load reads a file and takes what is good. A faulty file changes nothing.
func (f *Feed) load(file *file) {
	file.stamp = stampOf(file.Path)
	for _, part := range file.parts {
		part.stamp = stampOf(part.Path)
	}
	c := readContent(f.decoder, file.Path, file.kind)
	now := f.now()

	f.mu.Lock()
	next, changed := *f.snapshot, false
	outcomes := make([]Outcome, len(file.subscribers))
	for i, s := range file.subscribers {
		r, faults := c.of(file, s.state.Name)
		if len(faults) == 0 && (file.kind == Secrets || file.kind == Extensions) {
			then := next
			take(&then, f.snapshot, s.state.Name, r.value)
			if faults = faultsIn(f.unfit(&then)); len(faults) > 0 {
				faults[0].File = file.Path
			}
		}
		o := Outcome{Kind: file.kind, Name: s.state.Name, File: file.Path, Version: c.version}
		if s.count(updateAttempt); len(faults) > 0 {
			o.Err = faults
			if c.unreadable {
				s.count(updateFailure)
			} else {
				s.count(updateRejected)
			}
			s.state.Failure = &Failure{Version: c.version, Time: now, Wires: map[string][]byte{s.state.Name: r.wire}, Details: faults.Error()}
		} else {
			s.count(updateSuccess)
			o.Changed = take(&next, f.snapshot, s.state.Name, r.value)
			changed = changed || o.Changed
			if s.state.Version, s.state.Updated, s.state.Failure = c.version, now, nil; o.Changed {
				s.state.Resource = r.value
			}
			if (file.kind.routes() || file.kind == Endpoints) && o.Changed == file.kind.routes() {
				s.count(reloadOrNoRebuild)
			}
		}
		outcomes[i] = o
	}
	if changed {
		f.snapshot = &next
		f.tellChanged()
	}
	file.consistOf()
	f.mu.Unlock()
	for _, o := range outcomes {
		f.report(o)
	}
}

// take puts a resource into the next snapshot, unless what is there is equal. Maps of a snapshot that is out are not written to.
func take(next, current *config.Snapshot, name string, v any) bool {
	switch v := v.(type) {
	case *config.RouteConfiguration:
		if old := current.Routes[name]; old != nil && equal(old, v) {
			return false
		}
		next.Routes = with(next.Routes, name, v)
	case *config.DubboRoutes:
		if old := current.DubboRoutes[name]; old != nil && equal(old, v) {
			return false
		}
		next.DubboRoutes = with(next.DubboRoutes, name, v)
	case *config.Assignment:
		if old := current.Endpoints.Get(name); old != nil && equal(old, v) {
			return false
		}
		next.Endpoints = next.Endpoints.With(name, v)
	case *config.Secret:
		if old := current.Secrets[name]; old != nil && old.Hash == v.Hash {
			return false
		}
		next.Secrets = with(next.Secrets, name, v)
	case *config.Extension:
		if old := current.Extensions[name]; old != nil && old.Hash == v.Hash {
			return false
		}
		next.Extensions = with(next.Extensions, name, v)
	case *config.RuntimeValues:
		if old := current.Runtime[name]; old != nil && old.Hash == v.Hash {
			return false
		}
		next.Runtime = with(next.Runtime, name, v)
	}
	return true
}

func with[V any](m map[string]V, name string, v V) map[string]V {
	out := make(map[string]V, len(m)+1)
	maps.Copy(out, m)
	out[name] = v
	return out
}

// What is counted of every subscription.
const (
	updateAttempt = iota
	updateSuccess
	updateRejected   // it was read and is wrong
	updateFailure    // it could not be read
	initFetchTimeout // it was given up waiting for
	reloadOrNoRebuild
)

// RouteStats is counted for each route configuration of each connection manager, below http.<stat_prefix>.rds.<name>.
var RouteStats = &telemetry.Table{Kind: "http_rds", Metrics: updateMetrics("config_reload")}

// DubboRouteStats is counted for each table of routes of each Dubbo proxy, below dubbo.<stat_prefix>.drds.<name>.
var DubboRouteStats = &telemetry.Table{Kind: "dubbo_drds", Metrics: updateMetrics("config_reload")}

// EndpointStats is counted for each cluster whose endpoints come from a file, below cluster.<name>.
var EndpointStats = &telemetry.Table{Kind: "cluster", Metrics: updateMetrics("update_no_rebuild")}

// ClusterStats and ListenerStats are counted for the files that clusters and listeners come from.
var (
	ClusterStats  = &telemetry.Table{Kind: "cluster_manager_cds", Metrics: updateMetrics("config_reload")}
	ListenerStats = &telemetry.Table{Kind: "listener_manager_lds", Metrics: updateMetrics("")[:reloadOrNoRebuild]}
)

// SecretStats is counted for each secret that comes from a file, below sds.<name>.
var SecretStats = &telemetry.Table{Kind: "sds", Metrics: updateMetrics("key_rotation_failed")[:reloadOrNoRebuild]}

// ExtensionStats is counted for each filter's configuration that comes by itself, below extension_config_discovery.http_filter.<name>.
var ExtensionStats = &telemetry.Table{Kind: "extension_config_discovery", Metrics: updateMetrics("config_reload")}

// LayerStats is counted for each layer of runtime values that comes by itself, below runtime.<name>.
var LayerStats = &telemetry.Table{Kind: "runtime_rtds", Metrics: updateMetrics("")[:reloadOrNoRebuild]}

// What is counted of scopes beside that.
const (
	allScopes = reloadOrNoRebuild + 1 + iota
	activeScopes
	onDemandScopes
)

// ScopeStats is counted for each connection manager that chooses among tables, below http.<stat_prefix>.scoped_rds.<name>.
var ScopeStats = &telemetry.Table{Kind: "http_scoped_rds", Metrics: append(updateMetrics("config_reload"),
	telemetry.Metric{Name: "all_scopes", Type: telemetry.Gauge}, telemetry.Metric{Name: "active_scopes", Type: telemetry.Gauge}, telemetry.Metric{Name: "on_demand_scopes", Type: telemetry.Gauge})}

// updateTables are the tables by kind.
var updateTables = [...]*telemetry.Table{Routes: RouteStats, Endpoints: EndpointStats, Clusters: ClusterStats, Listeners: ListenerStats, Secrets: SecretStats,
	Extensions: ExtensionStats, Runtimes: LayerStats, Scopes: ScopeStats, DubboRoutes: DubboRouteStats}

func updateMetrics(last string) []telemetry.Metric {
	return []telemetry.Metric{
		updateAttempt:     {Name: "update_attempt"},
		updateSuccess:     {Name: "update_success"},
		updateRejected:    {Name: "update_rejected"},
		updateFailure:     {Name: "update_failure"},
		initFetchTimeout:  {Name: "init_fetch_timeout"},
		reloadOrNoRebuild: {Name: last},
	}
}

func (s *subscription) count(row int) {
	if s.stats != nil {
		s.stats.Inc(row)
	}
}
