package accesslog

import "github.com/weftmesh/weft/wire/http"

// Format is a parsed format: literal text and operators, in the order in which they are written. Parse makes the line of a text log or
// the value of a header field, ParseJSON an object.
type Format struct {
	ops []operator
	// omitEmpty writes nothing for what is missing, instead of "-".
	omitEmpty bool
	root      *node // of an object that leaves out what is missing; then there are no ops
}

// operator writes one piece. Everything that does not change between two lines has been worked out.
type operator struct {
	kind  kind
	write write
	from  field // opRequestField: which part of the request's head
	max   int32 // bytes that are written at most; -1: all
	id    http.ID
	altID http.ID
	// name and alt are the field that is looked for and the one in its place, in lower case, for the three field operators; name is the
	// parameter of opQueryParameter.
	name, alt string
	altFrom   field
	text      []byte      // opLiteral; already escaped
	time      []timePiece // opStartTime, opStartTimeLocal, opEmitTime, opEmitTimeLocal, opTransport
	span      span        // opSpan
	keepSpace bool        // opDetails: do not turn white space into _
	path      []string    // opMetadata, opConfigured: the namespace, then the keys
	owner     Owner       // opConfigured
	quoted    bool        // opState: as JSON; opExpression: as what it is
	noQuery   bool        // opRequestField: without what follows a ?
	// expression is that of opExpression.
	expression Expression
	names      *[17]string // opGRPCStatus: what codes are called; nil: by their numbers
	decoded    bool        // operators of bytes of fields: as they were before compression
	part       addressPart // opTried, opTriedNames, opUpstreamName
	among      []operator  // opCoalesce
	fact       fact        // opTransport, with the next two
	whose      whose
	upstream   bool
}

// write is how an operator's value is put into what surrounds it.
type write uint8

const (
	writeText   write = iota // as it is; missing: "-"
	writeValue               // a JSON value: a number as a number, a string quoted and escaped; missing: null
	writeInside              // inside of a JSON string: escaped; missing: "-"
)

// field is a part of a request's or a response's head that is looked up by name.
type field uint8

const (
	fieldNone field = iota
	fieldNamed
	fieldMethod
	fieldScheme
	fieldAuthority
	fieldPath
	fieldStatus
)

// kind is what an operator writes.
type kind uint8

const (
	opLiteral kind = iota
	// opAbsent is something that is never there.
	opAbsent
	opConstant // text, which was known before there was an exchange
	opRequestField
	opResponseField
	opTrailerField
	opQueryParameter
	opStartTime
	opStartTimeLocal
	opEmitTime
	opEmitTimeLocal
	opSpan
	opProtocol
	opStatus
	opDetails
	opTermination
	opFlags
	opFlagsLong
	opBytesReceived
	opBytesSent
	opWireReceived
	opWireSent
	opUpstreamWireReceived
	opUpstreamWireSent
	opRequestHeaderBytes
	opResponseHeaderBytes
	opResponseTrailerBytes
	opUpstreamHost
	opUpstreamRemote
	opUpstreamRemoteHost
	opUpstreamRemotePort
	opUpstreamLocal
	opUpstreamLocalHost
	opUpstreamLocalPort
	opRemote
	opRemoteHost
	opRemotePort
	opDirect
	opDirectHost
	opDirectPort
	opLocal
	opLocalHost
	opLocalPort
	opDirectLocal
	opDirectLocalHost
	opDirectLocalPort
	opServerName
	opConnectionID
	opUpstreamConnectionID
	opRoute
	opCluster
	opClusterStatName
	opFilterChain
	opVirtualCluster
	opAttempts
	opUpstreamFailure
	opFailure // of the downstream connection's TLS
	opTransport
	opMetadata
	opConfigured // metadata
	opState
	opForwardedCert
	opExpression
	opQuery
	opGRPCStatus
	opGRPCNumber
	opLocalBody
	opStreamID
	opUniqueID
	opLogType
	opUpstreamProtocol
	opUpstreamName
	opEmpty // an address's part that only addresses within a process have
	opRemoteEmpty
	opCoalesce
	opNothing // a count that is always 0
	// What follows is told of More.
	opListener
	opResolutions
	opResolving
	opReady
	opHeadReceived
	opHeadSent
	opUpstreamHeadReceived
	opUpstreamHeadSent
	opReset
	opUpstreamReset
	opClosed
	opUpstreamClosed
	opTriedConnections
	opTried
	opTriedNames
	opShaken
)

// DefaultText is the format of a log that names none.
const DefaultText = `[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" ` +
	`%RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% ` +
	`"%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"` + "\n"
