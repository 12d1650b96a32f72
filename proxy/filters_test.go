package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
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

func TestFilterContinues(t *testing.T) {
	b := run(t, "tagging")
	r, body := b.do("GET", "/a", "")
	if r.Header.Get("x-tag") != "response" || !strings.Contains(body, "tag=request") {
		t.Errorf("got %q, %q", r.Header.Get("x-tag"), body)
	}
}

func TestFilterReplies(t *testing.T) {
	b := run(t, "tagging", "refusing")
	r, body := b.do("POST", "/a", "never read")
	if r.StatusCode != 429 || body != "too eager" {
		t.Errorf("got %d %q", r.StatusCode, body)
	}
	if r.Header.Get("x-tag") != "response" {
		t.Error("a reply goes back through the filters before it")
	}
}

func TestFilterHolds(t *testing.T) {
	b := run(t, "holding", "tagging")
	r, body := b.do("POST", "/a", strings.Repeat("x", 40<<10))
	if !strings.Contains(body, "held=40960") || !strings.Contains(body, "body=40960") {
		t.Errorf("upstream saw %q", body)
	}
	if r.Header.Get("x-held") != fmt.Sprint(len(body)) {
		t.Errorf("x-held is %q for a body of %d", r.Header.Get("x-held"), len(body))
	}
	if r, _ := b.do("POST", "/a", strings.Repeat("x", 200<<10)); r.StatusCode != 413 {
		t.Errorf("a body over the buffer limit: got %d, want 413", r.StatusCode)
	}
}

func TestTwoFiltersHold(t *testing.T) {
	b := run(t, "holding", "delaying", "holding", "asking")
	if _, body := b.do("POST", "/good", strings.Repeat("x", 10<<10)); !strings.Contains(body, "body=10240") {
		t.Errorf("upstream saw %q", body)
	}
}

func TestFilterChangesBodies(t *testing.T) {
	for _, chain := range [][]string{{"doubling"}, {"tagging", "doubling", "delaying"}, {"doubling", "holding"}, {"holding", "doubling", "holding"}} {
		b := run(t, chain...)
		_, body := b.do("POST", "/a", "12345")
		plain := strings.ReplaceAll(body, "==", "=")
		if !strings.HasSuffix(plain, "bbooddyy=1111.") || !strings.HasPrefix(body, "//aa") {
			t.Errorf("%v: got %q, want everything twice and 11 bytes upstream", chain, body)
		}
	}
}

// A body that a filter has added is one like any other, for filters behind it, before it and upstream.
func TestFilterAddsBody(t *testing.T) {
	for _, chain := range [][]string{{"adding"}, {"adding", "holding"}, {"holding", "adding", "delaying"}, {"delaying", "adding", "doubling"}, {"adding", "dripping"}, {"tagging", "adding", "swelling"}} {
		b := run(t, chain...)
		want := "body=5"
		switch chain[len(chain)-1] {
		case "doubling":
			want = "bbooddyy==1111"
		case "swelling":
			want = "body=327680"
		}
		_, body := b.do("GET", "/a", "")
		if chain[len(chain)-1] == "swelling" {
			var got []byte
			for i := 0; i < len(body); i += swell {
				got = append(got, body[i])
			}
			body = string(got)
		}
		if !strings.Contains(body, want) {
			t.Errorf("%v: got %.200q, want %s", chain, body, want)
		}
		if _, body := b.do("POST", "/a", "1"); len(chain) < 3 && !strings.Contains(body, "body=1") {
			t.Errorf("%v: a request with a body got %.200q", chain, body)
		}
	}
}

// A filter that holds too much ends the exchange within the hook of the one that swells the body.
func TestChangedBodyIsBounded(t *testing.T) {
	b := run(t, "doubling", "holding")
	if r, _ := b.do("POST", "/a", strings.Repeat("x", 40<<10)); r.StatusCode != 413 {
		t.Errorf("got %d, want 413", r.StatusCode)
	}
	if r, _ := b.do("POST", "/a", "1"); r.StatusCode != 200 {
		t.Errorf("afterwards: got %d", r.StatusCode)
	}
}

// All that swells arrives, both ways at once, with other filters before and behind that hold or wait as well.
func TestFilterAwaitsRoom(t *testing.T) {
	for _, chain := range [][]string{{"swelling"}, {"dripping", "swelling"}, {"swelling", "dripping"}, {"dripping", "swelling", "dripping", "tagging"}} {
		b := run(t, chain...)
		_, body := b.do("POST", "/a", "12345")
		var got []byte
		for i := 0; i < len(body); i += swell {
			got = append(got, body[i])
		}
		if text := strings.ReplaceAll(string(got), " ", ""); !strings.Contains(text, "body=327680") || len(body)%swell != 0 {
			t.Errorf("%v: got %d bytes, from %q", chain, len(body), text)
		}
	}
}

