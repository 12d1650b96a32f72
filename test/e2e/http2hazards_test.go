package e2e

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// What hostile peers do with HTTP/2, and what must hold: the attack ends, memory stays flat, and another client is served meanwhile.

// besieged attacks a proxy and looks at it: attack is given connections until it says that it has had enough. flat is how many bytes of live
// heap it may cost.
func besieged(t *testing.T, p *Proxy, flat uint64, attack func(f *Frames) (enough bool)) {
	t.Helper()
	other := Dial2(t, p.Address())
	served := func() {
		t.Helper()
		if r := other.Get2("/"); r.Err != nil || r.Status != 200 {
			t.Fatalf("another client gets %d, %v", r.Status, r.Err)
		}
	}
	served()
	before := heap()
	for enough := false; !enough; served() {
		f := DialFrames(t, p.Address())
		enough = attack(f)
		f.Conn.Close()
	}
	p.WantStat("http.http.downstream_cx_http2_active", 1)
	p.WantStat("http.http.downstream_rq_active", 0)
	p.WantStat("cluster.up.upstream_rq_active", 0)
	if after := heap(); after > before+flat {
		t.Errorf("%d bytes more are live than before", after-before)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// until writes batches of frames until the peer has closed, or the number is reached; it reads meanwhile. It says how many were written and
// the error code of the GOAWAY that came, if one did.
func (f *Frames) until(most int, batch []byte, each int) (written int, code http2.ErrCode, gone bool) {
	type end struct {
		code http2.ErrCode
		gone bool
	}
	ended := make(chan end, 1)
	go func() {
		var e end
		for {
			fr, err := f.ReadFrame()
			if err != nil {
				ended <- e
				return
			}
			if g, ok := fr.(*http2.GoAwayFrame); ok && g.ErrCode != http2.ErrCodeNo {
				e = end{g.ErrCode, true}
			}
		}
	}()
	for written < most {
		if _, err := f.Conn.Write(batch); err != nil {
			break
		}
		written += each
	}
	f.Conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	e := <-ended
	return written, e.code, e.gone
}

// frame is a frame as it is on the wire.
func frame(kind http2.FrameType, flags http2.Flags, id uint32, payload []byte) []byte {
	n := len(payload)
	b := []byte{byte(n >> 16), byte(n >> 8), byte(n), byte(kind), byte(flags)}
	return append(binary.BigEndian.AppendUint32(b, id), payload...)
}

// Row 1: streams that are reset as soon as they are opened (CVE-2023-44487).
func TestRapidReset(t *testing.T) {
	var most, now atomic.Int64
	u := Serve2(t, func(w http.ResponseWriter, r *http.Request) {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer now.Add(-1)
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
		}
	})
	p := Start(t, Bootstrap(HTTPListener(All, "http2_protocol_options: {max_concurrent_streams: 100}"), Cluster("up", u.Port, Speaks2())))
	total, closed := 0, 0
	besieged(t, p, 8<<20, func(f *Frames) bool {
		block := f.Block(Get("/slow")...)
		again := f.Block(Get("/slow")...) // indexed by now
		var batch bytes.Buffer
		id := uint32(1)
		for range 2000 {
			batch.Write(frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders|http2.FlagHeadersEndStream, id, block))
			batch.Write(frame(http2.FrameRSTStream, 0, id, []byte{0, 0, 0, 8}))
			block = again
			id += 2
		}
		_, code, gone := f.until(1, batch.Bytes(), 2000)
		total += 2000
		if gone && code == http2.ErrCodeEnhanceYourCalm {
			closed++
		}
		return total >= 100_000
	})
	if closed < 40 {
		t.Errorf("%d of 50 connections were told to calm down", closed)
	}
	if n := p.Stat("http.http.downstream_rq_too_many_premature_resets"); n < 40 {
		t.Errorf("%d counted", n)
	}
	if n := most.Load(); n > 110 {
		t.Errorf("the upstream had %d at once", n)
	}
}

