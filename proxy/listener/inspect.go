package listener

import (
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/wire/hello"
	"github.com/weftmesh/weft/wire/proxyproto"
)

// maxWaiting bounds how many connections of a loop may wait for their first bytes: whoever opens more and says nothing takes from
// himself.
const maxWaiting = 32 << 10

// outcome is what a filter makes of the bytes so far.
type outcome uint8

const (
	pass   outcome = iota // it is the next filter's turn
	await                 // more bytes are wanted
	refuse                // the connection is closed
)

// outcomeOf is what is usually made of a verdict. Of what is too large nobody can tell what it is, so nobody gets it.
func outcomeOf(v hello.Verdict) outcome {
	switch v {
	case hello.More:
		return await
	case hello.TooLarge:
		return refuse
	}
	return pass
}

// inspection is a connection that the filters of its listener look at. Whoever waits for bytes makes a connection of it; the bytes stay
// in its buffer and are offered to the chain's server.
type inspection struct {
	port    *port
	pending loop.Pending
	input   Input
	arrival loop.Arrival
	timer   loop.Timer
	next    *inspection // in port.waiting
	prev    *inspection
	at      int  // the filter that looks
	need    int  // bytes that there must be before it looks again
	handed  bool // came from another listener: goes to no third one
	waits   bool // is in port.waiting
}

// inspect looks at an accepted connection and gives it to its chain, now or later.
func (p *port) inspect(a *loop.Pending) {
	i := &inspection{port: p, pending: *a}
	i.pending.Arrival = &i.arrival
	i.arrival.Local, i.arrival.Accepted = a.Local(), p.Loop.Nanotime()
	i.input = Input{Destination: i.arrival.Local, Direct: a.Remote, Source: a.Remote}
	i.run(nil)
}

// run has the filters look at what there is, from the one that waits on. It says how much of it nobody else is to see.
func (i *inspection) run(b []byte) (used int) {
	filters := i.port.config.Filters
	for ; i.at < len(filters); i.at++ {
		f := &filters[i.at]
		if f.Disabled != nil && matches(f.Disabled, &i.input) {
			continue
		}
		out := pass
		switch f.Kind {
		case config.LookForDestination:
			if d := i.pending.OriginalDestination(); d.IsValid() {
				i.arrival.Destination, i.input.Destination = d, d
			}
		case config.LookForTLS:
			out = i.lookForTLS(f, b)
		case config.LookForHTTP:
			out = i.lookForHTTP(b)
		case config.ReadProxyHeader:
			var n int
			out, n = i.readProxyHeader(f, b)
			b, used = b[n:], used+n
		case config.KeepSource:
			if a := i.input.Source.Addr(); a.IsValid() { // a Unix socket's client has none
				i.arrival.Origin = &loop.Origin{Addr: a.Unmap().WithZone(""), Mark: f.Mark}
			}
		}
		switch out {
		case await:
			i.wait()
			return used
		case refuse:
			i.refuse()
			return used
		}
	}
	i.finish()
	return used
}

// readProxyHeader believes what a proxy says, and takes it away. A connection that must have a header and has none is refused.
func (i *inspection) readProxyHeader(f *config.ListenerFilter, b []byte) (outcome, int) {
	var h proxyproto.Header
	v, n := proxyproto.Parse(b, &h)
	stats, version := i.port.proxy[i.at], uint8(0)
	switch v {
	case proxyproto.More:
		i.need = n
		return await, 0
	case proxyproto.Found, proxyproto.Broken:
		if version = 2; b[0] == 'P' {
			version = 1
		}
	}
	refused := f.Proxy.Refused[version]
	switch {
	case (v == proxyproto.NotFound || refused) && f.Proxy.Optional:
		stats.Inc(ProxyNotFoundAllowed)
		return pass, 0
	case v == proxyproto.NotFound:
		stats.Inc(ProxyNotFoundDisallowed)
		return refuse, 0
	case refused:
		stats.Inc(proxyRow(ProxyV1Disallowed, version))
		return refuse, 0
	case v == proxyproto.Broken:
		stats.Inc(proxyRow(ProxyV1Error, version))
		return refuse, 0
	}
	stats.Inc(proxyRow(ProxyV1Found, version))
	if !h.Unknown {
		i.arrival.Source, i.input.Source = h.Source, h.Source
		if h.Destination != i.input.Destination {
			i.arrival.Destination, i.input.Destination = h.Destination, h.Destination
		}
	}
	return pass, n
}

// proxyRow is the row of a version, behind that of version 1.
func proxyRow(first int, version uint8) int { return first + int(version) - 1 }

func (i *inspection) lookForTLS(f *config.ListenerFilter, b []byte) outcome {
	var h hello.ClientHello
	v, need := hello.TLS(b, f.MaxHello, &h)
	n := i.port.TLS
	switch v {
	case hello.More:
		i.need = need
	case hello.TooLarge:
		n.Inc(HelloTooLarge)
	case hello.NotFound:
		if f.CloseOther {
			return refuse // Envoy does not count it
		}
		n.Inc(TLSNotFound)
	case hello.Found:
		n.Inc(TLSFound)
		i.arrival.Transport = "tls"
		count(n, h.ServerName != "", SNIFound, SNINotFound)
		count(n, len(h.Protocols) > 0, ALPNFound, ALPNNotFound)
		i.arrival.ServerName, i.arrival.Applications = h.ServerName, h.Protocols
	}
	return outcomeOf(v)
}

