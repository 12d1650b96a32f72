package http2

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func frame(kind, flags byte, id uint32, payload ...[]byte) []byte {
	p := bytes.Join(payload, nil)
	return append(appendFrameHead(nil, len(p), kind, flags, id), p...)
}

// block spells fields as no sound encoder would: nothing is checked, nothing indexed.
func block(fields ...string) []byte {
	var b []byte
	for i := 0; i < len(fields); i += 2 {
		b = spelledAsIs(b, fields[i], fields[i+1])
	}
	return b
}

func spelledAsIs(b []byte, name, value string) []byte {
	b = appendInteger(append(b, 0), 0, 0x7f, uint64(len(name)))
	b = appendInteger(append(b, name...), 0, 0x7f, uint64(len(value)))
	return append(b, value...)
}

var getFields = []string{":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/"}

func get(more ...string) []byte { return block(append(getFields[:8:8], more...)...) }
func post(more ...string) []byte {
	return block(append([]string{":method", "POST", ":scheme", "http", ":authority", "a", ":path", "/"}, more...)...)
}

const endBoth = flagEndStream | flagEndHeaders

func headers(id uint32, flags byte, b []byte) []byte { return frame(frameHeaders, flags, id, b) }
func data(id uint32, flags byte, b string) []byte    { return frame(frameData, flags, id, []byte(b)) }
func rst(id uint32, code ErrCode) []byte {
	return frame(frameReset, 0, id, appendUint32(nil, uint32(code)))
}
func update(id, n uint32) []byte { return frame(frameWindowUpdate, 0, id, appendUint32(nil, n)) }
func goAway(last uint32, code ErrCode) []byte {
	return frame(frameGoAway, 0, 0, appendUint32(appendUint32(nil, last), uint32(code)))
}

func setting(pairs ...uint32) []byte {
	var p []byte
	for i := 0; i < len(pairs); i += 2 {
		p = appendUint32(append(p, byte(pairs[i]>>8), byte(pairs[i])), pairs[i+1])
	}
	return frame(frameSettings, 0, 0, p)
}

var settingsAck = frame(frameSettings, flagAck, 0)

func times(n int, b ...[]byte) []byte { return bytes.Repeat(bytes.Join(b, nil), n) }

func each(n int, f func(i uint32) []byte) []byte {
	var b []byte
	for i := range n {
		b = append(b, f(uint32(i))...)
	}
	return b
}

// showFrames says what frames are, but for SETTINGS of our own and WINDOW_UPDATE of the connection; the same ones behind one another once, with their number.
func showFrames(b []byte) string {
	var lines []string
	for len(b) >= frameHead {
		n := int(b[0])<<16 | int(b[1])<<8 | int(b[2])
		kind, flags, id, p := b[3], b[4], uint32At(b[5:]), b[frameHead:frameHead+n]
		b = b[frameHead+n:]
		line := ""
		switch kind {
		case frameData:
			line = fmt.Sprintf("DATA %d %d", id, n)
		case frameHeaders:
			line = fmt.Sprintf("HEADERS %d", id)
		case frameReset:
			line = fmt.Sprintf("RST_STREAM %d %v", id, ErrCode(uint32At(p)))
		case frameGoAway:
			line = fmt.Sprintf("GOAWAY %d %v", uint32At(p), ErrCode(uint32At(p[4:])))
		case framePing:
			line = "PING"
		case frameWindowUpdate:
			if id == 0 {
				continue
			}
			line = fmt.Sprintf("WINDOW_UPDATE %d %d", id, uint32At(p))
		case frameSettings:
			if flags&flagAck == 0 {
				continue
			}
			line = "SETTINGS"
		}
		if kind <= frameHeaders && flags&flagEndStream != 0 {
			line += " end"
		} else if flags&flagAck != 0 && kind == framePing {
			line += " ack"
		}
		lines = append(lines, line)
	}
	var out []string
	for i := 0; i < len(lines); {
		n := 1
		for i+n < len(lines) && lines[i+n] == lines[i] {
			n++
		}
		if out = append(out, lines[i]); n > 1 {
			out[len(out)-1] += fmt.Sprintf(" *%d", n)
		}
		i += n
	}
	return strings.Join(out, "; ")
}

