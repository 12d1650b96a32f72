package e2e

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// One request in each version to an upstream of each version, with and without TLS, with a body, and many at once.
func TestVersions(t *testing.T) {
	a := NewAuthority(t, t.TempDir())
	a.Issue("front", []string{"front.test"}, nil)
	own := a.Issue("back", []string{"back.test"}, nil)
	secure := &tls.Config{Certificates: []tls.Certificate{own}, NextProtos: []string{"h2", "http/1.1"}}
	for _, up := range []string{"http1", "http2", "http2-tls", "alpn", "as-downstream"} {
		for _, down := range []string{"http1", "http2", "http2-tls"} {
			t.Run(down+"-to-"+up, func(t *testing.T) {
				var u *Upstream
				more, want := "", "HTTP/2.0"
				switch {
				case up == "http1" || up == "as-downstream" && down == "http1":
					u, want = Echo(t), ""
				case up == "http2" || up == "as-downstream":
					u = Serve2(t, Echo2)
				default:
					s := &http2.Server{}
					u = Serve(t, OverTLS(secure, func(u *Upstream, c *Conn) {
						s.ServeConn(c.Conn, &http2.ServeConnOpts{Handler: http.HandlerFunc(Echo2), BaseConfig: &http.Server{ErrorLog: quiet}})
					}))
				}
				switch up {
				case "http2":
					more = Speaks2()
				case "http2-tls":
					more = Speaks2() + "\n" + UpstreamTLS("validation_context: "+a.Trusts(""), "sni: back.test")
				case "alpn":
					more = strings.Replace(Speaks2(), "explicit_http_config: {http2_protocol_options: {}}", "auto_config: {}", 1) + "\n" + UpstreamTLS("validation_context: "+a.Trusts(""), "sni: back.test")
				case "as-downstream":
					more = strings.Replace(Speaks2(), "explicit_http_config:", "use_downstream_protocol_config:", 1)
				}
				listener := HTTPListener(All)
				if down == "http2-tls" {
					listener = Secured(listener, DownstreamTLS("alpn_protocols: [h2, http/1.1], tls_certificates: ["+a.Source("front")+"]", ""))
				}
				p := Start(t, Bootstrap(listener, Cluster("up", u.Port, more)))
				var c *Client2
				switch down {
				case "http1":
					h := p.Dial()
					for range 3 {
						if r := h.Get("/path"); r.Status != 200 || !strings.HasPrefix(r.Body, "GET ") || !strings.Contains(r.Body, "/path") || want != "" && r.Header.Get("x-proto") != want {
							t.Fatalf("%d %q %v", r.Status, r.Body, r.Header)
						}
					}
					return
				case "http2":
					c = Dial2(t, p.Address())
				default:
					n := DialTLS(t, p.Address(), TLS2(&tls.Config{RootCAs: a.Pool(), ServerName: "front.test"}))
					c = Over2(t, n.Conn, p.Address())
				}
				for range 3 {
					r := c.Get2("/path", "cookie: a=1", "cookie: b=2", "x-one: 1")
					if r.Err != nil || r.Status != 200 || !strings.HasPrefix(r.Body, "GET ") || !strings.Contains(r.Body, "/path") || !strings.Contains(r.Body, "cookie: a=1; b=2\n") && !strings.Contains(r.Body, "cookie: a=1; b=2\r\n") {
						t.Fatalf("%v %d %q", r.Err, r.Status, r.Body)
					}
				}
				body := strings.Repeat("0123456789", 30_000)
				if r := c.Do("POST", "/", strings.NewReader(body)); r.Err != nil || !strings.HasSuffix(r.Body, "body 300000") {
					t.Errorf("%v %d %q", r.Err, r.Status, r.Body)
				}
				var all sync.WaitGroup
				for range 100 {
					all.Go(func() {
						if r := c.Get2("/many"); r.Err != nil || r.Status != 200 {
							t.Errorf("%v %d", r.Err, r.Status)
						}
					})
				}
				all.Wait()
				if n := p.Stat("http.http.downstream_cx_http2_total"); n != 1 {
					t.Errorf("%d connections of HTTP/2", n)
				}
				if n := p.Stat("http.http.downstream_rq_http2_total"); n != 104 {
					t.Errorf("%d requests of HTTP/2", n)
				}
				p.WantStat("http.http.downstream_rq_active", 0)
				p.WantStat("cluster.up.upstream_rq_active", 0)
			})
		}
	}
}

