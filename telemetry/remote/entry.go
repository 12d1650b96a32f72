package remote

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/telemetry/accesslog"
)

// common writes an AccessLogCommon.
func (s *sink) common(dst []byte, b *buffer, e *accesslog.Entry) []byte {
	dst, at := open(dst, 1)
	dst = address(dst, 2, e.Remote, e.RemotePath)
	dst = address(dst, 3, e.Local, e.LocalPath)
	dst = b.secured(dst, 4, e)
	dst = moment(dst, 5, e.Start)
	dst = span(dst, 6, e.RequestEnd)
	dst = span(dst, 7, e.UpstreamFirstSent)
	dst = span(dst, 8, e.UpstreamLastSent)
	dst = span(dst, 9, e.UpstreamHead)
	dst = span(dst, 10, e.UpstreamEnd)
	dst = span(dst, 11, e.DownstreamHead)
	if e.Answered {
		dst = span(dst, 12, e.End)
	}
	dst = address(dst, 13, e.UpstreamHost, e.UpstreamPath)
	dst = address(dst, 14, e.UpstreamLocal, "")
	if chosen(e) {
		dst = text(dst, 15, e.ClusterStatName)
	}
	dst = flags(dst, 16, e.Flags)
	dst = metadata(dst, 17, e.Metadata)
	dst = text(dst, 18, e.UpstreamFailure)
	dst = text(dst, 19, e.Route)
	dst = address(dst, 20, e.Direct, e.RemotePath)
	dst = s.state(dst, 21, e)
	dst = s.tags(dst, 22, e)
	if e.Moment == config.LogAtEnd {
		dst = span(dst, 23, e.End)
	}
	dst = number(dst, 24, uint64(e.Attempts))
	dst = text(dst, 25, e.Termination)
	dst = stream(dst, 26, e)
	dst = truth(dst, 27, e.Moment != config.LogAtEnd)
	dst = text(dst, 28, e.Failure)
	dst = number(dst, 29, e.WireSent)
	dst = number(dst, 30, e.WireReceived)
	dst = number(dst, 31, e.UpstreamWireSent)
	dst = number(dst, 32, e.UpstreamWireReceived)
	dst = number(dst, 33, momentOf(e))
	return end(dst, at)
}

// chosen tells whether there is an endpoint. Without one Envoy tells no cluster here.
func chosen(e *accesslog.Entry) bool { return e.UpstreamHost.IsValid() || e.UpstreamPath != "" }

// stream is what an exchange or a tunnel is known by.
func stream(dst []byte, field protowire.Number, e *accesslog.Entry) []byte {
	before := len(dst)
	dst, at := open(dst, field)
	dst, ok := e.AppendStreamID(dst)
	if !ok {
		return dst[:before]
	}
	return end(clean(dst, at), at)
}

// Kinds of what is logged: a connection as a whole, one that is carried, or a request.
const (
	whole = iota
	carried
	request
)

// moments are the numbers of AccessLogType, by what is logged and when.
var moments = [...][4]uint64{
	carried: {config.LogAtEnd: 3, config.LogAtStart: 14, config.LogAtTunnel: 1, config.LogMeanwhile: 2},
	request: {config.LogAtEnd: 6, config.LogAtStart: 4, config.LogAtTunnel: 10, config.LogMeanwhile: 5},
}

func momentOf(e *accesslog.Entry) uint64 {
	kind := carried
	switch {
	case e.Whole:
		kind = whole
	case e.HasProtocol:
		kind = request
	}
	return moments[kind][e.Moment]
}

// flagFields are the fields of ResponseFlags.
var flagFields = [...]struct {
	flag  accesslog.Flags
	field protowire.Number
}{
	{accesslog.FailedLocalHealthCheck, 1},
	{accesslog.NoHealthyUpstream, 2},
	{accesslog.UpstreamRequestTimeout, 3},
	{accesslog.LocalReset, 4},
	{accesslog.UpstreamRemoteReset, 5},
	{accesslog.UpstreamConnectionFailure, 6},
	{accesslog.UpstreamConnectionTermination, 7},
	{accesslog.UpstreamOverflow, 8},
	{accesslog.NoRouteFound, 9},
	{accesslog.DelayInjected, 10},
	{accesslog.FaultInjected, 11},
	{accesslog.RateLimited, 12},
	{accesslog.RateLimitServiceError, 14},
	{accesslog.DownstreamConnectionTermination, 15},
	{accesslog.UpstreamRetryLimitExceeded | accesslog.ConnectAttemptsExceeded, 16},
	{accesslog.StreamIdleTimeout, 17},
	{accesslog.InvalidEnvoyRequestHeaders, 18},
	{accesslog.DownstreamProtocolError, 19},
	{accesslog.UpstreamMaxStreamDurationReached, 20},
	{accesslog.ResponseFromCacheFilter, 21},
	{accesslog.NoFilterConfigFound, 22},
	{accesslog.DurationTimeout, 23},
	{accesslog.UpstreamProtocolError, 24},
	{accesslog.NoClusterFound, 25},
	{accesslog.OverloadManager, 26},
	{accesslog.DNSResolutionFailed, 27},
	{accesslog.DownstreamRemoteReset, 28},
}

// told are the flags that ResponseFlags has fields for.
var told = func() (all accesslog.Flags) {
	for _, f := range flagFields {
		all |= f.flag
	}
	return all | accesslog.Unauthorized
}()

// flags are what went wrong; nothing is written if nothing did.
func flags(dst []byte, field protowire.Number, f accesslog.Flags) []byte {
	if f&told == 0 {
		return dst
	}
	dst, at := open(dst, field)
	for i := range flagFields {
		dst = truth(dst, flagFields[i].field, f&flagFields[i].flag != 0)
	}
	if f&accesslog.Unauthorized != 0 {
		var why int
		dst, why = open(dst, 13)
		dst = end(number(dst, 1, 1), why) // by an external service: there is no other reason
	}
	return end(dst, at)
}

// state are the named values that are asked for, as Envoy packs text.
func (s *sink) state(dst []byte, field protowire.Number, e *accesslog.Entry) []byte {
	for _, name := range s.config.State {
		v, ok := e.StateOf(name)
		if !ok {
			continue
		}
		var at, packed, held int
		dst, at = open(dst, field)
		dst = text(dst, 1, name)
		dst, packed = open(dst, 2)
		dst = text(dst, 1, "type.googleapis.com/google.protobuf.StringValue")
		dst, held = open(dst, 2)
		dst = end(end(end(text(dst, 1, v), held), packed), at)
	}
	return dst
}

// tags are what the configuration gives names.
func (s *sink) tags(dst []byte, field protowire.Number, e *accesslog.Entry) []byte {
	for i := range s.config.Tags {
		t := &s.config.Tags[i]
		if t.Chosen && !chosen(e) {
			continue
		}
		before := len(dst)
		var at, held int
		dst, at = open(dst, field)
		dst = text(dst, 1, t.Name)
		dst, held = open(dst, 2)
		if dst = clean(t.Format.(*accesslog.Format).Append(dst, e), held); len(dst) == held {
			dst = append(dst, t.Otherwise...)
		}
		if len(dst) == held {
			dst = dst[:before]
			continue
		}
		dst = end(end(dst, held), at)
	}
	return dst
}

// connection writes a TCPAccessLogEntry.
func (s *sink) connection(dst []byte, b *buffer, e *accesslog.Entry) []byte {
	dst = s.common(dst, b, e)
	dst, at := open(dst, 2)
	dst = number(dst, 1, e.BytesReceived)
	return end(number(dst, 2, e.BytesSent), at)
}
