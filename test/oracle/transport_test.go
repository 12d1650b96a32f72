package oracle

import "strings"

// claiming are clients with these certificates, who say of themselves that they speak for another.
func claiming(names ...string) []exchange {
	list := once(names...)
	for i := range list {
		list[i].send = "GET /; x-forwarded-client-cert: By=http://a;Hash=b"
	}
	return list
}

// certified is a connection manager behind TLS that asks for certificates.
func certified(name, manager string) scenario {
	return scenario{name: name, chain: server(shows("front") + ", validation_context: {" + trust + "}"), manager: manager, vhost: routes(route("prefix: /", to)), sends: claiming("client", "twice", "nameless", "")}
}

// byEndpoint is a scenario whose one endpoint has a name and metadata.
func byEndpoint(name, upstream, cluster string, sends ...exchange) scenario {
	s := toPeer(name, upstream, cluster, sends...)
	s.ends["up"] = strings.Replace(s.ends["up"], "{endpoint: {", "{endpoint: {hostname: server.test, ", 1)
	s.ends["up"] = strings.Replace(s.ends["up"], "}}, }", "}}, metadata: {filter_metadata: {envoy.transport_socket_match: {mode: mesh, more: 1}}}}", 1)
	return s
}

func asksFor(fields string) string {
	return optionsUp("explicit_http_config: {http_protocol_options: {}}, upstream_http_protocol_options: {" + fields + "}")
}

func optionsUp(fields string) string {
	return `typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, ` + fields + `}}`
}

func stapled(response string) string {
	return "tls_certificates: [{certificate_chain: {filename: @folder/front.pem}, private_key: {filename: @folder/front.key}, ocsp_staple: {filename: @folder/" + response + "}}]"
}

// transports are scenarios of what is told of clients, and of whom upstreams are asked for.
var transports = []scenario{
	certified("xfcc-sanitize", "forward_client_cert_details: SANITIZE"),
	certified("xfcc-forward", "forward_client_cert_details: FORWARD_ONLY"),
	certified("xfcc-append", "forward_client_cert_details: APPEND_FORWARD\nset_current_client_cert_details: {subject: true, dns: true, uri: true}"),
	certified("xfcc-set", "forward_client_cert_details: SANITIZE_SET\nset_current_client_cert_details: {subject: true, cert: true, chain: true, dns: true, uri: true, issuer: true}"),
	certified("xfcc-json", "forward_client_cert_details: SANITIZE_SET\nset_current_client_cert_details: {subject: true, cert: true, chain: true, dns: true, uri: true, issuer: true, format: JSON}"),
	certified("xfcc-json-append", "forward_client_cert_details: APPEND_FORWARD\nset_current_client_cert_details: {uri: true, format: JSON}"),
	certified("xfcc-always", "forward_client_cert_details: ALWAYS_FORWARD_ONLY"),
	certified("xfcc-bare", "forward_client_cert_details: SANITIZE_SET"),

	{name: "tls-age", chain: server(shows("front"), "session_timeout: 60s"), sends: shakes(meeting{keep: "a"}, meeting{keep: "a"})},
	{name: "tls-password", chain: server(`tls_certificates: [{certificate_chain: {filename: @folder/rsa.pem}, private_key: {filename: @folder/rsa-sealed.key}, password: {inline_string: secret}}]`), sends: shakes(meeting{})},
	{name: "tls-pkcs12", chain: server(`tls_certificates: [{pkcs12: {filename: @folder/rsa.p12}, password: {inline_string: secret}}]`), sends: shakes(meeting{})},
	{name: "tls-stapled", chain: server(stapled("staple")), sends: shakes(meeting{})},
	{name: "tls-stapled-strictly", chain: server(stapled("staple"), "ocsp_staple_policy: STRICT_STAPLING"), sends: shakes(meeting{})},
	{name: "tls-stapled-ended", chain: server(stapled("ended-staple"), "ocsp_staple_policy: STRICT_STAPLING"), sends: shakes(meeting{})},
	{name: "tls-stapled-ended-leniently", chain: server(stapled("ended-staple")), sends: shakes(meeting{})},
	{name: "tls-stapled-again", chain: server(stapled("staple")), sends: shakes(meeting{keep: "a"}, meeting{keep: "a"})},
	{name: "tls-stapled-always", chain: server(stapled("staple"), "ocsp_staple_policy: MUST_STAPLE"), sends: shakes(meeting{})},

	byEndpoint("tls-up-host", "secure", peer("validation_context: {"+trust+"}", "sni: other.test", "auto_host_sni: true", "auto_sni_san_validation: true")),
	byEndpoint("tls-up-matched", "secure", "transport_socket_matches: [{name: a, match: {mode: other}, "+peer("")+"}, {name: b, match: {mode: mesh}, "+peer("validation_context: {"+trust+"}", "sni: server.test")+"}]"),
	byEndpoint("tls-up-matched-any", "secure", "transport_socket_matches: [{name: a, match: {}, "+peer("")+"}]"),
	byEndpoint("tls-up-matched-not", "well", "transport_socket_matches: [{name: a, match: {mode: mesh, more: 2}, "+peer("")+"}]"),
	toPeer("tls-up-asked", "secure", peer("validation_context: {"+trust+"}", "sni: other.test")+"\n"+asksFor("auto_sni: true, auto_san_validation: true"), hosting("server.test", "server.test:8443", "other.test", "10.1.2.3")...),
	toPeer("tls-up-asked-header", "secure", peer("validation_context: {"+trust+"}", "sni: other.test")+"\n"+asksFor("auto_sni: true, auto_san_validation: true, override_auto_sni_header: x-name"), exchange{send: "GET /; host: other.test; x-name: server.test"}, exchange{send: "GET /; host: server.test; x-name: other.test"}, exchange{send: "GET /; host: server.test"}),
	toPeer("tls-up-asked-old", "secure", peer("validation_context: {"+trust+"}", "sni: other.test")+"\nupstream_http_protocol_options: {auto_sni: true, auto_san_validation: true}", hosting("server.test", "other.test")...),
}

// hosting are requests for hosts.
func hosting(hosts ...string) (list []exchange) {
	for _, h := range hosts {
		list = append(list, exchange{send: "GET /; host: " + h})
	}
	return list
}
