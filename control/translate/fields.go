package translate

// fields are those of a message by what becomes of them, by their names in the message, with blanks between. A field that is in none is not run, and
// its object is refused.
type fields struct {
	run  string
	idle string // it changes nothing of what proxies are told
	warn string // it is not run yet, and the object is served without it
}

const (
	forNetworking = "istio.networking.v1alpha3."
	forSecurity   = "istio.security.v1beta1."
	forMesh       = "istio.mesh.v1alpha1."
	forTelemetry  = "istio.telemetry.v1alpha1."
	forExtensions = "istio.extensions.v1alpha1."
)

// instead is what to do about fields that are not run and will not be.
var instead = map[string]string{
	forMesh + "MeshConfig.ExtensionProvider.lightstep":           "Envoy has no such tracer any more, and nothing is reported by it: want opentelemetry, which Lightstep takes, too",
	forMesh + "MeshConfig.ExtensionProvider.opencensus":          "Envoy has no such tracer any more, and nothing is reported by it: want opentelemetry",
	forExtensions + "WasmPlugin.image_pull_secret":               "secrets of registries are told to nobody: agents fetch images without one",
	forExtensions + "WasmPlugin.verification_key":                "nobody checks signatures of images, Istio neither: want sha256, or an image of a registry that is trusted",
	forMesh + "MeshConfig.ExtensionProvider.stackdriver":         "proxies report to no Stackdriver: want prometheus for metrics, and opentelemetry for traces",
	forMesh + "MeshConfig.ExtensionProvider.HttpHeader.env_name": "weftd's own environment is told to nobody, and the header is not sent: want value",
}

