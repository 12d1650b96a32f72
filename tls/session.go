package tls

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/telemetry"
)

// Session is one side of a TLS connection, without I/O. While it shakes hands, on a goroutine of its own, whoever has the socket calls
// Begin, Feed, Take and Abort; afterwards Open, Seal and CloseNotify, and all of it from one goroutine.
type Session struct {
	conn *tls.Conn
	pipe pipe
	gate Gate
	of   *Context
	made *compiled
	// judged is the secret whose lists of what is revoked the peer was last looked up in.
	judged *config.Secret
	stats  *telemetry.Values // where its handshake was counted; nil: it has not been
	// records are those that have come whole and that crypto/tls has not been asked for yet, at most; to ask in vain costs it an allocation.
	records framing
	// shown is the certificate that this side has chosen to show.
	shown *config.Certificate
	keys  *keyLog // nil: secrets are not written down
	// stapling is what became of the client's wish for an OCSP response; it is read while the handshake goes on.
	stapling atomic.Uint32
	opened   bool              // Open has found out what the handshake left to be read
	issuer   *x509.Certificate // of the peer's certificate, once it was looked for
	looked   bool
	// expected says that the signature that it was to ask for has come, or will not; nil: none is expected.
	expected func()
}

func newSession(of *Context, made *compiled) *Session {
	s := &Session{gate: of.store.Gate, of: of, made: made, judged: made.secrets[maxSecrets-2]}
	s.pipe.arrived.L = &s.pipe.mu
	s.pipe.session = s
	return s
}

// errWait is what crypto/tls reads when nothing has come. It is a temporary error of the net package, which a connection survives
// (TestTemporaryErrorsAreForgiven pins that), and what is there of a record stays for the next call.
type errWait struct{}

func (errWait) Error() string   { return "tls: nothing has come" }
func (errWait) Timeout() bool   { return true }
func (errWait) Temporary() bool { return true }

var _ net.Error = errWait{}

// Errors of the end of a session.
var (
	// ErrClosed says that the peer has said that it sends no more.
	ErrClosed = io.EOF
	// ErrAborted is what a handshake fails with whose connection was lost.
	ErrAborted = errors.New("tls: the connection was lost during the handshake")
)

// maxHandshake is how much may have come that the handshake has not read yet, in bytes, before it is enough: crypto/tls bounds messages by
// 64 KiB, and those of certificates by 256 KiB. A client sends what it has to say right behind its last message.
const maxHandshake = 320 << 10

// pipe is what crypto/tls takes for a network connection.
type pipe struct {
	session *Session

	mu       sync.Mutex // during the handshake
	arrived  sync.Cond
	standing bool   // the handshake is over, and with it all locking
	in       []byte // what came and was not read; while Open runs, of its argument
	out      []byte // what is to be sent
	lost     error
	ended    bool // nothing more will come
	notify   func()
	done     bool
	err      error // of the handshake, with done
}

// Begin starts the handshake, for a server with what has come of the client's first message. notify is called, from other goroutines,
// whenever Take has something new to tell.
func (s *Session) Begin(first []byte, notify func()) {
	s.pipe.in = append(s.pipe.in, first...)
	s.records.see(first)
	s.pipe.notify = notify
	if q := s.made.queue; q != nil {
		s.expected = q.Expect()
	}
	go s.shake()
}

func (s *Session) shake() {
	s.gate.Enter()
	err := s.contained()
	s.settle()
	s.gate.Leave()
	p := &s.pipe
	p.mu.Lock()
	p.done, p.err = true, err
	p.mu.Unlock()
	p.notify()
}

// contained does the handshake. What panics in it ends it, and nothing else.
func (s *Session) contained() (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("tls: a panic was contained: %v\n%s", v, debug.Stack())
		}
	}()
	return s.conn.HandshakeContext(context.Background())
}

// Feed gives what has come. enough asks for no more until Take has something to tell: no handshake needs more than it has now.
func (s *Session) Feed(b []byte) (enough bool) {
	p := &s.pipe
	p.mu.Lock()
	defer p.mu.Unlock()
	p.in = append(p.in, b...)
	s.records.see(b)
	p.arrived.Signal()
	return len(p.in) > maxHandshake
}

// Abort ends a handshake whose connection is no more. Its goroutine ends soon.
func (s *Session) Abort() {
	p := &s.pipe
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost = ErrAborted
	p.arrived.Signal()
}

// End says that nothing more will come. A handshake that wants more than there is fails with ErrAborted.
func (s *Session) End() {
	p := &s.pipe
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.arrived.Signal()
}

// Take appends to dst what is to be sent, and tells whether the handshake is over, and how it ended. After done it is not called again.
func (s *Session) Take(dst []byte) (out []byte, done bool, err error) {
	p := &s.pipe
	p.mu.Lock()
	defer p.mu.Unlock()
	out = append(dst, p.out...)
	p.out = p.out[:0]
	if p.done {
		p.standing, p.out, p.notify = true, nil, nil
	}
	return out, p.done, p.err
}

