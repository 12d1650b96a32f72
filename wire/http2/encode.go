package http2

import (
	"hash/maphash"

	"github.com/weftmesh/weft/wire/http"
)

// encoder writes header blocks of one direction of one connection. It spells nothing in Huffman's code: what comes again is sent as an
// index, for the rest a third of its bytes is not worth what the code costs both sides.
//
// A field is put into the table when it is seen for the second time within a short while, so that values which differ with each request
// do not drive out those that stay.
type encoder struct {
	table
	slots  []uint32   // open-addressed: numbers of entries plus one, by their hash; those of entries that are gone are passed over
	used   uint32     // slots that are not 0
	seen   [16]uint64 // by hash, four marks of fields that were seen lately, the last one lowest
	names  [16]uint32 // numbers plus one of entries with the names of fields whose values are new each time, by their ordinals
	ours   uint32     // how large the table may be for our part
	least  uint32     // what its limit was at the least since the last block
	resize bool       // the limit has changed since the last block
}

// plan is how a field is written.
type plan uint8

const (
	index  plan = iota
	spell       // differs with each message: without indexing
	secret      // never indexed (RFC 7541 §7.1.3)
	short       // never indexed unless it is long enough not to be guessed
	drop        // has no place in HTTP/2 (RFC 9113 §8.2.2), or is told elsewhere
	only        // te: trailers, or dropped
)

// plans tells how fields with an ID are written.
var plans = [256]plan{
	http.Authorization: secret, http.ProxyAuthorization: secret, http.SetCookie: spell, http.Cookie: short,
	http.Connection: drop, http.KeepAlive: drop, http.ProxyConnection: drop, http.TransferEncoding: drop, http.Upgrade: drop,
	http.HTTP2Settings: drop, http.Host: drop, http.TE: only,
	http.ContentLength: spell, http.Date: spell, http.Etag: spell, http.LastModified: spell, http.Location: spell, http.Range: spell,
	http.Referer: spell, http.GRPCTimeout: spell, http.GRPCMessage: spell, http.XRequestID: spell, http.XClientTraceID: spell,
	http.XEnvoyExpectedRqTimeoutMs: spell, http.XEnvoyUpstreamServiceTime: spell, http.XEnvoyUpstreamRqTimeoutMs: spell,
	http.XEnvoyUpstreamRqPerTryTimeoutMs: spell, http.XEnvoyUpstreamStreamDurationMs: spell, http.XEnvoyOriginalPath: spell,
	http.XEnvoyOriginalURL: spell, http.XForwardedFor: spell, http.XForwardedClientCert: index,
}

// shortSecret is how many bytes a cookie must have for the table to be safe from who can make us send guesses.
const shortSecret = 20

var hashSeed = maphash.MakeSeed()

// announced takes what the peer's SETTINGS say of the table (RFC 7541 §4.2).
func (e *encoder) announced(n uint32) {
	if n = min(n, e.ours); n == e.max {
		return
	}
	if !e.resize {
		e.least = e.max
	}
	e.resize = true
	e.least = min(e.least, n)
	e.setMax(n)
	if n == 0 {
		e.slots, e.used = nil, 0
	}
}

// begin writes what has to come before the fields of a block.
func (e *encoder) begin(b []byte) []byte {
	if e.resize {
		e.resize = false
		if e.least < e.max {
			// Go's decoder takes a second update only while its table is empty.
			e.evict(0)
			b = append(b, 0x20)
		}
		b = appendInteger(b, 0x20, 0x1f, uint64(e.max))
	}
	return b
}

// request writes a request's block.
func (e *encoder) request(b []byte, r *http.Request) []byte {
	b = e.begin(b)
	switch m := r.Method(); string(m) {
	case "GET":
		b = append(b, 0x80|staticGET)
	case "POST":
		b = append(b, 0x80|staticPOST)
	default:
		b = e.field(b, index, http.Other, staticGET, pseudoNames[method], m)
	}
	extended := len(r.Protocol()) > 0
	if !r.IsConnect() || extended {
		switch s := r.Scheme(); string(s) {
		case "http", "":
			b = append(b, 0x80|staticHTTP)
		case "https":
			b = append(b, 0x80|staticHTTPS)
		default:
			b = e.field(b, index, http.Other, staticHTTP, pseudoNames[scheme], s)
		}
		if p := r.Path(); len(p) < 2 && (len(p) == 0 || p[0] == '/') {
			b = append(b, 0x80|staticRoot)
		} else {
			b = spelled(b, 0, staticPath, nil, p)
		}
	}
	if a := r.Authority(); len(a) > 0 {
		b = e.field(b, index, http.Other, staticAuthority, pseudoNames[authority], a)
	}
	if extended {
		b = e.field(b, index, http.Other, 0, pseudoNames[protocol], r.Protocol())
	}
	return e.fields(b, &r.Header, true)
}

