package decompressor_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/weftmesh/weft/test/e2e"
)

// decompressor is the filter in YAML. fields are its own, library those of the library.
func decompressor(name, fields, library string) string {
	return e2e.Filter(name, "decompressor.v3.Decompressor", fmt.Sprintf(`decompressor_library: {name: %s, typed_config: {"@type": type.googleapis.com/envoy.extensions.compression.%s.decompressor.v3.%s, %s}}, %s`,
		name, name, strings.ToUpper(name[:1])+name[1:], library, fields))
}

// packed compresses a text.
func packed(coding, text string) string {
	var b bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "brotli", "br":
		w = brotli.NewWriter(&b)
	case "zstd":
		w, _ = zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
	}
	io.WriteString(w, text)
	w.Close()
	return b.String()
}

var codings = map[string]string{"gzip": "gzip", "brotli": "br", "zstd": "zstd"}

const text = "It is the same again and again and again and again and again and again."

// mixed does not compress to nearly nothing.
var mixed = func() string {
	var b strings.Builder
	for i := range 60_000 {
		fmt.Fprintf(&b, "%x ", i*i)
	}
	return b.String()
}()

func sized(fields, body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\ncontent-length: %d\r\n%s\r\n%s", len(body), fields, body)
}

// chunks is a body in pieces of that size.
func chunks(body string, size int) string {
	var b strings.Builder
	for len(body) > 0 {
		n := min(size, len(body))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	return b.String() + "0\r\n"
}

// Every coding, of responses that come in every way.
func TestResponses(t *testing.T) {
	for name, coding := range codings {
		field := "content-encoding: " + coding + "\r\n"
		for want, body := range map[string]string{text: packed(name, text), mixed: packed(name, mixed), "": packed(name, "")} {
			for how, answer := range map[string]string{
				"sized":    sized(field, body),
				"chunked":  "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n" + field + "\r\n" + chunks(body, 1000) + "\r\n",
				"bytes":    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n" + field + "\r\n" + chunks(body[:min(len(body), 100)], 1) + "\r\n",
				"trailers": "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n" + field + "\r\n" + chunks(body, 10_000) + "x-t: 1\r\n\r\n",
				"closed":   "HTTP/1.1 200 OK\r\nconnection: close\r\n" + field + "\r\n" + body,
			} {
				if how == "bytes" && len(body) > 100 {
					continue
				}
				p := e2e.Filtered(t, e2e.Answer(t, answer), decompressor(name, "", ""), e2e.All)
				for range 2 { // the second with a coder that was used before
					r := p.Dial().Get("/").Want(t, 200, "content-encoding: ", "content-length: *")
					if r.Body != want || r.Err != nil {
						t.Errorf("%s %s: %d bytes of %d, %v", name, how, len(r.Body), len(want), r.Err)
					}
				}
				stat := "http.http.decompressor." + name + "." + name + ".response."
				p.WantStat(stat+"total_compressed_bytes", int64(2*len(body)))
				p.WantStat(stat+"total_uncompressed_bytes", int64(2*len(want)))
			}
		}
	}
}

func TestRequests(t *testing.T) {
	for name, coding := range codings {
		body := packed(name, mixed)
		for _, request := range []string{
			fmt.Sprintf("content-length: %d\r\n\r\n%s", len(body), body),
			"transfer-encoding: chunked\r\n\r\n" + chunks(body, 7777) + "x-t: 1\r\n\r\n",
		} {
			u := e2e.Echo(t)
			p := e2e.Filtered(t, u, decompressor(name, "", ""), e2e.All)
			p.Dial().Send("POST / HTTP/1.1\r\nhost: a\r\ncontent-encoding: "+coding+"\r\n"+request).Read("POST").Want(t, 200)
			if head, got := u.Heads()[0], u.Bodies()[0]; got != mixed || strings.Contains(head, "content-encoding") || !strings.Contains(head, "\r\naccept-encoding: "+coding+"\r\n") {
				t.Errorf("%s: upstream got %s%d bytes", name, head, len(got))
			}
			p.WantStat("http.http.decompressor."+name+"."+name+".request.decompressed", 1)
		}
	}
}

// What is left as it is.
func TestLeftAlone(t *testing.T) {
	body := packed("gzip", text)
	for _, c := range []struct{ fields, answer string }{
		{"", sized("content-encoding: br\r\n", body)},
		{"", sized("content-encoding: gzip, br\r\n", body)},
		{"", sized("content-encoding: x-gzip\r\n", body)},
		{"", sized("content-encoding: gzip\r\ncache-control: no-transform\r\n", body)},
		{"", strings.Replace(sized("content-encoding: gzip\r\ncontent-range: bytes 0-9/100\r\n", body), "200", "206", 1)},
		{"response_direction_config: {common_config: {enabled: {default_value: false}}}", sized("content-encoding: gzip\r\n", body)},
		{"", sized("", body)},
	} {
		p := e2e.Filtered(t, e2e.Answer(t, c.answer), decompressor("gzip", c.fields, ""), e2e.All)
		if r := p.Dial().Get("/"); r.Body != body || !strings.Contains(c.answer, r.Header.Get("content-encoding")) {
			t.Errorf("%q: %s%q", c.answer, r.Head, r.Body)
		}
		p.WantStat("http.http.decompressor.gzip.gzip.response.not_decompressed", 1)
	}
	p := e2e.Filtered(t, e2e.Answer(t, sized("content-encoding: gzip\r\n", body)), decompressor("gzip", "", ""), e2e.All)
	p.Dial().Send("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n").Read("HEAD").Want(t, 200, "content-encoding: gzip")
	for _, head := range []string{"204 No Content", "304 Not Modified"} {
		p := e2e.Filtered(t, e2e.Answer(t, "HTTP/1.1 "+head+"\r\ncontent-encoding: gzip\r\n\r\n"), decompressor("gzip", "", ""), e2e.All)
		p.Dial().Send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").Read("GET")
		p.WantStat("http.http.decompressor.gzip.gzip.response.decompressed", 0)
	}
}

// The last coding that was applied is the first to be taken off.
func TestSeveralCodings(t *testing.T) {
	body := packed("zstd", packed("gzip", text))
	for _, field := range []string{"content-encoding: gzip, zstd\r\n", "content-encoding: gzip\r\ncontent-encoding: ZSTD\r\n"} {
		p := e2e.Filtered(t, e2e.Answer(t, sized(field, body)), decompressor("zstd", "", ""), e2e.All)
		p.Dial().Get("/").Want(t, 200, "content-encoding: gzip", packed("gzip", text))
		p = e2e.Filtered(t, e2e.Answer(t, sized(field, body)), decompressor("gzip", "", "")+"\n"+decompressor("zstd", "", ""), e2e.All)
		p.Dial().Get("/").Want(t, 200, "content-encoding: ", text)
	}
	p := e2e.Filtered(t, e2e.Answer(t, sized("content-encoding: gzip\r\n", packed("gzip", text)+packed("gzip", "more"))), decompressor("gzip", "", ""), e2e.All)
	p.Dial().Get("/").Want(t, 200, text+"more") // two members are one body (RFC 1952 §2.2)
}

func TestAdvertises(t *testing.T) {
	for _, c := range []struct{ fields, accept, want string }{
		{"", "", "gzip"},
		{"", "accept-encoding: br\r\n", "br,gzip"},
		{"", "accept-encoding: br, gzip;q=0.1, deflate\r\n", "br,deflate,gzip"},
		{"", "accept-encoding: GZIP\r\naccept-encoding: *\r\n", "GZIP,*,gzip"},
		{"request_direction_config: {advertise_accept_encoding: false}", "", ""},
		{"response_direction_config: {common_config: {enabled: {default_value: false}}}", "accept-encoding: br\r\n", "br"},
	} {
		u := e2e.Echo(t)
		e2e.Filtered(t, u, decompressor("gzip", c.fields, ""), e2e.All).Dial().Send("GET / HTTP/1.1\r\nhost: a\r\n"+c.accept+"\r\n").Read("GET").Want(t, 200)
		if head := u.Heads()[0]; c.want == "" && strings.Contains(head, "accept-encoding") || c.want != "" && !strings.Contains(head, "accept-encoding: "+c.want+"\r\n") {
			t.Errorf("%+v: %s", c, head)
		}
	}
}

// Nobody takes a broken body for a whole one, in either direction.
func TestBroken(t *testing.T) {
	for name, coding := range codings {
		body := packed(name, mixed)
		for how, broken := range map[string]string{
			"cut":      body[:len(body)-3],
			"head":     body[:1],
			"garbage":  "this is no such thing, whatever it may be called",
			"changed":  body[:1000] + "\xff\xff\xff\xff\xff\xff\xff\xff" + body[1008:],
			"trailing": body + "and more",
		} {
			field := "content-encoding: " + coding + "\r\n"
			p := e2e.Filtered(t, e2e.Answer(t, sized(field, broken)), decompressor(name, "", ""), e2e.All)
			if r := p.Dial().Get("/"); r.Status == 200 && r.Err == nil {
				t.Errorf("%s %s: a whole response of %d bytes", name, how, len(r.Body))
			}
			stat := "http.http.decompressor." + name + "." + name + "."
			if p.Stat(stat+"response.broken") != 1 && !(name != "gzip" && how == "changed") { // what is changed may look like a bomb
				t.Errorf("%s %s: not counted", name, how)
			}
			u := e2e.Echo(t)
			p = e2e.Filtered(t, u, decompressor(name, "", ""), e2e.All)
			c := p.Dial()
			c.Send(fmt.Sprintf("POST / HTTP/1.1\r\nhost: a\r\n%scontent-length: %d\r\n\r\n%s", field, len(broken), broken))
			if r := c.Read("POST"); r.Status != 400 && !(how == "changed" && r.Status == 413) {
				t.Errorf("%s %s: a request ended with %d", name, how, r.Status)
			}
			if len(u.Bodies()) != 0 {
				t.Errorf("%s %s: the upstream got a whole request", name, how)
			}
		}
	}
}

// A body that swells beyond its ratio ends, and what may be said of the ratio holds.
func TestBombs(t *testing.T) {
	bomb := strings.Repeat("x", 30<<20)
	for name, coding := range codings {
		body := packed(name, bomb)
		p := e2e.Filtered(t, e2e.Answer(t, sized("content-encoding: "+coding+"\r\n", body)), decompressor(name, "", ""), e2e.All)
		if r := p.Dial().Get("/"); r.Err == nil && r.Status == 200 || len(r.Body) > 101*len(body) {
			t.Errorf("%s: %d bytes of %d, %v", name, len(r.Body), len(body), r.Err)
		}
		p.WantStat("http.http.decompressor."+name+"."+name+".response.inflate_ratio_exceeded", 1)
		c := e2e.Filtered(t, e2e.Echo(t), decompressor(name, "", ""), e2e.All).Dial()
		c.Send(fmt.Sprintf("POST / HTTP/1.1\r\nhost: a\r\ncontent-encoding: %s\r\ncontent-length: %d\r\n\r\n%s", coding, len(body), body)).Read("POST").Want(t, 413)
	}
	p := e2e.Filtered(t, e2e.Answer(t, sized("content-encoding: gzip\r\n", packed("gzip", bomb))), decompressor("gzip", "", "max_inflate_ratio: 1032"), e2e.All)
	if r := p.Dial().Get("/"); r.Body != bomb || r.Err != nil {
		t.Errorf("%d bytes, %v", len(r.Body), r.Err)
	}
}

// Bodies that ask for more memory than there may be are refused.
func TestWindows(t *testing.T) {
	var b bytes.Buffer
	w, _ := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(32<<20), zstd.WithEncoderLevel(zstd.SpeedFastest))
	io.WriteString(w, mixed)
	w.Flush()
	w.Close()
	for coding, body := range map[string]string{"zstd": b.String(), "brotli": "\x11" + packed("brotli", text)} {
		p := e2e.Filtered(t, e2e.Answer(t, sized("content-encoding: "+codings[coding]+"\r\n", body)), decompressor(coding, "", ""), e2e.All)
		if r := p.Dial().Get("/"); r.Status == 200 && r.Err == nil {
			t.Errorf("%s: %d bytes", coding, len(r.Body))
		}
		p.WantStat("http.http.decompressor."+coding+"."+coding+".response.broken", 1)
	}
}

