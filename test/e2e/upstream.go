package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// deadline bounds every wait of a test.
const deadline = time.Minute

// Upstream is a server that a proxy connects to.
type Upstream struct {
	Port    int
	t       testing.TB
	listen  net.Listener
	mu      sync.Mutex
	conns   int
	heads   []string
	bodies  []string
	open    map[net.Conn]bool
	stopped chan struct{}
	wait    sync.WaitGroup
}

// Serve starts an upstream that runs f for every connection and closes it afterwards.
func Serve(t testing.TB, f func(u *Upstream, c *Conn)) *Upstream {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &Upstream{Port: l.Addr().(*net.TCPAddr).Port, t: t, listen: l, open: map[net.Conn]bool{}, stopped: make(chan struct{})}
	u.wait.Add(1)
	go func() {
		defer u.wait.Done()
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			u.mu.Lock()
			u.conns++
			u.open[c] = true
			u.mu.Unlock()
			u.wait.Add(1)
			go func() {
				defer u.wait.Done()
				defer c.Close()
				c.SetDeadline(time.Now().Add(deadline))
				f(u, &Conn{Conn: c, r: bufio.NewReader(c), t: t})
			}()
		}
	}()
	t.Cleanup(u.Stop)
	return u
}

// Stop ends the upstream with all its connections.
func (u *Upstream) Stop() {
	u.listen.Close()
	u.mu.Lock()
	select {
	case <-u.stopped:
	default:
		close(u.stopped)
	}
	for c := range u.open {
		c.Close()
	}
	u.mu.Unlock()
	u.wait.Wait()
}

// Answer starts an upstream that gives the answers in turn, one to each request, the last one for ever; it takes note of what it was
// asked.
func Answer(t testing.TB, answers ...string) *Upstream {
	t.Helper()
	n := 0
	return Serve(t, func(u *Upstream, c *Conn) {
		for u.Take(c) {
			u.mu.Lock()
			answer := answers[min(n, len(answers)-1)]
			n++
			u.mu.Unlock()
			io.WriteString(c, answer)
			if strings.Contains(strings.ToLower(answer), "connection: close") {
				return
			}
		}
	})
}

// Echo starts an upstream that answers with what it got: request line, header fields in order, and the body's length.
func Echo(t testing.TB) *Upstream {
	t.Helper()
	return Serve(t, func(u *Upstream, c *Conn) {
		for u.Take(c) {
			u.mu.Lock()
			text := u.heads[len(u.heads)-1] + "body " + strconv.Itoa(len(u.bodies[len(u.bodies)-1]))
			u.mu.Unlock()
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s", len(text), text)
		}
	})
}

// heldOpen keeps a connection open, unread, until the upstream is stopped.
func (u *Upstream) heldOpen() { <-u.stopped }

// Take reads one request and takes note of it; false at the end of the connection.
func (u *Upstream) Take(c *Conn) bool {
	head, ok := c.head()
	if !ok {
		return false
	}
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head)))
	if err != nil {
		u.t.Errorf("upstream: what came is no request: %v\n%s", err, head)
		return false
	}
	body := ""
	switch {
	case r.ContentLength > 0:
		b := make([]byte, r.ContentLength)
		if _, err := io.ReadFull(c.r, b); err != nil {
			return false
		}
		body = string(b)
	case len(r.TransferEncoding) > 0:
		if body, ok = c.chunks(); !ok {
			return false
		}
	}
	u.mu.Lock()
	u.heads, u.bodies = append(u.heads, head), append(u.bodies, body)
	u.mu.Unlock()
	return true
}

// Connections is how many connections there have been.
func (u *Upstream) Connections() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.conns
}

// Heads are the heads of all requests so far.
func (u *Upstream) Heads() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]string(nil), u.heads...)
}

// Bodies are the bodies of all requests so far.
func (u *Upstream) Bodies() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]string(nil), u.bodies...)
}
