package http2

import (
	"bytes"
	"slices"

	"github.com/weftmesh/weft/wire/http"
)

// kind is what a field is to the reader of a head.
type kind uint8

const (
	ordinary kind = iota
	underscored
	crumb // cookie
	length
	host
	te
	ofConnection // what HTTP/1 says of its connection (RFC 9113 §8.2.2)
	method
	scheme
	authority
	path
	protocol
	status
	unknownPseudo
)

func (k kind) pseudo() bool { return k >= method }

// kinds tells what fields with an ID are.
var kinds = [256]kind{
	http.Cookie: crumb, http.ContentLength: length, http.Host: host, http.TE: te,
	http.Connection: ofConnection, http.KeepAlive: ofConnection, http.ProxyConnection: ofConnection, http.TransferEncoding: ofConnection,
	http.Upgrade: ofConnection,
}

// classify judges a name.
func classify(name []byte) (http.ID, kind, Code) {
	if len(name) == 0 {
		return http.Other, ordinary, BadName
	}
	if name[0] == ':' {
		k := unknownPseudo
		switch string(name) {
		case ":method":
			k = method
		case ":scheme":
			k = scheme
		case ":authority":
			k = authority
		case ":path":
			k = path
		case ":protocol":
			k = protocol
		case ":status":
			k = status
		}
		return http.Other, k, none
	}
	if id := http.Lookup(name); id != http.Other {
		return id, kinds[id], none
	}
	k := ordinary
	for _, c := range name {
		if !tokens[c] || c-'A' < 26 {
			return http.Other, ordinary, BadName
		}
		if c == '_' {
			k = underscored
		}
	}
	return http.Other, k, none
}

// tokens tells which bytes a token may have (RFC 9110 §5.6.2).
var tokens = func() (t [256]bool) {
	for c := range t {
		t[c] = (byte(c)|0x20)-'a' < 26 || byte(c)-'0' < 10
	}
	for _, c := range []byte("!#$%&'*+-.^_`|~") {
		t[c] = true
	}
	return t
}()

// validValue tells whether a value has no control character but HTAB, and no white space at its ends (RFC 9113 §8.2.1, RFC 9110 §5.5).
func validValue(v []byte) bool {
	n := len(v)
	if n == 0 {
		return true
	}
	if v[0] <= ' ' || v[n-1] <= ' ' {
		return false
	}
	if n < 8 {
		return isText(v)
	}
	m := controls(word(v[n-8:]))
	for i := 0; i < n-8; i += 8 {
		m |= controls(word(v[i:]))
	}
	return m == 0 || isText(v)
}

// controls marks control characters, HTAB among them; bytes behind one may be marked in error.
func controls(x uint64) uint64 {
	y := x ^ ones*0x7f
	return ((x-ones*0x20)&^x | (y-ones)&^y) & highs
}

