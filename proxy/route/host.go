package route

import (
	"bytes"
	"sort"
	"strings"
)

// hosts finds a virtual host by domain: exact ones first, then *.suffix and prefix.*, the longest first, then *. Case does not count.
type hosts struct {
	exact    map[string]*virtualHost
	suffixes []wildcard
	prefixes []wildcard
	any      *virtualHost
}

// wildcard holds the domains of one length, by what stands beside the star.
type wildcard struct {
	length int
	hosts  map[string]*virtualHost
}

func (h *hosts) add(v *virtualHost) {
	for _, domain := range v.config.Domains {
		switch {
		case domain == "*":
			h.any = v
		case strings.HasPrefix(domain, "*"):
			h.suffixes = addWildcard(h.suffixes, domain[1:], v)
		case strings.HasSuffix(domain, "*"):
			h.prefixes = addWildcard(h.prefixes, domain[:len(domain)-1], v)
		default:
			if h.exact == nil {
				h.exact = map[string]*virtualHost{}
			}
			h.exact[domain] = v
		}
	}
}

func addWildcard(list []wildcard, part string, v *virtualHost) []wildcard {
	for i := range list {
		if list[i].length == len(part) {
			list[i].hosts[part] = v
			return list
		}
	}
	return append(list, wildcard{len(part), map[string]*virtualHost{part: v}})
}

func (h *hosts) finish() {
	for _, list := range [][]wildcard{h.suffixes, h.prefixes} {
		sort.Slice(list, func(i, j int) bool { return list[i].length > list[j].length })
	}
}

// longestHost bounds the authorities that are looked up among domains: no domain name is longer (RFC 1035 §2.3.4), ports included.
const longestHost = 262

func (h *hosts) find(authority []byte, ignorePort bool) *virtualHost {
	if h.exact == nil && h.suffixes == nil && h.prefixes == nil {
		return h.any
	}
	if ignorePort {
		authority = withoutPort(authority)
	}
	if len(authority) > longestHost {
		return h.any
	}
	var buffer [longestHost]byte
	name := lower(buffer[:0], authority)
	if v := h.exact[string(name)]; v != nil {
		return v
	}
	for i := range h.suffixes {
		// The star stands for at least one character.
		if w := &h.suffixes[i]; len(name) > w.length {
			if v := w.hosts[string(name[len(name)-w.length:])]; v != nil {
				return v
			}
		}
	}
	for i := range h.prefixes {
		if w := &h.prefixes[i]; len(name) > w.length {
			if v := w.hosts[string(name[:w.length])]; v != nil {
				return v
			}
		}
	}
	return h.any
}

// withoutPort takes :port off an authority, IPv6 literals in brackets included.
func withoutPort(authority []byte) []byte {
	i := bytes.LastIndexByte(authority, ':')
	if i < 0 || bytes.IndexByte(authority[i:], ']') >= 0 {
		return authority
	}
	for _, c := range authority[i+1:] {
		if c < '0' || c > '9' {
			return authority
		}
	}
	return authority[:i]
}

func lower(dst, b []byte) []byte {
	for _, c := range b {
		if c-'A' < 26 {
			c |= 0x20
		}
		dst = append(dst, c)
	}
	return dst
}