// Row 2: frames that make us reset streams count as the client's own resets (CVE-2025-8671).
func TestProvokedResets(t *testing.T) {
	u := Serve2(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	p := Start(t, Bootstrap(HTTPListener("routes: [{match: {path: /}, direct_response: {status: 200}}, {match: {prefix: /}, route: {cluster: up}}]"), Cluster("up", u.Port, Speaks2())))
	// The word that ends a connection is lost to who still writes when it is closed, if the system resets it: then another one has to hear it.
	attacks, told := 0, false
	besieged(t, p, 8<<20, func(f *Frames) bool {
		attacks++
		block := f.Block(Get("/slow")...)
		again := f.Block(Get("/slow")...)
		var batch bytes.Buffer
		for id := uint32(1); id < 4000; id += 2 {
			batch.Write(frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders|http2.FlagHeadersEndStream, id, block))
			batch.Write(frame(http2.FrameWindowUpdate, 0, id, []byte{0, 0, 0, 0}))
			block = again
		}
		_, code, gone := f.until(1, batch.Bytes(), 2000)
		if gone && code != http2.ErrCodeEnhanceYourCalm {
			t.Errorf("told %v", code)
		}
		told = told || gone
		return told || attacks == 5
	})
	if !told {
		t.Errorf("of %d connections none was told to calm down", attacks)
	}
	if n := p.Stat("http.http.downstream_rq_too_many_premature_resets"); n != int64(attacks) {
		t.Errorf("%d of %d connections were ended for that", n, attacks)
	}
}

// Rows 3 and 4: frames that cost little to send and something to serve.
func TestFrameFloods(t *testing.T) {
	u := Serve2(t, Echo2)
	for name, c := range map[string]struct {
		first, batch []byte
		most, each   int
		code         http2.ErrCode
		stat         string
	}{
		"continuation": {first: frame(http2.FrameHeaders, 0, 1, []byte{0x82}), batch: frame(http2.FrameContinuation, 0, 1, bytes.Repeat([]byte{0, 1, 'a', 1, 'b'}, 3000)), most: 1 << 20, each: 1,
			code: http2.ErrCodeEnhanceYourCalm, stat: "http2.header_overflow"},
		"settings":     {batch: bytes.Repeat(frame(http2.FrameSettings, 0, 0, []byte{0, 4, 0, 1, 0, 0}), 1000), most: 1_000_000, each: 1000, code: http2.ErrCodeEnhanceYourCalm, stat: "http2.outbound_control_flood"},
		"ping":         {batch: bytes.Repeat(frame(http2.FramePing, 0, 0, make([]byte, 8)), 1000), most: 1_000_000, each: 1000, code: http2.ErrCodeEnhanceYourCalm, stat: "http2.outbound_control_flood"},
		"empty-data":   {first: frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 1, nil), batch: bytes.Repeat(frame(http2.FrameData, 0, 1, nil), 1000), most: 1_000_000, each: 1000, code: http2.ErrCodeEnhanceYourCalm, stat: "http2.inbound_empty_frames_flood"},
		"priority":     {batch: bytes.Repeat(frame(http2.FramePriority, 0, 1, make([]byte, 5)), 1000), most: 1_000_000, each: 1000, code: http2.ErrCodeEnhanceYourCalm, stat: "http2.inbound_priority_frames_flood"},
		"window-churn": {batch: bytes.Repeat(frame(http2.FrameWindowUpdate, 0, 0, []byte{0, 0, 0, 1}), 1000), most: 1_000_000, each: 1000, code: http2.ErrCodeEnhanceYourCalm, stat: "http2.inbound_window_update_frames_flood"},
	} {
		t.Run(name, func(t *testing.T) {
			p := Start(t, Bootstrap(HTTPListener(All), Cluster("up", u.Port, Speaks2())))
			besieged(t, p, 8<<20, func(f *Frames) bool {
				first := c.first
				if name == "empty-data" {
					first = frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 1, f.Block(":method", "POST", ":scheme", "http", ":authority", "a", ":path", "/"))
				}
				f.Conn.Write(first)
				written, code, gone := 0, http2.ErrCode(0), false
				if name == "settings" || name == "ping" {
					// The peer must not read what answers it; the socket's buffers take a while to fill.
					for written < c.most {
						f.Conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
						if _, err := f.Conn.Write(c.batch); err != nil {
							break
						}
						written += c.each
					}
					p.WantStat("http.http.downstream_cx_http2_active", 1)
					gone, code = true, c.code
				} else {
					written, code, gone = f.until(c.most, c.batch, c.each)
				}
				if !gone && name != "continuation" || gone && code != c.code {
					t.Errorf("after %d frames: gone %v, %v", written, gone, code)
				}
				return true
			})
			if p.Stat(c.stat) == 0 {
				t.Errorf("%s is 0", c.stat)
			}
		})
	}
}

