package fields

// detecting is an extension that finds the client's address.
func detecting(message string) func(string) string {
	return func(piece string) string {
		return detected(`original_ip_detection_extensions: [{name: d, typed_config: {"@type": type.googleapis.com/envoy.extensions.http.original_ip_detection.` + message + ", " + piece + "}}]")
	}
}

// detected has the address in a log, and 10/8 for ours.
func detected(piece string) string {
	return hcm(replaced(fileLog, "%REQ(:SCHEME)%", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%") + "\ninternal_address_config: {cidr_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]}\n" + piece)
}

var (
	byField = detecting("custom_header.v3.CustomHeaderConfig")
	byList  = detecting("xff.v3.XffConfig")
)

const ip = "GET /; x-ip: 10.1.1.1; x-other: 10.2.2.2"

var detectionTrials = []trial{
	{paths: "HttpConnectionManager.original_ip_detection_extensions TypedExtensionConfig@detection.typed_config CustomHeaderConfig.header_name", site: detected, flip: `original_ip_detection_extensions: [{name: d, typed_config: {"@type": type.googleapis.com/envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig, header_name: x-ip}}]`, probe: look(ip, "@log"), want: [2]string{"127.0.0.1", "10.1.1.1"}},
	{paths: "CustomHeaderConfig.allow_extension_to_set_address_as_trusted", site: byField, base: "header_name: x-ip", flip: "header_name: x-ip, allow_extension_to_set_address_as_trusted: true", probe: look(ip, ">x-envoy-internal"), want: [2]string{"-", "true"}},
	{paths: "CustomHeaderConfig.reject_with_status", site: byField, base: "header_name: x-ip", flip: "header_name: x-ip, reject_with_status: {code: 401}", probe: look("GET /", "status"), want: [2]string{"200", "401"}},
	{paths: "XffConfig.xff_num_trusted_hops", site: byList, base: "skip_xff_append: true", flip: "skip_xff_append: true, xff_num_trusted_hops: 1", probe: look("GET /; x-forwarded-for: 9.9.9.9, 8.8.8.8", "@log"), want: [2]string{"8.8.8.8", "9.9.9.9"}},
	{paths: "XffConfig.skip_xff_append", site: byList, base: "skip_xff_append: true", flip: "skip_xff_append: false", probe: look("GET /", ">x-forwarded-for"), want: [2]string{"-", "127.0.0.1"}},
	{paths: "XffConfig.xff_trusted_cidrs XffTrustedCidrs.cidrs", site: byList, base: "skip_xff_append: true", flip: "skip_xff_append: true, xff_trusted_cidrs: {cidrs: [{address_prefix: 127.0.0.0, prefix_len: 8}, {address_prefix: 8.0.0.0, prefix_len: 8}]}", probe: look("GET /; x-forwarded-for: 9.9.9.9, 8.8.8.8", "@log"), want: [2]string{"8.8.8.8", "9.9.9.9"}},
}
