package control

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/weftmesh/weft/capture/dns"
	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters/builtin"
	"github.com/weftmesh/weft/xds"
)

// TestNames has an application ask for names of a mesh: what weftd knows of them comes over the proxy's stream to the DNS beside it, and changes with the mesh.
func TestNames(t *testing.T) {
	for _, from := range sources {
		t.Run(from, func(t *testing.T) {
			const service = `
apiVersion: v1
kind: Service
metadata: {name: %s, namespace: a}
spec: {clusterIP: %s, ports: [{name: http, port: 80}]}
---
`
			files := map[string]string{"services.yaml": fmt.Sprintf(service, "web", "10.96.0.80") + fmt.Sprintf(service, "db", "None") + `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: db-1, namespace: a, labels: {kubernetes.io/service-name: db}}
addressType: IPv4
endpoints: [{addresses: [10.1.0.1], hostname: db-0}, {addresses: [10.1.0.2], hostname: db-1}]
ports: [{name: http, port: 80, protocol: TCP}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: outside, namespace: a}
spec: {hosts: [api.example.com], location: MESH_EXTERNAL, resolution: DNS, ports: [{number: 5432, name: tcp, protocol: TCP}]}
`}
			p := newPlaneOf(t, from, files)
			resolvers := filepath.Join(t.TempDir(), "resolv.conf")
			if err := os.WriteFile(resolvers, []byte("search a.svc.cluster.local\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			names, err := dns.Listen(dns.Options{Addrs: []string{"127.0.0.1:0"}, Namespace: "a", Domain: "a.svc.cluster.local", Resolvers: resolvers})
			if err != nil {
				t.Fatal(err)
			}
			defer names.Close()
			names.Serve()
			boot, err := xds.ReadBootstrap(xds.Source{YAML: bootstrap(`NAMESPACE: a, DNS_CAPTURE: "true"`, p.grpc, "")}, builtin.All())
			if err != nil {
				t.Fatal(err)
			}
			feed, err := xds.Open(boot, xds.Options{Filters: builtin.All(), Names: names.Tell})
			if err != nil {
				t.Fatal(err)
			}
			defer feed.Close()
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan struct{})
			go func() {
				defer close(done)
				feed.Watch(ctx, func(*config.Snapshot) error { return nil })
			}()
			defer func() { cancel(); <-done }()
			eventually(t, "the proxy is ready", feed.Ready)
			if !names.Ready() {
				t.Error("it is ready without names")
			}
			application := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, names.Addrs()[0].String())
			}}
			ask := func(name string) string {
				addresses, err := application.LookupHost(t.Context(), name+".")
				if err != nil {
					return "none"
				}
				slices.Sort(addresses)
				return strings.Join(addresses, " ")
			}
			eventually(t, "all is told", func() bool {
				return ask("db") == "10.1.0.1 10.1.0.2" && strings.HasPrefix(ask("api.example.com"), "240.240.")
			})
			for name, want := range map[string]string{
				"web": "10.96.0.80", "web.a.svc": "10.96.0.80", "web.a.svc.cluster.local": "10.96.0.80", "web.a.svc.cluster.local.a.svc.cluster.local": "10.96.0.80",
				"db-1.db": "10.1.0.2", "other": "none",
			} {
				if got := ask(name); got != want {
					t.Errorf("%s: %s, want %s", name, got, want)
				}
			}
			p.write("more.yaml", fmt.Sprintf(service, "other", "10.96.0.81"))
			eventually(t, "there is another", func() bool { return ask("other") == "10.96.0.81" })
			if !feed.Health("it is full") {
				t.Error("nobody is told how the workload does")
			}
			eventually(t, "weftd has heard how the workload does", func() bool { return p.number("xds_health_reports") == 1 })
		})
	}
}
