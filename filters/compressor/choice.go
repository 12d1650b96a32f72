package compressor

import (
	"bytes"
	"math"
	"strconv"

	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/wire/http"
)

// group are the compressors of one exchange, in the chain's order. The first that a response comes to decides for all of them.
type group struct {
	members []*filter
	decided bool
	coding  filters.Coding // that was chosen
	none    bool           // none was
	because int            // the row that counts the decision: for those who compress, headerUsed stands for headerOvershadowed
	offers  []offer
}

// offer is a coding that a member may use for the response.
type offer struct {
	coding filters.Coding
	first  bool // preferred among those that the client likes as much
	gone   bool // the client does not take it
}

// wants tells whether the response is for this compressor, and counts why or why not. accept is what the filter found in the request.
func (g *group) wants(x filters.Exchange, f *filter) bool {
	if !f.accepts {
		f.accept.Inc(noAcceptHeader)
		return false
	}
	if !g.decided {
		g.decided = true
		g.decide(x, f.acceptEncoding)
	}
	mine := !g.none && g.coding == f.library.coding
	row := g.because
	if row == headerUsed && !mine {
		row = headerOvershadowed
	}
	f.accept.Inc(row)
	return mine
}

// decide finds the coding that the client likes best, as Envoy does: of equals the first, unless a later one is preferred by configuration.
// What has no quality that can be read is passed over, and names are compared with their case.
func (g *group) decide(x filters.Exchange, accept []byte) {
	g.offer(x)
	g.none, g.because = true, headerNotValid
	for rest := accept; len(rest) > 0; {
		var token []byte
		token, rest = cut(rest, ',')
		if name, q, ok := preference(token); ok && q == 0 {
			if o := g.find(name); o != nil {
				o.gone = true
			}
		}
	}
	first := -1
	for i := range g.offers {
		if !g.offers[i].gone {
			first = i
			break
		}
	}
	if first < 0 {
		return
	}
	best := float32(0)
	for rest := accept; len(rest) > 0; {
		var token []byte
		token, rest = cut(rest, ',')
		name, q, ok := preference(token)
		if !ok {
			continue
		}
		o := g.find(name)
		identity, any := string(name) == "identity", string(name) == "*"
		if (o == nil || o.gone) && !identity && !any {
			continue
		}
		if !(q > best || q == best && q > 0 && o != nil && o.first) {
			continue
		}
		switch best = q; {
		case identity:
			g.none, g.because = true, headerIdentity
		case any:
			g.none, g.coding, g.because = false, g.offers[first].coding, headerWildcard
		default:
			g.none, g.coding, g.because = false, o.coding, headerUsed
		}
	}
}

// offer lists what the members can do for the response. Of several with the same coding the first counts.
func (g *group) offer(x filters.Exchange) {
	g.offers = g.offers[:0]
	kind := x.Response().Get(http.ContentType)
	for _, m := range g.members {
		if !m.present || len(mediaType(kind)) > 0 && !m.chain.response.allows(x, kind) || g.find([]byte(m.library.coding.Name())) != nil {
			continue
		}
		g.offers = append(g.offers, offer{coding: m.library.coding, first: m.chain.chooseFirst})
	}
}

func (g *group) find(name []byte) *offer {
	for i := range g.offers {
		if g.offers[i].coding.Name() == string(name) {
			return &g.offers[i]
		}
	}
	return nil
}

// preference reads one element of an Accept-Encoding field (RFC 9110 §12.5.3). false: there is none, or its quality cannot be read. Only a
// quality that is the first parameter is one, and it may be any number, with Envoy.
func preference(token []byte) (name []byte, q float32, ok bool) {
	if len(token) == 0 {
		return nil, 0, false
	}
	name, parameters := cut(token, ';')
	name = bytes.TrimSpace(name)
	key, value, found := bytes.Cut(parameters, []byte{'='})
	if key = bytes.TrimSpace(key); !found || len(key) != 1 || key[0]|0x20 != 'q' {
		return name, 1, true
	}
	n, err := strconv.ParseFloat(string(bytes.TrimSpace(value)), 32)
	return name, float32(n), err == nil && !math.IsNaN(n)
}

// cut is what stands before and behind a byte, which may be missing.
func cut(b []byte, at byte) (before, after []byte) {
	if i := bytes.IndexByte(b, at); i >= 0 {
		return b[:i], b[i+1:]
	}
	return b, nil
}

// mediaType is a Content-Type without its parameters.
func mediaType(b []byte) []byte {
	b, _ = cut(b, ';')
	return bytes.TrimSpace(b)
}
