package l7

import (
	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/wire/http"
)

// lane is one direction of an exchange on its way through the filters. A message moves as far as the filters let it: its head stands at
// one filter at most, and each filter may keep a part of the body and wait for something of its own. In the common case it stands
// nowhere and nothing is kept.
type lane struct {
	backward bool
	passed   bool // the head has passed all filters
	standing bool // the head waits at filter at, for that filter's body hook to say Continue
	at       int
	kept     [][]byte // by filter: what it holds
	awaits   []*await // by filter: what it waits for; nil until it first does
	waiting  int      // how many of them hold the message up
	awaited  bool     // one of them was used
	limit    int      // bytes of what is kept, each
}

func (l *lane) awaiting() bool { return l.waiting > 0 }

// waitsAt is what the n-th filter waits for while the message stands there; nil: nothing.
func (l *lane) waitsAt(n int) *await {
	if l.waiting == 0 {
		return nil
	}
	if a := l.awaits[n]; a != nil && a.holds {
		return a
	}
	return nil
}

func (l *lane) reset() {
	for i := range l.kept {
		l.kept[i] = emptied(l.kept[i])
	}
	if l.awaited {
		for _, a := range l.awaits {
			if a != nil {
				a.forget()
			}
		}
	}
	*l = lane{backward: l.backward, kept: l.kept, awaits: l.awaits, limit: l.limit}
}

// emptied keeps a buffer's memory for later, unless it is much.
func emptied(b []byte) []byte {
	if cap(b) > maxScratch {
		return nil
	}
	return b[:0]
}

// startChain gives the exchange its filters: those of the last exchange if they are of the same chain.
func (x *exchange) startChain() {
	l := x.generation.links[x.server]
	if l == nil {
		l = x.server.links.Load()
	}
	if x.links == l {
		for i := range l.list {
			x.skip[i] = l.list[i].off
		}
		return
	}
	x.links = l
	x.filters = x.filters[:0]
	for i := range l.list {
		x.filters = append(x.filters, l.list[i].make(x.local.Loop.Index()))
	}
	x.skip = make([]bool, len(x.filters))
	for _, l := range []*lane{&x.up, &x.down} {
		l.kept, l.awaits = make([][]byte, len(x.filters)), make([]*await, len(x.filters))
	}
	for i := range l.list {
		x.skip[i] = l.list[i].off
	}
}

// chooseFilters leaves out the filters that the chain, or what the request's route says of them, turns off.
func (x *exchange) chooseFilters() {
	for i := range x.filters {
		x.skip[i] = !x.links.list[i].on(x.overrideOf(i))
	}
}

// on tells whether a request meets the filter, of which its place in the table says that; nil: nothing.
func (l *link) on(said *config.FilterOverride) bool {
	if said != nil {
		return !said.Disabled
	}
	return !l.off
}

// leaveChain has an exchange meet no filters from now on.
func (x *exchange) leaveChain() {
	x.filters = x.filters[:0]
	x.links = nil
}

// step is the n-th filter that a message of this lane meets.
func (x *exchange) step(l *lane, n int) int {
	if l.backward {
		return len(x.filters) - 1 - n
	}
	return n
}

// passHead takes a head through the filters from the n-th on.
func (x *exchange) passHead(l *lane, n int, end bool) {
	hook := filters.OnRequestHeaders
	if l.backward {
		hook = filters.OnResponseHeaders
	}
	for ; n < len(x.filters); n++ {
		i := x.step(l, n)
		if x.skip[i] || x.links.list[i].hooks&hook == 0 {
			continue
		}
		var action filters.Action
		x.running, x.moving = i, l
		if l.backward {
			action = x.filters[i].ResponseHeaders(x, end)
		} else {
			action = x.filters[i].RequestHeaders(x, end)
		}
		if !x.headMayPass(l, n, end, action) {
			return
		}
	}
	l.passed = true
	if l.backward {
		x.sendHead(end)
	} else {
		x.forwardHead(end)
	}
}

// headMayPass obeys what a filter's head hook answered.
func (x *exchange) headMayPass(l *lane, n int, end bool, action filters.Action) bool {
	switch action {
	case filters.Continue:
		return !x.gone(l)
	case filters.Hold:
		// A message without body has nothing to wait for.
		if end {
			return !x.gone(l)
		}
		l.standing, l.at = true, n
	case filters.Changed: // it has a body now
		b := x.added
		x.added = nil
		if !x.gone(l) {
			x.passHead(l, n+1, false)
		}
		if !x.gone(l) {
			x.passBody(l, n+1, b, true)
		}
	case filters.Await:
		x.hold(l, n, atHead).laterEnd = end
	}
	return false
}

// AddBody implements filters.Exchange.
func (x *exchange) AddBody(b []byte) { x.added = b }

// gone tells whether the message has no way to go any more: another answer was given in its place.
func (x *exchange) gone(l *lane) bool { return x.has(over) || !l.backward && x.has(replied) }

// passBody takes a piece of the body through the filters from the n-th on.
func (x *exchange) passBody(l *lane, n int, b []byte, end bool) {
	hook := filters.OnRequestBody
	if l.backward {
		hook = filters.OnResponseBody
	}
	for ; n < len(x.filters); n++ {
		if a := l.waitsAt(n); a != nil {
			x.keepForLater(a, b, end)
			return
		}
		i := x.step(l, n)
		action := filters.Continue
		if !x.skip[i] && x.links.list[i].hooks&hook != 0 {
			x.running, x.moving, x.passedOn = i, l, false
			if l.backward {
				action = x.filters[i].ResponseBody(x, b, end)
			} else {
				action = x.filters[i].RequestBody(x, b, end)
			}
		}
		if action == filters.Await {
			if x.passedOn {
				b = nil // the filter has it
			}
			x.keepForLater(x.hold(l, n, atBody), b, end)
			return
		}
		if action == filters.Changed {
			if x.gone(l) || !end {
				return // what goes on has been passed on
			}
			b, action = nil, filters.Continue
		}
		var ok bool
		if b, ok = x.bodyMayPass(l, n, b, end, action); !ok {
			return
		}
	}
	if l.backward {
		x.sendBody(b, end)
	} else {
		x.forwardBody(b, end)
	}
}

