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
		if !http.ValidAuthority(t, true) {
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
	if len(authority) == 0 || authority[0] == ':' || !http.ValidAuthority(authority, false) {
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
