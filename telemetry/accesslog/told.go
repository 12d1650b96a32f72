package accesslog

import (
	"bytes"
	"math/rand/v2"
	"strconv"

	"github.com/weftmesh/weft/wire/http"
)

// camelCodes and snakeCodes are what gRPC calls its statuses.
var camelCodes = [17]string{"OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists", "PermissionDenied",
	"ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented", "Internal", "Unavailable", "DataLoss", "Unauthenticated"}

var snakeCodes = [17]string{"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
	"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"}

// requestMoments and connectionMoments are what Envoy calls the moments of logs.
var (
	requestMoments    = [...]string{"DownstreamEnd", "DownstreamStart", "DownstreamTunnelSuccessfullyEstablished", "DownstreamPeriodic"}
	connectionMoments = [...]string{"TcpConnectionEnd", "TcpConnectionStart", "TcpUpstreamConnected", "TcpPeriodic"}
)

// told is the value of the operators that few formats ask for.
func (o *operator) told(dst []byte, e *Entry) (out []byte, raw, ok bool) {
	switch o.kind {
	case opQuery:
		if e.Request == nil {
			return dst, false, false
		}
		_, query, ok := bytes.Cut(e.originalPath(), []byte("?"))
		return append(dst, query...), false, ok
	case opGRPCStatus, opGRPCNumber:
		code, ok := e.GRPCStatus()
		switch {
		case !ok || !e.isGRPC():
			return dst, false, false
		case o.kind == opGRPCNumber:
			return strconv.AppendInt(dst, int64(code), 10), true, true
		case code >= 0 && code < len(o.names):
			return append(dst, o.names[code]...), false, true
		}
		return strconv.AppendInt(dst, int64(code), 10), false, true
	case opLocalBody:
		return append(dst, e.LocalBody...), o.write == writeText, true // as it is, whatever lines it has; logs find it empty, with Envoy
	case opStreamID:
		dst, ok = e.AppendStreamID(dst)
		return dst, false, ok
	case opUniqueID:
		return appendUUID(dst), false, true
	case opLogType:
		if e.Whole {
			return append(dst, "NotSet"...), false, true
		}
		if e.HasProtocol {
			return append(dst, requestMoments[e.Moment]...), false, true
		}
		return append(dst, connectionMoments[e.Moment]...), false, true
	case opUpstreamProtocol:
		return append(dst, e.UpstreamProtocol.String()...), false, e.HasProtocol && e.UpstreamConnectionID != 0 && !e.UpstreamRaw
	case opUpstreamName:
		return o.endpoint(dst, &Tried{Address: e.UpstreamHost, Path: e.UpstreamPath, Name: e.UpstreamName})
	case opEmpty:
		return dst, false, true
	case opRemoteEmpty:
		return dst, false, e.UpstreamRemote.IsValid() || e.UpstreamPath != ""
	case opCoalesce:
		return o.coalesce(dst, e)
	}
	return append(dst, '0'), true, true // opNothing
}

// AppendStreamID writes what an exchange or a tunnel is known by; false: by nothing.
func (e *Entry) AppendStreamID(dst []byte) ([]byte, bool) {
	if e.Whole && e.Cluster == "" {
		return dst, false // nobody has made a stream of it
	}
	if e.Request == nil {
		return appendUUID(dst), true
	}
	id := e.Request.Get(http.XRequestID)
	return append(dst, id...), len(id) > 0
}

// originalPath is the path before anything was rewritten.
func (e *Entry) originalPath() []byte {
	if v := e.Request.Get(http.XEnvoyOriginalPath); v != nil {
		return v
	}
	return e.Request.Path()
}

// isGRPC tells whether the request is one of gRPC.
func (e *Entry) isGRPC() bool {
	if e.Request == nil {
		return false
	}
	kind := e.Request.Get(http.ContentType)
	const grpc = "application/grpc"
	return bytes.HasPrefix(kind, []byte(grpc)) && (len(kind) == len(grpc) || kind[len(grpc)] == '+' || kind[len(grpc)] == ';')
}

// GRPCStatus is the status that a response ends with in gRPC: from its trailers, else its head, else what its HTTP status stands for.
func (e *Entry) GRPCStatus() (code int, ok bool) {
	if e.ResponseTrailers != nil {
		if v := e.ResponseTrailers.Get(http.GRPCStatus); v != nil {
			return grpcNumber(v), true
		}
	}
	if e.Response != nil {
		if v := e.Response.Get(http.GRPCStatus); v != nil {
			return grpcNumber(v), true
		}
	}
	switch e.Status {
	case 0:
		return 0, false
	case 400:
		return 13, true
	case 401:
		return 16, true
	case 403:
		return 7, true
	case 404:
		return 12, true
	case 429, 502, 503, 504:
		return 14, true
	}
	return 2, true
}

// grpcNumber reads a status; -1 if it is none.
func grpcNumber(v []byte) int {
	n, err := strconv.ParseUint(string(v), 10, 31)
	if err != nil {
		return -1
	}
	return int(n)
}

// appendUUID writes a random UUID (RFC 9562 §5.4).
func appendUUID(dst []byte) []byte {
	hi, lo := rand.Uint64()&^0xf000|0x4000, rand.Uint64()&^(3<<62)|1<<63
	for i := range 32 {
		switch i {
		case 8, 12, 16, 20:
			dst = append(dst, '-')
		}
		word := hi
		if i >= 16 {
			word = lo
		}
		dst = append(dst, hexDigits[word>>(60-4*(i&15))&15])
	}
	return dst
}