// Row 5: what is asked for and not read is not piled up (CVE-2019-9517).
func TestUnreadAnswers(t *testing.T) {
	piece := make([]byte, 64<<10)
	u := Serve2With(t, &http2.Server{MaxConcurrentStreams: 2000}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			return
		}
		for range 160 {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	})
	p := Start(t, Bootstrap(HTTPListener(All), Cluster("up", u.Port, Speaks2())))
	before := heap()
	for range 10 {
		f := DialFrames(t, p.Address(), http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		for i := range uint32(100) {
			f.Head(2*i+1, true, Get("/much")...)
		}
		for range 100 {
			f.Next(http2.FrameHeaders, 0)
		}
	}
	if r := Dial2(t, p.Address()).Get2("/"); r.Status != 200 {
		t.Errorf("%d %v", r.Status, r.Err)
	}
	// x/net's server is in this process, too: each of its 1,000 handlers has buffers and a stack.
	if after := heap(); after > before+64<<20 {
		t.Errorf("%d bytes more are live", after-before)
	}
}

// Rows 6 to 8 and 14: heads that are small on the wire and large when they are decoded.
func TestHeadBombs(t *testing.T) {
	u := Serve2(t, Echo2)
	p := Start(t, Bootstrap(HTTPListener(All), Cluster("up", u.Port, Speaks2())))
	long := strings.Repeat("a", 3000)
	many := func(name, value string, n int) (fields []string) {
		for range n {
			fields = append(fields, name, value)
		}
		return fields
	}
	for name, fields := range map[string][]string{
		"cookie crumbs": many("cookie", "a=b", 5000),
		"hosts":         many("host", "a.example", 1000),
		"indexed":       many("x-bomb", long, 5000),
		"trailer":       many("trailer", "x-a", 1000),
	} {
		t.Run(name, func(t *testing.T) {
			besieged(t, p, 8<<20, func(f *Frames) bool {
				block := f.Block(Get("/", fields...)...)
				head := block
				if len(block) > 16000 {
					head = block[:16000]
				}
				f.must(f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head, EndStream: true, EndHeaders: len(head) == len(block)}))
				for rest := block[len(head):]; len(rest) > 0; {
					n := min(len(rest), 16000)
					f.must(f.WriteContinuation(1, n == len(rest), rest[:n]))
					rest = rest[n:]
				}
				for {
					fr, err := f.ReadFrame()
					if err != nil {
						return true // the connection has ended
					}
					switch fr := fr.(type) {
					case *http2.RSTStreamFrame:
						return true
					case *http2.MetaHeadersFrame:
						if s := fr.PseudoValue("status"); s != "431" && s != "400" {
							t.Errorf("status %s", s)
						}
						return true
					}
				}
			})
		})
	}
}

