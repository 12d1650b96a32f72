package l7

import (
	"strconv"

	"github.com/weftmesh/weft/wire/http"
)

// replyGRPC makes an answer one that a client of gRPC understands: a head alone, with the status in it.
func (x *exchange) replyGRPC(a *answer) {
	r := &x.response
	r.Status = 200
	r.SetString(http.ContentType, "application/grpc") // whatever others have made of it
	r.Remove(http.ContentLength)
	code := a.code
	if !a.hasCode {
		code = grpcCode(a.status)
	}
	if !r.Has(http.GRPCStatus) {
		var n [3]byte
		r.Add(http.GRPCStatus, strconv.AppendUint(n[:0], uint64(code), 10))
	}
	if len(a.body) > 0 {
		r.Add(http.GRPCMessage, appendPercent(nil, a.body))
		a.body = nil
	}
}

const grpcDeadlineExceeded = 4

// grpcCode is what an HTTP status means in gRPC (doc/http-grpc-status-mapping.md of gRPC).
func grpcCode(status uint16) uint8 {
	switch status {
	case 400:
		return 13
	case 401:
		return 16
	case 403:
		return 7
	case 404:
		return 12
	case 429, 502, 503, 504:
		return 14
	}
	return 2
}

// appendPercent writes a message as grpc-message wants it: printable ASCII, everything else as %XX.
func appendPercent(dst, message []byte) []byte {
	const digits = "0123456789ABCDEF"
	for _, c := range message {
		if c >= ' ' && c <= '~' && c != '%' {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', digits[c>>4], digits[c&15])
		}
	}
	return dst
}
