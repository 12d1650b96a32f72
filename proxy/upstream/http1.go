package upstream

import (
	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/wire/http"
	"github.com/weftmesh/weft/wire/http1"
)

// HTTP1 is a connection that speaks HTTP/1. It is lent to one stream at a time.
type HTTP1 struct {
	link
	stream   Stream // nil: idle, or connecting
	decoder  http1.Decoder
	mark     uint64 // bytes sent before the present request
	taken    uint64 // bytes received before it
	held     bool   // the stream wants no more for now
	framing  http1.Framing
	encode   http1.WriteOptions // of the present request
	priority config.Priority    // of the present request
	state    h1State
}

type h1State uint8

const (
	h1Answering h1State = 1 << iota // a byte of the response has come
	h1Asked                         // the request is sent whole
	h1Reading                       // the decoder runs: a panic now is the codec's
	h1Body                          // the tunnel's bytes are the body of a request, which has its end
)

// dial starts a connection. How many the pool has, and how many are being made, is the caller's to count.
func (p *Pool) dial(c *Cluster, prio config.Priority) (*HTTP1, Failure) {
	h := &HTTP1{}
	if f := h.link.dial(p, c, prio, offersHTTP1, h); f != NoFailure {
		return nil, f
	}
	h.decoder.InitResponse(&c.decode)
	return h, NoFailure
}

// OnConnected lends the connection to whoever waits.
func (h *HTTP1) OnConnected() {
	h.stands()
	if h.tunnel != nil {
		h.openTunnel()
		return
	}
	h.pool.connecting--
	h.join()
}

// join makes a connection that stands one of the pool's.
func (h *HTTP1) join() {
	if d := h.cluster.Config.MaxConnectionDuration; d > 0 {
		h.pool.loop.SetTimer(&h.lifetime, d, h)
	}
	h.park()
}

// park makes the connection free for the next request.
func (h *HTTP1) park() {
	p := h.pool
	if w := p.next(); w != nil {
		h.lend(w.cluster, w.priority, w.stream)
		h.stream.OnLent(h)
		return
	}
	if !h.usable() {
		h.discard(CxDestroyLocal)
		return
	}
	h.since = p.loop.Nanotime()
	p.idle = append(p.idle, h)
	if d := h.cluster.Config.IdleTimeout; d > 0 && !h.timer.Pending() {
		p.loop.SetTimer(&h.timer, d, h)
	}
}

// lend gives the connection to s.
func (h *HTTP1) lend(c *Cluster, prio config.Priority, s Stream) {
	h.stream, h.cluster, h.priority = s, c, prio
	h.state &^= h1Answering | h1Asked
	h.served++
	h.mark, h.taken = h.conn.Sent(), h.conn.Received()
	if h.served == c.Config.MaxRequestsPerConn {
		h.stats().Inc(CxMaxRequests)
	}
	h.pool.endpoint.Active.Force()
	h.countRequest()
}

// settle ends the loan in the books.
func (h *HTTP1) settle() {
	if h.tunnel != nil && !h.standing {
		h.stats().Dec(RqPendingActive)
	} else {
		h.stats().Dec(RqActive)
	}
	h.countBytes()
	h.pool.endpoint.Active.Leave()
	h.cluster.Breakers[h.priority].Requests.Leave()
}

// Wire implements Loan.
func (h *HTTP1) Wire() (received, sent uint64) {
	return h.conn.Received() - h.taken, h.conn.Sent() + uint64(h.conn.Unsent()) - h.mark
}

// Version implements Loan.
func (h *HTTP1) Version() http.Version { return http.HTTP11 }

// Reused tells whether the connection had served before the present request.
func (h *HTTP1) Reused() bool { return h.served > 1 }

// FieldBytes implements Loan.
func (h *HTTP1) FieldBytes() (fields, wire int) { return h.decoder.FieldBytes(), 0 }

