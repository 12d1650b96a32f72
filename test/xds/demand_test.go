package xds

import (
	"bytes"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
)

// byName are the modes in which a control plane can be asked for one resource.
func byName() []mode {
	return slices.DeleteFunc(modes(), func(m mode) bool { return !strings.Contains(m.name, "delta") })
}

const onDemand = `{name: d, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.on_demand.v3.OnDemand, odcds: {source: SOURCE, timeout: 20s}}}, `

func (m mode) demanding(name, routes, filters string) *listenerv3.Listener {
	return parse(strings.ReplaceAll(fmt.Sprintf(`
name: %s
address: {socket_address: {address: 127.0.0.1, port_value: 0}}
filter_chains:
- filters:
  - name: h
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
      stat_prefix: in
      rds: {route_config_name: %s, config_source: SOURCE}
      http_filters: [%s{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]`, name, routes, filters), "SOURCE", m.source), &listenerv3.Listener{})
}

// byHeader sends each request to the cluster that it names.
func byHeader(name string) *routev3.RouteConfiguration {
	return parse(fmt.Sprintf(`{name: %s, virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster_header: x-cluster}}]}]}`, name), &routev3.RouteConfiguration{})
}

// TestClustersOnDemand has requests wait for the clusters that they name.
func TestClustersOnDemand(t *testing.T) {
	for _, m := range byName() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			a, b := upstream(t, "a"), upstream(t, "b")
			shelf := NewShelf(t, m.way)
			shelf.Lay(m.cluster("one"), m.demanding("l", "r", onDemand), m.demanding("plain", "r", ""))
			shelf.Put(endpoints("one", a), byHeader("r"), m.cluster("two"), endpoints("two", b))
			p := Run(t, m, shelf.Endpoint())
			p.Ready()
			if got := ask(p.Address("l"), "a", "x-cluster: one"); got != "200 a" {
				t.Error(got)
			}
			if got := ask(p.Address("plain"), "a", "x-cluster: two"); !strings.HasPrefix(got, "503 ") {
				t.Errorf("without the filter: %s", got)
			}
			if slices.Contains(shelf.Asked(), "Cluster two") {
				t.Error("it is asked for before it is missed")
			}
			answers := make(chan string)
			for range 8 {
				go func() { answers <- ask(p.Address("l"), "a", "x-cluster: two") }()
			}
			for range 8 {
				if got := <-answers; got != "200 b" {
					t.Error(got)
				}
			}
			if n := len(slices.DeleteFunc(shelf.Asked(), func(s string) bool { return s != "Cluster two" })); n != 1 {
				t.Errorf("it is asked for %d times", n)
			}
			if got := ask(p.Address("plain"), "a", "x-cluster: two"); got != "200 b" {
				t.Errorf("when it is there: %s", got)
			}

			// one that nobody has
			for range 2 {
				if got := ask(p.Address("l"), "a", "x-cluster: three"); !strings.HasPrefix(got, "503 ") {
					t.Error(got)
				}
			}
			if n := len(slices.DeleteFunc(shelf.Asked(), func(s string) bool { return s != "Cluster three" })); n != 1 {
				t.Errorf("what is not there is asked for %d times", n)
			}
			// and that comes after all
			shelf.Put(m.cluster("three"), endpoints("three", a))
			shelf.Say("Cluster", nil, "three")
			p.Eventually("a cluster that comes late", func() bool { return ask(p.Address("l"), "a", "x-cluster: three") == "200 a" })
			if got := p.Stat("on_demand.wanted"); got != 2 {
				t.Errorf("%d names are wanted", got)
			}
			if got := p.Stat("http.in.filter_awaits_pending"); got != 0 {
				t.Errorf("%d still wait", got)
			}
		})
	}
}

