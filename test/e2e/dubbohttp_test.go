package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"

	"github.com/weftmesh/weft/wire/dubbo"
)

// shopMethods are those that requests call in these tests.
const shopMethods = `services: [{interface: org.example.Shop, version: 1.0.0, group: blue, methods: [
  {name: search, path: "/shop/{kind}/search", http_methods: [GET], parameters: [{type: java.lang.String, segment: kind}, {type: int, query: limit}, {type: "java.util.List<java.lang.String>", query: tag}, {type: java.lang.String, header: X-User}], attach: [TraceParent]},
  {name: order, path: /shop/orders, http_methods: [POST], parameters: [{type: org.example.Order, body: true}]},
  {name: pay, path: "/shop/orders/{id}", http_methods: [PUT, PATCH], parameters: [{type: long, segment: id}, {type: double, field: sum}, {type: java.lang.Boolean, field: gift}, {type: "int[]", field: parts}], attach: ["*"]},
  {name: ping}]}]`

// shop is a proxy whose route has these methods; route is more of it, cluster more of the cluster.
func shop(port int, route string, more ...string) string {
	return shopAnd(route, Cluster("up", port, append([]string{DubboUpstream}, more...)...))
}

// shopAnd is shop with all clusters as they are given.
func shopAnd(route string, clusters ...string) string {
	vhost := `routes: [{match: {prefix: /}, route: {cluster: up` + route + `}, typed_per_filter_config: {weft.filters.http.dubbo: {"@type": type.googleapis.com/weft.dubbo.v1.HTTP, ` + shopMethods + `}}}]`
	return Bootstrap(WithFilters(HTTPListener(vhost), `- {name: weft.filters.http.dubbo, typed_config: {"@type": type.googleapis.com/weft.dubbo.v1.HTTP}}`), clusters...)
}

