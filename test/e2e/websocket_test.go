package e2e

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
)

// ServeHTTP starts an upstream of net/http, which speaks HTTP/1.
func ServeHTTP(t testing.TB, f http.HandlerFunc) (port int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var open sync.WaitGroup
	s := &http.Server{ErrorLog: quiet, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		open.Add(1)
		defer open.Done()
		f(w, r)
	})}
	ended := make(chan struct{})
	go func() {
		s.Serve(l)
		close(ended)
	}()
	t.Cleanup(func() {
		s.Close()
		<-ended
		open.Wait() // those that have taken their connections over
	})
	return l.Addr().(*net.TCPAddr).Port
}

// serveWebSocket starts a server of WebSocket over HTTP/1 that sends back what it gets, and closes as it is asked.
func serveWebSocket(t *testing.T) (port int) {
	t.Helper()
	return ServeHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"echo"}, CompressionMode: websocket.CompressionContextTakeover})
		if err != nil {
			return // the client has been told
		}
		c.SetReadLimit(-1)
		for {
			kind, m, err := c.Read(r.Context())
			if err != nil {
				return
			}
			if string(m) == "close" {
				c.Close(4321, "as you wish")
				return
			}
			if err := c.Write(r.Context(), kind, m); err != nil {
				return
			}
		}
	})
}

// extended is a transport that asks for upgrades in HTTP/2's way (RFC 8441) for a library that knows only HTTP/1's.
type extended struct{ *Client2 }

func (e extended) RoundTrip(q *http.Request) (*http.Response, error) {
	in, out := io.Pipe()
	c := q.Clone(context.WithoutCancel(q.Context()))
	c.Method, c.Body = http.MethodConnect, in
	c.Header[":protocol"] = []string{q.Header.Get("Upgrade")}
	c.Header.Del("Upgrade")
	c.Header.Del("Connection")
	r, err := e.ClientConn.RoundTrip(c)
	if err != nil || r.StatusCode != http.StatusOK {
		return r, err
	}
	key := sha1.Sum([]byte(q.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	r.StatusCode = http.StatusSwitchingProtocols
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Connection", "upgrade")
	r.Header.Set("Sec-WebSocket-Accept", base64.StdEncoding.EncodeToString(key[:]))
	r.Body = duplex{r.Body, out}
	return r, nil
}

// duplex is the two directions of a stream.
type duplex struct {
	io.ReadCloser
	out *io.PipeWriter
}

func (d duplex) Write(b []byte) (int, error) { return d.out.Write(b) }

func (d duplex) Close() error {
	d.out.Close()
	return d.ReadCloser.Close()
}

// A library's client talks to its server through one proxy, or two that speak HTTP/2 to each other: messages of all sizes in both directions at
// once, compressed or not, and the reason why either closes.
func TestWebSocket(t *testing.T) {
	listener := HTTPListener(All, "upgrade_configs: [{upgrade_type: websocket}]", "http2_protocol_options: {allow_connect: true}")
	near := Start(t, Bootstrap(listener, Cluster("up", serveWebSocket(t))))
	_, text, _ := strings.Cut(near.Address(), ":")
	port, _ := strconv.Atoi(text)
	far := Start(t, Bootstrap(listener, Cluster("up", port, Speaks2("allow_connect: true"))))
	for name, c := range map[string]struct {
		p      *Proxy
		shared bool
	}{"http1": {near, false}, "http2": {near, true}, "http1-http2": {far, false}, "http2-http2": {far, true}} {
		t.Run(name, func(t *testing.T) {
			client := &http.Client{}
			if c.shared {
				client.Transport = extended{Dial2(t, c.p.Address())}
			} else {
				own := &http.Transport{}
				t.Cleanup(own.CloseIdleConnections)
				client.Transport = own
			}
			for _, compression := range []websocket.CompressionMode{websocket.CompressionDisabled, websocket.CompressionContextTakeover} {
				ctx := asked(t)
				w, _, err := websocket.Dial(ctx, "ws://"+c.p.Address()+"/chat", &websocket.DialOptions{HTTPClient: client, Subprotocols: []string{"other", "echo"}, CompressionMode: compression})
				if err != nil {
					t.Fatal(err)
				}
				if s := w.Subprotocol(); s != "echo" {
					t.Errorf("protocol %q", s)
				}
				w.SetReadLimit(-1)
				message := func(i int) (websocket.MessageType, []byte) {
					sizes := [...]int{0, 1, 125, 126, 1000, 16383, 16384, 65535, 65536}
					size := sizes[i%len(sizes)]
					if i%3 == 0 {
						return websocket.MessageText, []byte(strings.Repeat(string(rune('a'+i%26)), size))
					}
					return websocket.MessageBinary, pattern[i : i+size]
				}
				const all = 60
				sent := make(chan error, 1)
				go func() {
					for i := range all {
						kind, m := message(i)
						if err := w.Write(ctx, kind, m); err != nil {
							sent <- err
							return
						}
					}
					sent <- nil
				}()
				for i := range all {
					kind, want := message(i)
					k, m, err := w.Read(ctx)
					if err != nil || k != kind || !bytes.Equal(m, want) {
						t.Fatalf("message %d: %v, %d bytes instead of %d, %v", i, k, len(m), len(want), err)
					}
				}
				if err := <-sent; err != nil {
					t.Error(err)
				}
				if compression == websocket.CompressionDisabled {
					if err := w.Close(websocket.StatusNormalClosure, "done"); err != nil {
						t.Errorf("closing: %v", err)
					}
					continue
				}
				w.Write(ctx, websocket.MessageText, []byte("close"))
				_, _, err = w.Read(ctx)
				if e := (websocket.CloseError{}); !errors.As(err, &e) || e.Code != 4321 || e.Reason != "as you wish" {
					t.Errorf("%v", err)
				}
			}
			c.p.WantStat("http.http.downstream_cx_upgrades_active", 0)
			c.p.WantStat("cluster.up.upstream_cx_active", map[bool]int64{false: 0, true: 1}[c.p == far])
			near.WantStat("http.http.downstream_rq_active", 0)
		})
	}
}
