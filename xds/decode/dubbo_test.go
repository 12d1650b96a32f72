package decode

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	dubbov3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/dubbo_proxy/v3"
)

// Where routes of Dubbo come from is said once, and nobody is asked who cannot tell.
func TestDubboRoutesOf(t *testing.T) {
	const list = `"routeConfig": [{"interface": "*", "routes": [{"match": {}, "route": {"cluster": "up"}}]}]`
	for _, c := range []struct{ text, refused string }{
		{list, ""},
		{`"multipleRouteConfig": {"name": "r", ` + list + `}`, ""},
		{`"multipleRouteConfig": {}, ` + list, "route_config: multiple_route_config is there, too: say it in that"},
		{`"multipleRouteConfig": {"routeConfig": [{}]}`, "multiple_route_config.route_config[0].interface: an interface is missing"},
		{`"drds": {"configSource": {"ads": {}}, "routeConfigName": "r"}`, ""},
		{`"drds": {"configSource": {"ads": {}}}`, ""},
		{`"drds": {"configSource": {"pathConfigSource": {"path": "/a.yaml"}}}`, ""},
		{`"drds": {"configSource": {"ads": {}}}, ` + list, "route_config: drds is there, too: say it in that"},
		{`"drds": {"configSource": {}}`, "drds.config_source: is empty: want ads, api_config_source or path_config_source"},
		{`"drds": {"configSource": {"apiConfigSource": {"apiType": "GRPC", "grpcServices": [{"envoyGrpc": {"clusterName": "plane"}}]}}}`, "drds.config_source.api_config_source: nobody can be asked for routes of Dubbo alone"},
		{`"drds": {"configSource": {"pathConfigSource": {"path": ""}}}`, "drds.config_source.path_config_source.path: a path is missing"},
	} {
		m := &dubbov3.DubboProxy{}
		if err := protojson.Unmarshal([]byte(`{"statPrefix": "d", `+c.text+`}`), m); err != nil {
			t.Fatal(c.text, err)
		}
		s := New(nil, Options{Shared: true, Servers: map[string]bool{"plane": true}}).session()
		d := s.dubbo(m, nil)
		err := s.err()
		if c.refused == "" && err != nil || c.refused != "" && (err == nil || !strings.HasPrefix(err.Error(), c.refused)) {
			t.Errorf("%s: %v, want %q", c.text, err, c.refused)
		}
		if comes := d.RouteFile != nil || d.RouteStream != nil; err == nil && comes == (d.Routes != nil) {
			t.Errorf("%s: routes are there and come, too, or neither: %+v", c.text, d)
		}
	}
}