// isText tells whether there is no control character but HTAB.
func isText(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// judge judges a value by what its field is, as far as that does not depend on the message. It is as strict as Envoy (1.40, tried), which
// leaves to its owner what a fragment in :path is answered with, and any scheme. White space at the ends of a value, which Envoy passes on, and
// which libraries of gRPC send (its doc/PROTOCOL-HTTP2.md allows to take it away), is taken away as a reader of HTTP/1 would, so that nobody behind
// us sees another value than we do; where a field means something to us it is malformed, as RFC 9113 §8.2.1 has it.
func (k kind) judge(v []byte) Code {
	if !validValue(v) && (k > crumb || !isText(v)) {
		return BadValue
	}
	switch k {
	case ordinary, underscored, crumb, length:
	case te:
		if string(v) != "trailers" {
			return BadTE
		}
	case method:
		if !isToken(v) {
			return BadMethod
		}
	case scheme:
		if !isScheme(v) {
			return BadScheme
		}
	case host, authority:
		if len(v) == 0 || !http.ValidAuthority(v, false) {
			return BadAuthority
		}
	case path:
		if len(v) == 0 || hasSpace(v) {
			return BadPath
		}
	case protocol:
		if !isToken(v) {
			return BadConnect
		}
	case status:
		if len(v) != 3 || v[0]-'1' >= 9 || v[1]-'0' >= 10 || v[2]-'0' >= 10 || string(v) == "101" { // RFC 9113 §8.6
			return BadStatus
		}
	}
	return none
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

func word(b []byte) uint64 {
	_ = b[7]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 | uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

// head is a head, or a trailer section, that is being read. The first thing that is wrong is kept, and no field is taken after it.
type head struct {
	o        *Options
	h        *http.Header   // where fields go; nil: nowhere
	request  *http.Request  // whose block h is, if it is a request's
	response *http.Response // or a response's
	scratch  []byte         // for what goes nowhere

	maxBytes, maxFields int

	length  int64 // what content-length says; -1 if nothing
	bytes   int   // names and values so far, decoded
	fields  int   // all of them, too
	dropped int   // for an underscore in the name
	crumbs  int
	seen    uint16 // one bit for each kind, of pseudo-header fields and host
	regular bool   // a field that is none of those came
	code    Code
}

func newHead(o *Options) head {
	return head{o: o, maxBytes: o.headBytes(), maxFields: o.headers(), length: -1}
}

// tail is where n bytes may be decoded to.
func (m *head) tail(n int) []byte {
	if m.h != nil {
		return m.h.Tail(n)
	}
	m.scratch = slices.Grow(m.scratch[:0], n)
	return m.scratch
}

// field takes the next field, the name and value of which were judged: code.
func (m *head) field(id http.ID, k kind, code Code, name, value []byte, never bool) {
	m.bytes += len(name) + len(value)
	m.fields++
	if m.code != none {
		return
	}
	switch {
	case m.bytes > m.maxBytes:
		m.code = HeadTooLarge
		return
	case m.fields > m.maxFields:
		m.code = TooManyHeaders
		return
	case code != none:
		m.code = code
		return
	case m.h == nil:
		return
	case k.pseudo():
		m.code = m.pseudo(k, value)
		return
	}
	m.regular = true
	if n := len(value); n > 0 && k <= crumb && (value[0] <= ' ' || value[n-1] <= ' ') {
		value = bytes.Trim(value, " \t")
	}
	if k != ordinary {
		var take bool
		if take, m.code = m.special(k, value); !take {
			return
		}
	}
	if m.request == nil && m.response == nil && http.NotInTrailers(id, name) {
		return
	}
	if id != http.Other {
		m.h.Add(id, value)
	} else {
		m.h.AddOther(name, value)
	}
	if never {
		m.h.MarkSecret()
	}
}

// special judges a field that is more than a name and a value, and tells whether to take it.
func (m *head) special(k kind, value []byte) (bool, Code) {
	trailers := m.request == nil && m.response == nil
	switch k {
	case underscored:
		if m.request != nil && m.o.Underscores != KeepUnderscores {
			if m.o.Underscores == RejectUnderscores {
				return false, Underscore
			}
			m.dropped++
			return false, none
		}
	case crumb:
		m.crumbs++
	case length:
		if trailers {
			return false, none
		}
		if m.length >= 0 {
			return false, DuplicateLength
		}
		if m.length = decimal(value); m.length < 0 {
			return false, BadLength
		}
	case host:
		if m.request == nil {
			return !trailers, none
		}
		if m.seen&(1<<host) != 0 {
			return false, SeveralHosts
		}
		m.seen |= 1 << host
		if m.seen&(1<<authority) == 0 { // else that is what holds, and nobody hears of the other
			m.request.SetAuthority(value)
		}
		return false, none
	case ofConnection:
		return false, ConnectionField
	}
	return true, none
}

// pseudo takes a pseudo-header field (RFC 9113 §8.3).
func (m *head) pseudo(k kind, value []byte) Code {
	switch {
	case m.request == nil && m.response == nil:
		return PseudoTrailers
	case k == unknownPseudo, (k == status) != (m.response != nil):
		return BadPseudo
	case m.seen&(1<<k) != 0:
		return DuplicatePseudo
	case m.regular:
		return LatePseudo
	}
	m.seen |= 1 << k
	r := m.request
	switch k {
	case method:
		r.SetMethod(value)
	case scheme:
		r.SetScheme(value)
		lower(r.Scheme())
	case authority:
		r.SetAuthority(value)
	case path:
		r.SetPath(value)
	case protocol:
		r.SetProtocol(value)
	case status:
		m.response.Status = uint16(value[0]-'0')*100 + uint16(value[1]-'0')*10 + uint16(value[2]-'0')
	}
	return none
}

// finish judges the whole of it.
func (m *head) finish() Code {
	if m.code != none || m.h == nil {
		return m.code
	}
	if m.crumbs > 1 {
		m.h.Join(http.Cookie, "; ") // RFC 9113 §8.2.3
	}
	const all, named = 1<<method | 1<<scheme | 1<<path, 1<<authority | 1<<host
	switch {
	case m.request != nil && m.request.IsConnect():
		if m.seen&(1<<protocol) != 0 {
			if !m.o.EnableConnect {
				return BadPseudo
			}
			if m.seen&all != all || m.seen&named == 0 {
				return BadConnect
			}
		} else if m.seen&all != 1<<method || m.seen&named == 0 {
			return BadConnect
		}
	case m.request != nil:
		if m.seen&all != all || m.seen&named == 0 {
			return MissingPseudo
		}
		p := m.request.Path()
		switch {
		case m.seen&(1<<protocol) != 0 && !m.o.EnableConnect:
			return BadPseudo
		case m.seen&(1<<protocol) != 0:
			return BadConnect
		case p[0] == '/':
		case len(p) == 1 && p[0] == '*' && string(m.request.Method()) == "OPTIONS":
			m.request.SetTarget(http.AsteriskForm)
		default:
			return BadTarget
		}
	case m.response != nil:
		if m.seen&(1<<status) == 0 {
			return MissingPseudo
		}
		if s := m.response.Status; s < 200 || s == 204 { // RFC 9110 §8.6
			if m.length > 0 {
				return BadLength
			}
			if m.length == 0 {
				m.h.Remove(http.ContentLength)
				m.bytes -= len("content-length0") // as if it had not come, with Envoy
			}
		}
	}
	return none
}

// decimal is the number that b spells; -1 if it spells none below 2^63.
func decimal(b []byte) int64 {
	if len(b) == 0 || len(b) > 19 {
		return -1
	}
	n := uint64(0)
	for _, c := range b {
		if c-'0' >= 10 {
			return -1
		}
		n = n*10 + uint64(c-'0')
	}
	if n >= 1<<63 {
		return -1
	}
	return int64(n)
}

func isToken(b []byte) bool {
	for _, c := range b {
		if !tokens[c] {
			return false
		}
	}
	return len(b) > 0
}

// hasSpace tells whether there is white space in b, which has no other control characters.
func hasSpace(b []byte) bool {
	for _, c := range b {
		if c <= ' ' {
			return true
		}
	}
	return false
}

// isScheme tells whether b has the form of a scheme (RFC 3986 §3.1).
func isScheme(b []byte) bool {
	for i, c := range b {
		if (c|0x20)-'a' >= 26 && (i == 0 || c-'0' >= 10 && c != '+' && c != '-' && c != '.') {
			return false
		}
	}
	return len(b) > 0
}

func lower(b []byte) {
	for i, c := range b {
		if c-'A' < 26 {
			b[i] = c | 0x20
		}
	}
}
