package compressor

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/wire/http"
)

// stock is what all compressors of the process take their coders from.
type stock = filters.Stock[library, *coder]

// maxBytes bounds what the coders of a loop hold. One more body goes as it is.
const maxBytes = 128 << 20

// chain are the compressors of one chain, of which an exchange has one each.
type chain struct {
	size  int
	loops []*group // that is being made, by loop
}

// These are keys: of the stock among what is kept, of the chain among mates.
type (
	stockKey struct{}
	chainKey struct{}
)

func build(c any, site filters.Site) func(int) filters.Filter {
	s := c.(*settings)
	loops := site.Stats.Loops() + 1
	coders := site.Kept.Of(stockKey{}, time.Now(), func() filters.Keeps { return filters.NewStock[library, *coder](loops, maxBytes) }).(*stock)
	mates, _ := site.Mates[chainKey{}].(*chain)
	if mates == nil {
		mates = &chain{loops: make([]*group, loops)}
		site.Mates[chainKey{}] = mates
	}
	mates.size++
	prefix := site.StatPrefix + "compressor." + s.name + "." + s.library.coding.StatName() + "."
	request, response := site.Stats.Acquire(directionStats, prefix+"request."), site.Stats.Acquire(directionStats, prefix+s.responseStat)
	accept := site.Stats.Acquire(acceptStats, prefix)
	make := func() *coder { return newCoder(s.library) }
	return func(loop int) filters.Filter {
		f := &filter{chain: s, stock: coders, loop: loop, make: make, accept: accept.Loop(loop)}
		f.up.n, f.down.n = request.Loop(loop), response.Loop(loop)
		f.group = mates.join(loop, f)
		return f
	}
}

// join puts a filter into the group of its exchange: those of an exchange are made one after the other.
func (c *chain) join(loop int, f *filter) *group {
	g := c.loops[loop]
	if g == nil || len(g.members) == c.size {
		g = &group{}
		c.loops[loop] = g
	}
	g.members = append(g.members, f)
	return g
}

// filter compresses the bodies of one exchange.
type filter struct {
	chain  *settings
	stock  *stock
	loop   int
	make   func() *coder
	accept *telemetry.Values
	group  *group

	present        bool // of this exchange's filters
	library        library
	accepts        bool // the request has Accept-Encoding
	acceptEncoding []byte
	up, down       body
}

// body is one direction.
type body struct {
	n     *telemetry.Values
	coder *coder  // nil: the body goes as it is
	made  library // for which the coder was made
	ended bool
}

// RequestHeaders notes what the client accepts, and begins to compress the request if it is to be.
func (f *filter) RequestHeaders(x filters.Exchange, end bool) filters.Action {
	s, r := f.chain, x.Request()
	f.present = true
	on, hide := f.configure(x)
	for i := r.Index(http.AcceptEncoding, 0); i >= 0; i = r.Index(http.AcceptEncoding, i+1) {
		if f.accepts {
			f.acceptEncoding = append(f.acceptEncoding, ',')
		}
		f.accepts = true
		f.acceptEncoding = append(f.acceptEncoding, r.Value(i)...)
	}
	if on && hide {
		r.Remove(http.AcceptEncoding)
	}
	d := &s.request
	if end || !d.enabled || r.Has(http.Upgrade) || r.IsConnect() || !d.longEnough(&r.Header, f.up.n) || !d.allows(x, r.Get(http.ContentType)) ||
		r.Has(http.ContentEncoding) || !f.begin(&f.up) {
		f.up.n.Inc(notCompressed)
		return filters.Continue
	}
	r.Remove(http.ContentLength)
	r.AddString(http.ContentEncoding, f.library.coding.Name())
	return filters.Continue
}

// configure asks what the route says: whether responses are compressed, and whether upstreams are not to know what clients accept.
func (f *filter) configure(x filters.Exchange) (on, hide bool) {
	s := f.chain
	on, hide, f.library = s.response.enabled, s.hideAccept, s.library
	if o, ok := x.Override().(*override); ok {
		on = on && !o.off || o.on
		if o.hideAccept != nil {
			hide = *o.hideAccept
		}
		if o.library != nil {
			f.library = *o.library
		}
	}
	return on, hide
}

