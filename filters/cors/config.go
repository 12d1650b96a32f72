package cors

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/xds/decode"
)

// policy is what a virtual host, route or share says. What it does not say, the more general one does.
type policy struct {
	origins                         []config.StringMatch
	methods, headers, expose, age   []byte
	enabled, shadow                 config.Fraction
	credentials, private, forwarded said
}

// said is a yes or no that may be left open.
type said uint8

const (
	open said = iota
	no
	yes
)

func saidBy(w *wrapperspb.BoolValue) said {
	switch {
	case w == nil:
		return open
	case w.GetValue():
		return yes
	}
	return no
}

// Spec is the filter.
func Spec() filters.Spec {
	return filters.Spec{
		Name:           "envoy.filters.http.cors",
		Type:           "envoy.extensions.filters.http.cors.v3.Cors",
		Override:       "envoy.extensions.filters.http.cors.v3.CorsPolicy",
		Decode:         func(wire []byte) (any, error) { return nil, proto.Unmarshal(wire, &corsv3.Cors{}) },
		DecodeOverride: readPolicy,
		Hooks:          filters.OnRequestHeaders | filters.OnResponseHeaders,
		Build:          build,
	}
}

func readPolicy(wire []byte, _ string) (any, error) {
	var m corsv3.CorsPolicy
	if err := proto.Unmarshal(wire, &m); err != nil {
		return nil, err
	}
	p := &policy{
		methods:     []byte(m.GetAllowMethods()),
		headers:     []byte(m.GetAllowHeaders()),
		expose:      []byte(m.GetExposeHeaders()),
		age:         []byte(m.GetMaxAge()),
		enabled:     decode.RuntimeFraction(m.GetFilterEnabled(), config.Always),
		shadow:      decode.RuntimeFraction(m.GetShadowEnabled(), config.Fraction{}),
		credentials: saidBy(m.GetAllowCredentials()),
		private:     saidBy(m.GetAllowPrivateNetworkAccess()),
		forwarded:   saidBy(m.GetForwardNotMatchingPreflights()),
	}
	var err error
	p.origins, err = decode.StringMatches(m.GetAllowOriginStringMatch(), "allow_origin_string_match")
	return p, err
}
