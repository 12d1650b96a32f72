package translate

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	celv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/filters/cel/v3"
	grpcv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/grpc/v3"
	otelv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/open_telemetry/v3"
	otlpv1 "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
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

// logs are where requests (http) or connections are written to; nil: nowhere.
func (k *connections) logs(http bool) (list []*accesslogv3.AccessLog) {
	for link := k.logTo; link != nil; link = link.before {
		if l := k.log(link.item.(logTo), http); l != nil {
			list = append(list, l)
		}
	}
	slices.Reverse(list) // a chain begins with its last
	return list
}

// log is one of them; nil: it is not for what is asked for.
func (k *connections) log(to logTo, http bool) *accesslogv3.AccessLog {
	var name string
	var config proto.Message
	switch p := to.provider.GetProvider().(type) {
	case nil:
		c := k.settings.Config
		name, config = fileLog, &filev3.FileAccessLog{Path: c.GetAccessLogFile(), AccessLogFormat: &filev3.FileAccessLog_LogFormat{LogFormat: k.format()}}
	case *meshv1.MeshConfig_ExtensionProvider_EnvoyFileAccessLog:
		name, config = fileLog, &filev3.FileAccessLog{Path: p.EnvoyFileAccessLog.GetPath(), AccessLogFormat: &filev3.FileAccessLog_LogFormat{LogFormat: k.formatOf(p.EnvoyFileAccessLog)}}
	case *meshv1.MeshConfig_ExtensionProvider_EnvoyHttpAls:
		if !http {
			return nil
		}
		als := p.EnvoyHttpAls
		name, config = "envoy.access_loggers.http_grpc", &grpcv3.HttpGrpcAccessLogConfig{
			CommonConfig:                   commonLog(cmp.Or(als.GetLogName(), "http_envoy_accesslog"), to.cluster, als.GetFilterStateObjectsToLog()),
			AdditionalRequestHeadersToLog:  als.GetAdditionalRequestHeadersToLog(),
			AdditionalResponseHeadersToLog: als.GetAdditionalResponseHeadersToLog(), AdditionalResponseTrailersToLog: als.GetAdditionalResponseTrailersToLog(),
		}
	case *meshv1.MeshConfig_ExtensionProvider_EnvoyTcpAls:
		if http {
			return nil
		}
		name, config = "envoy.access_loggers.tcp_grpc", &grpcv3.TcpGrpcAccessLogConfig{CommonConfig: commonLog(cmp.Or(p.EnvoyTcpAls.GetLogName(), "tcp_envoy_accesslog"), to.cluster, p.EnvoyTcpAls.GetFilterStateObjectsToLog())}
	case *meshv1.MeshConfig_ExtensionProvider_EnvoyOtelAls:
		if k.traits.Weft {
			return nil // it writes none yet, and refuses who says so
		}
		name, config = "envoy.access_loggers.open_telemetry", otelLog(p.EnvoyOtelAls, to.cluster)
	}
	l := &accesslogv3.AccessLog{Name: name, ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: wrap(config)}}
	if to.filter != "" {
		l.Filter = &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_ExtensionFilter{ExtensionFilter: &accesslogv3.ExtensionFilter{
			Name: "envoy.access_loggers.extension_filters.cel", ConfigType: &accesslogv3.ExtensionFilter_TypedConfig{TypedConfig: wrap(&celv3.ExpressionFilter{Expression: to.filter})},
		}}}
	}
	return l
}

const fileLog = "envoy.access_loggers.file"

func commonLog(name, cluster string, state []string) *grpcv3.CommonGrpcAccessLogConfig {
	return &grpcv3.CommonGrpcAccessLogConfig{
		LogName: name, FilterStateObjectsToLog: state, TransportApiVersion: corev3.ApiVersion_V3,
		GrpcService: grpcTo(cluster, ""),
	}
}

