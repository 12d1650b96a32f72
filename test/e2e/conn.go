package e2e

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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

// Bare dials connections that are descriptors and nothing of Go's own, so that thousands of them cost the test's side no heap and no polling.
// They live as long as the test.
type Bare struct {
	t   testing.TB
	to  netip.AddrPort
	fds []int
}

// NewBare is for connections to an address of IPv4.
func NewBare(t testing.TB, address string) *Bare {
	b := &Bare{t: t, to: netip.MustParseAddrPort(address)}
	t.Cleanup(func() {
		for _, fd := range b.fds {
			unix.Close(fd)
		}
	})
	return b
}

// Dial makes one, which reads and writes, waiting for the deadline at most, and nothing else.
func (b *Bare) Dial() net.Conn {
	b.t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	b.fds = append(b.fds, fd)
	// The bounds come after connect: with one a signal, the runtime's own, would cut it short.
	patience := &unix.Timeval{Sec: int64(deadline / time.Second)}
	if err := cmp.Or(unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1), unix.Connect(fd, &unix.SockaddrInet4{Port: int(b.to.Port()), Addr: b.to.Addr().As4()}),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, patience), unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, patience)); err != nil {
		b.t.Fatal(err)
	}
	return bare{fd: fd}
}

type bare struct {
	net.Conn // nil: bytes are moved, and that is all
	fd       int
}

func (b bare) Read(p []byte) (int, error) {
	n, err := uninterrupted(unix.Read, b.fd, p)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

func (b bare) Write(p []byte) (int, error) { return uninterrupted(unix.Write, b.fd, p) }

// uninterrupted does a call again that a signal has cut short.
func uninterrupted(call func(int, []byte) (int, error), fd int, p []byte) (int, error) {
	for {
		if n, err := call(fd, p); !errors.Is(err, unix.EINTR) {
			return max(n, 0), err
		}
	}
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