// Bodies of many sizes in both directions at once, through windows that are much smaller, come as they were sent.
func TestBodiesOverHTTP2(t *testing.T) {
	u := Serve2(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		io.Copy(flushing{w}, r.Body)
		w.Header().Set(http.TrailerPrefix+"x-end", "yes")
	})
	p := Start(t, Bootstrap(HTTPListener(All), Cluster("up", u.Port, Speaks2())))
	c := Dial2(t, p.Address())
	var all sync.WaitGroup
	for i, size := range []int{0, 1, 100, 16383, 16384, 16385, 65535, 65536, 200_000, 1_000_000, 5_000_000} {
		all.Go(func() {
			body := make([]byte, size)
			random := rand.NewChaCha8([32]byte{byte(i)})
			random.Read(body)
			r := c.Do("POST", "/", bytes.NewReader(body))
			if r.Err != nil || r.Body != string(body) || r.Trailer.Get("x-end") != "yes" {
				t.Errorf("%d bytes: %v, %d came back, trailers %v", size, r.Err, len(r.Body), r.Trailer)
			}
		})
	}
	all.Wait()
	p.WantStat("http.http.downstream_rq_active", 0)
	if n := p.Stat("cluster.up.upstream_cx_total"); n != 1 {
		t.Errorf("%d upstream connections", n)
	}
}

// flushing sends every piece on.
type flushing struct{ w http.ResponseWriter }

func (f flushing) Write(b []byte) (int, error) {
	n, err := f.w.Write(b)
	f.w.(http.Flusher).Flush()
	return n, err
}

// A stream that the client resets is reset upstream, and the connections serve on.
func TestResetsArePassedOn(t *testing.T) {
	begun, ended := make(chan struct{}, 1), make(chan struct{}, 1)
	u := Serve2(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			begun <- struct{}{}
			<-r.Context().Done()
			ended <- struct{}{}
		}
	})
	p := Start(t, Bootstrap(HTTPListener(All), Cluster("up", u.Port, Speaks2())))
	f := DialFrames(t, p.Address())
	f.Head(1, true, Get("/wait")...)
	<-begun
	f.must(f.WriteRSTStream(1, http2.ErrCodeCancel))
	<-ended
	f.Head(3, true, Get("/")...)
	if h := f.Next(http2.FrameHeaders, 3).(*http2.MetaHeadersFrame); h.PseudoValue("status") != "200" {
		t.Errorf("%v", h)
	}
	p.WantStat("http.http.downstream_rq_rx_reset", 1)
	p.WantStat("cluster.up.upstream_rq_tx_reset", 1)
	if n := p.Stat("cluster.up.upstream_cx_total"); n != 1 {
		t.Errorf("%d upstream connections", n)
	}
}

// A stream that the upstream resets before its answer becomes a 503; after it, the client's stream is reset; the client's other streams do
// not notice.
func TestUpstreamResets(t *testing.T) {
	u := Serve2(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/late" {
			w.WriteHeader(200)
			io.WriteString(flushing{w}, "something")
		}
		if r.URL.Path != "/" {
			panic(http.ErrAbortHandler)
		}
	})
	p := Start(t, Bootstrap(HTTPListener(All), Cluster("up", u.Port, Speaks2())))
	c := Dial2(t, p.Address())
	if r := c.Get2("/early"); r.Status != 503 || r.Body != "upstream connect error or disconnect/reset before headers. reset reason: remote reset" {
		t.Errorf("%d %q", r.Status, r.Body)
	}
	if r := c.Get2("/late"); r.Err == nil {
		t.Errorf("an answer that broke off looks whole: %q", r.Body)
	}
	if r := c.Get2("/"); r.Status != 200 {
		t.Errorf("%d %v", r.Status, r.Err)
	}
	if n := p.Stat("http.http.downstream_cx_total"); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// An upstream that goes says so, and nothing is lost: what it has not looked at goes elsewhere, what it has is waited for.
func TestGoAwayLosesNothing(t *testing.T) {
	var mu sync.Mutex
	served := map[net.Addr]int{}
	u := Serve(t, func(u *Upstream, c *Conn) {
		s := &http2.Server{}
		base := &http.Server{ErrorLog: quiet}
		s.ServeConn(c.Conn, &http2.ServeConnOpts{BaseConfig: base, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			served[c.RemoteAddr()]++
			n := served[c.RemoteAddr()]
			mu.Unlock()
			if n == 20 {
				w.Header().Set("connection", "close") // x/net sends GOAWAY for it
			}
		})})
	})
	p := Start(t, Bootstrap(HTTPListener(All), Cluster("up", u.Port, Speaks2())))
	c := Dial2(t, p.Address())
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				if r := c.Get2("/"); r.Status != 200 {
					t.Errorf("%d %v", r.Status, r.Err)
				}
			}
		})
	}
	all.Wait()
	if n := p.Stat("cluster.up.upstream_cx_close_notify"); n == 0 {
		t.Error("no upstream has gone")
	}
}

