package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The budgets only go down: whoever makes them smaller writes the new number here.
const (
	// allocationsPerThousand is what 1,000 requests may allocate in steady state: none, but for what the runtime does by itself.
	allocationsPerThousand = 20
	// heapPerConnection is what an idle keep-alive connection that has made a request may hold, in bytes, downstream.
	heapPerConnection = 700
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
	to := netip.MustParseAddrPort(p.Address())
	request := []byte("GET / HTTP/1.1\r\nhost: a\r\n\r\n")
	var answer [4096]byte
	// Descriptors without Go's own types around them, so that the client's side costs no heap.
	const few, many = 200, 2000
	fds := make([]int, 0, few+many)
	t.Cleanup(func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	})
	open := func(n int) {
		for range n {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			fds = append(fds, fd)
			if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
				t.Fatal(err)
			}
			if _, err := unix.Write(fd, request); err != nil {
				t.Fatal(err)
			}
			if n, err := unix.Read(fd, answer[:]); err != nil || n < 50 {
				t.Fatal(n, err)
			}
		}
	}
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	open(few)
	before := heap()
	open(many)
	if per := float64(int64(heap()-before)) / many; per > heapPerConnection {
		t.Errorf("an idle connection holds %.0f bytes of heap, want at most %d", per, heapPerConnection)
	} else {
		t.Logf("an idle connection holds %.0f bytes of heap", per)
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
