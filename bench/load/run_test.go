package load_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weftmesh/weft/bench/load"
	"github.com/weftmesh/weft/bench/upstream"
)

const window = 300 * time.Millisecond

func startUpstream(t *testing.T) upstream.Ports {
	t.Helper()
	server, err := upstream.Listen(false)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return server.Ports()
}

func TestUpstreamDirectly(t *testing.T) {
	ports := startUpstream(t)
	for _, c := range []struct {
		name string
		spec load.Spec
	}{
		{"http 1 KiB", load.Spec{Port: ports.HTTP, Protocol: load.HTTP1, Path: upstream.Path1K, Body: upstream.Size1K, Conns: 16}},
		{"http 64 KiB", load.Spec{Port: ports.HTTP, Protocol: load.HTTP1, Path: upstream.Path64K, Body: upstream.Size64K, Conns: 8}},
		{"one connection", load.Spec{Port: ports.HTTP, Protocol: load.HTTP1, Path: upstream.Path1K, Body: upstream.Size1K, Conns: 1}},
		{"tcp 1 KiB", load.Spec{Port: ports.TCP1K, Protocol: load.TCP, Body: upstream.Size1K, Conns: 16}},
		{"tcp 64 KiB", load.Spec{Port: ports.TCP64K, Protocol: load.TCP, Body: upstream.Size64K, Conns: 8}},
		{"rate", load.Spec{Port: ports.HTTP, Protocol: load.HTTP1, Path: upstream.Path1K, Body: upstream.Size1K, Conns: 16, Rate: 500}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.spec.Measure = window
			c.spec.Warm = 20 * time.Millisecond
			began := time.Now()
			r, err := load.Run(c.spec)
			took := time.Since(began) // a warm-up takes longer than it is told to where the machine has other work
			if err != nil {
				t.Fatal(err)
			}
			if r.Faults.Total() != 0 || r.Reopened != 0 {
				t.Errorf("faults: %v; reopened %d", r.Faults, r.Reopened)
			}
			if r.Requests == 0 {
				t.Error("no requests")
			}
			if r.Elapsed < window {
				t.Errorf("measured %v, want at least %v", r.Elapsed, window)
			}
			if r.P50 <= 0 || r.P99 < r.P50 || r.Max < r.P99 || r.Mean <= 0 {
				t.Errorf("latencies out of order: p50 %v, p99 %v, max %v, mean %v", r.P50, r.P99, r.Max, r.Mean)
			}
			// What is due and waiting is sent later, never twice.
			if most := c.spec.Rate*took.Seconds() + 1; c.spec.Rate > 0 && float64(r.Requests) > most {
				t.Errorf("%d requests, and at most %.0f were due", r.Requests, most)
			}
		})
	}
}

// Another server's count is the judge of ours: it may be ahead by what was in flight at the end.
func TestCountsAgree(t *testing.T) {
	for _, rate := range []float64{0, 1000} {
		var served atomic.Int64
		port := serveHTTP(t, func(w http.ResponseWriter, _ *http.Request) {
			served.Add(1)
			w.Write([]byte("wwww"))
		})
		spec := load.Spec{Port: port, Protocol: load.HTTP1, Path: "/", Body: 4, Conns: 8, Rate: rate, Measure: window}
		r, err := load.Run(spec)
		if err != nil || r.Faults.Total() != 0 {
			t.Fatalf("%v, faults: %v", err, r.Faults)
		}
		// Before the window opens, answers to requests sent while connecting are not counted either.
		if over := served.Load() - int64(r.Requests); over < 0 || rate > 0 && over > int64(spec.Conns) {
			t.Errorf("rate %g: the server answered %d, the client counted %d", rate, served.Load(), r.Requests)
		}
	}
}

