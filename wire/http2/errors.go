package http2

// ErrCode is why a stream or connection ends, as it is told on the wire (RFC 9113 §7).
type ErrCode uint32

// The error codes.
const (
	NoError ErrCode = iota
	ProtocolError
	InternalError
	FlowControlError
	SettingsTimeout
	StreamClosed
	FrameSizeError
	RefusedStream
	Cancel
	CompressionError
	ConnectError
	EnhanceYourCalm
	InadequateSecurity
	HTTP11Required
	numErrCodes
)

var errNames = [numErrCodes]string{
	"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR",
	"REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
}

// String is the code's name in the RFC.
func (e ErrCode) String() string {
	if e < numErrCodes {
		return errNames[e]
	}
	return "unknown error code"
}

// Code is what is wrong with a connection or a message.
type Code uint8

// The codes. The first group ends a connection, the second a connection that asks for too much of us, the third one stream. The fourth
// concerns messages, and ends the stream or, unless Options.StreamErrors, the connection; the fifth concerns messages and always ends
// the stream alone.
const (
	none Code = iota
	BadPreface
	NoSettings
	FrameTooLarge
	BadFrameSize
	BadStreamID
	BadPadding
	BadSetting
	BadInitialWindow
	UnaskedAck
	OpenBlock
	LostContinuation
	IdleStream
	ClosedStream
	PushPromise
	BadPriorityUpdate
	WindowOverflow
	WindowExceeded
	ZeroWindowUpdate
	BadGoAway
	BadIndex
	BadInteger
	BadHuffman
	BadTableSize
	LateTableUpdate
	CutBlock
	Lost

	BlockTooLong
	EmptyFrames
	PriorityFlood
	WindowUpdateFlood
	ControlFlood
	OutboundFlood

	StreamWindowOverflow
	StreamWindowExceeded
	ZeroStreamWindowUpdate
	BadPriority
	DataAfterEnd

	BadName
	BadValue
	BadPseudo
	DuplicatePseudo
	LatePseudo
	MissingPseudo
	BadMethod
	BadPath
	BadTarget
	BadScheme
	BadAuthority
	SeveralHosts
	BadConnect
	BadStatus
	Interim
	ConnectionField
	BadTE
	BadLength
	DuplicateLength
	LengthMismatch
	DataBeforeHead
	UnexpectedBody
	OpenTrailers
	PseudoTrailers

	DataMismatch
	HeadTooLarge
	TooManyHeaders
	Underscore
	numCodes
)

// Error is why a connection was given up, or what was wrong with a stream's frames. Each code has one Error, so errors may be compared.
type Error struct {
	Code    Code
	ErrCode ErrCode // what the peer is told
	Detail  string  // Envoy's response code detail
	text    string
}

// Error says what was wrong and what would be right.
func (e *Error) Error() string { return e.text }

// err is the code's Error; nil for none.
func (c Code) err() *Error {
	if c == none {
		return nil
	}
	return &faults[c]
}

// message tells whether a code concerns a message, so that Options.StreamErrors decides on what it ends.
func (c Code) message() bool { return c >= BadName && c < DataMismatch }

// Flood tells whether the peer has asked for too much, and broken no rule but ours.
func (e *Error) Flood() bool { return e.Code >= EmptyFrames && e.Code <= OutboundFlood }

// Own tells whether it is a limit of ours that was met, and no rule of the protocol.
func (e *Error) Own() bool { return e.Code >= HeadTooLarge }

// Envoy's details: of a broken rule of messages, of a broken field, of what is neither, of too many fields, and of floods.
const (
	detailMessage  = "http2.violation.of.messaging.rule"
	detailField    = "http2.invalid.header.field"
	detailUnknown  = "http2.unknown.nghttp2.error"
	detailTooMany  = "http2.too_many_headers"
	detailEmpty    = "http2.inbound_empty_frames_flood"
	detailOutbound = "http2.outbound_frames_flood"
)