// What becomes of requests: which method, which arguments, of which types.
func TestDubboHTTP(t *testing.T) {
	p := Start(t, shop(Shopkeeper(t).Port, ""))
	post := func(verb, path, body string, fields ...string) string {
		return verb + " " + path + " HTTP/1.1\r\nhost: a\r\ncontent-length: " + fmt.Sprint(len(body)) + "\r\n" + lines(fields) + "\r\n" + body
	}
	get := func(path string, fields ...string) string {
		return "GET " + path + " HTTP/1.1\r\nhost: a\r\n" + lines(fields) + "\r\n"
	}
	const service = "org.example.Shop:1.0.0:blue $invoke "
	for _, c := range []struct {
		send   string
		status int
		want   string // of the body: the value, or the message of the error
	}{
		{get("/shop/books/search?limit=5&tag=a&tag=b%20c", "x-user: ann"), 200, service + "search [java.lang.String int java.util.List java.lang.String][books 5 [a b c] ann]"},
		{get("/shop/b%C3%BCcher/search?limit=-7"), 200, service + "search [java.lang.String int java.util.List java.lang.String][bücher -7 <nil> <nil>]"},
		{get("/shop/books/search?limit=1&limit=2&tag=a+b"), 200, service + "search [java.lang.String int java.util.List java.lang.String][books 2 [a b] <nil>]"},
		{get("/shop/books/search?tag=a"), 400, "query parameter limit is missing: want a value of type int"},
		{get("/shop/books/search?limit=x"), 400, "query parameter limit: "},
		{get("/shop/books/search?limit=%zz"), 400, "query parameter limit: "},
		{get("/shop/%ff/search?limit=1"), 400, "path segment kind: is not UTF-8"},
		{post("POST", "/shop/orders", `{"id": 7, "items": [{"sku": "x"}]}`), 200, service + "order [org.example.Order][map[id:7 items:[map[sku:x]]]]"},
		{post("POST", "/shop/orders", ``), 200, service + "order [org.example.Order][<nil>]"},
		{post("POST", "/shop/orders", `{"id": `), 400, "body: "},
		{post("POST", "/shop/orders", strings.Repeat("[", 100_000)), 400, "body: "},
		{post("PUT", "/shop/orders/1", `{"sum": 1, "parts": `+strings.Repeat("[", 100_000)+strings.Repeat("]", 100_000)+`}`), 400, ""},
		{"POST /shop/orders HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4\r\n[1,2\r\n3\r\n,3]\r\n0\r\n\r\n", 200, service + "order [org.example.Order][[1 2 3]]"},
		{"POST /shop/orders HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\nx-t: 1\r\n\r\n", 200, service + "order [org.example.Order][[]]"},
		{post("PUT", "/shop/orders/9000000000", `{"sum": 1.5, "parts": [1, 2]}`), 200, service + "pay [long double java.lang.Boolean int[]][9000000000 1.5 <nil> [1 2]]"},
		{post("PUT", "/shop/orders/2", `{"sum": 1, "other": {"sum": 2}, "s\u0075m": 3.5}`), 200, service + "pay [long double java.lang.Boolean int[]][2 3.5 <nil> <nil>]"},
		{post("PUT", "/shop/orders/1", `{"sum": 1} {}`), 400, "the body is no JSON object, which has fields"},
		{post("PATCH", "/shop/orders/1", `{"sum": 2, "gift": true, "parts": []}`), 200, service + "pay [long double java.lang.Boolean int[]][1 2 true []]"},
		{post("PUT", "/shop/orders/1", `{"gift": true}`), 400, "body field sum is missing: want a value of type double"},
		{post("PUT", "/shop/orders/1", `{"sum": "x"}`), 400, "body field sum: "},
		{post("PUT", "/shop/orders/1", `{"sum": 1, "parts": [1, "x"]}`), 400, "body field parts: "},
		{post("PUT", "/shop/orders/1", `[1]`), 400, "the body is no JSON object, which has fields"},
		{post("PUT", "/shop/orders/1x", `{"sum": 1}`), 400, "path segment id: "},
		{get("/org.example.Shop/ping"), 200, service + "ping [][]"},
		{post("POST", "/org.example.Shop/ping", "anything"), 200, service + "ping [][]"},
		{post("POST", "/shop/books/search?limit=1", ""), 405, "no method is called by POST here: want GET"},
		{get("/shop/orders/1"), 405, "no method is called by GET here: want PUT, PATCH"},
		{get("/shop/books"), 404, "no method is called by this path"},
		{get("/shop//search?limit=1"), 404, "no method is called by this path"},
		{get("/shop/books/search/?limit=1"), 404, "no method is called by this path"},
		{post("POST", "/shop/orders", `"`+strings.Repeat("x", 1<<20)+`"`), 413, "the body is larger than 1 MiB"},
	} {
		conn := p.Dial()
		r := conn.Send(c.send).Read("GET")
		what, _, _ := strings.Cut(c.send, "\r\n")
		if r.Status != c.status || !strings.Contains(r.Head, "content-type: application/json") {
			t.Errorf("%s: %d %s %s", what, r.Status, r.Head, r.Body)
			continue
		}
		var said any
		if err := json.Unmarshal([]byte(r.Body), &said); err != nil {
			t.Errorf("%s: %q: %v", what, r.Body, err)
			continue
		}
		got, _ := said.(string)
		if c.status != 200 {
			m, _ := said.(map[string]any)
			got, _ = m["message"].(string)
		}
		if got != c.want && (c.status == 200 || !strings.HasPrefix(got, c.want)) {
			t.Errorf("%s: %s\nwant %s", what, got, c.want)
		}
		if c.status == 405 != strings.Contains(r.Head, "allow: ") {
			t.Errorf("%s: %s", what, r.Head)
		}
	}
	p.WantStat("http.http.dubbo.no_method", 5)
	p.WantStat("http.http.dubbo.arguments_refused", 13)
	p.WantStat("cluster.up.upstream_rq_active", 0)
	if two := Dial2(t, p.Address()).Get2("/shop/books/search?limit=5"); two.Status != 200 || !strings.Contains(two.Body, "search") {
		t.Errorf("by HTTP/2: %d %s", two.Status, two.Body)
	}
}

// What goes along, and that nothing of a client's takes the place of what the call says of itself.
func TestDubboHTTPAttachments(t *testing.T) {
	heard := make(chan GenericCall, 1)
	u := Serve(t, func(u *Upstream, c *Conn) {
		for {
			g, err := TakeGeneric(t, c)
			if err != nil {
				return
			}
			heard <- g
			c.Write(DubboAnswer(t, g.Head.ID, dubbo.OK, int32(2)))
		}
	})
	p := Start(t, shop(u.Port, ""))
	p.Dial().Get("/shop/books/search?limit=1", "traceparent: 00-1-2-01", "x-user: ann", "group: red", "generic: false").Want(t, 200, "null")
	g := <-heard
	want := map[any]any{"path": "org.example.Shop", "interface": "org.example.Shop", "version": "1.0.0", "group": "blue", "generic": "true", "traceparent": "00-1-2-01"}
	if fmt.Sprint(g.Attachments) != fmt.Sprint(want) || !g.Head.TwoWay {
		t.Errorf("%v\nwant %v", g.Attachments, want)
	}
	p.Dial().Send("PUT /shop/orders/1 HTTP/1.1\r\nhost: a\r\ngroup: red\r\npath: org.example.Other\r\nX-Any: 1\r\ncontent-length: 9\r\n\r\n{\"sum\":1}").Read("PUT").Want(t, 200, "null")
	g = <-heard
	for name, value := range map[string]string{"path": "org.example.Shop", "group": "blue", "x-any": "1", "generic": "true"} {
		if g.Attachments[name] != value {
			t.Errorf("%s is %v in %v", name, g.Attachments[name], g.Attachments)
		}
	}
	for name := range g.Attachments {
		if strings.HasPrefix(fmt.Sprint(name), ":") {
			t.Errorf("%v is attached", name)
		}
	}
}

