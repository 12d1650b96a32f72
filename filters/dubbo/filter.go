package dubbo

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/telemetry"
	wire "github.com/weftmesh/weft/wire/dubbo"
	"github.com/weftmesh/weft/wire/http"
)

// Rows of the filter's numbers.
const (
	calls      = iota
	unfit      // whose arguments are not what is declared
	unknown    // for which there is no method
	exceptions // that methods have thrown
	unread     // answers that cannot be read
)

var stats = &telemetry.Table{Kind: "http_dubbo", Metrics: []telemetry.Metric{
	calls:      {Name: "calls"},
	unfit:      {Name: "arguments_refused"},
	unknown:    {Name: "no_method"},
	exceptions: {Name: "exceptions"},
	unread:     {Name: "answers_unreadable"},
}}

// Bounds of what is held, in bytes: of a request as much as a connection's buffer holds by default, and of an answer as much as a frame may be.
const (
	maxBody   = 1 << 20
	maxAnswer = 8 << 20
)

// maxKept is how much memory, in bytes, a filter keeps from one exchange to the next.
const maxKept = 64 << 10

// namespace is where logs find what was called: %DYNAMIC_METADATA(dubbo:method)%.
const namespace = "dubbo"

func build(c any, site filters.Site) func(int) filters.Filter {
	owner := site.Stats.Acquire(stats, site.StatPrefix+"dubbo.")
	return func(loop int) filters.Filter { return &filter{chain: c.(*settings), stats: owner.Loop(loop)} }
}

type filter struct {
	chain *settings
	stats *telemetry.Values

	method  *method // nil: the request is no call
	refused bool    // the answer is this filter's own
	allow   []string
	status  wire.Status // of the answer; 0: none has come
	body    []byte      // of the request, then of the answer
	out     []byte      // what goes on in its place
	pairs   [][2][]byte
	values  [][]byte // of the method's fields, in body
}

// RequestHeaders finds the method.
func (f *filter) RequestHeaders(x filters.Exchange, end bool) filters.Action {
	s, is := x.Override().(*settings)
	if !is {
		s = f.chain
	}
	r := x.Request()
	m, verbs := s.find(r.Method(), x.Path())
	switch {
	case m != nil && !x.UpstreamDubbo():
		return f.refuse(x, 500, "the endpoints of cluster "+strconv.Quote(x.Cluster())+" do not speak Dubbo: it needs weft.upstreams.dubbo in its typed_extension_protocol_options", "dubbo_cluster_speaks_http")
	case m != nil:
		f.method = m
	case !s.route:
		return filters.Continue
	case len(verbs) > 0:
		f.stats.Inc(unknown)
		f.allow = verbs
		return f.refuse(x, 405, "no method is called by "+string(r.Method())+" here: want "+strings.Join(verbs, ", "), "dubbo_no_method")
	default:
		f.stats.Inc(unknown)
		return f.refuse(x, 404, "no method is called by this path", "dubbo_no_method")
	}
	if !end {
		return filters.Hold
	}
	if !f.write(x) {
		return filters.Replied
	}
	x.AddBody(f.out)
	return filters.Changed
}

// RequestBody takes the body, which is whole before it can be read.
func (f *filter) RequestBody(x filters.Exchange, b []byte, end bool) filters.Action {
	if f.method == nil {
		return filters.Continue
	}
	if f.method.reads {
		if len(f.body)+len(b) > maxBody {
			return f.refuse(x, 413, "the body is larger than 1 MiB", "request_payload_too_large")
		}
		f.body = append(f.body, b...)
	}
	if end {
		if !f.write(x) {
			return filters.Replied
		}
		x.PassOn(f.out)
	}
	return filters.Changed
}

// RequestTrailers are for nobody; the end follows them.
func (f *filter) RequestTrailers(filters.Exchange, *http.Header) filters.Action {
	return filters.Continue
}

// write makes the call; false: the request was refused.
func (f *filter) write(x filters.Exchange) bool {
	m, r := f.method, x.Request()
	out, err := f.arguments(x, m.invocation.AppendBegin(f.out[:0]))
	clear(f.values)
	if err != nil {
		f.stats.Inc(unfit)
		f.refuse(x, 400, err.Error(), "dubbo_arguments_refused")
		return false
	}
	f.attachments(r)
	f.out = m.invocation.AppendEnd(out, f.pairs)
	clear(f.pairs) // of the head, as values are of the body: they keep neither
	f.body = f.body[:0]
	f.stats.Inc(calls)
	x.SetMetadata(namespace, "interface", m.invocation.Interface)
	x.SetMetadata(namespace, "method", m.invocation.Method)
	r.RemoveNamed(wire.Field)
	r.AddOther([]byte(wire.Field), nil)
	r.Remove(http.TransferEncoding)
	var digits [20]byte
	r.Set(http.ContentLength, strconv.AppendInt(digits[:0], int64(len(f.out)), 10))
	return true
}

