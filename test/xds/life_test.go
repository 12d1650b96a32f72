package xds

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/test/authority"
)

// static is a listener of the bootstrap that answers 200 by itself.
const static = `
  listeners:
  - name: own
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: h
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: own
          route_config: {virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: own}}}]}]}
          http_filters: [{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
`

// TestAbsence serves what the bootstrap has while there is no control plane, catches up when it comes, and keeps all when it goes. What is
// the same when it comes back is not read again.
func TestAbsence(t *testing.T) {
	for _, m := range modes() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			a, b := upstream(t, "a"), upstream(t, "b")
			plane := NewPlane(t, m.way)
			plane.Stop()
			p := Run(t, m, plane.Endpoint(), static)
			p.Eventually("a failure", func() bool { return p.Stat("cluster_manager.cds.update_failure") > 0 })
			if got := get(p.Address("own")); got != "200 own" {
				t.Error(got)
			}
			if state, live := p.State(); live || state != "INITIALIZING" {
				t.Error(state)
			}
			plane.Serve(m.listener("l", "r"), m.cluster("one"), m.cluster("two"), table("r", "one"), endpoints("one", a), endpoints("two", b))
			plane.Start()
			p.Ready()
			if got := get(p.Address("l")); got != "200 a" {
				t.Error(got)
			}
			if p.Stat("control_plane.connected_state") != 1 && m.source == fromADS {
				t.Error("connected_state")
			}
			before := p.Feed.Snapshot()
			plane.Stop()
			p.Eventually("it is gone", func() bool {
				return p.Stat("control_plane.connected_state") == 0 && p.Stat("cluster_manager.cds.control_plane.connected_state") == 0
			})
			if got := get(p.Address("l")); got != "200 a" {
				t.Error(got)
			}
			asked := len(plane.Requests())
			plane.Start()
			plane.Serve(m.listener("l", "r"), m.cluster("one"), m.cluster("two"), table("r", "two"), endpoints("one", a), endpoints("two", b))
			p.Eventually("b answers", func() bool { return get(p.Address("l")) == "200 b" })
			if len(plane.Requests()) == asked {
				t.Error("nothing was asked again")
			}
			p.Eventually("the feed says so", func() bool { return before.Routes["r"] != p.Feed.Snapshot().Routes["r"] })
			if !same(before, p.Feed.Snapshot()) {
				t.Error("what did not change is another one")
			}
		})
	}
}

// same says that two configurations share listeners, clusters and endpoints.
func same(a, b *config.Snapshot) bool {
	if len(a.Listeners) != len(b.Listeners) || len(a.Clusters) != len(b.Clusters) || a.Endpoints.Len() != b.Endpoints.Len() {
		return false
	}
	for i := range a.Listeners {
		if a.Listeners[i] != b.Listeners[i] {
			return false
		}
	}
	for i := range a.Clusters {
		if a.Clusters[i] != b.Clusters[i] {
			return false
		}
	}
	for name := range a.Endpoints.All() {
		if a.Endpoints.Get(name) != b.Endpoints.Get(name) {
			return false
		}
	}
	return true
}

// TestAnother endpoint of the control plane is tried when the first one is not there.
func TestAnother(t *testing.T) {
	a := upstream(t, "a")
	m := modes()[1]
	gone, plane := NewPlane(t, OverTCP), NewPlane(t, OverTCP)
	gone.Stop()
	plane.Serve(m.listener("l", "r"), m.cluster("one"), table("r", "one"), endpoints("one", a))
	p := Run(t, m, gone.Endpoint()+", "+plane.Endpoint())
	p.Ready()
	if got := get(p.Address("l")); got != "200 a" {
		t.Error(got)
	}
}

