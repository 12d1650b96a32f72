package l7

import (
	"bytes"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/wire/http"
)

// passesCheck looks at the fields by which a request steers us, as far as they are to be looked at: one that means nothing, which is passed
// over otherwise, is answered with 400.
func (x *exchange) passesCheck() bool {
	for _, name := range x.server.config.Router.StrictCheck {
		id := http.Lookup(name)
		if !x.request.Has(id) {
			continue
		}
		x.scratch = x.scratch[:0]
		for i := x.request.Index(id, 0); i >= 0; i = x.request.Index(id, i+1) {
			if len(x.scratch) > 0 {
				x.scratch = append(x.scratch, ',')
			}
			x.scratch = append(x.scratch, x.request.Value(i)...)
		}
		if meansSomething(id, x.scratch) {
			continue
		}
		x.entry.Flags |= accesslog.InvalidEnvoyRequestHeaders
		x.reply(400, "request_headers_failed_strict_check{"+name+"}", []byte("invalid header '"+name+"' with value '"+string(x.scratch)+"'"), "")
		return false
	}
	return true
}

func meansSomething(id http.ID, value []byte) bool {
	switch id {
	case http.XEnvoyRetryOn:
		return areReasons(value, false)
	case http.XEnvoyRetryGRPCOn:
		return areReasons(value, true)
	}
	if len(value) > 1 && value[0] == '+' {
		value = value[1:]
	}
	for _, b := range value {
		if b < '0' || b > '9' {
			return false
		}
	}
	return len(value) > 0 && len(value) <= maxDigits
}

// maxDigits is how many every number of 64 bits has room for.
const maxDigits = 19

// areReasons tells whether every word of a list is a reason to try again.
func areReasons(list []byte, grpc bool) bool {
	for len(list) > 0 {
		var e []byte
		e, list, _ = bytes.Cut(list, []byte(","))
		if len(bytes.TrimSpace(e)) > 0 && retryWords(e, grpc) == config.RetryOn(0) {
			return false
		}
	}
	return true
}