// begin takes a coder for a body.
func (f *filter) begin(b *body) bool {
	make := f.make
	if f.library != f.chain.library {
		l := f.library
		make = func() *coder { return newCoder(l) }
	}
	c, ok := f.stock.Take(f.loop, f.library, f.library.bytes(), make)
	if !ok {
		b.n.Inc(overflow)
		return false
	}
	b.coder, b.made = c, f.library
	b.n.Inc(compressed)
	return true
}

// longEnough tells whether a body is worth it. One whose length is not known is.
func (d *direction) longEnough(h *http.Header, n *telemetry.Values) bool {
	if !h.Has(http.ContentLength) {
		return true
	}
	length, err := strconv.ParseUint(string(h.Get(http.ContentLength)), 10, 64)
	if err == nil && length >= d.minLength {
		return true
	}
	n.Inc(tooSmall)
	return false
}

// usual are the media types that are compressed unless others are named: Envoy's.
var usual = []string{
	"text/html", "text/plain", "text/css", "application/javascript", "application/x-javascript", "text/javascript", "text/x-javascript",
	"text/ecmascript", "text/js", "text/jscript", "text/x-js", "application/ecmascript", "application/x-json", "application/xml",
	"application/json", "image/svg+xml", "text/xml", "application/xhtml+xml", "application/grpc-web", "application/grpc-web+proto",
}

// allows tells whether a media type may be compressed. What has none may.
func (d *direction) allows(x filters.Exchange, contentType []byte) bool {
	if contentType == nil {
		return true
	}
	kind := mediaType(contentType)
	if len(d.matches) > 0 {
		for i := range d.matches {
			if x.MatchString(&d.matches[i], kind) {
				return true
			}
		}
		return false
	}
	types := d.types
	if len(types) == 0 {
		types = usual
	}
	for _, t := range types {
		if len(t) == len(kind) && strings.EqualFold(t, string(kind)) {
			return true
		}
	}
	return false
}

// ResponseHeaders decides whether the response is compressed. Caches are told that this depends on the request wherever it might be.
func (f *filter) ResponseHeaders(x filters.Exchange, end bool) filters.Action {
	s, r := f.chain, x.Response()
	on, _ := f.configure(x)
	f.letGo(&f.down) // of a response that another answer takes the place of
	if !on {
		f.down.n.Inc(notCompressed)
		return filters.Continue
	}
	tells := s.tellStatus && !end
	why := f.refusal(x, r, tells)
	// With Envoy, what the client accepts is counted wherever the length does not forbid it; with statuses told, only where nothing does.
	asked := !end && why != tooShort && (why == fine || !s.tellStatus)
	mine := asked && f.group.wants(x, f)
	if why == fine {
		addVary(r)
	}
	if why != fine || !mine || !f.begin(&f.down) {
		f.down.n.Inc(notCompressed)
		if tells && reasons[why] != "" {
			f.tell(r, reasons[why])
		}
		return filters.Continue
	}
	if tells {
		f.tell(r, "Compressed;OriginalLength="+string(r.Get(http.ContentLength)))
	}
	f.changeETag(r)
	r.Remove(http.ContentLength)
	r.AddString(http.ContentEncoding, f.library.coding.Name())
	return filters.Continue
}

// refusal is why a response cannot be compressed.
type refusal uint8

const (
	fine refusal = iota
	unfit
	tooShort
	wrongType
	wrongETag
	wrongStatus
)

// reasons are what x-envoy-compression-status says of them.
var reasons = [...]string{tooShort: "ContentLengthTooSmall", wrongType: "ContentTypeNotAllowed", wrongETag: "EtagNotAllowed", wrongStatus: "StatusCodeNotAllowed"}

// refusal finds the first reason. Where reasons are told, those that are not come before them, as with Envoy.
func (f *filter) refusal(x filters.Exchange, r *http.Response, tells bool) refusal {
	s := f.chain
	isUnfit := r.Has(http.Upgrade) || r.Has(http.ContentEncoding) || noTransform(&r.Header) || x.Request().IsConnect() && r.Status/100 == 2
	switch {
	case tells && isUnfit:
		return unfit
	case !s.response.longEnough(&r.Header, f.down.n):
		return tooShort
	case !s.response.allows(x, r.Get(http.ContentType)):
		return wrongType
	case isUnfit:
		return unfit
	case s.notWithETag && r.Has(http.Etag):
		f.accept.Inc(withETag)
		return wrongETag
	case slices.Contains(s.notWith, uint32(r.Status)):
		return wrongStatus
	}
	return fine
}

