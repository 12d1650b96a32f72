package listener

import (
	"time"

	"github.com/weftmesh/weft/proxy/l4"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/telemetry/accesslog"
)

// Moved takes a connection out of the books that goes on in another process: it is not counted as destroyed.
func (p *port) Moved() {
	p.stats.Dec(CxActive)
	p.worker.Dec(WorkerCxActive)
	p.departed()
}

// Inherit goes on with a tunnel that another process has handed over, on one loop and on that loop, as l4.Server's. False: this listener has no
// plain TCP chain of that ID or name, or the server has refused it.
func (l *Listener) Inherit(i int, pass *l4.Passage, fds [2]int, toUp, toDown []byte, claim func() bool) bool {
	p := l.ports[i]
	if p == nil || p.stopped {
		return l4.Decline(fds)
	}
	c := p.chains.tcp(pass.Chain, pass.Name)
	if c == nil {
		return l4.Decline(fds)
	}
	return c.TCP.Inherit(p.TCP, pass, fds, toUp, toDown, claim, func(conn *loop.Conn) loop.Gate { return p.readmit(c, pass, conn) })
}

// tcp is the plain TCP chain of an ID or, if what it is for has changed, of a name; nil: there is none.
func (s *Chains) tcp(id, name string) (named *Chain) {
	for _, c := range s.All {
		switch {
		case c.TCP == nil || c.TLS != nil:
		case c.Config.ID == id:
			return c
		case name != "" && c.Config.Name == name:
			named = c
		}
	}
	return named
}

// readmit counts a connection that another process has accepted, as one more that is active, and makes its gate.
func (p *port) readmit(c *Chain, pass *l4.Passage, conn *loop.Conn) loop.Gate {
	if !p.config.BeyondLimit {
		conn.Place()
	}
	p.stats.Inc(CxActive)
	p.worker.Inc(WorkerCxActive)
	if b := p.listener.balance; b != nil {
		b.stay(p.Loop.Index())
	}
	var gate loop.Gate = p
	if len(p.listener.logs) > 0 {
		e := &pass.Entry
		g := &logged{port: p, began: p.Loop.Nanotime() - int64(pass.Age), entry: accesslog.Entry{Whole: true, Start: e.Start, Direct: e.Direct, Remote: e.Remote, Local: e.Local,
			DirectLocal: e.DirectLocal, ServerName: e.ServerName, FilterChain: c.Config.Name}}
		if accesslog.Asked() {
			g.entry.More = &accesslog.More{Listener: p.listener.Config.Name, Ready: -1, Accepted: accesslog.At(time.Duration(0))}
		}
		gate = g
	}
	return c.Guards.Readmit(p.TCP, gate)
}
