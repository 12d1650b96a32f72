package status

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/weftmesh/weft/telemetry"
)

// deadline bounds every wait of these tests.
const deadline = 10 * time.Second

// stage is a server on ports that are free.
type stage struct {
	*Server
	t     *testing.T
	store *telemetry.Store
}

func play(t *testing.T, o Options) *stage {
	t.Helper()
	s := &stage{t: t, store: telemetry.NewStore(0)}
	o.AgentAddr, o.ReadyAddr, o.PrometheusAddr, o.Store = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", s.store
	if o.Ready == nil {
		o.Ready = func() error { return nil }
	}
	if o.Stats == nil {
		o.Stats = func(w io.Writer) error { _, err := io.WriteString(w, ours); return err }
	}
	var err error
	if s.Server, err = Listen(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func (s *stage) count(row int) int64 { return s.counts.Sum(row) }

// ask asks for a page of the agent's.
func (s *stage) ask(method, path string, header ...string) (status int, body string, h http.Header) {
	s.t.Helper()
	return s.askAt(s.addrs[0], method, path, header...)
}

func (s *stage) askAt(at netip.AddrPort, method, path string, header ...string) (status int, body string, h http.Header) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "http://"+at.String()+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		if r.Header.Add(name, value); name == "Host" {
			r.Host = value
		}
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response.StatusCode, string(b), response.Header
}

// application is one that answers probes; its health by gRPC is a server of others.
func application(t *testing.T) (plain, secure, rpc int) {
	t.Helper()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, _, _ := net.SplitHostPort(r.RemoteAddr)
		switch r.URL.Path {
		case "/echo":
			fmt.Fprintf(w, "%s %s %s %s %q %v %d", r.Method, r.URL.RequestURI(), r.Host, from, r.Header.Get("X-Probe"), r.TLS != nil, r.ProtoMajor)
		case "/bad":
			http.Error(w, "no database", http.StatusServiceUnavailable)
		case "/slow":
			<-r.Context().Done()
		case "/large":
			io.WriteString(w, strings.Repeat("x", 1<<20))
		case "/here":
			http.Redirect(w, r, "/bad", http.StatusFound)
		case "/away":
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
		case "/round":
			http.Redirect(w, r, "/round", http.StatusFound)
		}
	})
	port := func(s *httptest.Server) int {
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		t.Cleanup(s.Close)
		return s.Listener.Addr().(*net.TCPAddr).Port
	}
	p := httptest.NewUnstartedServer(handler)
	p.Start()
	x := httptest.NewUnstartedServer(handler)
	x.EnableHTTP2 = true
	x.TLS = &tls.Config{}
	x.StartTLS()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g, h := grpc.NewServer(), health.NewServer()
	h.SetServingStatus("well", healthv1.HealthCheckResponse_SERVING)
	h.SetServingStatus("ill", healthv1.HealthCheckResponse_NOT_SERVING)
	healthv1.RegisterHealthServer(g, h)
	go g.Serve(l)
	t.Cleanup(g.Stop)
	return port(p), port(x), l.Addr().(*net.TCPAddr).Port
}

