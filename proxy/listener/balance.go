package listener

import (
	"sync"

	"github.com/weftmesh/weft/proxy/loop"
)

// balance has every loop serve as many connections of a listener as the others, which costs each newcomer a lock and most of them a
// change of loops: for few connections that live long.
type balance struct {
	mu    sync.Mutex
	loops []balanced
}

// balanced is what is known of one loop.
type balanced struct {
	count int
	port  *port // nil: it does not accept yet, or no more
}

// offer says which port of a loop takes newcomers; nil: none does.
func (b *balance) offer(i int, p *port) {
	b.mu.Lock()
	b.loops[i].port = p
	b.mu.Unlock()
}

// take counts a newcomer for the loop that has the fewest, or else, of several, for the one that has accepted it.
func (b *balance) take(own int) *port {
	b.mu.Lock()
	defer b.mu.Unlock()
	least := own
	for i := range b.loops {
		if l := &b.loops[i]; l.port != nil && l.count < b.loops[least].count {
			least = i
		}
	}
	b.loops[least].count++
	return b.loops[least].port
}

// stay counts a connection for a loop that it cannot leave.
func (b *balance) stay(i int) {
	b.mu.Lock()
	b.loops[i].count++
	b.mu.Unlock()
}

func (b *balance) leave(i int) {
	b.mu.Lock()
	b.loops[i].count--
	b.mu.Unlock()
}

// settle gives a newcomer to the loop that is to serve it, before anybody has read from it; it says whether that is this one.
func (p *port) settle(a *loop.Pending) bool {
	to := p.listener.balance.take(p.Loop.Index())
	if to == p {
		return true
	}
	newcomer := *a
	to.Loop.Post(func() { to.receive(&newcomer) })
	return false
}

// receive takes over what another loop has accepted. If the listener has gone meanwhile, whoever stands in its place does.
func (p *port) receive(a *loop.Pending) {
	next := p.Local.at(a.Local())
	if !p.stopped || next == p { // it may accept nothing more, and is not gone
		p.admit(a)
		return
	}
	p.listener.balance.leave(p.Loop.Index())
	if next != nil {
		if next.listener.balance == nil || next.settle(a) {
			next.admit(a)
		}
		return
	}
	a.Refuse()
}

// departed lets the balance know of a connection that is gone, or that another listener got, and whoever waits for the last one.
func (p *port) departed() {
	if b := p.listener.balance; b != nil {
		b.leave(p.Loop.Index())
	}
	if f := p.Local.Departed; f != nil {
		f()
	}
}
