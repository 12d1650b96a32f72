package csrf

import (
	"google.golang.org/protobuf/proto"

	csrfv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/csrf/v3"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/xds/decode"
)

// policy is one configuration of the filter, of its chain or of a route.
type policy struct {
	enabled, shadow config.Fraction
	origins         []config.StringMatch // besides the request's own host
}

// Spec is the filter.
func Spec() filters.Spec {
	return filters.Spec{
		Name:           "envoy.filters.http.csrf",
		Type:           "envoy.extensions.filters.http.csrf.v3.CsrfPolicy",
		Override:       "envoy.extensions.filters.http.csrf.v3.CsrfPolicy",
		Decode:         func(wire []byte) (any, error) { return read(wire) },
		DecodeOverride: func(wire []byte, _ string) (any, error) { return read(wire) },
		Hooks:          filters.OnRequestHeaders,
		Build:          build,
	}
}

func read(wire []byte) (*policy, error) {
	var m csrfv3.CsrfPolicy
	if err := proto.Unmarshal(wire, &m); err != nil {
		return nil, err
	}
	p := &policy{enabled: decode.RuntimeFraction(m.GetFilterEnabled(), config.Fraction{}), shadow: decode.RuntimeFraction(m.GetShadowEnabled(), config.Fraction{})}
	var err error
	p.origins, err = decode.StringMatches(m.GetAdditionalOrigins(), "additional_origins")
	return p, err
}
