package upstream

import (
	"errors"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/tls"
	"github.com/weftmesh/weft/wire/dubbo"
)

// link is a connection to an endpoint and its place in the books, whatever it speaks.
type link struct {
	conn     *loop.Conn
	pool     *Pool
	cluster  *Cluster
	timer    loop.Timer // connect timeout, then idle timeout
	lifetime loop.Timer
	local    netip.AddrPort
	number   uint64
	began    int64 // when it was dialled
	stood    int64 // when it was connected
	since    int64 // when it became idle
	rx, tx   uint64
	served   uint32
	era      uint32          // of the pool, when it was dialled
	dialled  config.Priority // of the request that it was made for
	standing bool            // connected
	expired  bool            // its lifetime is over: not lent again
	counted  bool            // taken out of the books
	tunnel   tunnel          // which it is the connection of, and not the pool's; nil: none
}

// dial starts a connection. How many the pool has, and how many are being made, is the caller's to count.
func (k *link) dial(p *Pool, c *Cluster, prio config.Priority, offers []string, o linkOwner) Failure {
	*k = link{number: p.endpoint.numbers.Add(1), pool: p, cluster: c, dialled: prio, began: p.loop.Nanotime(), era: p.era}
	stats := c.Local(p.loop).Stats
	stats.Inc(CxTotal)
	p.endpoint.Counts.CxTotal.Add(1)
	ask := tls.Ask{Name: p.name, Offer: offers}
	if p.offers != nil {
		ask.Offer, ask.Insist = p.offers, true
	}
	if p.speaks == SpeaksDubbo {
		ask.First = dubbo.ALPN
	}
	conn, err := c.dial(p.loop, p.endpoint, p.endpoint.Address(), p.from, p.header, ask, o)
	if err != nil {
		stats.Inc(CxConnectFail)
		p.endpoint.Counts.CxConnectFail.Add(1)
		return dialFailure(err)
	}
	k.conn = conn
	stats.Inc(CxActive)
	p.endpoint.Counts.CxActive.Add(1)
	p.loop.SetTimer(&k.timer, c.Config.ConnectTimeout, o)
	return NoFailure
}

// linkOwner is who a link is a part of.
type linkOwner interface {
	loop.Owner
	Expired(*loop.Timer)
}

// dialFailure tells an endpoint that is not there (Unix sockets refuse at once) from a lack of our own.
func dialFailure(err error) Failure {
	if _, lacks := err.(*unready); lacks || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.EACCES) {
		return ConnectFailed
	}
	return LocalConnectFailed
}

// ConnectError is what the system said of a connection, in Envoy's words, or why its TLS handshake failed. An endpoint that goes in the
// middle of one has no reasons, with Envoy.
func ConnectError(err error) string {
	var why *loop.HandshakeError
	switch {
	case errors.As(err, &why):
		return tls.Explain(why.Err)
	case errors.Is(err, loop.ErrUnshaken):
		return ""
	}
	text := "unknown error"
	if err != nil {
		text = err.Error()
	}
	return "delayed connect error: " + strings.ToUpper(text[:1]) + text[1:]
}

// stands takes note of a connection that is connected.
func (k *link) stands() {
	l := k.pool.loop
	k.standing = true
	k.cluster.shaken(l, k.conn)
	k.stood = l.Nanotime()
	k.stats().Observe(CxConnectMs, uint64(k.stood-k.began)/uint64(time.Millisecond))
	l.StopTimer(&k.timer)
}

// unmade takes note of a connection that never stood, for whatever reason.
func (k *link) unmade() {
	k.stats().Inc(CxConnectFail)
	k.pool.endpoint.Counts.CxConnectFail.Add(1)
}

// usable tells whether the connection may be lent again.
func (k *link) usable() bool {
	return !k.expired && k.era == k.pool.era && !k.pool.endpoint.gone.Load()
}

func (k *link) stats() *telemetry.Values { return k.cluster.Local(k.pool.loop).Stats }

// countRequest counts a request that has its connection.
func (k *link) countRequest() {
	stats := k.stats()
	stats.Inc(RqTotal)
	stats.Inc(RqActive)
	k.pool.endpoint.Counts.RqTotal.Add(1)
}

// countBytes counts what has come and gone since the last time.
func (k *link) countBytes() {
	stats := k.stats()
	rx, tx := k.conn.Received(), k.conn.Sent()
	stats.Add(CxRxBytes, rx-k.rx)
	stats.Add(CxTxBytes, tx-k.tx)
	k.rx, k.tx = rx, tx
}

// Conn implements Loan.
func (k *link) Conn() *loop.Conn { return k.conn }

// Local implements Loan. The kernel is asked once.
func (k *link) Local() netip.AddrPort {
	if !k.local.IsValid() {
		k.local = k.conn.Local()
	}
	return k.local
}

// Began implements Loan.
func (k *link) Began() (dialled, connected, shaken int64) {
	if began, stood := k.conn.Handshake(); stood != 0 {
		return k.began, began, stood
	}
	return k.began, k.stood, 0
}

// Number implements Loan.
func (k *link) Number() uint64 { return k.number }

// discard closes the connection.
func (k *link) discard(row int) {
	k.count(row)
	k.conn.Own(loop.Nobody{})
	k.conn.Close()
}

// discardActive is discard for one that is at work.
func (k *link) discardActive(row, activeRow int) {
	k.countActive(activeRow)
	k.discard(row)
}

// countActive counts that the connection, which is about to be closed, was at work.
func (k *link) countActive(activeRow int) {
	if !k.counted {
		stats := k.stats()
		stats.Inc(CxDestroyWithActive)
		stats.Inc(activeRow)
	}
}

// count takes the connection out of the books, once.
func (k *link) count(row int) {
	if k.counted {
		return
	}
	k.counted = true
	p, stats := k.pool, k.stats()
	p.loop.StopTimer(&k.timer)
	p.loop.StopTimer(&k.lifetime)
	if k.tunnel == nil {
		p.open--
	} else {
		delete(p.plain().tunnels, k.tunnel)
	}
	p.left()
	stats.Dec(CxActive)
	stats.Inc(CxDestroy)
	stats.Inc(row)
	stats.Observe(CxLengthMs, uint64(p.loop.Nanotime()-k.began)/uint64(time.Millisecond))
	p.endpoint.Counts.CxActive.Add(-1)
	k.cluster.Breakers[k.dialled].Connections.Leave()
}

// idles tells whether the connection, which is idle, has been so for its time; if not, it is looked at again when that is over.
func (k *link) idles(h loop.Alarm) bool {
	l, d := k.pool.loop, k.cluster.Config.IdleTimeout
	if left := d - time.Duration(l.Nanotime()-k.since); left > 0 {
		l.SetTimer(&k.timer, left, h)
		return false
	}
	k.stats().Inc(CxIdleTimeout)
	return true
}