var faults = [numCodes]Error{
	BadPreface:        {BadPreface, ProtocolError, detailUnknown, "http2: read preface: not the 24 bytes that a client begins with"},
	NoSettings:        {NoSettings, ProtocolError, detailUnknown, "http2: read frame: the first frame is not SETTINGS"},
	FrameTooLarge:     {FrameTooLarge, FrameSizeError, detailUnknown, "http2: read frame: larger than our SETTINGS_MAX_FRAME_SIZE"},
	BadFrameSize:      {BadFrameSize, FrameSizeError, detailUnknown, "http2: read frame: its size is not one that its type has"},
	BadStreamID:       {BadStreamID, ProtocolError, detailUnknown, "http2: read frame: its type does not go with its stream: 0, even, or below an earlier one"},
	BadPadding:        {BadPadding, ProtocolError, detailUnknown, "http2: read frame: more padding than payload"},
	BadSetting:        {BadSetting, ProtocolError, detailUnknown, "http2: read SETTINGS: a value out of its range"},
	BadInitialWindow:  {BadInitialWindow, FlowControlError, detailUnknown, "http2: read SETTINGS: SETTINGS_INITIAL_WINDOW_SIZE above 2^31-1"},
	UnaskedAck:        {UnaskedAck, ProtocolError, detailUnknown, "http2: read SETTINGS: an acknowledgement of settings that were not sent"},
	OpenBlock:         {OpenBlock, ProtocolError, detailUnknown, "http2: read frame: within a header block: want CONTINUATION of the same stream"},
	LostContinuation:  {LostContinuation, ProtocolError, detailUnknown, "http2: read frame: CONTINUATION without a header block to continue"},
	IdleStream:        {IdleStream, ProtocolError, detailUnknown, "http2: read frame: for a stream that nobody has opened"},
	ClosedStream:      {ClosedStream, StreamClosed, detailUnknown, "http2: read frame: for a stream that its sender had ended"},
	PushPromise:       {PushPromise, ProtocolError, detailUnknown, "http2: read frame: PUSH_PROMISE, which is disabled"},
	BadPriorityUpdate: {BadPriorityUpdate, ProtocolError, detailUnknown, "http2: read PRIORITY_UPDATE: from a server, or for no stream"},
	WindowOverflow:    {WindowOverflow, FlowControlError, detailUnknown, "http2: read WINDOW_UPDATE: the connection's window exceeds 2^31-1"},
	WindowExceeded:    {WindowExceeded, FlowControlError, detailUnknown, "http2: read DATA: more than the connection's window"},
	ZeroWindowUpdate:  {ZeroWindowUpdate, ProtocolError, detailUnknown, "http2: read WINDOW_UPDATE: an increment of 0"},
	BadGoAway:         {BadGoAway, ProtocolError, detailUnknown, "http2: read GOAWAY: the last stream is above that of an earlier one"},
	BadIndex:          {BadIndex, CompressionError, detailUnknown, "http2: read header block: an index that neither table has"},
	BadInteger:        {BadInteger, CompressionError, detailUnknown, "http2: read header block: an integer of more than ten bytes"},
	BadHuffman:        {BadHuffman, CompressionError, detailUnknown, "http2: read header block: invalid Huffman code"},
	BadTableSize:      {BadTableSize, CompressionError, detailUnknown, "http2: read header block: a table larger than our SETTINGS_HEADER_TABLE_SIZE"},
	LateTableUpdate:   {LateTableUpdate, CompressionError, detailUnknown, "http2: read header block: an update of the table's size behind a field"},
	CutBlock:          {CutBlock, CompressionError, detailUnknown, "http2: read header block: it ends within a field"},
	Lost:              {Lost, NoError, "", "http2: the connection is gone"},

	BlockTooLong:      {BlockTooLong, EnhanceYourCalm, detailTooMany, "http2: read header block: too many bytes or frames"},
	EmptyFrames:       {EmptyFrames, EnhanceYourCalm, detailEmpty, "http2: read frame: too many empty ones behind one another"},
	PriorityFlood:     {PriorityFlood, EnhanceYourCalm, detailUnknown, "http2: read frame: more PRIORITY than allowed for each stream"},
	WindowUpdateFlood: {WindowUpdateFlood, EnhanceYourCalm, detailUnknown, "http2: read frame: more WINDOW_UPDATE than allowed for each DATA sent"},
	ControlFlood:      {ControlFlood, EnhanceYourCalm, detailOutbound, "http2: too many answers to SETTINGS and PING, or resets, that the peer does not read"},
	OutboundFlood:     {OutboundFlood, EnhanceYourCalm, detailOutbound, "http2: too many frames that the peer does not read"},

	StreamWindowOverflow:   {StreamWindowOverflow, FlowControlError, detailUnknown, "http2: read WINDOW_UPDATE: the stream's window exceeds 2^31-1"},
	StreamWindowExceeded:   {StreamWindowExceeded, FlowControlError, detailUnknown, "http2: read DATA: more than the stream's window"},
	ZeroStreamWindowUpdate: {ZeroStreamWindowUpdate, ProtocolError, detailUnknown, "http2: read WINDOW_UPDATE: an increment of 0 for a stream"},
	BadPriority:            {BadPriority, FrameSizeError, detailUnknown, "http2: read PRIORITY: not of five bytes"},
	DataAfterEnd:           {DataAfterEnd, StreamClosed, detailUnknown, "http2: read frame: DATA or HEADERS behind END_STREAM"},

	BadName:         {BadName, ProtocolError, detailField, "http2: read head: a name is not a token in lower case"},
	BadValue:        {BadValue, ProtocolError, detailField, "http2: read head: a value has control characters, or white space at an end"},
	BadPseudo:       {BadPseudo, ProtocolError, detailField, "http2: read head: a pseudo-header field that does not belong there"},
	DuplicatePseudo: {DuplicatePseudo, ProtocolError, detailField, "http2: read head: a pseudo-header field comes twice"},
	LatePseudo:      {LatePseudo, ProtocolError, detailField, "http2: read head: a pseudo-header field behind another field"},
	MissingPseudo:   {MissingPseudo, ProtocolError, detailMessage, "http2: read head: want :method, :scheme, :path and :authority or host in a request, :status in a response"},
	BadMethod:       {BadMethod, ProtocolError, detailField, "http2: read head: :method is not a token"},
	BadPath:         {BadPath, ProtocolError, detailField, "http2: read head: :path is empty, or has white space"},
	BadTarget:       {BadTarget, ProtocolError, detailMessage, "http2: read head: :path is neither /path nor * of OPTIONS"},
	BadScheme:       {BadScheme, ProtocolError, detailField, "http2: read head: :scheme is not a scheme"},
	BadAuthority:    {BadAuthority, ProtocolError, detailField, "http2: read head: :authority is not a host or host:port"},
	SeveralHosts:    {SeveralHosts, ProtocolError, detailField, "http2: read head: more than one host field"},
	BadConnect:      {BadConnect, ProtocolError, detailMessage, "http2: read head: CONNECT with :scheme or :path, or without :authority, or :protocol that we did not allow"},
	BadStatus:       {BadStatus, ProtocolError, detailField, "http2: read head: :status is not three digits from 100 on, or 101"},
	Interim:         {Interim, ProtocolError, detailMessage, "http2: read head: an informational response ends the stream"},
	ConnectionField: {ConnectionField, ProtocolError, detailField, "http2: read head: a field that concerns a connection of HTTP/1"},
	BadTE:           {BadTE, ProtocolError, detailField, "http2: read head: te is not trailers"},
	BadLength:       {BadLength, ProtocolError, detailField, "http2: read head: content-length is not one decimal number below 2^63, or is not allowed"},
	DuplicateLength: {DuplicateLength, ProtocolError, detailField, "http2: read head: more than one content-length"},
	LengthMismatch:  {LengthMismatch, ProtocolError, detailMessage, "http2: read head or trailers: not as many bytes as content-length says came before"},
	DataBeforeHead:  {DataBeforeHead, ProtocolError, detailMessage, "http2: read DATA: before the response's head"},
	UnexpectedBody:  {UnexpectedBody, ProtocolError, detailMessage, "http2: read DATA: of a response that has no body"},
	OpenTrailers:    {OpenTrailers, ProtocolError, detailMessage, "http2: read trailers: without END_STREAM"},
	PseudoTrailers:  {PseudoTrailers, ProtocolError, detailField, "http2: read trailers: a pseudo-header field"},

	DataMismatch:   {DataMismatch, ProtocolError, "http2.remote_reset", "http2: read DATA: not as many bytes as content-length says"},
	HeadTooLarge:   {HeadTooLarge, InternalError, "http2.header_list_size_too_large", "http2: read head or trailers: more bytes than allowed"},
	TooManyHeaders: {TooManyHeaders, InternalError, detailTooMany, "http2: read head or trailers: more fields than allowed"},
	Underscore:     {Underscore, InternalError, "http2.unexpected_underscore", "http2: read head: underscore in a name, which is not allowed here"},
}
