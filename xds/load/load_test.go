package load

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	statsv3 "github.com/envoyproxy/go-control-plane/envoy/service/load_stats/v3"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/rpc"
	"github.com/weftmesh/weft/telemetry"
)

func one(id any, region string, issued, succeeded, failed, active uint64) Endpoint {
	return Endpoint{ID: id, Locality: config.Locality{Region: region}, Issued: issued, Succeeded: succeeded, Failed: failed, Active: active}
}

// sums are what a report tells of the localities, by their regions.
func sums(c *endpointv3.ClusterStats) map[string][4]uint64 {
	out := map[string][4]uint64{}
	for _, l := range c.GetUpstreamLocalityStats() {
		out[l.GetLocality().GetRegion()] = [4]uint64{l.GetTotalIssuedRequests(), l.GetTotalSuccessfulRequests(), l.GetTotalErrorRequests(), l.GetTotalRequestsInProgress()}
	}
	return out
}

// TestWhatHasGrown: a report tells what came since the last one, of endpoints that were there and of new ones.
func TestWhatHasGrown(t *testing.T) {
	now := time.Unix(1, 0)
	f := &followed{since: now}
	c := &Cluster{Name: "c", ID: 1, Dropped: 5, Spared: 3, Category: "busy", Endpoints: []Endpoint{one("a", "r", 10, 8, 2, 0), one("b", "s", 4, 4, 0, 0)}}
	f.follow(c)
	r := f.report(c, now.Add(time.Second), false)
	if len(r.GetUpstreamLocalityStats()) != 0 || r.GetTotalDroppedRequests() != 0 || r.GetDroppedRequests() != nil {
		t.Errorf("what was before is told: %v", r)
	}
	c = &Cluster{Name: "c", ID: 1, Dropped: 9, Spared: 5, Category: "busy", Endpoints: []Endpoint{one("a", "r", 13, 10, 2, 1), one("b", "s", 4, 4, 0, 0), one("d", "r", 2, 1, 1, 0)}}
	r = f.report(c, now.Add(3*time.Second), true)
	if got := sums(r); len(got) != 1 || got["r"] != [4]uint64{5, 3, 1, 1} {
		t.Errorf("%v", got)
	}
	if n := len(r.GetUpstreamLocalityStats()[0].GetUpstreamEndpointStats()); n != 2 {
		t.Errorf("%d endpoints are told: want 2", n)
	}
	if r.GetTotalDroppedRequests() != 4 || r.GetDroppedRequests()[0].GetDroppedCount() != 2 || r.GetDroppedRequests()[0].GetCategory() != "busy" || r.GetLoadReportInterval().AsDuration() != 2*time.Second {
		t.Errorf("%v", r)
	}
	// A cluster that is made anew, and an endpoint that is, count from 0.
	c = &Cluster{Name: "c", ID: 2, Dropped: 1, Endpoints: []Endpoint{one("a2", "r", 1, 1, 0, 0)}}
	r = f.report(c, now.Add(4*time.Second), false)
	if got := sums(r); got["r"] != [4]uint64{1, 1, 0, 0} || r.GetTotalDroppedRequests() != 1 {
		t.Errorf("%v", r)
	}
}

// plane is a control plane whose streams a test ends.
type plane struct {
	statsv3.UnimplementedLoadReportingServiceServer
	said chan *statsv3.LoadStatsRequest
	ends chan error
}

func (p *plane) StreamLoadStats(s statsv3.LoadReportingService_StreamLoadStatsServer) error {
	first, err := s.Recv()
	if err != nil {
		return err
	}
	p.said <- first
	if err := s.Send(&statsv3.LoadStatsResponse{SendAllClusters: true, LoadReportingInterval: durationpb.New(time.Hour)}); err != nil {
		return err
	}
	return <-p.ends
}

// TestStreamsEnd: what is counted between two streams is told with the first message of the second one, and only ends that are failures
// are errors.
func TestStreamsEnd(t *testing.T) {
	p := &plane{said: make(chan *statsv3.LoadStatsRequest), ends: make(chan error)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	statsv3.RegisterLoadReportingServiceServer(s, p)
	go s.Serve(l)
	defer s.Stop()

	var mu sync.Mutex
	issued := uint64(1)
	owner := telemetry.NewStore(0).Acquire(Stats, "load_reporter.")
	r := New(Options{
		Node: &corev3.Node{Id: "one"}, Stats: owner.Loop(0),
		Target: func() rpc.Target {
			return rpc.Target{Cluster: &config.Cluster{Name: "plane", ConnectTimeout: time.Second}, Endpoints: []*config.Endpoint{{Address: config.Address{AddrPort: l.Addr().(*net.TCPAddr).AddrPort()}}}}
		},
		Clusters: func() []Cluster {
			mu.Lock()
			defer mu.Unlock()
			return []Cluster{{Name: "c", Endpoints: []Endpoint{one("a", "r", issued, 0, 0, 0)}}}
		},
	})
	r.pause = time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); r.Run(ctx) }()
	first := <-p.said
	if len(first.GetClusterStats()) != 0 || first.GetNode().GetId() != "one" || first.GetNode().GetClientFeatures()[0] != "envoy.lrs.supports_send_all_clusters" {
		t.Errorf("%v", first)
	}
	count := func(row int) int64 { return owner.Sum(row) }
	for tick := time.NewTicker(time.Millisecond); count(Requests) == 0; <-tick.C { // it has been asked
	}
	mu.Lock()
	issued += 3
	mu.Unlock()
	p.ends <- nil
	second := <-p.said
	if got := sums(second.GetClusterStats()[0]); got["r"] != [4]uint64{3, 0, 0, 0} {
		t.Errorf("%v", got)
	}
	if count(Errors) != 0 || count(Retries) != 1 {
		t.Errorf("%d errors, %d retries: want 0 and 1", count(Errors), count(Retries))
	}
	p.ends <- io.ErrUnexpectedEOF
	<-p.said
	if count(Errors) != 1 || count(Retries) != 2 {
		t.Errorf("%d errors, %d retries: want 1 and 2", count(Errors), count(Retries))
	}
	cancel()
	<-done
}
