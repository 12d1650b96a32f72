package route

import (
	"bytes"
	"sort"
	"strings"

	"github.com/weftmesh/weft/match"
)

// hosts finds a virtual host by domain: exact ones first, then *.suffix and prefix.*, the longest first, then *. Case does not count.
// What is found is the host's place in the table, or none, so that tables whose domains are the same share it.
type hosts struct {
	exact    map[string]int32
	suffixes []wildcard
	prefixes []wildcard
	any      int32
}

// none is no virtual host's place.
const none = -1

// wildcard holds the domains of one length, by what stands beside the star.
type wildcard struct {
	length int
	hosts  map[string]int32
}

func (h *hosts) add(domains []string, v int32) {
	for _, domain := range domains {
		switch {
		case domain == "*":
			h.any = v
		case strings.HasPrefix(domain, "*"):
			h.suffixes = addWildcard(h.suffixes, domain[1:], v)
		case strings.HasSuffix(domain, "*"):
			h.prefixes = addWildcard(h.prefixes, domain[:len(domain)-1], v)
		default:
			if h.exact == nil {
				h.exact = map[string]int32{}
			}
			h.exact[domain] = v
		}
	}
}

func addWildcard(list []wildcard, part string, v int32) []wildcard {
	for i := range list {
		if list[i].length == len(part) {
			list[i].hosts[part] = v
			return list
		}
	}
	return append(list, wildcard{len(part), map[string]int32{part: v}})
}

func (h *hosts) finish() {
	for _, list := range [][]wildcard{h.suffixes, h.prefixes} {
		sort.Slice(list, func(i, j int) bool { return list[i].length > list[j].length })
	}
}

// usualHost is the longest authority that is lowered without allocating: no domain name with a port is longer (RFC 1035 §2.3.4), and
// what a peer can send is bounded by the limit of a head.
const usualHost = 262

func (h *hosts) find(authority []byte, ignorePort bool) int32 {
	if h.exact == nil && h.suffixes == nil && h.prefixes == nil {
		return h.any
	}
	if ignorePort {
		authority = withoutPort(authority)
	}
	var buffer [usualHost]byte
	name := lower(buffer[:0], authority)
	if v, ok := h.exact[string(name)]; ok {
		return v
	}
	for i := range h.suffixes {
		// The star stands for at least one character.
		if w := &h.suffixes[i]; len(name) > w.length {
			if v, ok := w.hosts[string(name[len(name)-w.length:])]; ok {
				return v
			}
		}
	}
	for i := range h.prefixes {
		if w := &h.prefixes[i]; len(name) > w.length {
			if v, ok := w.hosts[string(name[:w.length])]; ok {
				return v
			}
		}
	}
	return h.any
}

// unnamed is the virtual host of a request that names none.
func (h *hosts) unnamed() int32 {
	if h.exact == nil && h.suffixes == nil && h.prefixes == nil {
		return h.any
	}
	return none
}

// withoutPort takes off what follows the last colon of an authority, unless that colon is inside an IPv6 literal's brackets.
func withoutPort(authority []byte) []byte {
	i := bytes.LastIndexByte(authority, ':')
	if i < 0 || bytes.IndexByte(authority[i:], ']') >= 0 {
		return authority
	}
	return authority[:i]
}

func lower(dst, b []byte) []byte {
	for _, c := range b {
		dst = append(dst, match.LowerByte(c))
	}
	return dst
}
