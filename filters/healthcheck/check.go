package healthcheck

import (
	"sync/atomic"
	"time"

	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/wire/http"
)

// Rows of the filter's numbers, under Envoy's names.
const (
	requestTotal = iota
	cachedResponse
	failed
	noCluster
	clusterEmpty
	clusterUnwell
	okay
)

var stats = &telemetry.Table{Kind: "http_health_check", Metrics: []telemetry.Metric{
	requestTotal:   {Name: "request_total"},
	cachedResponse: {Name: "cached_response"},
	failed:         {Name: "failed"},
	noCluster:      {Name: "failed_cluster_not_found"},
	clusterEmpty:   {Name: "failed_cluster_empty"},
	clusterUnwell:  {Name: "failed_cluster_unhealthy"},
	okay:           {Name: "ok"},
}}

// memory is the last answer of the upstream, for all loops.
type memory struct {
	status atomic.Uint32
	until  atomic.Int64 // nanoseconds after base; 0: nothing is remembered
	base   time.Time
}

func build(c any, site filters.Site) func(int) filters.Filter {
	owner := site.Stats.Acquire(stats, site.StatPrefix+"health_check.")
	m := &memory{base: time.Now()}
	return func(loop int) filters.Filter {
		return &filter{settings: c.(*settings), memory: m, health: site.Health, stats: owner.Loop(loop), cluster: []byte(site.Cluster)}
	}
}

// filter serves one exchange.
type filter struct {
	filters.Pass
	settings *settings
	memory   *memory
	health   *filters.Health
	stats    *telemetry.Values
	cluster  []byte // of this process, which a health check asks for
	check    bool   // the request is one
	answered bool   // by the filter
}

// RequestHeaders answers health checks: with a failure while this process is told to fail them, else as the upstream did lately, else
// with success, or not at all where the upstream is to be asked.
func (f *filter) RequestHeaders(x filters.Exchange, _ bool) filters.Action {
	if !x.MatchHeaders(f.settings.headers) {
		return filters.Continue
	}
	f.check = true
	x.Entry().HealthCheck = true
	if f.health.Failed() {
		return f.answer(x, 503, "health_check_failed")
	}
	if !f.settings.pass {
		status, details := f.judge(x)
		return f.answer(x, status, details)
	}
	if until := f.memory.until.Load(); until > 0 && int64(x.Now().Sub(f.memory.base)) < until {
		f.stats.Inc(cachedResponse)
		return f.answer(x, uint16(f.memory.status.Load()), "health_check_cached")
	}
	return filters.Continue
}

// judge goes by how many endpoints of some clusters are well.
func (f *filter) judge(x filters.Exchange) (status uint16, details string) {
	for _, n := range f.settings.clusters {
		all, well, known := x.Endpoints(n.cluster)
		switch {
		case !known:
			f.stats.Inc(noCluster)
			return 503, "health_check_failed_no_cluster_found"
		case all == 0 && n.percent > 0:
			f.stats.Inc(clusterEmpty)
			return 503, "health_check_failed_cluster_empty"
		case 100*well < n.percent*all:
			f.stats.Inc(clusterUnwell)
			return 503, "health_check_failed_cluster_unhealthy"
		}
	}
	if len(f.settings.clusters) > 0 {
		return 200, "health_check_ok_cluster_healthy"
	}
	return 200, "health_check_ok"
}

func (f *filter) answer(x filters.Exchange, status uint16, details string) filters.Action {
	f.stats.Inc(requestTotal) // of what the filter answers
	if status == 200 {
		f.stats.Inc(okay)
	} else {
		f.stats.Inc(failed)
		x.Flag(accesslog.FailedLocalHealthCheck)
	}
	f.answered = true
	x.Reply(status, nil, details)
	return filters.Replied
}

// ResponseHeaders remembers what the upstream answered, and says who was checked. Every response says so while health checks fail, so
// that a balancer before us need not wait for its next check.
func (f *filter) ResponseHeaders(x filters.Exchange, _ bool) filters.Action {
	r := x.Response()
	if f.check {
		if !f.answered && f.settings.cache > 0 {
			f.memory.status.Store(uint32(r.Status))
			f.memory.until.Store(max(int64(x.Now().Sub(f.memory.base)+f.settings.cache), 1))
		}
		r.RemoveNamed("x-envoy-upstream-healthchecked-cluster")
		r.AddNamed([]byte("x-envoy-upstream-healthchecked-cluster"), f.cluster)
	}
	if f.health.Failed() {
		r.SetString(http.XEnvoyImmediateHealthCheckFail, "true")
	}
	return filters.Continue
}

// Done forgets the exchange.
func (f *filter) Done(filters.Exchange) { f.check, f.answered = false, false }
