package load

import (
	"bytes"
	"fmt"
)

// A protocol turns requests into bytes and bytes into answers, for one connection. It does no I/O
// and keeps no time, so that the same one runs over a socket or over TLS.
type protocol interface {
	// request returns the bytes of the next request; the caller must not change them.
	request() []byte
	// feed takes bytes that arrived and returns how many of them it used. Anything but `more` ends
	// the answer (or the connection), and the rest of p is not part of it.
	feed(p []byte) (used int, v verdict)
	// begun reports whether a part of an answer has arrived.
	begun() bool
	// reset forgets everything, for a new connection.
	reset()
}

type verdict uint8

const (
	more      verdict = iota // the answer is not complete yet
	done                     // a valid answer is complete
	doneClose                // the same, and the peer will close the connection
	refused                  // a valid answer that is not 2xx is complete
	badStatus
	badLength
	malformed
)

func (s Spec) protocol() protocol {
	if s.Protocol == TCP {
		return &tcp{want: s.Body, left: s.Body, message: tcpRequest}
	}
	return &http1{want: s.Body, refusals: s.Refusals, message: httpRequest(s.Path)}
}

// RequestSize is the length of every TCP request.
const RequestSize = 1024

var tcpRequest = bytes.Repeat([]byte("w"), RequestSize)

// tcp asks with RequestSize bytes and counts what comes back.
type tcp struct {
	message    []byte
	want, left int
}

func (t *tcp) request() []byte { return t.message }
func (t *tcp) begun() bool     { return t.left < t.want }
func (t *tcp) reset()          { t.left = t.want }

func (t *tcp) feed(p []byte) (int, verdict) {
	if len(p) < t.left {
		t.left -= len(p)
		return len(p), more
	}
	used := t.left
	t.left = t.want
	return used, done
}

// httpRequest is a request of about 157 bytes with five header fields, as small clients send them.
func httpRequest(path string) []byte {
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\n"+
		"Host: bench.example\r\n"+
		"User-Agent: weft-bench/1.0\r\n"+
		"Accept: application/json\r\n"+
		"Accept-Encoding: gzip\r\n"+
		"X-Tenant: blue\r\n\r\n", path)
}

// mostHead bounds a response head; proxies add a few hundred bytes to the upstream's 161.
const mostHead = 8192

// http1 reads HTTP/1.1 responses framed by Content-Length, which every contestant passes on as the
// upstream sent it (RFC 9112 §6.3). Other framing is a fault: the scenario would not be the same.
type http1 struct {
	message []byte
	want    int
	left    int  // of the body
	inBody  bool // the head is complete
	closes  bool // the head said Connection: close
	// refusals takes answers that are not 2xx for answers; declined says that the present one is such.
	refusals, declined bool
	length             int    // of the present body
	head               []byte // what arrived of a head that came in pieces
}

func (h *http1) request() []byte { return h.message }
func (h *http1) begun() bool     { return h.inBody || len(h.head) > 0 }

func (h *http1) reset() {
	h.left, h.inBody, h.closes, h.head = 0, false, false, h.head[:0]
}

var endOfHead = []byte("\r\n\r\n")

func (h *http1) feed(p []byte) (int, verdict) {
	used := 0
	if !h.inBody {
		n, v := h.feedHead(p)
		if used = n; v != done {
			return used, v
		}
		p = p[n:]
		h.left, h.inBody = h.length, true
	}
	n := min(h.left, len(p))
	h.left -= n
	used += n
	if h.left > 0 {
		return used, more
	}
	h.inBody = false
	switch {
	case h.declined:
		return used, refused
	case h.closes:
		return used, doneClose
	}
	return used, done
}

// feedHead looks for the end of the head, straight in p when nothing is kept from before, and
// judges the head once it is whole.
func (h *http1) feedHead(p []byte) (int, verdict) {
	if len(h.head) == 0 {
		if end := bytes.Index(p, endOfHead); end >= 0 {
			return end + len(endOfHead), h.judge(p[:end+2])
		}
	}
	kept := len(h.head)
	if kept+len(p) > mostHead {
		p = p[:mostHead-kept]
	}
	h.head = append(h.head, p...)
	end := bytes.Index(h.head, endOfHead)
	if end < 0 {
		if len(h.head) >= mostHead {
			return len(p), malformed
		}
		return len(p), more
	}
	v := h.judge(h.head[:end+2])
	h.head = h.head[:0]
	return end + len(endOfHead) - kept, v
}

var (
	version11     = []byte("HTTP/1.1 ")
	contentLength = []byte("content-length")
	transfer      = []byte("transfer-encoding")
	connection    = []byte("connection")
	closeToken    = []byte("close")
)

// judge reads a whole head, every line of it ended by CRLF; done says that it announces the wanted
// body.
func (h *http1) judge(head []byte) verdict {
	eol := bytes.IndexByte(head, '\n')
	status := head[:eol+1]
	if len(status) < len(version11)+5 || !bytes.HasPrefix(status, version11) {
		return malformed
	}
	h.declined = status[len(version11)] != '2'
	if h.declined && !h.refusals {
		return badStatus
	}
	length := -1
	h.closes = false
	for rest := head[eol+1:]; len(rest) > 0; {
		eol = bytes.IndexByte(rest, '\n')
		line := bytes.TrimSuffix(rest[:eol], []byte{'\r'})
		rest = rest[eol+1:]
		name, value, ok := bytes.Cut(line, []byte{':'})
		if !ok {
			return malformed
		}
		value = bytes.Trim(value, " \t")
		switch {
		case bytes.EqualFold(name, contentLength):
			n, ok := decimal(value)
			if !ok || length >= 0 {
				return malformed
			}
			length = n
		case bytes.EqualFold(name, transfer):
			return malformed
		case bytes.EqualFold(name, connection):
			h.closes = bytes.EqualFold(value, closeToken)
		}
	}
	if length < 0 || length != h.want && !h.declined {
		return badLength
	}
	h.length = length
	return done
}

func decimal(p []byte) (int, bool) {
	if len(p) == 0 || len(p) > 10 {
		return 0, false
	}
	n := 0
	for _, c := range p {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}
