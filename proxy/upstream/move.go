package upstream

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/loop"
)

// Age is how long ago the connection was dialled.
func (t *TCP) Age() time.Duration { return time.Duration(t.loop.Nanotime() - t.began) }

// Moved takes a connection that stands out of the books, once, for it goes on in another process: it is not counted as destroyed.
func (t *TCP) Moved() {
	if t.ended {
		return
	}
	t.ended = true
	t.unwatch()
	stats := t.stats()
	stats.Dec(CxActive)
	stats.Dec(RqActive)
	t.left()
}

// InheritTCP puts a connection that stands, and that another process has handed over, into the cluster's books: as active, and not as one
// more. It is over no limit, for it was let through before. The endpoint is the one at that address or, if the cluster has none there, one of
// its own that has departed.
func (c *Cluster) InheritTCP(l *loop.Loop, conn *loop.Conn, m *Member, number uint64, age time.Duration, o Carried) *TCP {
	c.Breakers[config.PriorityDefault].Connections.Force()
	stats := c.Local(l).Stats
	stats.Inc(CxActive)
	stats.Inc(RqActive)
	m.Counts.CxActive.Add(1)
	m.Active.Force()
	t := &TCP{Conn: conn, Number: number, Member: m, cluster: c, loop: l, owner: o, began: l.Nanotime() - int64(age), standing: true}
	if c.Config.CloseUnwell {
		m.pool(l).watch(t)
	}
	return t
}

// MemberAt is the cluster's endpoint at an address. If it has none there it is one that is the caller's alone, as if it had departed.
func (c *Cluster) MemberAt(a config.Address) *Member {
	if c.destinations != nil {
		to := netip.AddrPortFrom(a.AddrPort.Addr().Unmap(), a.AddrPort.Port())
		if d := c.destinations.find(c, to); d != nil {
			return &d.Member
		}
	} else {
		all := c.endpoints.Load().All
		for i := range all {
			if at := all[i].Address(); at.AddrPort == a.AddrPort && at.Path == a.Path {
				return &all[i]
			}
		}
	}
	e := &Endpoint{key: endpointKey{c.Config.Name, a, connectSettingsOf(c.Config, nil, "")}, Standing: &Standing{}, numbers: new(atomic.Uint64),
		pools: make([]atomic.Pointer[Pool], len(c.locals))}
	e.gone.Store(true)
	return &Member{Endpoint: e}
}
