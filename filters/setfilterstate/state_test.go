package setfilterstate

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	statev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_filter_state/v3"
)

func TestRefusesOtherKinds(t *testing.T) {
	for text, want := range map[string]string{
		`{"onRequestHeaders": [{"objectKey": "envoy.tcp_proxy.cluster", "formatString": {"textFormat": "x"}}]}`:         "on_request_headers[0].factory_key: is missing",
		`{"onRequestHeaders": [{"objectKey": "k", "factoryKey": "envoy.ip", "formatString": {"textFormat": "x"}}]}`:     `on_request_headers[0].factory_key: "envoy.ip"`,
		`{"onRequestHeaders": [{"objectKey": "k", "factoryKey": "envoy.string", "formatString": {"textFormat": "%"}}]}`: "on_request_headers[0].format_string.text_format: ",
		`{"onRequestHeaders": [{"objectKey": "k", "factoryKey": "envoy.string", "formatString": {"textFormat": "x"}}]}`: "",
	} {
		var m statev3.Config
		if err := protojson.Unmarshal([]byte(text), &m); err != nil {
			t.Fatal(err)
		}
		wire, err := proto.Marshal(&m)
		if err != nil {
			t.Fatal(err)
		}
		switch _, err := read(wire); {
		case want == "" && err != nil:
			t.Errorf("%s: %v", text, err)
		case want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)):
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
