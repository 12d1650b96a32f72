package http1

import (
	"bytes"

	"github.com/weftmesh/weft/wire/http"
)

// Heads are read line by line, and what was read of a line that is not whole is not read again but looked over for its end only: a head
// that comes in single bytes costs no more than three looks at each. A line is judged when it is whole, except that a control character
// is a fault as soon as it is seen; so the verdict is the same however the bytes are cut.

// lineEnd looks at the line that b begins with, from where earlier calls stopped, and tells whether it is whole. If not, c is its fault,
// if there is one by now: tooLong if b was cut at a limit.
func (d *Decoder) lineEnd(b []byte, cut bool, tooLong Code) (whole bool, c Code) {
	i := control(b, int(d.scanned))
	d.scanned = uint32(i)
	switch {
	case i == len(b), b[i] == '\r' && i+1 == len(b):
		if cut {
			return false, tooLong
		}
		return false, none
	case b[i] == '\r' && b[i+1] == '\n':
		d.scanned = 0
		return true, none
	case b[i] == '\r', b[i] == '\n':
		return false, BareLineEnd
	}
	return false, BadCharacter
}

// stuck is for a line that did not parse: if it is whole, why says why; if not, more may come.
func (d *Decoder) stuck(line []byte, cut bool, tooLong, why Code) {
	whole, c := d.lineEnd(line, cut, tooLong)
	if whole {
		c = why
	}
	if c != none {
		d.fail(c)
	}
}

// begin makes d ready for the fields of a message whose first line took n bytes.
func (d *Decoder) begin(n int) {
	d.state, d.length, d.left = inHead, -1, 0
	d.used, d.scanned, d.fields, d.taken, d.dropped = uint32(n), 0, 0, 0, 0
	d.flags &= expectations
	if d.Trailers != nil && d.Trailers.Len() > 0 {
		d.Trailers.Reset()
	}
}

// requestLine reads a request line (RFC 9112 §3) into r and tells how much it took. If it is whole and good, d is inHead.
func (d *Decoder) requestLine(in []byte, r *http.Request) int {
	n := 0
	if len(in) >= 2 && in[0] == '\r' && in[1] == '\n' && !d.has(blank) {
		n = 2 // RFC 9112 §2.2
		d.set(blank)
	}
	line, cut := limited(in[n:], d.o.headBytes())
	if d.scanned != 0 {
		if whole, c := d.lineEnd(line, cut, HeadTooLarge); !whole {
			d.failIf(c)
			return n
		}
	}
	m := 0
	for m < len(line) && token[line[m]] {
		m++
	}
	if m == 0 || m == len(line) || line[m] != ' ' {
		why := BadMethod
		if m < len(line) && line[m] == '\r' {
			why = BadRequestLine
		}
		d.stuck(line, cut, HeadTooLarge, why)
		return n
	}
	if d.o.KnownMethods && !known(line[:m]) {
		d.stuck(line, cut, HeadTooLarge, UnknownMethod)
		return n
	}
	t := m + 1
	e := visible(line, t)
	end := e // of what is taken of the target
	if e > t && e < len(line) && line[e] == '#' && d.o.CutFragment != nil && d.o.CutFragment() {
		for e < len(line) && line[e] == '#' {
			e = visible(line, e+1)
		}
	}
	if e == t || e == len(line) || line[e] != ' ' {
		why := BadTarget
		switch {
		case e < len(line) && line[e] == '#':
			why = Fragment
		case e < len(line) && line[e] == '\r':
			why = BadRequestLine
		}
		d.stuck(line, cut, HeadTooLarge, why)
		return n
	}
	version, c := versionLine(line[e+1:])
	if c != none {
		d.stuck(line, cut, HeadTooLarge, c)
		return n
	}
	if version == http.HTTP10 && !d.o.AllowHTTP10 {
		d.fail(LowVersion)
		return n
	}
	e += 1 + len("HTTP/1.1\r\n")
	d.begin(e)
	r.Reset()
	r.Version = version
	r.SetMethod(line[:m])
	if version == http.HTTP10 {
		d.set(old)
	}
	if m == len("CONNECT") && string(line[:m]) == "CONNECT" {
		d.set(connect)
	}
	if c := d.target(line[t:end], r); c != none {
		d.fail(c)
		return n
	}
	return n + e
}

// known tells whether a method is one that Envoy takes unless custom ones are allowed.
func known(method []byte) bool {
	switch string(method) {
	case "GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE",
		"ACL", "BIND", "CHECKOUT", "COPY", "LINK", "LOCK", "MERGE", "MKACTIVITY", "MKCALENDAR", "MKCOL", "MOVE", "MSEARCH", "NOTIFY", "PROPFIND", "PROPPATCH",
		"PURGE", "REBIND", "REPORT", "SEARCH", "SOURCE", "SUBSCRIBE", "UNBIND", "UNLINK", "UNLOCK", "UNSUBSCRIBE":
		return true
	}
	return false
}

// versionLine reads a version and the end of its line. A minor version above 1 is taken for 1 (RFC 9110 §2.5).
func versionLine(b []byte) (http.Version, Code) {
	if len(b) >= 10 && string(b[:10]) == "HTTP/1.1\r\n" {
		return http.HTTP11, none
	}
	if len(b) < 10 || b[8] != '\r' || b[9] != '\n' {
		return 0, BadVersion
	}
	return version(b)
}

// version reads the version that b, of at least eight bytes, begins with.
func version(b []byte) (http.Version, Code) {
	switch {
	case string(b[:5]) != "HTTP/" || b[5]-'0' >= 10 || b[6] != '.' || b[7]-'0' >= 10:
		return 0, BadVersion
	case b[5] != '1':
		return 0, UnknownVersion
	case b[7] == '0':
		return http.HTTP10, none
	}
	return http.HTTP11, none
}

