package oracle

func detecting(name, list string, sends ...string) scenario {
	c := scenario{name: "detect-" + name, manager: "original_ip_detection_extensions: [" + list + "]\ninternal_address_config: {cidr_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]}"}
	for _, s := range sends {
		c.sends = append(c.sends, exchange{send: "GET /" + s})
	}
	return c
}

func byHeader(more string) string {
	return `{name: c, typed_config: {"@type": type.googleapis.com/envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig, header_name: X-IP` + more + "}}"
}

func byList(fields string) string {
	return `{name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.http.original_ip_detection.xff.v3.XffConfig, ` + fields + "}}"
}

const via = "; x-forwarded-for: "

var detections = []scenario{
	detecting("header", byHeader(", allow_extension_to_set_address_as_trusted: true, reject_with_status: {code: 401}"), "; x-ip: 10.1.1.1", "; x-ip: 9.9.9.9", "; x-ip: 9.9.9.9:80", "; x-ip: bad", "", "; x-ip: ::1", "; x-ip: 10.1.1.1"+via+"8.8.8.8", "; x-ip: 10.1.1.1,10.1.1.2"),
	detecting("rejects", byHeader(", reject_with_status: {code: 200}"), "", "; x-ip: 10.1.1.1"),
	detecting("both", byHeader("")+", "+byList("xff_num_trusted_hops: 1"), "; x-ip: 10.1.1.1", "; x-ip: bad", "", via+"10.1.1.1", via+"10.1.1.1, 10.2.2.2", "; x-ip: 10.3.3.3"+via+"10.1.1.1"),
	detecting("appends", byList("skip_xff_append: false"), "", via+"10.1.1.1", via+"10.1.1.1, 10.2.2.2"),
	detecting("networks", byList("xff_trusted_cidrs: {cidrs: [{address_prefix: 127.0.0.0, prefix_len: 8}, {address_prefix: 10.2.0.0, prefix_len: 16}]}"), "", via+"10.1.1.1", via+"10.1.1.1, 10.2.2.2", via+"10.2.2.2", via+"10.1.1.1, 9.9.9.9, 10.2.2.2", via+"10.2.1.1, 10.2.2.2", via+"bad, 10.2.2.2"),
	detecting("stranger", byList("xff_trusted_cidrs: {cidrs: [{address_prefix: 10.2.0.0, prefix_len: 16}]}"), "", via+"10.1.1.1"),
}
