package http2

// Options say what one side of a connection is, and bound what a peer can make it hold or do. A zero means the default beside it. One value
// serves all connections that are configured alike, and must not change while one has it.
type Options struct {
	// Server makes it the side that takes requests.
	Server bool
	// HeaderTableSize bounds, in bytes, the dynamic table of each direction: it is announced for reading, and taken at most for writing: 4096.
	// NoTable has no dynamic tables.
	HeaderTableSize uint32
	NoTable         bool
	// MaxConcurrentStreams is how many streams the peer of a server may have open: 1024.
	MaxConcurrentStreams uint32
	// MaxStreamWindow and MaxConnWindow are up to what windows grow, in bytes: 16 MiB, 24 MiB. InitialStreamWindow is what a stream begins
	// with: 64 KiB for servers, 16 KiB for clients, or MaxStreamWindow if that is less. A connection begins with four times 64 KiB, within MaxConnWindow.
	InitialStreamWindow, MaxStreamWindow, MaxConnWindow uint32
	// MaxFrameSize is how large frames may be that come, in bytes: 16384, which is the least.
	MaxFrameSize uint32
	// MaxHeadBytes bounds a head, and again a trailer section, by what names and values take when they are decoded, those of pseudo-header
	// fields and of cookie crumbs each among them: 60 KiB. What it takes on the wire is bounded by four times as much.
	MaxHeadBytes int
	// MaxHeaders bounds the number of fields in the same sense: 100.
	MaxHeaders int
	// EnableConnect announces that extended CONNECT is understood (RFC 8441).
	EnableConnect bool
	// StreamErrors lets a malformed message end its stream. Otherwise it ends the connection. Envoy's override_stream_error_on_invalid_http_message.
	StreamErrors bool
	// Underscores says what is done about a field of a request with an underscore in its name.
	Underscores Underscores

	// MaxOutboundFrames bounds the frames of any kind that wait for the peer to read, MaxOutboundControlFrames those that answer SETTINGS and
	// PING, or reset streams: 10000, 1000.
	MaxOutboundFrames, MaxOutboundControlFrames uint32
	// MaxEmptyFrames bounds the DATA, HEADERS and CONTINUATION frames without content that come one behind the other without ending a stream: 1.
	// NoEmptyFrames allows none.
	MaxEmptyFrames uint32
	NoEmptyFrames  bool
	// MaxPriorityFrames bounds the PRIORITY frames for each stream that was opened: 100.
	// NoPriorityFrames allows none.
	MaxPriorityFrames uint32
	NoPriorityFrames  bool
	// MaxWindowUpdates bounds the WINDOW_UPDATE frames for each DATA frame that was sent: 10.
	MaxWindowUpdates uint32

	// ExtraSettings are announced behind our own, over which they have no power.
	ExtraSettings []Setting
}

// Underscores is what is done about a field of a request with an underscore in its name, which some upstreams cannot tell from a dash.
type Underscores uint8

// The choices, as Envoy's headers_with_underscores_action.
const (
	KeepUnderscores Underscores = iota
	RejectUnderscores
	DropUnderscores
)

// The defaults of Options, which are Envoy's unless docs/design/0006-http2.md says why not.
const (
	DefaultHeaderTableSize          = 4096
	DefaultMaxConcurrentStreams     = 1024
	DefaultServerWindow             = 64 << 10
	DefaultClientWindow             = 16 << 10
	DefaultMaxStreamWindow          = 16 << 20
	DefaultMaxConnWindow            = 24 << 20
	DefaultMaxFrameSize             = 16384
	DefaultMaxHeadBytes             = 60 << 10
	DefaultMaxHeaders               = 100
	DefaultMaxOutboundFrames        = 10000
	DefaultMaxOutboundControlFrames = 1000
	DefaultMaxEmptyFrames           = 1
	DefaultMaxPriorityFrames        = 100
	DefaultMaxWindowUpdates         = 10
)

const (
	// connWindow is what a connection's window begins with: several streams that are not read must not keep others from being read.
	connWindow = 4 * DefaultServerWindow
	// smallestWindow is the window that both sides have before anything is said (RFC 9113 §6.9.2); that of the connection cannot be made smaller.
	smallestWindow = 65535
	// wireFactor is how many times MaxHeadBytes a header block may take on the wire before the connection is given up: what is above
	// MaxHeadBytes is read for the table's sake only.
	wireFactor = 4
	largest    = 1<<31 - 1
)

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

func (o *Options) tableSize() uint32 {
	if o.NoTable {
		return 0
	}
	return or(o.HeaderTableSize, DefaultHeaderTableSize)
}

func (o *Options) streamWindow() uint32 {
	window := uint32(DefaultClientWindow)
	if o.Server {
		window = DefaultServerWindow
	}
	return min(or(o.InitialStreamWindow, window), o.maxStreamWindow())
}

func (o *Options) maxStreamWindow() uint32 {
	return min(or(o.MaxStreamWindow, DefaultMaxStreamWindow), largest)
}

func (o *Options) maxConnWindow() uint32 {
	return min(max(or(o.MaxConnWindow, DefaultMaxConnWindow), smallestWindow), largest)
}

func (o *Options) frameSize() uint32 {
	return min(max(o.MaxFrameSize, DefaultMaxFrameSize), 1<<24-1)
}

func (o *Options) headBytes() int { return or(o.MaxHeadBytes, DefaultMaxHeadBytes) }
func (o *Options) headers() int   { return or(o.MaxHeaders, DefaultMaxHeaders) }

func (o *Options) emptyFrames() uint32 {
	if o.NoEmptyFrames {
		return 0
	}
	return or(o.MaxEmptyFrames, DefaultMaxEmptyFrames)
}
