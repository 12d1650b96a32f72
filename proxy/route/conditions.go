package route

import (
	"bytes"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/match"
	"github.com/weftmesh/weft/wire/http"
)

func judgeConditions(c *config.Conditions, in *Input) miss {
	r := in.Request
	if c.Share != nil {
		if of, all := c.Share.Now(); in.Random%all >= of {
			return missShare
		}
	}
	switch {
	case c.GRPC && !IsGRPC(r):
		return missGRPC
	case c.CertificatePresented != nil && *c.CertificatePresented != in.Presented:
		return missPresented
	case c.CertificateValidated != nil && *c.CertificateValidated != in.Validated:
		return missValidated
	}
	for i := range c.Query {
		if !matchQuery(&c.Query[i], r) {
			return missOf(missQuery, i)
		}
	}
	for i := range c.Cookies {
		if !matchCookie(&c.Cookies[i], r) {
			return missOf(missCookie, i)
		}
	}
	for i := range c.Metadata {
		if !matchMetadata(&c.Metadata[i], in.Metadata) {
			return missOf(missMetadata, i)
		}
	}
	for i := range c.State {
		if !matchState(&c.State[i], in.State) {
			return missOf(missState, i)
		}
	}
	return missNothing
}

// IsGRPC tells a request with a content type of gRPC, with or without its encoding, from one whose type only begins like it.
func IsGRPC(r *http.Request) bool {
	const kind = "application/grpc"
	value := r.Get(http.ContentType)
	return match.HasPrefix(value, kind, true) && (len(value) == len(kind) || value[len(kind)] == '+')
}

func matchQuery(m *config.QueryMatch, r *http.Request) bool {
	value, found := Parameter(r.Path(), m.Name)
	if m.Present != nil {
		return found == *m.Present
	}
	return found && match.String(&m.String, value)
}

// Parameter is the first value that a path's query gives a parameter. Nothing is unescaped: rules and the upstream see the same bytes
// (hazard 49), and ; does not part anything.
func Parameter(path []byte, name string) (value []byte, found bool) {
	_, query, _ := bytes.Cut(path, []byte("?"))
	for len(query) > 0 {
		var pair []byte
		pair, query, _ = bytes.Cut(query, []byte("&"))
		if key, value, _ := bytes.Cut(pair, []byte("=")); string(key) == name {
			return value, true
		}
	}
	return nil, false
}

func matchCookie(m *config.CookieMatch, r *http.Request) bool {
	value, found := Cookie(r, m.Name)
	return (found && match.String(&m.String, value)) != m.Invert
}

// Cookie is the value of a request's first cookie of that name, without the quotes around it.
func Cookie(r *http.Request, name string) (value []byte, found bool) {
	if !r.Has(http.Cookie) {
		return nil, false
	}
	for i := r.Index(http.Cookie, 0); i >= 0; i = r.Index(http.Cookie, i+1) {
		for list := r.Value(i); len(list) > 0; {
			var one []byte
			one, list, _ = bytes.Cut(list, []byte(";"))
			key, value, ok := bytes.Cut(one, []byte("="))
			if !ok || string(bytes.TrimLeft(key, " \t")) != name {
				continue
			}
			value = bytes.TrimRight(value, " \t")
			if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
				value = value[1 : n-1]
			}
			return value, true
		}
	}
	return nil, false
}
