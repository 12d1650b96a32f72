package http1

import "github.com/weftmesh/weft/wire/http"

// Event is what NextRequest or NextResponse found.
type Event uint8

// The events of a message come in the order Head, Body (any number), Trailers, End. Where NoBody is true after Head, the message ended
// with it and no End follows.
const (
	// NeedMore: nothing (more) can be told from these bytes. Those not consumed must be presented again, with more behind them.
	NeedMore Event = iota
	// Head: the head is complete, in the Request or Response given.
	Head
	// Body: data is a piece of the body, a view into what was given.
	Body
	// Trailers: the trailer section is complete, in Decoder.Trailers. Only if Options.EnableTrailers, and if there was a field to keep.
	Trailers
	// End: the message is complete. It may come when nothing is left of the bytes at hand.
	End
)

// Decoder reads the messages of one side of one connection. It holds no bytes: the lines of an unfinished head are in the message given,
// the rest stays with the caller. So the same message must be given from the first byte consumed until Head.
//
// NextRequest and NextResponse are called until they say NeedMore, even with no bytes left, or until the message is complete. After an
// error every call gives that error.
type Decoder struct {
	// Trailers receives trailers. It may be put there before they come and taken away after; if it is nil when it is needed, the decoder
	// makes one. It is emptied with every head.
	Trailers *http.Header

	o       *Options
	left    int64  // bytes to come of the body, or of the chunk
	length  int64  // what Content-Length says; -1 if there is none
	used    uint32 // bytes consumed of the head or trailer section
	scanned uint32 // bytes known to hold no end of line, of those that were not consumed
	excess  uint32 // bytes of chunk extensions beyond the data they came with
	flags   flags
	fields  uint32 // fields seen in the head or trailer section
	taken   uint32 // bytes of their names and values, and three for each
	dropped uint32 // fields dropped for their underscores
	state   state
	fault   Code
}

type state uint8

const (
	atStart    state = iota // before a first line
	inHead                  // after a first line
	inSized                 // within a body of known length
	inOpen                  // within a body that ends with the connection
	atChunk                 // before a chunk size
	inChunk                 // within the data of a chunk
	afterChunk              // before the CR LF after that data
	inTrailers              // after the last chunk
	atEnd                   // all was read but End not yet told
	held                    // after CONNECT: what the bytes mean is not decided yet
	unawaited               // client side: no response is expected
	tunnel                  // the bytes are no longer HTTP
	failed
)

// flags are what is known of the current message, and from awaited on what is known of the response that is expected.
type flags uint32

const (
	old        flags = 1 << iota // HTTP/1.0
	blank                        // a blank line before the first line was skipped
	host                         // there was a Host field
	named                        // the target named the authority
	connect                      // the method is CONNECT
	chunked                      // Transfer-Encoding: chunked
	foreign                      // a coding other than chunked
	tangled                      // chunked more than once, or an empty or broken list
	closes                       // the connection ends with the message
	keeps                        // Connection: keep-alive
	upgrades                     // Connection: upgrade
	asks                         // a valid wish to upgrade
	empty                        // no body, so the head ended the message
	awaited                      // a response is expected: this is the client side
	answered                     // a response has begun
	forHead                      // the response is to HEAD
	forConnect                   // the response is to CONNECT
	forUpgrade                   // the request asked for an upgrade
)

// expectations are the flags that outlive an interim response.
const expectations = awaited | answered | forHead | forConnect | forUpgrade

// FieldBytes are what names and values of the last head or trailer section took, as they came, with a colon and a line end for each field.
func (d *Decoder) FieldBytes() int { return int(d.taken) }

func (d *Decoder) has(f flags) bool { return d.flags&f != 0 }
func (d *Decoder) set(f flags)      { d.flags |= f }

// InitRequest makes d ready for the requests of a connection.
func (d *Decoder) InitRequest(o *Options) {
	*d = Decoder{Trailers: d.Trailers, o: o, length: -1}
}

// InitResponse makes d ready for the responses of a connection. Each must be announced by ExpectResponse.
func (d *Decoder) InitResponse(o *Options) {
	*d = Decoder{Trailers: d.Trailers, o: o, length: -1, state: unawaited}
}

// ExpectResponse announces the response to a request with that method, which upgrade says asked for an upgrade: both decide how the
// response is framed (RFC 9112 §6.3). It may be called only when d is Idle.
func (d *Decoder) ExpectResponse(method []byte, upgrade bool) {
	d.state, d.flags, d.length = atStart, awaited, -1
	switch {
	case string(method) == "HEAD":
		d.set(forHead)
	case string(method) == "CONNECT":
		d.set(forConnect)
	case upgrade:
		d.set(forUpgrade)
	}
}

// NextRequest reads on to the next event of a request. Of in, n bytes are consumed. data belongs to a Body event and is a part of those.
// r is emptied when a request begins, and complete with Head.
//
// After the head of CONNECT nothing is consumed until Upgrade says that the tunnel stands.
func (d *Decoder) NextRequest(in []byte, r *http.Request) (n int, ev Event, data []byte, err error) {
	switch d.state {
	case atStart:
		n = d.requestLine(in, r)
		if d.state != inHead {
			return n, NeedMore, nil, d.fault.err()
		}
		fallthrough
	case inHead:
		end, done := d.section(in[n:], &r.Header, r)
		n += end
		if !done {
			return n, NeedMore, nil, d.fault.err()
		}
		if c := d.requestFraming(r); c != none {
			return n, NeedMore, nil, d.fail(c)
		}
		return n, Head, nil, nil
	}
	return d.body(in)
}

