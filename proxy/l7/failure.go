package l7

import (
	"strings"

	"github.com/weftmesh/weft/proxy/upstream"
	"github.com/weftmesh/weft/telemetry/accesslog"
)

// verdict is what a failure of the upstream side means for the exchange, if no byte of a response has gone downstream. Its radius is
// always the stream; where the connection is lost too, upstream has closed it already.
type verdict struct {
	status uint16
	flags  accesslog.Flags
	reason string // as the body and the response code details tell it
	safe   bool   // the request cannot have been acted on, so any other endpoint may be tried
}

// verdicts, by failure. Statuses, flags and words are Envoy's.
var verdicts = [...]verdict{
	upstream.Overflow:           {status: 503, flags: accesslog.UpstreamOverflow, reason: "overflow", safe: true},
	upstream.ConnectFailed:      {status: 503, flags: accesslog.UpstreamConnectionFailure, reason: "remote connection failure", safe: true},
	upstream.LocalConnectFailed: {status: 503, flags: accesslog.UpstreamConnectionFailure, reason: "local connection failure", safe: true},
	upstream.ConnectTimeout:     {status: 503, flags: accesslog.UpstreamConnectionFailure, reason: "connection timeout", safe: true},
	upstream.Terminated:         {status: 503, flags: accesslog.UpstreamConnectionTermination, reason: "connection termination"},
	upstream.Stale:              {status: 503, flags: accesslog.UpstreamConnectionTermination, reason: "connection termination"},
	upstream.Reset:              {status: 503, flags: accesslog.UpstreamRemoteReset, reason: "remote reset"},
	upstream.Unprocessed:        {status: 503, flags: accesslog.UpstreamRemoteReset, reason: "remote refused stream reset", safe: true},
	upstream.Malformed:          {status: 502, flags: accesslog.UpstreamProtocolError, reason: "protocol error"},
}

// body is what the client reads.
func (v *verdict) body(dst []byte, retried bool) []byte {
	dst = append(dst, "upstream connect error or disconnect/reset before headers. "...)
	if retried {
		dst = append(dst, "retried and the latest "...)
	}
	dst = append(dst, "reset reason: "...)
	return append(dst, v.reason...)
}

// failedBecause is the response code detail of a failure: Envoy's prefix, the reason, and what the system said of the connection, if
// it said anything; with underscores, since details hold no spaces.
func (v *verdict) failedBecause(transport string, answered bool) string {
	details := "upstream_reset_before_response_started{" + v.reason
	if answered {
		details = "upstream_reset_after_response_started{" + v.reason
	}
	if transport != "" {
		details += "|" + transport
	}
	return strings.ReplaceAll(details, " ", "_") + "}"
}
