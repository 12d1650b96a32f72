package grpcstats

import (
	"strconv"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/wire/http"
)

// stateName is under what logs are told, as with Envoy.
const stateName = "envoy.filters.http.grpc_stats"

// filter counts one call.
type filter struct {
	filters.Pass
	settings *settings
	calls    *filters.Calls
	loop     int
	text     []byte

	n        *telemetry.Values // nil: it is not counted
	asked    bool              // the request is of gRPC
	answered bool              // and so is the response
	timed    bool              // the upstream's time is recorded
	up, down direction
}

// direction is what has gone one way.
type direction struct {
	frames   filters.Frames
	messages uint64
}

// RequestHeaders finds what the call counts for.
func (f *filter) RequestHeaders(x filters.Exchange, _ bool) filters.Action {
	r := x.Request()
	if f.asked = filters.IsGRPC(r); !f.asked || x.Cluster() == "" || x.Entry().ClusterStatName == "" {
		return filters.Continue
	}
	service, method, ok := filters.GRPCMethod(r.Path())
	if !ok {
		return filters.Continue
	}
	s := f.settings
	switch {
	case s.all && s.withoutDots:
		f.text = append(f.text[:0], service...)
		for i, c := range f.text {
			if c == '.' {
				f.text[i] = '_'
			}
		}
		service = f.text
	case s.all || s.only[string(service)][string(method)]:
	default:
		service, method = nil, nil
	}
	f.n = f.calls.Of(f.loop, x.Entry().ClusterStatName, service, method)
	return filters.Continue
}

// RequestBody counts messages.
func (f *filter) RequestBody(x filters.Exchange, b []byte, _ bool) filters.Action {
	if f.asked {
		f.count(x, &f.up, b, filters.CallsRequestMessages)
	}
	return filters.Continue
}

func (f *filter) count(x filters.Exchange, d *direction, b []byte, row int) {
	n := d.frames.Begun(b)
	if n == 0 {
		return
	}
	d.messages += n
	if f.n != nil {
		f.n.Add(row, n)
	}
	if f.settings.tell {
		f.tell(x)
	}
}

// tell notes for logs how many messages there were so far. Objects have the names of the message's fields, texts those that JSON has for
// them, with Envoy.
func (f *filter) tell(x filters.Exchange) {
	f.text = strconv.AppendUint(append(strconv.AppendUint(f.text[:0], f.up.messages, 10), ','), f.down.messages, 10)
	s := config.State{Name: stateName, Value: string(f.text)}
	s.Object, s.Text = f.object("request_message_count", "response_message_count"), f.object("requestMessageCount", "responseMessageCount")
	x.SetFilterState(s)
}

// object writes the counts as JSON. One of nothing is left out.
func (f *filter) object(up, down string) string {
	f.text = append(f.text[:0], '{')
	if f.up.messages > 0 {
		f.text = append(strconv.AppendUint(append(append(append(f.text, '"'), up...), `":"`...), f.up.messages, 10), '"')
	}
	if f.up.messages > 0 && f.down.messages > 0 {
		f.text = append(f.text, ',')
	}
	if f.down.messages > 0 {
		f.text = append(strconv.AppendUint(append(append(append(f.text, '"'), down...), `":"`...), f.down.messages, 10), '"')
	}
	f.text = append(f.text, '}')
	return string(f.text)
}

// ResponseHeaders counts the call, if the head has its status.
func (f *filter) ResponseHeaders(x filters.Exchange, end bool) filters.Action {
	r := x.Response()
	f.answered, f.down.frames = filters.AnswersGRPC(r, end), filters.Frames{}
	f.status(r.Get(http.GRPCStatus))
	if end {
		f.took(x)
	}
	return filters.Continue
}

func (f *filter) status(b []byte) {
	if f.n != nil {
		filters.CountCall(f.n, b)
	}
}

// ResponseBody counts messages.
func (f *filter) ResponseBody(x filters.Exchange, b []byte, end bool) filters.Action {
	if f.answered {
		f.count(x, &f.down, b, filters.CallsResponseMessages)
	}
	if end {
		f.took(x)
	}
	return filters.Continue
}

// ResponseTrailers counts the call.
func (f *filter) ResponseTrailers(x filters.Exchange, t *http.Header) filters.Action {
	f.status(t.Get(http.GRPCStatus))
	f.took(x)
	return filters.Continue
}

// took records how long the upstream took from the end of the request to that of the response.
func (f *filter) took(x filters.Exchange) {
	e := x.Entry()
	if f.n == nil || f.timed || !f.settings.time || e.UpstreamLastSent < 0 || e.UpstreamHead < 0 {
		return
	}
	f.timed = true // the end comes behind trailers, too
	end := e.UpstreamEnd
	if end < 0 {
		end = x.Now().Sub(e.Start)
	}
	f.n.Observe(filters.CallsUpstreamTime, uint64(max(end-e.UpstreamLastSent, 0)/time.Millisecond))
}

// Done forgets the exchange.
func (f *filter) Done(filters.Exchange) {
	*f = filter{settings: f.settings, calls: f.calls, loop: f.loop, text: f.text[:0]}
}
