package oracle

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/sys/unix"
)

// patience bounds every wait.
const patience = 10 * time.Second

// raw is what is sent for the text of an exchange, and the methods of the requests in it.
func raw(send string) (string, []string) {
	if strings.Contains(send, "\r\n") || send == "" || send[0] < ' ' {
		method, _, _ := strings.Cut(send, " ")
		return send, []string{method}
	}
	var b strings.Builder
	var methods []string
	for line := range strings.Lines(send) {
		parts := strings.Split(strings.TrimSuffix(line, "\n"), "; ")
		method, _, _ := strings.Cut(parts[0], " ")
		methods = append(methods, method)
		b.WriteString(parts[0] + " HTTP/1.1\r\n")
		if !strings.Contains(strings.ToLower(line), "; host:") {
			b.WriteString("host: a.example\r\n")
		}
		body := ""
		for _, p := range parts[1:] {
			if text, ok := strings.CutPrefix(p, "body: "); ok {
				body = text
				p = "content-length: " + strconv.Itoa(len(text))
			}
			b.WriteString(p + "\r\n")
		}
		b.WriteString("\r\n" + body)
	}
	return b.String(), methods
}

// ending says in words how reading ended.
func ending(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "ended"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout"
	}
	if _, said, ok := strings.Cut(err.Error(), "remote error: tls: "); ok {
		if aboutCertificates[said] {
			said = "about the certificate" // crypto/tls says that it is bad whatever is wrong with it
		}
		return "alert: " + said
	}
	return "reset"
}

// aboutCertificates are alerts that refuse one.
var aboutCertificates = map[string]bool{"bad certificate": true, "unsupported certificate": true, "revoked certificate": true, "expired certificate": true, "unknown certificate": true,
	"unknown certificate authority": true, "bad certificate hash value": true}

// message is a request or response as it was on the wire.
type message struct {
	line     string
	head     [][2]string
	body     string
	trailers [][2]string
}

// value is the first of a field, in small letters; "" if there is none.
func (m *message) value(name string) string {
	for _, f := range m.head {
		if strings.EqualFold(f[0], name) {
			return f[1]
		}
	}
	return ""
}

// fields are the values of each name, in order within it.
func (m *message) fields() (all []fact) {
	add := func(list [][2]string, suffix string) {
		for _, f := range list {
			name := f[0] + suffix
			if i := slices.IndexFunc(all, func(a fact) bool { return a.what == name }); i >= 0 {
				all[i].value += "\n" + f[1]
				continue
			}
			all = append(all, fact{name, f[1]})
		}
	}
	add(m.head, "")
	add(m.trailers, " (trailer)")
	return all
}

type reader struct{ r *bufio.Reader }

func newReader(c io.Reader) *reader { return &reader{bufio.NewReader(c)} }

// block reads lines up to an empty one.
func (r *reader) block() (list [][2]string, err error) {
	for {
		line, err := r.r.ReadString('\n')
		if err != nil {
			return list, err
		}
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			return list, nil
		}
		name, value, _ := strings.Cut(line, ":")
		list = append(list, [2]string{name, strings.TrimSpace(value)})
	}
}

// response reads the answer to a request with that method. Early ones, of 1xx, are noted in its first line.
func (r *reader) response(method string) (*message, error) {
	m := &message{}
	for {
		line, err := r.r.ReadString('\n')
		if err != nil {
			return m, err
		}
		m.line += strings.TrimRight(line, "\r\n")
		if m.head, err = r.block(); err != nil {
			return m, err
		}
		words := strings.SplitN(line, " ", 3)
		if len(words) < 2 {
			return m, nil
		}
		switch status := strings.TrimSpace(words[1]); {
		case status == "101", method == "CONNECT" && status == "200", status == "204", status == "304", method == "HEAD":
			return m, nil
		case status[0] == '1':
			m.line += fmt.Sprint(m.head, ", then ")
			continue
		}
		return m, r.content(m, false)
	}
}

// request reads one.
func (r *reader) request() (*message, error) {
	m := &message{}
	line, err := r.r.ReadString('\n')
	if err != nil {
		return m, err
	}
	m.line = strings.TrimRight(line, "\r\n")
	if m.head, err = r.block(); err != nil {
		return m, err
	}
	return m, r.content(m, true)
}

func (r *reader) content(m *message, request bool) error {
	length := m.value("content-length")
	switch {
	case strings.Contains(m.value("transfer-encoding"), "chunked"):
		for {
			line, err := r.r.ReadString('\n')
			if err != nil {
				return err
			}
			size, _, _ := strings.Cut(strings.TrimSpace(line), ";")
			n, err := strconv.ParseInt(size, 16, 64)
			if err != nil {
				return err
			}
			if n == 0 {
				m.trailers, err = r.block()
				return err
			}
			b := make([]byte, n+2)
			if _, err := io.ReadFull(r.r, b); err != nil {
				return err
			}
			m.body += string(b[:n])
		}
	case length != "":
		n, err := strconv.Atoi(length)
		if err != nil {
			return err
		}
		b := make([]byte, n)
		read, err := io.ReadFull(r.r, b)
		m.body = string(b[:read])
		return err
	case !request:
		b, err := io.ReadAll(r.r)
		m.body = string(b)
		return err
	}
	return nil
}

// upstream is a server that answers as it is told and takes note of what it is asked.
type upstream struct {
	name    string
	port    int
	secure  *tls.Config // nil: it speaks plain text
	mu      sync.Mutex
	answers []string
	asked   []*message
	echo    int // bytes that a tunnel sends back before it ends
	came    chan struct{}
	reading atomic.Int64 // connections in the middle of a request
	stands  net.Listener
	open    map[net.Conn]bool
	held    chan struct{} // closed: handshakes go on
}

