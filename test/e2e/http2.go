package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Client2 is a client that speaks HTTP/2 by prior knowledge, on one connection.
type Client2 struct {
	*http2.ClientConn
	t       testing.TB
	address string
}

// Dial2 connects to an address.
func Dial2(t testing.TB, address string) *Client2 {
	t.Helper()
	c, err := net.DialTimeout("tcp", address, deadline)
	if err != nil {
		t.Fatal(err)
	}
	return Over2(t, c, address)
}

// Over2 speaks HTTP/2 over a connection that stands.
func Over2(t testing.TB, c net.Conn, address string) *Client2 {
	t.Helper()
	c.SetDeadline(time.Now().Add(deadline))
	t.Cleanup(func() { c.Close() })
	cc, err := (&http2.Transport{AllowHTTP: true, DisableCompression: true}).NewClientConn(c)
	if err != nil {
		t.Fatal(err)
	}
	return &Client2{cc, t, address}
}

// Get2 sends a GET and reads the answer. Fields are name: value.
func (c *Client2) Get2(path string, fields ...string) *Response {
	c.t.Helper()
	return c.Do("GET", path, nil, fields...)
}

// Do sends a request and reads the answer whole. An error of the round trip is in Err.
func (c *Client2) Do(method, path string, body io.Reader, fields ...string) *Response {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, method, "http://a.example"+path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		q.Header.Add(name, value)
	}
	r, err := c.RoundTrip(q)
	if err != nil {
		return &Response{Err: err}
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	return &Response{Status: r.StatusCode, Header: r.Header, Body: string(b), Trailer: r.Trailer, Err: err}
}

// Serve2 starts an upstream that speaks HTTP/2 by prior knowledge.
func Serve2(t testing.TB, f http.HandlerFunc) *Upstream {
	return Serve2With(t, &http2.Server{}, f)
}

// Serve2With is Serve2 with a server's own limits.
func Serve2With(t testing.TB, s *http2.Server, f http.HandlerFunc) *Upstream {
	t.Helper()
	return Serve(t, func(u *Upstream, c *Conn) {
		s.ServeConn(c.Conn, &http2.ServeConnOpts{Handler: f, BaseConfig: &http.Server{ErrorLog: quiet}})
	})
}

var quiet = log.New(io.Discard, "", 0)

// Echo2 answers with what it got, as Echo does.
func Echo2(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	w.Header().Set("x-proto", r.Proto)
	fmt.Fprintf(w, "%s %s %s\n", r.Method, r.Host, r.URL)
	for name, values := range r.Header {
		for _, v := range values {
			fmt.Fprintf(w, "%s: %s\n", strings.ToLower(name), v)
		}
	}
	fmt.Fprintf(w, "body %d", len(b))
}

// Speaks2 is YAML of a cluster whose endpoints speak HTTP/2; more is YAML of its options, in braces' inside.
func Speaks2(more ...string) string {
	return fmt.Sprintf(`typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http2_protocol_options: {%s}}}}`, strings.Join(more, ", "))
}

// Frames is a connection whose frames a test writes and reads one by one.
type Frames struct {
	*http2.Framer
	Conn    net.Conn
	t       testing.TB
	encoder *hpack.Encoder
	decoder *hpack.Decoder
	block   bytes.Buffer
}

// DialFrames connects to an address, says the preface and empty SETTINGS, and acknowledges the peer's.
func DialFrames(t testing.TB, address string, settings ...http2.Setting) *Frames {
	t.Helper()
	c, err := net.DialTimeout("tcp", address, deadline)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(deadline))
	t.Cleanup(func() { c.Close() })
	io.WriteString(c, http2.ClientPreface)
	f := FramesOver(t, c)
	f.must(f.WriteSettings(settings...))
	f.must(f.WriteSettingsAck())
	return f
}

// FramesOver reads and writes frames on a connection that stands.
func FramesOver(t testing.TB, c net.Conn) *Frames {
	f := &Frames{Framer: http2.NewFramer(c, c), Conn: c, t: t}
	f.decoder = hpack.NewDecoder(4096, nil)
	f.Framer.ReadMetaHeaders = f.decoder
	f.encoder = hpack.NewEncoder(&f.block)
	return f
}

func (f *Frames) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// Block encodes fields, given as name, value, name, value.
func (f *Frames) Block(fields ...string) []byte {
	f.block.Reset()
	for i := 0; i < len(fields); i += 2 {
		f.encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return bytes.Clone(f.block.Bytes())
}

// TableSize is how much memory the peer's decoder has, which it may have said in SETTINGS.
func (f *Frames) TableSize(bytes uint32) { f.encoder.SetMaxDynamicTableSizeLimit(bytes) }

// Head sends the head of a request.
func (f *Frames) Head(id uint32, end bool, fields ...string) {
	f.t.Helper()
	f.must(f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: f.Block(fields...), EndStream: end, EndHeaders: true}))
}

// Get is the pseudo-header fields of a GET.
func Get(path string, more ...string) []string {
	return append([]string{":method", "GET", ":scheme", "http", ":authority", "a.example", ":path", path}, more...)
}

// Next reads frames until one of that type comes, of that stream unless it is 0; nil at the end of the connection.
func (f *Frames) Next(kind http2.FrameType, id uint32) http2.Frame {
	f.t.Helper()
	for {
		fr, err := f.ReadFrame()
		if err != nil {
			if e := net.Error(nil); errors.As(err, &e) && e.Timeout() {
				f.t.Fatalf("no %v frame within %v", kind, deadline)
			}
			return nil
		}
		if fr.Header().Type == kind && (id == 0 || fr.Header().StreamID == id) {
			return fr
		}
	}
}

// TLS2 is a client's configuration that asks for HTTP/2.
func TLS2(c *tls.Config) *tls.Config {
	c = c.Clone()
	c.NextProtos = []string{"h2"}
	return c
}
