package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Bounds of what an application says of itself.
const (
	maxMetrics = 64 << 20 // bytes, without compression
	// defaultScrape is how long a scrape may take of which nobody has said it: Prometheus' own.
	defaultScrape = 10 * time.Second
	maxScrape     = answerTime
)

// What the formats are called.
const (
	textType = "text/plain; version=0.0.4; charset=utf-8"
	openType = "application/openmetrics-text"
)

// target is where the application has its metrics.
type target struct {
	url    string
	client *http.Client
}

// parseTarget reads what injection has noted of the pod's annotations.
func parseTarget(text string, own []string) (*target, error) {
	if text == "" {
		return nil, nil
	}
	var said struct {
		Scrape string `json:"scrape"`
		Path   string `json:"path"`
		Port   string `json:"port"`
	}
	if err := json.Unmarshal([]byte(text), &said); err != nil {
		return nil, fmt.Errorf("status: ISTIO_PROMETHEUS_ANNOTATIONS: %w", err)
	}
	if is, err := strconv.ParseBool(said.Scrape); err == nil && !is {
		return nil, nil
	}
	if said.Path == "" {
		said.Path = "/metrics"
	}
	if said.Port == "" {
		said.Port = "80"
	}
	port, err := strconv.ParseUint(said.Port, 10, 16)
	if err != nil || port == 0 {
		return nil, fmt.Errorf("status: ISTIO_PROMETHEUS_ANNOTATIONS: the port %q: want a number from 1 to 65535, as the annotation prometheus.io/port", said.Port)
	}
	for _, address := range own {
		if _, p, err := net.SplitHostPort(address); err == nil && p == said.Port {
			return nil, fmt.Errorf("status: ISTIO_PROMETHEUS_ANNOTATIONS: the port %s is ours, and not the application's: a scrape would go in a circle. Take the annotation prometheus.io/port away, and see that the pod is not injected twice", said.Port)
		}
	}
	u, err := url.Parse("http://localhost:" + said.Port + "/" + strings.TrimPrefix(said.Path, "/"))
	if err != nil {
		return nil, fmt.Errorf("status: ISTIO_PROMETHEUS_ANNOTATIONS: the path %q: %w", said.Path, err)
	}
	return &target{url: u.String(), client: &http.Client{CheckRedirect: sameHost, Transport: scraping()}}, nil
}

// scraping is how an application's metrics are asked for: over one connection that stays, from an address that is not captured, compressed if it can.
func scraping() *http.Transport {
	t := transport()
	t.DisableKeepAlives, t.DisableCompression = false, false
	t.IdleConnTimeout, t.MaxIdleConns = 2*time.Minute, 1
	return t
}

// scrapeTime is how long an application has for its metrics: less than who asks us gives, so that the proxy's come to him whatever becomes of them.
func scrapeTime(r *http.Request) time.Duration {
	all := defaultScrape
	if v, err := strconv.ParseFloat(r.Header.Get("X-Prometheus-Scrape-Timeout-Seconds"), 64); err == nil && v > 0 {
		all = time.Duration(min(v, maxScrape.Seconds()) * float64(time.Second))
	}
	return all * 4 / 5
}

// ask begins to read the application's metrics. kind is the content type that it says they have, as it is written to whoever asks us.
func (t *target) ask(ctx context.Context, r *http.Request) (body io.ReadCloser, kind string, err error) {
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url, nil)
	if err != nil {
		return nil, "", err
	}
	// Others than these two, such as protobuf, cannot be put together with what we have.
	accept := "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
	if strings.Contains(r.Header.Get("Accept"), openType) {
		accept = openType + ";version=1.0.0," + openType + ";version=0.0.1;q=0.75," + accept
	}
	ask.Header.Set("Accept", accept)
	for _, name := range []string{"User-Agent", "X-Prometheus-Scrape-Timeout-Seconds"} {
		if v := r.Header.Get(name); v != "" {
			ask.Header.Set(name, v)
		}
	}
	response, err := t.client.Do(ask)
	if err != nil {
		return nil, "", err
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, "", fmt.Errorf("%s answers with status %d", t.url, response.StatusCode)
	}
	media, parameters, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	switch {
	case err == nil && media == openType:
		version := parameters["version"]
		if version != "1.0.0" {
			version = "0.0.1"
		}
		return response.Body, openType + "; version=" + version + "; charset=utf-8", nil
	case err == nil && media == "application/vnd.google.protobuf":
		response.Body.Close()
		return nil, "", fmt.Errorf("%s answers in protobuf, though text was asked for", t.url)
	}
	return response.Body, textType, nil
}

// serveProxy writes the proxy's metrics.
func (s *Server) serveProxy(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", textType)
	if err := s.o.Stats(w); err != nil {
		s.values.Inc(proxyFailures)
		s.o.Log.Debug("the proxy's metrics are not whole", "error", err)
	}
}

// serveAll writes the proxy's metrics, the agent's and the application's, in this order and in the format that the application's have. Whatever becomes of the last, the others are there.
func (s *Server) serveAll(w http.ResponseWriter, r *http.Request) {
	s.values.Inc(scrapes)
	var body io.ReadCloser
	kind, failed := textType, error(nil)
	ctx, cancel := context.WithTimeout(r.Context(), scrapeTime(r))
	defer cancel()
	if s.target != nil {
		if body, kind, failed = s.target.ask(ctx, r); failed != nil {
			kind = textType
		} else {
			defer body.Close()
		}
	}
	w.Header().Set("Content-Type", kind)
	e := newExposition(w, strings.HasPrefix(kind, openType))
	for _, write := range []func(io.Writer) error{s.o.Stats, s.writeAgent} {
		p := e.part(!e.open)
		err := write(p)
		p.end()
		if err != nil {
			s.values.Inc(proxyFailures)
			s.o.Log.Warn("the proxy's metrics are not whole", "error", err)
		}
	}
	if body != nil {
		p := e.part(true)
		n, err := io.Copy(p, io.LimitReader(body, maxMetrics+1))
		if err == nil && n > maxMetrics {
			err = fmt.Errorf("there are more than %d bytes of them", maxMetrics)
		}
		p.whole = err == nil
		p.end()
		if failed = err; p.dropped > 0 {
			s.values.Add(droppedLines, uint64(p.dropped))
			s.o.Log.Debug("lines of the application's metrics are left out, since who reads them would turn down all", "lines", p.dropped)
		}
		if errors.Is(err, errWrite) {
			return // whoever asked is gone
		}
	}
	if e.close(); failed != nil {
		s.values.Inc(applicationFailed)
		s.o.Log.Warn("the application's metrics are not whole", "error", failed)
	}
}
