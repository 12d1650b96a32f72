package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Conn is a connection that a test talks over, byte by byte.
type Conn struct {
	net.Conn
	r *bufio.Reader
	t testing.TB
}

// Dial connects to an address.
func Dial(t testing.TB, address string) *Conn {
	t.Helper()
	network := "tcp"
	if strings.HasPrefix(address, "/") || strings.HasPrefix(address, "@") {
		network = "unix"
	}
	c, err := net.DialTimeout(network, address, deadline)
	if err != nil {
		t.Fatal(err)
	}
	return wrap(t, c)
}

func wrap(t testing.TB, c net.Conn) *Conn {
	c.SetDeadline(time.Now().Add(deadline))
	t.Cleanup(func() { c.Close() })
	return &Conn{Conn: c, r: bufio.NewReaderSize(c, 64<<10), t: t}
}

// Send writes bytes as they are.
func (c *Conn) Send(text string) *Conn {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, text); err != nil {
		c.t.Fatalf("send: %v", err)
	}
	return c
}

// Response is an answer that has been read.
type Response struct {
	Status  int
	Head    string // as it came
	Header  http.Header
	Body    string
	Trailer http.Header
	Err     error // how reading the body ended, if not well
}

// Get sends a GET for a path and reads the answer.
func (c *Conn) Get(path string, fields ...string) *Response {
	c.t.Helper()
	c.Send(fmt.Sprintf("GET %s HTTP/1.1\r\nhost: a.example\r\n%s\r\n", path, lines(fields)))
	return c.Read("GET")
}

func lines(fields []string) string {
	if len(fields) == 0 {
		return ""
	}
	return strings.Join(fields, "\r\n") + "\r\n"
}

// Read reads the answer to a request with that method.
func (c *Conn) Read(method string) *Response {
	c.t.Helper()
	head, ok := c.head()
	if !ok {
		c.t.Fatalf("the connection ended instead of an answer; before: %q", head)
	}
	r, err := http.ReadResponse(bufio.NewReader(io.MultiReader(strings.NewReader(head), c.r)), &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("not an answer: %v\n%s", err, head)
	}
	if r.Close && strings.Contains(strings.ToLower(head), "\r\nconnection: close\r\n") {
		r.Header.Set("connection", "close") // net/http takes it out
	}
	response := &Response{Status: r.StatusCode, Head: head, Header: r.Header}
	switch {
	case method == "CONNECT" && r.StatusCode < 300: // a tunnel, whose bytes are the caller's
	case method == "HEAD" || r.StatusCode == 204 || r.StatusCode == 304 || r.StatusCode < 200:
	case len(r.TransferEncoding) > 0:
		response.Body, ok = c.chunks()
		if !ok {
			response.Err = io.ErrUnexpectedEOF
		}
	case r.ContentLength >= 0:
		b := make([]byte, r.ContentLength)
		n, err := io.ReadFull(c.r, b)
		response.Body, response.Err = string(b[:n]), err
	default:
		b, err := io.ReadAll(c.r)
		response.Body, response.Err = string(b), err
	}
	return response
}

// head reads up to the empty line.
func (c *Conn) head() (string, bool) {
	var b strings.Builder
	for {
		line, err := c.r.ReadString('\n')
		b.WriteString(line)
		if err != nil {
			return b.String(), false
		}
		if line == "\r\n" {
			return b.String(), true
		}
	}
}

// chunks reads a chunked body; trailers are read and dropped.
func (c *Conn) chunks() (string, bool) {
	var b strings.Builder
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return b.String(), false
		}
		size, _, _ := strings.Cut(strings.TrimSpace(line), ";")
		n, err := strconv.ParseInt(size, 16, 64)
		if err != nil {
			return b.String(), false
		}
		if n == 0 {
			_, ok := c.trailers()
			return b.String(), ok
		}
		if _, err := io.CopyN(&b, c.r, n); err != nil {
			return b.String(), false
		}
		if _, err := io.CopyN(io.Discard, c.r, 2); err != nil {
			return b.String(), false
		}
	}
}

func (c *Conn) trailers() (string, bool) {
	var b strings.Builder
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return b.String(), false
		}
		if line == "\r\n" {
			return b.String(), true
		}
		b.WriteString(line)
	}
}

// Rest reads to the end of the connection.
func (c *Conn) Rest() (string, error) {
	b, err := io.ReadAll(c.r)
	return string(b), err
}

// Closed tells whether the peer closes the connection, without another byte, before the deadline.
func (c *Conn) Closed() bool {
	_, err := c.r.ReadByte()
	return err != nil && !errors.Is(err, errTimeout)
}

var errTimeout error = timeout{}

type timeout struct{}

func (timeout) Error() string   { return "timeout" }
func (timeout) Is(e error) bool { n, ok := e.(net.Error); return ok && n.Timeout() }

// Want checks the status and, if given, that fields and the body are as patterns say: "name: pattern" for a field, anything else for
// the body. A pattern is path.Match's, over the whole value.
func (r *Response) Want(t testing.TB, status int, patterns ...string) *Response {
	t.Helper()
	if r.Status != status {
		t.Errorf("status %d, want %d\n%s%s", r.Status, status, r.Head, r.Body)
	}
	for _, p := range patterns {
		name, pattern, isField := strings.Cut(p, ": ")
		if !isField || strings.ContainsRune(name, ' ') {
			if r.Body != p {
				t.Errorf("body %q, want %q", r.Body, p)
			}
			continue
		}
		value := strings.Join(r.Header.Values(name), ",")
		if ok, err := path.Match(pattern, value); err != nil || !ok {
			t.Errorf("%s is %q, want %q", name, value, pattern)
		}
	}
	return r
}
