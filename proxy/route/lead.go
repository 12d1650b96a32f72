package route

import (
	"net/netip"
	"unsafe"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/match"
	"github.com/weftmesh/weft/wire/http"
)

// lead finds the list of routes that a virtual host's matcher leads to; nil: it leads nowhere.
func (v *virtualHost) lead(in *Input) *index {
	in.texts = in.texts[:0]
	if i, ok := match.Find(v.config.Matcher, in); ok {
		return &v.lists[i]
	}
	return nil
}

// Text implements match.Inputs.
func (in *Input) Text(i *config.MatchInput) ([]byte, bool) {
	switch {
	case i.Of == config.MatchState:
		for k := range in.State {
			if in.State[k].Name == i.Name {
				return in.keep(in.State[k].Value), true
			}
		}
		return nil, false
	case http.IsPseudo(i.Name):
		v := in.Request.Pseudo(i.Name)
		return v, len(v) > 0
	}
	h, id := &in.Request.Header, http.Lookup(i.Name)
	at := h.Find(id, i.Name, 0)
	if at < 0 {
		return nil, false
	}
	next := h.Find(id, i.Name, at+1)
	if next < 0 {
		return h.Value(at), true
	}
	begin := len(in.texts)
	in.texts = append(in.texts, h.Value(at)...)
	for ; next >= 0; next = h.Find(id, i.Name, next+1) {
		in.texts = append(append(in.texts, ','), h.Value(next)...)
	}
	return in.texts[begin:], true
}

// keep is a text that stays until the walk is over: what follows it is written behind it.
func (in *Input) keep(text string) []byte {
	begin := len(in.texts)
	in.texts = append(in.texts, text...)
	return in.texts[begin:]
}

// Addr implements match.Inputs.
func (in *Input) Addr(i *config.MatchInput) (netip.Addr, bool) {
	text, known := in.Text(i)
	if !known {
		return netip.Addr{}, false
	}
	// A string that is of the same bytes: nothing of it outlives the call but in the error, which is dropped.
	a, err := netip.ParseAddr(unsafe.String(unsafe.SliceData(text), len(text)))
	return a, err == nil && a.Zone() == ""
}
