package oracle

import "crypto/tls"

// expressed is what expressions tell of TLS.
const expressed = `json_format: {` +
	`connection: ["%TYPED_CEL(connection.mtls)%", "%CEL(connection.tls_version)%", "%TYPED_CEL(connection.subject_local_certificate)%", "%TYPED_CEL(connection.subject_peer_certificate)%", "%TYPED_CEL(connection.dns_san_local_certificate)%", "%TYPED_CEL(connection.dns_san_peer_certificate)%", "%TYPED_CEL(connection.uri_san_local_certificate)%", "%TYPED_CEL(connection.uri_san_peer_certificate)%", "%CEL(connection.sha256_peer_certificate_digest)%", "%CEL(connection.peer_certificate)%", "%TYPED_CEL(has(connection.tls_version))%", "%TYPED_CEL(has(connection.subject_peer_certificate))%", "%TYPED_CEL(has(connection.peer_certificate))%", "%TYPED_CEL(has(connection.transport_failure_reason))%", "%TYPED_CEL(has(connection.requested_server_name))%"], ` +
	`upstream: ["%CEL(upstream.tls_version)%", "%TYPED_CEL(upstream.subject_local_certificate)%", "%TYPED_CEL(upstream.subject_peer_certificate)%", "%TYPED_CEL(upstream.dns_san_local_certificate)%", "%TYPED_CEL(upstream.dns_san_peer_certificate)%", "%TYPED_CEL(upstream.uri_san_local_certificate)%", "%TYPED_CEL(upstream.uri_san_peer_certificate)%", "%CEL(upstream.sha256_peer_certificate_digest)%", "%CEL(upstream.peer_certificate)%", "%TYPED_CEL(has(upstream.tls_version))%", "%TYPED_CEL(has(upstream.subject_peer_certificate))%", "%TYPED_CEL(has(upstream.transport_failure_reason))%"]}`

// saying is a listener that logs its connections, too.
func saying(name, socket string, sends ...exchange) scenario {
	return scenario{name: name, chain: socket, listener: listenerLog(name), sends: sends}
}

// formatted are fields of a request that tell of TLS.
const formatted = `request_headers_to_add: [{header: {key: x-subject, value: "%DOWNSTREAM_PEER_SUBJECT%"}}, {header: {key: x-agreed, value: "%DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_TLS_GROUP%"}}, {header: {key: x-cert, value: "%DOWNSTREAM_PEER_CERT%"}}, {header: {key: x-names, value: "%DOWNSTREAM_PEER_URI_SAN%|%DOWNSTREAM_LOCAL_DNS_SAN%"}}, {header: {key: x-up, value: "%UPSTREAM_PEER_SUBJECT%|%UPSTREAM_TLS_VERSION%"}}]
response_headers_to_add: [{header: {key: x-issuer, value: "%DOWNSTREAM_PEER_ISSUER% %DOWNSTREAM_PEER_ISSUER_SERIAL%"}}, {header: {key: x-up, value: "%UPSTREAM_PEER_SUBJECT%|%UPSTREAM_TLS_VERSION%"}}]
`

// logsOfTLS are scenarios of what is told of TLS.
var logsOfTLS = []scenario{
	saying("told-mutual", server(shows("full")+", validation_context: {"+trust+"}"), shakes(meeting{shows: "full"}, meeting{shows: "deep"}, meeting{shows: "deeper"}, meeting{shows: "other-name"}, meeting{}, meeting{shows: "full", top: tls.VersionTLS12, curves: []tls.CurveID{tls.CurveP256}})...),
	saying("told-untrusted", server(shows("other-name")+", validation_context: {"+trust+", trust_chain_verification: ACCEPT_UNTRUSTED}"), once("stranger", "deep")...),
	saying("told-refused", clients(trust), append(shown("stranger", "ended", ""), exchange{send: "GET / HTTP/1.1\r\nhost: a.example\r\n\r\n"})...),
	saying("told-versions", server(shows("front")), shakes(meeting{low: tls.VersionTLS10, top: tls.VersionTLS11})...),
	saying("told-left", server(shows("front")), exchange{send: hello("front.test")[:50], take: 1}),
	saying("told-slow", server(shows("front"))+"\ntransport_socket_connect_timeout: 0.2s", exchange{send: "\x16\x03\x01", take: 1}),
	{name: "told-inspected", chain: server(shows("front")), listener: listenerLog("told-inspected") + "listener_filters: [" + inspector("tls_inspector", "") + "]", sends: shakes(meeting{}, meeting{name: "Nobody.test"})},
	{name: "told-tcp", tcp: "cluster: $up", chain: clients(trust), clusters: map[string]string{"up": peer(shows("full")+", validation_context: {"+trust+"}", "sni: server.test")}, ends: map[string]string{"up": "- lb_endpoints: [" + end("mutual", "") + "]"}, sends: []exchange{{send: "tcp hello", tls: &meeting{name: "front.test", shows: "full"}}}},
	{name: "told-both", chain: clients(trust), vhost: formatted + routes(route("prefix: /", to)), clusters: map[string]string{"up": peer(shows("full")+", validation_context: {"+trust+"}", "sni: server.test")}, ends: map[string]string{"up": "- lb_endpoints: [" + end("mutual", "") + "]"}, sends: once("full", "deep")},
	{name: "told-expressions", json: expressed, chain: server(shows("full") + ", validation_context: {" + trust + "}"), vhost: routes(route("prefix: /", to)), clusters: map[string]string{"up": peer(shows("full")+", validation_context: {"+trust+"}", "sni: server.test")}, ends: map[string]string{"up": "- lb_endpoints: [" + end("mutual", "") + "]"}, sends: once("full", "", "other-name")},
	{name: "told-expressions-refused", json: expressed, vhost: routes(route("prefix: /", to)), clusters: map[string]string{"up": peer("validation_context: {" + trust + "}")}, ends: map[string]string{"up": "- lb_endpoints: [" + end("strange", "") + "]"}, sends: gets("/")},
}