// wait waits while handshakes are held (hold).
func (u *upstream) wait() {
	u.mu.Lock()
	held := u.held
	u.mu.Unlock()
	if held == nil {
		return
	}
	select {
	case <-held:
	case <-time.After(patience):
	}
}

// busy tells whether somebody is in the middle of a request, or has said something that was not looked at yet.
func (u *upstream) busy() bool {
	if u.reading.Load() > 0 {
		return true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	waits := func(c syscall.Conn, ask func(fd int) (int, error)) bool {
		raw, err := c.SyscallConn()
		n := 0
		if err == nil {
			raw.Control(func(fd uintptr) { n, _ = ask(int(fd)) })
		}
		return n > 0
	}
	if l, ok := u.stands.(*net.TCPListener); ok && waits(l, func(fd int) (int, error) {
		i, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return 0, err
		}
		return int(i.Unacked), nil // of a socket that listens: who waits to be accepted (tcp(7))
	}) {
		return true
	}
	for c := range u.open {
		if t, ok := c.(*net.TCPConn); ok && waits(t, func(fd int) (int, error) { return unix.IoctlGetInt(fd, unix.TIOCINQ) }) {
			return true
		}
	}
	return false
}

func serve(t *testing.T, name string, secure *tls.Config) *upstream {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	u := &upstream{name: name, port: l.Addr().(*net.TCPAddr).Port, secure: secure, came: make(chan struct{}, 64)}
	u.serve(l)
	return u
}

// serve answers who comes to a listener, until it is closed.
func (u *upstream) serve(l net.Listener) {
	u.mu.Lock()
	if u.stands == nil {
		u.stands, u.open = l, map[net.Conn]bool{}
	}
	u.mu.Unlock()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			u.mu.Lock()
			u.open[c] = true
			u.mu.Unlock()
			go func() {
				u.talk(c)
				u.mu.Lock()
				delete(u.open, c)
				u.mu.Unlock()
			}()
		}
	}()
}

// expect forgets what was asked and says what to answer from now on.
func (u *upstream) expect(answers []string, echo int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.answers, u.asked, u.echo = answers, nil, echo
	for len(u.came) > 0 {
		<-u.came
	}
}

// got is what was asked. What nobody waits for, a mirrored request, is waited for here.
func (u *upstream) got(wait bool) []*message {
	u.mu.Lock()
	none := len(u.asked) == 0
	u.mu.Unlock()
	if wait && none {
		select {
		case <-u.came:
		case <-time.After(300 * time.Millisecond):
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.asked
}

// silence is the answer of an upstream that says nothing and waits for the connection to end.
const silence = "silence"

// tunnel is appended to an answer after which what comes is sent back, as much as the exchange sends then, before the end.
const tunnel = "\x00"

func (u *upstream) talk(c net.Conn) {
	defer c.Close()
	agreed := ""
	if u.secure != nil {
		u.wait()
		secure := tls.Server(c, u.secure)
		if secure.Handshake() != nil {
			return
		}
		defer secure.Close()
		state := secure.ConnectionState()
		agreed = fmt.Sprintf("for %q, %s", state.ServerName, agreement(&state))
		c = secure
	}
	r := newReader(c)
	if b, err := r.r.Peek(4); err == nil && string(b) == "PRI " {
		io.CopyN(io.Discard, r.r, int64(len(http2.ClientPreface)))
		u.talk2(c, r.r, agreed)
		return
	}
	for {
		if b, err := r.r.Peek(4); err == nil && string(b) == "tcp " {
			u.mu.Lock()
			var text []byte
			if n := u.echo; n > 0 {
				text = make([]byte, n)
				io.ReadFull(r.r, text)
			} else {
				text, _ = io.ReadAll(r.r)
			}
			u.asked = append(u.asked, &message{line: string(text) + agreed})
			u.mu.Unlock()
			fmt.Fprintf(c, "%s got %s", u.name, text)
			return
		}
		if _, err := r.r.Peek(1); err != nil {
			return
		}
		u.reading.Add(1)
		m, err := r.request()
		if err != nil && m.line == "" {
			u.reading.Add(-1)
			return
		}
		answer, echo := u.ask(m, agreed)
		u.reading.Add(-1)
		if err != nil || answer == "" {
			return
		}
		if answer == silence {
			io.Copy(io.Discard, r.r)
			return
		}
		answer, isTunnel := strings.CutSuffix(answer, tunnel)
		io.WriteString(c, answer)
		if isTunnel {
			io.CopyN(c, r.r, int64(echo))
			return
		}
		if strings.Contains(strings.ToLower(answer), "\r\nconnection: close\r\n") || strings.HasPrefix(answer, "HTTP/1.0") {
			return
		}
	}
}

// ask takes note of a request and gives what is to be answered, and how many bytes of a tunnel go back.
func (u *upstream) ask(m *message, agreed string) (answer string, echo int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	answer = fmt.Sprintf("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n%s", len(u.name), u.name)
	if strings.HasPrefix(m.line, "HEAD ") && len(u.answers) == 0 {
		answer = strings.TrimSuffix(answer, u.name)
	}
	if len(u.answers) > 0 {
		answer = u.answers[min(len(u.asked), len(u.answers)-1)]
	}
	if agreed != "" {
		m.head = append(m.head, [2]string{"(tls)", agreed})
	}
	u.asked = append(u.asked, m)
	select {
	case u.came <- struct{}{}:
	default:
	}
	return answer, u.echo
}