func TestProbes(t *testing.T) {
	plain, secure, rpc := application(t)
	unimplemented, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	go g.Serve(unimplemented)
	t.Cleanup(g.Stop)
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := nobody.Addr().(*net.TCPAddr).Port
	nobody.Close()
	for _, c := range []struct {
		name, probe string
		header      []string
		status      int
		body        string // a part of it
	}{
		{"HTTP", fmt.Sprintf(`{"httpGet":{"path":"/echo?a=b","port":%d},"timeoutSeconds":2}`, plain), []string{"X-Probe: yes", "Connection: close"}, 200,
			fmt.Sprintf(`GET /echo?a=b 127.0.0.1:%d 127.0.0.6 "yes" false 1`, plain)},
		{"HTTP with a host of its own", fmt.Sprintf(`{"httpGet":{"path":"echo","port":%d,"scheme":"HTTP","host":"localhost"}}`, plain), []string{"Host: app.example"}, 200, "GET /echo app.example 127.0.0.6"},
		{"HTTPS", fmt.Sprintf(`{"httpGet":{"path":"/echo","port":%d,"scheme":"HTTPS"}}`, secure), nil, 200, "true 2"},
		{"HTTPS of who has none", fmt.Sprintf(`{"httpGet":{"path":"/echo","port":%d,"scheme":"HTTPS"}}`, plain), nil, 500, "the application is not well"},
		{"HTTP that says no", fmt.Sprintf(`{"httpGet":{"path":"/bad","port":%d}}`, plain), nil, 503, "no database"},
		{"HTTP that says nothing", fmt.Sprintf(`{"httpGet":{"path":"/slow","port":%d}}`, plain), nil, 500, "deadline"},
		{"HTTP of nobody", fmt.Sprintf(`{"httpGet":{"path":"/","port":%d}}`, free), nil, 500, "refused"},
		{"HTTP that leads on", fmt.Sprintf(`{"httpGet":{"path":"/here","port":%d}}`, plain), nil, 503, "no database"},
		{"HTTP that leads away", fmt.Sprintf(`{"httpGet":{"path":"/away","port":%d}}`, plain), nil, 200, ""},
		{"HTTP that leads in a circle", fmt.Sprintf(`{"httpGet":{"path":"/round","port":%d}}`, plain), nil, 500, "10 redirects"},
		{"TCP", fmt.Sprintf(`{"tcpSocket":{"port":%d}}`, plain), nil, 200, ""},
		{"TCP of nobody", fmt.Sprintf(`{"tcpSocket":{"port":%d}}`, free), nil, 500, "refused"},
		{"gRPC", fmt.Sprintf(`{"grpc":{"port":%d,"service":null}}`, rpc), nil, 200, ""},
		{"gRPC of a service", fmt.Sprintf(`{"grpc":{"port":%d,"service":"well"}}`, rpc), nil, 200, ""},
		{"gRPC of a service that is not well", fmt.Sprintf(`{"grpc":{"port":%d,"service":"ill"}}`, rpc), nil, 500, "does not serve"},
		{"gRPC of a service that is not there", fmt.Sprintf(`{"grpc":{"port":%d,"service":"other"}}`, rpc), nil, 500, `no service "other"`},
		{"gRPC of who does not say", fmt.Sprintf(`{"grpc":{"port":%d}}`, unimplemented.Addr().(*net.TCPAddr).Port), nil, 500, "want grpc.health.v1.Health"},
		{"gRPC of who speaks something else", fmt.Sprintf(`{"grpc":{"port":%d}}`, plain), nil, 500, "not well"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, pod := range []netip.Addr{{}, netip.MustParseAddr("127.0.0.1")} {
				s := play(t, Options{Probers: `{"/app-health/app/livez":` + c.probe + `}`, Pod: pod})
				status, body, _ := s.ask(http.MethodGet, "/app-health/app/livez", c.header...)
				if status != c.status || !strings.Contains(body, c.body) {
					t.Errorf("to %v: %d %q, want %d %q", pod, status, body, c.status, c.body)
				}
				failed := int64(0)
				if c.status >= 400 {
					failed = 1
				}
				if s.count(probesTotal) != 1 || s.count(probesFailed) != failed {
					t.Errorf("%d of %d probes have failed, want %d of 1", s.count(probesFailed), s.count(probesTotal), failed)
				}
			}
		})
	}
	s := play(t, Options{Probers: fmt.Sprintf(`{"/app-health/app/livez":{"httpGet":{"path":"/large","port":%d}},"/app-lifecycle/app/prestopz":{"httpGet":{"path":"/echo","port":%d}}}`, plain, plain)})
	if _, body, _ := s.ask(http.MethodGet, "/app-health/app/livez"); len(body) != maxBody {
		t.Errorf("%d bytes are handed on, want %d", len(body), maxBody)
	}
	if status, _, _ := s.ask(http.MethodGet, "/app-lifecycle/app/prestopz"); status != 200 {
		t.Errorf("a hook: %d", status)
	}
	if status, body, _ := s.ask(http.MethodGet, "/app-health/other/livez"); status != 400 || !strings.Contains(body, "there is no probe") {
		t.Errorf("a probe that there is not: %d %s", status, body)
	}
}

func TestSettingsAreRefused(t *testing.T) {
	for _, c := range []struct{ probers, scrape, want string }{
		{`{`, "", "ISTIO_KUBE_APP_PROBERS"},
		{`{"/app-health/a/healthz":{"tcpSocket":{"port":1}}}`, "", "want a probe at"},
		{`{"/app-health/a/livez":null}`, "", "want a probe at"},
		{`{"/app-health/a/livez":{}}`, "", "want one of"},
		{`{"/app-health/a/livez":{"tcpSocket":{"port":1},"grpc":{"port":1}}}`, "", "want one of"},
		{`{"/app-health/a/livez":{"tcpSocket":{"port":70000}}}`, "", "want one of"},
		{`{"/app-health/a/livez":{"httpGet":{"port":"http"}}}`, "", "ISTIO_KUBE_APP_PROBERS"},
		{"", `{`, "ISTIO_PROMETHEUS_ANNOTATIONS"},
		{"", `{"port":"metrics"}`, "want a number"},
		{"", `{"port":"15020"}`, "in a circle"},
		{"", `{"port":"15090"}`, "in a circle"},
		{"", `{"scrape":"false","port":"15020"}`, ""},
		{"", `{"scrape":"true","port":"8080","path":"metrics?a=b"}`, ""},
	} {
		s, err := Listen(Options{Probers: c.probers, Scrape: c.scrape})
		if err == nil {
			s.Close()
		}
		text := ""
		if _, err2 := parseTarget(c.scrape, []string{":15020", "", ":15090"}); err == nil && err2 != nil {
			text = err2.Error()
		} else if err != nil {
			text = err.Error()
		}
		if (text != "") != (c.want != "") || !strings.Contains(text, c.want) {
			t.Errorf("%s %s: %q, want %q", c.probers, c.scrape, text, c.want)
		}
	}
}