// hostile are inputs of a client, after its preface and its SETTINGS, what a server hears, says, and holds against it. It answers each whole request with 200
// and "hello".
var hostile = []struct {
	name    string
	options Options
	in      func() []byte
	heard   string
	said    string
	fault   Code
	counts  Counts
}{
	{name: "nothing wrong", in: func() []byte { return headers(1, endBoth, get("a", "b")) },
		heard: "1: GET http a / a=b end", said: "HEADERS 1; DATA 1 5 end"},
	{name: "rapid reset", in: func() []byte {
		return each(1000, func(i uint32) []byte {
			return append(headers(2*i+1, flagEndHeaders, get()), rst(2*i+1, Cancel)...)
		})
	}, heard: "*", said: "", counts: Counts{ResetsReceived: 1000}},
	{name: "a stream is made to be reset by an increment of 0", in: func() []byte { return bytes.Join([][]byte{headers(1, flagEndHeaders, post()), update(1, 0)}, nil) },
		heard: "1: POST http a /; 1: reset PROTOCOL_ERROR local (http2: read WINDOW_UPDATE: an increment of 0 for a stream)",
		said:  "RST_STREAM 1 PROTOCOL_ERROR", counts: Counts{ResetsSent: 1, ResetsProvoked: 1}},
	{name: "a stream is made to be reset by a window too large", in: func() []byte {
		return bytes.Join([][]byte{headers(1, flagEndHeaders, post()), update(1, largest)}, nil)
	},
		heard: "1: POST http a /; 1: reset FLOW_CONTROL_ERROR local (http2: read WINDOW_UPDATE: the stream's window exceeds 2^31-1)",
		said:  "RST_STREAM 1 FLOW_CONTROL_ERROR", counts: Counts{ResetsSent: 1, ResetsProvoked: 1}},
	{name: "a stream is made to be reset by data after its end", options: Options{MaxConcurrentStreams: 1}, in: func() []byte {
		return bytes.Join([][]byte{headers(1, endBoth, get("wait", "")), data(1, 0, "x"), data(1, 0, "on its way")}, nil)
	}, heard: "1: GET http a / wait= end; 1: reset STREAM_CLOSED local (http2: read frame: DATA or HEADERS behind END_STREAM)",
		said: "RST_STREAM 1 STREAM_CLOSED", counts: Counts{ResetsSent: 1, ResetsProvoked: 1, IgnoredFrames: 1}},
	{name: "a stream is made to be reset by a head after its end", in: func() []byte {
		return bytes.Join([][]byte{headers(1, endBoth, get("wait", "")), headers(1, endBoth, get())}, nil)
	}, heard: "1: GET http a / wait= end; 1: reset STREAM_CLOSED local (http2: read frame: DATA or HEADERS behind END_STREAM)",
		said: "RST_STREAM 1 STREAM_CLOSED", counts: Counts{ResetsSent: 1, ResetsProvoked: 1}},
	{name: "a stream is made to be reset by PRIORITY", in: func() []byte {
		return bytes.Join([][]byte{headers(1, flagEndHeaders, post()), frame(framePriority, 0, 1, []byte{1})}, nil)
	}, heard: "1: POST http a /; 1: reset FRAME_SIZE_ERROR local (http2: read PRIORITY: not of five bytes)",
		said: "RST_STREAM 1 FRAME_SIZE_ERROR", counts: Counts{ResetsSent: 1, ResetsProvoked: 1}},
	{name: "more than a stream's window", in: func() []byte {
		return bytes.Join([][]byte{settingsAck, headers(1, flagEndHeaders, post("keep", "")), times(4, data(1, 0, strings.Repeat("x", 16384))), data(1, 0, "x")}, nil)
	}, heard: "1: POST http a / keep=; 1: reset FLOW_CONTROL_ERROR local (http2: read DATA: more than the stream's window)",
		said: "RST_STREAM 1 FLOW_CONTROL_ERROR", counts: Counts{ResetsSent: 1, ResetsProvoked: 1}},
	{name: "more than the connection's window", options: Options{MaxConnWindow: 1}, in: func() []byte {
		return bytes.Join([][]byte{settingsAck, headers(1, flagEndHeaders, post("keep", "")), headers(3, flagEndHeaders, post("keep", "")),
			times(2, data(1, 0, strings.Repeat("x", 16384))), times(2, data(3, 0, strings.Repeat("x", 16384)))}, nil)
	}, heard: "1: POST http a / keep=; 3: POST http a / keep=", said: "GOAWAY 3 FLOW_CONTROL_ERROR", fault: WindowExceeded},

	{name: "CONTINUATION without end", in: func() []byte {
		return append(headers(1, 0, get()), times(100000, frame(frameContinuation, 0, 1, block("a", "b")))...)
	}, said: "GOAWAY 0 ENHANCE_YOUR_CALM", fault: BlockTooLong, counts: Counts{HeaderOverflow: 1}},
	{name: "CONTINUATION of one endless field", in: func() []byte {
		return append(headers(1, 0, []byte{0x00, 0x01, 'a', 0x7f, 0xff, 0xff, 0xff, 0x7f}), times(100, frame(frameContinuation, 0, 1, make([]byte, 10000)))...)
	}, said: "GOAWAY 0 ENHANCE_YOUR_CALM", fault: BlockTooLong, counts: Counts{HeaderOverflow: 1}},
	{name: "empty CONTINUATION", in: func() []byte { return append(headers(1, 0, get()), times(10, frame(frameContinuation, 0, 1))...) },
		said: "GOAWAY 0 ENHANCE_YOUR_CALM", fault: EmptyFrames, counts: Counts{EmptyFrames: 1}},
	{name: "a head in several frames that is too large", in: func() []byte {
		return bytes.Join([][]byte{headers(1, flagEndStream, get()), times(7, frame(frameContinuation, 0, 1, block("a", strings.Repeat("x", 10000)))),
			frame(frameContinuation, flagEndHeaders, 1, append([]byte{0x40, 1, 'k', 1}, "v"...)), headers(3, endBoth, append(get(), 0xbe))}, nil)
	}, heard: "1: reset INTERNAL_ERROR local (http2: read head or trailers: more bytes than allowed); 3: GET http a / k=v end",
		said: "RST_STREAM 1 INTERNAL_ERROR; HEADERS 3; DATA 3 5 end", counts: Counts{HeaderOverflow: 1, ResetsSent: 1, ResetsProvoked: 1}},
	{name: "another frame within a block", in: func() []byte { return append(headers(1, 0, get()), frame(framePing, 0, 0, make([]byte, 8))...) },
		said: "GOAWAY 0 PROTOCOL_ERROR", fault: OpenBlock},
	{name: "an unknown frame within a block", in: func() []byte { return append(headers(1, 0, get()), frame(0x0b, 0, 0)...) },
		said: "GOAWAY 0 PROTOCOL_ERROR", fault: OpenBlock},
	{name: "CONTINUATION of another stream", in: func() []byte { return append(headers(1, 0, get()), frame(frameContinuation, 0, 3)...) },
		said: "GOAWAY 0 PROTOCOL_ERROR", fault: OpenBlock},
	{name: "CONTINUATION of nothing", in: func() []byte { return frame(frameContinuation, 0, 1) }, said: "GOAWAY 0 PROTOCOL_ERROR", fault: LostContinuation},

	{name: "SETTINGS that are not read", in: func() []byte { return times(3000, setting()) }, said: "SETTINGS *1501; GOAWAY 0 ENHANCE_YOUR_CALM",
		fault: ControlFlood, counts: Counts{ControlFlood: 1}},
	{name: "PING that is not read", in: func() []byte { return times(3000, frame(framePing, 0, 0, make([]byte, 8))) },
		said: "PING ack *1501; GOAWAY 0 ENHANCE_YOUR_CALM", fault: ControlFlood, counts: Counts{ControlFlood: 1}},
	{name: "resets that are not read", in: func() []byte {
		return each(3000, func(i uint32) []byte { return append(headers(2*i+1, flagEndHeaders, post()), update(2*i+1, 0)...) })
	}, heard: "*", said: "*", fault: ControlFlood, counts: Counts{ControlFlood: 1, ResetsSent: 1501, ResetsProvoked: 1501}},
	{name: "empty DATA", in: func() []byte { return append(headers(1, flagEndHeaders, post()), times(10, data(1, 0, ""))...) },
		heard: "1: POST http a /", said: "GOAWAY 1 ENHANCE_YOUR_CALM", fault: EmptyFrames, counts: Counts{EmptyFrames: 1}},
	{name: "empty DATA for a stream that was reset", in: func() []byte {
		return bytes.Join([][]byte{headers(1, flagEndHeaders, post()), update(1, 0), times(10, data(1, 0, ""))}, nil)
	}, heard: "*", said: "RST_STREAM 1 PROTOCOL_ERROR; GOAWAY 1 ENHANCE_YOUR_CALM", fault: EmptyFrames,
		counts: Counts{EmptyFrames: 1, ResetsSent: 1, ResetsProvoked: 1, IgnoredFrames: 1}},
	{name: "empty DATA with padding", in: func() []byte {
		return append(headers(1, flagEndHeaders, post()), times(10, frame(frameData, flagPadded, 1, []byte{3, 0, 0, 0}))...)
	}, heard: "1: POST http a /", said: "GOAWAY 1 ENHANCE_YOUR_CALM", fault: EmptyFrames, counts: Counts{EmptyFrames: 1}},
	{name: "PRIORITY", in: func() []byte { return times(200, frame(framePriority, 0, 1, make([]byte, 5))) }, said: "GOAWAY 0 ENHANCE_YOUR_CALM",
		fault: PriorityFlood, counts: Counts{PriorityFlood: 1}},
	{name: "PRIORITY_UPDATE", in: func() []byte { return times(200, frame(framePriorityUpdate, 0, 0, []byte{0, 0, 0, 1}, []byte("u=3"))) },
		said: "GOAWAY 0 ENHANCE_YOUR_CALM", fault: PriorityFlood, counts: Counts{PriorityFlood: 1}},
	{name: "WINDOW_UPDATE", in: func() []byte { return times(200, update(0, 1)) }, said: "GOAWAY 0 ENHANCE_YOUR_CALM", fault: WindowUpdateFlood,
		counts: Counts{WindowUpdateFlood: 1}},
	{name: "alternating HEADER_TABLE_SIZE", in: func() []byte {
		return append(times(300, setting(SettingHeaderTableSize, 0, SettingHeaderTableSize, 4096)), headers(1, endBoth, get())...)
	}, heard: "1: GET http a / end", said: "SETTINGS *300; HEADERS 1; DATA 1 5 end"},

	{name: "unknown frames", in: func() []byte {
		return append(each(6, func(i uint32) []byte { return frame(byte(10+i), 0xff, i, []byte("what is this")) }), headers(1, endBoth, get())...)
	}, heard: "1: GET http a / end", said: "HEADERS 1; DATA 1 5 end", counts: Counts{IgnoredFrames: 6}},
	{name: "MAX_FRAME_SIZE of 0", in: func() []byte { return setting(SettingMaxFrameSize, 0) }, said: "GOAWAY 0 PROTOCOL_ERROR", fault: BadSetting},
	{name: "MAX_FRAME_SIZE too large", in: func() []byte { return setting(SettingMaxFrameSize, 1<<24) }, said: "GOAWAY 0 PROTOCOL_ERROR", fault: BadSetting},
	{name: "INITIAL_WINDOW_SIZE too large", in: func() []byte { return setting(SettingInitialWindowSize, 1<<31) }, said: "GOAWAY 0 FLOW_CONTROL_ERROR", fault: BadInitialWindow},
	{name: "ENABLE_PUSH of 2", in: func() []byte { return setting(SettingEnablePush, 2) }, said: "GOAWAY 0 PROTOCOL_ERROR", fault: BadSetting},
	{name: "ENABLE_CONNECT taken back", in: func() []byte { return setting(SettingEnableConnectProtocol, 1, SettingEnableConnectProtocol, 0) },
		said: "GOAWAY 0 PROTOCOL_ERROR", fault: BadSetting},
	{name: "SETTINGS of seven bytes", in: func() []byte { return frame(frameSettings, 0, 0, make([]byte, 7)) }, said: "GOAWAY 0 FRAME_SIZE_ERROR", fault: BadFrameSize},
	{name: "SETTINGS acknowledged twice", in: func() []byte { return times(2, settingsAck) }, said: "GOAWAY 0 PROTOCOL_ERROR", fault: UnaskedAck},
	{name: "a frame too large", in: func() []byte { return appendFrameHead(nil, 16385, frameData, 0, 1) }, said: "GOAWAY 0 FRAME_SIZE_ERROR", fault: FrameTooLarge},
	{name: "a large head of which nothing has come", options: Options{MaxFrameSize: 1 << 20}, in: func() []byte { return appendFrameHead(nil, 1<<18, frameHeaders, 0, 1) },
		said: "GOAWAY 0 ENHANCE_YOUR_CALM", fault: BlockTooLong, counts: Counts{HeaderOverflow: 1}},
	{name: "large SETTINGS of which nothing has come", options: Options{MaxFrameSize: 1 << 20}, in: func() []byte { return appendFrameHead(nil, 1<<18, frameSettings, 0, 0) },
		said: "GOAWAY 0 FRAME_SIZE_ERROR", fault: BadFrameSize},
	{name: "DATA in a large frame", options: Options{MaxFrameSize: 1 << 20}, in: func() []byte {
		return append(headers(1, flagEndHeaders, post()), data(1, flagEndStream, strings.Repeat("x", 60000))...)
	}, heard: `1: POST http a /; 1: body of 60000 "xxxxxxxxxxxxxxxxxxxx"; 1: end`, said: "HEADERS 1; DATA 1 5 end"},
	{name: "padding as long as the frame", in: func() []byte {
		return append(headers(1, flagEndHeaders, post()), frame(frameData, flagPadded, 1, []byte{3, 0, 0})...)
	},
		heard: "1: POST http a /", said: "GOAWAY 1 PROTOCOL_ERROR", fault: BadPadding},
	{name: "padding as long as the head", in: func() []byte { return frame(frameHeaders, flagPadded|flagEndHeaders, 1, []byte{1}) }, said: "GOAWAY 0 PROTOCOL_ERROR", fault: BadPadding},
	{name: "PUSH_PROMISE", in: func() []byte { return frame(framePushPromise, flagEndHeaders, 1, []byte{0, 0, 0, 2}) }, said: "GOAWAY 0 PROTOCOL_ERROR", fault: PushPromise},
	{name: "DATA for a stream that was not opened", in: func() []byte { return data(1, 0, "x") }, said: "GOAWAY 0 PROTOCOL_ERROR", fault: IdleStream},
	{name: "RST_STREAM for a stream that was not opened", in: func() []byte { return rst(1, Cancel) }, said: "GOAWAY 0 PROTOCOL_ERROR", fault: IdleStream},
	{name: "WINDOW_UPDATE for a stream that was not opened", in: func() []byte { return update(1, 1) }, said: "GOAWAY 0 PROTOCOL_ERROR", fault: IdleStream},
	{name: "WINDOW_UPDATE of 0", in: func() []byte { return update(0, 0) }, said: "GOAWAY 0 PROTOCOL_ERROR", fault: ZeroWindowUpdate},
	{name: "WINDOW_UPDATE too large", in: func() []byte { return update(0, largest) }, said: "GOAWAY 0 FLOW_CONTROL_ERROR", fault: WindowOverflow},
	{name: "an even stream", in: func() []byte { return headers(2, endBoth, get()) }, said: "GOAWAY 0 PROTOCOL_ERROR", fault: BadStreamID},
	{name: "a head for no stream", in: func() []byte { return headers(0, endBoth, get()) }, said: "GOAWAY 0 PROTOCOL_ERROR", fault: BadStreamID},
	{name: "a stream below another", in: func() []byte { return append(headers(3, endBoth, get()), headers(1, endBoth, get())...) },
		heard: "3: GET http a / end", said: "HEADERS 3; DATA 3 5 end; GOAWAY 3 STREAM_CLOSED", fault: ClosedStream},
	{name: "DATA behind the end of both", in: func() []byte { return append(headers(1, endBoth, get()), data(1, 0, "x")...) },
		heard: "1: GET http a / end", said: "HEADERS 1; DATA 1 5 end; GOAWAY 1 STREAM_CLOSED", fault: ClosedStream},
	{name: "WINDOW_UPDATE and RST_STREAM behind the end of both", in: func() []byte {
		return bytes.Join([][]byte{headers(1, endBoth, get()), update(1, 1), rst(1, NoError)}, nil)
	}, heard: "1: GET http a / end", said: "HEADERS 1; DATA 1 5 end", counts: Counts{IgnoredFrames: 1}},
	{name: "more streams than allowed", options: Options{MaxConcurrentStreams: 2}, in: func() []byte {
		return each(4, func(i uint32) []byte {
			return headers(2*i+1, flagEndHeaders, append(post(), 0x40, 1, 'k', 1, 'a'+byte(i)))
		})
	}, heard: "1: POST http a / k=a; 3: POST http a / k=b", said: "RST_STREAM 5 REFUSED_STREAM; RST_STREAM 7 REFUSED_STREAM", counts: Counts{Refused: 2, ResetsSent: 2}},
	{name: "the table after a refused stream", options: Options{MaxConcurrentStreams: 1}, in: func() []byte {
		return bytes.Join([][]byte{headers(1, flagEndHeaders, post()), headers(3, flagEndHeaders, append(post(), 0x40, 1, 'k', 1, 'a')),
			headers(1, endBoth, []byte{0xbe})}, nil)
	}, heard: "1: POST http a /; 1: trailers k=a; 1: end", said: "RST_STREAM 3 REFUSED_STREAM; HEADERS 1; DATA 1 5 end",
		counts: Counts{Refused: 1, ResetsSent: 1, Trailers: 1}},

	{name: "HPACK bomb", in: func() []byte {
		b := append(get(), 0x40, 1, 'k', 0x7f, 0xa1, 0x1e)
		b = append(append(b, bytes.Repeat([]byte("v"), 4000)...), bytes.Repeat([]byte{0xbe}, 12000)...)
		return append(headers(1, endBoth, b), headers(3, endBoth, get())...)
	}, heard: "1: reset INTERNAL_ERROR local (http2: read head or trailers: more bytes than allowed); 3: GET http a / end",
		said: "RST_STREAM 1 INTERNAL_ERROR; HEADERS 3; DATA 3 5 end", counts: Counts{HeaderOverflow: 1, ResetsSent: 1, ResetsProvoked: 1}},
	{name: "many fields by index", in: func() []byte { return headers(1, endBoth, append(get(), bytes.Repeat([]byte{0x80 | 19}, 100)...)) },
		heard: "1: reset INTERNAL_ERROR local (http2: read head or trailers: more fields than allowed)",
		said:  "RST_STREAM 1 INTERNAL_ERROR", counts: Counts{HeaderOverflow: 1, ResetsSent: 1, ResetsProvoked: 1}},
	{name: "cookie crumbs by index", in: func() []byte {
		b := append(get(), 0x60, 0x7f, 0xa1, 0x1e) // cookie with indexing, 4000 bytes
		b = append(append(b, bytes.Repeat([]byte("v"), 4000)...), bytes.Repeat([]byte{0xbe}, 20)...)
		return headers(1, endBoth, b)
	}, heard: "1: reset INTERNAL_ERROR local (http2: read head or trailers: more bytes than allowed)",
		said: "RST_STREAM 1 INTERNAL_ERROR", counts: Counts{HeaderOverflow: 1, ResetsSent: 1, ResetsProvoked: 1}},
	{name: "empty cookie crumbs", in: func() []byte { return headers(1, endBoth, append(get(), bytes.Repeat([]byte{0x80 | 32}, 1000)...)) },
		heard: "1: reset INTERNAL_ERROR local (http2: read head or trailers: more fields than allowed)",
		said:  "RST_STREAM 1 INTERNAL_ERROR", counts: Counts{HeaderOverflow: 1, ResetsSent: 1, ResetsProvoked: 1}},
	{name: "cookie crumbs", in: func() []byte {
		return headers(1, endBoth, get("cookie", "a=b", "x", "y", "cookie", "", "cookie", "c=d"))
	},
		heard: "1: GET http a / cookie=a=b; ; c=d x=y end", said: "HEADERS 1; DATA 1 5 end", counts: Counts{JoinedCookies: 2}},
	{name: "trailers bomb", in: func() []byte {
		b := append([]byte{0x40, 1, 'k', 0x7f, 0xa1, 0x1e}, bytes.Repeat([]byte("v"), 4000)...)
		return append(headers(1, flagEndHeaders, post()), headers(1, endBoth, append(b, bytes.Repeat([]byte{0xbe}, 1000)...))...)
	}, heard: "1: POST http a /; 1: reset INTERNAL_ERROR local (http2: read head or trailers: more bytes than allowed)",
		said: "RST_STREAM 1 INTERNAL_ERROR", counts: Counts{HeaderOverflow: 1, ResetsSent: 1, ResetsProvoked: 1}},
	{name: "a broken block", in: func() []byte { return headers(1, endBoth, []byte{0xff}) }, heard: "", said: "GOAWAY 1 COMPRESSION_ERROR", fault: CutBlock},
	{name: "index 0", in: func() []byte { return headers(1, endBoth, []byte{0x80}) }, said: "GOAWAY 1 COMPRESSION_ERROR", fault: BadIndex},
	{name: "a table too large", in: func() []byte { return headers(1, endBoth, []byte{0x3f, 0xe2, 0x1f}) }, said: "GOAWAY 1 COMPRESSION_ERROR", fault: BadTableSize},
	{name: "a table too large for a small one", options: Options{HeaderTableSize: 100}, in: func() []byte {
		return append(bytes.Clone(settingsAck), headers(1, endBoth, []byte{0x3f, 0xe1, 0x1f})...)
	}, said: "GOAWAY 1 COMPRESSION_ERROR", fault: BadTableSize},

	{name: "trailers without END_STREAM", in: func() []byte {
		return append(headers(1, flagEndHeaders, post()), headers(1, flagEndHeaders, block("a", "b"))...)
	},
		heard: "1: POST http a /; 1: reset PROTOCOL_ERROR local (http2: read trailers: without END_STREAM)",
		said:  "RST_STREAM 1 PROTOCOL_ERROR", counts: Counts{ResetsSent: 1, ResetsProvoked: 1, MessagingErrors: 1}},
	{name: "trailers that frame or route", in: func() []byte {
		return append(headers(1, flagEndHeaders, post()), headers(1, endBoth, block("content-length", "5", "host", "b", "x", "y", "te", "trailers", "cookie", "a"))...)
	}, heard: "1: POST http a /; 1: trailers x=y; 1: end", said: "HEADERS 1; DATA 1 5 end", counts: Counts{Trailers: 1}},
	{name: "the connection's end for a message", options: Options{Underscores: 99}, in: func() []byte { return headers(1, endBoth, get("A", "b")) },
		said: "GOAWAY 1 PROTOCOL_ERROR", fault: BadName, counts: Counts{MessagingErrors: 1}},
	{name: "dropped underscores", options: Options{Underscores: DropUnderscores}, in: func() []byte { return headers(1, endBoth, get("a_b", "b", "c", "d", "x_y", "")) },
		heard: "1: GET http a / c=d end", said: "HEADERS 1; DATA 1 5 end", counts: Counts{DroppedUnderscores: 2}},
	{name: "rejected underscores", options: Options{Underscores: RejectUnderscores}, in: func() []byte { return headers(1, endBoth, get("a_b", "b")) },
		heard: "1: reset INTERNAL_ERROR local (http2: read head: underscore in a name, which is not allowed here)",
		said:  "RST_STREAM 1 INTERNAL_ERROR", counts: Counts{ResetsSent: 1, ResetsProvoked: 1, RejectedUnderscores: 1}},
	{name: "GOAWAY, then a higher one", in: func() []byte { return append(goAway(5, NoError), goAway(7, NoError)...) },
		heard: "goaway 5 NO_ERROR", said: "GOAWAY 0 PROTOCOL_ERROR", fault: BadGoAway},
	{name: "GOAWAY, RST_STREAM and SETTINGS between", in: func() []byte {
		return bytes.Join([][]byte{headers(1, flagEndHeaders, post()), goAway(0, NoError), setting(SettingInitialWindowSize, 0), rst(1, InternalError),
			setting(SettingInitialWindowSize, 100), goAway(0, EnhanceYourCalm), headers(3, endBoth, get())}, nil)
	}, heard: "1: POST http a /; goaway 0 NO_ERROR; 1: reset INTERNAL_ERROR; goaway 0 ENHANCE_YOUR_CALM; 3: GET http a / end",
		said: "SETTINGS *2; HEADERS 3; DATA 3 5 end", counts: Counts{ResetsReceived: 1}},
	{name: "nothing but length", in: func() []byte { return frame(framePing, 0, 0, make([]byte, 7)) }, said: "GOAWAY 0 FRAME_SIZE_ERROR", fault: BadFrameSize},
	{name: "padding is given back", in: func() []byte {
		return append(headers(1, flagEndHeaders, post()), times(200, frame(frameData, flagPadded, 1, []byte{250}, []byte("x"), make([]byte, 250)))...)
	}, heard: "1: POST http a /", said: "WINDOW_UPDATE 1 98547"},
}

