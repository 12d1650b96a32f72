package listener

import (
	"errors"
	"syscall"
	"time"

	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/telemetry/accesslog"
)

// logged is the gate of a connection that its listener logs, once, when it has gone: also one that no chain got.
type logged struct {
	port  *port
	began int64
	entry accesslog.Entry
}

// logged makes the gate of a connection that has come.
func (p *port) logged(a *loop.Pending) *logged {
	g := &logged{port: p, began: p.Loop.Nanotime(), entry: accesslog.Entry{Whole: true, Start: p.Loop.Now(), Direct: a.Remote, Remote: a.Remote, Local: a.Local(),
		RequestEnd: -1, UpstreamFirstSent: -1, UpstreamLastSent: -1, UpstreamHead: -1, UpstreamEnd: -1, DownstreamHead: -1}}
	if accesslog.Asked() {
		g.entry.More = &accesslog.More{Listener: p.listener.Config.Name, Ready: -1, Accepted: accesslog.At(0)}
	}
	return g
}

// learned takes down what was found out before a chain was chosen.
func (l *logged) learned(a *loop.Pending) {
	i, e := a.Arrival, &l.entry
	if i == nil {
		return
	}
	e.ServerName = i.ServerName
	if i.Source.IsValid() {
		e.Remote = i.Source
	}
	if i.Destination.IsValid() {
		e.Local, e.DirectLocal = i.Destination, e.Local
	}
}

// served takes down who gets the connection.
func (l *logged) served(c *Chain, a *loop.Pending) {
	l.learned(a)
	l.entry.FilterChain = c.Config.Name
}

// shaken takes down how far a TLS handshake got.
func (l *logged) shaken(c *loop.Conn) {
	e := &l.entry
	if s := c.TLS(); s != nil {
		e.TLS, e.ServerName = s, c.ServerName()
	}
	if e.More == nil {
		return
	}
	began, stood := c.Handshake()
	if began != 0 {
		e.More.Shaking = accesslog.At(time.Duration(began - l.began))
	}
	if stood != 0 {
		e.More.Shaken = accesslog.At(time.Duration(stood - l.began))
	}
}

// unshaken takes down what ended a connection in its TLS handshake, if it was not the handshake.
func (l *logged) unshaken(err error) {
	switch {
	case errors.Is(err, errSlow):
		l.entry.Termination = "transport socket timeout was reached"
		if l.entry.More != nil {
			l.entry.More.Closed = "transport_socket_timeout"
		}
	case (errors.Is(err, loop.ErrReset) || errors.As(err, new(syscall.Errno))) && l.entry.More != nil:
		l.entry.More.Reset = accesslog.ResetByPeer
	}
}

// Ended takes down how it went, of what the listener does not know itself.
func (l *logged) Ended(e *accesslog.Entry) {
	own := l.entry
	l.entry = *e
	to := &l.entry
	if to.More == nil {
		to.More = own.More
	}
	if to.More != nil {
		to.More.Gone = accesslog.Instant{} // of Envoy, too, only who has the connection tells that
		if own.More != nil {
			to.More.Shaking, to.More.Shaken = own.More.Shaking, own.More.Shaken
		}
	}
	to.TLS = own.TLS
	to.Whole, to.Start, to.FilterChain, to.ServerName = true, own.Start, own.FilterChain, own.ServerName
	to.Direct, to.Remote, to.Local, to.DirectLocal = own.Direct, own.Remote, own.Local, own.DirectLocal
	to.RequestEnd, to.UpstreamFirstSent, to.UpstreamLastSent, to.UpstreamHead, to.UpstreamEnd, to.DownstreamHead = -1, -1, -1, -1, -1, -1
}

// Left counts the connection and logs it.
func (l *logged) Left(age time.Duration) {
	l.port.Left(age)
	if l.entry.ConnectionID == 0 {
		l.entry.ConnectionID = l.port.listener.nextConn.Add(1) // nobody else has numbered it
	}
	l.write()
}

// Moved leaves it to another process to log the connection.
func (l *logged) Moved() { l.port.Moved() }

func (l *logged) write() {
	p, e := l.port, &l.entry
	e.End = time.Duration(p.Loop.Nanotime() - l.began)
	for _, log := range p.listener.logs {
		if f := log.Filter(); f == nil || f.Wants(e, p.Loop.Random(), nil) {
			log.Write(p.Loop.Index(), e)
		}
	}
}

// lost takes leave of a connection that no chain gets, before it is closed, and logs it if that is wanted.
func (p *port) lost(a *loop.Pending, flags accesslog.Flags, details string) {
	p.departed()
	if l, ok := a.Gate.(*logged); ok {
		l.learned(a)
		l.entry.Flags, l.entry.Details = flags, details
		l.write()
	}
}