// Whoever waits for a part of a stream gets it.
func TestStreams(t *testing.T) {
	for name, coding := range codings {
		more := make(chan bool)
		u := e2e.Serve(t, func(u *e2e.Upstream, c *e2e.Conn) {
			u.Take(c)
			var b bytes.Buffer
			var w interface {
				io.WriteCloser
				Flush() error
			}
			switch name {
			case "gzip":
				w = gzip.NewWriter(&b)
			case "brotli":
				w = brotli.NewWriter(&b)
			case "zstd":
				w, _ = zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
			}
			io.WriteString(w, "event")
			w.Flush()
			c.Send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-encoding: " + coding + "\r\n\r\n" + b.String())
			<-more
			b.Reset()
			io.WriteString(w, "other")
			w.Close()
			c.Send(b.String())
		})
		p := e2e.Filtered(t, u, decompressor(name, "", ""), e2e.All)
		r, err := http.Get("http://" + p.Address())
		if err != nil {
			t.Fatal(err)
		}
		event := make([]byte, 5)
		if _, err := io.ReadFull(r.Body, event); err != nil || string(event) != "event" {
			t.Errorf("%s: %q, %v", name, event, err)
		}
		close(more)
		if rest, err := io.ReadAll(r.Body); err != nil || string(rest) != "other" {
			t.Errorf("%s: %q, %v", name, rest, err)
		}
		r.Body.Close()
	}
}

