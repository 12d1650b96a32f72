package http2

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weftmesh/weft/wire/http"
)

// side is the owner and the sink of one side of a connection in memory. What it hears is written down, pieces of a body joined.
type side struct {
	t     testing.TB
	c     Conn
	out   []byte
	taken int // of out, by the network
	limit int // above it the sink is over; 0: never

	lines   []string
	readers []*reader
	onHead  func(*reader, bool) // what is done about a head
	onBody  func(*reader, []byte) int
	onEnd   func(*reader)
	onRoom  func(*reader)
	refuse  func(*Stream) bool
	done    int
}

func newSide(t testing.TB, o Options) *side {
	s := &side{t: t}
	s.c.Init(&o, s, s)
	return s
}

func (s *side) Buffer(n int) []byte {
	if cap(s.out)-len(s.out) < n {
		s.out = append(make([]byte, 0, 2*cap(s.out)+n), s.out...)
	}
	return s.out
}

func (s *side) Commit(b []byte) { s.out = b }
func (s *side) Over() bool      { return s.limit > 0 && s.Unsent() > s.limit }
func (s *side) Unsent() int     { return len(s.out) - s.taken }

// sent is what was committed since it was asked last, which is now with the peer.
func (s *side) sent() []byte {
	b := s.out[s.taken:]
	s.taken = len(s.out)
	return b
}

func (s *side) say(format string, args ...any) {
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
}

func (s *side) OnStream(st *Stream) Reader {
	if s.refuse != nil && s.refuse(st) {
		return nil
	}
	return s.reader(st)
}

func (s *side) OnGoAway(last uint32, code ErrCode) { s.say("goaway %d %v", last, code) }
func (s *side) OnSettings()                        {}
func (s *side) OnPong(data [8]byte)                { s.say("pong %s", data[:]) }
func (s *side) OnDone(*Stream)                     { s.done++ }

func (s *side) reader(st *Stream) *reader {
	r := &reader{side: s, s: st}
	s.readers = append(s.readers, r)
	return r
}

// open begins a stream of a client.
func (s *side) open() *reader {
	r := s.reader(nil)
	if r.s = s.c.Open(r); r.s == nil {
		s.t.Fatal("no slot")
	}
	return r
}

// transcript is what was heard, without what is not the same however bytes are cut.
func (s *side) transcript() string { return strings.Join(s.lines, "\n") }

// reader reads one stream, all of it at once unless onBody says otherwise.
type reader struct {
	side     *side
	s        *Stream
	request  http.Request
	response http.Response
	body     []byte
	trailers http.Header
	headed   bool
	ended    bool
	isReset  bool
	code     ErrCode
}

func (r *reader) Request() *http.Request   { return &r.request }
func (r *reader) Response() *http.Response { return &r.response }

func (r *reader) say(format string, args ...any) {
	r.side.say("%d: %s", r.s.ID, fmt.Sprintf(format, args...))
}

func (r *reader) OnHead(end bool) {
	text := ""
	if r.side.c.o.Server {
		text = showRequest(&r.request)
	} else {
		text = showResponse(&r.response)
	}
	r.headed = true
	if end {
		text += " end"
		r.ended = true
	}
	r.say("%s", text)
	if r.side.onHead != nil {
		r.side.onHead(r, end)
	}
}

func (r *reader) OnBody(b []byte) int {
	n := len(b)
	if r.side.onBody != nil {
		n = r.side.onBody(r, b)
	}
	r.body = append(r.body, b[:n]...)
	return n
}

func (r *reader) flushBody() {
	if len(r.body) > 0 {
		r.say("body of %d %.20q", len(r.body), r.body)
	}
}

func (r *reader) OnTrailers(t *http.Header) {
	r.trailers.CopyFrom(t)
	r.flushBody()
	r.say("trailers%s", showFields(t))
	r.body = nil
}

func (r *reader) OnEnd() {
	r.flushBody()
	r.say("end")
	r.ended = true
	if r.side.onEnd != nil {
		r.side.onEnd(r)
	}
}

func (r *reader) OnReset(code ErrCode, local, unprocessed bool) {
	r.flushBody()
	text := "reset " + code.String()
	if local {
		text += " local"
	}
	if unprocessed {
		text += " unprocessed"
	}
	if f := r.s.Fault(); f != nil {
		text += fmt.Sprintf(" (%s)", f.Error())
	}
	r.say("%s", text)
	r.isReset, r.code = true, code
}