// Read gives crypto/tls what came. During the handshake it waits for more, and lets others compute meanwhile.
func (p *pipe) Read(b []byte) (int, error) {
	if p.standing {
		if len(p.in) == 0 {
			return 0, errWait{}
		}
		n := copy(b, p.in)
		p.in = p.in[n:]
		return n, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.in) == 0 && p.lost == nil && !p.ended {
		if len(p.out) > 0 {
			p.notify()
		}
		p.session.gate.Leave()
		for len(p.in) == 0 && p.lost == nil && !p.ended {
			p.arrived.Wait()
		}
		p.mu.Unlock()
		p.session.gate.Enter()
		p.mu.Lock()
	}
	if p.lost != nil {
		return 0, p.lost
	}
	if len(p.in) == 0 {
		return 0, ErrAborted
	}
	n := copy(b, p.in)
	if p.in = p.in[n:]; len(p.in) == 0 {
		p.in = nil
	}
	return n, nil
}

// Write keeps what crypto/tls sends.
func (p *pipe) Write(b []byte) (int, error) {
	if !p.standing {
		p.mu.Lock()
		defer p.mu.Unlock()
	}
	p.out = append(p.out, b...)
	return len(b), nil
}

func (p *pipe) Close() error                     { return nil }
func (p *pipe) LocalAddr() net.Addr              { return nowhere{} }
func (p *pipe) RemoteAddr() net.Addr             { return nowhere{} }
func (p *pipe) SetDeadline(time.Time) error      { return nil }
func (p *pipe) SetReadDeadline(time.Time) error  { return nil }
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }

// nowhere is the address of a pipe. crypto/tls keeps sessions by it where no name is asked for, and none if it is empty; a context is for one
// cluster.
type nowhere struct{}

func (nowhere) Network() string { return "pipe" }
func (nowhere) String() string  { return "pipe" }

// maxRecord is the most plaintext that a record has (RFC 8446 §5.1).
const maxRecord = 16 << 10

// SealingRoom is the most that sealing adds to n bytes: of each record its head, an explicit nonce, the type and the tag.
func SealingRoom(n int) int { return (n/maxRecord + 1) * (5 + 8 + 1 + 16 + 16) }

// Open appends to dst what src, the bytes that have come, says in plain text. answer is what the peer has to be sent because of it, if
// anything. A record that is not whole is kept. The error is ErrClosed when the peer has said that it sends no more, and anything else is
// the end of the connection; the plaintext before it is given all the same.
func (s *Session) Open(dst, src []byte) (plain, answer []byte, err error) {
	p := &s.pipe
	s.records.see(src)
	if len(p.in) > 0 {
		src = append(p.in, src...) // what came behind the handshake
	}
	p.in = src
	for s.records.whole > 0 || len(p.in) > 0 || !s.opened {
		if cap(dst)-len(dst) < maxRecord {
			dst = append(make([]byte, 0, 2*cap(dst)+maxRecord), dst...)
		}
		n, err := s.conn.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		s.records.whole = max(0, s.records.whole-1)
		if err != nil {
			p.in, s.records.whole, s.opened = nil, 0, true
			answer, p.out = p.out, nil
			if errors.Is(err, errWait{}) {
				err = nil
			}
			return dst, answer, err
		}
	}
	answer, p.out = p.out, nil
	return dst, answer, nil
}

// framing follows the heads of records (RFC 8446 §5.1), to know how many have come whole.
type framing struct {
	head  [5]byte
	seen  int // bytes of the head
	left  int // bytes of the body
	whole int
}

func (f *framing) see(b []byte) {
	for len(b) > 0 {
		if f.left > 0 {
			n := min(f.left, len(b))
			if b, f.left = b[n:], f.left-n; f.left == 0 {
				f.whole++
			}
			continue
		}
		n := copy(f.head[f.seen:], b)
		b, f.seen = b[n:], f.seen+n
		if f.seen == len(f.head) {
			f.seen, f.left = 0, int(f.head[3])<<8|int(f.head[4])
			if f.left == 0 {
				f.whole++
			}
		}
	}
}

// Seal appends to dst what plain is to the peer.
func (s *Session) Seal(dst, plain []byte) ([]byte, error) {
	s.pipe.out = dst
	_, err := s.conn.Write(plain)
	dst, s.pipe.out = s.pipe.out, nil
	return dst, err
}

// CloseNotify appends to dst that nothing more will be sent.
func (s *Session) CloseNotify(dst []byte) []byte {
	s.pipe.out = dst
	s.conn.CloseWrite()
	dst, s.pipe.out = s.pipe.out, nil
	return dst
}

// State is what has been agreed on, and what the peer has shown.
func (s *Session) State() tls.ConnectionState { return s.conn.ConnectionState() }

// Peer is what the peer has shown, the leaf first; none: it has shown nothing.
func (s *Session) Peer() []*x509.Certificate {
	state, _ := s.told()
	return state.PeerCertificates
}

// Verified tells whether the peer has shown a certificate that ends with a root that is trusted, or that is known by its sum.
func (s *Session) Verified() bool { return s.made.checks.verified(s.Peer()) }

// Gate bounds how many handshakes compute at a time, for a whole process. How many there are is not its matter: one that waits for its
// peer is not in it.
type Gate chan struct{}

// NewGate makes a gate for n at a time.
func NewGate(n int) Gate { return make(Gate, n) }

// Enter waits for a place.
func (g Gate) Enter() { g <- struct{}{} }

// Leave gives it up.
func (g Gate) Leave() { <-g }
