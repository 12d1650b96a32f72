package compressor_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/weftmesh/weft/test/e2e"
)

const message = "compressor.v3.Compressor"

// library is a library in YAML, named as its coding.
func library(name, fields string) string {
	return fmt.Sprintf(`compressor_library: {name: %s, typed_config: {"@type": type.googleapis.com/envoy.extensions.compression.%s.compressor.v3.%s, %s}}`,
		name, name, strings.ToUpper(name[:1])+name[1:], fields)
}

func compressor(name, fields string) string {
	return e2e.Filter(name, message, library(name, "")+", "+fields)
}

// plain decodes a body.
func plain(t *testing.T, coding, body string) string {
	t.Helper()
	var r io.Reader = strings.NewReader(body)
	var err error
	switch coding {
	case "gzip":
		r, err = gzip.NewReader(r)
	case "br":
		r = brotli.NewReader(r)
	case "zstd":
		r, err = zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
	}
	if err != nil {
		t.Fatalf("%s: %v of %q", coding, err, body)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Errorf("%s: %v after %d bytes", coding, err, len(b))
	}
	return string(b)
}

const text = "It is the same again and again and again and again and again and again."

func sized(fields string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\ncontent-length: %d\r\n%s\r\n%s", len(text), fields, text)
}

// Every coding, of responses that come in every way.
func TestResponses(t *testing.T) {
	long := strings.Repeat(text, 5000)
	for _, coding := range []string{"gzip", "br", "zstd"} {
		name := map[string]string{"br": "brotli"}[coding]
		if name == "" {
			name = coding
		}
		for _, c := range []struct{ answer, want string }{
			{sized("content-type: text/html\r\n"), text},
			{fmt.Sprintf("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n%s\r\n%x\r\n%s\r\n0\r\nx-t: 1\r\n\r\n", text[:5], len(text)-5, text[5:]), text},
			{"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + long, long},
			{fmt.Sprintf("HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s", len(long), long), long},
			{"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", ""},
		} {
			p := e2e.Filtered(t, e2e.Answer(t, c.answer), compressor(name, "response_direction_config: {}"), e2e.All)
			conn := p.Dial()
			for range 2 { // the second with a coder that was used before
				r := conn.Get("/", "accept-encoding: "+coding).Want(t, 200, "content-encoding: "+coding, "vary: Accept-Encoding", "content-length: ", "transfer-encoding: ")
				if got := plain(t, coding, r.Body); got != c.want || r.Err != nil || len(c.want) > 1000 && len(r.Body) > len(c.want)/4 {
					t.Errorf("%s: %d bytes of %d, %v, from %.40q", coding, len(got), len(c.want), r.Err, c.answer)
				}
				if strings.HasPrefix(c.answer, "HTTP/1.1 200 OK\r\nconnection") {
					conn = p.Dial()
				}
			}
			p.WantStat("http.http.compressor."+name+"."+name+".response.compressed", 2)
			p.WantStat("http.http.compressor."+name+"."+name+".header_compressor_used", 2)
			p.WantStat("http.http.compressor."+name+"."+name+".response.total_uncompressed_bytes", int64(2*len(c.want)))
		}
	}
}

// What is not compressed, and what caches are told of it.
func TestLeftAlone(t *testing.T) {
	const vary = "vary: Accept-Encoding"
	for _, c := range []struct{ fields, request, answer, vary string }{
		{"", "x: y", sized(""), vary},
		{"", "accept-encoding: br", sized(""), vary},
		{"", "accept-encoding: GZIP", sized(""), vary},
		{"", "accept-encoding: x-gzip", sized(""), vary},
		{"", "accept-encoding: gzip;q=0", sized(""), vary},
		{"", "accept-encoding: identity, gzip;q=0.5", sized(""), vary},
		{"", "accept-encoding: gzip", sized("content-type: image/png\r\n"), "vary: "},
		{"", "accept-encoding: gzip", sized("content-encoding: br\r\n"), "vary: "},
		{"", "accept-encoding: gzip", sized("cache-control: private, No-Transform\r\n"), "vary: "},
		{"", "accept-encoding: gzip", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", "vary: "},
		{"", "accept-encoding: gzip", "HTTP/1.1 204 OK\r\n\r\n", vary},
		{"", "accept-encoding: gzip", "HTTP/1.1 304 OK\r\netag: \"a\"\r\n\r\n", vary},
		{"common_config: {enabled: {default_value: false}}", "accept-encoding: gzip", sized(""), "vary: "},
		{"common_config: {min_content_length: 100}", "accept-encoding: gzip", sized(""), "vary: "},
		{"common_config: {content_type: [a/b]}", "accept-encoding: gzip", sized("content-type: text/html\r\n"), "vary: "},
		{"common_config: {content_type_matcher: [{prefix: text/}]}", "accept-encoding: gzip", sized("content-type: TEXT/html\r\n"), "vary: "},
		{"disable_on_etag_header: true", "accept-encoding: gzip", sized("etag: \"a\"\r\n"), "vary: "},
		{"uncompressible_response_codes: [206]", "accept-encoding: gzip", strings.Replace(sized(""), "200", "206", 1), "vary: "},
	} {
		p := e2e.Filtered(t, e2e.Answer(t, c.answer), compressor("gzip", "response_direction_config: {"+c.fields+"}"), e2e.All)
		r := p.Dial().Get("/", c.request)
		r.Want(t, r.Status, c.vary)
		if strings.Contains(r.Header.Get("content-encoding"), "gzip") || r.Body != "" && r.Body != text && r.Body != "abc" {
			t.Errorf("%s %s: %s%q", c.fields, c.request, r.Head, r.Body)
		}
		p.WantStat("http.http.compressor.gzip.gzip.response.not_compressed", 1)
	}
}

// What becomes of the head of a response that is compressed.
func TestHeads(t *testing.T) {
	for _, c := range []struct{ fields, answer, want string }{
		{"", "etag: \"a\"\r\n", "etag: "},
		{"", "etag: W/\"a\"\r\n", "etag: W/\"a\""},
		{"weaken_etag_on_compress: true, disable_on_etag_header: true", "etag: \"a\"\r\n", "etag: W/\"a\""},
		{"", "vary: Origin\r\n", "vary: Origin, Accept-Encoding"},
		{"", "vary: Origin, Accept-Encoding\r\n", "vary: Origin, Accept-Encoding"},
		{"status_header_enabled: true", "", "x-envoy-compression-status: gzip;Compressed;OriginalLength=71"},
		{"common_config: {content_type_matcher: [{exact: a/b}]}", "content-type: a/b; c=d\r\n", "content-type: a/b; c=d"},
		{"", "content-type: TEXT/HTML;charset=utf-8\r\n", "content-type: TEXT/HTML;charset=utf-8"},
	} {
		p := e2e.Filtered(t, e2e.Answer(t, sized(c.answer)), compressor("gzip", "response_direction_config: {"+c.fields+"}"), e2e.All)
		r := p.Dial().Get("/", "accept-encoding: gzip").Want(t, 200, "content-encoding: gzip", c.want)
		if got := plain(t, "gzip", r.Body); got != text {
			t.Errorf("%s: %q", c.fields, got)
		}
	}
	p := e2e.Filtered(t, e2e.Answer(t, sized("")), compressor("gzip", "response_direction_config: {}"), e2e.All)
	p.Dial().Send("HEAD / HTTP/1.1\r\nhost: a\r\naccept-encoding: gzip\r\n\r\n").Read("HEAD").Want(t, 200, "content-length: 71", "vary: Accept-Encoding", "content-encoding: ")
}

// Several compressors share a choice.
func TestChoice(t *testing.T) {
	chain := func(first string) string {
		return compressor("gzip", "") + "\n" + compressor("brotli", first) + "\n" + compressor("zstd", "")
	}
	for _, c := range []struct{ accept, first, coding string }{
		{"gzip, br", "", "gzip"},
		{"br, gzip", "", "br"},
		{"gzip, br, zstd", "choose_first: true", "br"},
		{"gzip;q=0.9, br", "", "br"},
		{"gzip, br;q=0.9", "choose_first: true", "gzip"},
		{"*", "", "gzip"},
		{"gzip;q=0, *", "", "br"},
		{"gzip;q=0.1, *;q=0.2", "", "gzip"},
		{"identity, gzip", "", ""},
		{"identity;q=0.5, gzip;q=0.6", "", "gzip"},
		{"gzip;q=x, br;q=0.3", "", "br"},
		{"gzip;level=1;q=0.2, br", "", "gzip"},
		{" zstd ; q = 0.5 , deflate", "", "zstd"},
		{"gzip;Q=.5, zstd;q=1e0", "", "zstd"},
		{"gzip;q=nan", "", ""},
		{"gzip;q=-1", "", ""},
		{"deflate", "", ""},
		{"", "", ""},
	} {
		p := e2e.Filtered(t, e2e.Answer(t, sized("")), chain(c.first), e2e.All)
		r := p.Dial().Get("/", "accept-encoding: "+c.accept)
		if got := r.Header.Get("content-encoding"); got != c.coding || plain(t, c.coding, r.Body) != text {
			t.Errorf("%s: %q, want %q", c.accept, got, c.coding)
		}
	}
	p := e2e.Filtered(t, e2e.Answer(t, sized("")), chain(""), e2e.All)
	c := p.Dial()
	c.Get("/", "accept-encoding: br;q=0.1", "accept-encoding: zstd;q=0.2").Want(t, 200, "content-encoding: zstd")
	c.Get("/").Want(t, 200, "content-encoding: ")
	c.Get("/", "accept-encoding: br").Want(t, 200, "content-encoding: br")
	p.WantStat("http.http.compressor.gzip.gzip.header_compressor_overshadowed", 2)
	p.WantStat("http.http.compressor.gzip.gzip.no_accept_header", 1)
	p.WantStat("http.http.compressor.brotli.brotli.header_compressor_used", 1)
}

// Compressors that are for different types do not stand in one another's way.
func TestChoiceByType(t *testing.T) {
	chain := compressor("gzip", "response_direction_config: {common_config: {content_type: [a/b]}}") + "\n" + compressor("brotli", "response_direction_config: {common_config: {content_type: [a/c]}}")
	for kind, coding := range map[string]string{"a/b": "gzip", "a/c": "br", "a/d": ""} {
		p := e2e.Filtered(t, e2e.Answer(t, sized("content-type: "+kind+"\r\n")), chain, e2e.All)
		p.Dial().Get("/", "accept-encoding: gzip, br").Want(t, 200, "content-encoding: "+coding)
	}
}

// Requests are compressed if that is asked for.
func TestRequests(t *testing.T) {
	for _, c := range []struct {
		request    string
		compressed bool
	}{
		{fmt.Sprintf("content-length: %d\r\n\r\n%s", len(text), text), true},
		{fmt.Sprintf("transfer-encoding: chunked\r\n\r\n5\r\n%s\r\n%x\r\n%s\r\n0\r\nx-t: 1\r\n\r\n", text[:5], len(text)-5, text[5:]), true},
		{"content-length: 3\r\n\r\nabc", false},
		{fmt.Sprintf("content-length: %d\r\ncontent-encoding: br\r\n\r\n%s", len(text), text), false},
		{fmt.Sprintf("content-length: %d\r\ncontent-type: image/png\r\n\r\n%s", len(text), text), false},
	} {
		u := e2e.Echo(t)
		p := e2e.Filtered(t, u, compressor("gzip", "request_direction_config: {}"), e2e.All)
		p.Dial().Send("POST / HTTP/1.1\r\nhost: a\r\n"+c.request).Read("POST").Want(t, 200)
		head, body := u.Heads()[0], u.Bodies()[0]
		if got := strings.Contains(head, "content-encoding: gzip\r\n"); got != c.compressed || got && (plain(t, "gzip", body) != text || strings.Contains(head, "content-length")) {
			t.Errorf("%q: upstream got %s%q", c.request, head, body)
		}
	}
}

// Whoever waits for a part of a stream gets it.
func TestStreams(t *testing.T) {
	more := make(chan bool)
	u := e2e.Serve(t, func(u *e2e.Upstream, c *e2e.Conn) {
		u.Take(c)
		c.Send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-type: text/plain\r\n\r\n5\r\nevent\r\n")
		<-more
		c.Send("5\r\nother\r\n0\r\n\r\n")
	})
	p := e2e.Filtered(t, u, compressor("gzip", ""), e2e.All)
	request, _ := http.NewRequest("GET", "http://"+p.Address(), nil)
	request.Header.Set("accept-encoding", "gzip")
	response, err := (&http.Transport{}).RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	z, err := gzip.NewReader(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	event := make([]byte, 5)
	if _, err := io.ReadFull(z, event); err != nil || string(event) != "event" {
		t.Errorf("%q, %v", event, err)
	}
	close(more)
	if rest, err := io.ReadAll(z); err != nil || string(rest) != "other" {
		t.Errorf("%q, %v", rest, err)
	}
}

// What a route says.
func TestOverrides(t *testing.T) {
	route := func(path, fields string) string {
		return "- {match: {prefix: " + path + "}, route: {cluster: up}, " + e2e.Override("gzip", "compressor.v3.CompressorPerRoute", fields) + "}\n"
	}
	routes := "routes:\n" + route("/off", "disabled: true") + route("/on", "overrides: {response_direction_config: {remove_accept_encoding_header: true}}") +
		route("/br", "overrides: {"+library("brotli", "")+"}") + "- {match: {prefix: /}, route: {cluster: up}}"
	for _, c := range []struct{ enabled, path, coding, upstream string }{
		{"true", "/", "gzip", "gzip, br"},
		{"true", "/off", "", "gzip, br"},
		{"false", "/", "", "gzip, br"},
		{"false", "/on", "gzip", ""},
		{"true", "/br", "br", "gzip, br"},
	} {
		u := e2e.Answer(t, sized(""))
		p := e2e.Filtered(t, u, compressor("gzip", "response_direction_config: {common_config: {enabled: {default_value: "+c.enabled+"}}}"), routes)
		r := p.Dial().Get(c.path, "accept-encoding: gzip, br").Want(t, 200, "content-encoding: "+c.coding)
		if plain(t, c.coding, r.Body) != text || strings.Contains(u.Heads()[0], "accept-encoding: gzip, br") != (c.upstream != "") {
			t.Errorf("%+v: %q, upstream got %s", c, r.Body, u.Heads()[0])
		}
	}
}

// Clients that go away in the middle leave nothing behind: the next one's body is right.
func TestGone(t *testing.T) {
	block := make(chan bool)
	u := e2e.Serve(t, func(u *e2e.Upstream, c *e2e.Conn) {
		u.Take(c)
		c.Send("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + text)
		<-block
	})
	p := e2e.Filtered(t, u, compressor("zstd", ""), e2e.All)
	for range 3 {
		c := p.Dial()
		c.Send("GET / HTTP/1.1\r\nhost: a\r\naccept-encoding: zstd\r\n\r\n")
		io.ReadFull(c.Conn, make([]byte, 200))
		c.Conn.(*net.TCPConn).SetLinger(0)
		c.Close()
		p.WantStat("http.http.downstream_rq_active", 0)
	}
	close(block)
	if r := p.Dial().Get("/", "accept-encoding: zstd"); plain(t, "zstd", r.Body) != text {
		t.Errorf("%q", r.Body)
	}
}

// Answers of ours are compressed like any other, once.
func TestOwnAnswers(t *testing.T) {
	p := e2e.Filtered(t, e2e.Echo(t), compressor("gzip", "")+"\n"+compressor("brotli", ""), `routes: [{match: {prefix: /}, direct_response: {status: 404, body: {inline_string: "`+text+`"}}}]`)
	r := p.Dial().Get("/", "accept-encoding: gzip").Want(t, 404, "content-encoding: gzip")
	if got := plain(t, "gzip", r.Body); got != text {
		t.Errorf("%q", got)
	}
}
