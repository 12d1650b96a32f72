package l7

import (
	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/match"
	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/wire/http"
)

// changeRequest applies the header changes of the route, its share, its virtual host and its table, from the most specific to the most
// general, or the other way if the table says so.
func (x *exchange) changeRequest() {
	var levels [4]*config.HeaderChanges
	for _, c := range x.levels(&levels) {
		for _, name := range c.RequestRemove {
			x.request.RemoveNamed(name)
		}
		for i := range c.RequestAdd {
			x.add(&x.request.Header, &c.RequestAdd[i])
		}
	}
}

// changeResponse does the same to a response.
func (x *exchange) changeResponse() {
	var levels [4]*config.HeaderChanges
	for _, c := range x.levels(&levels) {
		for _, name := range c.ResponseRemove {
			x.response.RemoveNamed(name)
		}
		for i := range c.ResponseAdd {
			x.add(&x.response.Header, &c.ResponseAdd[i])
		}
	}
}

func (x *exchange) levels(buffer *[4]*config.HeaderChanges) []*config.HeaderChanges {
	list := buffer[:0]
	if x.share != nil {
		list = append(list, &x.share.Headers)
	}
	if r := x.found.Route; r != nil {
		list = append(list, &r.Headers)
	}
	if v := x.found.VirtualHost; v != nil {
		list = append(list, &v.Headers)
	}
	t := x.table
	if t == nil {
		return list
	}
	list = append(list, &t.Config.Headers)
	if t.Config.MostSpecificFirst {
		for i, j := 0, len(list)-1; i < j; i, j = i+1, j-1 {
			list[i], list[j] = list[j], list[i]
		}
	}
	return list
}

// mutate makes a list of changes to a head, in order.
func (x *exchange) mutate(h *http.Header, list []config.HeaderMutation) {
	for i := range list {
		switch m := &list[i]; {
		case m.Add != nil:
			x.add(h, m.Add)
		case m.Match != nil:
			for k := h.Len() - 1; k >= 0; k-- {
				if match.String(m.Match, h.Name(k)) {
					h.RemoveAt(k)
				}
			}
		default:
			h.RemoveNamed(m.Remove)
		}
	}
}

// add sets or adds one field.
func (x *exchange) add(h *http.Header, a *config.HeaderAdd) {
	id := http.Lookup(a.Name)
	at := h.Find(id, a.Name, 0)
	if at < 0 && a.Action == config.AddOverwriteIfExists || at >= 0 && a.Action == config.AddIfAbsent {
		return
	}
	x.scratch = a.Value.(*accesslog.Format).Append(x.scratch[:0], &x.entry)
	if len(x.scratch) == 0 && !a.KeepEmpty {
		return
	}
	if a.Action == config.AddOverwrite || a.Action == config.AddOverwriteIfExists {
		h.RemoveNamed(a.Name)
	}
	h.AddNamed([]byte(a.Name), x.scratch)
}
