package proxy_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/wire/dubbo"
)

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
