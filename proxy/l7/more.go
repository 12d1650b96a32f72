package l7

import (
	"time"

	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/telemetry/accesslog"
)

// askedMore is where the exchange notes what few formats ask for; nil if none does.
func (x *exchange) askedMore() *accesslog.More {
	if !accesslog.Asked() {
		return nil
	}
	if x.more == nil {
		x.more = new(accesslog.More)
	}
	x.more.Begin(x.server.listener)
	c := x.conn
	x.more.Accepted = accesslog.At(time.Duration(c.accepted() - x.began))
	if began, stood := c.conn.Handshake(); stood != 0 {
		x.more.Shaking, x.more.Shaken = accesslog.At(time.Duration(began-x.began)), accesslog.At(time.Duration(stood-x.began))
	}
	return x.more
}

// accepted is when the connection came.
func (c *Conn) accepted() int64 {
	if at := c.conn.Accepted(); at != 0 {
		return at
	}
	return c.began
}

// transport is what a connection's TLS tells; nil: it is in plain text.
func transport(c *loop.Conn) accesslog.Transport {
	if s := c.TLS(); s != nil {
		return s
	}
	return nil
}

// received is what has come of heads so far. It stays with all passes of a request whose redirects are followed.
func (x *exchange) received() accesslog.HeadBytes {
	if m := x.entry.More; m != nil {
		return m.Received
	}
	return accesslog.HeadBytes{}
}

// beginResolving is when a route begins to be looked for, if that is asked for.
func (x *exchange) beginResolving() (began time.Time) {
	if x.entry.More != nil {
		began = time.Now() // the loop's clock stands still within a turn
	}
	return began
}

// resolved takes note of a route that was looked for, found or not.
func (x *exchange) resolved(began time.Time) {
	if m := x.entry.More; m != nil {
		m.Resolutions++
		m.Resolving += time.Since(began)
	}
}

// noteReady takes note of how long the attempt has waited for its connection, or for nothing.
func (a *attempt) noteReady(lent bool) {
	x := a.exchange
	m := x.entry.More
	m.Lent, m.Ready = lent, time.Duration(x.local.Loop.Nanotime()-a.began)
	if lent {
		dialled, connected, shaken := a.conn.Began()
		m.Dialled, m.Connected = accesslog.At(time.Duration(dialled-x.began)), accesslog.At(time.Duration(connected-x.began))
		if shaken != 0 {
			m.UpstreamShaken = accesslog.At(time.Duration(shaken - x.began))
		}
	}
}

// noteSent takes note of a head that is written downstream.
func (x *exchange) noteSent(head []byte) {
	if m := x.entry.More; m != nil {
		m.Sent.Written(accesslog.FieldBytes(head))
	}
}

// lastChunk is what ends a chunked body beside its trailers.
const lastChunk = "0\r\n\r\n"