func (i *inspection) lookForHTTP(b []byte) outcome {
	if i.arrival.Transport != "" {
		return pass // what is inside of TLS cannot be seen
	}
	n := i.port.HTTPSeen
	if i.port.chains.dubbo {
		switch v, need := hello.IsDubbo(b); v {
		case hello.More:
			i.need = need
			return await
		case hello.Found:
			n.Inc(HTTPNotFound) // as Envoy counts it
			i.arrival.Applications = []string{hello.Dubbo}
			return pass
		}
	}
	v, version, need := hello.HTTP(b)
	switch v {
	case hello.More:
		i.need = need
	case hello.Found:
		n.Inc(HTTP10Found + int(version))
		i.arrival.Applications = []string{version.String()}
	default:
		n.Inc(HTTPNotFound)
	}
	if v == hello.More {
		return await
	}
	return pass
}

func count(n *telemetry.Values, found bool, yes, no int) {
	if found {
		n.Inc(yes)
	} else {
		n.Inc(no)
	}
}

// wait makes the connection one that is read from, for as long as filters may wait.
func (i *inspection) wait() {
	if i.waits {
		return
	}
	p := i.port
	if p.Local.waiting >= maxWaiting {
		p.stats.Inc(PreCxOverflow)
		i.refuse()
		return
	}
	if i.pending.Conn == nil {
		c, err := p.Loop.Adopt(&i.pending, int(p.config.BufferLimit), i)
		if err != nil {
			i.refuse()
			return
		}
		i.pending.Conn = c
	} else {
		i.pending.Conn.Own(i) // it was handed over with bytes that were read
	}
	i.waits = true
	p.Local.waiting++
	p.stats.Inc(PreCxActive)
	if i.next = p.waiting; i.next != nil {
		i.next.prev = i
	}
	p.waiting = i
	if d := p.config.FilterTimeout; d > 0 {
		p.Loop.SetTimer(&i.timer, d, i)
	}
}

// leave ends the waiting.
func (i *inspection) leave() {
	if !i.waits {
		return
	}
	i.waits = false
	p := i.port
	p.Loop.StopTimer(&i.timer)
	p.Local.waiting--
	p.stats.Dec(PreCxActive)
	if i.prev != nil {
		i.prev.next = i.next
	} else {
		p.waiting = i.next
	}
	if i.next != nil {
		i.next.prev = i.prev
	}
	i.next, i.prev = nil, nil
}

func (i *inspection) refuse() {
	i.leave()
	i.port.lost(&i.pending, 0, "")
	i.pending.Refuse()
}

// finish gives the connection to the listener that it belongs to, or to its chain.
func (i *inspection) finish() {
	i.leave()
	p := i.port
	if p.config.HandOver && !i.handed && i.arrival.Destination.IsValid() {
		if to := p.Local.at(i.arrival.Destination); to != nil && to != p {
			i.handOver(to)
			return
		}
	}
	i.input.ServerName, i.input.Applications, i.input.Transport = i.arrival.ServerName, i.arrival.Applications, i.arrival.Transport
	if i.input.Transport == "" {
		i.input.Transport = "raw_buffer"
	}
	p.serve(p.chains.Match(&i.input), &i.pending)
}

// handOver begins again with the filters of another listener.
func (i *inspection) handOver(to *port) {
	i.port.departed()
	if b := to.listener.balance; b != nil {
		b.stay(to.Loop.Index()) // it has been read from: too late to change loops
	}
	i.port, i.at, i.need, i.handed = to, 0, 0, true
	i.pending.Gate = to
	if len(to.listener.logs) > 0 {
		i.pending.Gate = to.logged(&i.pending)
	}
	if c := i.pending.Conn; c != nil {
		c.Again()
	}
	i.run(nil)
}

// OnData looks at all that has come, and takes nothing.
func (i *inspection) OnData(b []byte) int {
	if len(b) > 0 && len(b) >= i.need {
		return i.run(b)
	}
	return 0
}

// OnEOF is a client that has nothing more to say before anybody knows what to do with it.
func (i *inspection) OnEOF() {
	i.port.stats.Inc(FilterRemoteClose)
	i.refuse()
}

// OnClosed is an error of the socket.
func (i *inspection) OnClosed(error) {
	i.port.stats.Inc(FilterError)
	i.leave()
	i.port.lost(&i.pending, 0, "")
}

// Expired ends the waiting: for good, or with what is known.
func (i *inspection) Expired(*loop.Timer) {
	i.port.stats.Inc(PreCxTimeout)
	if i.port.config.ContinueOnTimeout {
		i.finish()
		return
	}
	i.refuse()
}

// OnPanic gives the connection up.
func (i *inspection) OnPanic(any) { i.refuse() }

// OnConnected is not for accepted connections.
func (i *inspection) OnConnected() {}

// OnLowWater is for who writes.
func (i *inspection) OnLowWater() {}

// matches tells whether a connection meets a condition.
func matches(m *config.ConnectionMatch, in *Input) bool {
	switch {
	case m.Or != nil:
		for k := range m.Or {
			if matches(&m.Or[k], in) {
				return true
			}
		}
		return false
	case m.And != nil:
		for k := range m.And {
			if !matches(&m.And[k], in) {
				return false
			}
		}
		return true
	case m.Not != nil:
		return !matches(m.Not, in)
	case m.Ports != nil:
		port := int32(in.Destination.Port())
		return in.Destination.IsValid() && m.Ports.From <= port && port < m.Ports.To
	}
	return true
}

// Left counts a connection that has gone.
func (p *port) Left(age time.Duration) {
	p.stats.Dec(CxActive)
	p.worker.Dec(WorkerCxActive)
	p.stats.Inc(CxDestroy)
	p.stats.Observe(CxLengthMs, uint64(age.Milliseconds()))
	p.departed()
}