// Interim answers and trailers cross versions.
func TestInterimAndTrailers(t *testing.T) {
	u := Serve2(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("link", "</a>")
		w.WriteHeader(103)
		w.Header().Set("trailer", "x-sum")
		w.WriteHeader(200)
		io.WriteString(flushing{w}, "body")
		w.Header().Set("x-sum", "42")
	})
	p := Start(t, Bootstrap(HTTPListener(All, "http_protocol_options: {enable_trailers: true}"), Cluster("up", u.Port, Speaks2())))
	h := p.Dial()
	h.Send("GET / HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: close\r\n\r\n")
	if r := h.Read("GET"); r.Status != 103 {
		t.Fatalf("%d", r.Status)
	}
	if text, err := h.Rest(); !strings.HasPrefix(text, "HTTP/1.1 200 ") || !strings.HasSuffix(text, "\r\n\r\n4\r\nbody\r\n0\r\nx-sum: 42\r\n\r\n") {
		t.Errorf("%q %v", text, err)
	}
	if r := Dial2(t, p.Address()).Get2("/"); r.Status != 200 || r.Body != "body" || r.Trailer.Get("x-sum") != "42" {
		t.Errorf("%d %q %v %v", r.Status, r.Body, r.Trailer, r.Err)
	}
}

// WebSocket's upgrade crosses versions: extended CONNECT (RFC 8441) on either side is an upgrade on the other.
func TestWebSocketAcrossVersions(t *testing.T) {
	t.Run("http2-to-http1", func(t *testing.T) {
		u := Serve(t, func(u *Upstream, c *Conn) {
			head, _ := c.head()
			if !strings.Contains(strings.ToLower(head), "upgrade: websocket") || !strings.HasPrefix(head, "GET /chat ") {
				t.Errorf("%q", head)
			}
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n")
			io.Copy(c, c.r)
		})
		p := Start(t, Bootstrap(HTTPListener(All, "upgrade_configs: [{upgrade_type: websocket}]", "http2_protocol_options: {allow_connect: true}"), Cluster("up", u.Port)))
		f := DialFrames(t, p.Address())
		f.Head(1, false, ":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":authority", "a", ":path", "/chat")
		if h := f.Next(http2.FrameHeaders, 1).(*http2.MetaHeadersFrame); h.PseudoValue("status") != "200" || h.StreamEnded() {
			t.Fatalf("%v", h)
		}
		for _, text := range []string{"hello", "again"} {
			f.must(f.WriteData(1, false, []byte(text)))
			if d := f.Next(http2.FrameData, 1).(*http2.DataFrame); string(d.Data()) != text {
				t.Errorf("%q", d.Data())
			}
		}
		f.must(f.WriteData(1, true, nil))
		for d := f.Next(http2.FrameData, 1).(*http2.DataFrame); !d.StreamEnded(); d = f.Next(http2.FrameData, 1).(*http2.DataFrame) {
		}
		p.WantStat("http.http.downstream_cx_upgrades_active", 0)
		p.WantStat("http.http.downstream_rq_active", 0)
	})
	t.Run("http1-to-http2", func(t *testing.T) {
		u := Serve(t, func(u *Upstream, c *Conn) {
			preface := make([]byte, len(http2.ClientPreface))
			io.ReadFull(c.r, preface)
			f := FramesOver(t, buffered{c.Conn, c.r})
			f.must(f.WriteSettings(http2.Setting{ID: http2.SettingEnableConnectProtocol, Val: 1}))
			h := f.Next(http2.FrameHeaders, 0).(*http2.MetaHeadersFrame)
			if h.PseudoValue("method") != "CONNECT" || h.PseudoValue("protocol") != "websocket" || h.PseudoValue("path") != "/chat" {
				t.Errorf("%v", h.Fields)
			}
			f.must(f.WriteHeaders(http2.HeadersFrameParam{StreamID: h.StreamID, BlockFragment: f.Block(":status", "200"), EndHeaders: true}))
			d := f.Next(http2.FrameData, h.StreamID).(*http2.DataFrame)
			f.must(f.WriteData(h.StreamID, false, bytes.Clone(d.Data())))
			f.Next(http2.FrameData, h.StreamID)
			f.must(f.WriteData(h.StreamID, true, nil))
			u.heldOpen()
		})
		p := Start(t, Bootstrap(HTTPListener(All, "upgrade_configs: [{upgrade_type: websocket}]"), Cluster("up", u.Port, Speaks2("allow_connect: true"))))
		c := p.Dial()
		c.Send("GET /chat HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n")
		head, ok := c.head()
		if !ok || !strings.HasPrefix(head, "HTTP/1.1 101 ") || !strings.Contains(head, "upgrade: websocket\r\n") {
			t.Fatalf("%q", head)
		}
		c.Send("hello")
		b := make([]byte, 5)
		if _, err := io.ReadFull(c.r, b); err != nil || string(b) != "hello" {
			t.Errorf("%q %v", b, err)
		}
		c.Conn.(*net.TCPConn).CloseWrite()
		if rest, err := io.ReadAll(c.r); len(rest) > 0 || err != nil {
			t.Errorf("%q %v", rest, err)
		}
	})
}

// Draining asks clients to go without losing what they have asked.
func TestDrainOverHTTP2(t *testing.T) {
	hold := make(chan struct{})
	u := Serve2(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			<-hold
		}
		fmt.Fprint(w, "whole")
	})
	p := Start(t, Bootstrap(HTTPListener(All, "drain_timeout: 0.05s", "common_http_protocol_options: {max_requests_per_connection: 2}"), Cluster("up", u.Port, Speaks2())))
	f := DialFrames(t, p.Address())
	f.Head(1, true, Get("/wait")...)
	f.Head(3, true, Get("/")...)
	if g := f.Next(http2.FrameGoAway, 0).(*http2.GoAwayFrame); g.LastStreamID != 1<<31-1 || g.ErrCode != http2.ErrCodeNo {
		t.Errorf("%v", g)
	}
	f.Head(5, true, Get("/")...) // it was on its way
	if g := f.Next(http2.FrameGoAway, 0).(*http2.GoAwayFrame); g.LastStreamID != 5 {
		t.Errorf("%v", g)
	}
	close(hold)
	if d := f.Next(http2.FrameData, 1).(*http2.DataFrame); string(d.Data()) != "whole" {
		t.Errorf("%q", d.Data())
	}
	if fr := f.Next(http2.FrameRSTStream, 0); fr != nil {
		t.Errorf("%v", fr)
	}
}

