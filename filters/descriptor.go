package filters

import (
	"bytes"
	"net/netip"
	"net/url"
	"strconv"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/telemetry/accesslog"
)

// AppendDescriptor writes what a rate limit makes of a request behind dst, in the form of AppendEntry; false says that there is no
// descriptor. own is the cluster that this process is of.
func AppendDescriptor(dst []byte, x Exchange, l *config.RateLimit, own string) ([]byte, bool) {
	empty := len(dst)
	for i := range l.Actions {
		var ok bool
		if dst, ok = appendAction(dst, x, &l.Actions[i], own); !ok {
			return dst, false
		}
	}
	return dst, len(dst) > empty
}

// AppendEntry writes one entry of a descriptor. Lengths stand before key and value, so that no value can look like two.
func AppendEntry[K, V string | []byte](dst []byte, key K, value V) []byte {
	dst = append(strconv.AppendInt(dst, int64(len(key)), 10), ':')
	dst = append(dst, key...)
	dst = append(strconv.AppendInt(dst, int64(len(value)), 10), ':')
	return append(dst, value...)
}

// CountHits is how many tokens a rate limit takes for a request, fewer than none if it gives them back; false says that what should be
// their number is none, and there is no descriptor then. text is room to write in, and is given back.
func CountHits(text []byte, x Exchange, l *config.RateLimit) ([]byte, int64, bool) {
	h := l.Hits
	if h == nil {
		return text, 1, true
	}
	n := h.Number
	if h.Format != nil {
		text = h.Format.(*accesslog.Format).Append(text[:0], x.Entry())
		var err error
		if n, err = strconv.ParseInt(string(text), 10, 64); err != nil || n < 0 || n > maxHits {
			return text, 0, false
		}
	}
	if h.Give {
		n = -n
	}
	return text, n, true
}

// maxHits is Envoy's.
const maxHits = 1_000_000_000

func appendAction(dst []byte, x Exchange, a *config.LimitAction, own string) ([]byte, bool) {
	r := x.Request()
	var buffer [64]byte
	var value []byte
	switch a.Kind {
	case config.LimitGenericKey:
		return AppendEntry(dst, a.Key, a.Value), true
	case config.LimitHeaderMatch:
		if x.MatchHeaders(a.Headers) != a.Expect {
			return dst, false
		}
		return AppendEntry(dst, a.Key, a.Value), true
	case config.LimitQueryMatch:
		if matchQuery(x, a.Query) != a.Expect {
			return dst, false
		}
		return AppendEntry(dst, a.Key, a.Value), true
	case config.LimitDestinationCluster:
		cluster := x.Cluster()
		return AppendEntry(dst, a.Key, cluster), cluster != ""
	case config.LimitSourceCluster:
		return AppendEntry(dst, a.Key, own), true
	case config.LimitAddressMatch:
		ip := x.Downstream().Addr().Unmap()
		if !ip.IsValid() || isIn(a.Networks, ip) != a.Expect {
			return dst, false
		}
		if value = matchedValue(x, a); len(value) == 0 {
			return dst, false
		}
	case config.LimitHeader:
		value = r.Field(a.Name)
	case config.LimitQuery:
		value = queryValue(r.Path(), a.Name)
	case config.LimitAddress, config.LimitMaskedAddress:
		ip := x.Downstream().Addr()
		if !ip.IsValid() {
			return dst, false
		}
		value = appendAddress(buffer[:0], ip, a)
	case config.LimitMetadata:
		value = []byte(MetadataText(x.Metadata(), a.Path))
		if len(value) == 0 {
			value = []byte(a.Missing)
		}
		if len(value) == 0 {
			return dst, a.Optional
		}
	}
	if value == nil {
		return dst, a.Optional
	}
	return AppendEntry(dst, a.Key, value), true
}

// matchedValue is what an action says of an address that it has matched. A format's memory is the heap's, hence a function of its own: the
// other actions have theirs on the stack.
func matchedValue(x Exchange, a *config.LimitAction) []byte {
	value := []byte(a.Value)
	if a.Format != nil {
		value = a.Format.(*accesslog.Format).Append(nil, x.Entry())
	}
	if len(value) == 0 {
		value = []byte(a.Missing)
	}
	return value
}

func appendAddress(dst []byte, ip netip.Addr, a *config.LimitAction) []byte {
	if a.Kind == config.LimitAddress {
		return ip.AppendTo(dst)
	}
	bits := a.Bits6
	if ip.Is4() {
		bits = a.Bits4
	}
	p, err := ip.WithZone("").Prefix(int(bits))
	if err != nil {
		return ip.AppendTo(dst) // the decoder has seen to it that there are enough bits
	}
	return p.AppendTo(dst)
}

func isIn(networks []netip.Prefix, ip netip.Addr) bool {
	for _, p := range networks {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// queryValue is the first value of a query parameter, with its escapes undone; nil if there is none.
func queryValue(path []byte, name string) []byte {
	_, query, _ := bytes.Cut(path, []byte("?"))
	for len(query) > 0 {
		var pair []byte
		pair, query, _ = bytes.Cut(query, []byte("&"))
		key, value, valued := bytes.Cut(pair, []byte("="))
		if !valued {
			value = key[len(key):] // which is something, though empty
		}
		if string(key) == name || bytes.IndexByte(key, '%') >= 0 && unescape(key) == name {
			if bytes.IndexByte(value, '%') >= 0 {
				return []byte(unescape(value))
			}
			return value[:len(value):len(value)]
		}
	}
	return nil
}

// unescape leaves what is no escape as it is.
func unescape(b []byte) string {
	if s, err := url.PathUnescape(string(b)); err == nil {
		return s
	}
	return string(b)
}

func matchQuery(x Exchange, list []config.QueryMatch) bool {
	for i := range list {
		m := &list[i]
		v := queryValue(x.Request().Path(), m.Name)
		if m.Present != nil && (v != nil) != *m.Present || m.Present == nil && (v == nil || !x.MatchString(&m.String, v)) {
			return false
		}
	}
	return true
}

// MetadataText is a string of metadata, "" if there is none.
func MetadataText(m config.Metadata, path []string) string {
	var v any = m[path[0]]
	for _, key := range path[1:] {
		m, _ := v.(map[string]any)
		v = m[key]
	}
	s, _ := v.(string)
	return s
}