// Row 19 and 20: heads that are no HTTP, or would be another request in HTTP/1 (CVE-2023-27491), never reach an upstream.
func TestHeadsThatAreNone(t *testing.T) {
	var reached atomic.Int64
	u := Serve(t, func(u *Upstream, c *Conn) {
		for u.Take(c) {
			reached.Add(1)
			io.WriteString(c, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
		}
	})
	p := Start(t, Bootstrap(HTTPListener("routes: [{match: {path: /ok}, direct_response: {status: 200}}, {match: {prefix: /}, route: {cluster: up}}]", "http2_protocol_options: {allow_connect: true, override_stream_error_on_invalid_http_message: true}", "upgrade_configs: [{upgrade_type: websocket}]"), Cluster("up", u.Port)))
	f := DialFrames(t, p.Address())
	id := uint32(1)
	for name, fields := range map[string][]string{
		"duplicate path":      {":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/", ":path", "/b"},
		"late pseudo":         {":method", "GET", ":scheme", "http", "x-a", "b", ":path", "/", ":authority", "a"},
		"unknown pseudo":      {":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/", ":x", "y"},
		"no path":             {":method", "GET", ":scheme", "http", ":authority", "a"},
		"empty path":          {":method", "GET", ":scheme", "http", ":authority", "a", ":path", ""},
		"no method":           {":scheme", "http", ":authority", "a", ":path", "/"},
		"CRLF in path":        {":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/ HTTP/1.1\r\nhost: b\r\n\r\nGET /admin"},
		"space in path":       {":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/a b"},
		"CRLF in method":      {":method", "GET / HTTP/1.1\r\nx: y", ":scheme", "http", ":authority", "a", ":path", "/"},
		"CRLF in value":       {":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/", "x-a", "b\r\nx-evil: 1"},
		"NUL in value":        {":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/", "x-a", "b\x00c"},
		"upper case":          {":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/", "X-A", "b"},
		"space in name":       {":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/", "x a", "b"},
		"colon in name":       {":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/", "x:a", "b"},
		"transfer-encoding":   {":method", "POST", ":scheme", "http", ":authority", "a", ":path", "/", "transfer-encoding", "chunked"},
		"connection":          {":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/", "connection", "close"},
		"te":                  {":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/", "te", "gzip"},
		"two lengths":         {":method", "POST", ":scheme", "http", ":authority", "a", ":path", "/", "content-length", "1", "content-length", "2"},
		"length without body": {":method", "POST", ":scheme", "http", ":authority", "a", ":path", "/", "content-length", "5"},
		"CONNECT with path":   {":method", "CONNECT", ":authority", "a:1", ":path", "/"},
		"protocol of a GET":   {":method", "GET", ":protocol", "websocket", ":scheme", "http", ":authority", "a", ":path", "/"},
	} {
		f.Head(id, true, fields...)
		for {
			fr, err := f.ReadFrame()
			if err != nil {
				t.Fatalf("%s: the connection ended: %v", name, err)
			}
			if fr.Header().StreamID != id {
				continue
			}
			if h, ok := fr.(*http2.MetaHeadersFrame); ok {
				if s := h.PseudoValue("status"); s[0] != '4' {
					t.Errorf("%s: status %s", name, s)
				}
				break
			}
			if _, ok := fr.(*http2.RSTStreamFrame); ok {
				break
			}
		}
		id += 2
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d of them reached the upstream", n)
	}
	f.Head(id, true, Get("/ok")...)
	if h := f.Next(http2.FrameHeaders, id).(*http2.MetaHeadersFrame); h.PseudoValue("status") != "200" {
		t.Errorf("%v", h)
	}
}

// Row 16 and 17: an upstream that speaks nonsense breaks its own connection, and the client is told.
func TestHostileUpstreams(t *testing.T) {
	hello := frame(http2.FrameSettings, 0, 0, nil)
	for name, answer := range map[string][]byte{
		"frame size 0":     frame(http2.FrameSettings, 0, 0, []byte{0, 5, 0, 0, 0, 0}),
		"no settings":      frame(http2.FramePing, 0, 0, make([]byte, 8)),
		"garbage":          []byte("HTTP/1.1 400 Bad Request\r\n\r\n"),
		"push":             append(bytes.Clone(hello), frame(http2.FramePushPromise, http2.FlagPushPromiseEndHeaders, 1, []byte{0, 0, 0, 2, 0x82})...),
		"data first":       append(bytes.Clone(hello), frame(http2.FrameData, 0, 1, []byte("x"))...),
		"bad block":        append(bytes.Clone(hello), frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 1, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})...),
		"goaway and reset": append(append(bytes.Clone(hello), frame(http2.FrameGoAway, 0, 0, []byte{0, 0, 0, 1, 0, 0, 0, 2})...), frame(http2.FrameRSTStream, 0, 1, []byte{0, 0, 0, 2})...),
		"refused for ever": hello, // and each stream by itself
		"gone at once":     append(bytes.Clone(hello), frame(http2.FrameGoAway, 0, 0, make([]byte, 8))...),
		"window overflow":  append(bytes.Clone(hello), frame(http2.FrameWindowUpdate, 0, 0, []byte{0x7f, 0xff, 0xff, 0xff})...),
		"status of no use": append(bytes.Clone(hello), frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 1, []byte{0x08, 3, 'a', 'b', 'c'})...),
	} {
		t.Run(name, func(t *testing.T) {
			u := Serve(t, func(u *Upstream, c *Conn) {
				b := make([]byte, 9)
				io.ReadFull(c.r, make([]byte, len(http2.ClientPreface)))
				for said := false; ; {
					if _, err := io.ReadFull(c.r, b); err != nil {
						return
					}
					io.CopyN(io.Discard, c.r, int64(b[0])<<16|int64(b[1])<<8|int64(b[2]))
					if b[3] != byte(http2.FrameHeaders) {
						continue
					}
					if !said {
						c.Write(answer)
						said = true
					}
					if name == "refused for ever" {
						c.Write(frame(http2.FrameRSTStream, 0, binary.BigEndian.Uint32(b[5:]), []byte{0, 0, 0, 7}))
					}
				}
			})
			p := Start(t, Bootstrap(HTTPListener(All), Cluster("up", u.Port, Speaks2())))
			c := Dial2(t, p.Address())
			for range 3 {
				if r := c.Get2("/"); r.Status != 502 && r.Status != 503 {
					t.Errorf("%d %v", r.Status, r.Err)
				}
			}
			p.WantStat("cluster.up.upstream_rq_active", 0)
			p.WantStat("http.http.downstream_rq_active", 0)
		})
	}
}