// TestOverTLS talks with a control plane that shows who it is and wants to know who asks; to another it does not talk.
func TestOverTLS(t *testing.T) {
	a := upstream(t, "a")
	dir := t.TempDir()
	ca := authority.New(t, dir)
	ca.Issue("plane", []string{"plane.test"}, nil)
	ca.Issue("me", []string{"me.test"}, nil)
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "plane.pem"), filepath.Join(dir, "plane.key"))
	if err != nil {
		t.Fatal(err)
	}
	m := modes()[1]
	plane := NewPlane(t, OverTCP, grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: ca.Pool(), ClientAuth: tls.RequireAndVerifyClientCert})))
	plane.Serve(m.listener("l", "r"), m.cluster("one"), table("r", "one"), endpoints("one", a))
	for name, works := range map[string]bool{"plane.test": true, "other.test": false} {
		more := fmt.Sprintf(`
    transport_socket:
      name: tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        common_tls_context:
          tls_certificates: [{certificate_chain: {filename: %[1]s/me.pem}, private_key: {filename: %[1]s/me.key}}]
          validation_context: {trusted_ca: {filename: %[1]s/ca.pem}, match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: %[2]s}}]}
`, dir, name)
		p := Run(t, m, plane.Endpoint(), more)
		if !works {
			p.Eventually("it is refused", func() bool {
				p.mu.Lock()
				defer p.mu.Unlock()
				return len(p.outcomes) > 0 && strings.Contains(fmt.Sprint(p.outcomes[0].Err), "plane.test")
			})
			continue
		}
		p.Ready()
		if got := get(p.Address("l")); got != "200 a" {
			t.Error(got)
		}
	}
}

// TestSecrets has a listener wait for its secret, and connections show the next one from when it comes.
func TestSecrets(t *testing.T) {
	for _, m := range modes() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			ca := authority.New(t, dir)
			ca.Issue("a", []string{"a.test"}, nil)
			ca.Issue("b", []string{"b.test"}, nil)
			of := func(name string) string {
				return fmt.Sprintf("tls_certificate: {certificate_chain: {filename: %[1]s/%[2]s.pem}, private_key: {filename: %[1]s/%[2]s.key}}", dir, name)
			}
			plane := NewPlane(t, m.way)
			secured := m.listener("l", "r")
			secured.FilterChains[0].TransportSocket = parse(strings.ReplaceAll(`
name: tls
typed_config:
  "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
  common_tls_context: {tls_certificate_sds_secret_configs: [{name: s, sds_config: SOURCE}]}`, "SOURCE", m.source), &corev3.TransportSocket{})
			port := upstream(t, "x")
			plane.Serve(secured, m.cluster("one"), table("r", "one"), endpoints("one", port))
			p := Run(t, m, plane.Endpoint())
			p.Eventually("the routes have come", func() bool { return p.Stat("http.in.rds.r.update_success") > 0 })
			if p.Address("l") != "" {
				t.Error("the listener does not wait for its secret")
			}
			shown := func() string {
				c, err := tls.Dial("tcp", p.Address("l"), &tls.Config{RootCAs: ca.Pool(), InsecureSkipVerify: true})
				if err != nil {
					return err.Error()
				}
				defer c.Close()
				return c.ConnectionState().PeerCertificates[0].DNSNames[0]
			}
			plane.Serve(secured, m.cluster("one"), table("r", "one"), endpoints("one", port), secret("s", of("a")))
			p.Eventually("the listener", func() bool { return p.Address("l") != "" })
			if got := shown(); got != "a.test" {
				t.Error(got)
			}
			plane.Serve(secured, m.cluster("one"), table("r", "one"), endpoints("one", port), secret("s", of("b")))
			p.Eventually("another certificate", func() bool { return shown() == "b.test" })
			// one that is none of that kind is refused, and the last one stays
			plane.Serve(secured, m.cluster("one"), table("r", "one"), endpoints("one", port), secret("s", "validation_context: {trusted_ca: {filename: "+dir+"/ca.pem}}"))
			p.Eventually("a refusal", func() bool { return len(plane.Nacks()) > 0 })
			if got := plane.Nacks()[0]; !strings.Contains(got, `Secret "s": `) || !strings.Contains(got, "is not a certificate") {
				t.Error(got)
			}
			if got := shown(); got != "b.test" {
				t.Error(got)
			}
		})
	}
}

// TestWaiting ends after the time that the configuration says, and not before.
func TestWaiting(t *testing.T) {
	m := modes()[0]
	m.source = strings.Replace(m.source, "0s", "0.3s", 1)
	raw := NewRaw(t)
	p := Run(t, m, endpoint(raw.Address))
	raw.ask("Cluster", "")
	began := time.Now()
	raw.Say(World("1", "c", m.cluster("one")))
	raw.ask("Cluster", "c")
	raw.ask("Listener", "") // when the cluster has waited long enough
	if d := time.Since(began); d < 300*time.Millisecond {
		t.Errorf("the cluster has waited %v", d)
	}
	raw.Say(World("1", "l", m.listener("l", "r")))
	raw.ask("Listener", "l")
	began = time.Now()
	if p.Address("l") != "" {
		t.Error("the listener does not wait")
	}
	p.Ready()
	if d := time.Since(began); d < 200*time.Millisecond {
		t.Errorf("the listener has waited %v", d)
	}
	if got := get(p.Address("l")); !strings.HasPrefix(got, "404") {
		t.Error(got)
	}
	for _, name := range []string{"cluster.one.init_fetch_timeout", "http.in.rds.r.init_fetch_timeout"} {
		if p.Stat(name) != 1 {
			t.Errorf("%s is %d", name, p.Stat(name))
		}
	}
	a := upstream(t, "a")
	raw.Say(World("1", "r", table("r", "one")))
	raw.Say(World("1", "e", endpoints("one", a)))
	p.Eventually("it comes after all", func() bool { return get(p.Address("l")) == "200 a" })
}