func TestHostile(t *testing.T) {
	for _, c := range hostile {
		t.Run(c.name, func(t *testing.T) {
			o := c.options
			o.Server, o.StreamErrors = true, o.Underscores != 99
			s := newSide(t, o)
			answer := func(r *reader) {
				if !strings.Contains(showFields(&r.request.Header), " wait=") {
					r.s.ResponseHead(response(200), false)
					r.s.Data([]byte("hello"), true)
				}
			}
			s.onHead = func(r *reader, end bool) {
				if end {
					answer(r)
				}
			}
			s.onEnd = answer
			s.onBody = func(r *reader, b []byte) int {
				if strings.Contains(showFields(&r.request.Header), " keep=") {
					return 0
				}
				return len(b)
			}
			in := append([]byte(preface), setting()...)
			if n, err := s.c.Feed(in); n != len(in) || err != nil {
				t.Fatal(n, err)
			}
			s.sent()
			_, err := s.c.Feed(c.in())
			if err == nil && c.fault != none || err != nil && err.(*Error).Code != c.fault {
				t.Errorf("%v, want %v", err, c.fault.err())
			}
			if heard := strings.Join(s.lines, "; "); c.heard != "*" && heard != c.heard {
				t.Errorf("heard %s\nwant  %s", heard, c.heard)
			}
			said := showFrames(s.sent())
			if c.said != "*" && said != c.said {
				t.Errorf("said %s\nwant %s", said, c.said)
			}
			s.c.counts.PingsReceived, s.c.counts.SettingsReceived, s.c.counts.GoAwaysSent, s.c.counts.ConnectionErrors = 0, 0, 0, 0
			if d := cmp.Diff(c.counts, s.c.counts); d != "" {
				t.Errorf("want - counted +: %s", d)
			}
			s.c.Lost(NoError)
			sound(t, s)
		})
	}
}

