package route

import (
	"bytes"
	"net/netip"
	"slices"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/wire/http"
)

// Hash is what a request is hashed to, as Envoy does, so that both choose the same endpoint: each policy that finds something is mixed
// in. ok is false if none did. source is the client's address, if it has one; state is what filters have set. cookie is the value of the cookies that a client without
// is given, nil if it is not to be given any; bits of given tell which policies did, of which a configuration holds no more than a word has bits.
func Hash(policies []config.HashPolicy, r *http.Request, source netip.Addr, state []config.State, cookie []byte) (hash uint64, ok bool, given uint64) {
	for i := range policies {
		p := &policies[i]
		n, found, isNew := hashOne(p, r, source, state, cookie)
		if isNew {
			given |= 1 << i
		}
		if found {
			hash, ok = (hash<<1|hash>>63)^n, true
		}
		if ok && p.Terminal {
			break
		}
	}
	return hash, ok, given
}

func hashOne(p *config.HashPolicy, r *http.Request, source netip.Addr, state []config.State, cookie []byte) (hash uint64, ok, isNew bool) {
	switch p.Kind {
	case config.HashHeader:
		hash, ok = hashHeader(p, r)
	case config.HashCookie:
		if value, _ := Cookie(r, p.Name); len(value) > 0 {
			return xxhash.Sum64(value), true, false
		}
		if p.Cookie != nil && cookie != nil {
			return xxhash.Sum64(cookie), true, true
		}
	case config.HashSource:
		if source.IsValid() {
			var b [64]byte
			return xxhash.Sum64(source.AppendTo(b[:0])), true, false
		}
	case config.HashQuery:
		if value, found := Parameter(r.Path(), p.Name); found {
			return xxhash.Sum64(value), true, false
		}
	case config.HashState:
		for i := range state {
			if s := &state[i]; s.Name == p.Name && s.Hashable {
				return xxhash.Sum64String(s.Value), true, false
			}
		}
	}
	return hash, ok, false
}

// hashHeader hashes the values of a field, in the order of their bytes, so that theirs in the request does not matter.
func hashHeader(p *config.HashPolicy, r *http.Request) (hash uint64, ok bool) {
	var room [4][]byte
	values := room[:0]
	if http.IsPseudo(p.Name) {
		if v := r.Pseudo(p.Name); len(v) > 0 {
			values = append(values, v)
		}
	} else {
		id := http.Lookup(p.Name)
		for i := r.Find(id, p.Name, 0); i >= 0; i = r.Find(id, p.Name, i+1) {
			values = append(values, r.Value(i))
		}
	}
	if p.Replace != nil {
		for i, v := range values {
			values[i] = AppendReplaced(nil, p.Replace, v)
		}
	}
	if len(values) > 1 {
		slices.SortFunc(values, bytes.Compare)
	}
	var d xxhash.Digest
	for _, v := range values {
		d.ResetWithSeed(hash) // each is hashed with what the ones before it came to
		d.Write(v)
		hash = d.Sum64()
	}
	return hash, len(values) > 0
}

// AppendCookieValue appends the value of a new cookie: the same for all that is asked over one connection, whose ends these are.
func AppendCookieValue(dst []byte, remote, local netip.AddrPort) []byte {
	var b [128]byte
	hash := xxhash.Sum64(local.AppendTo(remote.AppendTo(b[:0])))
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, "0123456789abcdef"[hash>>shift&15])
	}
	return dst
}

// AppendCookie appends the set-cookie field by which a client gets a policy's cookie, as Envoy writes it.
func AppendCookie(dst []byte, p *config.HashPolicy, value []byte) []byte {
	c := p.Cookie
	dst = append(append(append(dst, p.Name...), '=', '"'), value...)
	dst = append(dst, '"')
	if s := int64(c.TTL / 1e9); s > 0 {
		dst = strconv.AppendInt(append(dst, "; Max-Age="...), s, 10)
	}
	if c.Path != "" {
		dst = append(append(dst, "; Path="...), c.Path...)
	}
	for i := range c.Attributes {
		dst = append(append(dst, "; "...), c.Attributes[i].Name...)
		if v := c.Attributes[i].Value; v != "" {
			dst = append(append(dst, '='), v...)
		}
	}
	return append(dst, "; HttpOnly"...)
}