// otelLog writes to a collector of OpenTelemetry: a text, and beside it values by name.
func otelLog(p *meshv1.MeshConfig_ExtensionProvider_EnvoyOpenTelemetryLogProvider, cluster string) *otelv3.OpenTelemetryAccessLogConfig {
	c := &otelv3.OpenTelemetryAccessLogConfig{
		LogName: cmp.Or(p.GetLogName(), "otel_envoy_accesslog"), GrpcService: grpcTo(cluster, hostOfService(p.GetService())), DisableBuiltinLabels: true,
		Body: &otlpv1.AnyValue{Value: &otlpv1.AnyValue_StringValue{StringValue: cmp.Or(p.GetLogFormat().GetText(), usualText())}},
	}
	if labels := p.GetLogFormat().GetLabels(); len(labels.GetFields()) > 0 {
		c.Attributes = otelValues(labels)
	}
	return c
}

// otelValues are values as Envoy takes them: of texts, lists and what has names. Numbers and the like it refuses, so that they are told as texts.
func otelValues(s *structpb.Struct) *otlpv1.KeyValueList {
	list := &otlpv1.KeyValueList{}
	for _, name := range slices.Sorted(maps.Keys(s.GetFields())) {
		list.Values = append(list.Values, &otlpv1.KeyValue{Key: name, Value: otelValue(s.GetFields()[name])})
	}
	return list
}

func otelValue(v *structpb.Value) *otlpv1.AnyValue {
	text := ""
	switch is := v.GetKind().(type) {
	case *structpb.Value_StringValue:
		text = is.StringValue
	case *structpb.Value_NumberValue:
		text = strconv.FormatFloat(is.NumberValue, 'g', -1, 64)
	case *structpb.Value_BoolValue:
		text = strconv.FormatBool(is.BoolValue)
	case *structpb.Value_StructValue:
		return &otlpv1.AnyValue{Value: &otlpv1.AnyValue_KvlistValue{KvlistValue: otelValues(is.StructValue)}}
	case *structpb.Value_ListValue:
		list := &otlpv1.ArrayValue{}
		for _, one := range is.ListValue.GetValues() {
			list.Values = append(list.Values, otelValue(one))
		}
		return &otlpv1.AnyValue{Value: &otlpv1.AnyValue_ArrayValue{ArrayValue: list}}
	}
	return &otlpv1.AnyValue{Value: &otlpv1.AnyValue_StringValue{StringValue: text}}
}

// format is how the file is written that the mesh itself names.
func (k *connections) format() *corev3.SubstitutionFormatString {
	c := k.settings.Config
	if c.GetAccessLogEncoding() == meshv1.MeshConfig_JSON {
		fields := usualFields()
		if said := c.GetAccessLogFormat(); said != "" {
			own := &structpb.Struct{}
			if protojson.Unmarshal([]byte(said), own) == nil {
				fields = own
			}
		}
		return fieldsFormat(fields)
	}
	return textFormat(c.GetAccessLogFormat())
}

// formatOf is how a provider's file is written.
func (k *connections) formatOf(p *meshv1.MeshConfig_ExtensionProvider_EnvoyFileAccessLogProvider) *corev3.SubstitutionFormatString {
	var f *corev3.SubstitutionFormatString
	switch said := p.GetLogFormat().GetLogFormat().(type) {
	case *meshv1.MeshConfig_ExtensionProvider_EnvoyFileAccessLogProvider_LogFormat_Labels:
		fields := said.Labels
		if len(fields.GetFields()) == 0 {
			fields = usualFields()
		}
		f = fieldsFormat(fields)
	case *meshv1.MeshConfig_ExtensionProvider_EnvoyFileAccessLogProvider_LogFormat_Text:
		f = textFormat(said.Text)
	default:
		f = k.format()
	}
	f.OmitEmptyValues = p.GetOmitEmptyValues()
	return f
}

func fieldsFormat(fields *structpb.Struct) *corev3.SubstitutionFormatString {
	return &corev3.SubstitutionFormatString{Format: &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: fields}}
}

// textFormat writes lines; an empty text is the usual one.
func textFormat(text string) *corev3.SubstitutionFormatString {
	if text == "" {
		text = usualText()
	} else if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return &corev3.SubstitutionFormatString{Format: &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: text}}}}
}
