package xds

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters/builtin"
	"github.com/weftmesh/weft/proxy"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/xds"
)

// deadline bounds every wait of these tests.
const deadline = 20 * time.Second

// Proxy is a data plane that a control plane configures, as the program runs it.
type Proxy struct {
	*proxy.Proxy
	Feed    *xds.Feed
	Stats   *telemetry.Store
	Updates atomic.Int64 // how often another configuration was served
	t       testing.TB
	boot    *config.Bootstrap

	mu       sync.Mutex
	outcomes []xds.Outcome
}

// Run runs a proxy under control planes: "plane", a static cluster with these endpoints. more is YAML of its bootstrap.
func Run(t testing.TB, m mode, endpoints string, more ...string) *Proxy {
	t.Helper()
	text := fmt.Sprintf(`
node: {id: sidecar~127.0.0.1~a.b~b.svc.cluster.local, cluster: a.b, metadata: {NAMESPACE: b, LABELS: {app: a}}, locality: {region: r, zone: z}}
dynamic_resources: %s
static_resources:
  clusters:
  - name: plane
    type: STATIC
    connect_timeout: 1s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment: {cluster_name: plane, endpoints: [{lb_endpoints: [%s]}]}
%s`, m.boot, endpoints, strings.Join(more, "\n"))
	boot, err := xds.ReadBootstrap(xds.Source{YAML: text}, builtin.All())
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Stats: telemetry.NewStore(1), t: t, boot: boot}
	values := proxy.NewRuntime(boot.Runtime, p.Stats)
	logs := accesslog.NewFiles(1, p.Stats, 10*time.Millisecond, 64<<10)
	t.Cleanup(logs.Close)
	p.Feed, err = xds.Open(boot, xds.Options{Filters: builtin.All(), Stats: p.Stats, Report: func(o xds.Outcome) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.outcomes = append(p.outcomes, o)
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Feed.Close)
	p.Proxy, err = proxy.New(proxy.Options{Concurrency: 1, ServiceNode: boot.Node.ID, Node: boot.Node.Message, MaxConnections: boot.MaxConnections, Specs: builtin.All(), Stats: p.Stats, Logs: logs, Log: slog.New(slog.DiscardHandler), Ready: p.Feed.Ready, Demand: p.Feed.Demand})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Proxy.Close)
	if err := p.Update(p.Feed.Snapshot()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.Feed.Watch(ctx, func(s *config.Snapshot) error {
			p.Updates.Add(1)
			values.Discover(s.Runtime)
			return p.Update(s)
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return p
}

// Eventually waits for what comes about in its own time.
func (p *Proxy) Eventually(what string, f func() bool) {
	p.t.Helper()
	if !within(f) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.t.Fatalf("not within %v: %s\n%+v", deadline, what, p.outcomes)
	}
}

// within asks until it is so, and tells whether it was in time.
func within(f func() bool) bool {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(deadline); !f(); <-tick.C {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// Ready waits until the proxy is.
func (p *Proxy) Ready() {
	p.t.Helper()
	p.Eventually("ready", func() bool { _, live := p.State(); return live })
}

// Address is where a listener is bound; empty: it is not there.
func (p *Proxy) Address(name string) string {
	a, ok := p.Addresses()[name]
	if !ok {
		return ""
	}
	return a.String()
}

// Stat is the value of a counter or gauge; 0 if there is none.
func (p *Proxy) Stat(name string) int64 {
	for _, s := range p.Stats.Read(telemetry.Filter{Name: func(n string) bool { return n == name }}) {
		return s.Value
	}
	return 0
}
