package localratelimit

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/ratelimit/v3"
	localv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/xds/decode"
)

// settings are one configuration of the filter, of its chain or of a route.
type settings struct {
	key              filters.Key // of a route's buckets, which outlive the configuration
	hash             [32]byte
	prefix           string // of statistics
	status           uint16
	standard         *config.Rate // nil: only descriptors limit
	descriptors      []descriptor
	enabled, imposed config.Fraction
	whenLimited      []config.HeaderAdd // to the response
	whenNotImposed   []config.HeaderAdd // to the request
	limits           []config.RateLimit
	stage            uint32
	hosts            hostLimits
	perConnection    bool
	standardToo      bool // the standard bucket counts beside descriptors
	tellLimits       bool
	tellRetry        bool
	exhausted        bool // gRPC is told RESOURCE_EXHAUSTED
}

// descriptor is a limit of its own for what has these entries.
type descriptor struct {
	entries string // as filters.AppendEntry writes them
	rate    config.Rate
	shadow  bool
}

// hostLimits says when a virtual host's rate limits hold beside a route's.
type hostLimits uint8

const (
	hostOverridden hostLimits = iota // where the route has none
	hostIncluded
	hostIgnored
)

// Spec is the filter.
func Spec() filters.Spec {
	return filters.Spec{
		Name:           "envoy.filters.http.local_ratelimit",
		Type:           "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
		Override:       "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
		Decode:         func(wire []byte) (any, error) { return read(wire) },
		DecodeOverride: readOverride,
		Hooks:          filters.OnRequestHeaders | filters.OnResponseHeaders,
		Build:          build,
	}
}

func readOverride(wire []byte, place string) (any, error) {
	s, err := read(wire)
	if err != nil {
		return nil, err
	}
	if s.standard == nil {
		return nil, decode.Wrong("token_bucket", "is missing: a route that has no limit disables the filter")
	}
	s.key = place + fmt.Sprintf("#%x", s.hash)
	return s, nil
}

func read(wire []byte) (*settings, error) {
	var m localv3.LocalRateLimit
	if err := proto.Unmarshal(wire, &m); err != nil {
		return nil, err
	}
	s := &settings{
		hash:          sha256.Sum256(wire),
		prefix:        m.GetStatPrefix() + ".http_local_rate_limit.",
		status:        uint16(m.GetStatus().GetCode()),
		enabled:       decode.RuntimeFraction(m.GetFilterEnabled(), config.Fraction{}),
		imposed:       decode.RuntimeFraction(m.GetFilterEnforced(), config.Fraction{}),
		stage:         m.GetStage(),
		perConnection: m.GetLocalRateLimitPerDownstreamConnection(),
		standardToo:   true,
		tellLimits:    m.GetEnableXRatelimitHeaders() == ratelimitv3.XRateLimitHeadersRFCVersion_DRAFT_VERSION_03,
		tellRetry:     m.GetEnableRetryAfterHeader(),
		exhausted:     m.GetRateLimitedAsResourceExhausted(),
	}
	if s.status < 400 {
		s.status = 429 // as Envoy: what is limited is an error
	}
	if w := m.GetAlwaysConsumeDefaultTokenBucket(); w != nil {
		s.standardToo = w.GetValue()
	}
	switch m.GetVhRateLimits() {
	case ratelimitv3.VhRateLimitsOptions_INCLUDE:
		s.hosts = hostIncluded
	case ratelimitv3.VhRateLimitsOptions_IGNORE:
		s.hosts = hostIgnored
	}
	var errs [4]error
	s.whenLimited, errs[0] = decode.HeaderAdditions(m.GetResponseHeadersToAdd(), "response_headers_to_add")
	s.whenNotImposed, errs[1] = decode.HeaderAdditions(m.GetRequestHeadersToAddWhenNotEnforced(), "request_headers_to_add_when_not_enforced")
	s.limits, errs[2] = decode.RateLimits(m.GetRateLimits(), "rate_limits")
	if b := m.GetTokenBucket(); b != nil {
		var r config.Rate
		r, errs[3] = decode.Rate(b, "token_bucket")
		s.standard = &r
	}
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	return s, s.readDescriptors(m.GetDescriptors())
}

func (s *settings) readDescriptors(list []*ratelimitv3.LocalRateLimitDescriptor) error {
	for i, d := range list {
		var key []byte
		path := fmt.Sprintf("descriptors[%d]", i)
		for j, e := range d.GetEntries() {
			if e.GetValue() == "" {
				return decode.Wrong(fmt.Sprintf("%s.entries[%d].value", path, j), "is missing: buckets for values that are not listed are not supported yet")
			}
			key = filters.AppendEntry(key, e.GetKey(), e.GetValue())
		}
		r, err := decode.Rate(d.GetTokenBucket(), path+".token_bucket")
		if err != nil {
			return err
		}
		if slices.ContainsFunc(s.descriptors, func(o descriptor) bool { return o.entries == string(key) }) {
			return decode.Wrong(path, "there is one with these entries already")
		}
		s.descriptors = append(s.descriptors, descriptor{entries: string(key), rate: r, shadow: d.GetShadowMode()})
	}
	return nil
}
