package proxy

import (
	"errors"
	"slices"
	"sync"

	"github.com/weftmesh/weft/proxy/handover"
	"github.com/weftmesh/weft/proxy/l4"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/telemetry"
)

// Rows of what is told of connections that change processes.
const (
	moveHandedOver = iota // to the successor
	moveKept              // that the successor did not take, or that could not be offered
	moveTaken             // of the process before
	moveRefused           // that the process before keeps
)

var moveStats = &telemetry.Table{Kind: "hot_restart", Metrics: []telemetry.Metric{
	moveHandedOver: {Name: "connections_handed_over"},
	moveKept:       {Name: "connections_kept"},
	moveTaken:      {Name: "connections_taken"},
	moveRefused:    {Name: "connections_refused"},
}}

// giving is the handing over of connections to a successor.
type giving struct {
	offers *handover.Offers
	wake   chan struct{}
	stop   chan struct{}
	done   chan struct{}
	mu     sync.Mutex
	queue  []*l4.Movable // that stand, and that nobody has offered yet
}

// push takes a tunnel that stands. It is called on any loop.
func (g *giving) push(m *l4.Movable) {
	g.mu.Lock()
	g.queue = append(g.queue, m)
	g.mu.Unlock()
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// take is all that stand and that nobody has offered yet.
func (g *giving) take() []*l4.Movable {
	g.mu.Lock()
	defer g.mu.Unlock()
	list := g.queue
	g.queue = nil
	return list
}

// Give offers the connections that can go on in another process to it, those that stand and those that come to stand, one at a time, until
// StopGiving or until the other process takes no more. settled hears how many of those that stood it has, how many stay, and why no more are
// offered, if none are. Give returns at once, and the offers are its own. What was given before, to another one, is given no more.
func (p *Proxy) Give(offers *handover.Offers, settled func(gone, stay int, err error)) {
	g := &giving{offers: offers, wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	p.gives.Lock()
	defer p.gives.Unlock()
	p.stopGiving()
	if p.givesNoMore {
		offers.Free()
		return
	}
	p.giving = g
	go func() {
		defer close(g.done)
		p.give(g, settled)
		p.onLoops(func(i int) { p.locals[i].TCP.Movables(nil) })
		offers.Free()
	}()
}

// StopGiving has no connection be handed over any more: when it returns, each is here or has gone.
func (p *Proxy) StopGiving() {
	p.gives.Lock()
	defer p.gives.Unlock()
	p.stopGiving()
}

func (p *Proxy) stopGiving() {
	if g := p.giving; g != nil {
		p.giving = nil
		close(g.stop)
		g.offers.Close()
		<-g.done
	}
}

func (p *Proxy) give(g *giving, settled func(gone, stay int, err error)) {
	p.onLoops(func(i int) { p.locals[i].TCP.Movables(g.push) })
	gone, stay := 0, 0
	var err error
	for _, m := range g.take() {
		went := false
		if err == nil {
			went, err = p.offer(g, m)
		}
		if went {
			gone++
		} else {
			stay++
		}
	}
	if err == nil {
		err = g.offers.Settled()
	}
	settled(gone, stay, err)
	for err == nil {
		select {
		case <-g.wake:
		case <-g.stop:
			return
		}
		for _, m := range g.take() {
			if err == nil {
				_, err = p.offer(g, m)
			}
		}
	}
}

// offer offers one tunnel. From the moment it is halted until the answer nobody here touches it.
func (p *Proxy) offer(g *giving, m *l4.Movable) (gone bool, err error) {
	var pass *l4.Passage
	var c handover.Connection
	var toUp, toDown [2][]byte
	halted, over := false, false
	await(m.Loop(), func() {
		pass, c.FDs, toUp, toDown, halted = m.Halt()
		over = m.Over()
	})
	if !halted {
		if !over {
			p.owners.moves.Inc(moveKept) // it speaks TLS, or is about to end
		}
		return false, nil
	}
	if c.State, err = pass.Encode(); err == nil {
		c.ToUp, c.ToDown = joined(toUp), joined(toDown)
		gone, err = g.offers.Offer(&c)
	}
	row := moveKept
	if gone {
		row = moveHandedOver
		await(m.Loop(), m.Leave)
	} else {
		await(m.Loop(), m.Proceed)
	}
	p.owners.moves.Inc(row)
	if errors.Is(err, handover.ErrTooLarge) {
		err = nil // the next one may be smaller
	}
	return gone, err
}

// joined is both pieces as one; most often there is one at most.
func joined(b [2][]byte) []byte {
	switch {
	case len(b[1]) == 0:
		return b[0]
	case len(b[0]) == 0:
		return b[1]
	}
	return slices.Concat(b[0], b[1])
}

// await runs f on a loop and waits for it.
func await(l *loop.Loop, f func()) {
	done := make(chan struct{})
	l.Post(func() {
		defer close(done)
		f()
	})
	<-done
}

// Numbered is a number that no connection of the process has, nor will in the time that a successor takes to come.
func (p *Proxy) Numbered() uint64 {
	return max(p.nextConn.Load(), p.clusters.Numbered()) + numbersBetween
}

// numbersBetween is how many connections may come while a successor does.
const numbersBetween = 1 << 20

// Take goes on with a connection that another process offers, if there is a listener, a chain and a cluster for it here, once claim has said
// that it is this process's. The descriptors are the proxy's in any case. It says whether it has the connection.
func (p *Proxy) Take(c *handover.Connection, claim func() bool) (took bool) {
	p.mu.Lock() // the listener stays, and the loops run
	defer p.mu.Unlock()
	defer func() {
		row := moveRefused
		if took {
			row = moveTaken
		}
		p.owners.moves.Inc(row)
	}()
	pass, err := l4.DecodePassage(c.State)
	if err != nil || p.closed || p.listeners[pass.Listener] == nil {
		return l4.Decline(c.FDs)
	}
	i := p.arrived % len(p.loops)
	p.arrived++
	await(p.loops[i], func() { took = p.listeners[pass.Listener].Inherit(i, pass, c.FDs, c.ToUp, c.ToDown, claim) })
	return took
}