// TestClusterInVain has a request wait no longer than it is to.
func TestClusterInVain(t *testing.T) {
	m := modes()[1]
	shelf := NewShelf(t, OverTCP)
	shelf.mute = true
	shelf.Lay(m.cluster("one"), m.demanding("l", "r", strings.Replace(onDemand, "20s", "0.2s", 1)))
	shelf.Put(endpoints("one", 1), byHeader("r"))
	p := Run(t, m, shelf.Endpoint())
	p.Ready()
	began := time.Now()
	if got := ask(p.Address("l"), "a", "x-cluster: two"); !strings.HasPrefix(got, "503 ") || time.Since(began) < 200*time.Millisecond {
		t.Error(got, time.Since(began))
	}
}

// TestTunnelOnDemand has a connection wait for its cluster, and what the client says first with it.
func TestTunnelOnDemand(t *testing.T) {
	for _, m := range byName() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			shelf := NewShelf(t, m.way)
			tunnel := func(name, cluster string) *listenerv3.Listener {
				return parse(strings.ReplaceAll(fmt.Sprintf(`
name: %s
address: {socket_address: {address: 127.0.0.1, port_value: 0}}
filter_chains: [{filters: [{name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: %s, cluster: %s, on_demand: {odcds_config: SOURCE, timeout: 20s}}}]}]`, name, name, cluster), "SOURCE", m.source), &listenerv3.Listener{})
			}
			shelf.Lay(m.cluster("one"), tunnel("t", "two"), tunnel("u", "three"))
			shelf.Put(endpoints("one", 1), m.cluster("two"), endpoints("two", upstream(t, "b")))
			p := Run(t, m, shelf.Endpoint())
			p.Ready()
			if got := ask(p.Address("t"), "a"); got != "200 b" {
				t.Error(got)
			}
			if got := ask(p.Address("u"), "a"); strings.HasPrefix(got, "200") {
				t.Error(got)
			}
			p.Eventually("it is counted", func() bool { return p.Stat("tcp.u.downstream_cx_no_route") == 1 })
		})
	}
}

// hostsFrom is a table that has one virtual host, and whose others requests ask for.
func (m mode) hostsFrom(name string) *routev3.RouteConfiguration {
	return parse(strings.ReplaceAll(fmt.Sprintf(`{name: %s, virtual_hosts: [{name: own, domains: [own.example], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: own}}}]}], vhds: {config_source: SOURCE}}`, name), "SOURCE", m.source), &routev3.RouteConfiguration{})
}

func virtualHost(name, domain, text string) *routev3.VirtualHost {
	return parse(fmt.Sprintf(`{name: %s, domains: ["%s"], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: %s}}}]}`, name, domain, text), &routev3.VirtualHost{})
}

