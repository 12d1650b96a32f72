package proxy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/proxy"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/wire/dubbo"
	wire "github.com/weftmesh/weft/wire/http"
)

// The filters below are examples of the contract, one for each way out of a hook and one for each thing to wait for.

// tagging continues: it changes a head on its way.
type tagging struct{ filters.Pass }

func (tagging) RequestHeaders(x filters.Exchange, _ bool) filters.Action {
	x.Request().AddNamed([]byte("x-tag"), []byte("request"))
	return filters.Continue
}

func (tagging) ResponseHeaders(x filters.Exchange, _ bool) filters.Action {
	x.Response().AddNamed([]byte("x-tag"), []byte("response"))
	return filters.Continue
}

// refusing replies in the upstream's place.
type refusing struct{ filters.Pass }

func (refusing) RequestHeaders(x filters.Exchange, _ bool) filters.Action {
	x.Reply(429, []byte("too eager"), "refused_by_example")
	return filters.Replied
}

// holding keeps the body until it has seen all of it, in both directions, and says how long it was.
type holding struct {
	filters.Pass
	up, down int
}

func (h *holding) RequestHeaders(_ filters.Exchange, end bool) filters.Action {
	if end {
		return filters.Continue
	}
	return filters.Hold
}

func (h *holding) RequestBody(x filters.Exchange, b []byte, end bool) filters.Action {
	if h.up += len(b); !end {
		return filters.Hold
	}
	x.Request().AddNamed([]byte("x-held"), fmt.Append(nil, h.up))
	return filters.Continue
}

func (h *holding) ResponseHeaders(_ filters.Exchange, end bool) filters.Action {
	if end {
		return filters.Continue
	}
	return filters.Hold
}

func (h *holding) ResponseBody(x filters.Exchange, b []byte, end bool) filters.Action {
	if h.down += len(b); !end {
		return filters.Hold
	}
	x.Response().AddNamed([]byte("x-held"), fmt.Append(nil, h.down))
	return filters.Continue
}

func (h *holding) Done(filters.Exchange) { *h = holding{} }

// delaying awaits a timer of its loop.
type delaying struct {
	filters.Pass
	since time.Time
}

func (d *delaying) RequestHeaders(x filters.Exchange, _ bool) filters.Action {
	d.since = x.Now()
	x.AwaitTimer(30 * time.Millisecond)
	return filters.Await
}

func (d *delaying) Resume(x filters.Exchange, _ filters.Result) filters.Action {
	if x.Now().Sub(d.since) < 30*time.Millisecond {
		x.Reply(500, []byte("woken too early"), "")
		return filters.Replied
	}
	return filters.Continue
}

// asking awaits a call through a cluster: a tiny ext_authz.
type asking struct{ filters.Pass }

func (asking) RequestHeaders(x filters.Exchange, _ bool) filters.Action {
	var r wire.Request
	r.SetMethod([]byte("GET"))
	r.SetAuthority([]byte("judge"))
	r.SetPath(append([]byte("/judge"), x.Request().Path()...))
	x.AwaitCall("upstream", &r, nil, time.Second)
	return filters.Await
}

func (asking) Resume(x filters.Exchange, r filters.Result) filters.Action {
	switch {
	case r.Err != nil:
		x.Reply(403, []byte("nobody to ask: "+r.Err.Error()), "")
		return filters.Replied
	case !strings.Contains(string(r.Body), "/judge/good"):
		x.Reply(403, []byte("the judge says no"), "")
		return filters.Replied
	}
	return filters.Continue
}

// blocking awaits a function that blocks, on a goroutine of its own.
type blocking struct{ filters.Pass }

