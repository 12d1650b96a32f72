package decompressor

import (
	"bytes"
	"time"

	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/wire/http"
)

// stock is what all decompressors of the process take their coders from.
type stock = filters.Stock[kind, *coder]

// stockKey is its key among what is kept.
type stockKey struct{}

// maxBytes bounds what the coders of a loop hold, in the worst case: those of brotli and zstd take what they need of it. One more body
// waits until another is done, or its exchange's idle timeout is over.
const (
	maxBytes    = 256 << 20
	lookForRoom = 20 * time.Millisecond
)

// pieceSize is how many bytes are made before room is awaited.
const pieceSize = 64 << 10

func build(c any, site filters.Site) func(int) filters.Filter {
	s := c.(*settings)
	loops := site.Stats.Loops() + 1
	coders := site.Kept.Of(stockKey{}, time.Now(), func() filters.Keeps { return filters.NewStock[kind, *coder](loops, maxBytes) }).(*stock)
	prefix := site.StatPrefix + "decompressor." + s.name + "." + s.coding.StatName() + "."
	request, response := site.Stats.Acquire(directionStats, prefix+"request."), site.Stats.Acquire(directionStats, prefix+"response.")
	return func(loop int) filters.Filter {
		f := &filter{settings: s, stock: coders, loop: loop}
		f.up.n, f.down.n = request.Loop(loop), response.Loop(loop)
		f.up.brokenStatus, f.up.swollenStatus = 400, 413
		f.down.brokenStatus, f.down.swollenStatus = 502, 502
		return f
	}
}

// filter decompresses the bodies of one exchange.
type filter struct {
	filters.Pass
	settings *settings
	stock    *stock
	loop     int
	up, down body
	accept   []byte // memory for Accept-Encoding
}

// body is one direction.
type body struct {
	n             *telemetry.Values
	brokenStatus  uint16 // what is answered if it is, or swells
	swollenStatus uint16
	on            bool   // it is decompressed
	ended         bool   // and that is done
	head          []byte // its first bytes, until there is a coder
	whole         bool   // they are all of it
	kind          kind   // what it takes to decode it
	coder         *coder // nil until that is known and there
	took, made    uint64 // bytes
}

// RequestHeaders tells the upstream what it may send, and looks at whether the request is compressed.
func (f *filter) RequestHeaders(x filters.Exchange, end bool) filters.Action {
	s, r := f.settings, x.Request()
	if s.response.enabled && s.advertise {
		f.advertise(r)
	}
	if !end {
		f.begin(&f.up, &s.request, &r.Header, r.Has(http.Upgrade) || r.IsConnect())
	}
	return filters.Continue
}

// ResponseHeaders looks at whether the response is compressed. A part of a compressed body (RFC 9110 §15.3.7) cannot be decompressed.
func (f *filter) ResponseHeaders(x filters.Exchange, end bool) filters.Action {
	f.letGo(&f.down) // of a response that another answer takes the place of
	if r := x.Response(); !end {
		f.begin(&f.down, &f.settings.response, &r.Header, r.Has(http.Upgrade) || x.Request().IsConnect() || r.Status == 206)
	}
	return filters.Continue
}

// begin decides about a body. One whose last coding is this filter's is decompressed: codings are named in the order in which they were
// applied (RFC 9110 §8.4), which Envoy takes the other way round.
func (f *filter) begin(b *body, d *direction, h *http.Header, unfit bool) {
	if !d.enabled || unfit || !d.always && noTransform(h) || !removeLast(h, f.settings.coding.Name()) {
		b.n.Inc(notDecompressed)
		return
	}
	b.on = true
	b.n.Inc(decompressed)
	h.Remove(http.ContentLength)
}

// removeLast takes the last coding of a body out if that is its name.
func removeLast(h *http.Header, name string) bool {
	last := -1
	for i := h.Index(http.ContentEncoding, 0); i >= 0; i = h.Index(http.ContentEncoding, i+1) {
		last = i
	}
	if last < 0 {
		return false
	}
	v := h.Value(last)
	at := bytes.LastIndexByte(v, ',')
	if !bytes.EqualFold(bytes.TrimSpace(v[at+1:]), []byte(name)) {
		return false
	}
	if at < 0 {
		h.RemoveAt(last)
	} else {
		h.SetValue(last, bytes.TrimSpace(v[:at]))
	}
	return true
}

// noTransform tells whether intermediaries are to leave a message as it is (RFC 9111 §5.2.2.6).
func noTransform(h *http.Header) bool {
	for i := h.Index(http.CacheControl, 0); i >= 0; i = h.Index(http.CacheControl, i+1) {
		for token := range bytes.SplitSeq(h.Value(i), []byte{','}) {
			if bytes.EqualFold(bytes.TrimSpace(token), []byte("no-transform")) {
				return true
			}
		}
	}
	return false
}

