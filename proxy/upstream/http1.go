package upstream

import (
	"errors"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/tls"
	"github.com/weftmesh/weft/wire/http"
	"github.com/weftmesh/weft/wire/http1"
)

// HTTP1 is a connection that speaks HTTP/1. It is lent to one stream at a time.
type HTTP1 struct {
	conn     *loop.Conn
	pool     *Pool
	cluster  *Cluster
	stream   Stream // nil: idle, or connecting
	decoder  http1.Decoder
	options  *http1.Options
	timer    loop.Timer // connect timeout, then idle timeout
	lifetime loop.Timer
	local    netip.AddrPort
	number   uint64
	began    int64 // when it was dialled
	stood    int64 // when it was connected
	since    int64 // when it became idle
	rx, tx   uint64
	mark     uint64 // bytes sent before the present request
	served   uint32
	era      uint32 // of the pool, when it was dialled
	held     bool   // the stream wants no more for now
	framing  http1.Framing
	encode   http1.WriteOptions // of the present request
	priority config.Priority    // of the present request
	dialled  config.Priority    // of the one that it was made for
	state    h1State
}

type h1State uint8

const (
	h1Standing  h1State = 1 << iota // connected
	h1Answering                     // a byte of the response has come
	h1Asked                         // the request is sent whole
	h1Expired                       // its lifetime is over: not lent again
	h1Reading                       // the decoder runs: a panic now is the codec's
	h1Counted                       // discarded and counted
	h1Tunnel                        // carries the bytes of one stream as they are, and is not of the pool
	h1Body                          // they are the body of a request, which has its end
)

// dial starts a connection. How many the pool has, and how many are being made, is the caller's to count.
func (p *Pool) dial(c *Cluster, prio config.Priority) (*HTTP1, Failure) {
	h := &HTTP1{number: p.endpoint.numbers.Add(1), pool: p, cluster: c, dialled: prio, began: p.loop.Nanotime(), era: p.era, options: &c.decode}
	stats := c.Local(p.loop).Stats
	stats.Inc(CxTotal)
	p.endpoint.Counts.CxTotal.Add(1)
	conn, err := c.dial(p.loop, p.endpoint, p.endpoint.Address(), p.header, tls.Ask{Name: p.name, Offer: offersHTTP1}, h)
	if err != nil {
		stats.Inc(CxConnectFail)
		p.endpoint.Counts.CxConnectFail.Add(1)
		return nil, dialFailure(err)
	}
	h.conn = conn
	stats.Inc(CxActive)
	p.endpoint.Counts.CxActive.Add(1)
	h.decoder.InitResponse(h.options)
	p.loop.SetTimer(&h.timer, c.Config.ConnectTimeout, h)
	return h, NoFailure
}

// dialFailure tells an endpoint that is not there (Unix sockets refuse at once) from a lack of our own.
func dialFailure(err error) Failure {
	if _, lacks := err.(*unready); lacks || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.EACCES) {
		return ConnectFailed
	}
	return LocalConnectFailed
}

// ConnectError is what the system said of a connection, in Envoy's words, or why its TLS handshake failed. An endpoint that goes in the
// middle of one has no reasons, with Envoy.
func ConnectError(err error) string {
	var why *loop.HandshakeError
	switch {
	case errors.As(err, &why):
		return tls.Explain(why.Err)
	case errors.Is(err, loop.ErrUnshaken):
		return ""
	}
	text := "unknown error"
	if err != nil {
		text = err.Error()
	}
	return "delayed connect error: " + strings.ToUpper(text[:1]) + text[1:]
}

// OnConnected lends the connection to whoever waits.
func (h *HTTP1) OnConnected() {
	p := h.pool
	h.state |= h1Standing
	h.cluster.shaken(p.loop, h.conn)
	h.stood = p.loop.Nanotime()
	h.stats().Observe(CxConnectMs, uint64(h.stood-h.began)/uint64(time.Millisecond))
	p.loop.StopTimer(&h.timer)
	if h.state&h1Tunnel != 0 {
		h.openTunnel()
		return
	}
	p.connecting--
	if d := h.cluster.Config.MaxConnectionDuration; d > 0 {
		p.loop.SetTimer(&h.lifetime, d, h)
	}
	h.park()
}

