package report

import (
	"fmt"
	"io"
	"maps"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	loadv3 "github.com/envoyproxy/go-control-plane/envoy/service/load_stats/v3"
)

// loadServer asks for reports and sums them up.
type loadServer struct {
	loadv3.UnimplementedLoadReportingServiceServer
	wants []*loadv3.LoadStatsResponse // what it asks for, one after the other, on each stream

	mu      sync.Mutex
	facts   map[string]string
	sums    map[string]uint64
	reports int
	streams int
	cut     chan struct{} // ends a stream
}

func (s *loadServer) StreamLoadStats(stream loadv3.LoadReportingService_StreamLoadStatsServer) error {
	s.mu.Lock()
	s.streams++
	n := s.streams
	s.mu.Unlock()
	said := make(chan *loadv3.LoadStatsRequest)
	go func() {
		defer close(said)
		for {
			m, err := stream.Recv()
			if err != nil {
				return
			}
			said <- m
		}
	}()
	for i := 0; ; i++ {
		select {
		case m, ok := <-said:
			if !ok {
				return nil
			}
			s.take(n, i, m)
			if i < len(s.wants) {
				if err := stream.Send(s.wants[i]); err != nil {
					return err
				}
			}
		case <-s.cut:
			return io.ErrUnexpectedEOF
		}
	}
}

// take sums up.
func (s *loadServer) take(stream, i int, m *loadv3.LoadStatsRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	node := fmt.Sprintf("%s %v", m.GetNode().GetId(), regexp.MustCompile(`envoy\.lrs\.\S+`).FindAllString(strings.Join(m.GetNode().GetClientFeatures(), " "), -1))
	if i == 0 {
		s.facts[fmt.Sprintf("stream %d begins", stream)] = fmt.Sprintf("%s, %d clusters", node, len(m.GetClusterStats()))
	} else {
		s.facts["later messages"] = node
		s.reports++
	}
	for _, c := range m.GetClusterStats() {
		name := c.GetClusterName() + " " + c.GetClusterServiceName()
		s.facts[name+" is told of"] = "yes"
		s.facts[name+" has an interval"] = fmt.Sprint(c.GetLoadReportInterval().AsDuration() > 0 && c.GetLoadReportInterval().AsDuration() < patience)
		s.sums[name+" dropped"] += c.GetTotalDroppedRequests()
		for _, d := range c.GetDroppedRequests() {
			s.sums[name+" dropped "+d.GetCategory()] += d.GetDroppedCount()
		}
		for _, l := range c.GetUpstreamLocalityStats() {
			at := fmt.Sprintf("%s %s/%s/%s at %d", name, l.GetLocality().GetRegion(), l.GetLocality().GetZone(), l.GetLocality().GetSubZone(), l.GetPriority())
			s.sums[at+" issued"] += l.GetTotalIssuedRequests()
			s.sums[at+" succeeded"] += l.GetTotalSuccessfulRequests()
			s.sums[at+" failed"] += l.GetTotalErrorRequests()
			s.facts[at+" in progress"] = fmt.Sprint(l.GetTotalRequestsInProgress())
			s.endpoints(at, l)
		}
	}
}

func (s *loadServer) endpoints(at string, l *endpointv3.UpstreamLocalityStats) {
	for _, e := range l.GetUpstreamEndpointStats() {
		at := at + " endpoint " + e.GetAddress().GetSocketAddress().GetAddress()
		s.sums[at+" issued"] += e.GetTotalIssuedRequests()
		s.sums[at+" succeeded"] += e.GetTotalSuccessfulRequests()
		s.sums[at+" failed"] += e.GetTotalErrorRequests()
	}
}

// serveLoad starts a server of reports.
func serveLoad(t *testing.T, wants ...*loadv3.LoadStatsResponse) (*loadServer, int) {
	s := &loadServer{wants: wants, facts: map[string]string{}, sums: map[string]uint64{}, cut: make(chan struct{})}
	return s, grpcServer(t, func(g *grpc.Server) { loadv3.RegisterLoadReportingServiceServer(g, s) })
}

// more waits for that many more reports.
func (s *loadServer) more(p *process, n int) {
	s.mu.Lock()
	from := s.reports
	s.mu.Unlock()
	p.eventually("reports", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.reports >= from+n
	})
}

