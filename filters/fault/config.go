package fault

import (
	"errors"
	"time"

	"google.golang.org/protobuf/proto"

	commonv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/fault/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/xds/decode"
)

// settings are one configuration of the filter, of its chain or of a route.
type settings struct {
	delay, abort, limit *fault
	status              uint16 // of an abort; 0: code is said
	code                uint8  // of gRPC
	body                []byte // of an abort
	duration            time.Duration
	rate                uint64 // bytes a second
	cluster             string // "": any
	nodes               []string
	headers             []config.HeaderMatch
	maxActive           int64 // negative: no limit
	clusterStats        bool
	metadata            map[string]any
}

// fault is one kind of fault: to which share of requests it happens, and whether requests say what it is.
type fault struct {
	share    config.Fraction
	byHeader bool
}

// defaultBody is what an abort says.
const defaultBody = "fault filter abort"

// Spec is the filter.
func Spec() filters.Spec {
	return filters.Spec{
		Name:           "envoy.filters.http.fault",
		Type:           "envoy.extensions.filters.http.fault.v3.HTTPFault",
		Override:       "envoy.extensions.filters.http.fault.v3.HTTPFault",
		Decode:         func(wire []byte) (any, error) { return read(wire) },
		DecodeOverride: func(wire []byte, _ string) (any, error) { return read(wire) },
		Hooks:          filters.OnRequestHeaders | filters.OnResponseBody,
		Build:          build,
	}
}

func read(wire []byte) (*settings, error) {
	var m faultv3.HTTPFault
	if err := proto.Unmarshal(wire, &m); err != nil {
		return nil, err
	}
	s := &settings{
		body:         []byte(defaultBody),
		cluster:      m.GetUpstreamCluster(),
		nodes:        m.GetDownstreamNodes(),
		maxActive:    -1,
		clusterStats: !m.GetDisableDownstreamClusterStats(),
	}
	var errs [2]error
	s.headers, errs[0] = decode.HeaderMatches(m.GetHeaders(), "headers")
	if w := m.GetMaxActiveFaults(); w != nil {
		s.maxActive = int64(w.GetValue())
	}
	if f := m.GetFilterMetadata(); f != nil {
		s.metadata = f.AsMap()
	}
	if d := m.GetDelay(); d != nil {
		s.delay = &fault{share: decode.Fraction(d.GetPercentage()), byHeader: d.GetHeaderDelay() != nil}
		s.duration, errs[1] = decode.Duration(d.GetFixedDelay(), "delay.fixed_delay")
	}
	if a := m.GetAbort(); a != nil {
		s.abort = &fault{share: decode.Fraction(a.GetPercentage()), byHeader: a.GetHeaderAbort() != nil}
		s.status, s.code = uint16(a.GetHttpStatus()), uint8(min(a.GetGrpcStatus(), 255))
		if a.GetResponseBody() != "" {
			s.body = []byte(a.GetResponseBody())
		}
	}
	if l := m.GetResponseRateLimit(); l != nil {
		_, byHeader := l.GetLimitType().(*commonv3.FaultRateLimit_HeaderLimit_)
		s.limit = &fault{share: decode.Fraction(l.GetPercentage()), byHeader: byHeader}
		s.rate = min(l.GetFixedLimit().GetLimitKbps(), maxRate) << 10
	}
	return s, errors.Join(errs[0], errs[1])
}

// maxRate, in KiB a second, is more than any connection carries.
const maxRate = 1 << 32
