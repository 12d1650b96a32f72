package route

import (
	"bytes"
	"strconv"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/wire/http"
)

// matches tells whether a request is what a rule asks for.
func matches(m *config.Match, r *http.Request) bool {
	return MatchPath(m, r.Path()) && MatchHeaders(m.Headers, r)
}

// MatchPath tells whether a path with its query is what a rule asks for. The query never counts.
func MatchPath(m *config.Match, path []byte) bool {
	if m.Kind == config.PathPrefix && m.CaseSensitive {
		return len(path) >= len(m.Path) && string(path[:len(m.Path)]) == m.Path
	}
	if i := bytes.IndexByte(path, '?'); i >= 0 && m.Kind != config.PathPrefix {
		path = path[:i]
	}
	switch m.Kind {
	case config.PathPrefix:
		return hasPrefix(path, m.Path, m.CaseSensitive)
	case config.PathExact:
		return len(path) == len(m.Path) && hasPrefix(path, m.Path, m.CaseSensitive)
	case config.PathSeparatedPrefix:
		return hasPrefix(path, m.Path, m.CaseSensitive) && (len(path) == len(m.Path) || path[len(m.Path)] == '/')
	default:
		return m.Regex.Match(path)
	}
}

func hasPrefix(b []byte, prefix string, caseSensitive bool) bool {
	if len(b) < len(prefix) {
		return false
	}
	if caseSensitive {
		return string(b[:len(prefix)]) == prefix
	}
	return equalFold(b[:len(prefix)], prefix)
}

// equalFold compares without regard to the case of ASCII letters, as Envoy does.
func equalFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i, c := range b {
		d := s[i]
		if c != d && (c|0x20 != d|0x20 || c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return true
}

// MatchHeaders tells whether all conditions hold.
func MatchHeaders(list []config.HeaderMatch, r *http.Request) bool {
	for i := range list {
		if !MatchHeader(&list[i], r) {
			return false
		}
	}
	return true
}

// MatchHeader tells whether a condition on a header holds. Several fields of one name are judged as one, joined by commas, which is
// what their recipient may do too (RFC 9110 §5.3).
func MatchHeader(m *config.HeaderMatch, r *http.Request) bool {
	var joined [256]byte
	value, present := headerValue(m.Name, r, joined[:0])
	if m.Present {
		return present != m.Invert
	}
	if !present && !m.MissingEmpty {
		// A missing header never equals anything; inverted, Envoy takes that for a match.
		return m.Invert
	}
	ok := false
	if m.Range != nil {
		n, err := strconv.ParseInt(string(value), 10, 64)
		ok = err == nil && m.Range.Start <= n && n < m.Range.End
	} else {
		ok = MatchString(&m.String, value)
	}
	return ok != m.Invert
}

func headerValue(name string, r *http.Request, buffer []byte) (value []byte, present bool) {
	if name[0] == ':' {
		switch name {
		case ":path":
			value = r.Path()
		case ":method":
			value = r.Method()
		case ":authority":
			value = r.Authority()
		case ":scheme":
			value = r.Scheme()
		}
		return value, len(value) > 0
	}
	if name == "host" {
		return r.Authority(), len(r.Authority()) > 0
	}
	id := http.Lookup(name)
	i := r.Find(id, name, 0)
	if i < 0 {
		return nil, false
	}
	value = r.Value(i)
	next := r.Find(id, name, i+1)
	if next < 0 {
		return value, true
	}
	buffer = append(buffer, value...)
	for ; next >= 0; next = r.Find(id, name, next+1) {
		buffer = append(append(buffer, ','), r.Value(next)...)
	}
	return buffer, true
}

// MatchString tells whether a condition on a string holds.
func MatchString(m *config.StringMatch, b []byte) bool {
	switch m.Kind {
	case config.StringExact:
		return len(b) == len(m.Value) && hasPrefix(b, m.Value, !m.IgnoreCase)
	case config.StringPrefix:
		return hasPrefix(b, m.Value, !m.IgnoreCase)
	case config.StringSuffix:
		return len(b) >= len(m.Value) && hasPrefix(b[len(b)-len(m.Value):], m.Value, !m.IgnoreCase)
	case config.StringContains:
		for i := 0; i+len(m.Value) <= len(b); i++ {
			if hasPrefix(b[i:], m.Value, !m.IgnoreCase) {
				return true
			}
		}
		return false
	default:
		return m.Regex.Match(b)
	}
}
