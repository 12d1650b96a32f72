package http1

import (
	"slices"
	"strconv"

	"github.com/weftmesh/weft/wire/http"
)

// What is written holds no control character but HTAB and the line ends that are ours, whatever the message was given: in a field value
// or reason phrase each other one becomes a space (RFC 9110 §5.5), in a request line it is percent-encoded. Field names are taken as they
// are: a Header holds none but valid ones.

// Framing is how the body of a message that is written is delimited. Fields of the message that speak of framing are written as it says.
type Framing int64

const (
	// NoBody: nothing follows the head. A response keeps its Content-Length, which is then that of the body that a HEAD or a 304 stands
	// for; it is dropped with 1xx and 204. A request has Content-Length 0 if it had one, or if its method usually has a body.
	NoBody Framing = -1 - iota
	// Chunked: AppendChunkHead and so on delimit the body. Not for HTTP/1.0.
	Chunked
	// UntilClose: the body of a response ends with the connection, or the bytes are a tunnel's.
	UntilClose
)

// Sized is the framing of a body of n bytes by Content-Length.
func Sized(n int64) Framing { return Framing(n) }

// Spelling is the case of field names as they are written.
type Spelling uint8

const (
	// LowerCase writes names in lower case.
	LowerCase Spelling = iota
	// ProperCase begins each word with a capital, as Envoy's proper_case_words.
	ProperCase
	// AsReceived writes names as Options.KeepSpelling kept them, others in lower case.
	AsReceived
)

// WriteOptions say how messages are written.
type WriteOptions struct {
	Spelling Spelling
	// AbsoluteForm writes a request's target as scheme://authority/path (RFC 9112 §3.2.2), which is for proxies. CONNECT is not
	// concerned, nor is a request without scheme.
	AbsoluteForm bool
}

// AppendRequest writes a request's head, in HTTP/1.1, and returns dst with it.
func AppendRequest(dst []byte, r *http.Request, f Framing, o WriteOptions) []byte {
	isConnect := r.IsConnect()
	dst = append(appendPart(dst, r.Method()), ' ')
	switch path := r.Path(); {
	case isConnect:
		dst = appendPart(dst, r.Authority())
	case o.AbsoluteForm && len(r.Scheme()) != 0:
		dst = append(appendPart(dst, r.Scheme()), "://"...)
		dst = appendPart(dst, r.Authority())
		if string(path) != "*" { // RFC 9112 §3.2.4
			dst = appendPart(dst, path)
		}
	case len(path) == 0:
		dst = append(dst, '/')
	default:
		dst = appendPart(dst, path)
	}
	dst = append(dst, " HTTP/1.1\r\n"...)
	switch {
	case o.Spelling == ProperCase:
		dst = appendField(dst, "Host", r.Authority())
	case o.Spelling == AsReceived && len(r.HostSpelling()) != 0:
		dst = appendField(dst, r.HostSpelling(), r.Authority())
	default:
		dst = appendField(dst, "host", r.Authority())
	}
	if f == NoBody && !isConnect && (r.Has(http.ContentLength) || usuallyHasBody(r.Method())) {
		f = Sized(0)
	}
	return appendFields(dst, &r.Header, f, o.Spelling, true, true)
}

// usuallyHasBody tells whether a request without a body should say so (RFC 9110 §8.6); the methods are Envoy's.
func usuallyHasBody(method []byte) bool {
	switch string(method) {
	case "GET", "HEAD", "DELETE", "TRACE", "CONNECT":
		return false
	}
	return true
}

// AppendResponse writes a response's head and returns dst with it. The version is HTTP/1.0 or, for any other, HTTP/1.1. A response without
// reason phrase gets the usual one of its status.
func AppendResponse(dst []byte, r *http.Response, version http.Version, f Framing, o WriteOptions) []byte {
	if version == http.HTTP10 {
		dst = append(dst, "HTTP/1.0 "...)
	} else {
		dst = append(dst, "HTTP/1.1 "...)
	}
	s := r.Status
	dst = append(dst, byte('0'+s/100%10), byte('0'+s/10%10), byte('0'+s%10), ' ')
	if reason := r.Reason(); len(reason) != 0 {
		dst = appendText(dst, reason)
	} else {
		dst = append(dst, Reason(s)...)
	}
	dst = append(dst, "\r\n"...)
	return appendFields(dst, &r.Header, f, o.Spelling, s >= 200 && s != 204, false)
}