// Heads that are malformed, and some that are not.
func TestHeads(t *testing.T) {
	with := func(change ...string) []byte {
		fields := []string{":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/"}
		for i := 0; i < len(change); i += 2 {
			found := false
			for j := 0; j < len(fields) && change[i][0] == ':'; j += 2 {
				if fields[j] == change[i] {
					fields[j+1], found = change[i+1], true
					if change[i+1] == "-" {
						fields = append(fields[:j:j], fields[j+2:]...)
					}
					break
				}
			}
			if !found {
				fields = append(fields, change[i], change[i+1])
			}
		}
		return block(fields...)
	}
	for _, c := range []struct {
		in   []byte
		want string
		code Code
	}{
		{with(), "GET https a / end", none},
		{with(":scheme", "HTTPS"), "GET https a / end", none},
		{with(":authority", "-", "host", "b"), "GET https b / end", none},
		{with("host", "a"), "GET https a / end", none},
		{with("host", "b"), "GET https a / end", none},
		{with("host", "a", "host", "a"), "", SeveralHosts},
		{with(":authority", "-", "host", "a", "host", "a"), "", SeveralHosts},
		{with(":authority", "-", "host", "a b"), "", BadAuthority},
		{with(":authority", "u@a"), "", BadAuthority},
		{with(":authority", "a/b"), "", BadAuthority},
		{with(":authority", "-"), "", MissingPseudo},
		{with(":authority", ""), "", BadAuthority},
		{with(":method", "-"), "", MissingPseudo},
		{with(":path", "-"), "", MissingPseudo},
		{with(":scheme", "-"), "", MissingPseudo},
		{with(":path", ""), "", BadPath},
		{with(":path", "a"), "", BadTarget},
		{with(":path", "*"), "", BadTarget},
		{with(":path", "*", ":method", "OPTIONS"), "OPTIONS https a * end", none},
		{with(":path", "http://b/"), "", BadTarget},
		{with(":path", "/a b"), "", BadPath},
		{with(":path", "/a\x7f"), "", BadValue},
		{with(":path", "/\xc3\xb6#x"), "GET https a /\xc3\xb6#x end", none},
		{with(":path", "/ HTTP/1.1\r\nx: y"), "", BadValue},
		{with(":method", "GET /x HTTP/1.1"), "", BadMethod},
		{with(":method", ""), "", BadMethod},
		{with(":scheme", "1a"), "", BadScheme},
		{with(":scheme", ""), "", BadScheme},
		{with(":scheme", "http://evil/"), "", BadScheme},
		{append(with(), block(":path", "/")...), "", DuplicatePseudo},
		{append(with("a", "b"), block(":path", "/")...), "", DuplicatePseudo},
		{append(block("a", "b"), with()...), "", LatePseudo},
		{with(":status", "200"), "", BadPseudo},
		{with(":unknown", "x"), "", BadPseudo},
		{with(":", "x"), "", BadPseudo},
		{with(":protocol", "websocket"), "", BadConnect},
		{with(":method", "CONNECT", ":protocol", "websocket"), "CONNECT https a / protocol websocket end", none},
		{with(":method", "CONNECT", ":protocol", "websocket", ":path", "-"), "", BadConnect},
		{with(":method", "CONNECT", ":protocol", "a b"), "", BadConnect},
		{with(":method", "CONNECT"), "", BadConnect},
		{with(":method", "CONNECT", ":scheme", "-", ":path", "-", ":authority", "a:1"), "CONNECT  a:1  end", none},
		{with(":method", "CONNECT", ":scheme", "-", ":path", "-"), "CONNECT  a  end", none},
		{with(":method", "CONNECT", ":scheme", "-", ":path", "-", ":authority", "-"), "", BadConnect},
		{with("A", "b"), "", BadName},
		{with("a b", "b"), "", BadName},
		{with("a\x00", "b"), "", BadName},
		{with("a:", "b"), "", BadName},
		{with("a\r\nb", "b"), "", BadName},
		{with("\xc3\xb6", "b"), "", BadName},
		{block(append(getFields, "", "b")...), "", BadName},
		{with("a", "b\r\nx: y"), "", BadValue},
		{with("a", "b\nc"), "", BadValue},
		{with("a", "b\x00c"), "", BadValue},
		{with("a", "\x01"), "", BadValue},
		{with("a", " b", "c", "d \t", "e_f", "\t", "cookie", " g=h ", "a", " b"), "GET https a / a=b c=d e_f= cookie=g=h a=b end", none},
		{with("a", "b\n"), "", BadValue},
		{with("content-length", " 0"), "", BadValue},
		{with("host", "a "), "", BadValue},
		{with("te", "trailers "), "", BadValue},
		{with(":path", "/ "), "", BadValue},
		{with("a", "b\tc \xff"), "GET https a / a=b\tc \xff end", none},
		{with("connection", "close"), "", ConnectionField},
		{with("keep-alive", "x"), "", ConnectionField},
		{with("proxy-connection", "x"), "", ConnectionField},
		{with("transfer-encoding", "chunked"), "", ConnectionField},
		{with("upgrade", "x"), "", ConnectionField},
		{with("te", "trailers"), "GET https a / te=trailers end", none},
		{with("te", "gzip"), "", BadTE},
		{with("te", "trailers, deflate"), "", BadTE},
		{with("content-length", "0"), "GET https a / content-length=0 end", none},
		{with("content-length", "1"), "", LengthMismatch},
		{with("content-length", "0", "content-length", "0"), "", DuplicateLength},
		{with("content-length", "+0"), "", BadLength},
		{with("content-length", "0, 0"), "", BadLength},
		{with("content-length", "9223372036854775808"), "", BadLength},
		{with("content-length", ""), "", BadLength},
	} {
		s := newSide(t, Options{Server: true, StreamErrors: true, EnableConnect: true})
		in := bytes.Join([][]byte{[]byte(preface), setting(), headers(1, endBoth, c.in)}, nil)
		if _, err := s.c.Feed(in); err != nil {
			t.Fatalf("%q: %v", c.in, err)
		}
		want := "1: " + c.want
		if c.code != none {
			want = "1: reset PROTOCOL_ERROR local (" + c.code.err().Error() + ")"
		}
		if got := s.transcript(); got != want {
			t.Errorf("%q: %s, want %s", c.in, got, want)
		}
		if c.code != none && s.c.counts.MessagingErrors != 1 {
			t.Errorf("%q: %+v", c.in, s.c.counts)
		}
	}
}

