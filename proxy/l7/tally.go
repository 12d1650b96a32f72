package l7

import (
	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/route"
	"github.com/weftmesh/weft/telemetry"
)

// Rows of what is counted of a route, or of a virtual cluster, under Envoy's names.
const (
	TallyTotal = iota
	TallyRetry
	TallyRetryLimitExceeded
	TallyRetryOverflow
	TallyRetrySuccess
	TallyTimeout
	TallyCompleted
	Tally1xx
	Tally2xx
	Tally3xx
	Tally4xx
	Tally5xx
	TallyTime
)

// routeTally and virtualTally are the tables of these numbers.
var (
	routeTally   = tallyTable("vhost_route")
	virtualTally = tallyTable("vhost_vcluster")
)

func tallyTable(kind string) *telemetry.Table {
	return &telemetry.Table{Kind: kind, Metrics: []telemetry.Metric{
		TallyTotal:              {Name: "upstream_rq_total"},
		TallyRetry:              {Name: "upstream_rq_retry"},
		TallyRetryLimitExceeded: {Name: "upstream_rq_retry_limit_exceeded"},
		TallyRetryOverflow:      {Name: "upstream_rq_retry_overflow"},
		TallyRetrySuccess:       {Name: "upstream_rq_retry_success"},
		TallyTimeout:            {Name: "upstream_rq_timeout"},
		TallyCompleted:          {Name: "upstream_rq_completed"},
		Tally1xx:                {Name: "upstream_rq_1xx"},
		Tally2xx:                {Name: "upstream_rq_2xx"},
		Tally3xx:                {Name: "upstream_rq_3xx"},
		Tally4xx:                {Name: "upstream_rq_4xx"},
		Tally5xx:                {Name: "upstream_rq_5xx"},
		TallyTime:               {Name: "upstream_rq_time", Type: telemetry.Histogram, Unit: "ms"},
	}}
}

// routeCodes and virtualCodes are the tables of their answers by status.
var (
	routeCodes   = telemetry.CodeTable("vhost_route", "upstream_rq_")
	virtualCodes = telemetry.CodeTable("vhost_vcluster", "upstream_rq_")
)

// tally is what is counted of one route or virtual cluster.
type tally struct{ stats, codes *telemetry.Owner }

// Table is a compiled route configuration with what is counted of its parts, beside what is counted of clusters. Most count nothing.
type Table struct {
	*route.Table
	routes   map[*config.Route]*tally
	clusters map[*config.VirtualHost][]*tally // by virtual cluster; the last one is for requests that are in none
}

// CompileTable makes a table, of what has changed since an earlier one; nil: there is none.
func CompileTable(c *config.RouteConfiguration, before *Table, store *telemetry.Store) *Table {
	if before == nil {
		before = &Table{Table: &route.Table{}}
	}
	t := &Table{Table: before.After(c)}
	for _, v := range c.VirtualHosts {
		host := telemetry.Tag{Name: "virtual_host", Value: v.Name}
		for _, r := range v.Routes {
			if r.StatPrefix == "" {
				continue
			}
			if t.routes == nil {
				t.routes = map[*config.Route]*tally{}
			}
			prefix, tag := "vhost."+v.Name+".route."+r.StatPrefix+".", telemetry.Tag{Name: "route", Value: r.StatPrefix}
			t.routes[r] = &tally{stats: store.Acquire(routeTally, prefix, host, tag), codes: store.Acquire(routeCodes, prefix, host, tag)}
		}
		if len(v.VirtualClusters) == 0 {
			continue
		}
		if t.clusters == nil {
			t.clusters = map[*config.VirtualHost][]*tally{}
		}
		add := func(name string) {
			prefix, tag := "vhost."+v.Name+".vcluster."+name+".", telemetry.Tag{Name: "virtual_cluster", Value: name}
			t.clusters[v] = append(t.clusters[v], &tally{stats: store.Acquire(virtualTally, prefix, host, tag), codes: store.Acquire(virtualCodes, prefix, host, tag)})
		}
		for i := range v.VirtualClusters {
			add(v.VirtualClusters[i].Name)
		}
		add("other")
	}
	return t
}

// Release gives back what is counted, when another table has taken this one's place. Exchanges that still run count on where nobody looks.
func (t *Table) Release(store *telemetry.Store) {
	for _, c := range t.routes {
		store.Release(c.stats)
		store.Release(c.codes)
	}
	for _, list := range t.clusters {
		for _, c := range list {
			store.Release(c.stats)
			store.Release(c.codes)
		}
	}
}

// findTallies says which route and virtual cluster the request counts for.
func (x *exchange) findTallies() {
	t := x.table
	if t.routes != nil {
		x.tallies[0] = t.routes[x.found.Route]
	}
	v := x.found.VirtualHost
	if len(v.VirtualClusters) == 0 {
		return
	}
	n := len(v.VirtualClusters)
	for i := range v.VirtualClusters {
		if c := &v.VirtualClusters[i]; route.MatchHeaders(c.Headers, &x.request) {
			n, x.entry.VirtualCluster = i, c.Name
			break
		}
	}
	x.tallies[1] = t.clusters[v][n]
}

// tally counts something for the request's route and virtual cluster.
func (x *exchange) tally(row int) {
	for _, t := range x.tallies {
		if t != nil {
			t.stats.Loop(x.local.Loop.Index()).Inc(row)
		}
	}
}

// tallyStatus counts an answer for them.
func (x *exchange) tallyStatus(status uint16) {
	for _, t := range x.tallies {
		if t == nil {
			continue
		}
		i := x.local.Loop.Index()
		t.stats.Loop(i).Inc(TallyCompleted)
		t.codes.Loop(i).Inc(telemetry.CodeRow(status))
		if status < 600 {
			t.stats.Loop(i).Inc(classRow(Tally1xx, status))
		}
	}
}