// Where nobody takes it, a body does not swell; it goes on when somebody does, and ends with whoever goes away.
func TestRoomIsAwaited(t *testing.T) {
	b := runWith(t, func(h *config.HTTP, _ *config.Cluster) { h.Routes.VirtualHosts[0].Routes[0].Forward.Timeout = 0 }, "swelling")
	dial := func() *net.TCPConn {
		c, err := net.Dial("tcp", b.address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(time.Minute))
		c.(*net.TCPConn).SetReadBuffer(32 << 10)
		io.WriteString(c, "GET /"+strings.Repeat("a", 500)+" HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
		return c.(*net.TCPConn)
	}
	// stalled waits until nothing swells any more.
	stalled := func() int64 {
		last, still := int64(-1), 0
		b.eventually("nothing swells any more", func() bool {
			if n := swollen.Load(); n == last {
				still++
			} else {
				last, still = n, 0
			}
			return still > 100
		})
		return last
	}
	before, done := swollen.Load(), swellingDone.Load()
	c := dial()
	b.eventually("the body swells", func() bool { return swollen.Load() > before })
	if n := stalled() - before; n > 16<<20 {
		t.Errorf("%d bytes came of a body that nobody reads", n)
	}
	all, err := io.ReadAll(c)
	if n := len(all); err != nil || n < 500*swell || swollen.Load()-before > int64(n) {
		t.Errorf("read %d bytes of %d, %v", n, swollen.Load()-before, err)
	}
	b.eventually("the exchange is over", func() bool { return swellingDone.Load() == done+1 })
	before = swollen.Load()
	c = dial()
	b.eventually("the body swells", func() bool { return swollen.Load() > before })
	stalled()
	c.SetLinger(0)
	c.Close()
	b.eventually("the exchange is over", func() bool { return swellingDone.Load() == done+2 })
}

// Who takes nothing of a body that waits for room is gone when the exchange's idle timeout is over.
func TestRoomIsAwaitedForATime(t *testing.T) {
	b := runWith(t, func(h *config.HTTP, _ *config.Cluster) { h.StreamIdleTimeout = 50 * time.Millisecond }, "swelling")
	done := swellingDone.Load()
	c, err := net.Dial("tcp", b.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.(*net.TCPConn).SetReadBuffer(32 << 10)
	io.WriteString(c, "GET /"+strings.Repeat("a", 500)+" HTTP/1.1\r\nhost: a\r\n\r\n")
	b.eventually("the exchange is over", func() bool { return swellingDone.Load() == done+1 })
	if n := b.sum("http.test.downstream_rq_idle_timeout"); n != 1 {
		t.Errorf("%d exchanges were idle for too long, want 1", n)
	}
}

// What is found broken in the middle ends with an answer, or cut if the head of one is out.
func TestFilterFails(t *testing.T) {
	b := run(t, "tagging", "failing")
	if r, body := b.do("POST", "/a", "broken"); r.StatusCode != 400 || body != "broken body" || r.Header.Get("x-tag") != "response" {
		t.Errorf("got %d %q", r.StatusCode, body)
	}
	if r, body := b.do("GET", "/broken", ""); r.StatusCode != 200 || !strings.HasPrefix(body, "cut: ") {
		t.Errorf("got %d %q", r.StatusCode, body)
	}
	if r, _ := b.do("POST", "/a", "whole"); r.StatusCode != 200 {
		t.Errorf("afterwards: got %d", r.StatusCode)
	}
}

func TestFilterNotes(t *testing.T) {
	b := run(t, "noting")
	client := http.Client{Timeout: time.Minute}
	for _, want := range []string{"1 1", "2 2"} {
		response, err := client.Get(b.url)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if got := response.Header.Get("x-noted"); got != want {
			t.Errorf("noted %q, want %q", got, want)
		}
	}
	client.CloseIdleConnections()
}

// A client of gRPC is told the status that stands for the one of HTTP.
func TestReplyToGRPC(t *testing.T) {
	b := run(t, "refusing")
	r, err := http.NewRequest("POST", b.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("content-type", "application/grpc")
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if h := response.Header; response.StatusCode != 200 || h.Get("grpc-status") != "14" || h.Get("grpc-message") != "too eager" || h.Get("content-type") != "application/grpc" {
		t.Errorf("got %d %v", response.StatusCode, h)
	}
}

func TestFilterAwaitsTimer(t *testing.T) {
	b := run(t, "delaying", "tagging")
	for range 3 { // the same filter again, after Done
		if r, body := b.do("POST", "/a", "12345"); r.StatusCode != 200 || !strings.Contains(body, "body=5") {
			t.Errorf("got %d %q", r.StatusCode, body)
		}
	}
}

func TestFilterAwaitsCall(t *testing.T) {
	b := run(t, "asking")
	if r, body := b.do("GET", "/good", ""); r.StatusCode != 200 || !strings.HasPrefix(body, "/good") {
		t.Errorf("got %d %q", r.StatusCode, body)
	}
	if r, body := b.do("GET", "/bad", ""); r.StatusCode != 403 || body != "the judge says no" {
		t.Errorf("got %d %q", r.StatusCode, body)
	}
}

func TestFilterAwaitsFunction(t *testing.T) {
	b := run(t, "blocking")
	if _, body := b.do("GET", "/a", ""); !strings.Contains(body, "value=looked up") {
		t.Errorf("got %q", body)
	}
	if r, body := b.do("GET", "/fails", ""); r.StatusCode != 502 || body != "function: no luck" {
		t.Errorf("got %d %q", r.StatusCode, body)
	}
	if r, body := b.do("GET", "/panics", ""); r.StatusCode != 502 || !strings.Contains(body, "in the function") {
		t.Errorf("got %d %q", r.StatusCode, body)
	}
}

// A client that goes away while a function runs cancels it, and its late result is dropped.
func TestAwaitedFunctionIsCancelled(t *testing.T) {
	b := run(t, "blocking")
	c, err := net.Dial("tcp", b.address)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "GET /hangs HTTP/1.1\r\nhost: a\r\n\r\n")
	b.eventually("a function is awaited", func() bool { return b.sum("http.test.filter_awaits_pending") == 1 })
	c.Close()
	b.eventually("the function has ended", func() bool { return b.sum("http.test.filter_awaits_pending") == 0 })
	if _, body := b.do("GET", "/a", ""); !strings.Contains(body, "value=looked up") {
		t.Errorf("afterwards: got %q", body)
	}
}

func TestPanicEndsItsExchangeOnly(t *testing.T) {
	b := run(t, "panicking")
	for i, path := range []string{"/request", "/response"} {
		if r, body := b.do("GET", path, ""); r.StatusCode != 500 || body != "internal error" {
			t.Errorf("%s: got %d %q, want 500", path, r.StatusCode, body)
		}
		if n := b.panics.Load(); n != int64(i+1) {
			t.Errorf("%s: %d panics reported, want %d", path, n, i+1)
		}
	}
	// The head is out when the body panics: the stream ends, cut.
	c, err := net.Dial("tcp", b.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET /body HTTP/1.1\r\nhost: a\r\n\r\n")
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(response.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("reading a body that panicked: %v, want an unexpected end", err)
	}
	if _, body := b.do("GET", "/fine", ""); !strings.HasPrefix(body, "/fine") {
		t.Errorf("afterwards: got %q", body)
	}
}

// A panic over one call's answer is that call's: the line goes on with the others.
func TestPanicOverAnAnswerOfDubbo(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	connections := make(chan struct{}, 100)
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			connections <- struct{}{}
			go func() {
				defer c.Close()
				var waiting [][]byte
				for {
					frame := make([]byte, dubbo.HeadSize+5)
					if _, err := io.ReadFull(c, frame); err != nil {
						return
					}
					answer := append([]byte{0xda, 0xbb, 2, 20}, frame[4:12]...)
					if waiting = append(waiting, append(answer, 0, 0, 0, 1, 0x92)); len(waiting) == 3 {
						c.Write(bytes.Join(waiting, nil))
						waiting = nil
					}
				}
			}()
		}
	}()
	b := runWith(t, func(_ *config.HTTP, c *config.Cluster) {
		c.Protocol.Mode = config.ProtocolDubbo
		c.Static.Endpoints[0].Address = config.Address{AddrPort: netip.MustParseAddrPort(server.Addr().String())}
	}, "panicking", "adding")
	for range 3 {
		var all sync.WaitGroup
		for path, want := range map[string]int{"/call/response": 500, "/call/a": 200, "/call/b": 200} {
			all.Go(func() {
				if r, body := b.do("GET", path, ""); r.StatusCode != want {
					t.Errorf("%s: %d %q, want %d", path, r.StatusCode, body, want)
				}
			})
		}
		all.Wait()
	}
	if n := len(connections); n != 1 {
		t.Errorf("%d connections: a panic has cost others their line", n)
	}
	if n := b.sum("cluster.upstream.upstream_rq_active"); n != 0 {
		t.Errorf("%d calls are under way", n)
	}
}

// Filters hear of the end of an exchange in which another one has panicked, so that what they hold is given back.
func TestPanicIsTheEndForAll(t *testing.T) {
	b := run(t, "panicking", "swelling")
	done := swellingDone.Load()
	if _, body := b.do("GET", "/body", ""); !strings.HasPrefix(body, "cut: ") {
		t.Errorf("got %q", body)
	}
	if n := swellingDone.Load() - done; n != 1 {
		t.Errorf("a filter was told of the end %d times", n)
	}
}

func (b *rig) sum(name string) int64 {
	for _, s := range b.stats.Read(telemetry.Filter{}) {
		if s.Name == name {
			return s.Value
		}
	}
	return -1
}

// eventually waits, within a deadline, for what another goroutine brings about.
func (b *rig) eventually(what string, f func() bool) {
	b.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for tick := time.NewTicker(time.Millisecond); !f(); <-tick.C {
		if time.Now().After(deadline) {
			b.t.Fatalf("not within 10 s: %s", what)
		}
	}
}