// TestLateControlPlane has a process be ready after initial_fetch_timeout though nobody answers.
func TestLateControlPlane(t *testing.T) {
	m := modes()[1]
	m.boot = strings.ReplaceAll(m.boot, "0s", "0.2s")
	raw := NewRaw(t)
	p := Run(t, m, endpoint(raw.Address))
	if _, live := p.State(); live {
		t.Error("it does not wait")
	}
	p.Ready()
	for _, name := range []string{"cluster_manager.cds.init_fetch_timeout", "listener_manager.lds.init_fetch_timeout"} {
		if p.Stat(name) != 1 {
			t.Errorf("%s is %d", name, p.Stat(name))
		}
	}
}

// load asks a listener without a pause until stop is called, and tells what was answered.
func load(address string, connections int) (stop func() (answers map[string]int)) {
	var mu sync.Mutex
	answers := map[string]int{}
	var ending atomic.Bool
	var running sync.WaitGroup
	for range connections {
		running.Go(func() {
			client := &http.Client{Transport: &http.Transport{}, Timeout: deadline}
			defer client.CloseIdleConnections()
			for !ending.Load() {
				got := ""
				r, err := client.Get("http://" + address + "/")
				if err != nil {
					got = err.Error()
				} else {
					b, err := io.ReadAll(r.Body)
					r.Body.Close()
					if got = fmt.Sprintf("%d %s", r.StatusCode, b); err != nil {
						got = err.Error()
					}
				}
				mu.Lock()
				answers[got]++
				mu.Unlock()
			}
		})
	}
	return func() map[string]int {
		ending.Store(true)
		running.Wait()
		return answers
	}
}

// TestWrongOrder removes a cluster before the route that names it is another one, over and over: nobody under load gets anything but 200.
func TestWrongOrder(t *testing.T) {
	m := mode{boot: modes()[0].boot, source: fromADS}
	a := upstream(t, "up")
	raw := NewRaw(t)
	p := Run(t, m, endpoint(raw.Address))
	raw.ask("Cluster", "")
	raw.Say(World("0", "c", m.cluster("k0")))
	raw.ask("ClusterLoadAssignment", "")
	raw.Say(World("0", "e", endpoints("k0", a)))
	raw.ask("Listener", "")
	raw.Say(World("0", "l", m.listener("l", "r")))
	raw.ask("RouteConfiguration", "")
	raw.Say(World("0", "r", table("r", "k0")))
	p.Ready()
	stop := load(p.Address("l"), 8)
	const rounds = 40
	for i := 1; i <= rounds; i++ {
		old, next := fmt.Sprint("k", i-1), fmt.Sprint("k", i)
		nonce := fmt.Sprint("c", i)
		raw.Say(World(fmt.Sprint(i), nonce, m.cluster(next))) // the old one is removed here
		raw.ask("Cluster", nonce)
		raw.Say(World(fmt.Sprint(i), fmt.Sprint("e", i), endpoints(next, a)))
		raw.ask("ClusterLoadAssignment", fmt.Sprint("e", i))
		if !p.has(old) {
			t.Fatal("the old cluster is gone while a route names it")
		}
		raw.Say(World(fmt.Sprint(i), fmt.Sprint("r", i), table("r", next)))
		raw.ask("RouteConfiguration", fmt.Sprint("r", i))
		p.Eventually("the old cluster goes", func() bool { return !p.has(old) })
	}
	answers := stop()
	if len(answers) != 1 || answers["200 up"] < rounds {
		t.Errorf("%v", answers)
	}
	t.Log(answers)
}