// Bodies are held against their content-length.
func TestLengths(t *testing.T) {
	for in, want := range map[string]struct {
		length string
		code   Code
	}{
		"ab|c.":  {"3", none},
		"ab|cd":  {"3", DataMismatch},
		"ab.":    {"3", DataMismatch},
		"abc|.":  {"3", none},
		"abc|t":  {"3", none},
		"ab|t":   {"3", LengthMismatch},
		"abcd":   {"3", DataMismatch},
		"a|b|c.": {"03", none},
	} {
		s := newSide(t, Options{Server: true, StreamErrors: true})
		b := bytes.Join([][]byte{[]byte(preface), setting(), headers(1, flagEndHeaders, post("content-length", want.length))}, nil)
		for _, piece := range strings.Split(in, "|") {
			body, end := strings.CutSuffix(piece, ".")
			switch {
			case piece == "t":
				b = append(b, headers(1, endBoth, block("x", "y"))...)
			case end:
				b = append(b, data(1, flagEndStream, body)...)
			default:
				b = append(b, data(1, 0, body)...)
			}
		}
		if _, err := s.c.Feed(b); err != nil {
			t.Fatal(err)
		}
		r := s.readers[0]
		if r.isReset != (want.code != none) || r.ended == r.isReset || want.code != none && !strings.Contains(s.transcript(), want.code.err().Error()) {
			t.Errorf("%q of %s: %s", in, want.length, s.transcript())
		}
	}
}