// What swells waits for its reader; all of it comes when he reads, and nothing is left of it when he goes.
func TestStalledReader(t *testing.T) {
	const size = 64 << 20
	body := packed("gzip", strings.Repeat("0123456789abcdef", size/16))
	p := e2e.Filtered(t, e2e.Answer(t, sized("content-encoding: gzip\r\n", body)), decompressor("gzip", "", "max_inflate_ratio: 1032"),
		"routes: [{match: {prefix: /}, route: {cluster: up, timeout: 0s}}]")
	made := func() int64 { return p.Stat("http.http.decompressor.gzip.gzip.response.total_uncompressed_bytes") }
	stalled := func(from int64) {
		last, still := int64(-1), 0
		p.Eventually("nothing swells any more", func() bool {
			if n := made(); n > from && n == last {
				still++
			} else {
				last, still = n, 0
			}
			return still > 100
		})
		if n := made() - from; n > size/2 {
			t.Errorf("%d bytes were made for a reader who takes none", n)
		}
	}
	c := p.Dial()
	c.Send("GET / HTTP/1.1\r\nhost: a\r\n\r\n")
	stalled(0)
	if r := c.Read("GET"); len(r.Body) != size || r.Err != nil || made() != size {
		t.Errorf("%d bytes, %v", len(r.Body), r.Err)
	}
	c.Send("GET / HTTP/1.1\r\nhost: a\r\n\r\n")
	stalled(size)
	c.Close()
	p.WantStat("http.http.downstream_rq_active", 0)
}