// TestLastRequest has a chain go with its cluster while a connection of it is idle: its last request is answered as the ones before.
func TestLastRequest(t *testing.T) {
	for _, first := range []string{"Listener", "Cluster"} {
		t.Run(first+" first", func(t *testing.T) {
			m := mode{boot: modes()[0].boot, source: fromADS}
			a := upstream(t, "up")
			raw := NewRaw(t)
			p := Run(t, m, endpoint(raw.Address))
			raw.ask("Cluster", "")
			raw.Say(World("0", "c", m.cluster("k")))
			raw.ask("ClusterLoadAssignment", "")
			raw.Say(World("0", "e", endpoints("k", a)))
			raw.ask("Listener", "")
			raw.Say(World("0", "l", m.listener("l", "r")))
			raw.ask("RouteConfiguration", "")
			raw.Say(World("0", "r", table("r", "k")))
			p.Ready()
			client := http.Client{Timeout: deadline}
			ask := func() string {
				r, err := client.Get("http://" + p.Address("l") + "/")
				if err != nil {
					return err.Error()
				}
				defer r.Body.Close()
				body, _ := io.ReadAll(r.Body)
				return fmt.Sprint(r.StatusCode, " ", string(body))
			}
			if got := ask(); got != "200 up" {
				t.Fatal(got)
			}
			other := m.listener("l", "r")
			other.FilterChains[0].Filters = []*listenerv3.Filter{parse(`{name: d, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.direct_response.v3.Config, response: {inline_string: "bytes"}}}`, &listenerv3.Filter{})}
			steps := map[string]func(){
				"Listener": func() {
					raw.Say(World("1", "l1", other))
					raw.ask("Listener", "l1")
				},
				"Cluster": func() {
					raw.Say(World("1", "c1", m.cluster("unasked")))
					raw.ask("Cluster", "c1")
				},
			}
			steps[first]()
			for name, step := range steps {
				if name != first {
					step()
				}
			}
			raw.Say(World("2", "c2", m.cluster("unasked"), m.cluster("another"))) // and whatever else comes
			raw.ask("Cluster", "c2")
			p.Eventually("the chain is another", func() bool {
				c, err := net.Dial("tcp", p.Address("l"))
				if err != nil {
					return false
				}
				defer c.Close()
				c.SetDeadline(time.Now().Add(deadline))
				said, _ := io.ReadAll(c)
				return string(said) == "bytes"
			})
			if got := ask(); got != "200 up" {
				t.Errorf("the last request of a connection: %s", got)
			}
		})
	}
}

// TestChurn changes all that there is 20 times a second under load.
func TestChurn(t *testing.T) {
	m := modes()[1]
	a, b := upstream(t, "up"), upstream(t, "up")
	plane := NewPlane(t, OverTCP)
	push := func(i int) {
		one, two := fmt.Sprint("k", i%3), fmt.Sprint("k", (i+1)%3)
		l := m.listener("l", "r")
		l.FilterChains = append(l.FilterChains, proto.CloneOf(l.FilterChains[0])) // a chain that comes and changes beside the one of this traffic
		l.FilterChains[1].Name = fmt.Sprint("c", i%2)
		l.FilterChains[1].FilterChainMatch = parse("{destination_port: 9}", &listenerv3.FilterChainMatch{})
		weighted := table("r", one)
		weighted.VirtualHosts[0].Routes[0].GetRoute().ClusterSpecifier = parse(fmt.Sprintf(`{weighted_clusters: {clusters: [{name: %s, weight: %d}, {name: %s, weight: 7}]}}`, one, i%5+1, two), &routev3.RouteAction{}).ClusterSpecifier
		plane.Serve(l, m.cluster(one, fmt.Sprintf("metadata: {filter_metadata: {x: {v: %d}}}", i%7)), m.cluster(two), weighted, endpoints(one, a), endpoints(two, b, a))
	}
	push(0)
	p := Run(t, m, plane.Endpoint())
	p.Ready()
	began, served := time.Now(), p.Updates.Load()
	stop := load(p.Address("l"), 8)
	const rounds = 60
	pace := time.NewTicker(50 * time.Millisecond)
	for i := range rounds {
		<-pace.C
		push(i + 1)
	}
	answers := stop()
	if len(answers) != 1 || answers["200 up"] < rounds {
		t.Errorf("%v", answers)
	}
	t.Logf("%v in %v; %d pushes made %d configurations", answers, time.Since(began), rounds, p.Updates.Load()-served)
	if n := plane.Nacks(); len(n) > 0 {
		t.Errorf("%q", n[0])
	}
}
