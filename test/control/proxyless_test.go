package control

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/xds"

	"github.com/weftmesh/weft/test/vacant"
)

// answering answers over gRPC, and says who it is in a header.
func answering(t testing.TB, says string) (port int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, r any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		grpc.SetHeader(ctx, metadata.Pairs("who", says))
		return next(ctx, r)
	}))
	healthpb.RegisterHealthServer(s, health.NewServer())
	go s.Serve(l)
	t.Cleanup(s.Stop)
	return l.Addr().(*net.TCPAddr).Port
}

func sum(counts map[string]int) (n int) {
	for _, one := range counts {
		n += one
	}
	return n
}

// A client of gRPC's own calls a service of the mesh with no proxy between, and follows weights and endpoints.
func TestGRPCWithoutAProxy(t *testing.T) {
	s := &shop{t: t, port: vacant.Ports(t, 1)[0], one: answering(t, "v1"), other: answering(t, "v2")}
	entry := func(more string) string {
		return strings.Replace(s.entry(more), "protocol: HTTP}", "protocol: GRPC}", 1)
	}
	p := newPlane(t, map[string]string{"shop.yaml": entry(""), "canary.yaml": canary(100)})
	r, err := xds.NewXDSResolverWithConfigForTesting(fmt.Appendf(nil, `{
		"xds_servers": [{"server_uri": "127.0.0.1:%d", "channel_creds": [{"type": "insecure"}], "server_features": ["xds_v3"]}],
		"node": {"id": "sidecar~127.0.0.1~one.a~a.svc.cluster.local", "metadata": {"NAMESPACE": "a", "GENERATOR": "grpc"}, "locality": {"region": "r", "zone": "z"}}}`, p.grpc))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(fmt.Sprintf("xds:///shop.test:%d", s.port), grpc.WithResolvers(r), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	calls := func(n int) map[string]int {
		t.Helper()
		got := map[string]int{}
		for sum(got) < n {
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			var header metadata.MD
			_, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{}, grpc.Header(&header), grpc.WaitForReady(true))
			cancel()
			// grpc-go 1.85 chooses by a new table a moment before its balancer is told of the table's clusters (ClientConn applies the config selector first).
			if err != nil && strings.Contains(err.Error(), "unknown cluster selected for RPC") {
				continue
			}
			if err != nil {
				t.Fatalf("a call is lost: %v", err)
			}
			got[strings.Join(header.Get("who"), "")]++
		}
		return got
	}
	if got := calls(100); got["v1"] != 100 {
		t.Fatalf("calls came to %v: want all to v1", got)
	}
	p.write("canary.yaml", canary(50))
	eventually(t, "half of it moves", func() bool { got := calls(100); return got["v1"] > 25 && got["v2"] > 25 })
	p.write("canary.yaml", canary(0))
	eventually(t, "all of it moves", func() bool { return calls(20)["v2"] == 20 })
	p.write("shop.yaml", entry(fmt.Sprintf("- {address: 127.0.0.1, ports: {http: %d}, labels: {version: v2}}", answering(t, "third"))))
	eventually(t, "an endpoint more has some", func() bool { got := calls(20); return got["third"] > 4 && got["v2"] > 4 })
	if st := p.status(); len(st.Refused)+len(st.Problems) > 0 || st.Proxies[0].ID != "one.a" {
		t.Errorf("%+v", st)
	}
}