// statusLine reads a status line (RFC 9112 §4) into r and tells how much it took. If it is whole and good, d is inHead. The space after
// the status may be missing where the reason phrase is too, since many servers leave it out.
func (d *Decoder) statusLine(in []byte, r *http.Response) int {
	line, cut := limited(in, d.o.headBytes())
	if d.scanned != 0 {
		if whole, c := d.lineEnd(line, cut, HeadTooLarge); !whole {
			d.failIf(c)
			return 0
		}
	}
	if len(line) < len("HTTP/1.1 200\r\n") {
		d.stuck(line, cut, HeadTooLarge, statusFault(line))
		return 0
	}
	v, c := version(line)
	s0, s1, s2 := line[9]-'0', line[10]-'0', line[11]-'0'
	if c != none || line[8] != ' ' || s0-1 >= 9 || s1 >= 10 || s2 >= 10 || line[12] != ' ' && line[12] != '\r' {
		d.stuck(line, cut, HeadTooLarge, statusFault(line))
		return 0
	}
	e := control(line, 12)
	if e+1 >= len(line) || line[e] != '\r' || line[e+1] != '\n' {
		d.stuck(line, cut, HeadTooLarge, BadStatusLine)
		return 0
	}
	d.begin(e + 2)
	d.set(answered)
	r.Reset()
	r.Version, r.Status = v, uint16(s0)*100+uint16(s1)*10+uint16(s2)
	if v == http.HTTP10 {
		d.set(old)
	}
	if d.o.KeepReason && e > 13 {
		r.SetReason(line[13:e])
	}
	return e + 2
}

// statusFault says what is wrong with the status line that b begins with.
func statusFault(b []byte) Code {
	if end := control(b, 0); end >= len("HTTP/1.1") {
		if _, c := version(b); c != none {
			return c
		}
	}
	return BadStatusLine
}

// limited cuts b at a limit and tells whether it did.
func limited(b []byte, limit int) ([]byte, bool) {
	if len(b) > limit {
		return b[:limit], true
	}
	return b, false
}

func (d *Decoder) failIf(c Code) {
	if c != none {
		d.fail(c)
	}
}

// section reads the lines of a head, or of a trailer section (RFC 9112 §5), up to the empty line and tells how much it took. The fields go
// to h, which may be nil; those that frame the message or name its authority go to d and r.
func (d *Decoder) section(in []byte, h *http.Header, r *http.Request) (n int, done bool) {
	limit, most, tooLong, tooMany := d.o.headBytes(), uint32(d.o.headers()), HeadTooLarge, TooManyHeaders
	if d.state == inTrailers {
		limit, tooLong, tooMany = d.o.trailerBytes(), TrailersTooLarge, TooManyTrailers
	}
	in, cut := limited(in, limit-int(d.used))
	if d.scanned != 0 {
		if whole, c := d.lineEnd(in, cut, tooLong); !whole {
			d.failIf(c)
			return 0, false
		}
	}
	// Most fields go into the block without another question.
	plain := h != nil && d.state != inTrailers && d.o.Underscores == KeepUnderscores
	start := 0
	for {
		line := in[start:]
		k := nameEnd(line)
		if k == 0 || k == len(line) || line[k] != ':' {
			if len(line) >= 2 && line[0] == '\r' && line[1] == '\n' {
				d.used += uint32(start + 2)
				return start + 2, true
			}
			why := BadName
			if len(line) > 0 && (line[0] == ' ' || line[0] == '\t') {
				why = Folded
			}
			d.used += uint32(start)
			d.stuck(line, cut, tooLong, why)
			return start, false
		}
		name := line[:k]
		// The value, without the white space around it.
		v := k + 1
		for v < len(line) && (line[v] == ' ' || line[v] == '\t') {
			v++
		}
		e := control(line, v)
		if e+1 >= len(line) || line[e] != '\r' || line[e+1] != '\n' {
			d.used += uint32(start)
			d.stuck(line, cut, tooLong, BadName)
			return start, false
		}
		start += e + 2
		for e > v && (line[e-1] == ' ' || line[e-1] == '\t') {
			e--
		}
		id := http.LookupFold(name)
		if id == http.Other && !isToken(name) {
			why := BadName
			if control(name, 0) != k {
				why = BadCharacter // DEL, which nameEnd passes over
			}
			d.fail(why)
			return start, false
		}
		if d.fields++; d.fields > most {
			d.fail(tooMany)
			return start, false
		}
		d.taken += uint32(k + e - v + len(":\r\n"))
		if role := roles[id]; role != ordinary {
			if d.state == inTrailers {
				continue // whatever has a role in a head must not be in trailers
			}
			add, c := d.framingField(role, name, line[v:e], r)
			if c != none {
				d.fail(c)
				return start, false
			}
			if !add {
				continue
			}
		}
		if plain {
			h.AddField(id, name, line[v:e], d.o.KeepSpelling)
		} else if c := d.field(h, id, name, line[v:e]); c != none {
			d.fail(c)
			return start, false
		}
	}
}

// field takes one field, with the name as it came, as the options say.
func (d *Decoder) field(h *http.Header, id http.ID, name, value []byte) Code {
	if d.o.Underscores != KeepUnderscores && !d.has(awaited) && bytes.IndexByte(name, '_') >= 0 {
		if d.o.Underscores == RejectUnderscores {
			return Underscore
		}
		d.dropped++
		return none
	}
	if h != nil && !(d.state == inTrailers && http.NotInTrailers(id, name)) {
		h.AddField(id, name, value, d.o.KeepSpelling)
	}
	return none
}
