package upstream

import (
	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/wire/dubbo"
)

// MaxFrame bounds a frame's body, in bytes, on either side: what Dubbo itself lets in if it is told nothing.
const MaxFrame = 8 << 20

// Caller is whose call a line carries. Its methods are called on the loop.
type Caller interface {
	// OnAnswer gives the frame of the answer, whole and valid during the call. Its number is the line's. It ends the matter.
	OnAnswer(h *dubbo.Head, frame []byte)
	// OnLost says that there will be no answer. It ends the matter.
	OnLost(f Failure)
	// OnRoom says that the line, which was Over or did not stand yet, takes more again. It ends the matter for a call that wants no answer.
	OnRoom()
	// OnPanic is called if one of these panics. Whatever becomes of the line, the call is not on it any more, or is to be cancelled.
	OnPanic(v any)
}

// Call is the place of one call on a line. It is embedded in what calls, and is pending until that hears OnAnswer or OnLost, or cancels; one that wants no answer is so only until the line stands and is not Over.
type Call struct {
	line     *line
	caller   Caller
	of       *Cluster
	number   uint64
	priority config.Priority
	reused   bool   // the line had served before, and was idle
	answered bool   // it wants an answer
	begun    bool   // as Begun says once it is over
	end      uint64 // where its frame ends, in bytes of the line
}

// maxQueued bounds, in bytes, what waits on a line: calls that were given up while they waited are among it, so that to pause those who call is not enough.
const maxQueued = 4 * MaxFrame

// line is a connection that speaks Dubbo 2. It carries the calls of all clients of its loop, told apart by numbers of its own, and takes them before it stands: a frame is one piece, and waits as
// well here as anywhere.
type line struct {
	link
	slots   []slot
	free    []uint32 // slots
	active  int
	head    dubbo.Head // of the frame that is being taken: who is told of it could keep it, so that it would be one for each frame
	sealed  bool       // TLS is spoken
	leaving bool       // takes no more calls: the peer has said so, or we have
	parted  bool       // taken out of the pool
}

// slot is where a call is found by its number: the slot's index, and how often it was used before, so that an answer that comes late is nobody else's.
type slot struct {
	call *Call
	used uint32
}

// Call sends the frame of a call to an endpoint, or says why not. by keeps connections apart. What becomes of it caller hears, as long as call is pending. The frame is written to: it gets another number.
func (c *Cluster) Call(l *loop.Loop, e *Endpoint, p config.Priority, by Apart, frame []byte, answered bool, caller Caller, call *Call) Failure {
	return c.call(l, e, p, by, frame, answered, false, caller, call)
}

// Copy is Call for a copy of a call, which nobody waits for: it is not sent where more waits than may.
func (c *Cluster) Copy(l *loop.Loop, e *Endpoint, p config.Priority, by Apart, frame []byte, answered bool, caller Caller, call *Call) Failure {
	return c.call(l, e, p, by, frame, answered, true, caller, call)
}

func (c *Cluster) call(l *loop.Loop, e *Endpoint, p config.Priority, by Apart, frame []byte, answered, copied bool, caller Caller, call *Call) Failure {
	t, f := c.place(l, e, p, by, copied)
	if f == NoFailure {
		t.send(c, p, frame, answered, caller, call)
	}
	return f
}

// place is a line to the endpoint that takes one more call, which is in the books from now on.
func (c *Cluster) place(l *loop.Loop, e *Endpoint, p config.Priority, by Apart, copied bool) (*line, Failure) {
	stats := c.Local(l).Stats
	limits, counts := c.Limits(p), &c.Breakers[p]
	if !counts.Requests.Enter(limits.MaxRequests) {
		stats.Inc(RqActiveOverflow)
		return nil, Overflow
	}
	pool := e.pool(l).speaking(SpeaksDubbo).apart(c, by)
	if pool == nil {
		counts.Requests.Leave()
		return nil, Overflow
	}
	t, f := pool.line(c, p)
	if f != NoFailure {
		counts.Requests.Leave()
		pool.left()
		return nil, f
	}
	if t.conn.Unsent() > maxQueued || copied && t.conn.Over() {
		counts.Requests.Leave()
		stats.Inc(RqActiveOverflow)
		return nil, Overflow
	}
	return t, NoFailure
}

// send sends the frame of a call that has its place.
func (t *line) send(c *Cluster, p config.Priority, frame []byte, answered bool, caller Caller, call *Call) {
	t.cluster = c
	t.served++
	if limit := c.Config.MaxRequestsPerConn; limit > 0 && t.served >= limit {
		t.stats().Inc(CxMaxRequests)
		t.leaving = true
	}
	t.countRequest()
	*call = Call{line: t, caller: caller, of: c, priority: p, reused: t.standing && t.active == 0 && t.served > 1, answered: answered}
	call.number = t.enter(call)
	t.pool.endpoint.Active.Force()
	dubbo.Renumber(frame, call.number)
	t.conn.Write(frame)
	call.end = t.conn.Sent() + uint64(t.conn.Unsent())
	if !answered && t.standing && !t.conn.Over() {
		call.leave()
		t.settle()
	}
}

