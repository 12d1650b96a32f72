package http1

import "github.com/weftmesh/weft/wire/http"

// role is what a field tells the decoder.
type role uint8

const (
	ordinary role = iota
	hostRole
	lengthRole
	encodingRole
	connectionRole
	proxyConnectionRole
)

var roles = [256]role{
	http.Host:             hostRole,
	http.ContentLength:    lengthRole,
	http.TransferEncoding: encodingRole,
	http.Connection:       connectionRole,
	http.ProxyConnection:  proxyConnectionRole,
}

// framingField takes note of a field with a role and tells whether it belongs among the fields too. r is nil in a response.
func (d *Decoder) framingField(role role, name, value []byte, r *http.Request) (add bool, c Code) {
	switch role {
	case hostRole:
		switch {
		case r == nil:
			return true, none
		case d.has(host):
			return false, DuplicateHost
		case !http.ValidAuthority(value, false):
			return false, BadHost
		}
		d.set(host)
		if !d.has(named) {
			r.SetAuthority(value)
		}
		if d.o.KeepSpelling {
			r.SetHostSpelling(name)
		}
		return false, none
	case lengthRole:
		// Two fields are refused even where they agree, as Envoy does; so is a list (RFC 9112 §6.3 leaves both open).
		if d.length >= 0 {
			return false, DuplicateLength
		}
		if d.length = decimal(value); d.length < 0 {
			return false, BadLength
		}
	case encodingRole:
		d.codings(value)
		return false, none
	case connectionRole:
		for option, rest := element(value); option != nil || rest != nil; option, rest = element(rest) {
			switch {
			case same(option, "close"):
				d.set(closes)
			case same(option, "keep-alive"):
				d.set(keeps)
			case same(option, "upgrade"):
				d.set(upgrades)
			}
		}
	case proxyConnectionRole:
		// Not a field of any standard, but Envoy heeds its close.
		for option, rest := element(value); option != nil || rest != nil; option, rest = element(rest) {
			if same(option, "close") {
				d.set(closes)
			}
		}
	}
	return true, none
}

// decimal is the value of digits only; -1 for anything else and from 2^63 on.
func decimal(b []byte) int64 {
	n := int64(0)
	for _, c := range b {
		c -= '0'
		if c > 9 || n > (1<<63-1-int64(c))/10 {
			return -1
		}
		n = n*10 + int64(c)
	}
	if len(b) == 0 {
		return -1
	}
	return n
}

// codings takes note of the codings of a Transfer-Encoding field. Only chunked, once, is understood.
func (d *Decoder) codings(value []byte) {
	for list := value; ; {
		coding, rest := element(list)
		switch {
		case same(coding, "chunked"):
			if d.has(chunked) {
				d.set(tangled)
			}
			d.set(chunked)
		case len(coding) == 0:
			d.set(tangled)
		default:
			d.set(foreign)
		}
		if rest == nil {
			return
		}
		list = rest
	}
}

// chunkedBody decides on a message with Transfer-Encoding (RFC 9112 §6.1).
func (d *Decoder) chunkedBody(h *http.Header) Code {
	switch {
	case d.length >= 0 && (!d.o.AllowChunkedLength || d.has(foreign|tangled)):
		return LengthWithChunked
	case d.has(old):
		return BadTransferEncoding
	case d.has(foreign):
		return UnknownTransferEncoding
	case d.has(tangled):
		return BadTransferEncoding
	}
	if d.length >= 0 {
		h.Remove(http.ContentLength)
		d.length = -1
		d.set(closes)
	}
	d.state, d.excess = atChunk, 0
	return none
}

// requestFraming decides, at the end of a request's head, how its body is framed (RFC 9112 §6.3).
func (d *Decoder) requestFraming(r *http.Request) Code {
	if !d.has(host) {
		switch {
		case !d.has(old):
			return MissingHost // RFC 9112 §3.2: whatever the form of the target
		case !d.has(named) && len(d.o.DefaultHost) == 0:
			return MissingHost
		case !d.has(named):
			r.SetAuthority(d.o.DefaultHost)
		}
	}
	if d.flags&(upgrades|old) == upgrades && r.Has(http.Upgrade) {
		d.set(asks)
	}
	switch {
	case d.has(connect):
		// Content has no meaning in CONNECT (RFC 9110 §9.3.6); Envoy refuses it.
		switch {
		case d.has(chunked | foreign | tangled):
			return UnknownTransferEncoding
		case d.length > 0:
			return ConnectBody
		}
		r.Remove(http.ContentLength)
		d.length = -1
		d.set(empty | closes)
		d.finish()
		d.state = held
	case d.has(chunked | foreign | tangled):
		return d.chunkedBody(&r.Header)
	case d.length > 0:
		d.state, d.left = inSized, d.length
	default:
		d.set(empty)
		d.finish()
	}
	return none
}

// responseFraming decides, at the end of a response's head, how its body is framed (RFC 9112 §6.3).
func (d *Decoder) responseFraming(r *http.Response) Code {
	encoded := d.has(chunked | foreign | tangled)
	if r.Status < 200 || r.Status == 204 {
		switch {
		case encoded:
			return TransferEncodingNotAllowed
		case d.length > 0:
			return LengthNotAllowed
		}
		r.Remove(http.ContentLength)
		d.length = -1
	}
	switch {
	case r.Status == 101:
		if !d.has(forUpgrade) {
			return UnaskedUpgrade
		}
		d.tunnel()
	case r.Status < 200:
		d.set(empty)
		d.finish()
		d.state = atStart
	case d.has(forConnect) && r.Status < 300:
		// RFC 9110 §9.3.6: these two are to be ignored here.
		r.Remove(http.ContentLength)
		d.length = -1
		d.tunnel()
	case d.has(forHead), r.Status == 204, r.Status == 304:
		d.set(empty)
		d.finish()
	case encoded:
		return d.chunkedBody(&r.Header)
	case d.length > 0:
		d.state, d.left = inSized, d.length
	case d.length == 0:
		d.set(empty)
		d.finish()
	default:
		d.state = inOpen
		d.set(closes)
	}
	return none
}

func (d *Decoder) tunnel() {
	d.state = tunnel
	d.set(closes)
}
