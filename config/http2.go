package config

import "time"

// HTTP2 is how HTTP/2 is spoken on one side. All of it is set, to Envoy's defaults where nothing was said.
type HTTP2 struct {
	HeaderTable uint32 // bytes of the dynamic table of HPACK, of either direction; 0: there is none
	MaxStreams  uint32 // at once on a connection: what the peer is told, and, upstream, what we open at most; at least 1
	// StreamWindow and ConnectionWindow are up to what the peer may send before it is read; from 65,535 to 2³¹-1 bytes.
	StreamWindow, ConnectionWindow uint32
	MaxFrame                       uint32 // bytes of a frame that the peer may send; from 16,384 to 2²⁴-1
	Connect                        bool   // extended CONNECT (RFC 8441) is announced
	StreamErrors                   bool   // a malformed message ends its stream only
	// Settings are sent beside those that fields stand for, and have no other effect.
	Settings []HTTP2Setting
	Alive    *HTTP2Alive // nil: nobody is asked whether the connection stands

	// What ends a connection because it makes work.
	MaxOutbound        uint32 // frames of any kind that wait to be written; at least 1
	MaxOutboundControl uint32 // of those, PING, SETTINGS and RST_STREAM; at least 1
	MaxEmpty           uint32 // frames in a row of HEADERS, CONTINUATION and DATA that hold nothing and end nothing
	MaxPriority        uint32 // PRIORITY frames for each stream that was opened, and one more
	MaxWindowUpdates   uint32 // WINDOW_UPDATE frames for each DATA frame that was sent; at least 1
	// ResetBurst resets of streams may come at once, and ResetRate more each second. Downstream only.
	ResetBurst, ResetRate uint64
}

// HTTP2Setting is a parameter of a SETTINGS frame (RFC 9113 §6.5.1).
type HTTP2Setting struct {
	ID    uint16
	Value uint32
}

// HTTP2Alive asks the peer of a connection whether it is there, by PING.
type HTTP2Alive struct {
	Interval time.Duration // 0: not again and again
	Jitter   float64       // a random part of Interval, up to this much of it, is added
	Timeout  time.Duration // of the answer; it begins anew with every frame that comes
	Idle     time.Duration // before a stream is opened on a connection that was idle for so long; 0: not
}

// Codec is which version of HTTP a listener's connections speak.
type Codec uint8

// The codecs.
const (
	CodecAuto  Codec = iota // as ALPN says, or else as the first bytes do
	CodecHTTP1              // HTTP/1, whatever ALPN says
	CodecHTTP2              // HTTP/2, whatever ALPN says
)

// Protocol is which version of HTTP a cluster's endpoints are spoken to in. HTTP2 is filled whatever Mode says.
type Protocol struct {
	Mode  ProtocolMode
	HTTP2 HTTP2
}

// ProtocolMode is how the version is chosen.
type ProtocolMode uint8

// The modes.
const (
	ProtocolHTTP1 ProtocolMode = iota
	ProtocolHTTP2
	ProtocolAsDownstream // as the client's request came; HTTP/1 for what no client has asked for
	ProtocolDubbo        // no version of HTTP but Dubbo 2, for requests that a filter has made calls of
	ProtocolByALPN       // as the endpoint answers to h2 and http/1.1; all of the cluster's transport sockets speak TLS
)
