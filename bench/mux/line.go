package mux

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"

	"github.com/weftmesh/weft/bench/poll"
	"github.com/weftmesh/weft/wire/dubbo"
)

// maxFrame bounds a frame's body, in bytes: there is nothing near it.
const maxFrame = 64 << 10

// errAnswer is a frame that its taker does not know what to do with.
var errAnswer = errors.New("mux: a frame that nobody asked for")

// Line is a connection of Dubbo 2. Its owner reads it when the set says so, and flushes it after each turn.
type Line struct {
	FD    int
	Out   []byte // what a turn has to say
	token int32
	set   *poll.Set
	take  func(*dubbo.Head, []byte) bool
	kept  []byte // read, of a frame that is not whole
	sent  int
	stuck bool // the set watches for room
}

// Begin is as Conn's. take gets each frame that is whole, and says whether it is one that it wants.
func (l *Line) Begin(set *poll.Set, fd int, token int32, take func(*dubbo.Head, []byte) bool) {
	*l = Line{FD: fd, token: token, set: set, take: take, kept: l.kept[:0], Out: l.Out[:0], stuck: true}
}

// Read reads once and gives away what is whole. io.EOF is the peer's end.
func (l *Line) Read(buf []byte) error {
	n, errno := poll.Recv(l.FD, buf)
	switch {
	case errno == unix.EAGAIN:
		return nil
	case errno != 0:
		return errno
	case n == 0:
		return io.EOF
	}
	b := buf[:n]
	if len(l.kept) > 0 {
		l.kept = append(l.kept, b...)
		b = l.kept
	}
	for {
		h, more, err := dubbo.ParseHead(b, maxFrame)
		if err != nil {
			return err
		}
		if more || len(b) < dubbo.HeadSize+h.Body {
			break
		}
		frame := b[:dubbo.HeadSize+h.Body]
		if !l.take(&h, frame) {
			return errAnswer
		}
		b = b[len(frame):]
	}
	l.kept = append(l.kept[:0], b...)
	return nil
}

// Flush gives the socket what it takes, and asks to be told when it takes the rest.
func (l *Line) Flush() error {
	if l.sent < len(l.Out) {
		n, errno := poll.Send(l.FD, l.Out[l.sent:])
		if errno != 0 && errno != unix.EAGAIN {
			return errno
		}
		if l.sent += n; l.sent == len(l.Out) {
			l.Out, l.sent = l.Out[:0], 0
		} else if l.sent > len(l.Out)/2 {
			l.Out, l.sent = l.Out[:copy(l.Out, l.Out[l.sent:])], 0
		}
	}
	left := l.sent < len(l.Out)
	if left == l.stuck {
		return nil
	}
	l.stuck = left
	ready := uint32(poll.In)
	if left {
		ready |= poll.Out
	}
	return l.set.Change(l.FD, ready, l.token)
}
