package route

import (
	"bytes"
	"encoding/binary"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/wire/http"
)

// AppendScopeKey appends the key of a request's scope; false: a part of it is missing, so there is none.
func AppendScopeKey(dst []byte, fragments []config.ScopeFragment, r *http.Request) ([]byte, bool) {
	for i := range fragments {
		f := &fragments[i]
		value := r.Field(f.Header)
		if value == nil {
			return dst, false
		}
		part, ok := scopePart(f, value)
		if !ok {
			return dst, false
		}
		dst = append(binary.AppendUvarint(dst, uint64(len(part))), part...)
	}
	return dst, true
}

// ScopeKey is the same for a scope's own key.
func ScopeKey(parts []string) string {
	var b []byte
	for _, part := range parts {
		b = append(binary.AppendUvarint(b, uint64(len(part))), part...)
	}
	return string(b)
}

// scopePart is what a fragment takes of a field's value. What stands before no separator has nothing behind it.
func scopePart(f *config.ScopeFragment, value []byte) ([]byte, bool) {
	for n := uint32(0); ; n++ {
		element, rest, more := value, []byte(nil), false
		if f.Separator != "" {
			if i := indexOf(value, f.Separator); i >= 0 {
				element, rest, more = value[:i], value[i+len(f.Separator):], true
			}
		}
		switch {
		case !f.ByKey && n == f.Index:
			return element, true
		case f.ByKey:
			name, part := element, []byte{}
			if i := indexOf(element, f.Between); i >= 0 {
				name, part = element[:i], element[i+len(f.Between):]
			}
			if string(name) == f.Key {
				return part, true
			}
		}
		if !more {
			return nil, false
		}
		value = rest
	}
}

// indexOf is bytes.Index with a string, which it does not copy.
func indexOf(b []byte, sep string) int {
	for at := 0; len(b)-at >= len(sep); at++ {
		i := bytes.IndexByte(b[at:], sep[0])
		if i < 0 {
			return -1
		}
		if at += i; len(b)-at >= len(sep) && string(b[at:at+len(sep)]) == sep {
			return at
		}
	}
	return -1
}