// What becomes of answers.
func TestDubboHTTPAnswers(t *testing.T) {
	answers := make(chan []any, 1)
	var status dubbo.Status
	u := Serve(t, func(u *Upstream, c *Conn) {
		for {
			g, err := TakeGeneric(t, c)
			if err != nil {
				return
			}
			c.Write(DubboAnswer(t, g.Head.ID, status, <-answers...))
		}
	})
	p := Start(t, shop(u.Port, ""))
	for _, c := range []struct {
		status dubbo.Status
		answer []any
		want   int
		body   string
	}{
		{dubbo.OK, []any{int32(2)}, 200, `null`},
		{dubbo.OK, []any{int32(1), map[any]any{"class": "org.example.Order", "id": int64(9000000000)}}, 200, `{"id":9000000000}`},
		{dubbo.OK, []any{int32(4), "x", map[any]any{"a": "b"}}, 200, `"x"`},
		{dubbo.OK, []any{int32(1), []any{int32(1), true, nil, 1.5}}, 200, `[1,true,null,1.5]`},
		{dubbo.ServerTimeout, []any{"too late\n\tat org.example.Secret"}, 504, `{"status":31,"message":"too late"}`},
		{dubbo.ServiceNotFound, []any{"no such service"}, 404, `{"status":60,"message":"no such service"}`},
		{dubbo.ServerExhausted, []any{"no thread"}, 503, `{"status":100,"message":"no thread"}`},
		{dubbo.ServiceError, []any{}, 500, `{"status":70,"message":""}`},
		{dubbo.OK, []any{}, 502, ``},
		{dubbo.OK, []any{int32(7)}, 502, ``},
	} {
		status = c.status
		answers <- c.answer
		r := p.Dial().Get("/org.example.Shop/ping")
		if r.Status != c.want || c.body != "" && r.Body != c.body || !strings.Contains(r.Head, "content-type: application/json") || strings.Contains(r.Head, ":dubbo") {
			t.Errorf("%d %v: %d %s\n%s", c.status, c.answer, r.Status, r.Body, r.Head)
		}
		var any any
		if err := json.Unmarshal([]byte(r.Body), &any); err != nil {
			t.Errorf("%s: %v", r.Body, err)
		}
	}
	p.WantStat("http.http.dubbo.answers_unreadable", 2)
	p.WantStat("cluster.up.upstream_rq_active", 0)
}

// Nobody makes a call but the filter, and its calls go nowhere but to those who speak Dubbo.
func TestDubboHTTPUnmapped(t *testing.T) {
	u := Shopkeeper(t)
	for _, c := range []struct {
		name, text, send string
		status           int
	}{
		{"no method", Bootstrap(HTTPListener(All), Cluster("up", u.Port, DubboUpstream)), "GET / HTTP/1.1\r\nhost: a\r\n\r\n", 502},
		{"a body", Bootstrap(HTTPListener(All), Cluster("up", u.Port, DubboUpstream)), "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc", 502},
		{"an upgrade", Bootstrap(HTTPListener(All, "upgrade_configs: [{upgrade_type: websocket}]"), Cluster("up", u.Port, DubboUpstream)), "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n", 502},
		{"what says that it is a call", Bootstrap(HTTPListener(All), Cluster("up", u.Port, DubboUpstream)), "POST / HTTP/1.1\r\nhost: a\r\n:dubbo: 1\r\ncontent-length: 3\r\n\r\nabc", 400},
		{"a cluster of HTTP", strings.ReplaceAll(shop(u.Port, ""), DubboUpstream, ""), "GET /org.example.Shop/ping HTTP/1.1\r\nhost: a\r\n\r\n", 500},
		{"another path of the filter's own", Bootstrap(WithFilters(HTTPListener("routes: [{match: {prefix: /}, direct_response: {status: 418}}]"), `- {name: d, typed_config: {"@type": type.googleapis.com/weft.dubbo.v1.HTTP, `+shopMethods+`}}`)), "GET / HTTP/1.1\r\nhost: a\r\n\r\n", 418},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := Start(t, c.text)
			if r := p.Dial().Send(c.send).Read("GET"); r.Status != c.status {
				t.Errorf("%d: %s", r.Status, r.Body)
			}
			if n := len(u.Heads()); n != 0 {
				t.Errorf("%d calls", n)
			}
		})
	}
	f := DialFrames(t, Start(t, shop(u.Port, "")).Address())
	f.Head(1, true, append(Get("/org.example.Shop/ping"), ":dubbo", "1")...)
	if f.Next(http2.FrameHeaders, 1) != nil || len(u.Heads()) != 0 {
		t.Error("a pseudo-header field of a client's is no error of the protocol")
	}
}