// park makes the connection free for the next request.
func (h *HTTP1) park() {
	p := h.pool
	if p.serve(h) {
		return
	}
	if p.endpoint.gone.Load() || h.state&h1Expired != 0 || h.era != p.era {
		h.discard(CxDestroyLocal)
		return
	}
	h.since = p.loop.Nanotime()
	p.idle = append(p.idle, h)
	if d := h.cluster.Config.IdleTimeout; d > 0 && !h.timer.Pending() {
		p.loop.SetTimer(&h.timer, d, h)
	}
}

func (h *HTTP1) stats() *telemetry.Values { return h.cluster.Local(h.pool.loop).Stats }

// lend gives the connection to s.
func (h *HTTP1) lend(c *Cluster, prio config.Priority, s Stream) {
	h.stream, h.cluster, h.priority = s, c, prio
	h.state &^= h1Answering | h1Asked
	h.served++
	h.mark = h.conn.Sent()
	if h.served == c.Config.MaxRequestsPerConn {
		h.stats().Inc(CxMaxRequests)
	}
	h.pool.endpoint.Active.Force()
	h.countRequest()
}

// countRequest counts a request that has its connection.
func (h *HTTP1) countRequest() {
	stats := h.stats()
	stats.Inc(RqTotal)
	stats.Inc(RqActive)
	h.pool.endpoint.Counts.RqTotal.Add(1)
}

// settle ends the loan in the books.
func (h *HTTP1) settle() {
	stats := h.stats()
	if h.state&(h1Tunnel|h1Standing) == h1Tunnel {
		stats.Dec(RqPendingActive)
	} else {
		stats.Dec(RqActive)
	}
	rx, tx := h.conn.Received(), h.conn.Sent()
	stats.Add(CxRxBytes, rx-h.rx)
	stats.Add(CxTxBytes, tx-h.tx)
	h.rx, h.tx = rx, tx
	h.pool.endpoint.Active.Leave()
	h.cluster.Breakers[h.priority].Requests.Leave()
}

// Reused tells whether the connection had served before the present request.
func (h *HTTP1) Reused() bool { return h.served > 1 }

// Conn is the socket, for its addresses and counts.
func (h *HTTP1) Conn() *loop.Conn { return h.conn }

// Local is our own address of the connection, asked of the kernel once.
func (h *HTTP1) Local() netip.AddrPort {
	if !h.local.IsValid() {
		h.local = h.conn.Local()
	}
	return h.local
}

// Began is when the connection was dialled, when it stood, and when its TLS did, on the loop's clock; shaken is 0 in plain text.
func (h *HTTP1) Began() (dialled, connected, shaken int64) {
	if began, stood := h.conn.Handshake(); stood != 0 {
		return h.began, began, stood
	}
	return h.began, h.stood, 0
}

// FieldBytes are what the fields of the last head or trailers took, as they came.
func (h *HTTP1) FieldBytes() int { return h.decoder.FieldBytes() }

// Number tells the connection apart from the process's other upstream connections.
func (h *HTTP1) Number() uint64 { return h.number }

// Endpoint is where the connection goes.
func (h *HTTP1) Endpoint() *Endpoint { return h.pool.endpoint }

