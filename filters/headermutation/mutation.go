package headermutation

import (
	"bytes"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/wire/http"
)

// filter changes one exchange.
type filter struct {
	filters.Pass
	settings *settings
	levels   []any
	path     []byte
	value    []byte
}

// each calls f for the filter's own mutations and those of the route's levels, in the order that is configured.
func (f *filter) each(x filters.Exchange, do func(*filter, filters.Exchange, *mutations)) filters.Action {
	do(f, x, f.settings.own)
	f.levels = x.Overrides(f.levels[:0])
	for i := range f.levels {
		if f.settings.mostSpecificFirst {
			i = len(f.levels) - 1 - i
		}
		do(f, x, f.levels[i].(*mutations))
	}
	return filters.Continue
}

// RequestHeaders changes the request's header and query.
func (f *filter) RequestHeaders(x filters.Exchange, _ bool) filters.Action {
	return f.each(x, func(f *filter, x filters.Exchange, m *mutations) {
		apply(x, &x.Request().Header, m.request)
		for i := range m.query {
			f.changeQuery(x, &m.query[i])
		}
	})
}

// ResponseHeaders changes the response's header.
func (f *filter) ResponseHeaders(x filters.Exchange, _ bool) filters.Action {
	return f.each(x, func(_ *filter, x filters.Exchange, m *mutations) { apply(x, &x.Response().Header, m.response) })
}

// RequestTrailers changes the request's trailers.
func (f *filter) RequestTrailers(x filters.Exchange, t *http.Header) filters.Action {
	return f.trailers(x, t, func(m *mutations) []config.HeaderMutation { return m.requestTrailers })
}

// ResponseTrailers changes the response's trailers.
func (f *filter) ResponseTrailers(x filters.Exchange, t *http.Header) filters.Action {
	return f.trailers(x, t, func(m *mutations) []config.HeaderMutation { return m.responseTrailers })
}

func (f *filter) trailers(x filters.Exchange, t *http.Header, of func(*mutations) []config.HeaderMutation) filters.Action {
	return f.each(x, func(_ *filter, x filters.Exchange, m *mutations) { apply(x, t, of(m)) })
}

func apply(x filters.Exchange, h *http.Header, list []config.HeaderMutation) {
	for i := range list {
		switch m := &list[i]; {
		case m.Add != nil:
			x.AddHeader(h, m.Add)
		case m.Match != nil:
			for i := h.Len() - 1; i >= 0; i-- {
				if x.MatchString(m.Match, h.Name(i)) {
					h.RemoveAt(i)
				}
			}
		default:
			h.RemoveNamed(m.Remove)
		}
	}
}

// changeQuery changes one parameter and leaves every other byte of the query as it came: what else there is means to the upstream what
// it meant to us (CVE-2022-2880). Envoy writes the whole query anew, sorted.
func (f *filter) changeQuery(x filters.Exchange, m *queryMutation) {
	r := x.Request()
	bare, query, _ := bytes.Cut(r.Path(), []byte("?"))
	exists := false
	for rest := query; len(rest) > 0 && !exists; {
		var pair []byte
		pair, rest, _ = bytes.Cut(rest, []byte("&"))
		exists = isNamed(pair, m.name)
	}
	switch {
	case m.value == nil && !exists, exists && m.action == config.AddIfAbsent, !exists && m.action == config.AddOverwriteIfExists:
		return
	}
	f.path = append(f.path[:0], bare...)
	sign := byte('?')
	drop := exists && (m.value == nil || m.action == config.AddOverwrite || m.action == config.AddOverwriteIfExists)
	for rest := query; len(rest) > 0; {
		var pair []byte
		if pair, rest, _ = bytes.Cut(rest, []byte("&")); drop && isNamed(pair, m.name) {
			continue
		}
		f.path = append(append(f.path, sign), pair...)
		sign = '&'
	}
	if m.value != nil {
		f.path = appendEscaped(append(f.path, sign), []byte(m.name))
		f.value = m.value.Append(f.value[:0], x.Entry())
		f.path = appendEscaped(append(f.path, '='), f.value)
	}
	r.SetPath(f.path)
}

// isNamed tells whether a name=value has that name, as it is or with its bytes escaped.
func isNamed(pair []byte, name string) bool {
	key, _, _ := bytes.Cut(pair, []byte("="))
	at := 0
	for i := 0; i < len(key); i++ {
		c := key[i]
		if c == '%' && i+2 < len(key) {
			if hi, lo := unhex(key[i+1]), unhex(key[i+2]); hi < 16 && lo < 16 {
				c = hi<<4 | lo
				i += 2
			}
		}
		if at == len(name) || name[at] != c {
			return false
		}
		at++
	}
	return at == len(name)
}

func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 16
}

// appendEscaped writes what is not unreserved (RFC 3986 §2.3) as %XX.
func appendEscaped(dst, b []byte) []byte {
	const digits = "0123456789ABCDEF"
	for _, c := range b {
		if c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '-' || c == '.' || c == '_' || c == '~' {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', digits[c>>4], digits[c&15])
		}
	}
	return dst
}