// Many requests are on one line at once, whose answers come in any order, and what a client no longer wants is nobody else's.
func TestDubboHTTPOnOneLine(t *testing.T) {
	const clients = 50
	u := Serve(t, func(u *Upstream, c *Conn) {
		var waiting []GenericCall
		for {
			g, err := TakeGeneric(t, c)
			if err != nil {
				return
			}
			if waiting = append(waiting, g); len(waiting) < clients {
				continue
			}
			slices.Reverse(waiting)
			for _, g := range waiting {
				c.Write(DubboAnswer(t, g.Head.ID, dubbo.OK, int32(1), g.Said))
			}
			waiting = nil
		}
	})
	p := StartLoops(t, 1, shop(u.Port, ""))
	for range 3 {
		gone := p.Dial()
		gone.Send("GET /org.example.Shop/ping HTTP/1.1\r\nhost: a\r\n\r\n")
		p.Eventually("the call is under way", func() bool { return p.Stat("cluster.up.upstream_rq_active") == 1 })
		gone.Close()
		p.Eventually("nobody wants it", func() bool { return p.Stat("cluster.up.upstream_rq_active") == 0 })
		var all sync.WaitGroup
		for i := range clients - 1 {
			c := p.Dial()
			all.Go(func() {
				if r := c.Get(fmt.Sprintf("/shop/books/search?limit=%d", i)); r.Status != 200 || !strings.Contains(r.Body, fmt.Sprintf("[books %d <nil> <nil>]", i)) {
					t.Errorf("%d: %d %s", i, r.Status, r.Body)
				}
			})
		}
		all.Wait()
	}
	if n := u.Connections(); n != 1 {
		t.Errorf("%d connections", n)
	}
	p.WantStat("cluster.up.upstream_rq_active", 0)
	p.WantStat("cluster.up.upstream_rq_total", 3*clients)
}