// attachments are the headers that go along.
func (f *filter) attachments(r *http.Request) {
	f.pairs = f.pairs[:0]
	if f.method.attachAll {
		for i := range r.Len() {
			if name := r.Name(i); name[0] != ':' {
				f.pairs = append(f.pairs, [2][]byte{name, r.Value(i)})
			}
		}
		return
	}
	for _, name := range f.method.attach {
		if v, is := field(r, name); is {
			f.pairs = append(f.pairs, [2][]byte{[]byte(name), v})
		}
	}
}

// field is the first header of a name, the authority that of host.
func field(r *http.Request, name string) ([]byte, bool) {
	if name == "host" {
		return r.Authority(), true
	}
	i := r.Find(http.Lookup(name), name, 0)
	if i < 0 {
		return nil, false
	}
	return r.Value(i), true
}

// ResponseHeaders holds an answer until it can be read.
func (f *filter) ResponseHeaders(x filters.Exchange, _ bool) filters.Action {
	r := x.Response()
	if f.refused {
		r.SetString(http.ContentType, "application/json")
		if len(f.allow) > 0 {
			r.AddNamed([]byte("allow"), []byte(strings.Join(f.allow, ", ")))
		}
		return filters.Continue
	}
	f.status, f.body = 0, f.body[:0] // another answer may have taken the place of one
	i := r.Find(http.Other, wire.Field, 0)
	if f.method == nil || i < 0 {
		return filters.Continue
	}
	n, _ := strconv.ParseUint(string(r.Value(i)), 10, 8)
	f.status = wire.Status(n)
	r.RemoveAt(i)
	r.Remove(http.ContentLength)
	r.SetString(http.ContentType, "application/json")
	return filters.Hold
}

// ResponseBody makes JSON of the answer.
func (f *filter) ResponseBody(x filters.Exchange, b []byte, end bool) filters.Action {
	if f.status == 0 {
		return filters.Continue
	}
	if f.body = append(f.body, b...); !end { // which proxy/upstream bounds
		return filters.Changed
	}
	r := x.Response()
	x.SetMetadata(namespace, "status", float64(f.status))
	thrown := false
	if f.status == wire.OK {
		var err error
		if f.out, thrown, err = wire.AppendJSON(f.out[:0], wire.Hessian2, f.body, maxAnswer); err != nil {
			f.stats.Inc(unread)
			f.status = 0
			f.refused = true
			x.Fail(502, problem(nil, 0, "the answer cannot be read: "+err.Error()), "dubbo_answer_unreadable")
			return filters.Replied
		}
	} else {
		text, _, _ := strings.Cut(wire.ErrorText(f.body), "\n") // behind it Dubbo for Java has its stack, which is nobody's business outside
		f.out = problem(f.out[:0], f.status, text)
	}
	if thrown {
		f.stats.Inc(exceptions)
		r.Status = 500
		x.SetMetadata(namespace, "exception", true)
	}
	var digits [20]byte
	r.Set(http.ContentLength, strconv.AppendInt(digits[:0], int64(len(f.out)), 10))
	x.PassOn(f.out)
	return filters.Changed
}

// ResponseTrailers do not come with an answer.
func (f *filter) ResponseTrailers(filters.Exchange, *http.Header) filters.Action {
	return filters.Continue
}

// Resume is not for this filter.
func (f *filter) Resume(filters.Exchange, filters.Result) filters.Action { return filters.Continue }

// Done forgets the exchange.
func (f *filter) Done(filters.Exchange) {
	*f = filter{chain: f.chain, stats: f.stats, body: kept(f.body), out: kept(f.out), pairs: f.pairs[:0], values: f.values[:0]}
}

func kept(b []byte) []byte {
	if cap(b) > maxKept {
		return nil
	}
	return b[:0]
}

// refuse answers in JSON.
func (f *filter) refuse(x filters.Exchange, status uint16, text, details string) filters.Action {
	f.refused, f.method = true, nil
	x.Reply(status, problem(nil, 0, text), details)
	return filters.Replied
}

// problem appends what a client is told of one.
func problem(b []byte, status wire.Status, text string) []byte {
	said := struct {
		Status  wire.Status `json:"status,omitempty"`
		Message string      `json:"message"`
	}{status, text}
	out, _ := json.Marshal(said) // a number and a text always can
	return append(b, out...)
}