var pseudoNames = [...][]byte{
	method: []byte(":method"), scheme: []byte(":scheme"), authority: []byte(":authority"), protocol: []byte(":protocol"), status: []byte(":status"),
}

// response writes a response's block.
func (e *encoder) response(b []byte, r *http.Response) []byte {
	b = e.begin(b)
	switch r.Status {
	case 200:
		b = append(b, 0x80|staticStatus)
	case 204:
		b = append(b, 0x80|staticStatus+1)
	case 206:
		b = append(b, 0x80|staticStatus+2)
	case 304:
		b = append(b, 0x80|staticStatus+3)
	case 400:
		b = append(b, 0x80|staticStatus+4)
	case 404:
		b = append(b, 0x80|staticStatus+5)
	case 500:
		b = append(b, 0x80|staticStatus+6)
	default:
		s := [3]byte{byte('0' + r.Status/100%10), byte('0' + r.Status/10%10), byte('0' + r.Status%10)}
		b = e.field(b, index, http.Other, staticStatus, pseudoNames[status], s[:])
	}
	return e.fields(b, &r.Header, r.Status >= 200 && r.Status != 204)
}

// trailers writes the block of a trailer section.
func (e *encoder) trailers(b []byte, h *http.Header) []byte { return e.fields(e.begin(b), h, false) }

// fields writes the fields of a block. sized tells whether content-length may be there.
func (e *encoder) fields(b []byte, h *http.Header, sized bool) []byte {
	for i := range h.Len() {
		id := h.ID(i)
		p := plans[id]
		if p == drop || !sized && id == http.ContentLength {
			continue
		}
		value := h.Value(i)
		if h.Secret(i) {
			p = secret
		}
		if p == only {
			if string(value) != "trailers" {
				continue
			}
			p = index
		}
		b = e.field(b, p, id, staticNames[id], h.Name(i), value)
	}
	return b
}

// field writes one field. name is the index of its name in the static table, or 0; spelling it is only needed without.
func (e *encoder) field(b []byte, p plan, id http.ID, name uint8, spelling, value []byte) []byte {
	switch p {
	case spell:
		if name == 0 && e.max >= DefaultHeaderTableSize {
			return e.byName(b, id, spelling, value)
		}
		return spelled(b, 0, name, spelling, value)
	case secret:
		if name == 0 && id == http.Other {
			name = staticOther(spelling)
		}
		return spelled(b, 0x10, name, spelling, value)
	case short:
		if len(value) < shortSecret {
			return spelled(b, 0x10, name, spelling, value)
		}
	}
	hash := maphash.Bytes(hashSeed, value)
	switch {
	case id != http.Other:
		hash += uint64(id) * 0x9e3779b97f4a7c15
	case name != 0:
		hash += uint64(name) * 0xc2b2ae3d27d4eb4f
	default:
		hash += maphash.Bytes(hashSeed, spelling) * 0x9e3779b97f4a7c15
	}
	h := uint32(hash >> 32)
	if e.used > 0 {
		mask := uint32(len(e.slots) - 1)
		for i := h & mask; e.slots[i] != 0; i = (i + 1) & mask {
			n := e.slots[i] - 1
			if n-e.first >= e.next-e.first {
				continue
			}
			if f := e.at(n); f.hash == h && f.id == id && string(e.valueOf(f)) == string(value) && (id != http.Other || string(e.name(f)) == string(spelling)) {
				if at := uint32(len(staticTable)) + e.next - 1 - n; at < 0x7f {
					return append(b, 0x80|byte(at))
				} else {
					return appendInteger(b, 0x80, 0x7f, uint64(at))
				}
			}
		}
	}
	if name == 0 && id == http.Other {
		name = staticOther(spelling)
	}
	if id == http.AcceptEncoding && string(value) == string(staticTable[name].value) {
		return append(b, 0x80|name)
	}
	if !e.again(hash) || uint32(len(spelling)+len(value)+entryCost) > e.max/2 || !validValue(value) {
		return spelled(b, 0, name, spelling, value)
	}
	f := e.insert(spelling, value, 0, false)
	f.hash, f.id = h, id
	e.remember(h)
	return spelled(b, 0x40, name, spelling, value)
}

