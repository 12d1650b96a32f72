package xds

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/envoyproxy/go-control-plane/pkg/cache/types"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	dubbov3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/dubbo_proxy/v3"

	"github.com/weftmesh/weft/test/e2e"
	"github.com/weftmesh/weft/test/envoy"
	"github.com/weftmesh/weft/test/vacant"
	"github.com/weftmesh/weft/wire/dubbo"
)

// calling is a listener of Dubbo whose routes come from where the mode says.
func (m mode) calling(name, routes string) *listenerv3.Listener {
	return parse(strings.ReplaceAll(fmt.Sprintf(`
name: %s
address: {socket_address: {address: 127.0.0.1, port_value: 0}}
filter_chains:
- filters:
  - name: d
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.dubbo_proxy.v3.DubboProxy
      stat_prefix: in
      drds: {route_config_name: %q, config_source: SOURCE}`, name, routes), "SOURCE", m.source), &listenerv3.Listener{})
}

// calls is a table that has all calls go to a cluster. What more says is of the route.
func calls(name, cluster string, more ...string) *dubbov3.MultipleRouteConfiguration {
	return parse(fmt.Sprintf(`{name: %q, route_config: [{interface: "*", routes: [{match: {method: {name: {safe_regex: {regex: ".*"}}}}, route: {cluster: %s%s}}]}]}`, name, cluster, strings.Join(more, "")), &dubbov3.MultipleRouteConfiguration{})
}

// caller is a connection that makes calls, one after the other.
type caller struct {
	net.Conn
	t  testing.TB
	id uint64
}

func callerOf(t testing.TB, address string) (*caller, error) {
	c, err := net.DialTimeout("tcp", address, deadline)
	return &caller{Conn: c, t: t}, err
}

// write makes so many calls.
func (c *caller) write(n int) {
	var b []byte
	for range n {
		c.id++
		b = append(b, e2e.CallFrame(c.t, c.id, e2e.TwoWay, "a.Greeter", "greet", nil, "x")...)
	}
	c.Write(b)
}

// read tells what one of them is answered, or the error.
func (c *caller) read() string {
	c.SetDeadline(time.Now().Add(deadline))
	head := make([]byte, dubbo.HeadSize)
	if _, err := io.ReadFull(c, head); err != nil {
		return err.Error()
	}
	h, _, err := dubbo.ParseHead(head, 1<<20)
	if err != nil {
		return err.Error()
	}
	body := make([]byte, h.Body)
	if _, err := io.ReadFull(c, body); err != nil {
		return err.Error()
	}
	if h.Request {
		return "asked to go"
	}
	if h.Status != dubbo.OK && len(body) > 0 && body[0] == 0x90 {
		body = body[1:] // Envoy writes the type of a result before the text of an error
	}
	return e2e.Said(c.t, h, body)
}

func (c *caller) call() string {
	c.write(1)
	return c.read()
}

// called makes a call on a connection of its own.
func called(t testing.TB, address string) string {
	c, err := callerOf(t, address)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	return c.call()
}

const uncalled = "60 dubbo router: no route for interface 'a.Greeter'"