// NextResponse reads on to the next event of a response. Of in, n bytes are consumed. data belongs to a Body event and is a part of those.
// r is emptied when a response begins, and complete with Head. After the head of an interim response (r.IsInformational) the next one
// follows; how many are too many is the caller's to say.
//
// Bytes that come when no response is expected are not consumed: a connection that has such bytes must not be used again.
func (d *Decoder) NextResponse(in []byte, r *http.Response) (n int, ev Event, data []byte, err error) {
	switch d.state {
	case atStart:
		n = d.statusLine(in, r)
		if d.state != inHead {
			return n, NeedMore, nil, d.fault.err()
		}
		fallthrough
	case inHead:
		end, done := d.section(in[n:], &r.Header, nil)
		n += end
		if !done {
			return n, NeedMore, nil, d.fault.err()
		}
		if c := d.responseFraming(r); c != none {
			return n, NeedMore, nil, d.fail(c)
		}
		return n, Head, nil, nil
	}
	return d.body(in)
}

// body reads on in whatever follows a head.
func (d *Decoder) body(in []byte) (n int, ev Event, data []byte, err error) {
	switch d.state {
	case inSized:
		return d.take(in, 0, atEnd)
	case inOpen, tunnel:
		if len(in) == 0 {
			return 0, NeedMore, nil, nil
		}
		return len(in), Body, in[:len(in):len(in)], nil
	case inChunk:
		return d.take(in, 0, afterChunk)
	case afterChunk, atChunk:
		n, c := d.chunkHead(in)
		switch {
		case c != none:
			return n, NeedMore, nil, d.fail(c)
		case d.state == inChunk:
			return d.take(in, n, afterChunk)
		case d.state != inTrailers:
			return n, NeedMore, nil, nil
		}
		return d.trailers(in, n)
	case inTrailers:
		return d.trailers(in, 0)
	case atEnd:
		d.finish()
		return 0, End, nil, nil
	}
	return 0, NeedMore, nil, d.fault.err()
}

// take yields what there is, from n on, of the bytes that are left of the body or chunk; then comes the given state.
func (d *Decoder) take(in []byte, n int, then state) (int, Event, []byte, error) {
	data := in[n:]
	if int64(len(data)) >= d.left {
		data = data[:d.left]
		d.state = then
	}
	if len(data) == 0 {
		return n, NeedMore, nil, nil
	}
	d.left -= int64(len(data))
	return n + len(data), Body, data[:len(data):len(data)], nil
}

// finish makes d ready for the next message.
func (d *Decoder) finish() {
	if d.state = atStart; d.has(awaited) {
		d.state = unawaited
	}
	d.used, d.scanned, d.fields = 0, 0, 0
}

func (d *Decoder) fail(c Code) error {
	d.state, d.fault = failed, c
	return c.err()
}

// EOF says what it means that the peer has closed its side: End if that completes the message (a body that ends with the connection, a
// tunnel); NeedMore and no error between messages; else an error that tells where the message was cut.
func (d *Decoder) EOF() (Event, error) {
	switch d.state {
	case inOpen:
		d.finish()
		return End, nil
	case tunnel:
		d.state = unawaited
		return End, nil
	case atEnd:
		d.finish()
		return End, nil
	case unawaited, held:
		return NeedMore, nil
	case atStart:
		switch {
		case d.scanned != 0 || d.has(answered):
			return NeedMore, d.fail(CutHead)
		case d.has(awaited):
			return NeedMore, d.fail(CutBeforeHead)
		}
		return NeedMore, nil
	case inHead:
		return NeedMore, d.fail(CutHead)
	case failed:
		return NeedMore, d.fault.err()
	}
	return NeedMore, d.fail(CutBody)
}

// trailers reads on in the trailer section, from n on.
func (d *Decoder) trailers(in []byte, n int) (int, Event, []byte, error) {
	var h *http.Header
	if d.o.EnableTrailers {
		if d.Trailers == nil {
			d.Trailers = new(http.Header)
		}
		h = d.Trailers
	}
	end, done := d.section(in[n:], h, nil)
	n += end
	switch {
	case !done:
		return n, NeedMore, nil, d.fault.err()
	case h != nil && h.Len() > 0:
		d.state = atEnd
		return n, Trailers, nil, nil
	}
	d.finish()
	return n, End, nil, nil
}

// Idle tells whether the connection is between messages and nothing is expected.
func (d *Decoder) Idle() bool {
	return d.state == unawaited || d.state == atStart && d.scanned == 0 && !d.has(awaited)
}

// NoBody tells, after Head, that the message ended with it.
func (d *Decoder) NoBody() bool { return d.has(empty) }

// Length is what the message's Content-Length says, in bytes; -1 if it has none or is chunked. For a response to HEAD and for 304 it is
// that of the body that is not sent.
func (d *Decoder) Length() int64 { return d.length }

// KeepAlive tells, once the message is complete, whether the peer's message leaves the connection open for another (RFC 9112 §9.3).
func (d *Decoder) KeepAlive() bool {
	return d.state != failed && !d.has(closes) && (!d.has(old) || d.has(keeps))
}

// UpgradeAsked tells, after Head of a request, that it asks for an upgrade of the connection (RFC 9110 §7.8), to which a 101 is an answer.
func (d *Decoder) UpgradeAsked() bool { return d.has(asks) }

// Upgrade tells the server side that its answer to the last request was 101, or 2xx to CONNECT: all later bytes are Body until EOF.
func (d *Decoder) Upgrade() {
	d.state = tunnel
	d.set(closes)
}

// Upgraded tells that all later bytes are Body until EOF.
func (d *Decoder) Upgraded() bool { return d.state == tunnel }

// DroppedUnderscores is the number of fields of the current message that were dropped for an underscore in the name.
func (d *Decoder) DroppedUnderscores() int { return int(d.dropped) }
