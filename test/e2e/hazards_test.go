package e2e

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// The numbers are rows of the project's list of hazards: what attackers, faults and hostile peers do, and what must hold.

// Rows 22-25, 34: what is not HTTP, or breaks a limit, is answered and the connection closed; nothing of it is forwarded.
func TestHostileRequests(t *testing.T) {
	u := Echo(t)
	p := HTTP(t, u)
	long := strings.Repeat("a", 70<<10)
	for _, c := range []struct {
		name, request string
		status        int
	}{
		{"both lengths", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		{"two encodings", "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n", 501},
		{"two lengths", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc", 400},
		{"signed length", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +5\r\n\r\nabcde", 400},
		{"hexadecimal length", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0x5\r\n\r\nabcde", 400},
		{"list of lengths", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5, 5\r\n\r\nabcde", 400},
		{"bare line feed in a chunk", "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", 400},
		{"chunk size with 0x", "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", 400},
		{"chunk size that overflows", "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n", 400},
		{"flood of chunk extensions", "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1;" + strings.Repeat("x", 1000) + "\r\na\r\n0\r\n\r\n", 400},
		{"space before the colon", "GET / HTTP/1.1\r\nhost : a\r\n\r\n", 400},
		{"NUL in a value", "GET / HTTP/1.1\r\nhost: a\r\nx: a\x00b\r\n\r\n", 400},
		{"folded line", "GET / HTTP/1.1\r\nhost: a\r\nx: a\r\n b\r\n\r\n", 400},
		{"bare CR", "GET / HTTP/1.1\r\nhost: a\r\nx: a\rb\r\n\r\n", 400},
		{"line feeds only", "GET / HTTP/1.1\nhost: a\n\n", 400},
		{"HTTP/0.9", "GET /\r\n\r\n", 400},
		{"HTTP/1.0 that is not enabled", "GET / HTTP/1.0\r\nhost: a\r\n\r\n", 426},
		{"no host", "GET / HTTP/1.1\r\n\r\n", 400},
		{"two hosts", "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400},
		{"fragment", "GET /admin#x HTTP/1.1\r\nhost: a\r\n\r\n", 400},
		{"path of 70 KiB", "GET /" + long + " HTTP/1.1\r\nhost: a\r\n\r\n", 431},
		{"field of 70 KiB", "GET / HTTP/1.1\r\nhost: a\r\nx: " + long + "\r\n\r\n", 431},
		{"200 fields", "GET / HTTP/1.1\r\nhost: a\r\n" + strings.Repeat("x: y\r\n", 200) + "\r\n", 431},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := Dial(t, p.Address())
			conn.Send(c.request)
			r := conn.Read("GET").Want(t, c.status)
			if r.Header.Get("connection") != "close" {
				t.Errorf("connection is %q, want close", r.Header.Get("connection"))
			}
			if !conn.Closed() {
				t.Error("the connection stays open")
			}
		})
	}
	for _, head := range u.Heads() {
		if strings.HasPrefix(head, "GET") {
			t.Errorf("forwarded: %.100q", head)
		}
	}
}

// Row 26: what an upstream sends beyond its answer is nobody's, and costs it the connection.
func TestAnswersThatNobodyAskedFor(t *testing.T) {
	u := Answer(t, "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n2")
	p := HTTP(t, u)
	c := p.Dial()
	c.Get("/").Want(t, 200, "1")
	c.Get("/").Want(t, 200, "2")
	if n := u.Connections(); n != 2 {
		t.Errorf("%d upstream connections, want a new one", n)
	}
	p.WantStat("cluster.up.upstream_cx_protocol_error", 1)
}

// Row 26: interim responses are bounded.
func TestInterimResponsesForEver(t *testing.T) {
	u := Answer(t, strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 1000)+"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
	c := HTTP(t, u).Dial()
	c.Send("GET / HTTP/1.1\r\nhost: a\r\n\r\n")
	for i := 0; ; i++ {
		r := c.Read("GET")
		if r.Status != 103 {
			r.Want(t, 502)
			break
		}
		if i > 100 {
			t.Fatal("more than a hundred interim responses passed on")
		}
	}
}

// Rows 27, 28: an upgrade is one only after 101; any other answer is HTTP, and its connection is not used again.
func TestUpgradeThatIsRefused(t *testing.T) {
	u := Answer(t, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno")
	p := HTTP(t, u, "upgrade_configs: [{upgrade_type: websocket}]")
	c := p.Dial()
	c.Send("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n")
	c.Read("GET").Want(t, 200, "no", "connection: close")
	if rest, _ := c.Rest(); rest != "" {
		t.Errorf("after the answer came %q", rest)
	}
	if n := len(u.Heads()); n != 1 {
		t.Errorf("the upstream got %d requests, want 1", n)
	}
}

func TestUpgrade(t *testing.T) {
	u := Serve(t, func(u *Upstream, c *Conn) {
		u.Take(c)
		c.Send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhello")
		b := make([]byte, 5)
		io.ReadFull(c.r, b)
		c.Send("got " + string(b))
		io.Copy(io.Discard, c.r)
		c.Send(" and your end")
	})
	c := HTTP(t, u, "upgrade_configs: [{upgrade_type: websocket}]").Dial()
	c.Send("GET /chat HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n")
	c.Read("GET").Want(t, 101, "upgrade: websocket")
	c.Send("world")
	want := "hellogot world"
	b := make([]byte, len(want))
	if _, err := io.ReadFull(c.r, b); err != nil || string(b) != want {
		t.Fatalf("got %q, %v", b, err)
	}
	if !strings.Contains(u.Heads()[0], "upgrade: websocket") {
		t.Errorf("the upstream was asked %q", u.Heads()[0])
	}
}

// Row 30: 100-continue is passed on, and a refusal instead of it ends the connection cleanly.
func TestExpectContinue(t *testing.T) {
	u := Serve(t, func(u *Upstream, c *Conn) {
		for {
			head, ok := c.head()
			switch {
			case !ok:
				return
			case strings.HasPrefix(head, "POST /no"):
				c.Send("HTTP/1.1 417 No\r\ncontent-length: 0\r\n\r\n")
				return
			}
			c.Send("HTTP/1.1 100 Continue\r\n\r\n")
			b := make([]byte, 3)
			io.ReadFull(c.r, b)
			c.Send("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n" + string(b))
		}
	})
	p := HTTP(t, u, "proxy_100_continue: true")
	c := p.Dial()
	c.Send("POST /yes HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
	c.Read("POST").Want(t, 100)
	c.Send("abc")
	c.Read("POST").Want(t, 200, "abc")
	c = p.Dial()
	c.Send("POST /no HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
	c.Read("POST").Want(t, 417, "connection: close")
	if !c.Closed() {
		t.Error("the connection stays open though the body may or may not come")
	}
}

// Row 30: without proxy_100_continue the proxy answers by itself.
func TestContinueByOurselves(t *testing.T) {
	u := Echo(t)
	c := HTTP(t, u).Dial()
	c.Send("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
	c.Read("POST").Want(t, 100)
	c.Send("abc")
	c.Read("POST").Want(t, 200)
	if strings.Contains(u.Heads()[0], "expect:") {
		t.Error("the expectation was met and passed on all the same")
	}
}

// Row 31: a body in very small chunks arrives whole.
func TestSmallChunks(t *testing.T) {
	u := Answer(t, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
	c := HTTP(t, u).Dial()
	c.Send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n" + strings.Repeat("1\r\nx\r\n", 20000) + "0\r\n\r\n")
	c.Read("POST").Want(t, 200)
	if n := len(u.Bodies()[0]); n != 20000 {
		t.Errorf("the upstream got %d bytes", n)
	}
}

// Row 32: who is slow is told so, and does not hold the connection for ever.
func TestSlowClients(t *testing.T) {
	u := Echo(t)
	for name, c := range map[string]struct{ option, sent, details string }{
		"head":   {"request_headers_timeout: 0.05s", "GET / HTTP/1.1\r\nhost:", "request header timeout"},
		"body":   {"request_timeout: 0.05s", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc", "request timeout"},
		"stream": {"stream_idle_timeout: 0.05s", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc", "stream timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			conn := HTTP(t, u, c.option).Dial()
			conn.Send(c.sent)
			conn.Read("GET").Want(t, 408, c.details)
			if !conn.Closed() {
				t.Error("the connection stays open")
			}
		})
	}
	t.Run("idle", func(t *testing.T) {
		p := HTTP(t, u, "common_http_protocol_options: {idle_timeout: 0.05s}")
		c := p.Dial()
		c.Get("/").Want(t, 200)
		if !c.Closed() {
			t.Error("an idle connection stays open")
		}
		p.WantStat("http.http.downstream_cx_idle_timeout", 1)
	})
}

// Rows 38-41: what is matched is what is forwarded, in normal form.
func TestPathsInNormalForm(t *testing.T) {
	u := Echo(t)
	p := Start(t, Bootstrap(HTTPListener("routes:\n- {match: {prefix: /admin}, direct_response: {status: 403}}\n- {match: {prefix: /}, route: {cluster: up}}",
		"normalize_path: true", "merge_slashes: true", "path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD"), Cluster("up", u.Port)))
	for path, want := range map[string]string{
		"/a/../admin":             "403",
		"/./admin":                "403",
		"//admin":                 "403",
		"/%61dmin":                "403",
		"/a/..%2fadmin":           "403",
		"/a/%2e%2e/admin":         "403",
		"/a\\..\\admin":           "403",
		"/a/..;/admin":            "403",
		"/a/..;x=y/admin":         "403",
		"/admin;x":                "403",
		"/admin?x":                "403",
		"/a/b/../c":               "/a/c",
		"/a%7Eb":                  "/a~b",
		"/a%2e%2Eb":               "/a..b",
		"/a?b=/../c//d%zz&e=%2f;": "/a?b=/../c//d%zz&e=%2f;", // row 49: a query is never touched
		"/a%00b":                  "400",
	} {
		r := p.Dial().Get(path)
		got := strconv.Itoa(r.Status)
		if r.Status == 200 {
			got = strings.Fields(r.Body)[1]
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}

// Row 46: twins of names by underscore are dropped or refused where that is configured.
func TestUnderscores(t *testing.T) {
	u := Echo(t)
	send := func(option string) *Response {
		return HTTP(t, u, option).Dial().Get("/", "x_user_id: evil", "x-user-id: good")
	}
	if r := send("common_http_protocol_options: {headers_with_underscores_action: DROP_HEADER}").Want(t, 200); strings.Contains(r.Body, "evil") || !strings.Contains(r.Body, "good") {
		t.Errorf("drop: %q", r.Body)
	}
	send("common_http_protocol_options: {headers_with_underscores_action: REJECT_REQUEST}").Want(t, 400)
	if r := send("").Want(t, 200); !strings.Contains(r.Body, "evil") {
		t.Errorf("default: %q", r.Body)
	}
}

// Row 47: what only we may say is not taken from outside.
func TestHeadersOfTrust(t *testing.T) {
	u := Echo(t)
	r := HTTP(t, u, "use_remote_address: true", "xff_num_trusted_hops: 0").Dial().Get("/",
		"x-envoy-internal: true", "x-envoy-original-path: /admin", "x-envoy-retry-on: 5xx", "x-envoy-max-retries: 99", "x-envoy-upstream-rq-timeout-ms: 1",
		"x-envoy-expected-rq-timeout-ms: 1", "x-envoy-decorator-operation: x", "x-envoy-external-address: 9.9.9.9", "x-forwarded-proto: https", "x-forwarded-for: 8.8.8.8",
		"x-envoy-downstream-service-cluster: admin", "x-request-id: forged").Want(t, 200)
	for _, gone := range []string{"x-envoy-internal", "/admin", "x-envoy-retry-on", "x-envoy-max-retries", "x-envoy-upstream-rq-timeout-ms", "9.9.9.9",
		"x-envoy-decorator-operation", "x-envoy-downstream-service-cluster", "forged", "x-forwarded-proto: https"} {
		if strings.Contains(r.Body, gone) {
			t.Errorf("%q went through:\n%s", gone, r.Body)
		}
	}
	if !strings.Contains(r.Body, "x-forwarded-for: 8.8.8.8,127.0.0.1\r\n") {
		t.Errorf("x-forwarded-for is not completed:\n%s", r.Body)
	}
}

// Row 48: a client cannot have us drop what protects the upstream.
func TestConnectionNamesHeaders(t *testing.T) {
	u := Echo(t)
	r := HTTP(t, u, "use_remote_address: true").Dial().Get("/", "connection: authorization, x-forwarded-for, keep-alive", "authorization: secret", "keep-alive: timeout=5").Want(t, 200)
	if !strings.Contains(r.Body, "authorization: secret") || !strings.Contains(r.Body, "x-forwarded-for: 127.0.0.1") {
		t.Errorf("dropped:\n%s", r.Body)
	}
	if strings.Contains(r.Body, "keep-alive") || strings.Contains(r.Body, "connection:") {
		t.Errorf("what is for this connection only went on:\n%s", r.Body)
	}
}

// Row 42, absolute form: scheme and host of the target count, in any case.
func TestAbsoluteForm(t *testing.T) {
	u := Echo(t)
	c := HTTP(t, u).Dial()
	c.Send("GET HTTP://B.example/x?y HTTP/1.1\r\nhost: a.example\r\n\r\n")
	r := c.Read("GET").Want(t, 200)
	if !strings.HasPrefix(r.Body, "GET /x?y HTTP/1.1\r\nhost: B.example\r\n") {
		t.Errorf("forwarded:\n%s", r.Body)
	}
}

// Row 71: no header can forge a line, or break out of JSON.
func TestLogsAreEscaped(t *testing.T) {
	u := Echo(t)
	dir := t.TempDir()
	text, json := filepath.Join(dir, "text"), filepath.Join(dir, "json")
	p := HTTP(t, u, fmt.Sprintf(`access_log:
- name: text
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
    path: %s
    log_format: {text_format_source: {inline_string: "%%REQ(USER-AGENT)%% %%RESPONSE_CODE%%\n"}}
- name: json
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
    path: %s
    log_format: {json_format: {agent: "%%REQ(USER-AGENT)%%", code: "%%RESPONSE_CODE%%"}}`, text, json))
	p.Dial().Get("/", "user-agent: a\"b\\c<script>\t\xff").Want(t, 200)
	want := map[string]string{
		text: "a\"b\\c<script>\\x09\xff 200\n",
		json: `{"agent":"a\"b\\c<script>\t\u00ff","code":200}` + "\n",
	}
	for file, line := range want {
		p.Eventually("the line is written", func() bool { b, _ := os.ReadFile(file); return len(b) > 0 })
		if b, _ := os.ReadFile(file); string(b) != line {
			t.Errorf("%s: %q, want %q", filepath.Base(file), b, line)
		}
	}
}

// Row 75: clients that leave in the middle of an answer leave nothing behind.
func TestClientsThatLeave(t *testing.T) {
	body := strings.Repeat("x", 16<<20) // more than the proxy takes ahead, so that no response is whole
	u := Answer(t, "HTTP/1.1 200 OK\r\ncontent-length: "+strconv.Itoa(len(body))+"\r\n\r\n"+body)
	p := HTTP(t, u)
	for range 20 {
		c := p.Dial()
		c.Send("GET / HTTP/1.1\r\nhost: a\r\n\r\n")
		io.CopyN(io.Discard, c.r, 1000)
		c.Close()
	}
	p.WantStat("http.http.downstream_cx_active", 0)
	p.WantStat("http.http.downstream_rq_active", 0)
	p.WantStat("cluster.up.upstream_rq_active", 0)
	u.Stop() // whose answer arrived whole has left an idle connection
	p.WantStat("cluster.up.upstream_cx_active", 0)
}

// Back-pressure: a client that does not read stops its upstream, within the limits; when it reads on, all is there.
func TestClientThatDoesNotRead(t *testing.T) {
	const size = 64 << 20
	sent := make(chan int, 1)
	u := Serve(t, func(u *Upstream, c *Conn) {
		u.Take(c)
		c.Send(fmt.Sprintf("HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n", size))
		chunk := bytes.Repeat([]byte("x"), 64<<10)
		for n := 0; n < size; n += len(chunk) {
			if _, err := c.Write(chunk); err != nil {
				return
			}
			select {
			case <-sent:
			default:
			}
			sent <- n + len(chunk)
		}
	})
	p := HTTP(t, u)
	c := p.Dial()
	c.Send("GET / HTTP/1.1\r\nhost: a\r\n\r\n")
	p.Eventually("the upstream is stopped", func() bool { return p.Stat("cluster.up.upstream_flow_control_paused_reading_total") > 0 })
	r := c.Read("GET").Want(t, 200)
	if len(r.Body) != size {
		t.Errorf("got %d bytes of %d, %v", len(r.Body), size, r.Err)
	}
	if p.Stat("cluster.up.upstream_flow_control_resumed_reading_total") == 0 {
		t.Error("never resumed")
	}
}

// Back-pressure the other way: an upstream that does not read stops the client.
func TestUpstreamThatDoesNotRead(t *testing.T) {
	const size = 64 << 20
	read := make(chan bool)
	u := Serve(t, func(u *Upstream, c *Conn) {
		c.head()
		<-read
		n, _ := io.CopyN(io.Discard, c.r, size)
		c.Send(fmt.Sprintf("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n%8d", n))
	})
	p := HTTP(t, u)
	c := p.Dial()
	written := make(chan int)
	go func() {
		n, _ := fmt.Fprintf(c, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n%s", size, strings.Repeat("x", size))
		written <- n
	}()
	p.WantStat("cluster.up.upstream_rq_active", 1)
	select {
	case n := <-written:
		t.Fatalf("all %d bytes were taken though nobody reads", n)
	case read <- true:
	}
	<-written
	c.Read("POST").Want(t, 200, fmt.Sprintf("%8d", size))
}

// Every operator of the log that this proxy accepts has a value where there is one.
func TestLogOperatorsHaveValues(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	operators := []string{"DOWNSTREAM_LOCAL_ADDRESS", "DOWNSTREAM_REMOTE_ADDRESS", "DOWNSTREAM_DIRECT_REMOTE_ADDRESS", "UPSTREAM_LOCAL_ADDRESS", "UPSTREAM_HOST",
		"UPSTREAM_CLUSTER", "REQUEST_HEADERS_BYTES", "RESPONSE_HEADERS_BYTES", "CONNECTION_ID", "UPSTREAM_CONNECTION_ID", "UPSTREAM_REQUEST_ATTEMPT_COUNT",
		"UPSTREAM_WIRE_BYTES_SENT", "UPSTREAM_WIRE_BYTES_RECEIVED", "DOWNSTREAM_WIRE_BYTES_SENT", "DOWNSTREAM_WIRE_BYTES_RECEIVED", "REQUEST_DURATION",
		"RESPONSE_DURATION", "DURATION", "PROTOCOL", "RESPONSE_CODE_DETAILS", "BYTES_SENT", "BYTES_RECEIVED"}
	p := HTTP(t, Echo(t), fmt.Sprintf(`access_log:
- name: file
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
    path: %s
    log_format: {text_format_source: {inline_string: "%%%s%%\n"}}`, file, strings.Join(operators, "% %")))
	c := p.Dial()
	c.Send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc")
	c.Read("POST").Want(t, 200)
	p.Eventually("the line is written", func() bool { b, _ := os.ReadFile(file); return len(b) > 0 })
	line, _ := os.ReadFile(file)
	values := strings.Fields(string(line))
	if len(values) != len(operators) {
		t.Fatalf("%q", line)
	}
	for i, v := range values {
		if v == "-" || v == "0" && !strings.HasSuffix(operators[i], "DURATION") {
			t.Errorf("%s is %q", operators[i], v)
		}
	}
}

// Row 38, upgrades: they are routed by the path in normal form like anything else.
func TestUpgradeCannotWalkAroundARoute(t *testing.T) {
	u := Echo(t)
	p := Start(t, Bootstrap(HTTPListener("routes:\n- {match: {prefix: /admin}, direct_response: {status: 403}}\n- {match: {prefix: /}, route: {cluster: up}}",
		"normalize_path: true", "upgrade_configs: [{upgrade_type: websocket}]"), Cluster("up", u.Port)))
	c := p.Dial()
	c.Send("GET /a/../admin HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
	c.Read("GET").Want(t, 403)
	if n := len(u.Heads()); n != 0 {
		t.Errorf("the upstream got %d requests", n)
	}
}
