package upstream

import (
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/tls"
)

// Carried is who a connection is carried by.
type Carried interface {
	loop.Owner
	// OnUnwell says that the endpoint has become unwell, and that the connection is to be closed.
	OnUnwell()
}

// TCP is a connection of a tunnel's own, in the cluster's books. Its owner tells it what becomes of it.
type TCP struct {
	Conn     *loop.Conn
	Number   uint64 // tells it apart from the process's other upstream connections
	Member   *Member
	cluster  *Cluster
	loop     *loop.Loop
	owner    Carried
	began    int64
	standing bool
	ended    bool
}

// DialTCP starts a connection for a tunnel to an endpoint. It seems to come from from, if that is not nil. How long it may take is the caller's to
// bound, by ConnectTimeout of the cluster's configuration.
func (c *Cluster) DialTCP(l *loop.Loop, m *Member, from *loop.Origin, header string, o Carried) (*TCP, Failure) {
	stats := c.Local(l).Stats
	counts := &c.Breakers[config.PriorityDefault]
	if !c.enterConnection(m.Endpoint, config.PriorityDefault) {
		stats.Inc(CxOverflow)
		return nil, Overflow
	}
	stats.Inc(RqPendingTotal) // to Envoy, a tunnel is a request that waits for its connection
	stats.Inc(CxTotal)
	m.Counts.CxTotal.Add(1)
	conn, err := c.dial(l, m.Endpoint, m.Address(), from, header, tls.Ask{}, o)
	if err != nil {
		counts.Connections.Leave()
		stats.Inc(CxConnectFail)
		stats.Inc(RqPendingFailureEject)
		m.Counts.CxConnectFail.Add(1)
		return nil, dialFailure(err)
	}
	stats.Inc(CxActive)
	m.Counts.CxActive.Add(1)
	m.Active.Force()
	t := &TCP{Conn: conn, Number: m.numbers.Add(1), Member: m, cluster: c, loop: l, owner: o, began: l.Nanotime()}
	if c.Config.CloseUnwell {
		m.pool(l).watch(t)
	}
	return t, NoFailure
}

// unwell implements tunnel.
func (t *TCP) unwell() { t.owner.OnUnwell() }

func (t *TCP) stats() *telemetry.Values { return t.cluster.Local(t.loop).Stats }

// Connected says that the connection stands.
func (t *TCP) Connected() {
	t.standing = true
	t.cluster.shaken(t.loop, t.Conn)
	stats := t.stats()
	stats.Inc(RqTotal)
	stats.Inc(RqActive)
	t.Member.Counts.RqTotal.Add(1)
	stats.Observe(CxConnectMs, uint64(t.loop.Nanotime()-t.began)/uint64(time.Millisecond))
}

// Failed counts why the connection never stood.
func (t *TCP) Failed(err error) { t.cluster.unshaken(t.loop, err) }

// GaveUp counts a tunnel for which no connection was made in as many tries as it may have.
func (c *Cluster) GaveUp(l *loop.Loop) { c.Local(l).Stats.Inc(CxAttemptsExceeded) }

// Ended takes the connection out of the books, once: row is CxDestroyLocal or CxDestroyRemote. Closing it is the caller's.
func (t *TCP) Ended(row int, timeout bool) {
	if t.ended {
		return
	}
	t.ended = true
	t.unwatch()
	stats := t.stats()
	stats.Dec(CxActive)
	stats.Inc(CxDestroy)
	stats.Inc(row)
	stats.Add(CxRxBytes, t.Conn.Received())
	stats.Add(CxTxBytes, t.Conn.Sent())
	stats.Observe(CxLengthMs, uint64(t.loop.Nanotime()-t.began)/uint64(time.Millisecond))
	if t.standing {
		stats.Dec(RqActive)
		stats.Inc(CxDestroyWithActive)
		if row == CxDestroyLocal {
			stats.Inc(CxDestroyLocalWithActive)
		} else {
			stats.Inc(CxDestroyRemoteWithActive)
		}
	} else {
		stats.Inc(CxConnectFail)
		t.Member.Counts.CxConnectFail.Add(1)
		switch {
		case timeout:
			stats.Inc(CxConnectTimeout)
			stats.Inc(RqPendingFailureEject)
		case row == CxDestroyLocal: // the client did not wait for it
			stats.Inc(RqCancelled)
		default:
			stats.Inc(RqPendingFailureEject)
		}
	}
	t.left()
}

func (t *TCP) unwatch() {
	if t.cluster.Config.CloseUnwell {
		delete(t.Member.pool(t.loop).tunnels, t)
	}
}

func (t *TCP) left() {
	t.Member.Counts.CxActive.Add(-1)
	t.Member.Active.Leave()
	t.cluster.Breakers[config.PriorityDefault].Connections.Leave()
}