// Both ways at once, through both filters: what is compressed on one side is read on the other.
func TestBothWays(t *testing.T) {
	const compressor = `compressor_library: {name: c, typed_config: {"@type": type.googleapis.com/envoy.extensions.compression.zstd.compressor.v3.Zstd}}`
	u := e2e.Answer(t, sized("content-encoding: gzip\r\n", packed("gzip", mixed)))
	p := e2e.Filtered(t, u, e2e.Filter("c", "compressor.v3.Compressor", compressor+", request_direction_config: {}")+"\n"+
		strings.Replace(decompressor("gzip", "", ""), "name: gzip,", "name: d,", 1), e2e.All)
	r := p.Dial().Send(fmt.Sprintf("POST / HTTP/1.1\r\nhost: a\r\naccept-encoding: zstd\r\ncontent-length: %d\r\n\r\n%s", len(mixed), mixed)).Read("POST").Want(t, 200, "content-encoding: zstd")
	z, _ := zstd.NewReader(strings.NewReader(r.Body), zstd.WithDecoderConcurrency(1))
	if got, err := io.ReadAll(z); err != nil || string(got) != mixed {
		t.Errorf("%d bytes of %d, %v", len(got), len(mixed), err)
	}
	z, _ = zstd.NewReader(strings.NewReader(u.Bodies()[0]), zstd.WithDecoderConcurrency(1))
	if got, err := io.ReadAll(z); err != nil || string(got) != mixed || !strings.Contains(u.Heads()[0], "content-encoding: zstd") {
		t.Errorf("upstream: %d bytes of %d, %v", len(got), len(mixed), err)
	}
}

// More bodies at once than there is memory for take turns; none is lost, and none is passed over.
func TestMemory(t *testing.T) {
	const many = 120 // of 8 MiB each, at most 28 of which may be held
	var b bytes.Buffer
	w, _ := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(8<<20), zstd.WithEncoderLevel(zstd.SpeedFastest))
	io.WriteString(w, mixed)
	w.Flush()
	first := b.Len()
	io.WriteString(w, mixed)
	w.Close()
	body := b.String()
	more := make(chan bool)
	u := e2e.Serve(t, func(u *e2e.Upstream, c *e2e.Conn) {
		u.Take(c)
		c.Send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-encoding: zstd\r\n\r\n" + body[:first])
		<-more
		c.Send(body[first:])
	})
	p := e2e.Filtered(t, u, decompressor("zstd", "", ""), e2e.All)
	var conns []*e2e.Conn
	for range many {
		conns = append(conns, p.Dial().Send("GET / HTTP/1.1\r\nhost: a\r\n\r\n"))
	}
	p.Eventually("some wait", func() bool { return p.Stat("http.http.decompressor.zstd.zstd.response.overflow") >= many-30 })
	close(more)
	for i, c := range conns {
		if r := c.Read("GET"); r.Body != mixed+mixed || r.Err != nil {
			t.Errorf("%d: %d bytes, %v", i, len(r.Body), r.Err)
		}
	}
}