// SendHead sends the request's head. framing says how its body will be told from what follows; spelled, that the names of fields are to
// be written as the client spelled them, whatever the cluster says. It returns the head as it is written, until more is sent.
func (h *HTTP1) SendHead(r *http.Request, framing http1.Framing, upgrade, spelled bool) []byte {
	h.framing = framing
	if h.state&h1Tunnel != 0 {
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

// SendBody sends a piece of the request's body.
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

// SendEnd says that the request is complete; trailers may be nil.
func (h *HTTP1) SendEnd(trailers *http.Header) {
	h.state |= h1Asked
	if h.state&h1Body != 0 || h.decoder.Upgraded() {
		h.conn.CloseWrite()
		return
	}
	if h.framing == http1.Chunked {
		room := 8
		if trailers != nil {
			room += trailers.Size() + headRoom
		}
		h.conn.Commit(http1.AppendLastChunk(h.conn.Buffer(room), trailers, h.encode))
	}
}

// Abandon takes the stream off its connection, which is lost with it: HTTP/1 has no other way to stop a response.
func (h *HTTP1) Abandon() {
	if h.stream == nil {
		return
	}
	h.stream = nil
	h.settle()
	if h.state&(h1Tunnel|h1Standing) == h1Tunnel {
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

// Pause stops the response; not a byte of it is given to the stream until Resume.
func (h *HTTP1) Pause() {
	if !h.held {
		h.held = true
		h.stats().Inc(FlowPausedReading)
		h.conn.Pause()
	}
}

// Resume lets the response come again, not before this call has returned.
func (h *HTTP1) Resume() {
	if h.held {
		h.held = false
		h.stats().Inc(FlowResumedReading)
		h.conn.Resume()
		h.conn.Again()
	}
}

// Over tells whether more of the request waits to be sent than the limit.
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
	case h.state&h1Tunnel != 0:
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
	if h.state&h1Standing == 0 {
		stats := h.stats()
		h.cluster.unshaken(p.loop, err)
		stats.Inc(CxConnectFail)
		p.endpoint.Counts.CxConnectFail.Add(1)
		if h.state&h1Tunnel != 0 {
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

func (h *HTTP1) discardActive(row, activeRow int) {
	if h.state&h1Counted == 0 {
		stats := h.stats()
		stats.Inc(CxDestroyWithActive)
		stats.Inc(activeRow)
	}
	h.discard(row)
}

// discard closes the connection.
func (h *HTTP1) discard(row int) {
	h.count(row)
	h.conn.Own(discarded{})
	h.conn.Close()
}

// count takes the connection out of the books, once.
func (h *HTTP1) count(row int) {
	if h.state&h1Counted != 0 {
		return
	}
	h.state |= h1Counted
	p, stats := h.pool, h.stats()
	p.loop.StopTimer(&h.timer)
	p.loop.StopTimer(&h.lifetime)
	if h.state&h1Tunnel == 0 {
		p.open--
	} else {
		delete(p.plain().tunnels, h)
	}
	p.left()
	stats.Dec(CxActive)
	stats.Inc(CxDestroy)
	stats.Inc(row)
	stats.Observe(CxLengthMs, uint64(p.loop.Nanotime()-h.began)/uint64(time.Millisecond))
	p.endpoint.Counts.CxActive.Add(-1)
	h.cluster.Breakers[h.dialled].Connections.Leave()
}

// Expired is the connect timeout, the idle timeout or the end of the connection's life.
func (h *HTTP1) Expired(t *loop.Timer) {
	p := h.pool
	switch {
	case t == &h.lifetime:
		h.stats().Inc(CxMaxDuration)
		h.state |= h1Expired
		if h.stream == nil {
			p.forgetIdle(h)
			h.discard(CxDestroyLocal)
		}
	case h.state&h1Standing == 0:
		stats := h.stats()
		stats.Inc(CxConnectFail)
		stats.Inc(CxConnectTimeout)
		p.endpoint.Counts.CxConnectFail.Add(1)
		if h.state&h1Tunnel != 0 {
			h.refuseTunnel(ConnectTimeout, CxDestroyLocal, "")
			return
		}
		p.connecting--
		h.discard(CxDestroyLocal)
		p.refuse(ConnectTimeout, "")
	default:
		// The timer is left running while the connection is lent: to stop and set it for each request would cost more than to
		// look again now.
		d := h.cluster.Config.IdleTimeout
		if h.stream != nil {
			p.loop.SetTimer(&h.timer, d, h)
			return
		}
		if left := d - time.Duration(p.loop.Nanotime()-h.since); left > 0 {
			p.loop.SetTimer(&h.timer, left, h)
			return
		}
		h.stats().Inc(CxIdleTimeout)
		p.forgetIdle(h)
		h.discard(CxDestroyLocal)
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

// discarded is the owner of a connection that has been taken out of the books.
type discarded struct{}

func (discarded) OnData(b []byte) int { return len(b) }
func (discarded) OnEOF()              {}
func (discarded) OnConnected()        {}
func (discarded) OnLowWater()         {}
func (discarded) OnClosed(error)      {}
func (discarded) OnPanic(any)         {}
