package upstream

import (
	"encoding/binary"

	"github.com/weftmesh/weft/wire/http"
	"github.com/weftmesh/weft/wire/http2"
)

// A check over HTTP/2 asks on a connection of its own, one stream at a time. One of gRPC is such a check with a message of
// grpc.health.v1 in it.

// shared tells whether the check is over HTTP/2.
func (k *check) shared() bool {
	c := k.checker.config
	return c.GRPC != nil || c.HTTP != nil && c.HTTP.HTTP2
}

// begin2 begins to speak on a connection that stands.
func (k *check) begin2() {
	o := OptionsHTTP2(&k.checker.cluster.Config.Protocol.HTTP2, 0, 0)
	k.codec = &http2.Conn{}
	k.codec.Init(&o, k, k.conn)
}

// ask2 sends the question.
func (k *check) ask2() {
	s := k.codec.Open(k)
	if s == nil {
		k.finish(unreached, false)
		return
	}
	k.grpcOK = false
	s.Limit = 1 << 20
	var r http.Request
	body := k.question(&r)
	s.RequestHead(&r, len(body) == 0)
	if len(body) > 0 {
		s.Data(body, true)
	}
}

// question makes the head of the check, and gives its body.
func (k *check) question(r *http.Request) []byte {
	c := k.checker.config
	r.SetScheme([]byte(k.member.Scheme()))
	r.SetAuthority([]byte(k.host()))
	if g := c.GRPC; g != nil {
		r.SetMethod([]byte("POST"))
		r.SetPath([]byte("/grpc.health.v1.Health/Check"))
		r.AddString(http.ContentType, "application/grpc")
		r.AddString(http.TE, "trailers")
		r.AddString(http.UserAgent, "Envoy/HC")
		for _, f := range g.Add {
			r.AddNamed([]byte(f.Name), []byte(f.Value))
		}
		return healthRequest(g.Service)
	}
	h := c.HTTP
	r.SetMethod([]byte(h.Method))
	r.SetPath([]byte(h.Path))
	r.AddString(http.UserAgent, "Envoy/HC")
	for _, f := range h.Add {
		r.AddNamed([]byte(f.Name), []byte(f.Value))
	}
	for _, name := range h.Remove {
		r.RemoveNamed(name)
	}
	return h.Send
}

// healthRequest is a HealthCheckRequest with its prefix: one field, the service's name.
func healthRequest(service string) []byte {
	var m []byte
	if service != "" {
		m = binary.AppendUvarint(append(m, 1<<3|2), uint64(len(service)))
		m = append(m, service...)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(m))), m...)
}

// serving tells whether a message, with its prefix, is a HealthCheckResponse that says so: its one field is 1.
func serving(m []byte) bool {
	if len(m) < 5 || m[0] != 0 || int(binary.BigEndian.Uint32(m[1:])) != len(m)-5 {
		return false
	}
	return string(m[5:]) == "\x08\x01"
}

// read2 reads on.
func (k *check) read2(b []byte) int {
	used, err := k.codec.Feed(b)
	if k.conn == nil {
		return len(b)
	}
	if err != nil {
		k.finish(unreached, false)
		return len(b)
	}
	if k.leaving && !k.asking {
		k.hangUp()
		return len(b)
	}
	return used
}

// judge2 ends the attempt with what was answered.
func (k *check) judge2() {
	if k.checker.config.GRPC == nil {
		k.complete(!k.leaving)
		return
	}
	r := failed
	if k.status == 200 && k.grpcOK && serving(k.received) {
		r = passed
	}
	k.finish(r, !k.leaving)
}

// OnStream implements http2.Owner.
func (k *check) OnStream(*http2.Stream) http2.Reader { return nil }

// OnGoAway implements http2.Owner.
func (k *check) OnGoAway(uint32, http2.ErrCode) { k.leaving = true }

// OnSettings implements http2.Owner.
func (k *check) OnSettings() {}

// OnPong implements http2.Owner.
func (k *check) OnPong([8]byte) {}

// OnDone implements http2.Owner.
func (k *check) OnDone(*http2.Stream) {}

// Request implements http2.Reader; it is for servers.
func (k *check) Request() *http.Request { return nil }

// Response implements http2.Reader.
func (k *check) Response() *http.Response { return &k.response }

// OnHead implements http2.Reader.
func (k *check) OnHead(end bool) {
	if k.response.IsInformational() || !k.asking {
		return
	}
	k.status = k.response.Status
	if k.checker.config.HTTP != nil {
		k.head()
	} else {
		k.grpcOK = string(k.response.Get(http.GRPCStatus)) == "0"
	}
	if end {
		k.judge2()
	}
}

// OnBody implements http2.Reader.
func (k *check) OnBody(b []byte) int {
	if k.asking {
		room := maxMessage
		if h := k.checker.config.HTTP; h != nil {
			room = h.Room
		}
		k.received = append(k.received, b[:max(0, min(len(b), room-len(k.received)))]...)
	}
	return len(b)
}

// maxMessage bounds what is kept of an answer of gRPC: more than a HealthCheckResponse is none.
const maxMessage = 1 << 10

// OnTrailers implements http2.Reader.
func (k *check) OnTrailers(t *http.Header) { k.grpcOK = string(t.Get(http.GRPCStatus)) == "0" }

// OnEnd implements http2.Reader.
func (k *check) OnEnd() {
	if k.asking {
		k.judge2()
	}
}

// OnReset implements http2.Reader.
func (k *check) OnReset(http2.ErrCode, bool, bool) { k.finish(unreached, false) }

// OnRoom implements http2.Reader.
func (k *check) OnRoom() {}

var (
	_ http2.Owner  = (*check)(nil)
	_ http2.Reader = (*check)(nil)
)
