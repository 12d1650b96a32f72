package accesslog

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/weftmesh/weft/wire/http"
)

// certKeys are what x-forwarded-client-cert may say of a certificate.
var certKeys = []string{"by", "hash", "cert", "chain", "subject", "uri", "dns"}

// parseKey reads one of them, in any case.
func parseKey(s string) (string, error) {
	key := strings.ToLower(s)
	if !slices.Contains(certKeys, key) {
		return "", fmt.Errorf("parameter %q: want one of %s", s, strings.Join(certKeys, ", "))
	}
	return key, nil
}

// forwardedCert writes what x-forwarded-client-cert says under a key: that of the leftmost element which has it, since proxies add theirs
// behind what has come. Commas, semicolons and equals signs within double quotes belong to a value.
func (o *operator) forwardedCert(dst []byte, e *Entry) (out []byte, raw, ok bool) {
	if e.Request == nil {
		return dst, false, false
	}
	for i := e.Request.Find(http.XForwardedClientCert, "", 0); i >= 0; i = e.Request.Find(http.XForwardedClientCert, "", i+1) {
		elements := e.Request.Value(i)
		for len(elements) > 0 {
			var element []byte
			if element, elements, ok = cutUnquoted(elements, ','); !ok {
				return dst, false, false // a quote that does not end makes all that follows it one value
			}
			for len(element) > 0 {
				var pair []byte
				pair, element, _ = cutUnquoted(element, ';')
				key, value, _ := bytes.Cut(pair, []byte("="))
				if bytes.EqualFold(bytes.TrimSpace(key), []byte(o.name)) {
					return appendUnquoted(dst, bytes.TrimSpace(value)), false, true
				}
			}
		}
	}
	return dst, false, false
}

// cutUnquoted cuts v at the first separator that is not within double quotes, or at its end; false if that is within them.
func cutUnquoted(v []byte, separator byte) (before, after []byte, ok bool) {
	quoted, escaped := false, false
	for i, b := range v {
		switch {
		case b == separator && !quoted:
			return v[:i], v[i+1:], true
		case b == '"' && !escaped:
			quoted = !quoted
		}
		escaped = b == '\\' && !escaped
	}
	return v, nil, !quoted
}

// appendUnquoted writes a value without the quotes around it, and without the backslashes before quotes and backslashes.
func appendUnquoted(dst, v []byte) []byte {
	if n := len(v); n >= 2 && v[0] == '"' && v[n-1] == '"' {
		v = v[1 : n-1]
	}
	for i := 0; i < len(v); i++ {
		if v[i] == '\\' && i+1 < len(v) && (v[i+1] == '"' || v[i+1] == '\\') {
			i++
		}
		dst = append(dst, v[i])
	}
	return dst
}
