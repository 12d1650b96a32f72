package decode

// reportTable is for what is reported over gRPC: access logs.
var reportTable = table{
	"envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig": {
		"common_config":                       run,
		"additional_request_headers_to_log":   run,
		"additional_response_headers_to_log":  run,
		"additional_response_trailers_to_log": run,
	},
	"envoy.extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig": {
		"common_config": run,
	},
	"envoy.extensions.access_loggers.grpc.v3.CommonGrpcAccessLogConfig": {
		"log_name":                    run,
		"grpc_service":                run,
		"transport_api_version":       harmless("there is one version: V3"),
		"buffer_flush_interval":       run,
		"buffer_size_bytes":           run,
		"filter_state_objects_to_log": run,
		"grpc_stream_retry_policy":    harmless("entries wait until a stream stands, however often it takes"),
		"custom_tags":                 run,
	},
	"envoy.type.tracing.v3.CustomTag": {
		"tag":            run,
		"literal":        run,
		"environment":    run,
		"request_header": run,
		"metadata":       run,
		"value":          run,
		"value_type":     harmless("is for traces: logs have text"),
	},
	"envoy.type.tracing.v3.CustomTag.Literal":     {"value": run},
	"envoy.type.tracing.v3.CustomTag.Environment": {"name": run, "default_value": run},
	"envoy.type.tracing.v3.CustomTag.Header":      {"name": run, "default_value": run},
	"envoy.type.tracing.v3.CustomTag.Metadata":    {"kind": run, "metadata_key": run, "default_value": run},
	"envoy.type.metadata.v3.MetadataKind":         {"request": run, "route": run, "cluster": run, "host": run},
	"envoy.type.metadata.v3.MetadataKind.Request": {},
	"envoy.type.metadata.v3.MetadataKind.Route":   {},
	"envoy.type.metadata.v3.MetadataKind.Cluster": {},
	"envoy.type.metadata.v3.MetadataKind.Host":    {},
}