// loadBootstrap has clusters that are asked by path.
func loadBootstrap(up, tcp, loads int, more string) string {
	local := func(where, ip string, port, priority int) string {
		return fmt.Sprintf(`{priority: %d, locality: {%s}, load_balancing_weight: 1, lb_endpoints: [{endpoint: {address: {socket_address: {address: %s, port_value: %d}}}}]}`, priority, where, ip, port)
	}
	cluster := func(name, endpoints, more string) string {
		return "\n  - {name: " + name + ", connect_timeout: 5s, load_assignment: {cluster_name: " + name + ", endpoints: [" + endpoints + "]" + more + "}"
	}
	here := local("region: here", "127.0.0.1", up, 0)
	two := `, typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http2_protocol_options: {}}}}}`
	return `
node: {id: one, cluster: some}
cluster_manager: {load_stats_config: {api_type: GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: loads}}]` + more + `}}
static_resources:
  listeners:
  - name: http
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: http
          http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - {match: {prefix: /, headers: [{name: x-to, present_match: true}]}, route: {cluster_header: x-to, timeout: 0.1s}}
  - name: tcp
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains: [{filters: [{name: tcp, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: tcp, cluster: echo}}]}]
  clusters:` +
		cluster("mixed", local("region: r, zone: z, sub_zone: s", "127.0.0.1", up, 0)+", "+local("region: r, zone: other", "127.0.0.2", up, 0)+", "+local("region: far", "127.0.0.3", up, 1), "}") +
		cluster("one", here, "}") + cluster("two", here, "}"+two[:len(two)-1]) + cluster("spared", here, ", policy: {drop_overloads: [{category: busy, drop_percentage: {numerator: 100}}]}}") +
		cluster("limited", here, "}, circuit_breakers: {thresholds: [{max_requests: 0, max_pending_requests: 0}]}") +
		cluster("dead", local("region: dead", "127.0.0.1", 1, 0), "}") + cluster("echo", local("region: tcp", "127.0.0.1", tcp, 0), "}") + cluster("unused", here, "}") +
		cluster("loads", local("", "127.0.0.1", loads, 0), "}"+two[:len(two)-1])
}

// loadsOf sends all traffic through one of the two and gives what is reported.
func loadsOf(t *testing.T, name string, want *loadv3.LoadStatsResponse) map[string]string {
	up, tcp := upstream(t), echo(t)
	loads, port := serveLoad(t, want)
	p := start(t, name, loadBootstrap(up, tcp, port, ""), 2)
	loads.more(p, 1)
	c := client(false, nil)
	ask := func(to, path string, n int) {
		for range n {
			send(t, c, "GET", "http://"+p.at["http"]+path, "", "x-to", to)
		}
	}
	ask("mixed", "/", 6)
	for _, to := range []string{"one", "two"} {
		ask(to, "/", 2)
		ask(to, "/error", 1)
		ask(to, "/reset", 1)
		ask(to, "/slow", 1)
	}
	ask("spared", "/", 3)
	ask("limited", "/", 2)
	ask("dead", "/", 2)
	for range 2 {
		c, err := net.Dial("tcp", p.at["tcp"])
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, "hello")
		c.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, c)
		c.Close()
	}
	// One that is under way while it is reported.
	held, err := net.Dial("tcp", p.at["tcp"])
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	io.WriteString(held, "x")
	io.ReadFull(held, make([]byte, 1))
	loads.more(p, 3)
	loads.mu.Lock()
	defer loads.mu.Unlock()
	for k, v := range loads.sums {
		if !strings.HasPrefix(k, "loads ") { // the reports themselves, by Envoy's own client
			loads.facts[k] = fmt.Sprint(v)
		}
	}
	for k := range loads.facts {
		if strings.HasPrefix(k, "loads ") {
			delete(loads.facts, k)
		}
	}
	loads.facts["load_reporter.requests"] = fmt.Sprint(p.stat("load_reporter.requests"))
	loads.facts["load_reporter.errors"] = fmt.Sprint(p.stat("load_reporter.errors"))
	loads.facts["load_reporter.responses"] = fmt.Sprint(p.stat("load_reporter.responses") >= int64(loads.reports))
	return maps.Clone(loads.facts)
}

var explainedLoads = []difference{
	because(`^one  here// at 0( endpoint 127.0.0.1)? issued$`, "a kept connection that turns out to be closed when it is used is nobody's fault: a request that is safe to repeat gets another one"),
}

// TestLoads compares what both report of the same traffic.
func TestLoads(t *testing.T) {
	for what, want := range map[string]*loadv3.LoadStatsResponse{
		"all":  {SendAllClusters: true, LoadReportingInterval: durationpb.New(300 * time.Millisecond), ReportEndpointGranularity: true},
		"some": {Clusters: []string{"one", "spared", "missing"}, LoadReportingInterval: durationpb.New(300 * time.Millisecond)},
	} {
		t.Run(what, func(t *testing.T) {
			var all [2]map[string]string
			for i, name := range []string{"envoy", "weft"} {
				all[i] = loadsOf(t, name, want)
			}
			compare(t, all[0], all[1], explainedLoads)
		})
	}
}