// TestDubboRoutes has a listener wait for its table, and calls on a connection that stands meet each next one; what is refused, or is not there any more, leaves the last.
func TestDubboRoutes(t *testing.T) {
	for _, m := range modes() {
		if m.source != fromADS {
			continue // nobody can be asked for them alone
		}
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			a, b := e2e.Provider(t, "a", 1).Port, e2e.Provider(t, "b", 1).Port
			plane := NewPlane(t, m.way)
			plane.Serve(m.calling("l", "r"), m.cluster("one"), m.cluster("two"), endpoints("one", a), endpoints("two", b), calls("other", "one"))
			p := Run(t, m, plane.Endpoint())
			p.Eventually("it is asked for", func() bool {
				return strings.Contains(strings.Join(plane.Requests(), "\n"), "MultipleRouteConfiguration")
			})
			p.Eventually("the endpoints", func() bool {
				return p.Stat("cluster.one.update_success") > 0 && p.Stat("cluster.two.update_success") > 0
			})
			if p.Address("l") != "" {
				t.Error("the listener does not wait for its routes")
			}
			serve := func(table *dubbov3.MultipleRouteConfiguration) {
				plane.Serve(m.calling("l", "r"), m.cluster("one"), m.cluster("two"), endpoints("one", a), endpoints("two", b), table)
			}
			serve(calls("r", "one"))
			p.Ready()
			c, err := callerOf(t, p.Address("l"))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if got := c.call(); got != "20 a x" {
				t.Fatal(got)
			}
			serve(calls("r", "two"))
			p.Eventually("the next routes", func() bool { return c.call() == "20 b x" })

			// routes that go nowhere are refused
			serve(parse(`{name: r, route_config: [{interface: "a*b", routes: []}]}`, &dubbov3.MultipleRouteConfiguration{}))
			p.Eventually("a refusal", func() bool { return len(plane.Nacks()) > 0 })
			if got := plane.Nacks()[0]; !strings.Contains(got, `MultipleRouteConfiguration "r": route_config[0].interface: `) {
				t.Error(got)
			}
			if got := c.call(); got != "20 b x" {
				t.Error(got)
			}
			p.Eventually("it is counted", func() bool { return p.Stat("dubbo.in.drds.r.update_rejected") > 0 })
			if got := p.Stat("dubbo.in.drds.r.config_reload"); got != 2 {
				t.Errorf("config_reload is %d", got)
			}
			routes := &adminv3.RoutesConfigDump{}
			for _, one := range p.dump("").Configs {
				if one.MessageIs(routes) {
					unpack(t, one, routes) // Dubbo's come after those of HTTP
				}
			}
			if n := len(routes.DynamicRouteConfigs); n != 1 {
				t.Fatalf("%d tables: %v", n, routes)
			}
			shown := &dubbov3.MultipleRouteConfiguration{}
			one := routes.DynamicRouteConfigs[0]
			if unpack(t, one.RouteConfig, shown); shown.RouteConfig[0].Routes[0].GetRoute().GetCluster() != "two" || !strings.Contains(one.GetErrorState().GetDetails(), "route_config[0].interface") || one.ClientStatus != adminv3.ClientResourceStatus_NACKED {
				t.Errorf("%v", one)
			}

			// who is not there any more stays
			serve(calls("other", "one"))
			plane.Serve(m.calling("l", "r"), m.cluster("one"), m.cluster("two"), m.cluster("three"), endpoints("one", a), endpoints("two", b), endpoints("three", b))
			p.Eventually("what came after that", func() bool { return p.has("three") })
			if got := c.call(); got != "20 b x" {
				t.Error(got)
			}
			// a table without routes has none
			serve(parse(`{name: r}`, &dubbov3.MultipleRouteConfiguration{}))
			p.Eventually("no routes", func() bool { return c.call() == uncalled })
			serve(calls("r", "one"))
			p.Eventually("routes again", func() bool { return c.call() == "20 a x" })
		})
	}
}

// TestDubboRoutesWithoutName come as well, beside others, and beside those of HTTP, of which one has the name of one of Dubbo's.
func TestDubboRoutesWithoutName(t *testing.T) {
	for _, m := range modes()[:2] {
		t.Run(m.name, func(t *testing.T) {
			a, b := e2e.Provider(t, "a", 1).Port, e2e.Provider(t, "b", 1).Port
			plane := NewPlane(t, m.way)
			plane.Serve(m.calling("l", ""), m.calling("k", "r"), m.listener("h", "r"), m.cluster("one"), m.cluster("two"), endpoints("one", a), endpoints("two", b), calls("", "one"), calls("r", "two"), table("r", "one"))
			p := Run(t, m, plane.Endpoint())
			p.Ready()
			if got := called(t, p.Address("l")) + ", " + called(t, p.Address("k")); got != "20 a x, 20 b x" {
				t.Error(got)
			}
			p.Eventually("it is counted", func() bool { return p.Stat("dubbo.in.drds.update_success") == 1 })
			shown := map[string]int{} // tables of both kinds
			for _, one := range p.dump("resource=dynamic_route_configs").Configs {
				table := &adminv3.RoutesConfigDump_DynamicRouteConfig{}
				unpack(t, one, table)
				shown[string(table.GetRouteConfig().MessageName().Name())]++
			}
			if shown["MultipleRouteConfiguration"] != 2 || shown["RouteConfiguration"] != 1 {
				t.Errorf("%v", shown)
			}
		})
	}
}