// answers are inputs of a server to a client that has sent GET, HEAD, and CONNECT.
func TestResponses(t *testing.T) {
	ok := func(id uint32, flags byte, fields ...string) []byte { return headers(id, flags, block(fields...)) }
	for _, c := range []struct {
		name, want string
		in         []byte
		fault      Code
	}{
		{"plain", "1: 200 end", ok(1, endBoth, ":status", "200"), none},
		{"interim", "1: 100; 1: 103 a=b; 1: 200 end", bytes.Join([][]byte{ok(1, flagEndHeaders, ":status", "100"), ok(1, flagEndHeaders, ":status", "103", "a", "b"),
			ok(1, endBoth, ":status", "200")}, nil), none},
		{"interim that ends", "1: reset PROTOCOL_ERROR local (" + Interim.err().Error() + ")", ok(1, endBoth, ":status", "100"), none},
		{"101", "1: reset PROTOCOL_ERROR local (" + BadStatus.err().Error() + ")", ok(1, flagEndHeaders, ":status", "101"), none},
		{"no status", "1: reset PROTOCOL_ERROR local (" + MissingPseudo.err().Error() + ")", ok(1, endBoth, "a", "b"), none},
		{"a request's field", "1: reset PROTOCOL_ERROR local (" + BadPseudo.err().Error() + ")", ok(1, endBoth, ":status", "200", ":path", "/"), none},
		{"status of two digits", "1: reset PROTOCOL_ERROR local (" + BadStatus.err().Error() + ")", ok(1, endBoth, ":status", "20"), none},
		{"status 099", "1: reset PROTOCOL_ERROR local (" + BadStatus.err().Error() + ")", ok(1, endBoth, ":status", "099"), none},
		{"data first", "1: reset PROTOCOL_ERROR local (" + DataBeforeHead.err().Error() + ")", data(1, 0, "x"), none},
		{"HEAD", "3: 200 content-length=5 end", ok(3, endBoth, ":status", "200", "content-length", "5"), none},
		{"HEAD with a body", "3: 200 content-length=5; 3: reset PROTOCOL_ERROR local (" + UnexpectedBody.err().Error() + ")",
			append(ok(3, flagEndHeaders, ":status", "200", "content-length", "5"), data(3, flagEndStream, "hello")...), none},
		{"204", "1: 204 end", ok(1, endBoth, ":status", "204", "content-length", "0"), none},
		{"204 with a length", "1: reset PROTOCOL_ERROR local (" + BadLength.err().Error() + ")", ok(1, endBoth, ":status", "204", "content-length", "1"), none},
		{"304", "1: 304 content-length=5; 1: end", append(ok(1, flagEndHeaders, ":status", "304", "content-length", "5"), data(1, flagEndStream, "")...), none},
		{"CONNECT", `5: 200 content-length=1; 5: body of 3 "abc"; 5: end`, append(ok(5, flagEndHeaders, ":status", "200", "content-length", "1"), data(5, flagEndStream, "abc")...), none},
		{"refused", "1: reset REFUSED_STREAM unprocessed", rst(1, RefusedStream), none},
		{"GOAWAY", "3: reset NO_ERROR unprocessed; 5: reset NO_ERROR unprocessed; goaway 1 NO_ERROR; 1: 200 end", append(goAway(1, NoError), ok(1, endBoth, ":status", "200")...), none},
		{"whole, and no more wanted", "5: 200; 5: end", bytes.Join([][]byte{ok(5, flagEndHeaders, ":status", "200"), data(5, flagEndStream, ""), rst(5, NoError)}, nil), none},
		{"PUSH_PROMISE", "", frame(framePushPromise, flagEndHeaders, 1, []byte{0, 0, 0, 2}), PushPromise},
		{"ENABLE_PUSH", "", setting(SettingEnablePush, 1), BadSetting},
		{"PRIORITY_UPDATE", "", frame(framePriorityUpdate, 0, 0, []byte{0, 0, 0, 1}), BadPriorityUpdate},
		{"a stream of theirs", "", ok(2, endBoth, ":status", "200"), IdleStream},
		{"a stream that was not opened", "", ok(7, endBoth, ":status", "200"), IdleStream},
	} {
		s := newSide(t, Options{StreamErrors: true})
		for _, method := range []string{"GET", "HEAD", "CONNECT"} {
			s.open().s.RequestHead(request(method, "https", "a:1", "/"), method != "CONNECT")
		}
		_, err := s.c.Feed(append(setting(), c.in...))
		if err == nil && c.fault != none || err != nil && err.(*Error).Code != c.fault {
			t.Errorf("%s: %v, want %v", c.name, err, c.fault.err())
		}
		if got := strings.Join(s.lines, "; "); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		s.c.Lost(NoError)
		if s.c.Streams() != 0 || s.done != 3 {
			t.Errorf("%s: %d streams left, %d done", c.name, s.c.Streams(), s.done)
		}
	}
}
