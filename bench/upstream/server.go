package upstream

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/weftmesh/weft/bench/poll"
)

// Ports are the loopback ports of a Server.
type Ports struct {
	HTTP   int `json:"http"`
	TCP1K  int `json:"tcp1k"`  // 1 KiB asked, 1 KiB answered
	TCP64K int `json:"tcp64k"` // 1 KiB asked, 64 KiB answered
	HTTP2  int `json:"http2"`
	Dubbo  int `json:"dubbo"`
}

// mostConns bounds the open connections; more are closed as they come.
const mostConns = 16384

// readSize is enough for many requests at once.
const readSize = 64 << 10

// A Server answers on its Ports.
type Server struct {
	set       *poll.Set
	stop      int // an eventfd
	listeners [5]listener
	conns     []conn // by descriptor
	buf       []byte
}

type listener struct {
	fd, port int
	kind     kind
}

// conn is one connection: what has been asked and not answered, and what of an answer is unsent.
type conn struct {
	open  bool
	stuck bool // the set watches for room, not for requests
	kind  kind
	http2 *shared
	dubbo *provider
	asked []byte // of a request that is not complete, or not yet its turn
	out   []byte // of the answer being sent
}

// Listen opens a server on free ports, of loopback or of all addresses.
func Listen(everywhere bool) (*Server, error) {
	set, err := poll.NewSet()
	if err != nil {
		return nil, fmt.Errorf("upstream: %w", err)
	}
	s := &Server{set: set, stop: -1, buf: make([]byte, readSize), conns: make([]conn, mostConns+64)}
	for i := range s.listeners {
		s.listeners[i].fd = -1
	}
	for i, k := range []kind{httpKind, tcp1K, tcp64K, http2Kind, dubboKind} {
		l := &s.listeners[i]
		l.kind = k
		if l.fd, l.port, err = poll.Listen(everywhere); err == nil {
			err = set.Add(l.fd, poll.In, int32(l.fd))
		}
		if err != nil {
			s.close()
			return nil, fmt.Errorf("upstream: %w", err)
		}
	}
	s.stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err == nil {
		err = set.Add(s.stop, poll.In, int32(s.stop))
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("upstream: %w", err)
	}
	return s, nil
}

// Ports returns where the server listens.
func (s *Server) Ports() Ports {
	return Ports{HTTP: s.listeners[0].port, TCP1K: s.listeners[1].port, TCP64K: s.listeners[2].port, HTTP2: s.listeners[3].port, Dubbo: s.listeners[4].port}
}

// Serve answers until ctx ends, then closes everything. It may be called once.
func (s *Server) Serve(ctx context.Context) error {
	defer s.close()
	stopped := make(chan struct{})
	wake := context.AfterFunc(ctx, func() {
		defer close(stopped)
		unix.Write(s.stop, binary.NativeEndian.AppendUint64(nil, 1))
	})
	defer func() {
		if !wake() {
			<-stopped // the descriptor must live until it has been written
		}
	}()
	for {
		events, err := s.set.Wait(poll.Forever)
		if err != nil {
			return fmt.Errorf("upstream: %w", err)
		}
		for _, ev := range events {
			fd := int(ev.Token)
			if fd == s.stop {
				return nil
			}
			if l := s.listener(fd); l != nil {
				if err := s.accept(l); err != nil {
					return err
				}
				continue
			}
			if !s.serve(fd) {
				s.drop(fd)
			}
		}
	}
}

func (s *Server) listener(fd int) *listener {
	for i := range s.listeners {
		if s.listeners[i].fd == fd {
			return &s.listeners[i]
		}
	}
	return nil
}

func (s *Server) accept(l *listener) error {
	for {
		fd, err := poll.Accept(l.fd)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.ECONNABORTED), errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("upstream: accept: %w", err)
		case fd >= len(s.conns):
			poll.Close(fd)
			continue
		}
		asked := s.conns[fd].asked[:0]
		s.conns[fd] = conn{open: true, kind: l.kind, asked: asked}
		if err := s.set.Add(fd, poll.In, int32(fd)); err != nil {
			return fmt.Errorf("upstream: %w", err)
		}
		switch l.kind {
		case http2Kind:
			c := &shared{}
			s.conns[fd].http2 = c
			c.Begin(s.set, fd, int32(fd), &options, c)
			c.Flush()
		case dubboKind:
			c := &provider{}
			s.conns[fd].dubbo = c
			c.Begin(s.set, fd, int32(fd), c.take)
			c.Flush()
		}
	}
}

// serve reads once, or sends what is left, and answers what is complete; false ends the connection.
// While an answer is unsent nothing is read, so that a peer that does not read cannot fill memory.
func (s *Server) serve(fd int) bool {
	c := &s.conns[fd]
	if m := c.http2; m != nil {
		return m.Read(s.buf) == nil && m.Flush() == nil
	}
	if p := c.dubbo; p != nil {
		return p.Read(s.buf) == nil && p.Flush() == nil
	}
	if c.stuck {
		return s.flush(fd, c) && (c.stuck || s.next(fd, c))
	}
	n, errno := poll.Recv(fd, s.buf)
	if errno == unix.EAGAIN {
		return true
	}
	if errno != 0 || n == 0 {
		return false
	}
	if len(c.asked) == 0 {
		// The common case: the read holds exactly one request, and nothing needs to be kept.
		if answer, used := c.kind.answer(s.buf[:n]); used == n {
			c.out = answer
			return s.flush(fd, c)
		}
	}
	if len(c.asked)+n > mostAsked {
		return false
	}
	c.asked = append(c.asked, s.buf[:n]...)
	return s.next(fd, c)
}

// next answers from what is kept until a request is incomplete or an answer does not fit.
func (s *Server) next(fd int, c *conn) bool {
	for !c.stuck {
		answer, used := c.kind.answer(c.asked)
		if used < 0 {
			return false
		}
		if used == 0 {
			return true
		}
		c.asked = append(c.asked[:0], c.asked[used:]...)
		c.out = answer
		if !s.flush(fd, c) {
			return false
		}
	}
	return true
}

func (s *Server) flush(fd int, c *conn) bool {
	n, errno := poll.Send(fd, c.out)
	if errno != 0 && errno != unix.EAGAIN {
		return false
	}
	c.out = c.out[n:]
	if left := len(c.out) > 0; left != c.stuck {
		c.stuck = left
		ready := uint32(poll.In)
		if left {
			ready = poll.Out
		}
		return s.set.Change(fd, ready, int32(fd)) == nil
	}
	return true
}

func (s *Server) drop(fd int) {
	s.conns[fd].open, s.conns[fd].http2, s.conns[fd].dubbo = false, nil, nil
	poll.Close(fd)
}

func (s *Server) close() {
	for fd := range s.conns {
		if s.conns[fd].open {
			s.drop(fd)
		}
	}
	for _, l := range s.listeners {
		if l.fd >= 0 {
			poll.Close(l.fd)
		}
	}
	if s.stop >= 0 {
		poll.Close(s.stop)
	}
	s.set.Close()
}
