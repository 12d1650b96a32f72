package dubbo

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"unicode/utf8"

	"github.com/weftmesh/weft/filters"
	wire "github.com/weftmesh/weft/wire/dubbo"
	"github.com/weftmesh/weft/wire/http"
)

// arguments appends those of the method, in the order of its parameters. An error is for the client.
func (f *filter) arguments(x filters.Exchange, b []byte) ([]byte, error) {
	m, r := f.method, x.Request()
	body := bytes.TrimSpace(f.body)
	if len(m.fields) > 0 && len(body) > 0 {
		f.values = slices.Grow(f.values[:0], len(m.fields))[:len(m.fields)]
		clear(f.values)
		err := wire.Members(body, func(name, value []byte) {
			if at, is := m.fields[string(name)]; is {
				f.values[at] = value // the last of those that are there twice, as Java keeps it
			}
		})
		if err != nil {
			return b, fmt.Errorf("the body is no JSON object, which has fields: %w", err)
		}
	}
	_, query, _ := bytes.Cut(r.Path(), []byte{'?'})
	for i := range m.parameters {
		p := &m.parameters[i]
		var err error
		var is bool
		switch p.in {
		case inQuery:
			b, is, err = appendQuery(b, p, query)
		case inHeader:
			var v []byte
			if v, is = field(r, p.name); is {
				b, err = appendText(b, p, v)
			}
		case inPath:
			var v []byte
			if v, err = unescape(m.segment(x.Path(), p.at), false); err == nil {
				b, err = appendText(b, p, v)
			}
			is = true
		case inField:
			if len(body) > 0 {
				if v := f.values[p.at]; v != nil {
					is = true
					b, err = wire.AppendArgument(b, p.kind, v)
				}
			}
		case inBody:
			switch is = len(body) > 0; {
			case m.takesText(r):
				is = true
				b, err = appendText(b, p, f.body)
			case is:
				b, err = wire.AppendArgument(b, p.kind, body)
			}
		}
		switch {
		case err != nil:
			return b, fmt.Errorf("%s: %w", p, err)
		case !is && p.kind.Primitive():
			return b, fmt.Errorf("%s is missing: want a value of type %s", p, p.kind.Name())
		case !is:
			b = wire.AppendNull(b)
		}
	}
	return b, nil
}

// takesText tells whether the body is a text that is no JSON.
func (m *method) takesText(r *http.Request) bool {
	kind, _, _ := bytes.Cut(r.Get(http.ContentType), []byte{';'})
	return bytes.EqualFold(bytes.TrimSpace(kind), []byte("text/plain"))
}

// String is how a client is told of a parameter.
func (p *parameter) String() string {
	switch p.in {
	case inQuery:
		return "query parameter " + p.name
	case inHeader:
		return "header " + p.name
	case inPath:
		return "path segment " + p.name
	case inField:
		return "body field " + p.name
	}
	return "body"
}

// appendText writes a text that is no JSON.
func appendText(b []byte, p *parameter, v []byte) ([]byte, error) {
	if !utf8.Valid(v) {
		return b, errors.New("is not UTF-8")
	}
	return wire.AppendTextArgument(b, p.kind, v)
}

// appendQuery writes what a query has under a name: the last value, or all of them for a list.
func appendQuery(b []byte, p *parameter, query []byte) ([]byte, bool, error) {
	var list [][]byte
	for len(query) > 0 {
		var pair []byte
		pair, query, _ = bytes.Cut(query, []byte{'&'})
		name, value, _ := bytes.Cut(pair, []byte{'='})
		if name, err := unescape(name, true); err != nil || string(name) != p.name {
			continue
		}
		v, err := unescape(value, true)
		if err != nil || !utf8.Valid(v) {
			return b, true, errors.New("is not UTF-8 in percent signs")
		}
		list = append(list, v)
	}
	if len(list) == 0 {
		return b, false, nil
	}
	if p.kind.List() {
		b, err := wire.AppendTextList(b, p.kind, list)
		return b, true, err
	}
	b, err := appendText(b, p, list[len(list)-1])
	return b, true, err
}

// unescape takes percent signs out (RFC 3986 §2.1), and of a query plus signs for spaces, as forms have them. What has none is given as it is.
func unescape(b []byte, query bool) ([]byte, error) {
	decode, signs := url.PathUnescape, "%"
	if query {
		decode, signs = url.QueryUnescape, "%+"
	}
	if !bytes.ContainsAny(b, signs) {
		return b, nil
	}
	text, err := decode(string(b))
	if err != nil {
		return nil, errors.New("has a percent sign that is followed by no two digits")
	}
	return []byte(text), nil
}
