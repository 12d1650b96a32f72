package http1

// Limits bound what one peer can make us hold or do. A zero means the default beside it.
type Limits struct {
	// MaxHeadBytes bounds a head in bytes as it came, from the first line to the empty one: DefaultMaxHeadBytes.
	MaxHeadBytes int
	// MaxHeaders bounds the number of fields in a head, and again in a trailer section: DefaultMaxHeaders.
	MaxHeaders int
	// MaxTrailerBytes bounds a trailer section in bytes as it came: MaxHeadBytes.
	MaxTrailerBytes int
	// MaxChunkExtension bounds the extensions of one chunk in bytes: DefaultMaxChunkExtension. What the extensions of a body may take
	// together is bounded too, by bodyExtensions above the size of the data that they came with.
	MaxChunkExtension int
}

// The defaults of Limits. Those of a head are Envoy's for requests; for responses Envoy has 80 KiB.
const (
	DefaultMaxHeadBytes      = 60 << 10
	DefaultMaxHeaders        = 100
	DefaultMaxChunkExtension = 256
)

// bodyExtensions is how many bytes the chunk extensions of one body may take beyond the bytes of data. Extensions that sign their chunks
// stay below their data; a flood of one-byte chunks with extensions does not (CVE-2023-39326).
const bodyExtensions = 16 << 10

// maxSizeDigits bounds the hexadecimal digits of a chunk size, leading zeros included.
const maxSizeDigits = 16

func (l *Limits) headBytes() int {
	if l.MaxHeadBytes == 0 {
		return DefaultMaxHeadBytes
	}
	return l.MaxHeadBytes
}

func (l *Limits) headers() int {
	if l.MaxHeaders == 0 {
		return DefaultMaxHeaders
	}
	return l.MaxHeaders
}

func (l *Limits) trailerBytes() int {
	if l.MaxTrailerBytes == 0 {
		return l.headBytes()
	}
	return l.MaxTrailerBytes
}

func (l *Limits) chunkExtension() int {
	if l.MaxChunkExtension == 0 {
		return DefaultMaxChunkExtension
	}
	return l.MaxChunkExtension
}

// Options say how a decoder reads. They are read at every call and must not change while a decoder has them; one value serves all
// connections that are configured alike.
type Options struct {
	Limits
	// KeepSpelling keeps the upper and lower case of field names beside the names.
	KeepSpelling bool
	// KeepReason keeps the reason phrases of responses. Otherwise they are checked and forgotten, and what is written next has the
	// usual phrase of its status, as with Envoy.
	KeepReason bool
	// AllowHTTP10 takes requests of HTTP/1.0, which are answered 426 otherwise.
	AllowHTTP10 bool
	// DefaultHost is the authority of an HTTP/1.0 request that names none. Without it such a request is refused.
	DefaultHost []byte
	// AllowAbsoluteURL takes a target in absolute form apart: its authority replaces the Host field (RFC 9112 §3.2.2), its scheme becomes
	// the request's. Otherwise the whole target is the request's path.
	AllowAbsoluteURL bool
	// EnableTrailers yields trailers. Otherwise they are checked and bounded all the same, and dropped.
	EnableTrailers bool
	// AllowChunkedLength takes a message with both Transfer-Encoding: chunked and Content-Length, removes the latter, and ends the
	// connection with the message (RFC 9112 §6.1). Otherwise such a message is an error.
	AllowChunkedLength bool
	// KnownMethods refuses a request whose method is none of those that Envoy's parser knows.
	KnownMethods bool
	// CutFragment, if it is not nil and says so, takes the fragment off a target that has one, whenever one comes. Otherwise the request is
	// refused: no client sends one (RFC 9112 §3.2).
	CutFragment func() bool
	// Underscores says what is done about a field of a request with an underscore in its name.
	Underscores Underscores
}

// Underscores is what a decoder does about a field of a request with an underscore in its name, which some upstreams cannot tell from a
// dash.
type Underscores uint8

// The choices, as Envoy's headers_with_underscores_action.
const (
	KeepUnderscores Underscores = iota
	RejectUnderscores
	DropUnderscores
)
