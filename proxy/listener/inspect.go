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
	i.arrival.Local = a.Local()
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
		verdict := hello.NotFound
		switch f.Kind {
		case config.LookForDestination:
			if d := i.pending.OriginalDestination(); d.IsValid() {
				i.arrival.Destination, i.input.Destination = d, d
			}
			continue
		case config.LookForTLS:
			if verdict = i.lookForTLS(f, b); verdict == hello.NotFound && f.CloseOther {
				verdict = hello.TooLarge
			}
		case config.LookForHTTP:
			verdict = i.lookForHTTP(b)
		case config.ReadProxyHeader:
			var n int
			verdict, n = i.readProxyHeader(f, b)
			b, used = b[n:], used+n
		}
		switch verdict {
		case hello.More:
			i.wait()
			return used
		case hello.TooLarge:
			i.refuse()
			return used
		}
	}
	i.finish()
	return used
}

// readProxyHeader believes what a proxy says, and takes it away. A connection that must have a header and has none is refused.
func (i *inspection) readProxyHeader(f *config.ListenerFilter, b []byte) (hello.Verdict, int) {
	var h proxyproto.Header
	v, n := proxyproto.Parse(b, &h)
	stats := i.port.proxy[i.at]
	switch {
	case v == proxyproto.More:
		i.need = n
		return hello.More, 0
	case v == proxyproto.Found && f.Proxy.Refused[h.Version] && !f.Proxy.Optional:
		stats.Inc(proxyRow(ProxyV1Disallowed, h.Version))
		return hello.TooLarge, 0
	case v == proxyproto.NotFound || v == proxyproto.Found && f.Proxy.Refused[h.Version] || v == proxyproto.Broken && f.Proxy.Optional && f.Proxy.Refused[versionOf(b)]:
		if f.Proxy.Optional {
			stats.Inc(ProxyNotFoundAllowed)
			return hello.NotFound, 0
		}
		stats.Inc(ProxyNotFoundDisallowed)
		return hello.TooLarge, 0
	case v == proxyproto.Broken:
		stats.Inc(proxyRow(ProxyV1Error, versionOf(b)))
		return hello.TooLarge, 0
	}
	stats.Inc(proxyRow(ProxyV1Found, h.Version))
	if !h.Unknown {
		i.arrival.Source, i.input.Source = h.Source, h.Source
		if h.Destination != i.input.Destination {
			i.arrival.Destination, i.input.Destination = h.Destination, h.Destination
		}
	}
	return hello.Found, n
}

// versionOf is the version of which b begins a header.
func versionOf(b []byte) uint8 {
	if b[0] == 'P' {
		return 1
	}
	return 2
}

func proxyRow(first int, version uint8) int { return first + int(version) - 1 }

func (i *inspection) lookForTLS(f *config.ListenerFilter, b []byte) hello.Verdict {
	var h hello.ClientHello
	v, need := hello.TLS(b, f.MaxHello, &h)
	n := i.port.TLS
	switch v {
	case hello.More:
		i.need = need
	case hello.TooLarge:
		n.Inc(HelloTooLarge)
	case hello.NotFound:
		n.Inc(TLSNotFound)
	case hello.Found:
		n.Inc(TLSFound)
		i.arrival.Transport = "tls"
		count(n, h.ServerName != "", SNIFound, SNINotFound)
		count(n, len(h.Protocols) > 0, ALPNFound, ALPNNotFound)
		i.arrival.ServerName, i.arrival.Applications = h.ServerName, h.Protocols
	}
	return v
}

func (i *inspection) lookForHTTP(b []byte) hello.Verdict {
	if i.arrival.Transport != "" {
		return hello.NotFound // what is inside of TLS cannot be seen
	}
	v, version, need := hello.HTTP(b)
	n := i.port.HTTPSeen
	switch v {
	case hello.More:
		i.need = need
	case hello.Found:
		n.Inc(HTTP10Found + int(version))
		i.arrival.Applications = []string{version.String()}
	default:
		n.Inc(HTTPNotFound)
	}
	return v
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
	i.port, i.at, i.need, i.handed = to, 0, 0, true
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
	p.stats.Inc(CxDestroy)
	p.stats.Observe(CxLengthMs, uint64(age.Milliseconds()))
}
