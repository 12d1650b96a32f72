package load

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Names of the protocols a Spec may ask for.
const (
	HTTP1 = "http1" // GET with keep-alive; the answer is a 2xx with exactly Body bytes
	TCP   = "tcp"   // 1 KiB out, exactly Body bytes back
	HTTP2 = "http2" // GETs by prior knowledge, Streams at once on each connection
	// GRPC is unary calls with a message of 100 bytes each way, GRPCStream one call for each stream whose messages come back one by one,
	// each of which counts as a request.
	GRPC       = "grpc"
	GRPCStream = "grpc-stream"
	// Dubbo is calls of Dubbo 2, Streams at once on each connection, with a text of Body bytes that has to come back.
	Dubbo = "dubbo"
	// Resets is an attack: streams of HTTP/2 that are reset as soon as they are opened.
	Resets = "resets"
)

// A Spec says what traffic to make. It travels to the load process as JSON.
type Spec struct {
	Address  netip.Addr    `json:"address,omitzero"` // an IPv4 one; none: 127.0.0.1. With HTTP1
	Port     int           `json:"port"`
	Protocol string        `json:"protocol"` // HTTP1 or TCP
	Path     string        `json:"path,omitempty"`
	Body     int           `json:"body"`              // bytes every answer must have
	Conns    int           `json:"conns"`             // connections, one request in flight on each
	Streams  int           `json:"streams,omitempty"` // or this many, where a connection can have more than one
	Unread   bool          `json:"unread,omitempty"`  // answers are asked for and never read; with Hold and HTTP2
	Rate     float64       `json:"rate,omitempty"`    // requests a second over all; 0: as fast as answers come
	Warm     time.Duration `json:"warm"`              // not counted
	Measure  time.Duration `json:"measure"`           // counted
	// Refusals has answers other than 2xx counted beside the others, whatever their length, instead of being faults.
	Refusals bool `json:"refusals,omitempty"`
	TLS      bool `json:"tls,omitempty"`
	// Handshakes makes each request a connection of its own, which ends when it has shaken hands; with TLS. Curve is the only one that is
	// offered, as TLS numbers it; 0: what crypto/tls likes.
	Handshakes bool   `json:"handshakes,omitempty"`
	Curve      uint16 `json:"curve,omitempty"`
	Hold       bool   `json:"hold,omitempty"` // one request per connection, then keep them all open
	Watch      []int  `json:"watch,omitempty"`
}

// A Result is what the client saw between the two ends of the measured window.
type Result struct {
	Requests uint64        `json:"requests"`          // complete, valid answers
	Refused  uint64        `json:"refused,omitempty"` // of them, those that are not 2xx; with Spec.Refusals
	Bytes    uint64        `json:"bytes,omitempty"`   // of answers, complete or not; of HTTP/2
	Elapsed  time.Duration `json:"elapsed_ns"`
	// Cost is the CPU time the watched processes spent inside the window, read by this process at
	// the very moments at which it reads its own counts.
	Cost     time.Duration `json:"cost_ns"`
	P50      time.Duration `json:"p50_ns"`
	P99      time.Duration `json:"p99_ns"`
	P999     time.Duration `json:"p999_ns"`
	Max      time.Duration `json:"max_ns"`
	Mean     time.Duration `json:"mean_ns"`
	LateP99  time.Duration `json:"late_p99_ns"` // how late this client sent what was due on a free connection
	Reopened uint64        `json:"reopened"`    // connections the peer closed between two requests, properly
	Faults   Faults        `json:"faults"`      // of the whole run, warm-up included
}

// Rate is the answers per second of the window.
func (r Result) Rate() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Requests) / r.Elapsed.Seconds()
}

// Faults counts what went wrong, by kind. One is enough to make a measurement worthless.
type Faults struct {
	Connect   uint64 `json:"connect"`   // a connection that could not be opened
	Reset     uint64 `json:"reset"`     // a connection lost with an error
	Short     uint64 `json:"short"`     // a connection closed inside an answer or instead of one
	Status    uint64 `json:"status"`    // an answer that is not 2xx
	Length    uint64 `json:"length"`    // an answer whose body is not as long as it should be
	Malformed uint64 `json:"malformed"` // bytes that are no answer, or that nobody asked for
}

// Total is the sum over all kinds.
func (f Faults) Total() uint64 {
	return f.Connect + f.Reset + f.Short + f.Status + f.Length + f.Malformed
}

// String names the kinds that occurred, or says "none".
func (f Faults) String() string {
	kinds := []struct {
		n    uint64
		name string
	}{
		{f.Connect, "failed connects"}, {f.Reset, "resets"}, {f.Short, "short answers"},
		{f.Status, "answers not 2xx"}, {f.Length, "wrong lengths"}, {f.Malformed, "malformed answers"},
	}
	text := ""
	for _, k := range kinds {
		if k.n == 0 {
			continue
		}
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf("%d %s", k.n, k.name)
	}
	if text == "" {
		return "none"
	}
	return text
}

// mostConns bounds a Spec: beyond it one address pair has no ephemeral ports left.
const mostConns = 20000

// mostStreams bounds those of a connection.
const mostStreams = 1024

// shared tells that many requests share a connection.
func (s Spec) shared() bool { return s.Protocol == HTTP2 || s.Protocol == Dubbo || s.grpc() }

func (s Spec) check() error {
	switch {
	case s.Port <= 0 || s.Port > 65535:
		return fmt.Errorf("load: port %d: want 1 to 65535", s.Port)
	case !slices.Contains([]string{HTTP1, TCP, HTTP2, GRPC, GRPCStream, Dubbo, Resets}, s.Protocol):
		return fmt.Errorf("load: protocol %q: want %q, %q, %q, %q, %q, %q or %q", s.Protocol, HTTP1, TCP, HTTP2, GRPC, GRPCStream, Dubbo, Resets)
	case s.shared() && (s.Streams <= 0 || s.Streams > mostStreams || s.TLS || s.Rate > 0):
		return fmt.Errorf("load: %d streams or calls on a connection: want 1 to %d, in plain text and as fast as answers come", s.Streams, mostStreams)
	case s.Protocol == Dubbo && (s.Hold || s.Body < mark || s.Body > maxText):
		return fmt.Errorf("load: texts of %d bytes in calls of Dubbo: want %d to %d, and not to be held", s.Body, mark, maxText)
	case s.Protocol != TCP && s.Protocol != Dubbo && (s.Path == "" || s.Path[0] != '/'):
		return fmt.Errorf("load: path %q: want one that begins with a slash", s.Path)
	case s.Address.IsValid() && (s.Protocol != HTTP1 || s.TLS || !s.Address.Is4()):
		return fmt.Errorf("load: address %s: want one of IPv4, for HTTP/1.1 in plain text", s.Address)
	case s.Body <= 0:
		return fmt.Errorf("load: body of %d bytes: want at least 1", s.Body)
	case s.Conns <= 0 || s.Conns > mostConns:
		return fmt.Errorf("load: %d connections: want 1 to %d", s.Conns, mostConns)
	case s.TLS && (s.Rate > 0 || s.Protocol != HTTP1):
		return fmt.Errorf("load: over TLS there is HTTP/1.1 as fast as answers come, and nothing else")
	case s.Rate < 0:
		return fmt.Errorf("load: rate %g: want 0 or more", s.Rate)
	case !s.Hold && s.Measure <= 0:
		return fmt.Errorf("load: measured time %v: want more than 0", s.Measure)
	}
	return nil
}
