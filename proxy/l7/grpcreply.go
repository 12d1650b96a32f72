package l7

import (
	"strconv"

	"github.com/weftmesh/weft/filters"
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
		code = filters.GRPCStatusOf(a.status)
	}
	if !r.Has(http.GRPCStatus) {
		var n [3]byte
		r.Add(http.GRPCStatus, strconv.AppendUint(n[:0], uint64(code), 10))
	}
	if len(a.body) > 0 && !x.request.IsHead() {
		r.Add(http.GRPCMessage, filters.AppendGRPCMessage(nil, a.body))
	}
	a.body = nil
}

const grpcDeadlineExceeded = 4
