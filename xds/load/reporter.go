package load

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	statsv3 "github.com/envoyproxy/go-control-plane/envoy/service/load_stats/v3"

	"github.com/weftmesh/weft/rpc"
	"github.com/weftmesh/weft/telemetry"
)

// Rows of what is counted of reports, under Envoy's names: requests are those of the control plane, for reports, and responses are reports.
const (
	Requests = iota
	Responses
	Errors
	Retries
)

// Stats is the table of these numbers.
var Stats = &telemetry.Table{Kind: "load_reporter", Metrics: []telemetry.Metric{
	Requests:  {Name: "requests"},
	Responses: {Name: "responses"},
	Errors:    {Name: "errors"},
	Retries:   {Name: "retries"},
}}

// Options are what a reporter is made from.
type Options struct {
	Node     *corev3.Node
	Target   func() rpc.Target // the control plane, as things are now
	Clusters func() []Cluster  // what has been counted
	Stats    *telemetry.Values // of Stats
	Log      *slog.Logger      // nil: nothing is told
}

// Reporter reports.
type Reporter struct {
	Options
	node     *corev3.Node
	asked    *statsv3.LoadStatsResponse // what the control plane wants to know; nil: it has not said
	clusters map[string]*followed       // that it wants to know of
	first    int                        // the endpoint that is tried first
	now      func() time.Time
	pause    time.Duration
	told     bool // that there is no control plane
}

// pause is the time between a stream's end and the next attempt, Envoy's.
const pause = 5 * time.Second

// leastInterval is the shortest time between two reports, whatever a control plane wants.
const leastInterval = 100 * time.Millisecond

// New makes a reporter. Run has it report.
func New(o Options) *Reporter {
	r := &Reporter{Options: o, node: proto.CloneOf(o.Node), clusters: map[string]*followed{}, now: time.Now, pause: pause}
	r.node.ClientFeatures = append(r.node.ClientFeatures, "envoy.lrs.supports_send_all_clusters")
	return r
}

// Run reports until the context ends.
func (r *Reporter) Run(ctx context.Context) {
	for {
		err := r.talk(ctx)
		if ctx.Err() != nil {
			return
		}
		if status.Code(err) != codes.OK {
			r.Stats.Inc(Errors)
			if r.Log != nil && !r.told {
				r.told = true
				r.Log.Warn("nobody takes reports of load; it is tried again", "error", err)
			}
		}
		r.first++
		wait := time.NewTimer(r.pause)
		select {
		case <-ctx.Done():
			wait.Stop()
			return
		case <-wait.C:
		}
		r.Stats.Inc(Retries)
	}
}

// talk reports over one stream, to its end.
func (r *Reporter) talk(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	target := r.Target()
	target.First = r.first
	conn, err := rpc.Dial(ctx, target)
	if err != nil {
		return err
	}
	defer conn.Close()
	stream, err := statsv3.NewLoadReportingServiceClient(conn).StreamLoadStats(ctx)
	if err != nil {
		return err
	}
	r.told = false
	said := make(chan *statsv3.LoadStatsResponse)
	ended := make(chan error, 1)
	go func() {
		for {
			m, err := stream.Recv()
			if err != nil {
				ended <- err
				return
			}
			select {
			case said <- m:
			case <-ctx.Done():
				return
			}
		}
	}()
	// The first message says who speaks, and what was counted since a stream that has ended.
	due := time.NewTimer(0)
	defer due.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-ended:
			return over(err)
		case m := <-said:
			r.asked = m
			r.Stats.Inc(Requests)
			r.begin()
			due.Reset(r.interval())
		case <-due.C:
			late := time.AfterFunc(patience, cancel)
			err := stream.Send(r.request())
			late.Stop()
			if err != nil {
				select {
				case err = <-ended:
				case <-ctx.Done():
				}
				return over(err)
			}
			r.Stats.Inc(Responses)
			if r.asked != nil {
				r.begin()
				due.Reset(r.interval())
			}
		}
	}
}

// patience bounds how long a report may take to leave.
const patience = 30 * time.Second

// over takes the end that a control plane makes in order for none of an error.
func over(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func (r *Reporter) interval() time.Duration {
	return max(r.asked.GetLoadReportingInterval().AsDuration(), leastInterval)
}

// begin has clusters be followed that the control plane wants to know of, and forgets the others. Those that are followed go on: what came
// between a report and the next word of the control plane is not lost.
func (r *Reporter) begin() {
	next := map[string]*followed{}
	there := r.Clusters()
	follow := func(name string, c *Cluster) {
		f := r.clusters[name]
		if f == nil {
			f = &followed{since: r.now()}
			if c != nil {
				f.follow(c)
			}
		}
		next[name] = f
	}
	if r.asked.GetSendAllClusters() {
		for i := range there {
			follow(there[i].Name, &there[i])
		}
	} else {
		byName := make(map[string]*Cluster, len(there))
		for i := range there {
			byName[there[i].Name] = &there[i]
		}
		for _, name := range r.asked.GetClusters() {
			follow(name, byName[name])
		}
	}
	r.clusters = next
}

// request is a report of what is followed and there.
func (r *Reporter) request() *statsv3.LoadStatsRequest {
	m := &statsv3.LoadStatsRequest{Node: r.node}
	if len(r.clusters) == 0 {
		return m
	}
	now, there := r.now(), r.Clusters()
	for i := range there {
		if f := r.clusters[there[i].Name]; f != nil {
			m.ClusterStats = append(m.ClusterStats, f.report(&there[i], now, r.asked.GetReportEndpointGranularity()))
		}
	}
	return m
}
