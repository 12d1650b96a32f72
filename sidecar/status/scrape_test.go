package status

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// agents is what the agent's part says after some scrapes.
func agents(application, envoy, scrapes int) string {
	return fmt.Sprintf("# TYPE istio_agent_scrapes_total counter\nistio_agent_scrapes_total %d\n# TYPE istio_agent_scrape_failures_total counter\n"+
		"istio_agent_scrape_failures_total{type=\"application\"} %d\nistio_agent_scrape_failures_total{type=\"envoy\"} %d\n", scrapes, application, envoy)
}

func TestScrapes(t *testing.T) {
	const both = "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
	for _, c := range []struct {
		name    string
		accept  string
		app     http.HandlerFunc
		kind    string
		want    string // behind the proxy's and the agent's
		failed  bool
		dropped int64
	}{
		{"text", both, func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "# TYPE a gauge\na{q=%q,ua=%q} 1\n", r.URL.RawQuery, r.UserAgent())
		}, textType, "# TYPE a gauge\na{q=\"x=y\",ua=\"Prometheus/3\"} 1\n", false, 0},
		{"OpenMetrics", both, func(w http.ResponseWriter, r *http.Request) {
			if !strings.Contains(r.Header.Get("Accept"), openType+";version=1.0.0") {
				w.WriteHeader(406)
			}
			w.Header().Set("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
			io.WriteString(w, "# TYPE a counter\na_total 1 # {t=\"x\"} 1\n# EOF\n")
		}, "application/openmetrics-text; version=1.0.0; charset=utf-8", "# TYPE a counter\na_total 1 # {t=\"x\"} 1\n# EOF\n", false, 0},
		{"OpenMetrics of an older version", both, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", openType)
			io.WriteString(w, "a 1\n# EOF\n")
		}, "application/openmetrics-text; version=0.0.1; charset=utf-8", "a 1\n# EOF\n", false, 0},
		{"text is all that is read", "Accept: text/plain", func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.Header.Get("Accept"), openType) {
				w.WriteHeader(406)
			}
			io.WriteString(w, "a 1\n")
		}, textType, "a 1\n", false, 0},
		{"compressed", both, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Header().Set("Content-Type", "text/plain")
			z := gzip.NewWriter(w)
			io.WriteString(z, "a 1\n")
			z.Close()
		}, textType, "a 1\n", false, 0},
		{"some lines are none", both, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "<html>\na 1\n") }, textType, "a 1\n", false, 1},
		{"it fails", both, func(w http.ResponseWriter, r *http.Request) { http.Error(w, "a 1", 500) }, textType, "", true, 0},
		{"it answers in protobuf", both, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily")
		}, textType, "", true, 0},
		{"it breaks off", both, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, "a 1\nb 12")
		}, textType, "a 1\n", true, 1},
		{"it does not answer", both, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, textType, "", true, 0},
		{"it does not end", both, func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "a 1\n")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, textType, "a 1\n", true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			app := httptest.NewServer(c.app)
			defer app.Close()
			s := play(t, Options{Scrape: fmt.Sprintf(`{"scrape":"true","path":"/m?x=y","port":"%d"}`, app.Listener.Addr().(*net.TCPAddr).Port)})
			began := time.Now()
			status, got, h := s.ask(http.MethodGet, "/stats/prometheus", c.accept, "User-Agent: Prometheus/3", "X-Prometheus-Scrape-Timeout-Seconds: 1")
			took := time.Since(began)
			start, open := ours, strings.HasPrefix(c.kind, openType)
			if start += agents(0, 0, 1); open {
				start = strings.NewReplacer("upstream_rq_total counter", "upstream_rq counter", "upstream_cx counter", "upstream_cx unknown", "scrapes_total counter", "scrapes counter", "failures_total counter", "failures counter").Replace(start)
			}
			if status != 200 || got != start+c.want || h.Get("Content-Type") != c.kind {
				t.Errorf("%d %s\n%s\nwant 200 %s\n%s", status, h.Get("Content-Type"), got, c.kind, start+c.want)
			}
			if err := check(got, open); err != nil {
				t.Error(err)
			}
			if failed := s.count(applicationFailed) == 1; failed != c.failed || s.count(droppedLines) != c.dropped || s.count(proxyFailures) != 0 {
				t.Errorf("it has failed: %v, %d lines are left out", failed, s.count(droppedLines))
			}
			if took > time.Second {
				t.Errorf("it took %v, and who asks waits a second", took)
			}
		})
	}
}

// TestOursAlone has pods without metrics of their own, and proxies that cannot say theirs.
func TestOursAlone(t *testing.T) {
	s := play(t, Options{})
	for _, path := range []string{"/stats/prometheus", "/metrics"} {
		if _, got, _ := s.ask(http.MethodGet, path); !strings.HasPrefix(got, ours+"# TYPE istio_agent") {
			t.Errorf("%s: %s", path, got)
		}
	}
	if status, got, h := s.askAt(s.addrs[2], http.MethodGet, "/stats/prometheus"); status != 200 || got != ours || h.Get("Content-Type") != textType {
		t.Errorf("the proxy's alone: %d %s %s", status, h.Get("Content-Type"), got)
	}
	s = play(t, Options{Stats: func(w io.Writer) error { io.WriteString(w, "a 1\n"); return errors.New("broken") }})
	if _, got, _ := s.ask(http.MethodGet, "/stats/prometheus"); got != "a 1\n"+agents(0, 0, 1) && s.count(proxyFailures) != 1 {
		t.Errorf("a proxy that fails: %s", got)
	}
}

// TestLarge has an application say more than is read.
func TestLarge(t *testing.T) {
	line := "a{b=\"" + strings.Repeat("x", 1<<10) + "\"} 1\n"
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for range maxMetrics/len(line) + 100 {
			if _, err := io.WriteString(w, line); err != nil {
				return
			}
		}
	}))
	defer app.Close()
	s := play(t, Options{Scrape: fmt.Sprintf(`{"port":"%d"}`, app.Listener.Addr().(*net.TCPAddr).Port)})
	_, got, _ := s.ask(http.MethodGet, "/stats/prometheus")
	if len(got) > maxMetrics+1<<20 || len(got) < maxMetrics-1<<20 || !strings.HasSuffix(got, "} 1\n") || s.count(applicationFailed) != 1 {
		t.Errorf("%d bytes are read, want %d", len(got), maxMetrics)
	}
}

// BenchmarkScrape tells what a scrape costs in which the application has ten thousand series.
func BenchmarkScrape(b *testing.B) {
	var lines strings.Builder
	lines.WriteString("# TYPE http_requests_total counter\n")
	for i := range 10000 {
		fmt.Fprintf(&lines, "http_requests_total{code=\"200\",handler=\"/path/%d\",method=\"GET\"} %d\n", i, i)
	}
	text := []byte(lines.String())
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		e := newExposition(io.Discard, false)
		p := e.part(true)
		p.Write(text)
		p.end()
		e.close()
	}
}
