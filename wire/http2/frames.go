package http2

// frameHead is the size of what every frame begins with (RFC 9113 §4.1).
const frameHead = 9

// The types of frames (RFC 9113 §6, RFC 9218 §7.1).
const (
	frameData           = 0
	frameHeaders        = 1
	framePriority       = 2
	frameReset          = 3
	frameSettings       = 4
	framePushPromise    = 5
	framePing           = 6
	frameGoAway         = 7
	frameWindowUpdate   = 8
	frameContinuation   = 9
	framePriorityUpdate = 16
)

// The flags of frames.
const (
	flagEndStream  = 0x1
	flagAck        = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

// preface is what a client begins with (RFC 9113 §3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

func putFrameHead(b []byte, length int, kind, flags byte, id uint32) {
	_ = b[8]
	b[0], b[1], b[2], b[3], b[4] = byte(length>>16), byte(length>>8), byte(length), kind, flags
	b[5], b[6], b[7], b[8] = byte(id>>24), byte(id>>16), byte(id>>8), byte(id)
}

func appendFrameHead(b []byte, length int, kind, flags byte, id uint32) []byte {
	return append(b, byte(length>>16), byte(length>>8), byte(length), kind, flags, byte(id>>24), byte(id>>16), byte(id>>8), byte(id))
}

func appendUint32(b []byte, n uint32) []byte {
	return append(b, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

func uint32At(b []byte) uint32 {
	_ = b[3]
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

// unpad takes padding off a payload (RFC 9113 §6.1) and tells whether there was as much as it said.
func unpad(p []byte, flags byte) ([]byte, bool) {
	if flags&flagPadded == 0 {
		return p, true
	}
	if len(p) == 0 || int(p[0]) >= len(p) {
		return nil, false
	}
	return p[1 : len(p)-int(p[0])], true
}

// splitBlock makes HEADERS and CONTINUATION frames of a header block, which lies from at+frameHead on in b, when it is larger than what
// the peer takes in one frame.
func splitBlock(b []byte, at int, most int, flags byte, id uint32) []byte {
	n := len(b) - at - frameHead
	if n <= most {
		putFrameHead(b[at:], n, frameHeaders, flags|flagEndHeaders, id)
		return b
	}
	more := (n - 1) / most // CONTINUATION frames
	for range more {
		b = append(b, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	}
	for i := more; i > 0; i-- {
		from, size := at+frameHead+i*most, min(n-i*most, most)
		to := from + i*frameHead
		copy(b[to:to+size], b[from:from+size])
		end := byte(0)
		if i == more {
			end = flagEndHeaders
		}
		putFrameHead(b[to-frameHead:], size, frameContinuation, end, id)
	}
	putFrameHead(b[at:], most, frameHeaders, flags, id)
	return b
}
