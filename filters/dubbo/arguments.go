package dubbo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/weftmesh/weft/filters"
	wire "github.com/weftmesh/weft/wire/dubbo"
	"github.com/weftmesh/weft/wire/http"
)

// arguments appends those of the method, in the order of its parameters. An error is for the client.
func (f *filter) arguments(x filters.Exchange, b []byte) ([]byte, error) {
	m, r := f.method, x.Request()
	var fields map[string]json.RawMessage
	body := bytes.TrimSpace(f.body)
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
			if fields == nil && len(body) > 0 {
				if json.Unmarshal(body, &fields) != nil {
					return b, fmt.Errorf("the body is no JSON object, which has fields")
				}
			}
			var v json.RawMessage
			if v, is = fields[p.name]; is {
				b, err = wire.AppendArgument(b, p.kind, v)
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
		return b, fmt.Errorf("is not UTF-8")
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
			return b, true, fmt.Errorf("is not UTF-8 in percent signs")
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

// unescape takes percent signs out (RFC 3986 §2.1), and plus signs for spaces, as forms have them. What has none is given as it is.
func unescape(b []byte, plus bool) ([]byte, error) {
	if bytes.IndexByte(b, '%') < 0 && (!plus || bytes.IndexByte(b, '+') < 0) {
		return b, nil
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '+' && plus:
			out = append(out, ' ')
		case c == '%':
			if i+2 >= len(b) {
				return nil, errEscape
			}
			high, low := hex(b[i+1]), hex(b[i+2])
			if high < 0 || low < 0 {
				return nil, errEscape
			}
			out = append(out, byte(high<<4|low))
			i += 2
		default:
			out = append(out, c)
		}
	}
	return out, nil
}

var errEscape = fmt.Errorf("has a percent sign that is followed by no two digits")

func hex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}
