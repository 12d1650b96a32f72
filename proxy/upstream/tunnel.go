package upstream

import (
	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/wire/http"
)

// Tunnel dials a connection of the stream's own, which carries bytes as they are: CONNECT ends with us, and what the client says next is
// not HTTP. When it stands, the stream hears of a response with status 200 that nobody has sent; if it cannot be made, OnRefused. Nothing
// of what SendHead is given is written. A request that it takes for an upgrade has nothing more to send until the tunnel stands; the body of
// another one is what goes through the tunnel, and its end is the end of that direction.
func (c *Cluster) Tunnel(l *loop.Loop, e *Endpoint, p config.Priority, by Apart, s Stream) (Loan, Failure) {
	stats := c.Local(l).Stats
	limits, counts := c.Limits(p), &c.Breakers[p]
	if !counts.Requests.Enter(limits.MaxRequests) {
		stats.Inc(RqActiveOverflow)
		return nil, Overflow
	}
	if !counts.Connections.Enter(limits.MaxConnections) {
		stats.Inc(CxOverflow)
		counts.Requests.Leave()
		return nil, Overflow
	}
	pool := e.pool(l).apart(c, by)
	if pool == nil {
		counts.Connections.Leave()
		counts.Requests.Leave()
		return nil, Overflow
	}
	h, f := pool.dial(c, p)
	if f != NoFailure {
		pool.left()
		counts.Connections.Leave()
		counts.Requests.Leave()
		return nil, f
	}
	h.tunnel = h
	if c.Config.CloseUnwell {
		h.pool.watch(h)
	}
	h.stream, h.cluster, h.priority = s, c, p
	e.Active.Force()
	stats.Inc(RqPendingTotal)
	stats.Inc(RqPendingActive)
	return h, NoFailure
}

func (h *HTTP1) openTunnel() {
	h.stats().Dec(RqPendingActive)
	h.countRequest()
	h.decoder.Upgrade()
	r := h.stream.Response()
	r.Reset()
	r.Version, r.Status = http.HTTP11, 200
	h.stream.OnHead(false)
}

// unwell implements tunnel.
func (h *HTTP1) unwell() {
	if !h.standing {
		h.unmade()
		h.refuseTunnel(ConnectFailed, CxDestroyLocal, "")
		return
	}
	s := h.stream
	h.stream = nil
	h.settle()
	h.discardActive(CxDestroyLocal, CxDestroyLocalWithActive)
	s.OnBroken(Terminated)
}

// refuseTunnel ends the loan of a tunnel that was never connected.
func (h *HTTP1) refuseTunnel(f Failure, row int, why string) {
	s := h.stream
	h.stream = nil
	h.settle()
	h.stats().Inc(RqPendingFailureEject)
	h.discard(row)
	s.OnRefused(f, why)
}