// appendFields writes the fields and the empty line. sizes tells whether Content-Length may be there.
func appendFields(dst []byte, h *http.Header, f Framing, spelling Spelling, sizes, isRequest bool) []byte {
	for i := range h.Len() {
		switch h.ID(i) {
		case http.TransferEncoding:
			continue
		case http.Host:
			if isRequest {
				continue // there is one already
			}
		case http.ContentLength:
			if !sizes || f < NoBody {
				continue
			}
			sizes = false // the first one only
			if f >= 0 {
				dst = appendLength(dst, f, spelling, h.Spelling(i))
				continue
			}
		}
		dst = appendSpelled(dst, h, i, spelling)
	}
	switch {
	case f >= 0 && sizes:
		dst = appendLength(dst, f, spelling, nil)
	case f == Chunked && spelling == LowerCase:
		dst = append(dst, "transfer-encoding: chunked\r\n"...)
	case f == Chunked:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	return append(dst, "\r\n"...)
}

func appendLength(dst []byte, f Framing, spelling Spelling, spelled []byte) []byte {
	switch {
	case spelling == AsReceived && len(spelled) != 0:
		dst = append(dst, spelled...)
	case spelling == LowerCase:
		dst = append(dst, "content-length"...)
	default:
		dst = append(dst, "Content-Length"...)
	}
	return append(strconv.AppendUint(append(dst, ": "...), uint64(f), 10), "\r\n"...)
}

// appendSpelled writes the i-th field of a block.
func appendSpelled(dst []byte, h *http.Header, i int, spelling Spelling) []byte {
	switch spelling {
	case ProperCase:
		return appendProper(dst, h.Name(i), h.Value(i))
	case AsReceived:
		return appendField(dst, h.Spelling(i), h.Value(i))
	}
	return appendField(dst, h.Name(i), h.Value(i))
}

// appendField writes one field.
func appendField[T string | []byte](dst []byte, name T, value []byte) []byte {
	at, n := len(dst), len(name)
	dst = slices.Grow(dst, n+len(value)+4)[:at+n+len(value)+4]
	b := dst[at:]
	copy(b, name)
	b[n], b[n+1] = ':', ' '
	v := b[n+2 : n+2+len(value)]
	copy(v, value)
	b[len(b)-2], b[len(b)-1] = '\r', '\n'
	if control(v, 0) != len(v) {
		blankControls(v)
	}
	return dst
}

// appendProper is appendField with the name in proper case.
func appendProper(dst []byte, name, value []byte) []byte {
	at := len(dst)
	dst = appendField(dst, name, value)
	first := true
	for i, c := range dst[at : at+len(name)] {
		letter := c-'a' < 26
		if first && letter {
			dst[at+i] = c &^ 0x20
		}
		first = !letter && c-'0' >= 10
	}
	return dst
}

// appendText writes text that must not hold controls.
func appendText(dst, text []byte) []byte {
	at := len(dst)
	dst = append(dst, text...)
	if control(text, 0) != len(text) {
		blankControls(dst[at:])
	}
	return dst
}

func blankControls(b []byte) {
	for i := control(b, 0); i < len(b); i = control(b, i+1) {
		b[i] = ' '
	}
}

// appendPart writes a part of a request line, which must not hold white space or controls either.
func appendPart(dst, part []byte) []byte {
	if visible(part, 0) == len(part) {
		return append(dst, part...)
	}
	for _, c := range part {
		if c <= ' ' || c == 0x7f {
			dst = append(dst, '%', digits[c>>4], digits[c&15])
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}

const digits = "0123456789ABCDEF"

// AppendChunkHead writes what stands before n bytes of a chunked body and returns dst with it. For no bytes it writes nothing, as that would
// end the body; then AppendChunkEnd must not be called either.
func AppendChunkHead(dst []byte, n int) []byte {
	if n <= 0 {
		return dst
	}
	var room [18]byte
	room[16], room[17] = '\r', '\n'
	i := 16
	for ; n > 0; n >>= 4 {
		i--
		room[i] = digits[n&15]
	}
	return append(dst, room[i:]...)
}

// AppendChunkEnd writes what stands after the bytes of a chunk and returns dst with it.
func AppendChunkEnd(dst []byte) []byte { return append(dst, "\r\n"...) }

// AppendLastChunk writes the end of a chunked body and returns dst with it. trailers may be nil; of them, those that may not stand there
// are left out (RFC 9110 §6.5.1).
func AppendLastChunk(dst []byte, trailers *http.Header, o WriteOptions) []byte {
	dst = append(dst, "0\r\n"...)
	if trailers != nil {
		for i := range trailers.Len() {
			if id := trailers.ID(i); roles[id] == ordinary && !http.NotInTrailers(id, trailers.Name(i)) {
				dst = appendSpelled(dst, trailers, i, o.Spelling)
			}
		}
	}
	return append(dst, "\r\n"...)
}
