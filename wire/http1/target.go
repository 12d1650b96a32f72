package http1

import (
	"bytes"

	"github.com/weftmesh/weft/wire/http"
)

// target takes the request target apart by its form (RFC 9112 §3.2). Its bytes are known to be visible ASCII without '#', and r has its
// method.
func (d *Decoder) target(t []byte, r *http.Request) Code {
	if d.has(connect) {
		// The port is required here (RFC 9112 §3.2.3).
		if !validAuthority(t, true) {
			return BadURL
		}
		d.set(named)
		r.SetTarget(http.AuthorityForm)
		r.SetAuthority(t)
		return none
	}
	switch {
	case t[0] == '/':
		r.SetPath(t)
		return none
	case len(t) == 1 && t[0] == '*':
		if string(r.Method()) != "OPTIONS" {
			return BadTarget
		}
		r.SetTarget(http.AsteriskForm)
		r.SetPath(t)
		return none
	}
	scheme, rest, found := bytes.Cut(t, []byte("://"))
	if !found || !validScheme(scheme) {
		return BadTarget
	}
	r.SetTarget(http.AbsoluteForm)
	if !d.o.AllowAbsoluteURL {
		r.SetPath(t)
		return none
	}
	switch {
	case same(scheme, "http"):
		r.SetScheme([]byte("http"))
	case same(scheme, "https"):
		r.SetScheme([]byte("https"))
	default:
		return BadScheme
	}
	end := bytes.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	authority, path := rest[:end], rest[end:]
	// A URI with http or https and no host is invalid (RFC 9110 §4.2.1).
	if len(authority) == 0 || authority[0] == ':' || !validAuthority(authority, false) {
		return BadURL
	}
	d.set(named)
	r.SetAuthority(authority)
	switch {
	case len(path) > 0 && path[0] == '/':
		r.SetPath(path)
	case len(path) == 0 && string(r.Method()) == "OPTIONS":
		r.SetPath([]byte("*")) // RFC 9112 §3.2.4
	default:
		var room [256]byte // on the stack: the query begins a path that is not spelled
		r.SetPath(append(append(room[:0], '/'), path...))
	}
	return none
}

// validScheme tells whether s has the form of a scheme (RFC 3986 §3.1).
func validScheme(s []byte) bool {
	if len(s) == 0 || (s[0]|0x20)-'a' >= 26 {
		return false
	}
	for _, c := range s {
		if (c|0x20)-'a' >= 26 && c-'0' >= 10 && c != '+' && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

// The kinds of bytes in an authority.
const (
	hostPlain   = iota + 1 // unreserved and sub-delims
	hostColon              // before the port
	hostPercent            // before two hexadecimal digits
)

var hostByte = func() (t [256]byte) {
	for c := range t {
		if (byte(c)|0x20)-'a' < 26 || byte(c)-'0' < 10 {
			t[c] = hostPlain
		}
	}
	for _, c := range []byte("-._~!$&'()*+,;=") {
		t[c] = hostPlain
	}
	t[':'], t['%'] = hostColon, hostPercent
	return t
}()

// validAuthority tells whether a is uri-host [ ":" port ] (RFC 9110 §7.2, RFC 3986 §3.2.2) without user information; empty is valid,
// unless a port must be there. An address in brackets may have a zone; whether it is an address at all is left to who dials it.
func validAuthority(a []byte, port bool) bool {
	i := 0
	if len(a) > 0 && a[0] == '[' {
		for i = 1; i < len(a) && (hex[a[i]] != 0xff || a[i] == ':' || a[i] == '.'); i++ {
		}
		if i == 1 {
			return false
		}
		if i < len(a) && a[i] == '%' {
			for i++; i < len(a) && hostByte[a[i]] == hostPlain; i++ {
			}
		}
		if i == len(a) || a[i] != ']' {
			return false
		}
		if i++; i == len(a) {
			return !port
		}
		if a[i] != ':' {
			return false
		}
	} else {
		for ; i < len(a); i++ {
			if kind := hostByte[a[i]]; kind != hostPlain {
				if kind == hostColon {
					break
				}
				if kind != hostPercent || i+2 >= len(a) || hex[a[i+1]] == 0xff || hex[a[i+2]] == 0xff {
					return false
				}
			}
		}
		if i == len(a) {
			return !port
		}
		if i == 0 {
			return false
		}
	}
	n := 0
	for _, c := range a[i+1:] {
		if c-'0' >= 10 {
			return false
		}
		if n = n*10 + int(c-'0'); n > 65535 {
			return false
		}
	}
	return !port || i+1 < len(a)
}
