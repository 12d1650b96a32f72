package l7

import (
	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/route"
)

// log writes the exchange as it is now.
func (x *exchange) log() {
	l := x.local.Loop
	x.entry.WireReceived, x.entry.WireSent = x.client.wire()
	for _, log := range x.server.logs {
		if f := log.Filter(); f == nil || f.Wants(&x.entry, l.Random(), route.Rules{}) {
			log.Write(l.Index(), &x.entry)
		}
	}
}

// logAt writes it before its end.
func (x *exchange) logAt(m config.LogMoment) {
	e := &x.entry
	e.Moment, e.End = m, x.since()
	sent, received := e.UpstreamWireSent, e.UpstreamWireReceived
	x.attempt.countSoFar()
	for _, a := range x.rivals {
		a.countSoFar()
	}
	x.log()
	e.UpstreamWireSent, e.UpstreamWireReceived = sent, received
	e.Moment, e.End = config.LogAtEnd, -1
}

// countSoFar notes what an attempt that is under way has cost, as settle does when it is over.
func (a *attempt) countSoFar() {
	if a.conn != nil {
		e := &a.exchange.entry
		received, sent := a.conn.Wire()
		e.UpstreamWireSent += sent
		e.UpstreamWireReceived += received
	}
}
