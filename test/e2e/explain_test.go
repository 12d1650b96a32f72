package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/proxy/admin"
)

// mesh is what a sidecar has: a listener that redirected connections come to, others that they are handed over to, TLS and plain chains.
func mesh(port int) string {
	return fmt.Sprintf(`
static_resources:
  listeners:
  - name: outbound
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    use_original_dst: true
    listener_filters: [{name: o, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst}}]
    filter_chains:
    - name: passthrough
      filters:
      - name: tcp
        typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: original}
  - name: all-80
    address: {socket_address: {address: 0.0.0.0, port_value: 80}}
    bind_to_port: false
    listener_filters:
    - {name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}}
    filter_chains:
    - name: secure
      filter_chain_match: {transport_protocol: tls, server_names: ["*.example.com"]}
      filters:
      - name: tcp
        typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, weighted_clusters: {clusters: [{name: up, weight: 3}, {name: gone, weight: 1}]}}
    - name: web
      filter_chain_match: {transport_protocol: raw_buffer}
      filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: h
          use_remote_address: true
          http_filters:
          - {name: cors, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors}}
          - {name: buffer, disabled: true, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer, max_request_bytes: 10}}
          - {name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
          route_config:
            name: "80"
            validate_clusters: false
            virtual_hosts:
            - name: secure
              domains: [secure.example.com]
              require_tls: ALL
              routes: [{match: {prefix: /}, route: {cluster: up}}]
            - name: reviews
              domains: [reviews, "reviews:9080"]
              routes:
              - name: beta
                match: {prefix: /, headers: [{name: x-user, string_match: {exact: tester}}]}
                route: {cluster: beta}
              - name: some
                match: {prefix: /api, runtime_fraction: {default_value: {numerator: 10}}}
                route: {cluster: canary, prefix_rewrite: /v2}
                typed_per_filter_config: {buffer: {"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, config: {"@type": type.googleapis.com/envoy.extensions.filters.http.buffer.v3.BufferPerRoute, buffer: {max_request_bytes: 5}}}}
              - name: old
                match: {path: /old}
                redirect: {path_redirect: /new}
              - name: teapot
                match: {path: /tea}
                direct_response: {status: 418}
              - name: named
                match: {prefix: /named}
                route: {cluster_header: x-cluster}
              - name: rest
                match: {prefix: /}
                route: {weighted_clusters: {clusters: [{name: up, weight: 9}, {name: canary, weight: 1}]}, timeout: 3s, request_mirror_policies: [{cluster: canary, runtime_fraction: {default_value: {numerator: 5}}}, {cluster: gone}]}
  - name: closed
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filter_chain_match: {source_prefix_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]}
      filters: [{name: e, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo}}]
  clusters:
%s
  - {name: original, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED}
  - {name: empty, type: STATIC}
%s
`, indent(2, Cluster("up", port)), indent(2, Cluster("canary", port)))
}

func explain(t *testing.T, p *Proxy, query string) *admin.Answer {
	t.Helper()
	values, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	q, err := admin.ReadQuestion(values)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	a, err := p.Explain(q)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return a
}

