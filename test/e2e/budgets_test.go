package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// The budgets only go down: whoever makes them smaller writes the new number here.
const (
	// allocationsPerThousand is what 1,000 requests may allocate in steady state: none, but for what the runtime does by itself.
	allocationsPerThousand = 20
	// heapPerConnection is what an idle keep-alive connection that has made a request may hold, in bytes, downstream.
	heapPerConnection = 700
	// heapPerSecureConnection is the same of one that speaks TLS 1.2, and of one that speaks 1.3. All but a kilobyte is crypto/tls's: two tables of
	// AES-GCM, and the buffers that the client's first message was read into, which is three times as large in 1.3.
	heapPerSecureConnection12 = 5900
	heapPerSecureConnection13 = 8600
)

const logToFile = `access_log:
- name: file
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
    path: %s`

// plain is an upstream that answers without allocating.
func plain(t *testing.T) *Upstream {
	return Serve(t, func(_ *Upstream, c *Conn) {
		var b [4096]byte
		answer := []byte("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nhello")
		for {
			if _, err := c.Conn.Read(b[:]); err != nil {
				return
			}
			if _, err := c.Conn.Write(answer); err != nil {
				return
			}
		}
	})
}

func TestRequestsAllocateNothing(t *testing.T) {
	allocateNothing(t, HTTP(t, plain(t), "use_remote_address: true", fmt.Sprintf(logToFile, filepath.Join(t.TempDir(), "log"))))
}

// What few formats ask for costs time where one asks, and no allocation.
func TestLinesThatAskForMoreAllocateNothing(t *testing.T) {
	const asks = `access_log: [{name: l, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: %q, log_format: {text_format_source: {inline_string: "%%LISTENER_NAME%% %%ROUTE_RESOLUTION_TIME_US%% %%DOWNSTREAM_HEADER_BYTES_RECEIVED%% %%UPSTREAM_HEADER_BYTES_SENT%% %%UPSTREAM_HOSTS_ATTEMPTED%%\n"}}}}]`
	allocateNothing(t, HTTP(t, plain(t), "use_remote_address: true", fmt.Sprintf(asks, filepath.Join(t.TempDir(), "log"))))
}

// Filters that let a request through cost no allocation either, with what a route says of them looked up.
func TestFilteredRequestsAllocateNothing(t *testing.T) {
	const on = "filter_enabled: {default_value: {numerator: 100}}"
	allocateNothing(t, Filtered(t, plain(t), strings.Join([]string{
		Filter("fault", "fault.v3.HTTPFault", "delay: {fixed_delay: 1s}, abort: {http_status: 503}"),
		`- {name: cors, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors}}`,
		Filter("csrf", "csrf.v3.CsrfPolicy", on),
		Filter("limit", "local_ratelimit.v3.LocalRateLimit", "stat_prefix: l, "+on+`, token_bucket: {max_tokens: 999999, fill_interval: 1s}, enable_x_ratelimit_headers: DRAFT_VERSION_03,
  rate_limits: [{actions: [{request_headers: {header_name: x-custom, descriptor_key: k}}, {query_parameters: {query_parameter_name: id, descriptor_key: q}}, {remote_address: {}}]}],
  descriptors: [{entries: [{key: k, value: value}, {key: q, value: "1"}, {key: remote_address, value: 127.0.0.1}], token_bucket: {max_tokens: 999999, fill_interval: 1s}}]`),
		Filter("again", "local_ratelimit.v3.LocalRateLimit", "stat_prefix: p"),
		Filter("change", "header_mutation.v3.HeaderMutation", "mutations: {request_mutations: [{append: {header: {key: x-a, value: \"%REQ(x-custom)%\"}}}], query_parameter_mutations: [{remove: id}]}"),
		Filter("health", "health_check.v3.HealthCheck", "pass_through_mode: false, headers: [{name: x, exact_match: v}]"),
		Filter("buffer", "buffer.v3.Buffer", "max_request_bytes: 10"),
	}, "\n"), Override("again", "local_ratelimit.v3.LocalRateLimit", "stat_prefix: m, "+on+", token_bucket: {max_tokens: 999999, fill_interval: 1s}")+"\nroutes: [{match: {prefix: /other}, route: {cluster: up}}, {match: {prefix: /}, route: {cluster: up}}]"))
}

