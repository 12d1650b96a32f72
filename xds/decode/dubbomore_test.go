package decode

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	dubbov3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/dubbo_proxy/v3"

	"github.com/weftmesh/weft/config"
)

// What a route asks for besides Envoy's conditions is read as it is meant, or refused with what to do; what is said to somebody else is his.
func TestDubboMore(t *testing.T) {
	read := func(key, any string) (*config.Dubbo, error) {
		t.Helper()
		m := &dubbov3.DubboProxy{}
		if err := protojson.Unmarshal([]byte(`{"statPrefix": "d", "routeConfig": [{"interface": "*", "routes": [{"match": {}, "route": {"cluster": "up", "metadataMatch": {"typedFilterMetadata": {"`+key+`": `+any+`}}}}]}]}`), m); err != nil {
			t.Fatal(any, err)
		}
		s := New(nil, Options{}).session()
		s.walk(m.ProtoReflect(), "", nil)
		d := s.dubbo(m, nil)
		return d, s.err()
	}
	route := func(more string) string { return `{"@type": "type.googleapis.com/weft.dubbo.v1.Route", ` + more + `}` }
	for more, want := range map[string]string{
		`"retry": {}`:               "retry.attempts: 0: want 1 to 10",
		`"retry": {"attempts": 11}`: "retry.attempts: 11: want 1 to 10",
		`"retry": {"attempts": 1, "perTryTimeout": "-1s"}`: "per_try_timeout: -1s is negative",
		`"timeout": "-1s"`: "timeout: -1s is negative",
		`"mirrors": [{}]`:  "mirrors[0].cluster: a name is missing",
		`"mirrors": [{"cluster": "a", "fraction": {"numerator": 101}}]`: "101 of 100 is more than everything",
		`"fallbacks": {"a": {}}`:                                                                   "is empty: want the cluster",
		`"fallbacks": {"a": {"clusters": [""]}}`:                                                   "a name is missing",
		`"match": {"services": [{}]}`:                                                              "services[0]",
		`"match": {"services": [{"safeRegex": {"regex": "("}}]}`:                                   "not a pattern",
		`"match": {"arguments": [{"index": 255}]}`:                                                 "at most 255 parameters",
		`"match": {"arguments": [{"texts": {}}]}`:                                                  "texts.patterns: is empty",
		`"match": {"arguments": [{"texts": {"patterns": [{}]}}]}`:                                  "patterns[0]",
		`"match": {"arguments": [{"numbers": {"none": true}}]}`:                                    "numbers.patterns: is empty",
		`"match": {"arguments": [{"numbers": {"patterns": [{}]}}]}`:                                "want exact or range",
		`"match": {"arguments": [{"numbers": {"patterns": [{"exact": "NaN"}]}}]}`:                  "NaN is no number",
		`"match": {"arguments": [{"numbers": {"patterns": [{"range": {"start": 2, "end": 2}}]}}]}`: "nothing is in [2, 2)",
		`"match": {"arguments": [{"booleans": {}}]}`:                                               "booleans.values: is empty",
		`"match": {"attachments": [{"texts": {"patterns": [{"exact": "a"}]}}]}`:                    "attachments[0].name: a name is missing",
		`"match": {"attachments": [{"name": "a"}]}`:                                                "texts.patterns: is empty",
	} {
		if _, err := read(dubboKey, route(more)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v: want %s", more, err, want)
		}
	}
	d, err := read(dubboKey, route(`"timeout": "2s", "match": {"argc": 0}, "retry": {"attempts": 2}, "mirrors": [{"cluster": "a"}]`))
	if err != nil {
		t.Fatal(err)
	}
	if r := d.Routes.Services[0].Routes[0]; r.Timeout.Seconds() != 2 || r.More == nil || r.More.Argc == nil || *r.More.Argc != 0 || r.Retry.Attempts != 2 || r.Retry.Idempotent || r.Mirrors[0].Share != config.Always {
		t.Errorf("%+v", r)
	}
	// Under another key it is somebody else's, whatever it is; under ours what is no Route is not passed over, since the route would be wider than it was meant.
	for _, any := range []string{route(`"match": {"argc": 3}`), `{"@type": "type.googleapis.com/google.protobuf.Duration", "value": "1s"}`} {
		d, err := read("other", any)
		if err != nil || d.Routes.Services[0].Routes[0].More != nil {
			t.Errorf("%s under another key: %v", any, err)
		}
	}
	if _, err := read(dubboKey, `{"@type": "type.googleapis.com/google.protobuf.Duration", "value": "1s"}`); err == nil || !strings.Contains(err.Error(), "there may be weft.dubbo.v1.Route") {
		t.Error(err)
	}
}
