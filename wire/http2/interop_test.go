package http2

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"strings"
	"sync"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"

	"github.com/weftmesh/weft/wire/http"
)

// wired is a side whose bytes go over a socket. All that concerns it happens under its lock.
type wired struct {
	sync.Mutex
	*side
	conn net.Conn
	in   []byte
	err  error
	said chan []byte // to whoever writes, so that nobody who writes keeps us from reading
}

// wire runs a side over a connection until that ends.
func wire(s *side, conn net.Conn) *wired {
	w := &wired{side: s, conn: conn, said: make(chan []byte, 100000)}
	w.flush()
	go func() {
		for b := range w.said {
			conn.Write(b)
		}
		conn.Close()
	}()
	return w
}

func (w *wired) flush() {
	for w.c.Pending() {
		if _, err := w.c.Feed(nil); err != nil {
			return
		}
	}
	if b := w.sent(); len(b) > 0 {
		w.said <- bytes.Clone(b)
	}
	w.out, w.taken = w.out[:0], 0
}

func (w *wired) run() {
	b := make([]byte, 10000)
	for {
		n, err := w.conn.Read(b)
		w.Lock()
		w.in = append(w.in, b[:n]...)
		used, failed := w.c.Feed(w.in)
		w.in = w.in[:copy(w.in, w.in[used:])]
		w.flush()
		if err != nil || failed != nil {
			w.err = failed
			w.c.Lost(NoError)
			close(w.said)
			w.Unlock()
			return
		}
		w.Unlock()
	}
}

func tcpPair(t *testing.T) (a, b net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan struct{})
	go func() {
		b, _ = l.Accept()
		close(done)
	}()
	if a, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	<-done
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// bodies are sizes that are below, at and above windows and frames.
var bodies = []int{0, 1, 100, 16384, 16385, 65535, 65536, 300000, 3000000}

// Go's client speaks with our server: it echoes bodies, with a trailer.
func TestGoClient(t *testing.T) {
	a, b := tcpPair(t)
	s := newSide(t, Options{Server: true})
	s.onHead = func(r *reader, end bool) {
		if end {
			r.s.ResponseHead(response(200, "x-path", string(r.request.Path()), "x-cookie", string(r.request.Get(http.Cookie))), true)
		}
	}
	s.onEnd = func(r *reader) {
		r.s.ResponseHead(response(103, "link", "x"), false)
		r.s.ResponseHead(response(200, "x-path", string(r.request.Path())), false)
		r.s.Data(r.body, false)
		var h http.Header
		h.AddNamed([]byte("x-sum"), fmt.Append(nil, len(r.body)))
		r.s.Trailers(&h)
	}
	w := wire(s, b)
	ended := make(chan struct{})
	go func() { w.run(); close(ended) }()
	transport := &xhttp2.Transport{AllowHTTP: true, DialTLSContext: func(context.Context, string, string, *tls.Config) (net.Conn, error) { return a, nil }}
	client := &nethttp.Client{Transport: transport, Timeout: 20 * time.Second}
	var all sync.WaitGroup
	for i, n := range bodies {
		for j := range 3 {
			all.Go(func() {
				method, body := "POST", bytes.Repeat([]byte{byte(i + j)}, n)
				if n == 0 {
					method = "GET"
				}
				q, _ := nethttp.NewRequest(method, fmt.Sprintf("http://a.example/%d/%d", i, j), bytes.NewReader(body))
				q.Header.Add("Cookie", "a=b; c=d")
				q.Header.Add("X-Number", fmt.Sprint(j))
				p, err := client.Do(q)
				if err != nil {
					t.Error(err)
					return
				}
				defer p.Body.Close()
				got, err := io.ReadAll(p.Body)
				if err != nil || !bytes.Equal(got, body) || p.StatusCode != 200 || p.Header.Get("X-Path") != q.URL.Path {
					t.Errorf("%s of %d: %d bytes, %v, %v", method, n, len(got), err, p.Header)
				}
				if n > 0 && p.Trailer.Get("X-Sum") != fmt.Sprint(n) {
					t.Errorf("trailers %v", p.Trailer)
				}
				if n == 0 && p.Header.Get("X-Cookie") != "a=b; c=d" {
					t.Errorf("cookies %q", p.Header.Get("X-Cookie"))
				}
			})
		}
	}
	all.Wait()
	w.Lock()
	if w.c.Streams() != 0 || w.c.kept != 0 || w.c.recvRoom+int64(w.c.taken) != int64(w.c.window) {
		t.Errorf("%d streams, %d bytes kept, a window of %d and %d of %d", w.c.Streams(), w.c.kept, w.c.recvRoom, w.c.taken, w.c.window)
	}
	w.c.GoAway(MaxID, NoError)
	w.c.GoAway(w.c.LastID(), NoError)
	w.flush()
	w.Unlock()
	a.Close()
	<-ended
	if w.err != nil {
		t.Error(w.err)
	}
}

// Our client speaks with Go's server, which echoes bodies with a trailer.
func TestGoServer(t *testing.T) {
	a, b := tcpPair(t)
	echo := nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		w.Header().Set("Trailer", "X-Sum")
		w.Header().Set("X-Path", r.URL.Path)
		w.Header().Set("X-Cookie", r.Header.Get("Cookie"))
		n, _ := io.Copy(w, r.Body)
		w.Header().Set("X-Sum", fmt.Sprint(n))
	})
	go (&xhttp2.Server{}).ServeConn(b, &xhttp2.ServeConnOpts{Handler: echo})
	s := newSide(t, Options{})
	done := make(chan struct{})
	total := 3 * len(bodies)
	count := func(*reader) {
		if total--; total == 0 {
			close(done)
		}
	}
	s.onEnd = count
	s.onHead = func(r *reader, end bool) {
		if end {
			count(r)
		}
	}
	w := wire(s, a)
	go w.run()
	w.Lock()
	for i, n := range bodies {
		for j := range 3 {
			r := s.open()
			r.s.RequestHead(request("POST", "http", "a.example", fmt.Sprintf("/%d/%d", i, j), "cookie", "a=b", "x-number", fmt.Sprint(j),
				"user-agent", "weft", "x-long", strings.Repeat("l", 10000*j)), n == 0)
			if n > 0 {
				r.s.Data(bytes.Repeat([]byte{byte(i + j)}, n), true)
			}
			w.flush()
		}
	}
	w.Unlock()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Error("not all answered")
	}
	w.Lock()
	defer w.Unlock()
	for k, r := range s.readers {
		n := bodies[k/3]
		if r.response.Status != 200 || len(r.body) != 0 && n == 0 || r.trailers.Len() != 1 || string(r.trailers.Value(0)) != fmt.Sprint(n) {
			t.Errorf("%d: %s, trailers%s", n, showResponse(&r.response), showFields(&r.trailers))
		}
	}
	if w.c.Streams() != 0 || w.err != nil || w.c.recvRoom+int64(w.c.taken) != int64(w.c.window) {
		t.Errorf("%d streams, %v, a window of %d and %d of %d", w.c.Streams(), w.err, w.c.recvRoom, w.c.taken, w.c.window)
	}
}