func TestFaultsAreCounted(t *testing.T) {
	ports := startUpstream(t)
	get := load.Spec{Port: ports.HTTP, Protocol: load.HTTP1, Path: upstream.Path1K, Body: upstream.Size1K, Conns: 4, Measure: window}
	for _, c := range []struct {
		name  string
		spec  func(*load.Spec)
		count func(load.Faults) uint64
	}{
		{"status", func(s *load.Spec) { s.Path = "/elsewhere" }, func(f load.Faults) uint64 { return f.Status }},
		{"length", func(s *load.Spec) { s.Body++ }, func(f load.Faults) uint64 { return f.Length }},
		{"closed instead of an answer", func(s *load.Spec) { s.Port = serveTCP(t, "") }, func(f load.Faults) uint64 { return f.Short + f.Reset }},
		{"closed inside a head", func(s *load.Spec) { s.Port = serveTCP(t, "HTTP/1.1 200 OK\r\nContent-") }, func(f load.Faults) uint64 { return f.Short + f.Reset }},
		{"not HTTP", func(s *load.Spec) { s.Port = serveTCP(t, "hello\r\n\r\n") }, func(f load.Faults) uint64 { return f.Malformed + f.Reset }},
	} {
		t.Run(c.name, func(t *testing.T) {
			spec := get
			c.spec(&spec)
			r, err := load.Run(spec)
			if c.count(r.Faults) == 0 {
				t.Errorf("not counted; faults: %v; %v", r.Faults, err)
			}
			if r.Requests != 0 {
				t.Errorf("%d requests counted as good", r.Requests)
			}
		})
	}
}

func TestProperCloseIsNoFault(t *testing.T) {
	port := serveHTTP(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		w.Write([]byte("wwww"))
	})
	r, err := load.Run(load.Spec{Port: port, Protocol: load.HTTP1, Path: "/", Body: 4, Conns: 2, Measure: window})
	if err != nil || r.Faults.Total() != 0 {
		t.Fatalf("%v, faults: %v", err, r.Faults)
	}
	if r.Requests == 0 || r.Reopened == 0 {
		t.Errorf("%d requests, %d connections reopened", r.Requests, r.Reopened)
	}
}

func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	if _, err := load.Run(load.Spec{Port: port, Protocol: load.HTTP1, Path: "/", Body: 4, Conns: 1, Measure: window}); err == nil {
		t.Error("no error")
	}
}

func TestHold(t *testing.T) {
	var open, served atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		served.Add(1)
		w.Write([]byte("wwww"))
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed:
			open.Add(-1)
		}
	}
	server.Start()
	defer server.Close()
	const conns = 200
	held := false
	err := load.Hold(load.Spec{Port: portOf(t, server), Protocol: load.HTTP1, Path: "/", Body: 4, Conns: conns}, func() {
		held = true
		if open.Load() != conns || served.Load() != conns {
			t.Errorf("while held: %d connections, %d requests; want %d of each", open.Load(), served.Load(), conns)
		}
	})
	if err != nil || !held {
		t.Errorf("held %v, %v", held, err)
	}
	ports := startUpstream(t)
	if err := load.Hold(load.Spec{Port: ports.HTTP, Protocol: load.HTTP1, Path: "/elsewhere", Body: 4, Conns: 3}, func() {}); err == nil {
		t.Error("holding connections whose requests failed: no error")
	}
}

// Neither side allocates per request: what a run allocates does not grow with its requests.
func TestNoAllocationPerRequest(t *testing.T) {
	ports := startUpstream(t)
	spec := load.Spec{Port: ports.HTTP, Protocol: load.HTTP1, Path: upstream.Path1K, Body: upstream.Size1K, Conns: 16, Measure: window}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r, err := load.Run(spec)
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	// Connections and set-up take a few hundred allocations; the requests are thousands.
	if got, most := after.Mallocs-before.Mallocs, 500+r.Requests/20; got > most {
		t.Errorf("%d allocations in a run of %d requests, want at most %d", got, r.Requests, most)
	}
}

func serveHTTP(t *testing.T, serve http.HandlerFunc) int {
	t.Helper()
	server := httptest.NewServer(serve)
	t.Cleanup(server.Close)
	return portOf(t, server)
}

func portOf(t *testing.T, server *httptest.Server) int {
	t.Helper()
	_, digits, _ := strings.Cut(strings.TrimPrefix(server.URL, "http://"), ":")
	port, err := strconv.Atoi(digits)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// serveTCP takes a request on each connection, says text and closes.
func serveTCP(t *testing.T, text string) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				c.Read(make([]byte, 4096))
				c.Write([]byte(text))
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}
