package mixed

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"

	"github.com/weftmesh/weft/bench/load"
)

// The kinds of traffic.
const (
	HTTP1     = "http1" // requests over connections that stay
	HTTP2     = "http2"
	HTTPS     = "https"     // requests over connections of which each serves a few
	TCP       = "tcp"       // streams that stay for ever
	WebSocket = "websocket" // the same, after an upgrade
)

// Kinds are all of them.
func Kinds() []string { return []string{HTTP1, HTTP2, HTTPS, TCP, WebSocket} }

// A Spec says where the traffic goes. Ports of listeners are on 127.0.0.1.
type Spec struct {
	HTTP  int           `json:"http"` // HTTP/1.1, HTTP/2 in plain text, and WebSocket
	HTTPS int           `json:"https"`
	TCP   int           `json:"tcp"`
	Conns int           `json:"conns"` // of each kind
	Every time.Duration `json:"every"` // a connection asks once in so long
	// Limit bounds the wait for an answer: what takes longer is lost.
	Limit time.Duration `json:"limit"`
}

// A Count is what became of one kind of traffic.
type Count struct {
	Done   int      `json:"done"` // requests that were answered as they should be, and messages that came back
	Lost   int      `json:"lost"` // requests lost, reset or answered otherwise; streams that were cut, or could not be begun
	Reason []string `json:"reason,omitempty"`
}

// A Result is what became of the traffic of some time.
type Result struct {
	Counts map[string]*Count `json:"counts"` // by kind
	P50    time.Duration     `json:"p50_ns"` // of HTTP/1.1
	P99    time.Duration     `json:"p99_ns"`
}

// Lost is how much was.
func (r Result) Lost() (n int) {
	for _, c := range r.Counts {
		n += c.Lost
	}
	return n
}

// Done is how much was not.
func (r Result) Done() (n int) {
	for _, c := range r.Counts {
		n += c.Done
	}
	return n
}

// String says how much was, and why.
func (r Result) String() string {
	var parts []string
	for _, kind := range Kinds() {
		if c := r.Counts[kind]; c != nil && c.Lost > 0 {
			parts = append(parts, fmt.Sprintf("%s: %d of %d (%s)", kind, c.Lost, c.Lost+c.Done, strings.Join(c.Reason, "; ")))
		}
	}
	if len(parts) == 0 {
		return "nothing lost"
	}
	return "lost: " + strings.Join(parts, ", ")
}

// mostReasons bounds those that are kept of a kind, each once.
const mostReasons = 3

// messageSize is that of a message of a stream, and of a request's body.
const messageSize = 64

// perConnection is how many requests a connection of HTTPS serves.
const perConnection = 20

// Traffic is traffic under way.
type Traffic struct {
	spec    Spec
	stop    context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex
	now     Result
	latency load.Histogram
}

// Begin starts traffic, which goes on until End.
func Begin(spec Spec) *Traffic {
	ctx, stop := context.WithCancel(context.Background())
	t := &Traffic{spec: spec, stop: stop}
	t.now.Counts = counts()
	for i := range spec.Conns {
		for kind, client := range map[string]func(context.Context, time.Duration){
			HTTP1: t.http1, HTTP2: t.http2, HTTPS: t.https,
			TCP:       func(ctx context.Context, first time.Duration) { t.stream(ctx, TCP, first) },
			WebSocket: func(ctx context.Context, first time.Duration) { t.stream(ctx, WebSocket, first) },
		} {
			if kind == HTTPS && spec.HTTPS == 0 {
				continue
			}
			first := spec.Every * time.Duration(i) / time.Duration(spec.Conns) // not all at once
			t.running.Go(func() { client(ctx, first) })
		}
	}
	return t
}

func counts() map[string]*Count {
	all := map[string]*Count{}
	for _, kind := range Kinds() {
		all[kind] = &Count{}
	}
	return all
}

// Mark gives what became of the traffic since the last mark.
func (t *Traffic) Mark() Result {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.now
	r.P50, r.P99 = t.latency.Quantile(0.5), t.latency.Quantile(0.99)
	t.now = Result{Counts: counts()}
	t.latency.Reset()
	return r
}

// End stops the traffic.
func (t *Traffic) End() {
	t.stop()
	t.running.Wait()
}

// note counts one request or message, unless the traffic is being ended.
func (t *Traffic) note(ctx context.Context, kind string, took time.Duration, err error) {
	if ctx.Err() != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.now.Counts[kind]
	if err == nil {
		c.Done++
		if kind == HTTP1 {
			t.latency.Record(took)
		}
		return
	}
	c.Lost++
	text := err.Error()
	for _, known := range c.Reason {
		if shape(known) == shape(text) {
			return
		}
	}
	if len(c.Reason) < mostReasons {
		c.Reason = append(c.Reason, text)
	}
}

// shape is a reason without its numbers, of which ports differ each time.
func shape(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, text)
}