// noTransform tells whether intermediaries are to leave a message as it is (RFC 9111 §5.2.2.6).
func noTransform(h *http.Header) bool {
	for i := h.Index(http.CacheControl, 0); i >= 0; i = h.Index(http.CacheControl, i+1) {
		for rest := h.Value(i); len(rest) > 0; {
			var token []byte
			token, rest = cut(rest, ',')
			if bytes.EqualFold(bytes.TrimSpace(token), []byte("no-transform")) {
				return true
			}
		}
	}
	return false
}

// tell adds to what the compressors before have told.
func (f *filter) tell(r *http.Response, what string) {
	r.AddNamed([]byte("x-envoy-compression-status"), []byte(f.library.coding.Name()+";"+what))
}

// addVary says that the response depends on what the client accepts, unless that is said.
func addVary(r *http.Response) {
	const name = "Accept-Encoding"
	last := -1
	for i := r.Index(http.Vary, 0); i >= 0; i = r.Index(http.Vary, i+1) {
		last = i
		for rest := r.Value(i); len(rest) > 0; {
			var token []byte
			if token, rest = cut(rest, ','); string(bytes.TrimSpace(token)) == name { // with its case, as Envoy
				return
			}
		}
	}
	if last < 0 {
		r.AddString(http.Vary, name)
		return
	}
	r.SetValue(last, append(append([]byte(nil), r.Value(last)...), ", "+name...))
}

// changeETag takes a strong entity tag, which stands for the bytes as they were (RFC 9110 §8.8.1), out or makes it a weak one.
func (f *filter) changeETag(r *http.Response) {
	i := r.Index(http.Etag, 0)
	if i < 0 {
		return
	}
	v := r.Value(i)
	if len(v) >= 2 && v[0]|0x20 == 'w' && v[1] == '/' {
		return
	}
	if f.chain.weakenETag {
		r.SetValue(i, append([]byte("W/"), v...))
		return
	}
	r.Remove(http.Etag)
}

// RequestBody compresses a piece.
func (f *filter) RequestBody(x filters.Exchange, b []byte, end bool) filters.Action {
	return f.compress(x, &f.up, b, end)
}

// RequestTrailers ends the body before them.
func (f *filter) RequestTrailers(x filters.Exchange, _ *http.Header) filters.Action {
	return f.compress(x, &f.up, nil, true)
}

// ResponseBody compresses a piece.
func (f *filter) ResponseBody(x filters.Exchange, b []byte, end bool) filters.Action {
	return f.compress(x, &f.down, b, end)
}

// ResponseTrailers ends the body before them.
func (f *filter) ResponseTrailers(x filters.Exchange, _ *http.Header) filters.Action {
	return f.compress(x, &f.down, nil, true)
}

// compress passes on what comes out for a piece: all of it, as with Envoy, so that whoever waits for the piece gets it. What comes out is
// hardly more than what goes in, whatever that is.
func (f *filter) compress(x filters.Exchange, d *body, b []byte, end bool) filters.Action {
	c := d.coder
	if c == nil {
		return filters.Continue
	}
	if d.ended || len(b) == 0 && !end {
		return filters.Changed
	}
	d.n.Add(uncompressedBytes, uint64(len(b)))
	_, err := c.Write(b)
	if err == nil && end {
		err = c.Close()
		d.ended = true
	} else if err == nil {
		err = c.Flush()
	}
	if err != nil {
		x.Fail(500, nil, "compression_failed")
		return filters.Replied
	}
	d.n.Add(compressedBytes, uint64(len(c.out)))
	if !x.PassOn(c.out) {
		return filters.Changed // Done has given the coder back
	}
	c.out = c.out[:0]
	return filters.Changed
}

// Resume is not for this filter.
func (f *filter) Resume(filters.Exchange, filters.Result) filters.Action { return filters.Continue }

// Done gives the coders back.
func (f *filter) Done(filters.Exchange) {
	f.letGo(&f.up)
	f.letGo(&f.down)
	f.group.decided = false
	f.present, f.accepts, f.acceptEncoding = false, false, f.acceptEncoding[:0]
}

func (f *filter) letGo(b *body) {
	if b.coder != nil {
		b.coder.reset()
		f.stock.Give(f.loop, b.made, b.made.bytes(), b.coder)
	}
	b.coder, b.ended = nil, false
}