// buffered reads from where a part of what came is already.
type buffered struct {
	net.Conn
	r io.Reader
}

func (b buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

// A connection that nobody uses is closed in its time though its peer is asked, and answers, again and again. Then it is not asked any more:
// nobody is said to have been silent when the time to answer is over.
func TestIdleThoughAsked(t *testing.T) {
	u := Serve2(t, Echo2)
	p := Start(t, Bootstrap(HTTPListener(All), Cluster("up", u.Port, `typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions,
    common_http_protocol_options: {idle_timeout: 0.1s}, explicit_http_config: {http2_protocol_options: {connection_keepalive: {interval: 0.01s, timeout: 1s, interval_jitter: {value: 0}}}}}}`)))
	n := int64(0)
	for began := time.Now(); time.Since(began) < 1500*time.Millisecond; { // the first connection's time to answer is over
		Dial2(t, p.Address()).Get2("/").Want(t, 200)
		n++
		p.WantStat("cluster.up.upstream_cx_idle_timeout", n)
	}
	p.WantStat("cluster.up.upstream_cx_total", n)
	p.WantStat("cluster.up.upstream_cx_active", 0)
	p.WantStat("cluster.up.http2.keepalive_timeout", 0)
}

// A peer of whom nothing was heard for long is asked before it is given another stream, though it has one.
func TestAskedBeforeAnotherStream(t *testing.T) {
	u := Serve(t, func(u *Upstream, c *Conn) {
		preface := make([]byte, len(http2.ClientPreface))
		io.ReadFull(c.r, preface)
		f := FramesOver(t, buffered{c.Conn, c.r})
		f.must(f.WriteSettings())
		pings := 0
		for streams := 0; streams < 2; {
			switch fr, _ := f.ReadFrame(); fr := fr.(type) {
			case nil:
				return
			case *http2.PingFrame:
				pings++
			case *http2.MetaHeadersFrame:
				streams++
				f.must(f.WriteHeaders(http2.HeadersFrameParam{StreamID: fr.StreamID, BlockFragment: f.Block(":status", "200", "x-pings", fmt.Sprint(pings)), EndHeaders: true}))
			}
		}
		u.heldOpen()
	})
	p := Start(t, Bootstrap(HTTPListener(All), Cluster("up", u.Port, Speaks2("connection_keepalive: {timeout: 20s, connection_idle_interval: 0.01s}"))))
	f := DialFrames(t, p.Address())
	pings := func(id uint32) string {
		f.Head(id, true, Get("/")...)
		for _, field := range f.Next(http2.FrameHeaders, id).(*http2.MetaHeadersFrame).RegularFields() {
			if field.Name == "x-pings" {
				return field.Value
			}
		}
		return "none"
	}
	if n := pings(1); n != "0" {
		t.Errorf("asked %s times before the first stream", n)
	}
	<-time.After(50 * time.Millisecond) // the upstream says nothing
	if n := pings(3); n != "1" {
		t.Errorf("asked %s times before the second stream", n)
	}
}
