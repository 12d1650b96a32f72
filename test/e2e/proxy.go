package e2e

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"sigs.k8s.io/yaml"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters/builtin"
	"github.com/weftmesh/weft/proxy"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/xds/decode"
)

// Proxy is a running data plane.
type Proxy struct {
	*proxy.Proxy
	Stats *telemetry.Store
	Logs  *accesslog.Files
	t     testing.TB
	log   lockedBuffer
}

// Start runs a proxy with a bootstrap in YAML. Listeners on port 0 are found by Address. It is closed, and everything that it opened
// with it, when the test ends.
func Start(t testing.TB, text string) *Proxy {
	t.Helper()
	return StartLoops(t, 1, text)
}

// StartLoops is Start with more than one loop.
func StartLoops(t testing.TB, loops int, text string) *Proxy {
	t.Helper()
	boot := read(t, text)
	p := &Proxy{Stats: telemetry.NewStore(loops), t: t}
	p.Logs = accesslog.NewFiles(loops, p.Stats, 10*time.Millisecond, 64<<10)
	t.Cleanup(p.Logs.Close)
	var err error
	p.Proxy, err = proxy.New(proxy.Options{Concurrency: loops, ServiceCluster: boot.Node.Cluster, ServiceNode: boot.Node.ID, Node: boot.Node.Message, MaxConnections: boot.MaxConnections, Zone: boot.Node.Zone, Specs: builtin.All(), Stats: p.Stats,
		Logs: p.Logs, Log: slog.New(slog.NewTextHandler(&p.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Proxy.Close)
	t.Cleanup(func() {
		if n := p.Stat("loop.panics"); n != 0 {
			t.Errorf("%d panics in the proxy:\n%s", n, p.log.String())
		}
	})
	if err := p.Update(&boot.Static); err != nil {
		t.Fatal(err)
	}
	return p
}

// Change serves another bootstrap from now on.
func (p *Proxy) Change(text string) {
	p.t.Helper()
	if err := p.Update(&read(p.t, text).Static); err != nil {
		p.t.Fatal(err)
	}
}

func read(t testing.TB, text string) *config.Bootstrap {
	t.Helper()
	json, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var m bootstrapv3.Bootstrap
	if err := protojson.Unmarshal(json, &m); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	boot, err := decode.New(builtin.All(), decode.Options{}).Bootstrap(&m)
	if err != nil {
		t.Fatal(err)
	}
	return boot
}

// HTTP runs a proxy with one HTTP listener, named "http", before an upstream. more is YAML of the connection manager.
func HTTP(t testing.TB, u *Upstream, more ...string) *Proxy {
	t.Helper()
	return Start(t, Bootstrap(HTTPListener("routes: [{match: {prefix: /}, route: {cluster: up}}]", more...), Cluster("up", u.Port)))
}

// Routes runs a proxy with these routes, in YAML, of one virtual host, before an upstream that is the cluster "up".
func Routes(t testing.TB, u *Upstream, routes string) *Proxy {
	t.Helper()
	return Start(t, Bootstrap(HTTPListener("routes:\n"+indent(4, routes)), Cluster("up", u.Port)))
}

// Filtered runs a proxy with HTTP filters, a list in YAML, before the router. vhost is YAML of the virtual host and more of the connection
// manager.
func Filtered(t testing.TB, u *Upstream, filters, vhost string, more ...string) *Proxy {
	t.Helper()
	return Start(t, Bootstrap(WithFilters(HTTPListener(vhost, more...), filters), Cluster("up", u.Port)))
}

// WithFilters puts HTTP filters, a list in YAML, before the one router in a text.
func WithFilters(text, filters string) string {
	const router = "- name: envoy.filters.http.router"
	before, after, ok := strings.Cut(text, router)
	if !ok {
		panic("there is no router")
	}
	column := len(before) - strings.LastIndexByte(before, '\n') - 1
	return strings.TrimRight(before, " ") + indent(column, strings.TrimSpace(filters)) + "\n" + strings.Repeat(" ", column) + router + after
}

// Filter is one HTTP filter in YAML; message is its configuration's name below envoy.extensions.filters.http, fields what is in it.
func Filter(name, message, fields string) string {
	return fmt.Sprintf(`- {name: %s, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.%s, %s}}`, name, message, fields)
}

// Override is what a virtual host or route says of a filter.
func Override(name, message, fields string) string {
	return fmt.Sprintf(`typed_per_filter_config: {%s: {"@type": type.googleapis.com/envoy.extensions.filters.http.%s, %s}}`, name, message, fields)
}

// All are the routes of a virtual host that sends everything to the cluster "up".
const All = "routes: [{match: {prefix: /}, route: {cluster: up}}]"

// TCP runs a proxy with one TCP listener, named "tcp", before an upstream. more is YAML of the TCP proxy.
func TCP(t testing.TB, u *Upstream, more ...string) *Proxy {
	t.Helper()
	return Start(t, Bootstrap(fmt.Sprintf(`
- name: tcp
  address: {socket_address: {address: 127.0.0.1, port_value: 0}}
  filter_chains:
  - filters:
    - name: envoy.filters.network.tcp_proxy
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
        stat_prefix: tcp
        cluster: up
%s`, indent(8, strings.Join(more, "\n"))), Cluster("up", u.Port)))
}

// Bootstrap puts listeners and clusters, lists in YAML, together.
func Bootstrap(listeners string, clusters ...string) string {
	return "static_resources:\n  listeners:\n" + indent(2, listeners) + "\n  clusters:\n" + indent(2, strings.Join(clusters, "\n"))
}

// HTTPListener is a listener named "http" with one virtual host; vhost is YAML of it below its name and domains, more of the
// connection manager.
func HTTPListener(vhost string, more ...string) string {
	return fmt.Sprintf(`
- name: http
  address: {socket_address: {address: 127.0.0.1, port_value: 0}}
  filter_chains:
  - filters:
    - name: envoy.filters.network.http_connection_manager
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
        stat_prefix: http
%s
        route_config:
          name: local
          virtual_hosts:
          - name: all
            domains: ["*"]
%s
        http_filters:
        - name: envoy.filters.http.router
          typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
`, indent(8, strings.Join(more, "\n")), indent(12, vhost))
}

// Cluster is a static cluster with endpoints on these ports of this host. more is YAML of it.
func Cluster(name string, port int, more ...string) string {
	return fmt.Sprintf(`
- name: %[1]s
  type: STATIC
  load_assignment:
    cluster_name: %[1]s
    endpoints:
    - lb_endpoints:
      - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %[2]d}}}
%[3]s`, name, port, indent(2, strings.Join(more, "\n")))
}

func indent(n int, text string) string {
	pad := strings.Repeat(" ", n)
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) != "" {
			b.WriteString(pad)
		}
		b.WriteString(line)
	}
	return b.String()
}

// Dial connects to the listener of that name, or to the only one.
func (p *Proxy) Dial(name ...string) *Conn {
	p.t.Helper()
	return Dial(p.t, p.Address(name...))
}

// Address is where the listener of that name is bound; without a name, the only one.
func (p *Proxy) Address(name ...string) string {
	p.t.Helper()
	for n, a := range p.Addresses() {
		if len(name) == 0 || n == name[0] {
			return a.String()
		}
	}
	p.t.Fatalf("there is no listener %q", name)
	return ""
}

// Stat is the value of a counter or gauge; 0 if there is none.
func (p *Proxy) Stat(name string) int64 {
	for _, s := range p.Stats.Read(telemetry.Filter{Name: func(n string) bool { return n == name }}) {
		return s.Value
	}
	return 0
}

// Eventually waits, within the deadline, for what the proxy brings about in its own time.
func (p *Proxy) Eventually(what string, f func() bool) {
	p.t.Helper()
	end := time.Now().Add(deadline)
	for tick := time.NewTicker(time.Millisecond); !f(); <-tick.C {
		if time.Now().After(end) {
			p.t.Fatalf("not within %v: %s", deadline, what)
		}
	}
}

// WantStat waits for a counter or gauge to have a value.
func (p *Proxy) WantStat(name string, value int64) {
	p.t.Helper()
	p.Eventually(fmt.Sprintf("%s is %d, not %d", name, value, p.Stat(name)), func() bool { return p.Stat(name) == value })
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
