package l7

import (
	"bytes"

	"github.com/weftmesh/weft/config"
)

// pathVerdict is what becomes of a request whose path was normalized.
type pathVerdict uint8

const (
	pathGood pathVerdict = iota
	pathBad
	pathRedirect // to the path given
)

// normalizePath appends a path in normal form to dst, its query untouched: escaped slashes treated as configured, then dot segments
// resolved and what need not be escaped unescaped (RFC 3986 §6.2.2), then slashes merged. The order is Envoy's.
func normalizePath(dst, path []byte, c *config.HTTP) ([]byte, pathVerdict) {
	query := []byte(nil)
	if i := bytes.IndexByte(path, '?'); i >= 0 {
		path, query = path[:i], path[i:]
	}
	verdict := pathGood
	dst = append(dst, path...)
	if c.EscapedSlashes != config.EscapedKeep {
		if n := unescapeSlashes(dst, dst[:0]); n != len(dst) {
			switch c.EscapedSlashes {
			case config.EscapedReject:
				return append(dst[:n], query...), pathBad
			case config.EscapedUnescapeRedirect:
				verdict = pathRedirect
			}
			dst = dst[:n]
		}
	}
	if c.NormalizePath {
		n, ok := resolve(dst)
		if !ok {
			return append(dst, query...), pathBad
		}
		dst = dst[:n]
	}
	if c.MergeSlashes {
		dst = dst[:mergeSlashes(dst)]
	}
	return append(dst, query...), verdict
}

// unescapeSlashes turns %2F into / and %5C into \ within the same memory, and gives the new length.
func unescapeSlashes(src, dst []byte) int {
	for i := 0; i < len(src); i++ {
		if b := src[i]; b == '%' && i+2 < len(src) {
			switch v, ok := unhex(src[i+1], src[i+2]); {
			case ok && (v == '/' || v == '\\'):
				dst = append(dst, v)
				i += 2
				continue
			}
		}
		dst = append(dst, src[i])
	}
	return len(dst)
}

// resolve brings a path into the normal form of a URL in place: \ is /, what is unreserved stands unescaped, . and .. are gone. A
// segment's parameters (;x) do not hide its dots: servers that take them off would see a path that nobody judged (CVE-2026-73551).
// It fails on an escaped NUL. Broken escapes stay, as with Envoy: /100% is a path that people write.
func resolve(p []byte) (n int, ok bool) {
	w := 0
	for i := 0; i < len(p); i++ {
		b := p[i]
		switch {
		case b == '\\':
			b = '/'
		case b == '%':
			if i+2 < len(p) {
				v, good := unhex(p[i+1], p[i+2])
				if good && v == 0 {
					return 0, false
				}
				if good && unreserved(v) {
					b = v
					i += 2
				}
			}
		}
		p[w] = b
		w++
	}
	return removeDots(p[:w]), true
}

// removeDots resolves . and .. in place (RFC 3986 §5.2.4).
func removeDots(p []byte) int {
	w := 0
	for i := 0; i < len(p); {
		end := bytes.IndexByte(p[i+1:], '/')
		last := end < 0
		if last {
			end = len(p)
		} else {
			end += i + 1
		}
		switch segment := p[i+1 : end]; dots(segment) {
		case 1:
			if last {
				p[w] = '/'
				w++
			}
		case 2:
			w = max(bytes.LastIndexByte(p[:w], '/'), 0)
			if last {
				p[w] = '/'
				w++
			}
		default:
			w += copy(p[w:], p[i:end])
		}
		i = end
	}
	if w == 0 && len(p) > 0 {
		p[0] = '/'
		w = 1
	}
	return w
}

// dots is 1 for a segment . and 2 for .., with or without parameters; else 0.
func dots(segment []byte) int {
	name, _, _ := bytes.Cut(segment, []byte(";"))
	switch string(name) {
	case ".":
		return 1
	case "..":
		return 2
	}
	return 0
}

// mergeSlashes merges slashes in place. A path of slashes only has a first and a last one afterwards, with Envoy.
func mergeSlashes(p []byte) int {
	if len(p) > 1 && len(bytes.Trim(p, "/")) == 0 {
		return 2
	}
	w := 0
	for i, b := range p {
		if b == '/' && i > 0 && p[w-1] == '/' {
			continue
		}
		p[w] = b
		w++
	}
	return w
}

func unhex(hi, lo byte) (byte, bool) {
	h, ok1 := hexDigit(hi)
	l, ok2 := hexDigit(lo)
	return h<<4 | l, ok1 && ok2
}

func hexDigit(b byte) (byte, bool) {
	switch {
	case '0' <= b && b <= '9':
		return b - '0', true
	case 'a' <= b|0x20 && b|0x20 <= 'f':
		return b | 0x20 - 'a' + 10, true
	}
	return 0, false
}

// unreserved are the bytes that mean the same escaped or not (RFC 3986 §2.3).
func unreserved(b byte) bool {
	return 'a' <= b|0x20 && b|0x20 <= 'z' || '0' <= b && b <= '9' || b == '-' || b == '.' || b == '_' || b == '~'
}
