package http1

// Code is what is wrong with a message.
type Code uint8

// The codes. The first group concerns heads, the second framing, the third bodies; the last is what EOF says of a message cut short.
const (
	none Code = iota
	BadRequestLine
	BadMethod
	BadTarget
	BadURL
	BadScheme
	Fragment
	UnknownMethod
	BadVersion
	UnknownVersion
	LowVersion
	BadStatusLine
	BareLineEnd
	BadCharacter
	BadName
	Folded
	Underscore
	HeadTooLarge
	TooManyHeaders
	MissingHost
	DuplicateHost
	BadHost

	BadLength
	DuplicateLength
	LengthWithChunked
	BadTransferEncoding
	UnknownTransferEncoding
	ConnectBody
	TransferEncodingNotAllowed
	LengthNotAllowed
	UnaskedUpgrade

	BadChunk
	ChunkExtension
	TrailersTooLarge
	TooManyTrailers

	CutBeforeHead
	CutHead
	CutBody
	numCodes
)

// Error is why a decoder gave a connection up. After one, no later byte of the connection can be trusted: who serves it answers Status,
// if nothing was answered yet, and closes; who asked closes. Each code has one Error, so errors may be compared.
type Error struct {
	Code   Code
	Status uint16 // what a server answers
	Detail string // Envoy's response code detail
	text   string
}

// Error says what was wrong and what would be right.
func (e *Error) Error() string { return e.text }

func (c Code) err() error {
	if c == none {
		return nil
	}
	return &faults[c]
}

// The details that are used more than once, by Envoy's names.
const (
	detailCodec      = "http1.codec_error"
	detailCharacters = "http1.invalid_characters"
	detailTooLarge   = "http1.headers_too_large"
	detailTooMany    = "http1.too_many_headers"
	detailAuthority  = "http.invalid_authority"
	detailEncoding   = "http1.invalid_transfer_encoding"
)

var faults = [numCodes]Error{
	BadRequestLine: {BadRequestLine, 400, detailCodec, "http1: read request line: not of the form METHOD SP target SP HTTP/1.1 CRLF"},
	BadMethod:      {BadMethod, 400, detailCodec, "http1: read request line: the method is not a token"},
	BadTarget:      {BadTarget, 400, detailCodec, "http1: read request line: the target is none of /path, http://host/path, host:port for CONNECT, * for OPTIONS"},
	BadURL:         {BadURL, 400, "http1.invalid_url", "http1: read request line: the target has no valid authority: want host or host:port without user information"},
	BadScheme:      {BadScheme, 400, "http1.invalid_scheme", "http1: read request line: the scheme of the target is neither http nor https"},
	Fragment:       {Fragment, 400, "path_normalization_failed", "http1: read request line: the target has a fragment (#), which is never sent"},
	UnknownMethod:  {UnknownMethod, 400, detailCodec, "http1: read request line: the method is not a known one, and custom methods are not allowed here"},
	BadVersion:     {BadVersion, 400, detailCodec, "http1: read first line: the version is not of the form HTTP/1.1"},
	UnknownVersion: {UnknownVersion, 505, detailCodec, "http1: read first line: the major version is not 1"},
	LowVersion:     {LowVersion, 426, "low_version", "http1: read request line: HTTP/1.0 is not enabled here: want HTTP/1.1"},
	BadStatusLine:  {BadStatusLine, 502, detailCodec, "http1: read status line: not of the form HTTP/1.1 SP 200 SP reason CRLF"},
	BareLineEnd:    {BareLineEnd, 400, detailCodec, "http1: read line: a CR or LF stands alone: lines end with CR LF"},
	BadCharacter:   {BadCharacter, 400, detailCharacters, "http1: read line: control character"},
	BadName:        {BadName, 400, detailCodec, "http1: read field: no colon right after a name that is a token"},
	Folded:         {Folded, 400, detailCodec, "http1: read field: the line begins with white space: want one line for each field"},
	Underscore:     {Underscore, 400, "http1.unexpected_underscore", "http1: read field: underscore in the name, which is not allowed here"},
	HeadTooLarge:   {HeadTooLarge, 431, detailTooLarge, "http1: read head: more bytes than allowed"},
	TooManyHeaders: {TooManyHeaders, 431, detailTooMany, "http1: read head: more fields than allowed"},
	MissingHost:    {MissingHost, 400, "missing_host_header", "http1: read head: no Host field"},
	DuplicateHost:  {DuplicateHost, 400, detailAuthority, "http1: read head: more than one Host field"},
	BadHost:        {BadHost, 400, detailAuthority, "http1: read head: the Host field is not a host or host:port"},

	BadLength:                  {BadLength, 400, detailCodec, "http1: read framing: Content-Length is not one decimal number below 2^63"},
	DuplicateLength:            {DuplicateLength, 400, detailCodec, "http1: read framing: more than one Content-Length field"},
	LengthWithChunked:          {LengthWithChunked, 400, "http1.content_length_and_chunked_not_allowed", "http1: read framing: both Content-Length and Transfer-Encoding"},
	BadTransferEncoding:        {BadTransferEncoding, 400, detailEncoding, "http1: read framing: Transfer-Encoding is not the one coding chunked, or came with HTTP/1.0"},
	UnknownTransferEncoding:    {UnknownTransferEncoding, 501, detailEncoding, "http1: read framing: a transfer coding other than chunked"},
	ConnectBody:                {ConnectBody, 400, "http1.body_disallowed", "http1: read framing: CONNECT with a body"},
	TransferEncodingNotAllowed: {TransferEncodingNotAllowed, 502, "http1.transfer_encoding_not_allowed", "http1: read framing: Transfer-Encoding in a response with status 1xx or 204"},
	LengthNotAllowed:           {LengthNotAllowed, 502, "http1.content_length_not_allowed", "http1: read framing: Content-Length in a response with status 1xx or 204"},
	UnaskedUpgrade:             {UnaskedUpgrade, 502, detailCodec, "http1: read framing: status 101 though no upgrade was asked for"},

	BadChunk:         {BadChunk, 400, detailCodec, "http1: read chunk: not a hexadecimal size below 2^63 in at most 16 digits, or data not followed by CR LF"},
	ChunkExtension:   {ChunkExtension, 400, detailCodec, "http1: read chunk: more bytes of extensions than allowed"},
	TrailersTooLarge: {TrailersTooLarge, 431, detailTooLarge, "http1: read trailers: more bytes than allowed"},
	TooManyTrailers:  {TooManyTrailers, 431, detailTooMany, "http1: read trailers: more fields than allowed"},

	CutBeforeHead: {CutBeforeHead, 502, detailCodec, "http1: the peer closed before any byte of its response"},
	CutHead:       {CutHead, 400, detailCodec, "http1: the peer closed within a head"},
	CutBody:       {CutBody, 400, detailCodec, "http1: the peer closed within a body"},
}
