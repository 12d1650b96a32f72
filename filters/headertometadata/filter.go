package headertometadata

import (
	"bytes"
	"encoding/base64"
	"strconv"

	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/wire/http"
)

// maxValue bounds, in bytes, a value that is noted, as in Envoy.
const maxValue = 8 << 10

// filter notes what one exchange says.
type filter struct {
	filters.Pass
	chain *settings
}

func (f *filter) of(x filters.Exchange) *settings {
	if o, ok := x.Override().(*settings); ok {
		return o
	}
	return f.chain
}

// RequestHeaders notes what the request says.
func (f *filter) RequestHeaders(x filters.Exchange, _ bool) filters.Action {
	note(x, &x.Request().Header, f.of(x).request)
	return filters.Continue
}

// ResponseHeaders notes what the response says.
func (f *filter) ResponseHeaders(x filters.Exchange, _ bool) filters.Action {
	note(x, &x.Response().Header, f.of(x).response)
	return filters.Continue
}

func note(x filters.Exchange, h *http.Header, rules []rule) {
	for i := range rules {
		r := &rules[i]
		value, ok := find(x, h, r)
		switch {
		case ok && r.present != nil:
			r.present.note(x, value)
		case !ok && r.missing != nil:
			r.missing.note(x, "")
		}
		if ok && r.remove {
			h.RemoveNamed(r.header)
		}
	}
}

// find is what a field says, all its lines together, or a cookie.
func find(x filters.Exchange, h *http.Header, r *rule) (string, bool) {
	if r.cookie != "" {
		return cookie(h, r.cookie)
	}
	switch request := x.Request(); {
	case h != &request.Header:
	case r.header == ":path":
		return string(request.Path()), true
	case r.header == ":method":
		return string(request.Method()), true
	case r.header == ":authority" || r.header == "host":
		return string(request.Authority()), true
	case r.header == ":scheme":
		return string(request.Scheme()), true
	}
	id := http.Lookup(r.header)
	i := h.Find(id, r.header, 0)
	if i < 0 {
		return "", false
	}
	value := string(h.Value(i))
	for i = h.Find(id, r.header, i+1); i >= 0; i = h.Find(id, r.header, i+1) {
		value += "," + string(h.Value(i))
	}
	return value, true
}

func cookie(h *http.Header, name string) (string, bool) {
	for i := h.Index(http.Cookie, 0); i >= 0; i = h.Index(http.Cookie, i+1) {
		for list := h.Value(i); len(list) > 0; {
			var pair []byte
			pair, list, _ = bytes.Cut(list, []byte(";"))
			key, value, _ := bytes.Cut(bytes.TrimSpace(pair), []byte("="))
			if string(key) == name {
				return string(bytes.Trim(value, `"`)), true
			}
		}
	}
	return "", false
}

// note notes a value, or the one that is configured. One that is not what it is said to be is not noted.
func (e *entry) note(x filters.Exchange, value string) {
	if e.value != "" {
		value = e.value
	} else if e.pattern != nil {
		value = e.pattern.ReplaceAllString(value, e.by)
	}
	if e.base64 {
		b, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			return
		}
		value = string(b)
	}
	if value == "" || len(value) > maxValue {
		return
	}
	if !e.number {
		x.SetMetadata(e.namespace, e.key, value)
	} else if n, err := strconv.ParseFloat(value, 64); err == nil {
		x.SetMetadata(e.namespace, e.key, n)
	}
}