// Timeouts, retries, breakers and outliers are those of HTTP.
func TestDubboHTTPPolicies(t *testing.T) {
	t.Run("a timeout", func(t *testing.T) {
		u := Serve(t, func(u *Upstream, c *Conn) {
			first, err := TakeGeneric(t, c)
			if err != nil {
				return
			}
			second, err := TakeGeneric(t, c)
			if err != nil {
				return
			}
			c.Write(DubboAnswer(t, first.Head.ID, dubbo.OK, int32(1), "late"))
			c.Write(DubboAnswer(t, second.Head.ID, dubbo.OK, int32(1), "in time"))
			TakeGeneric(t, c)
		})
		p := StartLoops(t, 1, shop(u.Port, ", timeout: 0.2s"))
		p.Dial().Get("/org.example.Shop/ping").Want(t, 504)
		p.Dial().Get("/org.example.Shop/ping").Want(t, 200, `"in time"`)
		p.WantStat("cluster.up.upstream_rq_timeout", 1)
	})
	t.Run("retries", func(t *testing.T) {
		var n atomic.Int32
		u := Serve(t, func(u *Upstream, c *Conn) {
			for {
				g, err := TakeGeneric(t, c)
				if err != nil {
					return
				}
				switch n.Add(1) {
				case 1:
					c.Write(DubboAnswer(t, g.Head.ID, dubbo.ServerTimeout, "too late"))
				case 2:
					return
				default:
					c.Write(DubboAnswer(t, g.Head.ID, dubbo.OK, int32(1), g.Said))
				}
			}
		})
		p := StartLoops(t, 1, shop(u.Port, `, retry_policy: {retry_on: "5xx,reset", num_retries: 3, retry_back_off: {base_interval: 0.001s, max_interval: 0.002s}}`))
		r := p.Dial().Send("POST /shop/orders HTTP/1.1\r\nhost: a\r\ncontent-length: 7\r\n\r\n[1,2,3]").Read("POST")
		if r.Status != 200 || !strings.Contains(r.Body, "[[1 2 3]]") {
			t.Errorf("%d %s", r.Status, r.Body)
		}
		p.WantStat("cluster.up.upstream_rq_retry", 2)
		p.WantStat("cluster.up.upstream_rq_active", 0)
	})
	t.Run("nobody there", func(t *testing.T) {
		u := Serve(t, func(u *Upstream, c *Conn) {})
		u.Stop()
		p := Start(t, shop(u.Port, ""))
		p.Dial().Get("/org.example.Shop/ping").Want(t, 503)
		p.WantStat("cluster.up.upstream_cx_connect_fail", 1)
		p.WantStat("cluster.up.upstream_rq_active", 0)
		p.Dial().Get("/org.example.Shop/ping").Want(t, 503)
	})
	t.Run("a breaker", func(t *testing.T) {
		release := make(chan struct{})
		u := Serve(t, func(u *Upstream, c *Conn) {
			g, err := TakeGeneric(t, c)
			if err != nil {
				return
			}
			<-release
			c.Write(DubboAnswer(t, g.Head.ID, dubbo.OK, int32(2)))
			TakeGeneric(t, c)
		})
		p := StartLoops(t, 1, shop(u.Port, "", "circuit_breakers: {thresholds: [{max_requests: 1}]}"))
		first := p.Dial().Send("GET /org.example.Shop/ping HTTP/1.1\r\nhost: a\r\n\r\n")
		p.Eventually("the first is under way", func() bool { return p.Stat("cluster.up.upstream_rq_active") == 1 })
		p.Dial().Get("/org.example.Shop/ping").Want(t, 503, "x-envoy-overloaded: true")
		close(release)
		first.Read("GET").Want(t, 200, "null")
	})
	t.Run("an answer that is no Dubbo", func(t *testing.T) {
		u := Serve(t, func(u *Upstream, c *Conn) {
			if _, err := TakeGeneric(t, c); err == nil {
				c.Write([]byte("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"))
			}
		})
		p := Start(t, shop(u.Port, ""))
		p.Dial().Get("/org.example.Shop/ping").Want(t, 502)
		p.WantStat("cluster.up.upstream_cx_protocol_error", 1)
	})
	t.Run("mirrors", func(t *testing.T) {
		u, aside := Shopkeeper(t), make(chan string, 1)
		m := Serve(t, func(u *Upstream, c *Conn) {
			g, err := TakeGeneric(t, c)
			if err != nil {
				return
			}
			aside <- g.Said
			c.Write(DubboAnswer(t, g.Head.ID, dubbo.OK, int32(2)))
			TakeGeneric(t, c)
		})
		echo := Echo(t)
		p := Start(t, shopAnd(", request_mirror_policies: [{cluster: aside}, {cluster: http}]", Cluster("up", u.Port, DubboUpstream), Cluster("aside", m.Port, DubboUpstream), Cluster("http", echo.Port)))
		r := p.Dial().Get("/shop/books/search?limit=3")
		if got := <-aside; r.Status != 200 || !strings.Contains(r.Body, "[books 3 ") || !strings.Contains(got, "[books 3 ") {
			t.Errorf("%d %s; aside %s", r.Status, r.Body, got)
		}
		if n := len(echo.Heads()); n != 0 {
			t.Errorf("%d calls were sent to who speaks HTTP", n)
		}
	})
}

// An answer that its client does not take waits, and comes whole.
func TestDubboHTTPSlowClient(t *testing.T) {
	text := strings.Repeat("0123456789abcdef", 6<<20/16)
	u := Serve(t, func(u *Upstream, c *Conn) {
		for {
			g, err := TakeGeneric(t, c)
			if err != nil {
				return
			}
			c.Write(DubboAnswer(t, g.Head.ID, dubbo.OK, int32(1), text))
		}
	})
	p := StartLoops(t, 1, shop(u.Port, ""))
	slow := p.Dial()
	slow.Send("GET /org.example.Shop/ping HTTP/1.1\r\nhost: a\r\n\r\n")
	p.Eventually("the answer has come", func() bool { return p.Stat("cluster.up.upstream_cx_rx_bytes_total") > int64(len(text)) })
	p.Dial().Get("/org.example.Shop/ping").Want(t, 200)
	if r := slow.Read("GET"); r.Status != 200 || r.Body != `"`+text+`"` {
		t.Errorf("%d, %d bytes", r.Status, len(r.Body))
	}
}
