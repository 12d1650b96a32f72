package xds

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
)

// A private key is in no dump, in whichever way it came: by name, in a transport socket, in one that was written as a struct, or in one
// that nobody can read.
func TestPrivateKeysAreNotShown(t *testing.T) {
	const context = `"common_tls_context": {"tls_certificates": [{"certificate_chain": {"inline_string": "seen"}, "private_key": {"%s": "SECRET"}, "password": {"inline_string": "SECRET"}}]}`
	for _, source := range []string{"inline_string", "filename", "environment_variable"} {
		own := strings.ReplaceAll(context, "%s", source)
		text := `{"static_resources": {
			"secrets": [{"name": "own", "tls_certificate": {"certificate_chain": {"inline_string": "seen"}, "private_key": {"` + source + `": "SECRET"}}},
				{"name": "keys", "session_ticket_keys": {"keys": [{"inline_string": "SECRET"}]}}],
			"listeners": [{"name": "l", "filter_chains": [
				{"transport_socket": {"name": "a", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext", ` + own + `}}},
				{"transport_socket": {"name": "b", "typed_config": {"@type": "type.googleapis.com/xds.type.v3.TypedStruct", "type_url": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext", "value": {` + own + `}}}},
				{"transport_socket": {"name": "c", "typed_config": {"@type": "type.googleapis.com/udpa.type.v1.TypedStruct", "type_url": "type.googleapis.com/unknown.Context", "value": {` + own + `}}}}]}]}}`
		var m bootstrapv3.Bootstrap
		if err := protojson.Unmarshal([]byte(text), &m); err != nil {
			t.Fatal(err)
		}
		whole := proto.CloneOf(&m)
		redact(m.ProtoReflect())
		got := protojson.Format(&m)
		if strings.Contains(got, "SECRET") || strings.Count(got, "seen") != 3 {
			t.Errorf("%s: %s", source, got)
		}
		if proto.Equal(whole, &m) {
			t.Error("nothing has changed")
		}
	}
}