// TestExplain asks about connections and requests that nobody makes, and looks for words that must be in the answers.
func TestExplain(t *testing.T) {
	u := Echo(t)
	p := Start(t, mesh(u.Port))
	for _, c := range []struct {
		query string
		want  []string
		not   []string
	}{
		{"address=10.0.0.1:80&url=http://reviews:9080/x", []string{
			`"listener":"all-80"`, `"handed_over_by":"outbound"`, `"filter_chain":"web"`, `server name: want *.example.com, is none`,
			`"virtual_host":"reviews"`, `none of its domains is for \"reviews:9080\"`, `header x-user: want it to be \"tester\", is not there`, `"route":5,"name":"rest"`,
			`"cluster":"up","weight":9,"of":10`, `"cluster":"canary","weight":1,"of":10`, `"cluster":"canary","of":5,"in":100`, `there is no cluster \"gone\", so that no copy is sent`, `"timeout":"3s"`,
			`"name":"cors","type":"envoy.filters.http.cors","on":true`, `"on":false,"why":"the chain has it off unless a route turns it on"`, `"shared_by":"chance, by weight"`, `"pick":true`}, nil},
		{"address=10.0.0.1:80&url=http://reviews/api/x", []string{`"route":1,"name":"some","of":10,"in":100`, `"path_upstream":"/v2/x"`, `"name":"rest","of":1,"in":1`, `in 10 of 100 requests`,
			`"on":true,"why":"with a configuration of its own by typed_per_filter_config"`}, nil},
		{"address=10.0.0.1:80&url=http://reviews/&header=X-User:%20tester", []string{`"name":"beta"`, `there is no cluster \"beta\": the request is answered 503`, `"routes_not_reached":5`}, []string{`"rest"`}},
		{"address=10.0.0.1:80&url=http://reviews/old", []string{`"action":"redirect","status":301,"location":"http://reviews/new"`}, nil},
		{"address=10.0.0.1:80&url=http://reviews/tea", []string{`"action":"direct response","status":418`}, nil},
		{"address=10.0.0.1:80&url=http://reviews/named&header=x-cluster:up", []string{`named by the request's header x-cluster (cluster_header)`, `"cluster":"up"`}, nil},
		{"address=10.0.0.1:80&url=http://reviews/named", []string{`the request has no header x-cluster, which names the cluster (cluster_header): it is answered 503`}, nil},
		{"address=10.0.0.1:80&url=http://nobody/", []string{`no virtual host is for \"nobody\"`, `"action":"no route","status":404`}, nil},
		{"address=10.0.0.1:80&url=http://secure.example.com/a", []string{`"action":"redirect","status":301,"location":"https://secure.example.com/a"`, `require_tls`}, nil},
		{"address=10.0.0.1:80&sni=a.example.com", []string{`"filter_chain":"secure"`, `"cluster":"up","weight":3,"of":4`, `"cluster":"gone","weight":1,"of":4,"why":"there is no cluster \"gone\""`, `server name: chain secure asks for it more closely, and the closest is taken for good`}, []string{"TLS inspector"}},
		{"address=10.0.0.1:80&sni=example.org", []string{`"ends":"no filter chain matches and there is no default one: the connection is closed"`, `server name: want *.example.com, is example.org`, `transport protocol: want raw_buffer, is tls`}, nil},
		{"address=10.0.0.9:5432", []string{`"listener":"outbound"`, `no listener is at 10.0.0.9:5432, so that \"outbound\" serves the connection itself`, `"address":"10.0.0.9:5432","priority":0,"weight":1,"health":"healthy","pick":true`}, nil},
		{"listener=closed", []string{`source address: want 10.0.0.0/8, is 127.0.0.1`, `"ends"`}, nil},
		{"listener=closed&source=10.1.1.1:99", []string{`"filter_chain":"#0"`, `(echo)`}, nil},
	} {
		b, err := json.Marshal(explain(t, p, c.query))
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range c.want {
			if !strings.Contains(string(b), w) {
				t.Errorf("%s: no %s in\n%s", c.query, w, b)
			}
		}
		for _, w := range c.not {
			if strings.Contains(string(b), w) {
				t.Errorf("%s: %s in\n%s", c.query, w, b)
			}
		}
	}
	if n := u.Connections(); n != 0 {
		t.Errorf("%d connections were made to answer", n)
	}
}