func (blocking) RequestHeaders(x filters.Exchange, _ bool) filters.Action {
	path := string(x.Request().Path()) // a copy: the function must not touch the exchange
	x.AwaitFunc(func(ctx context.Context) (any, error) {
		switch path {
		case "/fails":
			return nil, errors.New("no luck")
		case "/panics":
			panic("in the function")
		case "/hangs":
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return "looked up", nil
	})
	return filters.Await
}

func (blocking) Resume(x filters.Exchange, r filters.Result) filters.Action {
	if r.Err != nil {
		x.Reply(502, []byte("function: "+r.Err.Error()), "")
		return filters.Replied
	}
	x.Request().AddNamed([]byte("x-value"), []byte(r.Value.(string)))
	return filters.Continue
}

// panicking panics where the path tells it to.
type panicking struct{ filters.Pass }

func (panicking) RequestHeaders(x filters.Exchange, _ bool) filters.Action {
	if string(x.Request().Path()) == "/request" {
		panic("on request")
	}
	return filters.Continue
}

func (panicking) ResponseHeaders(x filters.Exchange, _ bool) filters.Action {
	if strings.HasSuffix(string(x.Request().Path()), "/response") {
		panic("on response")
	}
	return filters.Continue
}

func (panicking) ResponseBody(x filters.Exchange, _ []byte, _ bool) filters.Action {
	if string(x.Request().Path()) == "/body" {
		panic("on body")
	}
	return filters.Continue
}

// doubling changes bodies: each byte becomes two, one of them passed on by itself, and an end mark is put behind the last.
type doubling struct{ filters.Pass }

func (doubling) RequestHeaders(x filters.Exchange, _ bool) filters.Action {
	x.Request().RemoveNamed("content-length")
	return filters.Continue
}

func (doubling) ResponseHeaders(x filters.Exchange, _ bool) filters.Action {
	x.Response().RemoveNamed("content-length")
	return filters.Continue
}

func (doubling) RequestBody(x filters.Exchange, b []byte, end bool) filters.Action {
	return double(x, b, end)
}

func (doubling) ResponseBody(x filters.Exchange, b []byte, end bool) filters.Action {
	return double(x, b, end)
}

func double(x filters.Exchange, b []byte, end bool) filters.Action {
	for i := range 2 * len(b) {
		if !x.PassOn(b[i/2 : i/2+1]) {
			return filters.Changed
		}
	}
	if end {
		x.PassOn([]byte("."))
	}
	return filters.Changed
}

// swelling makes much of little: each byte of a body becomes swell of them, and it passes no more on before there is room. up and down are
// what it has not made that of yet.
type swelling struct {
	filters.Pass
	up, down []byte
}

const swell = 64 << 10

var swollen, swellingDone atomic.Int64

func (s *swelling) RequestHeaders(x filters.Exchange, _ bool) filters.Action {
	x.Request().RemoveNamed("content-length")
	return filters.Continue
}

func (s *swelling) ResponseHeaders(x filters.Exchange, _ bool) filters.Action {
	x.Response().RemoveNamed("content-length")
	return filters.Continue
}

func (s *swelling) RequestBody(x filters.Exchange, b []byte, _ bool) filters.Action {
	s.up = append(s.up, b...)
	return s.swell(x, &s.up)
}

func (s *swelling) ResponseBody(x filters.Exchange, b []byte, _ bool) filters.Action {
	s.down = append(s.down, b...)
	return s.swell(x, &s.down)
}

func (s *swelling) Resume(x filters.Exchange, r filters.Result) filters.Action {
	if r.Backward {
		return s.swell(x, &s.down)
	}
	return s.swell(x, &s.up)
}

func (s *swelling) swell(x filters.Exchange, from *[]byte) filters.Action {
	if len(*from) == 0 {
		return filters.Changed
	}
	swollen.Add(swell)
	piece := bytes.Repeat((*from)[:1], swell)
	*from = (*from)[1:]
	if !x.PassOn(piece) {
		return filters.Changed
	}
	x.AwaitRoom()
	return filters.Await
}

func (s *swelling) Done(filters.Exchange) {
	swellingDone.Add(1)
	*s = swelling{}
}

// failing finds bodies broken.
type failing struct{ filters.Pass }

func (failing) RequestBody(x filters.Exchange, b []byte, _ bool) filters.Action {
	if string(b) == "broken" {
		x.Fail(400, []byte("broken body"), "broken_body")
		return filters.Replied
	}
	return filters.Continue
}

func (failing) ResponseBody(x filters.Exchange, b []byte, _ bool) filters.Action {
	if strings.HasPrefix(string(b), "/broken") {
		x.Fail(502, []byte("broken body"), "broken_body")
		return filters.Replied
	}
	return filters.Continue
}

// dripping lets each piece go after a moment.
type dripping struct {
	filters.Pass
	up, down []byte
}

func (d *dripping) RequestBody(x filters.Exchange, b []byte, _ bool) filters.Action {
	return d.drip(x, b, &d.up)
}

func (d *dripping) ResponseBody(x filters.Exchange, b []byte, _ bool) filters.Action {
	return d.drip(x, b, &d.down)
}

func (d *dripping) drip(x filters.Exchange, b []byte, kept *[]byte) filters.Action {
	if len(b) == 0 {
		return filters.Changed
	}
	*kept = append(*kept, b...)
	x.PassOn(nil)
	x.AwaitTimer(time.Millisecond)
	return filters.Await
}

func (d *dripping) Resume(x filters.Exchange, r filters.Result) filters.Action {
	kept := &d.up
	if r.Backward {
		kept = &d.down
	}
	b := *kept
	*kept = nil
	x.PassOn(b)
	return filters.Changed
}

// adding gives a request that has no body one, and says that it is a call of Dubbo's if the path begins so.
type adding struct{ filters.Pass }

func (adding) RequestHeaders(x filters.Exchange, end bool) filters.Action {
	if !end {
		return filters.Continue
	}
	if strings.HasPrefix(string(x.Request().Path()), "/call") {
		x.Request().AddOther([]byte(dubbo.Field), nil)
	}
	x.AddBody([]byte("12345"))
	return filters.Changed
}

func (adding) ResponseHeaders(x filters.Exchange, _ bool) filters.Action {
	x.Response().RemoveNamed(dubbo.Field)
	return filters.Continue
}

// noting keeps values for its exchange and its connection.
type noting struct{ filters.Pass }

func (noting) RequestHeaders(x filters.Exchange, _ bool) filters.Action {
	n := x.OfConnection(noting{}, func() any { return new(int) }).(*int)
	*n++
	x.SetMetadata("a", "n", float64(*n))
	x.SetFilterState(config.State{Name: "b", Value: fmt.Sprint(*n)})
	return filters.Continue
}

func (noting) ResponseHeaders(x filters.Exchange, _ bool) filters.Action {
	v, _ := x.FilterState("b")
	x.Response().AddNamed([]byte("x-noted"), fmt.Appendf(nil, "%v %s", x.Metadata()["a"]["n"], v))
	return filters.Continue
}

const allHooks = filters.OnRequestHeaders | filters.OnRequestBody | filters.OnRequestTrailers |
	filters.OnResponseHeaders | filters.OnResponseBody | filters.OnResponseTrailers

func example(name string, make func() filters.Filter) filters.Spec {
	return filters.Spec{Name: name, Type: name, Hooks: allHooks,
		Build: func(any, filters.Site) func(int) filters.Filter { return func(int) filters.Filter { return make() } }}
}

func examples() []filters.Spec {
	return []filters.Spec{
		example("tagging", func() filters.Filter { return tagging{} }),
		example("refusing", func() filters.Filter { return refusing{} }),
		example("holding", func() filters.Filter { return &holding{} }),
		example("delaying", func() filters.Filter { return &delaying{} }),
		example("asking", func() filters.Filter { return asking{} }),
		example("blocking", func() filters.Filter { return blocking{} }),
		example("doubling", func() filters.Filter { return doubling{} }),
		example("swelling", func() filters.Filter { return &swelling{} }),
		example("failing", func() filters.Filter { return failing{} }),
		example("dripping", func() filters.Filter { return &dripping{} }),
		example("noting", func() filters.Filter { return noting{} }),
		example("adding", func() filters.Filter { return adding{} }),
		example("panicking", func() filters.Filter { return panicking{} }),
	}
}

// rig is a proxy with a chain of examples before an upstream that says what it got.
type rig struct {
	t       *testing.T
	url     string
	address string
	panics  atomic.Int64
	stats   *telemetry.Store
}

func run(t *testing.T, chain ...string) *rig {
	t.Helper()
	return runWith(t, func(*config.HTTP, *config.Cluster) {}, chain...)
}

// runWith is run with changes to the connection manager and the cluster.
func runWith(t *testing.T, change func(*config.HTTP, *config.Cluster), chain ...string) *rig {
	t.Helper()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s tag=%s held=%s value=%s body=%d", r.URL.Path, r.Header.Get("x-tag"), r.Header.Get("x-held"), r.Header.Get("x-value"), len(body))
	}))
	t.Cleanup(upstream.Close)
	b := &rig{t: t, stats: telemetry.NewStore(1)}
	logs := accesslog.NewFiles(1, b.stats, time.Second, 1<<16)
	t.Cleanup(logs.Close)
	p, err := proxy.New(proxy.Options{Concurrency: 1, Stats: b.stats, Logs: logs, Specs: examples(), Log: slog.New(slog.NewTextHandler(countLines{&b.panics}, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	var list []config.HTTPFilter
	for _, name := range chain {
		list = append(list, config.HTTPFilter{Name: name, Type: name})
	}
	many := config.Breaker{MaxConnections: 100, MaxPending: 100, MaxRequests: 100, MaxRetries: 3}
	route := &config.Route{Match: config.Match{Path: "/", CaseSensitive: true},
		Forward: &config.Forward{Clusters: []config.WeightedCluster{{Name: "upstream", Weight: 1}}, TotalWeight: 1, Timeout: 5 * time.Second, MissingCluster: 503}}
	snapshot := &config.Snapshot{
		Listeners: []*config.Listener{{Name: "l", Address: config.Address{AddrPort: netip.MustParseAddrPort("127.0.0.1:0")}, BufferLimit: 64 << 10, Backlog: 128, ReusePort: true,
			Chains: []*config.FilterChain{{HTTP: &config.HTTP{StatPrefix: "test", MaxHeadBytes: 60 << 10, MaxHeaders: 100, Filters: list, Proxy100Continue: true,
				DelayedCloseTimeout: time.Second,
				Routes:              &config.RouteConfiguration{VirtualHosts: []*config.VirtualHost{{Domains: []string{"*"}, Routes: []*config.Route{route}}}}}}}}},
		Clusters: []*config.Cluster{{Name: "upstream", StatName: "upstream", BufferLimit: 1 << 20, ConnectTimeout: time.Second, Breakers: [2]config.Breaker{many, many},
			Static: &config.Assignment{Endpoints: []*config.Endpoint{{Address: config.Address{AddrPort: netip.MustParseAddrPort(upstream.Listener.Addr().String())}, Weight: 1}}}}},
	}
	change(snapshot.Listeners[0].Chains[0].HTTP, snapshot.Clusters[0])
	if err := p.Update(snapshot); err != nil {
		t.Fatal(err)
	}
	b.address = p.Addresses()["l"].String()
	b.url = "http://" + b.address
	return b
}

type countLines struct{ n *atomic.Int64 }

func (c countLines) Write(b []byte) (int, error) {
	c.n.Add(1)
	return len(b), nil
}

func (b *rig) do(method, path, body string) (*http.Response, string) {
	b.t.Helper()
	r, err := http.NewRequest(method, b.url+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	response, err := client.Do(r)
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer response.Body.Close()
	all, err := io.ReadAll(response.Body)
	if err != nil {
		return response, "cut: " + err.Error()
	}
	return response, string(all)
}