// advertise puts the filter's coding behind those that the client accepts, without a quality, and takes it out where it stood.
func (f *filter) advertise(r *http.Request) {
	name := f.settings.coding.Name()
	b := f.accept[:0]
	for i := r.Index(http.AcceptEncoding, 0); i >= 0; i = r.Index(http.AcceptEncoding, i+1) {
		for token := range bytes.SplitSeq(r.Value(i), []byte{','}) {
			token = bytes.TrimSpace(token)
			coding, _, _ := bytes.Cut(token, []byte{';'})
			if len(token) > 0 && string(bytes.TrimSpace(coding)) != name {
				b = append(append(b, token...), ',')
			}
		}
	}
	b = append(b, name...)
	r.Set(http.AcceptEncoding, b)
	f.accept = b
}

// RequestBody decompresses a piece.
func (f *filter) RequestBody(x filters.Exchange, b []byte, end bool) filters.Action {
	return f.take(x, &f.up, b, end)
}

// RequestTrailers ends the body before them.
func (f *filter) RequestTrailers(x filters.Exchange, _ *http.Header) filters.Action {
	return f.take(x, &f.up, nil, true)
}

// ResponseBody decompresses a piece.
func (f *filter) ResponseBody(x filters.Exchange, b []byte, end bool) filters.Action {
	return f.take(x, &f.down, b, end)
}

// ResponseTrailers ends the body before them.
func (f *filter) ResponseTrailers(x filters.Exchange, _ *http.Header) filters.Action {
	return f.take(x, &f.down, nil, true)
}

// Resume goes on when there is room for more, or looks whether there is memory now.
func (f *filter) Resume(x filters.Exchange, r filters.Result) filters.Action {
	b := &f.up
	if r.Backward {
		b = &f.down
	}
	if b.coder == nil {
		if !f.start(b) {
			x.AwaitTimer(lookForRoom)
			return filters.Await
		}
		b.coder.give(b.head, b.whole)
	}
	return f.decode(x, b)
}

// take takes the next piece of a body.
func (f *filter) take(x filters.Exchange, b *body, data []byte, end bool) filters.Action {
	if !b.on {
		return filters.Continue
	}
	if b.ended || len(data) == 0 && !end {
		return filters.Changed
	}
	b.took += uint64(len(data))
	b.n.Add(compressedBytes, uint64(len(data)))
	if b.took == 0 {
		b.ended = true // nothing at all: whoever says that it is compressed means none
		return filters.Changed
	}
	if b.coder != nil {
		b.coder.give(data, end)
		return f.decode(x, b)
	}
	if len(b.head) > 0 {
		b.head = append(b.head, data...)
		data = b.head
	}
	kind, ok, err := kindOf(f.settings.coding, data)
	switch {
	case err != nil || !ok && end:
		return f.isBroken(x, b)
	case !ok:
		b.head = append(b.head[:0], data...)
		return filters.Changed
	}
	b.kind = kind
	if f.start(b) {
		b.coder.give(data, end)
		return f.decode(x, b)
	}
	b.n.Inc(overflow)
	b.head, b.whole = append(b.head[:0], data...), end
	x.PassOn(nil) // what there is of it is kept here
	x.AwaitTimer(lookForRoom)
	return filters.Await
}

// start takes a coder, if there is memory for one.
func (f *filter) start(b *body) bool {
	c, ok := f.stock.Take(f.loop, b.kind, b.kind.bytes(), func() *coder { return newCoder(b.kind) })
	if ok {
		b.coder = c
		c.begin()
	}
	return ok
}

// decode passes on what becomes of what was taken, as far as there is room.
func (f *filter) decode(x filters.Exchange, b *body) filters.Action {
	c := b.coder
	for piece := 0; piece < pieceSize; {
		_, running := c.next()
		switch {
		case !running && c.err != nil:
			return f.isBroken(x, b)
		case !running:
			if b.ended = true; len(c.in) > 0 {
				return f.isBroken(x, b) // more has come than the library wants
			}
			return filters.Changed
		case c.made == 0:
			return filters.Changed // all that has come is used
		}
		piece += c.made
		b.made += uint64(c.made)
		b.n.Add(uncompressedBytes, uint64(c.made))
		if b.made > f.settings.ratio*b.took {
			b.n.Inc(swollen)
			x.Fail(b.swollenStatus, nil, "decompression_ratio_exceeded")
			return filters.Replied
		}
		if !x.PassOn(c.out[:c.made]) {
			return filters.Changed
		}
	}
	c.keep()
	x.AwaitRoom()
	return filters.Await
}

// isBroken ends the exchange.
func (f *filter) isBroken(x filters.Exchange, b *body) filters.Action {
	b.n.Inc(broken)
	x.Fail(b.brokenStatus, nil, "decompression_failed")
	return filters.Replied
}

// Done gives the coders back.
func (f *filter) Done(filters.Exchange) {
	f.letGo(&f.up)
	f.letGo(&f.down)
}

func (f *filter) letGo(b *body) {
	if b.coder != nil {
		b.coder.end()
		f.stock.Give(f.loop, b.kind, b.kind.bytes(), b.coder)
	}
	*b = body{n: b.n, brokenStatus: b.brokenStatus, swollenStatus: b.swollenStatus}
}
