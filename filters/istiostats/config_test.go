package istiostats_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	statsv3 "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/filters/http/istio_stats/v3"

	"github.com/weftmesh/weft/filters/istiostats"
)

func TestChecks(t *testing.T) {
	for text, want := range map[string]string{
		`{}`: "",
		`{"disableHostHeaderFallback": true, "tcpReportingDuration": "5s", "metrics": [{"name": "requests_total", "dimensions": {"a": "request.host"}, "tagsToRemove": ["b"]}], "gracefulDeletionInterval": "1s"}`: "",
		`{"tcpReportingDuration": "-1s"}`:      "tcp_reporting_duration: ",
		`{"rotationInterval": "-1s"}`:          "rotation_interval: ",
		`{"gracefulDeletionInterval": "0.9s"}`: "graceful_deletion_interval: ",
		`{"definitions": [{"value": "1"}]}`:    "definitions[0].name: ",
	} {
		var m statsv3.PluginConfig
		if err := protojson.Unmarshal([]byte(text), &m); err != nil {
			t.Fatal(err)
		}
		wire, err := proto.Marshal(&m)
		if err != nil {
			t.Fatal(err)
		}
		switch _, err := istiostats.Spec().Decode(wire); {
		case want == "" && err != nil:
			t.Errorf("%s: %v", text, err)
		case want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)):
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