// SendHead implements Loan.
func (h *HTTP1) SendHead(r *http.Request, framing http1.Framing, upgrade, spelled bool) []byte {
	h.framing = framing
	if h.tunnel != nil {
		if !upgrade {
			h.state |= h1Body
		}
		return nil
	}
	h.decoder.ExpectResponse(r.Method(), upgrade)
	h.encode = h.cluster.encode
	if spelled {
		h.encode.Spelling = http1.AsReceived
	}
	b := h.conn.Buffer(r.Size() + headRoom)
	at := len(b)
	b = http1.AppendRequest(b, r, framing, h.encode)
	h.conn.Commit(b)
	return b[at:]
}

// headRoom is what a head takes beside its fields' names and values.
const headRoom = 512

// SendBody implements Loan.
func (h *HTTP1) SendBody(b []byte) {
	if len(b) == 0 {
		return
	}
	if h.framing == http1.Chunked {
		h.conn.Commit(http1.AppendChunkHead(h.conn.Buffer(32), len(b)))
		h.conn.Write(b)
		h.conn.Commit(http1.AppendChunkEnd(h.conn.Buffer(2)))
		return
	}
	h.conn.Write(b)
}

// SendEnd implements Loan.
func (h *HTTP1) SendEnd(trailers *http.Header) {
	h.state |= h1Asked
	if h.state&h1Body != 0 || h.decoder.Upgraded() {
		h.conn.CloseWrite()
		return
	}
	if h.framing == http1.Chunked {
		if !h.cluster.Config.Trailers {
			trailers = nil
		}
		room := 8
		if trailers != nil {
			room += trailers.Size() + headRoom
		}
		h.conn.Commit(http1.AppendLastChunk(h.conn.Buffer(room), trailers, h.encode))
	}
}

// Abandon implements Loan. The connection is lost with the stream: HTTP/1 has no other way to stop a response.
func (h *HTTP1) Abandon() {
	if h.stream == nil {
		return
	}
	h.stream = nil
	h.settle()
	if h.tunnel != nil && !h.standing {
		h.stats().Inc(RqCancelled)
		h.discard(CxDestroyLocal)
		return
	}
	h.stats().Inc(RqTxReset)
	h.discardActive(CxDestroyLocal, CxDestroyLocalWithActive)
}

// OnData reads the response.
func (h *HTTP1) OnData(b []byte) int {
	if len(b) == 0 && h.stream == nil {
		return 0
	}
	if h.stream == nil {
		// Nobody asked for anything: were it kept, it would be taken for the answer to the next request.
		h.stats().Inc(CxProtocolError)
		h.pool.forgetIdle(h)
		h.discard(CxDestroyLocal)
		return len(b)
	}
	h.state |= h1Answering
	used := 0
	for h.stream != nil && !h.held {
		h.state |= h1Reading
		n, event, data, err := h.decoder.NextResponse(b[used:], h.stream.Response())
		h.state &^= h1Reading
		used += n
		if err != nil {
			h.stats().Inc(CxProtocolError)
			h.lose(Malformed, CxDestroyLocal, CxDestroyLocalWithActive)
			return len(b)
		}
		switch event {
		case http1.NeedMore:
			return used
		case http1.Head:
			end := h.decoder.NoBody()
			h.stream.OnHead(end)
			if end && h.stream != nil && !h.stream.Response().IsInformational() {
				h.complete(used < len(b))
			}
		case http1.Body:
			h.stream.OnBody(data)
		case http1.Trailers:
			h.stream.OnTrailers(h.decoder.Trailers)
		case http1.End:
			h.complete(used < len(b))
		}
	}
	if h.held {
		return used
	}
	return len(b)
}

// Pause implements Loan.
func (h *HTTP1) Pause() {
	if !h.held {
		h.held = true
		h.stats().Inc(FlowPausedReading)
		h.conn.Pause()
	}
}

// Resume implements Loan.
func (h *HTTP1) Resume() {
	if h.held {
		h.held = false
		h.stats().Inc(FlowResumedReading)
		h.conn.Resume()
		h.conn.Again()
	}
}

// Over implements Loan.
func (h *HTTP1) Over() bool { return h.conn.Over() }

