package mixed

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// Ports are where the upstream of the traffic listens, on 127.0.0.1.
type Ports struct {
	HTTP1 int `json:"http1"` // and WebSocket
	HTTP2 int `json:"http2"`
	TCP   int `json:"tcp"`
}

// Upstream answers every kind of traffic with what it was sent.
type Upstream struct {
	listeners [3]net.Listener
	// spoil is asked about each request and each message of a stream; true: the upstream answers 503, or cuts. For tests.
	spoil func(kind string) bool
}

// Listen opens the ports.
func Listen() (*Upstream, error) {
	u := &Upstream{spoil: func(string) bool { return false }}
	for i := range u.listeners {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("mixed: upstream: %w", err)
		}
		u.listeners[i] = l
	}
	return u, nil
}

// Ports are where it listens.
func (u *Upstream) Ports() Ports {
	port := func(i int) int { return u.listeners[i].Addr().(*net.TCPAddr).Port }
	return Ports{port(0), port(1), port(2)}
}

// Serve answers until the context ends.
func (u *Upstream) Serve(ctx context.Context) error {
	first := &http.Server{Handler: http.HandlerFunc(u.answer)}
	second := &http.Server{Handler: http.HandlerFunc(u.answer), Protocols: new(http.Protocols)}
	second.Protocols.SetUnencryptedHTTP2(true)
	ended := make(chan error, 3)
	go func() { ended <- first.Serve(u.listeners[0]) }()
	go func() { ended <- second.Serve(u.listeners[1]) }()
	go func() { ended <- u.streams(u.listeners[2]) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	return errors.Join(first.Close(), second.Close(), u.listeners[2].Close())
}

// answer sends a request's body back, or, where WebSocket is asked for, whatever comes.
func (u *Upstream) answer(w http.ResponseWriter, r *http.Request) {
	if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		u.upgrade(w)
		return
	}
	kind := strings.TrimPrefix(r.URL.Path, "/")
	if u.spoil(kind) {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Length", fmt.Sprint(r.ContentLength))
	io.Copy(w, r.Body)
}

func (u *Upstream) upgrade(w http.ResponseWriter) {
	c, b, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	c.SetDeadline(time.Time{})
	// Nobody here looks at Sec-WebSocket-Key: a proxy does not, and the client is ours.
	fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	u.echo(c, b.Reader, WebSocket)
}

func (u *Upstream) streams(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			u.echo(c, bufio.NewReader(c), TCP)
		}()
	}
}

// echo sends messages back until it is told to cut.
func (u *Upstream) echo(c net.Conn, from io.Reader, kind string) {
	message := make([]byte, messageSize)
	for {
		if _, err := io.ReadFull(from, message); err != nil || u.spoil(kind) {
			return
		}
		if _, err := c.Write(message); err != nil {
			return
		}
	}
}