// TestDubboRoutesLate are waited for as long as the configuration says, and no call goes anywhere until they come after all.
func TestDubboRoutesLate(t *testing.T) {
	m := modes()[0]
	m.source = strings.Replace(m.source, "0s", "0.3s", 1)
	raw := NewRaw(t)
	p := Run(t, m, endpoint(raw.Address))
	raw.ask("Cluster", "")
	raw.Say(World("1", "c"))
	raw.Say(World("1", "c", m.cluster("one")))
	raw.ask("ClusterLoadAssignment", "")
	raw.Say(World("1", "e", endpoints("one", e2e.Provider(t, "a", 1).Port)))
	raw.ask("Listener", "")
	began := time.Now()
	raw.Say(World("1", "l", m.calling("l", "r")))
	raw.ask("Listener", "l")
	p.Ready()
	if d := time.Since(began); d < 300*time.Millisecond {
		t.Errorf("the listener has waited %v", d)
	}
	c, err := callerOf(t, p.Address("l"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := c.call(); got != uncalled {
		t.Error(got)
	}
	if got := p.Stat("dubbo.in.drds.r.init_fetch_timeout"); got != 1 {
		t.Errorf("init_fetch_timeout is %d", got)
	}
	raw.Say(World("1", "r", calls("r", "one")))
	p.Eventually("they come after all", func() bool { return c.call() == "20 a x" })
}

// TestDubboRoutesWait for clusters that they name and that have come, and a cluster that nobody has sent is not waited for.
func TestDubboRoutesWait(t *testing.T) {
	m := modes()[0]
	a, b := e2e.Provider(t, "a", 1).Port, e2e.Provider(t, "b", 1).Port
	plane := NewPlane(t, m.way)
	plane.Serve(m.calling("l", "r"), m.cluster("one"), endpoints("one", a), calls("r", "one"))
	p := Run(t, m, plane.Endpoint())
	p.Ready()
	plane.Serve(m.calling("l", "r"), m.cluster("one"), m.cluster("two"), endpoints("one", a), calls("r", "two"))
	p.Eventually("they have come", func() bool { return p.Stat("dubbo.in.drds.r.update_success") == 2 })
	if got := called(t, p.Address("l")); got != "20 a x" {
		t.Error(got)
	}
	plane.Serve(m.calling("l", "r"), m.cluster("one"), m.cluster("two"), endpoints("one", a), endpoints("two", b), calls("r", "two"))
	p.Eventually("the cluster is warm", func() bool { return called(t, p.Address("l")) == "20 b x" })
	plane.Serve(m.calling("l", "r"), m.cluster("one"), m.cluster("two"), endpoints("one", a), endpoints("two", b), calls("r", "nobody"))
	p.Eventually("nobody's cluster", func() bool {
		return called(t, p.Address("l")) == "80 dubbo router: unknown cluster 'nobody'"
	})
}

// TestDubboWrongOrder removes a cluster before the route that names it is another one, over and over, under connections that always have calls under way: each is answered, and none of the connections ends.
func TestDubboWrongOrder(t *testing.T) {
	m := mode{boot: modes()[0].boot, source: fromADS}
	up := e2e.Provider(t, "up", 4).Port // which answers four at a time, the last first
	raw := NewRaw(t)
	p := Run(t, m, endpoint(raw.Address))
	raw.ask("Cluster", "")
	raw.Say(World("0", "c", m.cluster("k0")))
	raw.ask("ClusterLoadAssignment", "")
	raw.Say(World("0", "e", endpoints("k0", up)))
	raw.ask("Listener", "")
	raw.Say(World("0", "l", m.calling("l", "r")))
	raw.ask("MultipleRouteConfiguration", "")
	raw.Say(World("0", "r", calls("r", "k0")))
	p.Ready()
	var running sync.WaitGroup
	stop, made := make(chan struct{}), make([]int, 4)
	for i := range made {
		c, err := callerOf(t, p.Address("l"))
		if err != nil {
			t.Fatal(err)
		}
		running.Go(func() {
			defer c.Close()
			under := 0
			for {
				select {
				case <-stop:
					return
				default:
				}
				c.write(16 - under)
				for under = 16; under > 8; under-- {
					if got := c.read(); got != "20 up x" {
						t.Errorf("lost: %s", got)
						return
					}
					made[i]++
				}
			}
		})
	}
	const rounds = 40
	for i := 1; i <= rounds && !t.Failed(); i++ {
		old, next := fmt.Sprint("k", i-1), fmt.Sprint("k", i)
		nonce := fmt.Sprint("c", i)
		raw.Say(World(fmt.Sprint(i), nonce, m.cluster(next))) // the old one is removed here
		raw.ask("Cluster", nonce)
		raw.Say(World(fmt.Sprint(i), fmt.Sprint("e", i), endpoints(next, up)))
		raw.ask("ClusterLoadAssignment", fmt.Sprint("e", i))
		if !p.has(old) {
			t.Fatal("the old cluster is gone while a route names it")
		}
		raw.Say(World(fmt.Sprint(i), fmt.Sprint("r", i), calls("r", next)))
		raw.ask("MultipleRouteConfiguration", fmt.Sprint("r", i))
		p.Eventually("the old cluster goes", func() bool { return !p.has(old) })
	}
	close(stop)
	running.Wait()
	for i, n := range made {
		if n < rounds {
			t.Errorf("connection %d has made %d calls only", i, n)
		}
	}
	t.Log(made)
}

// TestDubboCallKeepsItsRoutes has a call be tried again by the route that it began with, at a cluster that has gone meanwhile.
func TestDubboCallKeepsItsRoutes(t *testing.T) {
	m := modes()[0]
	begun, let := make(chan struct{}, 1), make(chan struct{})
	bad := e2e.Provided(t, func(dubbo.Head, *dubbo.Call) ([]byte, bool) {
		begun <- struct{}{}
		<-let
		return nil, true
	}).Port
	end := sync.OnceFunc(func() { close(let) })
	t.Cleanup(end)
	a, b := e2e.Provider(t, "a", 1).Port, e2e.Provider(t, "b", 1).Port
	const again = `, metadata_match: {typed_filter_metadata: {weft.dubbo: {"@type": type.googleapis.com/weft.dubbo.v1.Route, retry: {attempts: 1, idempotent: true}}}}`
	first := endpoints("one", bad)
	first.Endpoints = append(first.Endpoints, endpoints("one", a).Endpoints...)
	first.Endpoints[1].Priority = 1
	plane := NewPlane(t, m.way)
	plane.Serve(m.calling("l", "r"), m.cluster("one"), m.cluster("two"), first, endpoints("two", b), calls("r", "one", again))
	p := Run(t, m, plane.Endpoint())
	p.Ready()
	c, err := callerOf(t, p.Address("l"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.write(1)
	select {
	case <-begun:
	case <-time.After(deadline):
		t.Fatal("the call has not come")
	}
	plane.Serve(m.calling("l", "r"), m.cluster("one"), m.cluster("two"), endpoints("one", a), endpoints("two", b), calls("r", "two"))
	p.Eventually("the next routes", func() bool { return p.Stat("dubbo.in.drds.r.update_success") == 2 }) // a call that came before would wait, too
	if got := called(t, p.Address("l")); got != "20 b x" {
		t.Error(got)
	}
	plane.Serve(m.calling("l", "r"), m.cluster("two"), endpoints("two", b), calls("r", "two"))
	p.Eventually("the cluster is gone", func() bool { return !p.has("one") })
	end()
	if got := c.read(); got != "20 a x" {
		t.Errorf("the call that had begun: %s", got)
	}
	if got := c.call(); got != "20 b x" {
		t.Errorf("the next one: %s", got)
	}
}

// TestDubboRoutesInFile are followed: each next table is met under a connection that stands, and what cannot be read leaves the last.
func TestDubboRoutesInFile(t *testing.T) {
	m := modes()[0]
	path := filepath.Join(t.TempDir(), "drds.yaml")
	put := func(text string) {
		if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	table := func(cluster string) string {
		return `resources: [{"@type": type.googleapis.com/envoy.extensions.filters.network.dubbo_proxy.v3.MultipleRouteConfiguration, name: r, route_config: [{interface: "*", routes: [{match: {}, route: {cluster: ` + cluster + `}}]}]}]`
	}
	put(table("one"))
	a, b := e2e.Provider(t, "a", 1).Port, e2e.Provider(t, "b", 1).Port
	file := m
	file.source = "{path_config_source: {path: " + path + "}}"
	plane := NewPlane(t, m.way)
	plane.Serve(file.calling("l", "r"), m.cluster("one"), m.cluster("two"), endpoints("one", a), endpoints("two", b))
	p := Run(t, m, plane.Endpoint())
	p.Ready()
	c, err := callerOf(t, p.Address("l"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := c.call(); got != "20 a x" {
		t.Fatal(got)
	}
	put(table("two"))
	p.Eventually("the next routes", func() bool { return c.call() == "20 b x" })
	put(strings.Replace(table("one"), `interface: "*"`, "interface: ''", 1))
	p.Eventually("a refusal", func() bool { return p.Stat("dubbo.in.drds.r.update_rejected") > 0 })
	if got := c.call(); got != "20 b x" {
		t.Error(got)
	}
	put(table("one"))
	p.Eventually("the routes after that", func() bool { return c.call() == "20 a x" })
}

// TestOracleDubbo has the real Envoy and weft told the same tables one after the other, and wants the same calls answered the same on a connection that stands all the time, and the same counted.
func TestOracleDubbo(t *testing.T) {
	for _, m := range modes()[:2] {
		t.Run(m.name, func(t *testing.T) {
			m.source = strings.Replace(m.source, "0s", "0.3s", 1)
			a, b := e2e.Provider(t, "a", 1).Port, e2e.Provider(t, "b", 1).Port
			play := func(want []string, begin func(*Plane) (stat func(name string) int64)) (counted []string) {
				port := vacant.Ports(t, 1)[0]
				plane := NewPlane(t, m.way)
				serve := func(more ...types.Resource) {
					l := m.calling("l", "r")
					l.Address = parse(fmt.Sprintf("socket_address: {address: 127.0.0.1, port_value: %d}", port), &corev3.Address{})
					plane.Serve(append(more, l, m.cluster("one"), m.cluster("two"), endpoints("one", a), endpoints("two", b))...)
				}
				serve()
				stat := begin(plane)
				c, err := callerOf(t, fmt.Sprint("127.0.0.1:", port))
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				got := ""
				hears := func(what, want string) {
					t.Helper()
					if !within(func() bool { got = c.call(); return got == want }) {
						t.Fatalf("%s: %s, want %s", what, got, want)
					}
				}
				still := func(what string) {
					t.Helper()
					if now := c.call(); now != got {
						t.Errorf("%s: %s, not %s any more", what, now, got)
					}
				}
				hears("no table in time", uncalled)
				serve(calls("r", "one"))
				hears("a table", "20 a x")
				serve(calls("r", "two"))
				hears("the next one", "20 b x")
				nacks := len(plane.Nacks())
				serve(parse(`{name: r, route_config: [{interface: a, routes: [{match: {method: {name: {safe_regex: {regex: "("}}}}, route: {cluster: one}}]}]}`, &dubbov3.MultipleRouteConfiguration{}))
				if !within(func() bool { return len(plane.Nacks()) > nacks }) {
					t.Fatal("nothing is refused")
				}
				still("a bad one")
				serve()
				still("none")
				serve(calls("r", "nobody"))
				hears("a cluster that nobody has sent", "80 dubbo router: unknown cluster 'nobody'")
				serve(parse("{name: r}", &dubbov3.MultipleRouteConfiguration{}))
				hears("a table without routes", uncalled)
				within(func() bool { // a call may meet the last table before that is counted
					counted = nil
					for _, name := range []string{"update_rejected", "update_failure", "init_fetch_timeout", "config_reload"} { // attempts are counted otherwise, as of other tables, and of deltas, what is removed is a success with Envoy
						counted = append(counted, fmt.Sprint(name, " ", stat("dubbo.in.drds.r."+name)))
					}
					return want == nil || slices.Equal(counted, want)
				})
				return counted
			}
			theirs := play(nil, func(plane *Plane) func(string) int64 {
				admin := envoy.Start(t, bootstrapOf(m, plane.Endpoint())+"admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}\n")
				return func(name string) int64 {
					r, err := http.Get("http://" + admin + "/stats?filter=^" + name + "$")
					if err != nil {
						t.Fatal(err)
					}
					defer r.Body.Close()
					n := int64(-1)
					fmt.Fscanf(r.Body, name+": %d", &n)
					return n
				}
			})
			ours := play(theirs, func(plane *Plane) func(string) int64 {
				p := Run(t, m, plane.Endpoint())
				p.Ready()
				return p.Stat
			})
			if !slices.Equal(theirs, ours) {
				t.Errorf("we have counted %v, Envoy %v", ours, theirs)
			}
			t.Log(ours)
		})
	}
}