// complete gives the connection back, then tells the stream: what it does next may want a connection already. excess says that more
// came than the response, which nobody asked for.
func (h *HTTP1) complete(excess bool) {
	s := h.stream
	h.stream = nil
	h.settle()
	if h.held {
		h.held = false
		h.conn.Resume()
	}
	limit := h.cluster.Config.MaxRequestsPerConn
	switch {
	case h.tunnel != nil:
		h.discard(CxDestroyRemote) // only the upstream's end ends it
	case excess:
		h.stats().Inc(CxProtocolError)
		h.discard(CxDestroyLocal)
	case limit > 0 && h.served >= limit:
		h.discard(CxDestroyLocal)
	case h.state&h1Asked == 0 || !h.decoder.KeepAlive() || h.conn.PeerDone():
		h.stats().Inc(CxCloseNotify)
		h.discard(CxDestroyLocal)
	default:
		h.park()
	}
	s.OnEnd()
}

// OnEOF may complete a response that ends with its connection.
func (h *HTTP1) OnEOF() {
	if h.stream == nil {
		h.pool.forgetIdle(h)
		h.discard(CxDestroyRemote)
		return
	}
	if event, err := h.decoder.EOF(); err == nil && event == http1.End {
		h.complete(false)
		return
	}
	h.lose(h.broken(), CxDestroyRemote, CxDestroyRemoteWithActive)
}

// broken tells a connection that was already dying when it was lent from one that failed at work.
func (h *HTTP1) broken() Failure {
	if h.Reused() && h.state&h1Answering == 0 {
		return Stale
	}
	return Terminated
}

// OnClosed is an error of the socket, or the end of our own closing.
func (h *HTTP1) OnClosed(err error) {
	p := h.pool
	if !h.standing {
		h.cluster.unshaken(p.loop, err)
		h.unmade()
		if h.tunnel != nil {
			h.refuseTunnel(ConnectFailed, CxDestroyRemote, ConnectError(err))
			return
		}
		p.connecting--
		h.count(CxDestroyRemote)
		p.refuse(ConnectFailed, ConnectError(err))
		return
	}
	if h.stream != nil {
		h.lose(h.broken(), CxDestroyRemote, CxDestroyRemoteWithActive)
		return
	}
	p.forgetIdle(h)
	h.count(CxDestroyRemote)
}

// lose ends the loan because the connection is lost.
func (h *HTTP1) lose(f Failure, row, activeRow int) {
	s := h.stream
	h.stream = nil
	h.settle()
	if f == Terminated || f == Stale {
		h.stats().Inc(RqRxReset)
	}
	h.discardActive(row, activeRow)
	s.OnBroken(f)
}

// Expired is the connect timeout, the idle timeout or the end of the connection's life.
func (h *HTTP1) Expired(t *loop.Timer) {
	p := h.pool
	switch {
	case t == &h.lifetime:
		h.stats().Inc(CxMaxDuration)
		h.expired = true
		if h.stream == nil {
			p.forgetIdle(h)
			h.discard(CxDestroyLocal)
		}
	case !h.standing:
		h.unmade()
		h.stats().Inc(CxConnectTimeout)
		if h.tunnel != nil {
			h.refuseTunnel(ConnectTimeout, CxDestroyLocal, "")
			return
		}
		p.connecting--
		h.discard(CxDestroyLocal)
		p.refuse(ConnectTimeout, "")
	default:
		// The timer is left running while the connection is lent: to stop and set it for each request would cost more than to
		// look again now.
		if h.stream != nil {
			p.loop.SetTimer(&h.timer, h.cluster.Config.IdleTimeout, h)
			return
		}
		if h.idles(h) {
			p.forgetIdle(h)
			h.discard(CxDestroyLocal)
		}
	}
}

// OnLowWater is passed on.
func (h *HTTP1) OnLowWater() {
	if h.stream != nil {
		h.stats().Inc(FlowDrained)
		h.stream.OnLowWater()
	}
}

// OnPanic closes the connection: after a panic of the codec nothing read from it can be trusted, and after one of the stream nobody
// wants it.
func (h *HTTP1) OnPanic(v any) {
	s := h.stream
	codec := h.state&h1Reading != 0
	if s == nil {
		h.pool.forgetIdle(h)
		h.discard(CxDestroyLocal)
		return
	}
	if codec {
		h.lose(Malformed, CxDestroyLocal, CxDestroyLocalWithActive)
		return
	}
	h.Abandon()
	s.OnPanic(v)
}
