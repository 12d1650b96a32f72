package http2

// Setting is one parameter of a SETTINGS frame (RFC 9113 §6.5.1).
type Setting struct {
	ID    uint16
	Value uint32
}

// The identifiers of settings (RFC 9113 §6.5.2, RFC 8441 §3).
const (
	SettingHeaderTableSize       = 1
	SettingEnablePush            = 2
	SettingMaxConcurrentStreams  = 3
	SettingInitialWindowSize     = 4
	SettingMaxFrameSize          = 5
	SettingMaxHeaderListSize     = 6
	SettingEnableConnectProtocol = 8
)

// appendSettings writes our own SETTINGS frame: what differs from what holds without a word.
func (o *Options) appendSettings(b []byte) []byte {
	start := len(b)
	b = append(b, make([]byte, frameHead)...)
	put := func(id uint16, v uint32) {
		b = append(b, byte(id>>8), byte(id), byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
	}
	if n := o.tableSize(); n != DefaultHeaderTableSize {
		put(SettingHeaderTableSize, n)
	}
	if o.Server {
		put(SettingMaxConcurrentStreams, o.maxStreams())
	} else {
		put(SettingEnablePush, 0)
	}
	if n := o.streamWindow(); n != smallestWindow {
		put(SettingInitialWindowSize, n)
	}
	if n := o.frameSize(); n != DefaultMaxFrameSize {
		put(SettingMaxFrameSize, n)
	}
	// Of fields, 32 bytes are counted above their names and values.
	put(SettingMaxHeaderListSize, uint32(min(o.headBytes()+32*o.headers(), largest)))
	if o.EnableConnect {
		put(SettingEnableConnectProtocol, 1)
	}
	for _, s := range o.ExtraSettings {
		if s.ID == 0 || s.ID > SettingEnableConnectProtocol {
			put(s.ID, s.Value)
		}
	}
	putFrameHead(b[start:], len(b)-start-frameHead, frameSettings, 0, 0)
	return b
}

func (o *Options) maxStreams() uint32 { return or(o.MaxConcurrentStreams, DefaultMaxConcurrentStreams) }

// Peer is what the other side's SETTINGS say, or what holds until they come.
type Peer struct {
	MaxConcurrentStreams uint32 // how many streams it takes at a time: 100 until it has said, no bound if it says nothing
	MaxFrameSize         uint32
	MaxHeaderListSize    uint32
	EnableConnect        bool // it understands extended CONNECT (RFC 8441)
	Heard                bool // its first SETTINGS have come
}

// firstStreams is how many streams are opened before the peer has said how many it takes.
const firstStreams = 100

// settings takes the payload of a SETTINGS frame (RFC 9113 §6.5).
func (c *Conn) settings(p []byte) Code {
	if !c.peer.Heard {
		c.peer.Heard = true
		c.peer.MaxConcurrentStreams = 1<<32 - 1
	}
	for ; len(p) >= 6; p = p[6:] {
		v := uint32(p[2])<<24 | uint32(p[3])<<16 | uint32(p[4])<<8 | uint32(p[5])
		switch uint16(p[0])<<8 | uint16(p[1]) {
		case SettingHeaderTableSize:
			c.enc.announced(v)
		case SettingEnablePush:
			if v > 1 || v == 1 && !c.o.Server {
				return BadSetting
			}
		case SettingMaxConcurrentStreams:
			c.peer.MaxConcurrentStreams = v
		case SettingInitialWindowSize:
			if v > largest {
				return BadInitialWindow
			}
			if int64(v) > c.sendBase {
				// Who waited for its window may go on; whether it can is found out when it is its turn, once for all frames of a Feed.
				c.ready.take(&c.blocked)
				c.wake = true
			}
			c.sendBase = int64(v)
		case SettingMaxFrameSize:
			if v < DefaultMaxFrameSize || v > 1<<24-1 {
				return BadSetting
			}
			c.peer.MaxFrameSize = v
		case SettingMaxHeaderListSize:
			c.peer.MaxHeaderListSize = v
		case SettingEnableConnectProtocol:
			if v > 1 || v == 0 && c.peer.EnableConnect {
				return BadSetting
			}
			c.peer.EnableConnect = v == 1
		}
	}
	return none
}