// TestExplainIsServing sends the requests that it asks about, and wants them to end where explain says.
func TestExplainIsServing(t *testing.T) {
	one, two := Answer(t, "HTTP/1.1 200 OK\r\nx-by: one\r\ncontent-length: 0\r\n\r\n"), Answer(t, "HTTP/1.1 200 OK\r\nx-by: two\r\ncontent-length: 0\r\n\r\n")
	routes := `
routes:
- {match: {path: /exact}, route: {cluster: two}}
- {match: {safe_regex: {regex: "/v[0-9]+/.*"}}, route: {cluster: one}}
- {match: {prefix: /p, headers: [{name: x-forwarded-proto, string_match: {exact: https}}]}, direct_response: {status: 201}}
- {match: {prefix: /p, headers: [{name: x-envoy-internal, present_match: true}]}, direct_response: {status: 202}}
- {match: {prefix: /p, headers: [{name: x-envoy-retry-on, present_match: true}]}, direct_response: {status: 203}}
- {match: {prefix: /p, query_parameters: [{name: q, string_match: {exact: a}}]}, route: {cluster: two}}
- {match: {prefix: /p}, route: {cluster: one}}
- {match: {prefix: /c, headers: [{name: connection, present_match: true}]}, direct_response: {status: 204}}
- {match: {prefix: /c}, direct_response: {status: 205}}
`
	for _, manager := range []string{"", "use_remote_address: true", "normalize_path: true\nmerge_slashes: true", "use_remote_address: true\nxff_num_trusted_hops: 1", "scheme_header_transformation: {scheme_to_overwrite: https}"} {
		p := Start(t, Bootstrap(HTTPListener(routes, manager), Cluster("one", one.Port), Cluster("two", two.Port)))
		address := netip.MustParseAddrPort(p.Address())
		for _, path := range []string{"/exact", "/exact/", "/v1/x", "/vx/x", "/p", "/p?q=a", "/p?q=b", "/a/../p", "//p", "/p/%2e%2e/exact", "/c", "/nobody"} {
			for _, fields := range [][]string{nil, {"x-forwarded-proto: https"}, {"x-forwarded-for: 8.8.8.8"}, {"x-forwarded-for: 10.0.0.1"}, {"x-envoy-retry-on: 5xx"}, {"x-envoy-internal: true"}, {"connection: x"}, {"connection: upgrade", "upgrade: websocket"}, {"connection: upgrade", "upgrade: h2c"}} {
				query := url.Values{"listener": {"http"}, "source": {"127.0.0.1"}, "address": {address.String()}, "url": {"http://h" + path}, "header": fields}
				a := explain(t, p, query.Encode())
				want := a.HTTP.Status
				by := ""
				if want == 0 {
					o := a.HTTP.Outcomes[len(a.HTTP.Outcomes)-1]
					if want = o.Status; o.Action == "forward" {
						want, by = 200, o.Clusters[0].Cluster
					}
				}
				got := p.Dial().Get(path, fields...)
				if uint16(got.Status) != want || got.Header.Get("x-by") != by {
					t.Errorf("%q, %s %q: explain says %d by %q, and it is %d by %q\n%+v", manager, path, fields, want, by, got.Status, got.Header.Get("x-by"), a.HTTP)
				}
			}
		}
	}
}