// pace calls once in so long until the context ends.
func (t *Traffic) pace(ctx context.Context, first time.Duration, call func()) {
	due := time.NewTimer(first)
	defer due.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-due.C:
		}
		began := time.Now()
		call()
		due.Reset(max(t.spec.Every-time.Since(began), 0))
	}
}

func (t *Traffic) http1(ctx context.Context, first time.Duration) {
	c := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}, Timeout: t.spec.Limit}
	defer c.CloseIdleConnections()
	// A body that cannot be read again: net/http asks again on its own what it can, and would hide what was lost.
	t.requests(ctx, HTTP1, first, c, func() string { return fmt.Sprintf("http://127.0.0.1:%d/%s", t.spec.HTTP, HTTP1) }, true)
}

func (t *Traffic) http2(ctx context.Context, first time.Duration) {
	dial := func(ctx context.Context, network, address string, _ *tls.Config) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	transport := &http2.Transport{AllowHTTP: true, DialTLSContext: dial}
	c := &http.Client{Transport: transport, Timeout: t.spec.Limit}
	defer transport.CloseIdleConnections()
	// A body that can be read again: a stream that GOAWAY has left out was not looked at, and is asked for again (RFC 9113 §6.8).
	t.requests(ctx, HTTP2, first, c, func() string { return fmt.Sprintf("http://127.0.0.1:%d/%s", t.spec.HTTP, HTTP2) }, false)
}

func (t *Traffic) https(ctx context.Context, first time.Duration) {
	// Whose certificate it is does not matter here; that there is a good one for its key does.
	c := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, Timeout: t.spec.Limit}
	defer c.CloseIdleConnections()
	n := 0
	t.requests(ctx, HTTPS, first, c, func() string {
		if n++; n%perConnection == 0 {
			c.CloseIdleConnections()
		}
		return fmt.Sprintf("https://127.0.0.1:%d/%s", t.spec.HTTPS, HTTPS)
	}, true)
}

func (t *Traffic) requests(ctx context.Context, kind string, first time.Duration, c *http.Client, url func() string, once bool) {
	body := bytes.Repeat([]byte("x"), messageSize)
	t.pace(ctx, first, func() {
		began := time.Now()
		err := ask(ctx, c, url(), body, once)
		t.note(ctx, kind, time.Since(began), err)
	})
}

// ask sends a body and wants it back.
func ask(ctx context.Context, c *http.Client, url string, body []byte, once bool) error {
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if once {
		q.GetBody = nil
	}
	r, err := c.Do(q)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	got, err := io.ReadAll(r.Body)
	switch {
	case err != nil:
		return fmt.Errorf("inside an answer: %w", err)
	case r.StatusCode != http.StatusOK:
		return fmt.Errorf("status %d %.100q", r.StatusCode, got)
	case !bytes.Equal(got, body):
		return fmt.Errorf("another body: %.100q", got)
	}
	return nil
}

// stream plays ping-pong over one connection; when that is cut it counts, and there is another one.
func (t *Traffic) stream(ctx context.Context, kind string, first time.Duration) {
	var c net.Conn
	var from *bufio.Reader
	defer func() {
		if c != nil {
			c.Close()
		}
	}()
	message, back := bytes.Repeat([]byte("y"), messageSize), make([]byte, messageSize)
	t.pace(ctx, first, func() {
		began := time.Now()
		if c == nil {
			var err error
			if c, from, err = t.open(ctx, kind); err != nil {
				c = nil
				t.note(ctx, kind, 0, fmt.Errorf("cannot be begun: %w", err))
				return
			}
		}
		c.SetDeadline(time.Now().Add(t.spec.Limit))
		_, err := c.Write(message)
		if err == nil {
			_, err = io.ReadFull(from, back)
		}
		if err == nil && !bytes.Equal(message, back) {
			err = errors.New("another message came back")
		}
		if err != nil {
			c.Close()
			c, err = nil, fmt.Errorf("cut: %w", err)
		}
		t.note(ctx, kind, time.Since(began), err)
	})
}

func (t *Traffic) open(ctx context.Context, kind string) (net.Conn, *bufio.Reader, error) {
	port := t.spec.TCP
	if kind == WebSocket {
		port = t.spec.HTTP
	}
	c, err := (&net.Dialer{Timeout: t.spec.Limit}).DialContext(ctx, "tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, nil, err
	}
	from := bufio.NewReader(c)
	if kind == TCP {
		return c, from, nil
	}
	c.SetDeadline(time.Now().Add(t.spec.Limit))
	if _, err = fmt.Fprintf(c, "GET /%s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", kind); err == nil {
		var r *http.Response
		if r, err = http.ReadResponse(from, &http.Request{Method: http.MethodGet}); err == nil && r.StatusCode != http.StatusSwitchingProtocols {
			err = fmt.Errorf("status %d for an upgrade", r.StatusCode)
		}
	}
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	return c, from, nil
}
