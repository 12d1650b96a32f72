package healthcheck

import (
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	healthv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/health_check/v3"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/xds/decode"
)

// settings are the filter's configuration.
type settings struct {
	pass     bool          // the upstream answers
	cache    time.Duration // for how long its answer holds; 0: it is asked every time
	headers  []config.HeaderMatch
	clusters []need // of which some endpoints must be well; sorted by name
}

// need is a cluster, and the percent of its endpoints that must be well.
type need struct {
	cluster string
	percent int
}

// Spec is the filter.
func Spec() filters.Spec {
	return filters.Spec{
		Name:   "envoy.filters.http.health_check",
		Type:   "envoy.extensions.filters.http.health_check.v3.HealthCheck",
		Decode: read,
		Hooks:  filters.OnRequestHeaders | filters.OnResponseHeaders,
		Build:  build,
	}
}

func read(wire []byte) (any, error) {
	var m healthv3.HealthCheck
	if err := proto.Unmarshal(wire, &m); err != nil {
		return nil, err
	}
	s := &settings{pass: m.GetPassThroughMode().GetValue()}
	var err error
	if s.headers, err = decode.HeaderMatches(m.GetHeaders(), "headers"); err != nil {
		return nil, err
	}
	if s.cache, err = decode.Duration(m.GetCacheTime(), "cache_time"); err != nil {
		return nil, err
	}
	for name, least := range m.GetClusterMinHealthyPercentages() {
		s.clusters = append(s.clusters, need{name, int(least.GetValue())}) // Envoy counts whole percents only
	}
	slices.SortFunc(s.clusters, func(a, b need) int { return strings.Compare(a.cluster, b.cluster) })
	if s.cache > 0 && !s.pass {
		return nil, decode.Wrong("cache_time", "there is nothing to remember unless pass_through_mode is true")
	}
	return s, nil
}
