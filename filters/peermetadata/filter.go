package peermetadata

import (
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/wire/http"
)

// The headers.
const (
	headerID    = "x-envoy-peer-metadata-id"
	headerValue = "x-envoy-peer-metadata"
)

// introduction is what peers are told.
type introduction struct{ id, value []byte }

// acquaintances are the peers that one loop has heard of lately, by what they call themselves.
type acquaintances struct{ byID map[string]*heard }

// heard is what a peer has said of itself, and what that was found to mean.
type heard struct {
	value string
	down  acquaintance
	up    acquaintance
	good  bool
}

// Bounds of what is remembered. What is longer is read each time.
const (
	maxHeard   = 500
	maxHeardID = 512     // bytes
	maxValue   = 8 << 10 // bytes
)

// filter tells and learns in one exchange.
type filter struct {
	filters.Pass
	settings *settings
	own      *introduction
	known    *acquaintances

	saidID, saidValue bool // the request had the headers
}

// RequestHeaders learns of the client, and tells the upstream.
func (f *filter) RequestHeaders(x filters.Exchange, _ bool) filters.Action {
	h := &x.Request().Header
	if f.settings.discoverDown {
		id, value := find(h, headerID), find(h, headerValue)
		f.saidID, f.saidValue = id >= 0, value >= 0
		f.discover(x, h, id, value, false)
	}
	for _, t := range f.settings.tellUp {
		if !f.outside(x, t) {
			set(h, headerID, f.own.id)
			set(h, headerValue, f.own.value)
		}
	}
	return filters.Continue
}

// ResponseHeaders learns of the upstream, and tells the client what it has told us.
func (f *filter) ResponseHeaders(x filters.Exchange, _ bool) filters.Action {
	h := &x.Response().Header
	if f.settings.discoverUp {
		f.discover(x, h, find(h, headerID), find(h, headerValue), true)
	}
	for _, t := range f.settings.tellDown {
		if f.outside(x, t) {
			continue
		}
		if f.saidID {
			set(h, headerID, f.own.id)
		}
		if f.saidValue {
			set(h, headerValue, f.own.value)
		}
	}
	return filters.Continue
}

// Done forgets the exchange.
func (f *filter) Done(filters.Exchange) { f.saidID, f.saidValue = false, false }

// discover notes who the peer is, and takes its headers out.
func (f *filter) discover(x filters.Exchange, h *http.Header, id, value int, up bool) {
	if value >= 0 && len(h.Value(value)) > 0 {
		var name []byte
		if id >= 0 {
			name = h.Value(id)
		}
		if p := f.known.find(name, h.Value(value), f.settings.labels); p.good {
			a := &p.down
			if up {
				a = &p.up
			}
			if _, told := x.FilterState(a.object.Name); !told {
				x.SetFilterState(a.object)
				x.SetFilterState(a.text)
			}
		}
	}
	if id >= 0 {
		h.RemoveNamed(headerID)
	}
	if value >= 0 {
		h.RemoveNamed(headerValue)
	}
}

// find gives what a peer says of itself a meaning. One that says something else than before is read anew: what it calls itself proves nothing.
func (a *acquaintances) find(id, value []byte, labels []string) *heard {
	if p := a.byID[string(id)]; p != nil && p.value == string(value) {
		return p
	}
	p := &heard{}
	if w, ok := parse(value, labels); ok {
		p.down, p.up, p.good = w.state("downstream"), w.state("upstream"), true
	}
	if len(id) == 0 || len(id) > maxHeardID || len(value) > maxValue {
		return p
	}
	if a.byID == nil || len(a.byID) >= maxHeard {
		a.byID = map[string]*heard{}
	}
	p.value = string(value)
	a.byID[string(id)] = p
	return p
}

// outside tells whether a peer is not to be told, because its cluster says so.
func (f *filter) outside(x filters.Exchange, t telling) bool {
	name := x.Cluster()
	about := x.Entry().About[accesslog.OfCluster]["istio"]
	is := func(key string) bool { v, _ := about[key].(bool); return v }
	return t.notOutside && (name == "PassthroughCluster" || is("external")) || is("disable_mx")
}

func find(h *http.Header, name string) int { return h.Find(http.Lookup(name), name, 0) }

// set makes a field the only one of its name.
func set(h *http.Header, name string, value []byte) {
	if i := find(h, name); i >= 0 {
		h.RemoveNamed(name)
	}
	h.AddNamed([]byte(name), value)
}
