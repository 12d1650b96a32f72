package buffer

import (
	"strconv"

	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/wire/http"
)

// filter holds one request.
type filter struct {
	filters.Pass
	chain *settings
	holds bool
	size  int64
}

// RequestHeaders holds the request, whose size may be another than that of other filters.
func (f *filter) RequestHeaders(x filters.Exchange, end bool) filters.Action {
	s := f.chain
	if o, ok := x.Override().(*settings); ok {
		s = o
	}
	if f.holds = !end && !s.off; !f.holds {
		return filters.Continue
	}
	x.HoldUpTo(s.limit)
	return filters.Hold
}

// RequestBody lets go with the end, when the length is known.
func (f *filter) RequestBody(x filters.Exchange, b []byte, end bool) filters.Action {
	if !f.holds {
		return filters.Continue
	}
	if f.size += int64(len(b)); !end {
		return filters.Hold
	}
	if r := x.Request(); !r.Has(http.ContentLength) {
		var digits [20]byte
		r.Add(http.ContentLength, strconv.AppendInt(digits[:0], f.size, 10))
	}
	return filters.Continue
}

// Done forgets the exchange.
func (f *filter) Done(filters.Exchange) { *f = filter{chain: f.chain} }