// line is one that takes a call: the first that there is, or a new one.
func (p *Pool) line(c *Cluster, prio config.Priority) (*line, Failure) {
	for _, t := range p.lines {
		if t.takes() {
			return t, NoFailure
		}
	}
	stats, connections := c.Local(p.loop).Stats, &c.Breakers[prio].Connections
	if !c.enterConnection(p.endpoint, prio) {
		stats.Inc(CxOverflow)
		if p.open > 0 {
			return nil, Overflow
		}
		connections.Force() // a pool without any connection may always open one, as others' may
	}
	t := &line{}
	if f := t.dial(p, c, prio, nil, t); f != NoFailure {
		connections.Leave()
		return nil, f
	}
	p.open++
	p.lines = append(p.lines, t)
	return t, NoFailure
}

// takes tells whether the line takes one more call. What is Over is taken, too: who calls is told, and sends no more until there is room.
func (t *line) takes() bool { return !t.leaving && t.usable() }

// enter gives a call a number.
func (t *line) enter(call *Call) uint64 {
	t.active++
	at := uint32(len(t.slots))
	if n := len(t.free); n > 0 {
		at, t.free = t.free[n-1], t.free[:n-1]
	} else {
		t.slots = append(t.slots, slot{})
	}
	s := &t.slots[at]
	s.call = call
	s.used++
	return uint64(s.used)<<32 | uint64(at)
}

// find is whose answer has a number; nil: nobody's any more.
func (t *line) find(number uint64) *Call {
	at := uint32(number)
	if uint64(at) >= uint64(len(t.slots)) || t.slots[at].used != uint32(number>>32) {
		return nil
	}
	return t.slots[at].call
}

// leave takes a call off the line and out of the books.
func (call *Call) leave() {
	t := call.line
	at := uint32(call.number)
	call.begun = t.sent(call)
	t.slots[at].call = nil
	t.free = append(t.free, at)
	t.active--
	call.of.Local(t.pool.loop).Stats.Dec(RqActive)
	call.of.Breakers[call.priority].Requests.Leave()
	t.pool.endpoint.Active.Leave()
	call.line = nil
}

// answer tells the caller, who alone has to do with what panics over it.
func (call *Call) answer(l *loop.Loop, h *dubbo.Head, frame []byte) {
	defer l.Contain(call.caller)
	call.caller.OnAnswer(h, frame)
}

// lost is the same where there is no answer.
func (call *Call) lost(l *loop.Loop, f Failure) {
	defer l.Contain(call.caller)
	call.caller.OnLost(f)
}

// sent tells whether the kernel has had the whole frame of a call. With TLS it does not say so of a part of what it had, and a line that stands is taken for one that has sent all.
func (t *line) sent(call *Call) bool { return t.standing && (t.sealed || t.conn.Sent() >= call.end) }

// Begun tells whether an endpoint can have begun with the call, or, of one that is over, whether it could until then. Nobody begins with a part of a frame.
func (call *Call) Begun() bool {
	if t := call.line; t != nil {
		return t.sent(call)
	}
	return call.begun
}

// Cancel ends a call whose answer nobody wants any more. The answer, should it come, is passed over.
func (call *Call) Cancel() {
	t := call.line
	if t == nil {
		return
	}
	t.stats().Inc(RqCancelled)
	call.leave()
	t.settle()
}

// Over tells whether more waits to be sent on the call's line than may.
func (call *Call) Over() bool { return call.line != nil && call.line.conn.Over() }

// Pending tells whether the call is on its line.
func (call *Call) Pending() bool { return call.line != nil }

// settle looks whether the line has had its time.
func (t *line) settle() {
	if t.counted || t.active > 0 {
		return
	}
	t.since = t.pool.loop.Nanotime()
	t.countBytes()
	if (t.leaving || !t.usable()) && t.standing && t.conn.Unsent() == 0 {
		t.part()
		t.discard(CxDestroyLocal)
		return
	}
	if d := t.cluster.Config.IdleTimeout; d > 0 && t.standing && !t.timer.Pending() {
		t.pool.loop.SetTimer(&t.timer, d, t)
	}
}

// part takes the line out of the pool.
func (t *line) part() {
	if t.parted {
		return
	}
	t.parted = true
	p := t.pool
	for i := range p.lines {
		if p.lines[i] == t {
			p.lines = append(p.lines[:i], p.lines[i+1:]...)
			return
		}
	}
}