func TestReady(t *testing.T) {
	why := errors.New("the clusters have not come")
	s := play(t, Options{Ready: func() error { return why }})
	for i, at := range s.addrs[:2] {
		why = errors.New("the clusters have not come")
		if status, body, _ := s.askAt(at, http.MethodGet, "/healthz/ready"); status != 503 || body != "not ready: the clusters have not come\n" {
			t.Errorf("at %d: %d %q", i, status, body)
		}
		why = nil
		if status, body, _ := s.askAt(at, http.MethodGet, "/healthz/ready"); status != 200 || body != "" {
			t.Errorf("at %d: %d %q", i, status, body)
		}
		if status, _, _ := s.askAt(at, http.MethodHead, "/healthz/ready"); status != 200 {
			t.Errorf("at %d, HEAD: %d", i, status)
		}
		if status, _, h := s.askAt(at, http.MethodPost, "/healthz/ready"); status != 405 || h.Get("Allow") != "GET" {
			t.Errorf("at %d, POST: %d %v", i, status, h)
		}
	}
	for _, c := range []struct {
		at   netip.AddrPort
		path string
	}{{s.addrs[1], "/stats/prometheus"}, {s.addrs[1], "/quitquitquit"}, {s.addrs[2], "/healthz/ready"}, {s.addrs[0], "/"}, {s.addrs[0], "/healthz/readyz"}} {
		if status, _, _ := s.askAt(c.at, http.MethodGet, c.path); status != 404 {
			t.Errorf("%s at %s: %d", c.path, c.at, status)
		}
	}
}

// TestOrders has the sidecar be told to drain and to end by who is in the pod, and by nobody else.
func TestOrders(t *testing.T) {
	told := make(chan string, 10)
	s := play(t, Options{Drain: func() { told <- "drain" }, Quit: func() { told <- "quit" }, Names: func(w io.Writer) error { _, err := io.WriteString(w, `{"table":{}}`); return err }})
	for _, word := range []string{"drain", "quit"} {
		path := "/" + strings.Replace(word, "quit", "quitquitquit", 1)
		if status, _, _ := s.ask(http.MethodGet, path); status != 405 {
			t.Errorf("GET %s: %d", path, status)
		}
		// The proxy forwards what comes from others from this address.
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 6)}}
		client := http.Client{Transport: &http.Transport{DialContext: d.DialContext, DisableKeepAlives: true}, Timeout: deadline}
		response, err := client.Post("http://"+s.addrs[0].String()+path, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if response.Body.Close(); response.StatusCode != 403 {
			t.Errorf("%s by others: %d", path, response.StatusCode)
		}
		select {
		case got := <-told:
			t.Errorf("told %s by who may not", got)
		default:
		}
		if status, body, _ := s.ask(http.MethodPost, path); status != 200 || body != "OK" {
			t.Errorf("POST %s: %d %s", path, status, body)
		}
		if got := <-told; got != word {
			t.Errorf("told %s, want %s", got, word)
		}
	}
	if s.count(refused) != 4 {
		t.Errorf("%d were refused", s.count(refused))
	}
	if status, body, _ := s.ask(http.MethodGet, "/debug/ndsz"); status != 200 || body != `{"table":{}}` {
		t.Errorf("names: %d %s", status, body)
	}
}

// TestCrowd has room for so many connections of an address, and of all, and no more, and for others when they are gone.
func TestCrowd(t *testing.T) {
	s := play(t, Options{})
	var conns []net.Conn
	dial := func(from int) net.Conn {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(from))}}
		c, err := d.Dial("tcp", s.addrs[0].String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		conns = append(conns, c)
		return c
	}
	isTold := func(c net.Conn) bool {
		c.SetDeadline(time.Now().Add(deadline))
		_, err := c.Read(make([]byte, 1))
		return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
	}
	from := 10
	for ; (from-10)*maxOfOne < maxConnections; from++ {
		for range maxOfOne {
			dial(from)
		}
		if !isTold(dial(from)) {
			t.Errorf("one address has more than %d", maxOfOne)
		}
	}
	if !isTold(dial(from)) {
		t.Errorf("there are more than %d", maxConnections)
	}
	if want := int64(from - 10 + 1); s.count(connectionsRefused) != want || s.count(connectionsNow) != maxConnections {
		t.Errorf("%d are refused and %d there, want %d and %d", s.count(connectionsRefused), s.count(connectionsNow), want, maxConnections)
	}
	for _, c := range conns {
		c.Close()
	}
	for end := time.Now().Add(deadline); s.count(connectionsNow) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d are there still", s.count(connectionsNow))
		}
	}
	if status, _, _ := s.ask(http.MethodGet, "/healthz/ready"); status != 200 {
		t.Errorf("when they are gone: %d", status)
	}
}