func (r *reader) OnRoom() {
	if r.side.onRoom != nil {
		r.side.onRoom(r)
	}
}

func showFields(h *http.Header) string {
	var b strings.Builder
	for i := range h.Len() {
		fmt.Fprintf(&b, " %s=%s", h.Name(i), h.Value(i))
	}
	return b.String()
}

func showRequest(r *http.Request) string {
	text := fmt.Sprintf("%s %s %s %s", r.Method(), r.Scheme(), r.Authority(), r.Path())
	if len(r.Protocol()) > 0 {
		text += fmt.Sprintf(" protocol %s", r.Protocol())
	}
	return text + showFields(&r.Header)
}

func showResponse(r *http.Response) string {
	return fmt.Sprintf("%d%s", r.Status, showFields(&r.Header))
}

// pair is a client and a server.
type pair struct {
	client, server *side
	in             [2][]byte // on the way to the client and to the server
}

func newPair(t testing.TB, client, server Options) *pair {
	server.Server = true
	return &pair{client: newSide(t, client), server: newSide(t, server)}
}

// run carries bytes to and fro until nobody has anything to say. cut says how many of so many bytes come at a time.
func (p *pair) run(cut func(n int) int) {
	for idle := 0; idle < 2; {
		idle++
		for i, s := range [2]*side{p.client, p.server} {
			from := p.server
			if i == 1 {
				from = p.client
			}
			if b := from.sent(); len(b) > 0 {
				p.in[i] = append(p.in[i], b...)
				idle = 0
			}
			if from.limit > 0 {
				from.c.Drained()
			}
			at := 0
			for {
				n := len(p.in[i]) - at
				if cut != nil && n > 0 {
					n = min(n, cut(n))
				}
				// Unused bytes stay before those that come.
				used, err := s.c.Feed(p.in[i][:at+n])
				p.in[i] = p.in[i][used:]
				at += n - used
				if err != nil {
					p.in[i] = nil
					break
				}
				if used > 0 || s.c.Pending() {
					idle = 0
				}
				if at == len(p.in[i]) {
					break
				}
			}
		}
	}
}

// settled checks that nothing is left behind: no stream, no byte, and no window that is not whole.
func (p *pair) settled(t testing.TB) {
	t.Helper()
	for name, s := range map[string]*side{"client": p.client, "server": p.server} {
		c := &s.c
		if c.fault != none {
			continue
		}
		if c.Streams() != 0 || c.active != 0 || c.kept != 0 || c.ready.head != nil || c.blocked.head != nil || c.fresh.head != nil || c.again.head != nil {
			t.Errorf("%s: %d streams, %d active, %d bytes kept, queues %v %v %v %v", name, c.Streams(), c.active, c.kept, c.ready.head, c.blocked.head,
				c.fresh.head, c.again.head)
		}
		if c.recvRoom+int64(c.taken) != int64(c.window) {
			t.Errorf("%s: of a window of %d, %d are left and %d to be credited", name, c.window, c.recvRoom, c.taken)
		}
		if s.done != len(s.readers) {
			t.Errorf("%s: %d of %d streams done", name, s.done, len(s.readers))
		}
	}
	if p.client.c.fault != none || p.server.c.fault != none {
		return
	}
	for _, d := range [][2]*Conn{{&p.client.c, &p.server.c}, {&p.server.c, &p.client.c}} {
		if from, to := d[0], d[1]; from.sendRoom != to.recvRoom {
			t.Errorf("one side may send %d, the other takes %d", from.sendRoom, to.recvRoom)
		}
	}
}

func request(method, scheme, authority, path string, fields ...string) *http.Request {
	r := new(http.Request)
	r.Reset()
	r.Version = http.HTTP2
	r.SetMethod([]byte(method))
	r.SetScheme([]byte(scheme))
	r.SetAuthority([]byte(authority))
	r.SetPath([]byte(path))
	put(&r.Header, fields)
	return r
}

func response(status uint16, fields ...string) *http.Response {
	r := new(http.Response)
	r.Reset()
	r.Version, r.Status = http.HTTP2, status
	put(&r.Header, fields)
	return r
}

func put(h *http.Header, fields []string) {
	for i := 0; i < len(fields); i += 2 {
		h.AddNamed([]byte(fields[i]), []byte(fields[i+1]))
	}
}
