package xds

import (
	"context"
	"log/slog"
	"slices"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/rpc"
	"github.com/weftmesh/weft/xds/load"
)

// ReportLoad tells the control plane that the bootstrap names how much clusters are asked, until the context ends. It returns at once if
// there is none. clusters is called from this goroutine.
func (f *Feed) ReportLoad(ctx context.Context, clusters func() []load.Cluster, log *slog.Logger) {
	to := f.boot.Dynamic.LoadReports
	if to == nil || f.stats == nil {
		return
	}
	server := f.static.Clusters[slices.IndexFunc(f.static.Clusters, func(c *config.Cluster) bool { return c.Name == to.Server })]
	load.New(load.Options{
		Node: nodeOf(f.boot), Clusters: clusters, Log: log, Stats: f.stats.Acquire(load.Stats, "load_reporter.").Loop(f.stats.Loops()),
		Target: func() rpc.Target {
			t := rpc.Of(server, f.Snapshot())
			t.Metadata, t.Joins = to.Metadata, true
			return t
		},
	}).Run(ctx)
}
