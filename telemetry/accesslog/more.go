package accesslog

import (
	"bytes"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"
)

// More is what an entry tells only where a format asks for it, since to find it out costs something. Whoever fills entries does so only if
// Asked; without it, what is told of it is what an exchange without an upstream would tell.
type More struct {
	Listener       string
	Resolutions    uint32        // how often a route was looked for
	Resolving      time.Duration // and how long that took
	Ready          time.Duration // what the last attempt waited for its connection; negative: it still does
	Chosen         bool          // there was an attempt
	Lent           bool          // and the last one got a connection
	Tried          []Tried       // of TCP: every endpoint
	Received, From HeadBytes     // of heads that came, downstream and upstream
	Sent, To       HeadBytes     // and of those that we sent
	Reset          Reset         // of the downstream connection
	UpstreamReset  Reset
	Closed         string // why we closed the downstream connection
	UpstreamClosed string

	Accepted, Gone     Instant // the downstream connection came, and ended before the exchange had or with its tunnel
	RequestHead        Instant // the request's head was whole
	Dialled, Connected Instant // the upstream connection that the last attempt got
	Shaking, Shaken    Instant // the downstream connection's TLS handshake began, and stood
	UpstreamShaken     Instant // that of the upstream connection stood
	UpstreamBody       Instant // the first of its response's body came
}

// Tried is an endpoint that an attempt was made with.
type Tried struct {
	Address netip.AddrPort
	Path    string // instead of the address for Unix sockets
	Name    string
}

// HeadBytes are what fields of heads and trailers take. In HTTP/2 Fields are those of frames that carry them, and Heads names and values.
// In HTTP/1 Fields are both with what separates them, and Heads are Envoy's bytes after decompression, which HTTP/1 does not know: what has
// come so far is added whenever a head is whole, so that a second head counts the first one again.
type HeadBytes struct{ Fields, Heads uint64 }

// Reset is whether a connection was reset, and by whom.
type Reset uint8

// The resets.
const (
	NotReset Reset = iota
	ResetByPeer
	ResetByUs
)

var resets = [...]string{"Normal", "RemoteReset", "LocalReset"}

// Begin forgets everything but the memory.
func (m *More) Begin(listener string) {
	*m = More{Listener: listener, Ready: -1, Tried: m.Tried[:0]}
}

// asked tells whether some format of the process asks for More. A format is compiled before anything can use it, and what one has asked for
// once is asked for ever: that a configuration is gone takes nothing back but a little time.
var asked atomic.Bool

// Ask has entries tell of More from now on.
func Ask() { asked.Store(true) }

// Asked tells whether any format asks for More.
func Asked() bool { return asked.Load() }

// none is what there is of an entry for which nobody asked.
var none = More{Ready: -1}

// more is the value of the operators that tell of More.
func (o *operator) more(dst []byte, e *Entry) (out []byte, raw, ok bool) {
	m := e.More
	if m == nil {
		m = &none
	}
	switch o.kind {
	case opListener:
		return append(dst, m.Listener...), false, m.Listener != ""
	case opResolutions:
		return appendUint(dst, uint64(m.Resolutions))
	case opResolving:
		return strconv.AppendInt(dst, m.Resolving.Microseconds(), 10), true, m.Resolutions > 0
	case opReady:
		return strconv.AppendInt(dst, max(m.Ready, 0).Milliseconds(), 10), true, m.Ready >= 0
	case opHeadReceived:
		return appendUint(dst, m.Received.of(o.decoded))
	case opHeadSent:
		return appendUint(dst, m.Sent.of(o.decoded))
	case opUpstreamHeadReceived:
		return appendUint(dst, m.From.of(o.decoded))
	case opUpstreamHeadSent:
		return appendUint(dst, m.To.of(o.decoded))
	case opReset:
		return append(dst, resets[m.Reset]...), false, true
	case opUpstreamReset:
		return append(dst, resets[m.UpstreamReset]...), false, m.Chosen
	case opClosed:
		return append(dst, m.Closed...), false, m.Closed != ""
	case opUpstreamClosed:
		return append(dst, m.UpstreamClosed...), false, m.UpstreamClosed != ""
	case opShaken:
		// Of an exchange it is negative, with Envoy: its connection stood before it began.
		return strconv.AppendInt(dst, m.Shaken.since.Milliseconds(), 10), true, m.Shaken.happened
	case opTriedConnections:
		return strconv.AppendUint(dst, e.UpstreamConnectionID, 10), false, m.Lent
	}
	return o.tried(dst, e, m) // opTried, opTriedNames
}

// tried lists the endpoints of all attempts of a TCP proxy. Of an exchange Envoy knows only the last one, once it has its connection.
func (o *operator) tried(dst []byte, e *Entry, m *More) ([]byte, bool, bool) {
	list := m.Tried
	if e.HasProtocol {
		if !m.Lent {
			return dst, false, false
		}
		list = []Tried{{Address: e.UpstreamHost, Path: e.UpstreamPath, Name: e.UpstreamName}}
	}
	for i := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst, _, _ = o.endpoint(dst, &list[i])
	}
	return dst, false, len(list) > 0
}

// endpoint writes an endpoint's address, or its name if it has one and that is asked for.
func (o *operator) endpoint(dst []byte, t *Tried) ([]byte, bool, bool) {
	if o.kind != opTried && t.Name != "" {
		name := t.Name
		if o.part == hostOnly {
			name = withoutPort(name)
		}
		return append(dst, name...), false, true
	}
	return appendAddress(dst, t.Address, t.Path, o.part)
}

// withoutPort takes a port off a name.
func withoutPort(name string) string {
	for i := len(name) - 1; i > 0 && (name[i] >= '0' && name[i] <= '9' || name[i] == ':'); i-- {
		if name[i] == ':' {
			return name[:i]
		}
	}
	return name
}

func (h *HeadBytes) of(decoded bool) uint64 {
	if decoded {
		return h.Heads
	}
	return h.Fields
}

// Head counts a head's fields: what they took, and their frames, of which HTTP/1 has none. Where there are no fields, Envoy takes the empty
// line for one without a name.
func (h *HeadBytes) Head(fields, wire int) {
	if wire > 0 {
		h.Frames(fields, wire)
		return
	}
	h.Fields += uint64(max(fields, len(":\r\n")))
	h.Heads += h.Fields
}

// Trailers counts those of trailers.
func (h *HeadBytes) Trailers(fields, wire int) {
	if wire > 0 {
		h.Frames(fields, wire)
		return
	}
	h.Fields += uint64(fields)
}

// Frames counts a head or trailers of HTTP/2: names and values, and the frames that carried them.
func (h *HeadBytes) Frames(decoded, wire int) {
	h.Fields += uint64(wire)
	h.Heads += uint64(decoded)
}

// Written counts what was written of HTTP/1.
func (h *HeadBytes) Written(n int) { h.Frames(n, n) }

// FieldBytes are the bytes of the fields in a head that is written whole: all but its first line and the empty one.
func FieldBytes(head []byte) int {
	if len(head) == 0 {
		return 0 // nothing was written: the bytes are a tunnel's
	}
	return len(head) - bytes.IndexByte(head, '\n') - 1 - len("\r\n")
}