// allocateNothing fails if a request in steady state allocates.
func allocateNothing(t *testing.T, p *Proxy) {
	t.Helper()
	costNothing(t, p.Dial(), "GET /api/items?id=1 HTTP/1.1\r\nhost: a.example\r\nuser-agent: test\r\naccept: */*\r\nx-custom: value\r\n\r\n")
}

// costNothing fails if that request, in steady state, allocates.
func costNothing(t *testing.T, c *Conn, text string) {
	t.Helper()
	request := []byte(text)
	var answer [4096]byte
	do := func(n int) {
		for range n {
			if _, err := c.Conn.Write(request); err != nil {
				t.Fatal(err)
			}
			if n, err := c.Conn.Read(answer[:]); err != nil || n < 100 || string(answer[:12]) != "HTTP/1.1 200" {
				t.Fatalf("%v: %s", err, answer[:n])
			}
		}
	}
	do(2000)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do(2000)
	runtime.ReadMemStats(&after)
	if n := after.Mallocs - before.Mallocs; n > 2*allocationsPerThousand {
		t.Errorf("2,000 requests made %d allocations, want at most %d", n, 2*allocationsPerThousand)
	}
}

func TestIdleConnectionsAreSmall(t *testing.T) {
	p := HTTP(t, plain(t), "use_remote_address: true")
	bare := NewBare(t, p.Address())
	holdAtMost(t, heapPerConnection, 2000, func() {
		c := bare.Dial()
		c.Write([]byte("GET / HTTP/1.1\r\nhost: a\r\n\r\n"))
		answered(t, c)
	})
}

func TestIdleSecureConnectionsAreSmall(t *testing.T) {
	a := NewAuthority(t, t.TempDir())
	a.Issue("front", []string{"front.test"}, nil)
	for version, most := range map[uint16]float64{tls.VersionTLS12: heapPerSecureConnection12, tls.VersionTLS13: heapPerSecureConnection13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			p := Start(t, Bootstrap(Secured(HTTPListener(All), DownstreamTLS("tls_certificates: ["+a.Source("front")+"]", "")), Cluster("up", plain(t).Port)))
			conf := &tls.Config{RootCAs: a.Pool(), ServerName: "front.test", MinVersion: version, MaxVersion: version}
			bare := NewBare(t, p.Address())
			holdAtMost(t, most, 500, func() {
				c := tls.Client(bare.Dial(), conf) // of which nothing is kept but the descriptor
				if _, err := c.Write([]byte("GET / HTTP/1.1\r\nhost: a\r\n\r\n")); err != nil {
					t.Fatal(err)
				}
				answered(t, c)
			})
		})
	}
}

func answered(t *testing.T, c io.Reader) {
	t.Helper()
	var answer [4096]byte
	if n, err := c.Read(answer[:]); err != nil || n < 50 {
		t.Fatal(n, err)
	}
}

// holdAtMost opens connections, and fails if each holds more of the heap than that once it has been answered. open makes one that costs nothing on
// the client's side.
func holdAtMost(t *testing.T, most float64, count int, open func()) {
	t.Helper()
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for range count / 10 {
		open()
	}
	before := heap()
	for range count {
		open()
	}
	per := float64(int64(heap()-before)) / float64(count)
	t.Logf("an idle connection holds %.0f bytes of heap", per)
	if per > most {
		t.Errorf("that is more than %.0f", most)
	}
}

// A proxy that has served and was closed leaves no goroutine and no descriptor behind.
func TestNothingIsLeftOpen(t *testing.T) {
	descriptors := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	life := func() {
		t.Run("life", func(t *testing.T) {
			u := Echo(t)
			p := StartLoops(t, 2, Bootstrap(HTTPListener("routes: [{match: {prefix: /}, route: {cluster: up}}]"), Cluster("up", u.Port)))
			for range 5 {
				c := p.Dial()
				c.Get("/").Want(t, 200)
				c.Send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc") // under way when the proxy closes
			}
		})
	}
	life()
	goroutines, fds := runtime.NumGoroutine(), descriptors()
	for range 5 {
		life()
	}
	settled := func() bool { return runtime.NumGoroutine() <= goroutines && descriptors() <= fds }
	for end := time.Now().Add(deadline); time.Now().Before(end); runtime.Gosched() {
		if settled() {
			return
		}
	}
	stacks := make([]byte, 1<<16)
	stacks = stacks[:runtime.Stack(stacks, true)]
	t.Errorf("goroutines %d, before %d; descriptors %d, before %d\n%s", runtime.NumGoroutine(), goroutines, descriptors(), fds, strings.TrimSpace(string(stacks)))
}