// OnConnected implements loop.Owner.
func (t *line) OnConnected() {
	t.stands()
	t.sealed = t.conn.TLS() != nil
	if d := t.cluster.Config.MaxConnectionDuration; d > 0 {
		t.pool.loop.SetTimer(&t.lifetime, d, t)
	}
	if !t.conn.Over() {
		t.room()
	}
	t.settle()
}

// OnData gives each frame that is whole to whom it is for.
func (t *line) OnData(b []byte) int {
	used := 0
	for used < len(b) {
		h := &t.head
		var more bool
		var err error
		if *h, more, err = dubbo.ParseHead(b[used:], MaxFrame); err != nil {
			t.stats().Inc(CxProtocolError)
			t.lose(Malformed, CxDestroyLocal, CxDestroyLocalWithActive)
			return len(b)
		}
		if more || len(b)-used < dubbo.HeadSize+h.Body {
			break
		}
		frame := b[used : used+dubbo.HeadSize+h.Body]
		used += len(frame)
		if t.frame(h, frame); t.counted {
			return len(b)
		}
	}
	if used > 0 {
		t.settle()
	}
	return used
}

func (t *line) frame(h *dubbo.Head, frame []byte) {
	switch {
	case !h.Request && !h.Event:
		call := t.find(h.ID)
		if call == nil || !call.answered {
			return // it comes too late, or unasked
		}
		call.leave()
		call.answer(t.pool.loop, h, frame)
	case !h.Request: // of a heartbeat: none of ours is under way
	case h.Event && h.TwoWay:
		t.conn.Write(dubbo.AppendHeartbeat(nil, h))
	case h.Event: // the server is about to go, and takes no more calls
		if !t.leaving {
			t.stats().Inc(CxCloseNotify)
			t.leaving = true
		}
	case h.TwoWay: // a server that calls back: whom, nobody here knows
		t.conn.Write(dubbo.AppendError(nil, h, dubbo.ServiceNotFound, "weft: calls from a server to its client are not carried"))
	}
}

// OnEOF implements loop.Owner.
func (t *line) OnEOF() { t.lose(Terminated, CxDestroyRemote, CxDestroyRemoteWithActive) }

// OnClosed implements loop.Owner.
func (t *line) OnClosed(err error) {
	if t.standing {
		t.lose(Terminated, CxDestroyRemote, CxDestroyRemoteWithActive)
		return
	}
	t.cluster.unshaken(t.pool.loop, err)
	t.unmade()
	t.lose(ConnectFailed, CxDestroyRemote, CxDestroyRemoteWithActive)
}

// lose ends the line with all that is under way.
func (t *line) lose(f Failure, row, activeRow int) {
	if t.counted {
		return
	}
	t.leaving = true
	t.part()
	if t.active > 0 && t.standing {
		t.countActive(activeRow)
	}
	t.discard(row)
	for i := range t.slots {
		call := t.slots[i].call
		if call == nil {
			continue
		}
		failure := f
		if f == Terminated && call.reused {
			failure = Stale
		}
		call.leave()
		t.stats().Inc(RqPendingFailureEject)
		call.lost(t.pool.loop, failure)
	}
}

// OnLowWater implements loop.Owner.
func (t *line) OnLowWater() {
	t.stats().Inc(FlowDrained)
	if t.standing {
		t.room()
	}
	t.settle()
}

// room tells all whose calls are here that there is some.
func (t *line) room() {
	for i := range t.slots {
		if call := t.slots[i].call; call != nil {
			if !call.answered {
				call.leave()
			}
			call.roomy(t.pool.loop)
		}
	}
}

func (call *Call) roomy(l *loop.Loop) {
	defer l.Contain(call.caller)
	call.caller.OnRoom()
}

// OnPanic implements loop.Owner: it was the line's own. What panics in a caller is contained there.
func (t *line) OnPanic(any) { t.lose(Malformed, CxDestroyLocal, CxDestroyLocalWithActive) }

// Expired is the connect timeout, the idle timeout, or the end of the line's life.
func (t *line) Expired(timer *loop.Timer) {
	switch {
	case timer == &t.lifetime:
		t.stats().Inc(CxMaxDuration)
		t.expired = true
		t.settle()
	case !t.standing:
		t.unmade()
		t.stats().Inc(CxConnectTimeout)
		t.lose(ConnectTimeout, CxDestroyLocal, CxDestroyLocalWithActive)
	case t.active > 0:
		t.pool.loop.SetTimer(&t.timer, t.cluster.Config.IdleTimeout, t)
	case t.idles(t):
		t.part()
		t.discard(CxDestroyLocal)
	}
}