// byName writes a field whose value is new each time and whose name the static table does not have: what is remembered is the name.
func (e *encoder) byName(b []byte, id http.ID, spelling, value []byte) []byte {
	if n := e.names[ordinals[id]] - 1; n-e.first < e.next-e.first {
		at := len(staticTable) + int(e.next-1-n)
		b = appendInteger(b, 0, 0x0f, uint64(at))
		return appendValue(b, value)
	}
	if len(value) > maxRemembered || !validValue(value) {
		return spelled(b, 0, 0, spelling, value)
	}
	f := e.insert(spelling, value, 0, false)
	f.hash, f.id = 0, id
	e.names[ordinals[id]] = e.next
	return spelled(b, 0x40, 0, spelling, value)
}

// maxRemembered is how many bytes a value may have that is remembered for its name's sake.
const maxRemembered = 64

// ordinals number the fields that byName is for.
var ordinals = func() (t [256]uint8) {
	n := uint8(0)
	for id, p := range plans {
		if p == spell && staticNames[id] == 0 {
			t[id] = n
			n++
		}
	}
	return t
}()

// again tells whether a field was seen lately, and notes that it was.
func (e *encoder) again(hash uint64) bool {
	mark, set := hash&0xffff|1, &e.seen[hash>>16&15]
	for s := *set; s != 0; s >>= 16 {
		if s&0xffff == mark {
			return true
		}
	}
	*set = *set<<16 | mark
	return false
}

// remember makes the newest entry findable.
func (e *encoder) remember(h uint32) {
	if int(e.used+1)*4 > len(e.slots)*3 {
		n := max(16, len(e.slots))
		for n < 3*int(e.len()) {
			n *= 2
		}
		if n == len(e.slots) {
			clear(e.slots)
		} else {
			e.slots = make([]uint32, n)
		}
		e.used = 0
		for i := e.first; i != e.next-1; i++ {
			e.place(e.at(i).hash, i)
		}
	}
	e.place(h, e.next-1)
}

func (e *encoder) place(h, n uint32) {
	mask := uint32(len(e.slots) - 1)
	i := h & mask
	for ; e.slots[i] != 0; i = (i + 1) & mask {
	}
	e.slots[i] = n + 1
	e.used++
}

// spelled writes a field of which at least the value is spelled out, as the first byte says: 0x40 with indexing, 0 without, 0x10 never.
func spelled(b []byte, first byte, name uint8, spelling, value []byte) []byte {
	mask := byte(0x0f)
	if first == 0x40 {
		mask = 0x3f
	}
	if name < mask {
		b = append(b, first|name)
	} else {
		b = append(b, first|mask, name-mask)
	}
	if name == 0 {
		b = appendInteger(b, 0, 0x7f, uint64(len(spelling)))
		b = append(b, spelling...)
	}
	return appendValue(b, value)
}

func appendValue(b, value []byte) []byte {
	if !validValue(value) {
		return appendText(b, value)
	}
	if len(value) < 0x7f {
		b = append(b, byte(len(value)))
	} else {
		b = appendInteger(b, 0, 0x7f, uint64(len(value)))
	}
	return append(b, value...)
}

// appendText writes a value that must not be written as it is: without the white space at its ends and with a space for each control
// character (RFC 9110 §5.5).
func appendText(b, value []byte) []byte {
	isSpace := func(c byte) bool { return c <= ' ' || c == 0x7f }
	for len(value) > 0 && isSpace(value[0]) {
		value = value[1:]
	}
	for len(value) > 0 && isSpace(value[len(value)-1]) {
		value = value[:len(value)-1]
	}
	b = appendInteger(b, 0, 0x7f, uint64(len(value)))
	for _, c := range value {
		if isSpace(c) && c != '\t' {
			c = ' '
		}
		b = append(b, c)
	}
	return b
}

// appendInteger writes n behind the bits of first, with the prefix that mask says (RFC 7541 §5.1).
func appendInteger(b []byte, first, mask byte, n uint64) []byte {
	if n < uint64(mask) {
		return append(b, first|byte(n))
	}
	b = append(b, first|mask)
	for n -= uint64(mask); n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

// room bounds what a block of such fields takes.
func room(bytes, fields int) int { return bytes + 12*fields + 64 }
