package fault

import "github.com/weftmesh/weft/telemetry"

// Rows of the filter's numbers, under Envoy's names.
const (
	abortsInjected = iota
	activeFaults
	delaysInjected
	faultsOverflow
	limitsInjected
	clustersOverflow
)

var stats = &telemetry.Table{Kind: "http_fault", Metrics: []telemetry.Metric{
	abortsInjected: {Name: "aborts_injected"},
	activeFaults:   {Name: "active_faults", Type: telemetry.Gauge},
	delaysInjected: {Name: "delays_injected"},
	faultsOverflow: {Name: "faults_overflow"},
	limitsInjected: {Name: "response_rl_injected"},
	// Envoy has no such number, for it has no such limit.
	clustersOverflow: {Name: "downstream_clusters_overflow"},
}}

// Rows of what is counted for one downstream cluster.
const (
	clusterAborts = iota
	clusterDelays
)

var clusterStats = &telemetry.Table{Kind: "http_fault", Metrics: []telemetry.Metric{
	clusterAborts: {Name: "aborts_injected"},
	clusterDelays: {Name: "delays_injected"},
}}

// maxClusters bounds the downstream clusters that a loop counts for: requests name them.
const maxClusters = 64

// counters are where a loop counts.
type counters struct {
	name     string // of the filter
	site     string // what statistics begin with
	store    *telemetry.Store
	owner    *telemetry.Owner
	values   *telemetry.Values
	loop     int
	clusters map[string]*telemetry.Values
}

// of counts for the downstream cluster that a request names.
func (c *counters) of(cluster []byte) *telemetry.Values {
	if v := c.clusters[string(cluster)]; v != nil {
		return v
	}
	if len(c.clusters) >= maxClusters {
		c.values.Inc(clustersOverflow)
		return nil
	}
	name := string(cluster)
	v := c.store.Acquire(clusterStats, c.site+name+".").Loop(c.loop)
	c.clusters[name] = v
	return v
}
