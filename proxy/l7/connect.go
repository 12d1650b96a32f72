package l7

import "github.com/weftmesh/weft/proxy/upstream"

// connect asks for the connection of an attempt: one of the pool's, or, for what goes upstream as it is, one of its own.
func (a *attempt) connect() (*upstream.HTTP1, upstream.Failure) {
	x := a.exchange
	l := x.local.Loop
	if x.has(terminated) {
		return x.cluster.Tunnel(l, a.member.Endpoint, x.forward.Priority, a)
	}
	return x.cluster.Lend(l, a.member.Endpoint, x.forward.Priority, !a.repeatable(), a, &a.wait)
}
