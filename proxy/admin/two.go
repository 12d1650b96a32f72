package admin

import (
	"bytes"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// preface is how whoever speaks HTTP/2 begins (RFC 9113 §3.4), as far as it takes to tell. No method of HTTP/1 is called so.
const preface = "PRI "

// fork accepts connections for the pages, and leaves those that speak HTTP/2 to another listener. What it is, a connection shows with its
// first bytes, which are read where the pages would have read them, and within their time.
type fork struct {
	net.Listener
	two    chan net.Conn
	closed chan struct{}
	over   atomic.Bool
}

func newFork(l net.Listener) *fork {
	return &fork{Listener: l, two: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept gives a connection to the pages.
func (f *fork) Accept() (net.Conn, error) {
	c, err := f.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &arrival{Conn: c, fork: f}, nil
}

// Close ends both.
func (f *fork) Close() error {
	if f.over.Swap(true) {
		return nil
	}
	close(f.closed)
	return f.Listener.Close()
}

// other is the listener for those that speak HTTP/2.
type other struct{ *fork }

func (o other) Accept() (net.Conn, error) {
	select {
	case c := <-o.two:
		return c, nil
	case <-o.closed:
		return nil, net.ErrClosed
	}
}

// arrival is a connection of which it is not known yet what it speaks.
type arrival struct {
	net.Conn
	fork  *fork
	known bool
	first []byte      // what was read to find out, and not by who reads now
	left  atomic.Bool // it is another's now: what the pages do to it has no effect
}

func (a *arrival) Read(b []byte) (int, error) {
	if a.left.Load() {
		return 0, io.EOF
	}
	for !a.known {
		var more [len(preface)]byte
		n, err := a.Conn.Read(more[len(a.first):])
		a.first = append(a.first, more[len(a.first):len(a.first)+n]...)
		if err != nil {
			return copy(b, a.first), err
		}
		if !bytes.HasPrefix([]byte(preface), a.first) {
			a.known = true
		} else if len(a.first) == len(preface) {
			a.leave()
			return 0, io.EOF
		}
	}
	if len(a.first) > 0 {
		n := copy(b, a.first)
		a.first = a.first[n:]
		return n, nil
	}
	return a.Conn.Read(b)
}

// leave hands the connection over.
func (a *arrival) leave() {
	a.left.Store(true)
	a.Conn.SetDeadline(time.Time{})
	select {
	case a.fork.two <- &begun{Conn: a.Conn, first: a.first}:
	case <-a.fork.closed:
		a.Conn.Close()
	}
}

func (a *arrival) Close() error {
	if a.left.Load() {
		return nil
	}
	return a.Conn.Close()
}

func (a *arrival) Write(b []byte) (int, error) {
	if a.left.Load() {
		return 0, net.ErrClosed
	}
	return a.Conn.Write(b)
}

func (a *arrival) SetDeadline(t time.Time) error {
	if a.left.Load() {
		return nil
	}
	return a.Conn.SetDeadline(t)
}

func (a *arrival) SetReadDeadline(t time.Time) error {
	if a.left.Load() {
		return nil
	}
	return a.Conn.SetReadDeadline(t)
}

func (a *arrival) SetWriteDeadline(t time.Time) error {
	if a.left.Load() {
		return nil
	}
	return a.Conn.SetWriteDeadline(t)
}

// begun is a connection of which the first bytes were read.
type begun struct {
	net.Conn
	first []byte
}

func (c *begun) Read(b []byte) (int, error) {
	if len(c.first) > 0 {
		n := copy(b, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}