// TestHostsOnDemand has requests wait for their virtual hosts.
func TestHostsOnDemand(t *testing.T) {
	for _, m := range byName() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			shelf := NewShelf(t, m.way)
			shelf.Lay(m.cluster("one"), m.demanding("l", "t/r", onDemand), m.demanding("plain", "t/r", ""))
			shelf.Put(endpoints("one", 1), m.hostsFrom("t/r"))
			shelf.Host("t/r/laid", virtualHost("laid", "laid.example", "L"))
			shelf.laid["VirtualHost t/r/laid"] = true
			shelf.Host("t/r/a.example", virtualHost("a", "a.example", "A"))
			shelf.Host("t/r/wild", virtualHost("wild", "*.wild.example", "W"), "t/r/x.wild.example")
			p := Run(t, m, shelf.Endpoint())
			p.Ready()
			p.Eventually("one that nobody has asked for", func() bool { return ask(p.Address("plain"), "laid.example") == "200 L" })
			for _, c := range [][3]string{
				{"l", "own.example", "200 own"}, {"plain", "a.example", "404 "}, {"l", "A.example:80", "404 "}, {"l", "a.example", "200 A"}, {"plain", "a.example:80", "404 "}, {"plain", "a.example", "200 A"},
				{"l", "x.wild.example", "200 W"}, {"l", "y.wild.example", "200 W"}, {"l", "nobody.example", "404 "}, {"l", "nobody.example", "404 "},
			} {
				if got := ask(p.Address(c[0]), c[1]); got != c[2] {
					t.Errorf("%s %s: %s", c[0], c[1], got)
				}
			}
			want := []string{"VirtualHost t/r/a.example:80", "VirtualHost t/r/a.example", "VirtualHost t/r/x.wild.example", "VirtualHost t/r/nobody.example"}
			if got := slices.DeleteFunc(shelf.Asked(), func(s string) bool { return !strings.HasPrefix(s, "VirtualHost") }); !slices.Equal(got, want) {
				t.Errorf("%q\nwant\n%q", got, want)
			}

			// another version, one that is bad, and it is gone
			shelf.Host("t/r/a.example", virtualHost("a", "a.example", "AA"))
			shelf.Say("VirtualHost", nil, "t/r/a.example")
			p.Eventually("another version", func() bool { return ask(p.Address("l"), "a.example") == "200 AA" })
			shelf.Host("t/r/a.example", virtualHost("a", "own.example", "AAA"))
			shelf.Host("t/r/b.example", virtualHost("b", "b.example", "B"))
			shelf.Say("VirtualHost", nil, "t/r/a.example", "t/r/b.example")
			p.Eventually("a good one beside a bad one", func() bool { return ask(p.Address("plain"), "b.example") == "200 B" })
			if got := ask(p.Address("l"), "a.example"); got != "200 AA" {
				t.Error(got)
			}
			p.Eventually("a refusal", func() bool { return len(shelf.Nacks()) > 0 })
			if got := shelf.Nacks()[0]; !strings.Contains(got, `VirtualHost "t/r/a.example": `) || !strings.Contains(got, "own.example") {
				t.Error(got)
			}

			// another table keeps them
			next := m.hostsFrom("t/r")
			next.VirtualHosts[0].Domains = []string{"other.example"}
			shelf.Put(next)
			shelf.Say("RouteConfiguration", nil, "t/r")
			p.Eventually("another table", func() bool { return ask(p.Address("plain"), "other.example") == "200 own" })
			if got := ask(p.Address("plain"), "a.example") + ask(p.Address("plain"), "z.wild.example"); got != "200 AA200 W" {
				t.Error(got)
			}
			shelf.Say("VirtualHost", []string{"t/r/a.example"})
			p.Eventually("it is gone", func() bool { return ask(p.Address("l"), "a.example") == "404 " })

			var dump bytes.Buffer
			if err := p.Feed.Dump(&dump, p.boot, url.Values{"resource": {"dynamic_route_configs"}}); err != nil {
				t.Fatal(err)
			}
			if text := dump.String(); !strings.Contains(text, "*.wild.example") || !strings.Contains(text, "other.example") || strings.Contains(text, `"a.example"`) {
				t.Error(text)
			}
		})
	}
}

// TestScopesOnDemand has requests wait for the routes of their scope.
func TestScopesOnDemand(t *testing.T) {
	for _, m := range byName() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			shelf := NewShelf(t, m.way)
			filter := strings.ReplaceAll(onDemand, "SOURCE", m.source)
			shelf.Lay(m.cluster("one"), m.scoped("l", byStream, filter), m.scoped("plain", byStream),
				scope("a", "red", "ra", ", on_demand: true"), scope("b", "blue", "rb"), scope("c", "green", "rc", ", on_demand: true"))
			shelf.Put(endpoints("one", 1), says("ra", "A"), says("rb", "B"))
			p := Run(t, m, shelf.Endpoint())
			p.Ready()
			for _, c := range [][3]string{{"plain", "blue", "200 B"}, {"plain", "red", "404 "}, {"l", "red", "200 A"}, {"plain", "red", "200 A"}, {"l", "green", "404 "}, {"l", "white", "404 "}} {
				if got := tenant(p, c[0], c[1]); got != c[2] {
					t.Errorf("%s %s: %s", c[0], c[1], got)
				}
			}
			if got := p.Stat("http.in.scoped_rds.tenants.on_demand_scopes"); got != 2 {
				t.Errorf("%d scopes on demand", got)
			}
		})
	}
}