// TestExplainSaysWhoMayDoWhat: the policy that decides is named, of the chain's rules and of a route's own, and a request that would be served is really served.
func TestExplainSaysWhoMayDoWhat(t *testing.T) {
	u := Answer(t, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
	const rbac = `type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC`
	listener := HTTPListener(`routes:
- match: {prefix: /own}
  route: {cluster: up}
  typed_per_filter_config: {allow: {"@type": ` + rbac + `PerRoute, rbac: {rules: {action: ALLOW, policies: {mine: {permissions: [{any: true}], principals: [{any: true}]}}}}}}
- {match: {prefix: /}, route: {cluster: up}}`)
	listener = WithFilters(listener, `
- {name: deny, typed_config: {"@type": `+rbac+`, rules: {action: DENY, policies: {no-posts: {permissions: [{header: {name: ":method", string_match: {exact: POST}}}], principals: [{any: true}]}}}}}
- {name: allow, typed_config: {"@type": `+rbac+`, rules: {action: ALLOW, policies: {readers: {permissions: [{url_path: {path: {prefix: /read}}}], principals: [{direct_remote_ip: {address_prefix: 127.0.0.0, prefix_len: 8}}]}}}}}`)
	p := Start(t, Bootstrap(listener, Cluster("up", u.Port)))
	for _, c := range []struct {
		method, path, want string
		status             int
	}{
		{"GET", "/read?x", `"says":"allowed by policy readers"`, 200},
		{"POST", "/read", `"says":"denied by policy no-posts","status":403`, 403},
		{"GET", "/write", `"says":"denied: no policy is for it","status":403`, 403},
		{"GET", "/own", `"says":"allowed by policy mine"`, 200},
	} {
		a := explain(t, p, "listener=http&source=127.0.0.1&url=http://h"+url.QueryEscape(c.path)+"&method="+c.method)
		b, err := json.Marshal(a)
		if err != nil || !strings.Contains(string(b), c.want) {
			t.Errorf("%s %s: no %s in\n%s", c.method, c.path, c.want, b)
		}
		p.Dial().Send(c.method+" "+c.path+" HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n").Read(c.method).Want(t, c.status)
	}
}

// TestExplainSaysWhoMayConnect: of a chain's own rules, too, the policy that decides is named, and the connection is closed if that says so.
func TestExplainSaysWhoMayConnect(t *testing.T) {
	const rbac = `"@type": type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC, stat_prefix: r`
	chain := func(name, policies string) string {
		return `
- name: ` + name + `
  address: {socket_address: {address: 127.0.0.1, port_value: 0}}
  filter_chains:
  - filters:
    - {name: allow, typed_config: {` + rbac + `, rules: {action: ALLOW, policies: {near: {permissions: [{any: true}], principals: [{direct_remote_ip: {address_prefix: 127.0.0.0, prefix_len: 8}}]}}}}}
    - {name: deny, typed_config: {` + rbac + `, rules: {action: DENY, policies: {` + policies + `}}}}
    - {name: e, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo}}`
	}
	p := Start(t, Bootstrap(chain("open", `far: {permissions: [{any: true}], principals: [{direct_remote_ip: {address_prefix: 10.0.0.0, prefix_len: 8}}]}`)+
		chain("closed", `all: {permissions: [{any: true}], principals: [{any: true}]}`)))
	for _, c := range []struct {
		listener, source, notes, ends string
		stands                        bool
	}{
		{"open", "127.0.0.1", "envoy.filters.network.rbac: allowed by policy near", "said back", true},
		{"closed", "127.0.0.1", "envoy.filters.network.rbac: allowed by policy near", "denied by policy all, and is closed", false},
		{"open", "192.0.2.1", "", "denied: no policy is for it, and is closed", false},
	} {
		a := explain(t, p, "listener="+c.listener+"&source="+c.source)
		if !strings.Contains(strings.Join(a.Notes, "\n"), c.notes) || !strings.Contains(a.Ends, c.ends) {
			t.Errorf("%s from %s: %q, ends %q: want %q and %q", c.listener, c.source, a.Notes, a.Ends, c.notes, c.ends)
		}
		if c.source != "127.0.0.1" {
			continue
		}
		conn, err := net.Dial("tcp", p.Address(c.listener))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		conn.Write([]byte("x"))
		if n, err := conn.Read(make([]byte, 1)); (n == 1) != c.stands {
			t.Errorf("%s: %d bytes, %v", c.listener, n, err)
		}
	}
}

// TestExplainWhileServing asks while requests come and the configuration changes; the race detector looks on.
func TestExplainWhileServing(t *testing.T) {
	u := Answer(t, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
	text := func(n int) string {
		return Bootstrap(HTTPListener("routes: [{match: {prefix: /}, route: {cluster: up, timeout: "+fmt.Sprint(n)+"s}}]"), Cluster("up", u.Port))
	}
	p := StartLoops(t, 2, text(1))
	var wait sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		wait.Go(func() {
			for {
				a, err := p.Explain(&admin.Question{Listener: "http", Method: "GET", URL: "http://h/"})
				if err != nil || a.HTTP == nil || len(a.HTTP.Outcomes) != 1 || !a.HTTP.Outcomes[0].Clusters[0].Picture.Endpoints[0].Pick {
					t.Errorf("%+v, %v", a, err)
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for n := range 20 {
		p.Dial().Get("/").Want(t, 200)
		p.Change(text(n + 2))
	}
	close(done)
	wait.Wait()
	if a := explain(t, p, "listener=http&url=/"); a.HTTP.Outcomes[0].Timeout != "21s" {
		t.Errorf("%+v is not what is in force", a.HTTP.Outcomes[0])
	}
}
