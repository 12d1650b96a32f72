package e2e

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weftmesh/weft/config"
)

// Routes, clusters and endpoints change all the time under load: not a request is lost, and each meets one configuration whole.
func TestChangesUnderLoad(t *testing.T) {
	one, two := Answer(t, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\none"), Answer(t, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\ntwo")
	listener := strings.Replace(HTTPListener("routes: []"), `route_config:
          name: local
          virtual_hosts:
          - name: all
            domains: ["*"]
            routes: []
`, "rds: {route_config_name: local, config_source: {path_config_source: {path: unused}}}\n", 1)
	// Route n goes to cluster n only, and its answer must come from there.
	configuration := func(n int) *config.Snapshot {
		name, port := "one", one.Port
		if n%2 == 1 {
			name, port = "two", two.Port
		}
		boot := read(t, Bootstrap(listener, Cluster(name, port, fmt.Sprintf("connect_timeout: %d.5s", n%3+1))))
		routes := read(t, Bootstrap(HTTPListener("routes: [{match: {prefix: /}, route: {cluster: "+name+"}, response_headers_to_add: [{header: {key: x-from, value: "+name+"}}]}]"), Cluster(name, port)))
		s := boot.Static
		s.Routes = maps.Clone(s.Routes)
		if s.Routes == nil {
			s.Routes = map[string]*config.RouteConfiguration{}
		}
		s.Routes["local"] = routes.Static.Listeners[0].Chains[0].HTTP.Routes
		return &s
	}
	p := StartLoops(t, 2, Bootstrap(listener, Cluster("one", one.Port)))
	if err := p.Update(configuration(0)); err != nil {
		t.Fatal(err)
	}
	var done atomic.Bool
	var requests atomic.Int64
	var clients sync.WaitGroup
	for range 4 {
		c := p.Dial()
		clients.Go(func() {
			for !done.Load() {
				r := c.Get("/")
				if from := r.Header.Get("x-from"); r.Status != 200 || r.Body != from {
					t.Errorf("%d %q from a route to %q", r.Status, r.Body, from)
					return
				}
				requests.Add(1)
			}
		})
	}
	for n := 1; n <= 100; n++ {
		if err := p.Update(configuration(n)); err != nil {
			t.Error(err)
		}
		seen := requests.Load()
		p.Eventually("traffic goes on", func() bool { return requests.Load() > seen+8 || t.Failed() })
	}
	done.Store(true)
	clients.Wait()
	p.WantStat("cluster.one.membership_total", 1)
}

func TestHTTP10(t *testing.T) {
	u := Answer(t, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
	p := HTTP(t, u, "http_protocol_options: {accept_http_10: true, default_host_for_http_10: d.example}")
	c := p.Dial()
	c.Send("GET / HTTP/1.0\r\n\r\n")
	if all, _ := c.Rest(); !strings.HasPrefix(all, "HTTP/1.0 200 OK\r\n") || !strings.HasSuffix(all, "\r\n\r\nok") || strings.Contains(all, "chunked") {
		t.Errorf("got %q", all)
	}
	if !strings.Contains(u.Heads()[0], "host: d.example\r\n") {
		t.Errorf("the upstream got %q", u.Heads()[0])
	}
	u = Answer(t, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
	c = HTTP(t, u, "http_protocol_options: {accept_http_10: true}").Dial()
	for range 2 {
		c.Send("GET / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n")
		c.Read("GET").Want(t, 200, "ok", "connection: keep-alive")
	}
}

func TestSpellingOfNames(t *testing.T) {
	answer := "HTTP/1.1 200 OK\r\nX-CamelCase: 1\r\nContent-Length: 0\r\n\r\n"
	preserve := `{header_key_format: {stateful_formatter: {name: preserve_case, typed_config: {"@type": type.googleapis.com/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig}}}}`
	for name, c := range map[string]struct{ down, up, wantUp, wantDown string }{
		"lower":    {"", "", "x-mixedcase: 1", "x-camelcase: 1"},
		"proper":   {"http_protocol_options: {header_key_format: {proper_case_words: {}}}", "", "x-mixedcase: 1", "X-Camelcase: 1"},
		"received": {"http_protocol_options: " + preserve, "explicit_http_config: {http_protocol_options: " + preserve + "}", "X-MixedCase: 1", "X-CamelCase: 1"},
	} {
		t.Run(name, func(t *testing.T) {
			u := Answer(t, answer)
			more := ""
			if c.up != "" {
				more = "typed_extension_protocol_options:\n  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:\n    \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions\n    " + c.up
			}
			p := Start(t, Bootstrap(HTTPListener("routes: [{match: {prefix: /}, route: {cluster: up}}]", c.down), Cluster("up", u.Port, more)))
			r := p.Dial().Get("/", "X-MixedCase: 1").Want(t, 200)
			if !strings.Contains(r.Head, "\r\n"+c.wantDown+"\r\n") {
				t.Errorf("downstream got %q, want %s", r.Head, c.wantDown)
			}
			if !strings.Contains(u.Heads()[0], "\r\n"+c.wantUp+"\r\n") {
				t.Errorf("upstream got %q, want %s", u.Heads()[0], c.wantUp)
			}
		})
	}
}

func TestRoutingEndToEnd(t *testing.T) {
	u := Echo(t)
	p := Routes(t, u, `- {match: {path: /exact}, route: {cluster: up}, request_headers_to_add: [{header: {key: x-from, value: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}}], response_headers_to_remove: [x-gone]}
- {match: {path_separated_prefix: /sep}, direct_response: {status: 201, body: {inline_string: sep}}}
- {match: {safe_regex: {regex: "/v[0-9]+/.*"}}, redirect: {https_redirect: true, host_redirect: b.example, path_redirect: /new}}
- {match: {prefix: /header, headers: [{name: x-kind, string_match: {exact: good}}]}, direct_response: {status: 202}}
- {match: {prefix: /header}, direct_response: {status: 203}}
- {match: {prefix: /rewrite/}, route: {cluster: up, prefix_rewrite: /new/, host_rewrite_literal: h.example}}`)
	c := p.Dial()
	if r := c.Get("/exact?q").Want(t, 200); !strings.Contains(r.Body, "x-from: 127.0.0.1\r\n") {
		t.Errorf("upstream got %s", r.Body)
	}
	c.Get("/sep").Want(t, 201, "sep")
	c.Get("/sep/arated").Want(t, 201, "sep")
	c.Get("/separated").Want(t, 404)
	c.Get("/v12/x?q=1").Want(t, 301, "location: https://b.example/new?q=1")
	c.Get("/header", "x-kind: good").Want(t, 202)
	c.Get("/header", "x-kind: bad").Want(t, 203)
	if r := c.Get("/rewrite/a?b").Want(t, 200); !strings.HasPrefix(r.Body, "GET /new/a?b HTTP/1.1\r\nhost: h.example\r\n") {
		t.Errorf("upstream got %s", r.Body)
	}
	p.WantStat("http.http.no_route", 1)
}
