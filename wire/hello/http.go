package hello

import "bytes"

// Version is a version of HTTP that a connection begins with.
type Version uint8

// The versions.
const (
	HTTP10 Version = iota
	HTTP11
	HTTP2
)

// String is the version's name in ALPN.
func (v Version) String() string { return [...]string{"http/1.0", "http/1.1", "h2c"}[v] }

// maxRequestLine bounds how much of a connection is looked at, in bytes.
const maxRequestLine = 64 << 10

var preface = []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

// HTTP tells whether the first bytes of a connection are a request, by its whole request line, or HTTP/2's preface. need is as with TLS.
func HTTP(b []byte) (v Verdict, version Version, need int) {
	if n := min(len(b), len(preface)); n > 0 && bytes.Equal(b[:n], preface[:n]) {
		if n < len(preface) {
			return More, 0, len(b) + 1
		}
		return Found, HTTP2, 0
	}
	line, end := b, bytes.IndexByte(b, '\n')
	if end >= 0 {
		line = bytes.TrimSuffix(b[:end], []byte("\r"))
	}
	method := 0
	for method < len(line) && isMethod(line[method]) {
		method++
	}
	switch {
	case method < len(line) && (method == 0 || line[method] != ' '), method > maxMethod:
		return NotFound, 0, 0
	case end < 0 && len(b) >= maxRequestLine:
		return TooLarge, 0, 0
	case end < 0:
		return More, 0, len(b) + 1
	}
	words := bytes.Fields(line)
	switch {
	case len(words) < 2 || len(words) > 3 || !isTarget(words[1]):
		return NotFound, 0, 0
	case len(words) == 2:
		return Found, HTTP10, 0 // HTTP/0.9, which Envoy takes for this
	}
	digits, ok := bytes.CutPrefix(words[2], []byte("HTTP/"))
	switch {
	case !ok || len(digits) != 3 || !isDigit(digits[0]) || digits[1] != '.' || !isDigit(digits[2]):
		return NotFound, 0, 0
	case string(digits) == "1.1":
		return Found, HTTP11, 0
	}
	return Found, HTTP10, 0
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }

// isTarget tells whether something may be what a request asks for: a path, a URL with a scheme, or a host with a port (RFC 9112 §3.2).
func isTarget(b []byte) bool { return b[0] == '/' || b[0] == '*' || bytes.IndexByte(b, ':') > 0 }

// maxMethod is longer than any registered method, in bytes: what has a longer first word is something else, and need not wait for the
// end of a line that may never come.
const maxMethod = 64

// isMethod tells whether a byte may be in a method's name (RFC 9110 §5.6.2).
func isMethod(b byte) bool {
	return b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z' || isDigit(b) || b != 0 && bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), b) >= 0
}
