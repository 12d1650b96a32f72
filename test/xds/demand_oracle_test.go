package xds

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/weftmesh/weft/test/envoy"
	"github.com/weftmesh/weft/test/vacant"
)

// TestOracleOnDemand has the real Envoy and weft miss the same, and wants the same asked for, answered and counted.
func TestOracleOnDemand(t *testing.T) {
	binary := envoy.Binary(t)
	m := byName()[0]
	type question struct{ listener, host, tenant, cluster string }
	questions := []question{
		{listener: "hosts", host: "own.example"}, {listener: "hosts", host: "A.example"}, {listener: "hosts", host: "b.example:80"}, {listener: "hosts", host: "x.wild.example"}, {listener: "hosts", host: "nobody.example"},
		{listener: "scopes", host: "a", tenant: "blue"}, {listener: "scopes", host: "a", tenant: "red"}, {listener: "scopes", host: "a", tenant: "white"},
		{listener: "clusters", host: "a", cluster: "two"}, {listener: "clusters", host: "a", cluster: "three"}, {listener: "clusters", host: "a"},
	}
	counters := []string{"http.in.scoped_rds.tenants.all_scopes", "http.in.scoped_rds.tenants.on_demand_scopes", "http.in.rds.rb.update_success", "http.in.scoped_rds.tenants.update_success", "http.in.scoped_rds.tenants.config_reload"}
	play := func(run func(*Shelf, map[string]int) (stat func(string) int64)) (out []string) {
		shelf := NewShelf(t, OverTCP)
		ports := map[string]int{}
		place := func(l *listenerv3.Listener) proto.Message {
			ports[l.Name] = vacant.Ports(t, 1)[0]
			l.Address = parse(fmt.Sprintf("{socket_address: {address: 127.0.0.1, port_value: %d}}", ports[l.Name]), &corev3.Address{})
			return l
		}
		filter := strings.ReplaceAll(onDemand, "SOURCE", m.source)
		shelf.Lay(m.cluster("one"), place(m.demanding("hosts", "t", onDemand)), place(m.demanding("clusters", "r", onDemand)), place(m.scoped("scopes", byStream, filter)),
			scope("a", "red", "ra", ", on_demand: true"), scope("b", "blue", "rb"))
		shelf.Put(endpoints("one", 1), m.hostsFrom("t"), byHeader("r"), says("ra", "A"), says("rb", "B"), m.cluster("two"), endpoints("two", upstream(t, "two")))
		shelf.Host("t/laid", virtualHost("laid", "laid.example", "L")) // Envoy waits for one
		shelf.laid["VirtualHost t/laid"] = true
		shelf.Host("t/a.example", virtualHost("a", "a.example", "A"))
		shelf.Host("t/b", virtualHost("b", "b.example", "B"), "t/b.example", "t/b.example:80")
		shelf.Host("t/wild", virtualHost("wild", "*.wild.example", "W"), "t/x.wild.example")
		stat := run(shelf, ports)
		for _, q := range questions {
			lines := []string{"x-list: k=v"}
			if q.tenant != "" {
				lines = append(lines, "x-tenant: "+q.tenant)
			}
			if q.cluster != "" {
				lines = append(lines, "x-cluster: "+q.cluster)
			}
			got := ask(fmt.Sprintf("127.0.0.1:%d", ports[q.listener]), q.host, lines...)
			out = append(out, fmt.Sprintf("%+v: %s", q, got))
		}
		asked := slices.DeleteFunc(shelf.Asked(), func(s string) bool {
			return !strings.HasPrefix(s, "VirtualHost ") && !strings.HasPrefix(s, "Cluster ") && !strings.HasPrefix(s, "RouteConfiguration ra")
		})
		out = append(out, strings.Join(asked, ", "))
		for _, name := range counters {
			out = append(out, fmt.Sprintf("%s %d", name, stat(name)))
		}
		return out
	}
	ours := play(func(shelf *Shelf, _ map[string]int) func(string) int64 {
		p := Run(t, m, shelf.Endpoint())
		p.Ready()
		return p.Stat
	})
	theirs := play(func(shelf *Shelf, ports map[string]int) func(string) int64 {
		admin := vacant.Ports(t, 1)[0]
		path := filepath.Join(t.TempDir(), "envoy.yaml")
		text := bootstrapOf(m, shelf.Endpoint()) + fmt.Sprintf("admin: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}\n", admin)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		c := exec.Command(binary, "-c", path, "--concurrency", "1", "--disable-hot-restart", "-l", "off")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Process.Kill(); c.Wait() })
		get := func(path string) string {
			r, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", admin, path))
			if err != nil {
				return ""
			}
			defer r.Body.Close()
			b, _ := io.ReadAll(r.Body)
			return string(b)
		}
		ready := func() bool {
			for _, port := range ports {
				if conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
					conn.Close()
				} else {
					return false
				}
			}
			return strings.HasPrefix(get("/ready"), "LIVE")
		}
		end := time.Now().Add(deadline)
		for tick := time.NewTicker(10 * time.Millisecond); !ready(); <-tick.C {
			if time.Now().After(end) {
				t.Fatalf("Envoy is not ready: %s%s\n%q\n%q", get("/ready"), get("/init_dump"), shelf.Nacks(), shelf.Asked())
			}
		}
		return func(name string) int64 {
			var v int64
			_, after, _ := strings.Cut(get("/stats?usedonly&filter=^"+name+"$"), ": ")
			fmt.Sscan(after, &v)
			return v
		}
	})
	for i := range ours {
		if ours[i] != theirs[i] {
			t.Errorf("we say\n%s\nEnvoy\n%s", ours[i], theirs[i])
		}
	}
}
