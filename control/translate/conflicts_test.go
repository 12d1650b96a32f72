package translate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/test/manifest"
)

// TestConflictsAreOfOneCluster holds what is said of services to what proxies do, which take the addresses and workloads of their own cluster.
func TestConflictsAreOfOneCluster(t *testing.T) {
	service := func(name, at, created, ports string) string {
		return "kind: Service\nmetadata: {name: " + name + ", namespace: shop, creationTimestamp: '" + created + "T00:00:00Z'}\nspec: {selector: {app: web}, clusterIP: " + at + ", ports: [" + ports + "]}\n---\n"
	}
	const east, west = "# cluster east\n", "# cluster west\n"
	entry := func(name, address string) string {
		return "kind: ServiceEntry\nmetadata: {name: " + name + ", namespace: shop, creationTimestamp: '2020-03-01T00:00:00Z'}\nspec: {hosts: [" + name + ".test], addresses: [" + address + "], resolution: STATIC, location: MESH_INTERNAL, workloadSelector: {labels: {app: web}}, ports: [{number: 5432, name: tcp, protocol: TCP}]}\n---\n"
	}
	for _, c := range []struct{ name, objects, inbound, outbound string }{
		{"one Service in two ways", service("web", "10.0.0.1", "2020-01-01", "{port: 80, name: http}") + east + service("web", "10.0.0.2", "2020-01-02", "{port: 80, name: tcp}"), "", ""},
		{"two of one address", service("db1", "10.0.0.1", "2020-01-01", "{port: 5432, name: tcp}") + east + service("db2", "10.0.0.1", "2020-01-02", "{port: 5432, name: tcp}"), "", ""},
		{"two of one address, in one cluster that is attached", east + service("db1", "10.0.0.1", "2020-01-01", "{port: 5432, name: tcp}") + east + service("db2", "10.0.0.1", "2020-01-02", "{port: 5432, name: tcp}"), "", "east/shop/db2"},
		{"two in two ways, in one cluster that is attached", service("a", "10.0.0.1", "2020-01-01", "{port: 80, name: tcp}") + east + service("a", "10.0.0.1", "2020-01-01", "{port: 80, name: http}") + east + service("b", "10.0.0.2", "2020-01-02", "{port: 80, name: tcp}"), "east/shop/b", ""},
		{"an entry is of all clusters", east + service("db", "10.0.0.1", "2020-01-01", "{port: 5432, name: http}") + east + service("dc", "10.0.0.2", "2020-01-01", "{port: 5433, targetPort: 1, name: tcp}") + west + service("db", "10.0.0.1", "2020-01-01", "{port: 5432, name: http}") + entry("ex", "10.0.0.2") + entry("ey", "10.0.0.2"), "/shop/ex /shop/ey", "/shop/ey"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := mesh.New().With(manifest.Read(t, c.objects))
			for what, problems := range map[string][]source.Problem{c.inbound + " in": InboundConflicts(m), c.outbound + " out": OutboundConflicts(m)} {
				var got []string
				for _, p := range problems {
					got = append(got, p.Cluster+"/"+p.Namespace+"/"+p.Name)
					if p.From != m.Get(p.Key).From {
						t.Errorf("%s is from %+v", p.Key, p.From)
					}
				}
				if want := strings.Fields(what); strings.Join(got, " ") != strings.Join(want[:len(want)-1], " ") {
					t.Errorf("%v, want %s", got, what)
				}
			}
		})
	}
}

// TestContestedIsWhatComparingAllFinds holds the search to the plain way.
func TestContestedIsWhatComparingAllFinds(t *testing.T) {
	for seed := range 500 {
		r := rand.New(rand.NewPCG(uint64(seed), 5))
		var list []saying
		for range r.IntN(30) {
			s := &mesh.Service{Selector: map[string]string{}, Ports: []*mesh.Port{{Protocol: []mesh.Protocol{mesh.HTTP, mesh.TCP, mesh.HTTP2}[r.IntN(3)]}}}
			for range 1 + r.IntN(3) {
				s.Selector[fmt.Sprint(r.IntN(3))] = fmt.Sprint(r.IntN(3))
			}
			list = append(list, saying{s, 0})
		}
		want := make([]int, len(list))
		for i, later := range list {
			want[i] = slices.IndexFunc(list[:i], func(first saying) bool {
				a, b := first.service.Selector, later.service.Selector
				return first.protocol() != later.protocol() && (has(a, b) || has(b, a))
			})
		}
		if got := contested(list); !slices.Equal(got, want) {
			t.Fatalf("seed %d: %v, want %v", seed, got, want)
		}
	}
}

// TestContestedInTime is about what each scrape asks. Held each against each, these take 20 s.
func TestContestedInTime(t *testing.T) {
	var list []saying
	for i := range 30_000 {
		list = append(list, saying{&mesh.Service{Selector: map[string]string{"app": fmt.Sprint(i), "part-of": "shop"}, Ports: []*mesh.Port{{Protocol: []mesh.Protocol{mesh.HTTP, mesh.TCP}[i%2]}}}, 0})
	}
	begin := time.Now()
	found := contested(list)
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if slices.Max(found) >= 0 {
		t.Error("of other workloads each")
	}
}