// PassOn implements filters.Exchange: what the filter whose hook runs gives goes on as if it had come so and the filter had let it go.
func (x *exchange) PassOn(b []byte) bool {
	l, i := x.moving, x.running
	x.passedOn = true
	if x.gone(l) {
		return false
	}
	if n := x.step(l, i); len(b) > 0 {
		x.alive()
		if b, ok := x.bodyMayPass(l, n, b, false, filters.Continue); ok {
			x.passBody(l, n+1, b, false)
		}
	}
	x.moving, x.running, x.passedOn = l, i, true // of the hook that goes on running
	return !x.gone(l)
}

// bodyMayPass obeys what a filter's body hook answered, and gives what goes on: all that was kept, if anything was.
func (x *exchange) bodyMayPass(l *lane, n int, b []byte, end bool, action filters.Action) ([]byte, bool) {
	if action == filters.Replied || x.gone(l) {
		return nil, false
	}
	if action == filters.Hold && !end {
		if len(l.kept[n])+len(b) > l.limit {
			x.heldTooMuch(l)
			return nil, false
		}
		l.kept[n] = append(l.kept[n], b...)
		return nil, false
	}
	if len(l.kept[n]) > 0 {
		l.kept[n] = append(l.kept[n], b...)
		b = l.kept[n]
		l.kept[n] = b[:0] // b is used before anything is kept here again
	}
	if l.standing && l.at == n {
		l.standing = false
		x.passHead(l, n+1, end && len(b) == 0)
		if x.gone(l) || end && len(b) == 0 && l.passed {
			return nil, false
		}
	}
	return b, true
}

func (x *exchange) keepForLater(a *await, b []byte, end bool) {
	l := a.lane
	if len(a.later)+len(b) > l.limit {
		x.heldTooMuch(l)
		return
	}
	a.later = append(a.later, b...)
	a.laterEnd = a.laterEnd || end
	if c := x.attempt.conn; l.backward && c != nil && !end {
		c.Pause() // resume lets it come again
	}
}

// heldTooMuch ends an exchange of which a filter would keep more than may be kept.
func (x *exchange) heldTooMuch(l *lane) {
	if l.backward {
		x.conn.stats.Inc(HeldTooLarge)
		x.down.reset()
		x.fail(500, 0, "response_payload_too_large", "Internal Server Error")
		return
	}
	x.conn.stats.Inc(RqTooLarge)
	x.fail(413, 0, "request_payload_too_large", "Payload Too Large")
}

// passTrailers takes trailers through the filters from the n-th on. What a filter still keeps goes before them.
func (x *exchange) passTrailers(l *lane, n int, t *http.Header) {
	hook := filters.OnRequestTrailers
	if l.backward {
		hook = filters.OnResponseTrailers
	}
	for ; n < len(x.filters); n++ {
		if a := l.waitsAt(n); a != nil {
			a.keepTrailers(t)
			return
		}
		i := x.step(l, n)
		action := filters.Continue
		if !x.skip[i] && x.links.list[i].hooks&hook != 0 {
			x.running, x.moving, x.passedOn = i, l, false
			if l.backward {
				action = x.filters[i].ResponseTrailers(x, t)
			} else {
				action = x.filters[i].RequestTrailers(x, t)
			}
		}
		if action == filters.Await {
			x.hold(l, n, atTrailers).keepTrailers(t)
			return
		}
		b, ok := x.bodyMayPass(l, n, nil, false, filters.Continue)
		if action == filters.Replied || !ok {
			return
		}
		if len(b) > 0 {
			x.passBody(l, n+1, b, false)
		}
	}
	if l.backward {
		x.trailers = t
	} else {
		x.forwardTrailers(t)
	}
}

// resume goes on where a filter awaited something, as its hook's answer says.
func (x *exchange) resume(a *await, action filters.Action) {
	if action == filters.Await {
		return // it awaits something else now
	}
	l, n, end := a.lane, a.at, a.laterEnd
	later, tail := a.later, a.tail
	a.forget()
	if action == filters.Replied || x.gone(l) {
		return
	}
	switch a.stage {
	case atHead:
		whole := end && len(later) == 0 && tail == nil
		if !x.headMayPass(l, n, whole, action) {
			if l.standing && (len(later) > 0 || end) {
				x.passBody(l, n, later, end && tail == nil)
			}
			break
		}
		x.passHead(l, n+1, whole)
		if !whole && !x.gone(l) && (len(later) > 0 || end) {
			x.passBody(l, n, later, end && tail == nil)
		}
	case atBody:
		if action == filters.Changed {
			x.passBody(l, n, later, end && tail == nil)
			break
		}
		b, ok := x.bodyMayPass(l, n, later, end && tail == nil, action)
		if ok {
			x.passBody(l, n+1, b, end && tail == nil)
		}
	}
	if tail != nil && !x.gone(l) {
		from := n
		if a.stage == atTrailers {
			from++
		}
		x.passTrailers(l, from, tail)
		if w := l.waitsAt(n); w != nil {
			w.laterEnd = end
		} else {
			x.passBody(l, n+1, nil, true)
		}
	}
	x.offerRoom(l)
	if !l.backward {
		x.pump()
	} else {
		x.attempt.resume()
	}
}