// known is all messages that objects are made of.
var known = map[string]fields{
	forNetworking + "VirtualService":           {run: "hosts gateways http tls tcp export_to"},
	forNetworking + "HTTPRoute":                {run: "name match route redirect direct_response delegate rewrite timeout retries fault mirror mirrors mirror_percent mirror_percentage cors_policy headers"},
	forNetworking + "HTTPMatchRequest":         {run: "name uri scheme method authority headers port source_labels gateways query_params ignore_uri_case without_headers source_namespace stat_prefix"},
	forNetworking + "StringMatch":              {run: "exact prefix regex"},
	forNetworking + "HTTPRouteDestination":     {run: "destination weight headers"},
	forNetworking + "Destination":              {run: "host subset port"},
	forNetworking + "PortSelector":             {run: "number"},
	forNetworking + "Headers":                  {run: "request response"},
	forNetworking + "Headers.HeaderOperations": {run: "set add remove"},
	forNetworking + "HTTPRedirect":             {run: "uri authority port derive_port scheme redirect_code prefix_rewrite"},
	forNetworking + "HTTPDirectResponse":       {run: "status body"},
	forNetworking + "HTTPBody":                 {run: "string bytes"},
	forNetworking + "Delegate":                 {run: "name namespace"},
	forNetworking + "HTTPRewrite":              {run: "uri authority uri_regex_rewrite"},
	forNetworking + "RegexRewrite":             {run: "match rewrite"},
	forNetworking + "HTTPRetry":                {run: "attempts per_try_timeout retry_on retry_remote_localities retry_ignore_previous_hosts backoff"},
	forNetworking + "HTTPFaultInjection":       {run: "delay abort"},
	forNetworking + "HTTPFaultInjection.Delay": {run: "percent fixed_delay percentage"},
	forNetworking + "Percent":                  {run: "value"},
	forNetworking + "HTTPFaultInjection.Abort": {run: "http_status grpc_status percentage"},
	forNetworking + "HTTPMirrorPolicy":         {run: "destination percentage"},
	forNetworking + "CorsPolicy":               {run: "allow_origin allow_origins allow_methods allow_headers expose_headers max_age allow_credentials unmatched_preflights"},
	forNetworking + "TLSRoute":                 {run: "match route"},
	forNetworking + "TLSMatchAttributes":       {run: "sni_hosts destination_subnets port source_labels gateways source_namespace"},
	forNetworking + "RouteDestination":         {run: "destination weight"},
	forNetworking + "TCPRoute":                 {run: "match route"},
	forNetworking + "L4MatchAttributes":        {run: "destination_subnets port source_labels gateways source_namespace"},

	forNetworking + "DestinationRule":                                            {run: "host traffic_policy subsets export_to"},
	forNetworking + "TrafficPolicy":                                              {run: "load_balancer connection_pool outlier_detection tls port_level_settings tunnel retry_budget"},
	forNetworking + "LoadBalancerSettings":                                       {run: "simple consistent_hash locality_lb_setting warmup_duration_secs warmup"},
	forNetworking + "LoadBalancerSettings.ConsistentHashLB":                      {run: "http_header_name http_cookie use_source_ip http_query_parameter_name ring_hash maglev minimum_ring_size"},
	forNetworking + "LoadBalancerSettings.ConsistentHashLB.HTTPCookie":           {run: "name path ttl attributes"},
	forNetworking + "LoadBalancerSettings.ConsistentHashLB.HTTPCookie.Attribute": {run: "name value"},
	forNetworking + "LoadBalancerSettings.ConsistentHashLB.RingHash":             {run: "minimum_ring_size"},
	forNetworking + "LoadBalancerSettings.ConsistentHashLB.MagLev":               {run: "table_size"},
	forNetworking + "LocalityLoadBalancerSetting":                                {run: "distribute failover failover_priority enabled"},
	forNetworking + "LocalityLoadBalancerSetting.Distribute":                     {run: "from to"},
	forNetworking + "LocalityLoadBalancerSetting.Failover":                       {run: "from to"},
	forNetworking + "WarmupConfiguration":                                        {run: "duration minimum_percent aggression"},
	forNetworking + "ConnectionPoolSettings":                                     {run: "tcp http"},
	forNetworking + "ConnectionPoolSettings.TCPSettings":                         {run: "max_connections connect_timeout tcp_keepalive max_connection_duration idle_timeout"},
	forNetworking + "ConnectionPoolSettings.TCPSettings.TcpKeepalive":            {run: "probes time interval"},
	forNetworking + "ConnectionPoolSettings.HTTPSettings":                        {run: "http1_max_pending_requests http2_max_requests max_requests_per_connection max_retries idle_timeout h2_upgrade_policy use_client_protocol max_concurrent_streams http2_keep_alive"},
	forNetworking + "ConnectionPoolSettings.HTTPSettings.ConnectionKeepalive":    {run: "interval timeout"},
	forNetworking + "OutlierDetection":                                           {run: "split_external_local_origin_errors consecutive_local_origin_failures consecutive_gateway_errors consecutive_5xx_errors interval base_ejection_time max_ejection_percent min_health_percent"},
	forNetworking + "ClientTLSSettings":                                          {run: "mode client_certificate private_key ca_certificates subject_alt_names sni insecure_skip_verify ca_crl credential_name"},
	forNetworking + "TrafficPolicy.PortTrafficPolicy":                            {run: "port load_balancer connection_pool outlier_detection tls"},
	forNetworking + "TrafficPolicy.TunnelSettings":                               {run: "protocol target_host target_port"},
	forNetworking + "TrafficPolicy.RetryBudget":                                  {run: "percent min_retry_concurrency budget_interval"},
	forNetworking + "Subset":                                                     {run: "name labels traffic_policy"},

	forNetworking + "ServiceEntry":     {run: "hosts addresses ports location resolution endpoints workload_selector export_to subject_alt_names"},
	forNetworking + "ServicePort":      {run: "number protocol name target_port"},
	forNetworking + "WorkloadEntry":    {run: "address ports labels network locality weight service_account"},
	forNetworking + "WorkloadSelector": {run: "labels"},

	forNetworking + "WorkloadGroup":            {run: "metadata template", idle: "probe"}, // which is for the agent of a machine
	forNetworking + "WorkloadGroup.ObjectMeta": {run: "labels annotations"},

	forNetworking + "Gateway": {run: "servers selector"},
	forNetworking + "Server":  {run: "port bind hosts tls name"},
	forNetworking + "Port":    {run: "number protocol name", idle: "target_port"}, // Istio does not run it either
	forNetworking + "ServerTLSSettings": {
		run: "https_redirect mode server_certificate private_key ca_certificates ca_crl credential_name credential_names ca_cert_credential_name subject_alt_names verify_certificate_spki verify_certificate_hash min_protocol_version max_protocol_version cipher_suites ecdh_curves",
	},

	forNetworking + "Sidecar":               {run: "workload_selector ingress egress outbound_traffic_policy"},
	forNetworking + "IstioEgressListener":   {run: "hosts"},
	forNetworking + "IstioIngressListener":  {run: "port bind capture_mode default_endpoint"},
	forNetworking + "SidecarPort":           {run: "number protocol name", idle: "target_port"},
	forNetworking + "OutboundTrafficPolicy": {run: "mode"},

	"istio.type.v1beta1.WorkloadSelector":        {run: "match_labels"},
	forSecurity + "PeerAuthentication":           {run: "selector mtls port_level_mtls"},
	forSecurity + "PeerAuthentication.MutualTLS": {run: "mode"},

	forSecurity + "AuthorizationPolicy":                   {run: "selector rules action provider", warn: "targetRef targetRefs"},
	forSecurity + "AuthorizationPolicy.ExtensionProvider": {run: "name"},
	forSecurity + "Rule":                                  {run: "from to when"},
	forSecurity + "Rule.From":                             {run: "source"},
	forSecurity + "Rule.To":                               {run: "operation"},
	forSecurity + "Condition":                             {run: "key values not_values"},
	forSecurity + "Operation":                             {run: "hosts not_hosts ports not_ports methods not_methods paths not_paths"},
	forSecurity + "Source": {
		run: "principals not_principals request_principals not_request_principals namespaces not_namespaces service_accounts not_service_accounts ip_blocks not_ip_blocks remote_ip_blocks not_remote_ip_blocks trust_domains not_trust_domains",
	},
	forSecurity + "RequestAuthentication": {run: "selector jwt_rules", warn: "targetRef targetRefs"},
	forSecurity + "JWTRule": {
		run: "issuer audiences jwks_uri jwks from_headers from_params output_payload_to_header from_cookies forward_original_token output_claim_to_headers timeout space_delimited_claims",
	},
	forSecurity + "JWTHeader":     {run: "name prefix"},
	forSecurity + "ClaimToHeader": {run: "header claim"},

	forMesh + "MeshNetworks":                        {run: "networks"},
	forMesh + "Network":                             {run: "endpoints gateways"},
	forMesh + "Network.NetworkEndpoints":            {run: "from_cidr from_registry"},
	forMesh + "Network.IstioNetworkGateway":         {run: "registry_service_name address port", idle: "locality"}, // Istio does not run it either
	forMesh + "MeshConfig.ServiceSettings":          {run: "settings hosts"},
	forMesh + "MeshConfig.ServiceSettings.Settings": {run: "cluster_local"},
	forMesh + "MeshConfig": {
		run: "service_settings ingress_class ingress_controller_mode ingress_selector access_log_file access_log_format access_log_encoding proxy_listen_port proxy_inbound_listen_port connect_timeout protocol_detection_timeout tcp_keepalive outbound_traffic_policy enable_auto_mtls trust_domain trust_domain_aliases default_service_export_to default_virtual_service_export_to default_destination_rule_export_to root_namespace locality_lb_setting dns_refresh_rate h2_upgrade_policy path_normalization default_config default_http_retry_policy mesh_mTLS tls_defaults default_traffic_policy extension_providers default_providers enable_tracing inbound_traffic_policy inbound_cluster_stat_name outbound_cluster_stat_name verify_certificate_at_client default_inbound_http_retry_policy",
		// what is for ingress controllers, for agents, for the control plane's own parts, and what Istio itself does not run any more
		idle: "ingress_service config_sources certificates enable_prometheus_merge ca ca_certificates disable_envoy_listener_log enable_envoy_access_log_service discovery_selectors",
		warn: "proxy_http_port hbone_idle_timeout zone_aware_lb_setting service_scope_configs service_entry_visibility",
	},
	"istio.networking.v1beta1.ProxyConfig": {idle: "selector concurrency environment_variables image"},
	forMesh + "ProxyConfig": {
		run: "gateway_topology tracing",
		// what agents make bootstraps and command lines of, and injectors pods
		idle: "config_path binary_path service_cluster tracing_service_name drain_duration discovery_address discovery_refresh_delay zipkin_address statsd_udp_address envoy_metrics_service_address proxy_admin_port availability_zone control_plane_auth_policy custom_config_file stat_name_length concurrency proxy_bootstrap_template_path interception_mode sds envoy_metrics_service proxy_metadata runtime_values status_port extra_stat_tags termination_drain_duration mesh_id readiness_probe proxy_stats_matcher hold_application_until_proxy_starts ca_certificates_pem image file_flush_interval file_flush_min_size_kb stats_compression",
		warn: "envoy_access_log_service private_key_provider proxy_headers connection_settings",
	},
	forMesh + "Topology":                            {run: "num_trusted_proxies forward_client_cert_details proxy_protocol"},
	forMesh + "Topology.ProxyProtocolConfiguration": {},
	forMesh + "MeshConfig.OutboundTrafficPolicy":    {run: "mode", warn: "tls"},
	forMesh + "MeshConfig.InboundTrafficPolicy":     {run: "mode"},
	forMesh + "MeshConfig.ProxyPathNormalization":   {run: "normalization"},
	forMesh + "MeshConfig.TLSConfig":                {run: "min_protocol_version ecdh_curves cipher_suites"},
	forMesh + "MeshConfig.DefaultTrafficPolicy":     {run: "connection_pool outlier_detection"},
	forMesh + "MeshConfig.DefaultProviders":         {run: "access_logging tracing metrics"},
	forMesh + "MeshConfig.ExtensionProvider": {
		run:  "name envoy_file_access_log envoy_http_als envoy_tcp_als envoy_ext_authz_http envoy_ext_authz_grpc zipkin datadog skywalking opentelemetry prometheus envoy_otel_als",
		warn: "lightstep stackdriver opencensus sds",
	},
	forMesh + "MeshConfig.ExtensionProvider.EnvoyFileAccessLogProvider":           {run: "path log_format omit_empty_values"},
	forMesh + "MeshConfig.ExtensionProvider.EnvoyFileAccessLogProvider.LogFormat": {run: "text labels"},
	forMesh + "MeshConfig.ExtensionProvider.EnvoyHttpGrpcV3LogProvider": {
		run: "service port log_name filter_state_objects_to_log additional_request_headers_to_log additional_response_headers_to_log additional_response_trailers_to_log",
	},
	forMesh + "MeshConfig.ExtensionProvider.EnvoyOpenTelemetryLogProvider":           {run: "service port log_name log_format"},
	forMesh + "MeshConfig.ExtensionProvider.EnvoyOpenTelemetryLogProvider.LogFormat": {run: "text labels"},
	forMesh + "MeshConfig.ExtensionProvider.EnvoyTcpGrpcV3LogProvider":               {run: "service port log_name filter_state_objects_to_log"},

	forMesh + "MeshConfig.ExtensionProvider.EnvoyExternalAuthorizationHttpProvider": {
		run: "service port timeout path_prefix fail_open clear_route_cache status_on_error include_headers_in_check include_request_headers_in_check include_additional_headers_in_check include_request_body_in_check headers_to_upstream_on_allow headers_to_downstream_on_deny headers_to_downstream_on_allow",
	},
	forMesh + "MeshConfig.ExtensionProvider.EnvoyExternalAuthorizationGrpcProvider": {run: "service port timeout fail_open clear_route_cache status_on_error include_request_body_in_check"},
	forMesh + "MeshConfig.ExtensionProvider.EnvoyExternalAuthorizationRequestBody":  {run: "max_request_bytes allow_partial_message pack_as_bytes"},

	forMesh + "MeshConfig.ExtensionProvider.ZipkinTracingProvider":                                      {run: "service port max_tag_length enable_64bit_trace_id path trace_context_option timeout headers"},
	forMesh + "MeshConfig.ExtensionProvider.DatadogTracingProvider":                                     {run: "service port max_tag_length"},
	forMesh + "MeshConfig.ExtensionProvider.SkyWalkingTracingProvider":                                  {run: "service port access_token"},
	forMesh + "MeshConfig.ExtensionProvider.OpenTelemetryTracingProvider":                               {run: "service port max_tag_length http grpc resource_detectors dynatrace_sampler", warn: "service_attribute_enrichment"},
	forMesh + "MeshConfig.ExtensionProvider.OpenTelemetryTracingProvider.DynatraceSampler":              {run: "tenant cluster_id root_spans_per_minute http_service"},
	forMesh + "MeshConfig.ExtensionProvider.OpenTelemetryTracingProvider.DynatraceSampler.DynatraceApi": {run: "service port http"},
	forMesh + "MeshConfig.ExtensionProvider.PrometheusMetricsProvider":                                  {},
	forMesh + "MeshConfig.ExtensionProvider.HttpService":                                                {run: "path timeout headers"},
	forMesh + "MeshConfig.ExtensionProvider.GrpcService":                                                {run: "timeout initial_metadata"},
	forMesh + "MeshConfig.ExtensionProvider.HttpHeader":                                                 {run: "name value", warn: "env_name"},
	forMesh + "MeshConfig.ExtensionProvider.ResourceDetectors":                                          {run: "environment dynatrace"},
	forMesh + "MeshConfig.ExtensionProvider.ResourceDetectors.EnvironmentResourceDetector":              {},
	forMesh + "MeshConfig.ExtensionProvider.ResourceDetectors.DynatraceResourceDetector":                {},
	// what agents make the tracer of a bootstrap of
	forMesh + "Tracing":               {run: "custom_tags max_path_tag_length sampling enable_istio_tags", idle: "zipkin lightstep datadog stackdriver open_census_agent tls_settings"},
	forMesh + "Tracing.CustomTag":     {run: "literal environment header"},
	forMesh + "Tracing.Literal":       {run: "value"},
	forMesh + "Tracing.Environment":   {run: "name default_value"},
	forMesh + "Tracing.RequestHeader": {run: "name default_value"},

	forTelemetry + "Telemetry":                    {run: "selector access_logging tracing metrics", warn: "targetRef targetRefs"},
	forTelemetry + "AccessLogging":                {run: "match providers disabled filter"},
	forTelemetry + "AccessLogging.LogSelector":    {run: "mode"},
	forTelemetry + "AccessLogging.Filter":         {run: "expression"},
	forTelemetry + "Metrics":                      {run: "providers overrides reporting_interval"},
	forTelemetry + "MetricsOverrides":             {run: "match disabled tag_overrides"},
	forTelemetry + "MetricsOverrides.TagOverride": {run: "operation value"},
	forTelemetry + "MetricSelector":               {run: "metric custom_metric mode"},
	forTelemetry + "Tracing": {
		run: "match providers random_sampling_percentage disable_span_reporting custom_tags use_request_id_for_trace_sampling enable_istio_tags disable_context_propagation",
	},
	forTelemetry + "Tracing.TracingSelector": {run: "mode"},
	forTelemetry + "Tracing.CustomTag":       {run: "literal environment header formatter"},
	forTelemetry + "Tracing.Literal":         {run: "value"},
	forTelemetry + "Tracing.Environment":     {run: "name default_value"},
	forTelemetry + "Tracing.RequestHeader":   {run: "name default_value"},
	forTelemetry + "Tracing.Formatter":       {run: "value"},
	forTelemetry + "ProviderRef":             {run: "name"},

	forExtensions + "WasmPlugin": {
		run:  "selector url sha256 image_pull_policy plugin_config plugin_name phase priority fail_strategy vm_config match type",
		warn: "targetRef targetRefs image_pull_secret verification_key",
	},
	forExtensions + "WasmPlugin.TrafficSelector": {run: "mode ports"},
	"istio.type.v1beta1.PortSelector":            {run: "number"},
	forExtensions + "VmConfig":                   {run: "env"},
	forExtensions + "EnvVar":                     {run: "name value_from value"},
}