// Row 29: what a client sends ahead of the answer to its CONNECT is held, and goes nowhere if the answer is no.
func TestEarlyDataOfConnect(t *testing.T) {
	var got atomic.Pointer[string]
	u := Serve(t, func(u *Upstream, c *Conn) {
		head, _ := c.head()
		io.WriteString(c, "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
		rest, _ := c.Rest()
		head += rest
		got.Store(&head)
	})
	p := Start(t, Bootstrap(HTTPListener("routes: [{match: {connect_matcher: {}}, route: {cluster: up}}]", "upgrade_configs: [{upgrade_type: CONNECT}]", "http2_protocol_options: {allow_connect: true}"), Cluster("up", u.Port)))
	f := DialFrames(t, p.Address())
	f.Head(1, false, ":method", "CONNECT", ":authority", "a:1")
	f.must(f.WriteData(1, false, []byte("GET /smuggled HTTP/1.1\r\n\r\n")))
	if h := f.Next(http2.FrameHeaders, 1).(*http2.MetaHeadersFrame); h.PseudoValue("status") != "403" {
		t.Errorf("%v", h)
	}
	f.Conn.Close()
	p.Eventually("the upstream's connection ends", func() bool { return got.Load() != nil })
	if s := *got.Load(); strings.Contains(s, "smuggled") {
		t.Errorf("%q", s)
	}
}

// Row 62: a request that a client has put on a connection for another host is sent back (RFC 9110 §15.5.20).
func TestMisdirected(t *testing.T) {
	a := NewAuthority(t, t.TempDir())
	a.Issue("both", []string{"a.test", "b.test"}, nil)
	u := Serve2(t, Echo2)
	p := Start(t, Bootstrap(strings.Replace(Secured(HTTPListener(All), DownstreamTLS("alpn_protocols: [h2], tls_certificates: ["+a.Source("both")+"]", "")), `domains: ["*"]`, `domains: [a.test]`, 1), Cluster("up", u.Port, Speaks2())))
	n := DialTLS(t, p.Address(), TLS2(&tls.Config{RootCAs: a.Pool(), ServerName: "a.test"}))
	c := Over2(t, n.Conn, p.Address())
	for host, want := range map[string]int{"a.test": 200, "b.test": 421} {
		q, _ := http.NewRequest("GET", "https://"+host+"/", nil)
		r, err := c.RoundTrip(q)
		if err != nil || r.StatusCode != want {
			t.Errorf("%s: %v, want %d: %v", host, r, want, err)
		}
	}
}

// Row 72: a timeout of gRPC that no number can hold is no timeout, and no crash.
func TestMonstrousTimeouts(t *testing.T) {
	u := Serve2(t, Echo2)
	p := Start(t, Bootstrap(HTTPListener("routes: [{match: {prefix: /}, route: {cluster: up, max_stream_duration: {grpc_timeout_header_max: 0s}}}]"), Cluster("up", u.Port, Speaks2())))
	c := Dial2(t, p.Address())
	for _, timeout := range []string{"99999999H", "99999999999999999999H", "-1S", "S", "", "1x", "1.5S"} {
		if r := c.Do("POST", "/", nil, "content-type: application/grpc", "te: trailers", "grpc-timeout: "+timeout); r.Err != nil || r.Status != 200 {
			t.Errorf("%q: %d %v", timeout, r.Status, r.Err)
		}
	}
}

// Row 15: frames of types that nobody knows are passed over.
func TestUnknownFrames(t *testing.T) {
	u := Serve2(t, Echo2)
	p := Start(t, Bootstrap(HTTPListener(All), Cluster("up", u.Port, Speaks2())))
	f := DialFrames(t, p.Address())
	for kind := http2.FrameType(0x0a); kind < 0x20; kind++ {
		if kind == 0x10 {
			continue // PRIORITY_UPDATE is known
		}
		f.must(f.WriteRawFrame(kind, 0xff, 0, make([]byte, 100)))
	}
	f.Head(1, true, Get("/")...)
	if h := f.Next(http2.FrameHeaders, 1).(*http2.MetaHeadersFrame); h.PseudoValue("status") != "200" {
		t.Errorf("%v", h)
	}
}

// Row 18: trailers that do not end their stream are an error of it.
func TestTrailersWithoutEnd(t *testing.T) {
	u := Serve2(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	p := Start(t, Bootstrap(HTTPListener(All, "http2_protocol_options: {override_stream_error_on_invalid_http_message: true}"), Cluster("up", u.Port, Speaks2())))
	f := DialFrames(t, p.Address())
	f.Head(1, false, ":method", "POST", ":scheme", "http", ":authority", "a", ":path", "/")
	f.Head(1, false, "x-trailer", "1")
	if r := f.Next(http2.FrameRSTStream, 1); r == nil || r.(*http2.RSTStreamFrame).ErrCode != http2.ErrCodeProtocol {
		t.Errorf("%v", r)
	}
	p.WantStat("cluster.up.upstream_rq_active", 0)
}

// Thousands of streams that end in all possible ways leave nothing behind.
func TestStreamsLeaveNothing(t *testing.T) {
	u := Serve2(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/abort":
			panic(http.ErrAbortHandler)
		case "/late":
			w.WriteHeader(200)
			fmt.Fprint(flushing{w}, "a part")
			panic(http.ErrAbortHandler)
		case "/much":
			w.Write(make([]byte, 100_000))
		case "/read":
			io.Copy(io.Discard, r.Body)
		}
	})
	p := Start(t, Bootstrap(HTTPListener(All), Cluster("up", u.Port, Speaks2())))
	c := Dial2(t, p.Address())
	paths := []string{"/", "/abort", "/late", "/much", "/read"}
	limit := make(chan struct{}, 64)
	ended := make(chan struct{}, 64)
	const all = 10_000
	go func() {
		for i := range all {
			limit <- struct{}{}
			go func() {
				defer func() { <-limit; ended <- struct{}{} }()
				q, _ := http.NewRequest("POST", "http://a.example"+paths[i%len(paths)], strings.NewReader(strings.Repeat("b", i%7*1000)))
				r, err := c.RoundTrip(q)
				if err != nil {
					return
				}
				if i%3 == 0 {
					io.CopyN(io.Discard, r.Body, 10) // and the stream is reset
				} else {
					io.Copy(io.Discard, r.Body)
				}
				r.Body.Close()
			}()
		}
	}()
	for range all {
		select {
		case <-ended:
		case <-time.After(deadline):
			t.Fatal(errors.New("a request has not ended"))
		}
	}
	p.WantStat("http.http.downstream_rq_active", 0)
	p.WantStat("cluster.up.upstream_rq_active", 0)
	if r := c.Get2("/"); r.Status != 200 {
		t.Errorf("%d %v", r.Status, r.Err)
	}
}
