package l7

import (
	"bytes"
	"strconv"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/route"
	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/wire/http"
)

// answer is what is said in the upstream's place.
type answer struct {
	status   uint16
	details  string
	body     []byte
	kind     string  // the body's content type; empty: plain text
	retyped  bool    // which counts, whatever the fields say
	location string  // for redirects
	refused  http.ID // the field that says who was too busy; 0: none
	code     uint8   // what gRPC is told, if hasCode
	hasCode  bool
}

// mapper is a compiled config.ReplyMapper.
type mapper struct {
	filter *accesslog.Filter
	config *config.ReplyMapper
}

func compileMappers(c *config.Replies) (list []mapper) {
	if c == nil {
		return nil
	}
	for i := range c.Mappers {
		list = append(list, mapper{filter: accesslog.NewFilter(c.Mappers[i].Filter), config: &c.Mappers[i]})
	}
	return list
}

// reply answers in the upstream's place. The answer goes through the filters like any other. location is for redirects.
func (x *exchange) reply(status uint16, details string, body []byte, location string) {
	x.replyAs(answer{status: status, details: details, body: body, location: location})
}

func (x *exchange) replyAs(a answer) {
	if x.has(replied | over | headSent) {
		return
	}
	x.state |= replied | ownHead
	if a.status == 400 && !x.server.config.StreamErrorOnInvalid {
		x.client.last() // as Envoy: who speaks so badly may have lost its place
	}
	x.up.reset()
	x.down.reset()
	x.local.Loop.StopTimer(&x.deadline)
	r := &x.response
	r.Reset()
	r.Version, r.Status = http.HTTP11, a.status
	if a.location != "" {
		r.AddString(http.Location, a.location)
	}
	if a.refused != 0 {
		r.AddString(a.refused, "true")
	}
	x.tellTries()
	if m := x.entry.More; m != nil && m.Resolutions == 0 && x.entry.Request != nil {
		m.Resolutions = 1 // Envoy looks for a route before it answers for itself
	}
	x.entry.Details = a.details
	x.entry.Response = r
	x.entry.Status = r.Status
	if x.found.Route != nil && x.forward == nil {
		x.changeResponse()
		if a.kind != "" {
			r.SetString(http.ContentType, a.kind)
		}
	}
	if x.server.config.Replies != nil {
		x.mapReply(&a)
	}
	if x.has(asksGRPC) {
		x.replyGRPC(&a)
	} else {
		x.describe(&a)
	}
	x.entry.Status = r.Status
	x.passHead(&x.down, 0, len(a.body) == 0)
	if len(a.body) > 0 && !x.has(over) {
		x.passBody(&x.down, 0, a.body, true)
	}
	x.pump()
}

// describe says how long the body is and, if nobody has, what it is.
func (x *exchange) describe(a *answer) {
	r := &x.response
	if len(a.body) == 0 {
		r.Remove(http.ContentLength)
		r.Remove(http.ContentType)
		return
	}
	var n [20]byte
	r.Set(http.ContentLength, strconv.AppendInt(n[:0], int64(len(a.body)), 10))
	if r.Has(http.ContentType) && !a.retyped {
		return
	}
	if a.kind == "" {
		a.kind = "text/plain"
	}
	r.SetString(http.ContentType, a.kind)
}

// mapReply changes an answer as the connection manager says. Filters of mappers and new fields see the status that it had, the format the
// one that it gets. With another body the content type of before is gone, but for one that a mapper's fields have brought.
func (x *exchange) mapReply(a *answer) {
	f, old := x.server.config.Replies.Format, a.body
	kind := string(x.response.Get(http.ContentType))
	x.entry.End = x.since() // what there is of it so far
	for i := range x.server.mappers {
		m := &x.server.mappers[i]
		if !m.filter.Wants(&x.entry, x.local.Loop.Random(), route.Rules{}) {
			continue
		}
		for k := range m.config.Headers {
			x.add(&x.response.Header, &m.config.Headers[k])
		}
		if s := m.config.Status; s != 0 {
			a.status, x.response.Status, x.entry.Status = s, s, s
		}
		if m.config.Body != nil {
			a.body = *m.config.Body
		}
		if m.config.Format != nil {
			f = m.config.Format
		}
		break
	}
	if a.kind = ""; f != nil {
		a.body, a.kind = x.formatBody(f, a.body), f.Type
		if f.JSON && x.has(asksGRPC) {
			a.body = bytes.TrimSuffix(a.body, []byte("\n")) // a message has no lines, with Envoy
		}
	}
	a.retyped = !bytes.Equal(a.body, old) && string(x.response.Get(http.ContentType)) == kind
	x.entry.End = -1
}

// formatBody makes another body of an answer. It stands behind what has been put together for this answer before.
func (x *exchange) formatBody(f *config.BodyFormat, body []byte) []byte {
	x.entry.LocalBody = body
	from := len(x.made)
	x.made = f.Format.(*accesslog.Format).Append(x.made, &x.entry)
	x.entry.LocalBody = nil
	return x.made[from:]
}

// directReply answers as a route says. The format sees neither fields of the answer nor what others make of its body.
func (x *exchange) directReply(r *config.Route) {
	d := r.Direct
	a := answer{status: d.Status, details: "direct_response", body: d.Body, location: x.directLocation(r)}
	if f := d.Format; f != nil {
		x.entry.Status, x.entry.Details = a.status, a.details
		a.body, a.kind = x.formatBody(f, a.body), f.Type
	}
	x.replyAs(a)
}
