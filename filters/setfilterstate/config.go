package setfilterstate

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	statev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_filter_state/v3"

	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/xds/decode"
)

// settings are one configuration of the filter, of its chain or of a route.
type settings struct {
	values     []value
	clearRoute bool
}

// value is one that is set.
type value struct {
	name      string
	format    *accesslog.Format
	skipEmpty bool
	hashable  bool
}

// Spec is the filter.
func Spec() filters.Spec {
	return filters.Spec{
		Name:           "envoy.filters.http.set_filter_state",
		Type:           "envoy.extensions.filters.http.set_filter_state.v3.Config",
		Override:       "envoy.extensions.filters.http.set_filter_state.v3.Config",
		Decode:         func(wire []byte) (any, error) { return read(wire) },
		DecodeOverride: func(wire []byte, _ string) (any, error) { return read(wire) },
		Hooks:          filters.OnRequestHeaders,
		Build: func(c any, _ filters.Site) func(int) filters.Filter {
			return func(int) filters.Filter { return &filter{chain: c.(*settings)} }
		},
	}
}

func read(wire []byte) (*settings, error) {
	var m statev3.Config
	if err := proto.Unmarshal(wire, &m); err != nil {
		return nil, err
	}
	s := &settings{clearRoute: m.GetClearRouteCache()}
	for i, v := range m.GetOnRequestHeaders() {
		path := fmt.Sprintf("on_request_headers[%d]", i)
		switch factory := v.GetFactoryKey(); factory {
		case "envoy.string", "envoy.hashable_string", "istio.hashable_string":
		case "":
			return nil, decode.Wrong(path+".factory_key", "is missing: want envoy.string, since a value is text here")
		default:
			return nil, decode.Wrong(path+".factory_key", "%q: not supported yet: a value is text: want envoy.string", factory)
		}
		f, err := decode.Format(v.GetFormatString(), path+".format_string")
		if err != nil {
			return nil, err
		}
		s.values = append(s.values, value{name: v.GetObjectKey(), format: f, skipEmpty: v.GetSkipIfEmpty(), hashable: v.GetFactoryKey() != "envoy.string"})
	}
	if len(s.values) > filters.MaxFilterState {
		return nil, decode.Wrong("on_request_headers", "%d: an exchange has room for %d", len(s.values), filters.MaxFilterState)
	}
	return s, nil
}
