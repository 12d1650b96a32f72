package translate

import (
	"strings"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"
	meshv1 "istio.io/api/mesh/v1alpha1"
)

// logged are the fields of a line of the access log, in the order of Istio's usual text, which tools read.
var logged = []struct{ name, command, quoted string }{
	{"start_time", "%START_TIME%", "[]"},
	{"method", "%REQ(:METHOD)%", `"`},
	{"path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%", ""},
	{"protocol", "%PROTOCOL%", `"`},
	{"response_code", "%RESPONSE_CODE%", ""},
	{"response_flags", "%RESPONSE_FLAGS%", ""},
	{"response_code_details", "%RESPONSE_CODE_DETAILS%", ""},
	{"connection_termination_details", "%CONNECTION_TERMINATION_DETAILS%", ""},
	{"upstream_transport_failure_reason", "%UPSTREAM_TRANSPORT_FAILURE_REASON%", `""`},
	{"bytes_received", "%BYTES_RECEIVED%", ""},
	{"bytes_sent", "%BYTES_SENT%", ""},
	{"duration", "%DURATION%", ""},
	{"upstream_service_time", "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%", ""},
	{"x_forwarded_for", "%REQ(X-FORWARDED-FOR)%", `""`},
	{"user_agent", "%REQ(USER-AGENT)%", `""`},
	{"request_id", "%REQ(X-REQUEST-ID)%", `""`},
	{"authority", "%REQ(:AUTHORITY)%", `""`},
	{"upstream_host", "%UPSTREAM_HOST%", `""`},
	{"upstream_cluster", "%UPSTREAM_CLUSTER_RAW%", ""},
	{"upstream_local_address", "%UPSTREAM_LOCAL_ADDRESS%", ""},
	{"downstream_local_address", "%DOWNSTREAM_LOCAL_ADDRESS%", ""},
	{"downstream_remote_address", "%DOWNSTREAM_REMOTE_ADDRESS%", ""},
	{"requested_server_name", "%REQUESTED_SERVER_NAME%", ""},
	{"route_name", "%ROUTE_NAME%", ""},
}

// usualText is the usual line. Method, path and protocol stand in quotes together.
func usualText() string {
	var parts []string
	for _, f := range logged {
		switch {
		case len(f.quoted) == 2:
			parts = append(parts, f.quoted[:1]+f.command+f.quoted[1:])
		case f.name == "method":
			parts = append(parts, f.quoted+f.command)
		default:
			parts = append(parts, f.command+f.quoted)
		}
	}
	return strings.Join(parts, " ") + "\n"
}

func usualFields() *structpb.Struct {
	s := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	for _, f := range logged {
		s.Fields[f.name] = structpb.NewStringValue(f.command)
	}
	return s
}

// logs are where the mesh has requests and connections written to; nil: nowhere.
func (k *connections) logs() []*accesslogv3.AccessLog {
	c := k.settings.Config
	if c.GetAccessLogFile() == "" {
		return nil
	}
	format := &corev3.SubstitutionFormatString{}
	if c.GetAccessLogEncoding() == meshv1.MeshConfig_JSON {
		fields := usualFields()
		if said := c.GetAccessLogFormat(); said != "" {
			own := &structpb.Struct{}
			if protojson.Unmarshal([]byte(said), own) == nil {
				fields = own
			}
		}
		format.Format = &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: fields}
	} else {
		text := c.GetAccessLogFormat()
		if text == "" {
			text = usualText()
		} else if !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		format.Format = &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: text}}}
	}
	return []*accesslogv3.AccessLog{{Name: "envoy.access_loggers.file", ConfigType: &accesslogv3.AccessLog_TypedConfig{
		TypedConfig: wrap(&filev3.FileAccessLog{Path: c.GetAccessLogFile(), AccessLogFormat: &filev3.FileAccessLog_LogFormat{LogFormat: format}}),
	}}}
}
