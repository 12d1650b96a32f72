package oracle

import (
	"crypto/tls"
	"slices"
	"strings"
)

// server is what a chain says to speak TLS; common is what is in common_tls_context, more what is beside it.
func server(common string, more ...string) string {
	return `transport_socket: {name: envoy.transport_sockets.tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, common_tls_context: {` + common + `}, ` + strings.Join(more, ", ") + `}}`
}

// peer is what a cluster says.
func peer(common string, more ...string) string {
	return `transport_socket: {name: envoy.transport_sockets.tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, common_tls_context: {` + common + `}, ` + strings.Join(more, ", ") + `}}`
}

// shows are certificates, by name.
func shows(names ...string) string {
	var list []string
	for _, n := range names {
		list = append(list, "{certificate_chain: {filename: @folder/"+n+".pem}, private_key: {filename: @folder/"+n+".key}}")
	}
	return "tls_certificates: [" + strings.Join(list, ", ") + "]"
}

const trust = "trusted_ca: {filename: @folder/ca.pem}"

// clients is a server that requires certificates, with demands on them.
func clients(demands string) string {
	return server(shows("front")+", validation_context: {"+demands+"}", "require_client_certificate: true")
}

// shakes are exchanges with clients of TLS.
func shakes(list ...meeting) (out []exchange) {
	for i := range list {
		m := list[i]
		if m.name == "" {
			m.name = "front.test"
		}
		out = append(out, exchange{send: "GET /", tls: &m})
	}
	return out
}

// nameless has clients ask for no name.
func nameless(list []exchange) []exchange {
	for i := range list {
		list[i].tls.name = ""
	}
	return list
}

// shown are clients with these certificates, in both versions.
func shown(names ...string) (list []exchange) {
	for _, n := range names {
		list = append(list, shakes(meeting{shows: n, top: tls.VersionTLS12}, meeting{shows: n})...)
	}
	return list
}

// once is shown, in one version.
func once(names ...string) (list []exchange) {
	for _, n := range names {
		list = append(list, shakes(meeting{shows: n})...)
	}
	return list
}

func titled(matcher string) string {
	return clients(trust + ", match_typed_subject_alt_names: [{" + matcher + "}]")
}

// to is a scenario with a cluster that speaks TLS to an upstream.
func toPeer(name, upstream, socket string, sends ...exchange) scenario {
	if sends == nil {
		sends = gets("/")
	}
	return scenario{name: name, vhost: routes(route("prefix: /", to)), clusters: map[string]string{"up": socket}, ends: map[string]string{"up": "- lb_endpoints: [" + end(upstream, "") + "]"}, sends: sends}
}

const (
	ecdsa12 = tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
	rsa12   = tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
)

var (
	onlyECDSA = meeting{top: tls.VersionTLS12, suites: []uint16{ecdsa12}}
	onlyRSA   = meeting{top: tls.VersionTLS12, suites: []uint16{rsa12}}
)

func namely(m meeting, name string) meeting { m.name = name; return m }

var everybody = []string{"client", "star", "upper", "nameless", "other-name"}

// secretOf is a file with one secret: Envoy takes no more from one.
func secretOf(fields string) string {
	return `resources: [{"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret, ` + fields + "}]"
}

func sds(file, name string) string {
	return "{name: " + name + ", sds_config: {path_config_source: {path: @folder/" + file + "}}}"
}

// secured are scenarios of TLS.
var secured = apart(slices.Concat(meetings, transports, accessOfPeers))

// meetings are those of what is agreed on and who is believed.
var meetings = []scenario{
	// Of what is agreed on.
	{name: "tls", chain: server(shows("front")), sends: append(shakes(meeting{}, meeting{top: tls.VersionTLS12}, meeting{low: tls.VersionTLS10, top: tls.VersionTLS11}, meeting{curves: []tls.CurveID{tls.CurveP256}}, meeting{curves: []tls.CurveID{tls.CurveP521}}, meeting{curves: []tls.CurveID{tls.X25519MLKEM768}}, onlyRSA,
		meeting{name: "nobody.test"}, meeting{offers: []string{"http/1.1", "h2"}}, meeting{top: tls.VersionTLS12, suites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}}, meeting{top: tls.VersionTLS12, suites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}}, meeting{top: tls.VersionTLS12, suites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}}),
		exchange{send: "GET / HTTP/1.1\r\nhost: a.example\r\n\r\n"}, exchange{send: hello("front.test")[:50], take: 1})},
	{name: "tls-nameless", chain: server(shows("front")), sends: nameless(shakes(meeting{}, meeting{top: tls.VersionTLS12}))},
	{name: "tls-names", chain: server(shows("front"), "require_sni: true"), sends: append(shakes(meeting{}), nameless(shakes(meeting{}, meeting{top: tls.VersionTLS12}))...)},
	{name: "tls-protocols", chain: server(shows("front") + ", alpn_protocols: [h2, http/1.1]"), sends: shakes(meeting{}, meeting{offers: []string{"http/1.1", "h2"}}, meeting{offers: []string{"http/1.1"}}, meeting{offers: []string{"nobody"}})[2:]},
	{name: "tls-old", chain: server(shows("front", "rsa") + ", tls_params: {tls_minimum_protocol_version: TLSv1_0, tls_maximum_protocol_version: TLSv1_1}"), sends: shakes(meeting{low: tls.VersionTLS10, top: tls.VersionTLS10}, meeting{low: tls.VersionTLS10, top: tls.VersionTLS11}, meeting{low: tls.VersionTLS10}, meeting{})},
	{name: "tls-older", chain: server(shows("front") + ", tls_params: {tls_minimum_protocol_version: TLSv1_0, tls_maximum_protocol_version: TLSv1_0}"), sends: shakes(meeting{low: tls.VersionTLS10}, meeting{low: tls.VersionTLS11})},
	{name: "tls-eleven", chain: server(shows("front") + ", tls_params: {tls_minimum_protocol_version: TLSv1_1}"), sends: shakes(meeting{low: tls.VersionTLS10, top: tls.VersionTLS10}, meeting{low: tls.VersionTLS10, top: tls.VersionTLS11}, meeting{low: tls.VersionTLS10})},
	{name: "tls-twelve", chain: server(shows("front") + ", tls_params: {tls_minimum_protocol_version: TLSv1_2, tls_maximum_protocol_version: TLSv1_2}"), sends: shakes(meeting{}, meeting{low: tls.VersionTLS13})},
	{name: "tls-thirteen", chain: server(shows("front") + ", tls_params: {tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3}"), sends: shakes(meeting{}, meeting{top: tls.VersionTLS12})},
	{name: "tls-suites", chain: server(shows("front", "rsa") + ", tls_params: {cipher_suites: [ECDHE-RSA-AES256-GCM-SHA384, ECDHE-ECDSA-AES256-GCM-SHA384], ecdh_curves: [P-256]}"), sends: shakes(meeting{top: tls.VersionTLS12}, onlyECDSA, meeting{top: tls.VersionTLS12, curves: []tls.CurveID{tls.X25519}}, meeting{})},

	// Of which certificate is shown.
	{name: "tls-choice", chain: server(shows("front", "rsa", "wild", "exact", "common.test")), sends: shakes(meeting{}, onlyECDSA, onlyRSA, namely(meeting{}, "FRONT.test"), namely(meeting{}, "a.wild.test"), namely(meeting{}, "exact.wild.test"), namely(onlyECDSA, "exact.wild.test"), namely(meeting{}, "a.b.wild.test"), namely(meeting{}, "wild.test"), namely(meeting{}, "common.test"),
		namely(meeting{}, "nobody.test"), namely(onlyRSA, "nobody.test"), namely(onlyECDSA, "nobody.test"))},
	{name: "tls-choice-nameless", chain: server(shows("rsa", "front")), sends: nameless(shakes(meeting{}, onlyECDSA, onlyRSA))},
	{name: "tls-choice-rsa", chain: server(shows("rsa", "front")), sends: shakes(meeting{}, onlyECDSA, onlyRSA, namely(onlyECDSA, "nobody.test"), namely(onlyRSA, "nobody.test"), namely(meeting{}, "nobody.test"))},
	{name: "tls-scan", chain: server(shows("rsa", "wild"), "full_scan_certs_on_sni_mismatch: true"), sends: shakes(namely(meeting{}, "nobody.test"), namely(onlyECDSA, "nobody.test"), namely(onlyRSA, "nobody.test"), onlyECDSA, onlyRSA)},

	// Of what is asked of clients.
	{name: "tls-clients", chain: clients(trust), sends: shown("client", "", "stranger", "ended", "early", "for-servers", "for-nothing", "issuer", "deep", "deeper", "lost", "late-mid", "bound")},
	{name: "tls-optional", chain: server(shows("front") + ", validation_context: {" + trust + "}"), sends: shown("client", "", "stranger")},
	{name: "tls-unasked", chain: server(shows("front")), sends: once("client", "")},
	{name: "tls-anybody", chain: server(shows("front") + ", validation_context: {}"), sends: once("client", "", "stranger")},
	{name: "tls-hidden", chain: server(shows("front") + ", validation_context: {" + trust + ", suppress_client_ca_list: true}"), sends: once("client", "")},
	{name: "tls-untrusted", chain: clients(trust + ", trust_chain_verification: ACCEPT_UNTRUSTED"), sends: once("client", "", "stranger", "ended")},
	{name: "tls-ended", chain: clients(trust + ", allow_expired_certificate: true"), sends: once("client", "ended", "early", "stranger", "late-mid")},
	{name: "tls-depth-none", chain: clients(trust + ", max_verify_depth: 0"), sends: once("client", "deep", "deeper")},
	{name: "tls-depth-one", chain: clients(trust + ", max_verify_depth: 1"), sends: once("client", "deep", "deeper")},
	{name: "tls-depth-two", chain: clients(trust + ", max_verify_depth: 2"), sends: once("client", "deep", "deeper")},
	{name: "tls-depth-three", chain: clients(trust + ", max_verify_depth: 3"), sends: once("client", "deep", "deeper")},
	{name: "tls-revoked", chain: clients(trust + ", crl: {filename: @folder/crl.pem}"), sends: once("client", "revoked", "deep")},
	{name: "tls-revoked-leaf", chain: clients(trust + ", crl: {filename: @folder/crl.pem}, only_verify_leaf_cert_crl: true"), sends: once("client", "revoked", "deep")},
	{name: "tls-revoked-mid", chain: clients(trust + ", crl: {filename: @folder/mid-crl.pem}, only_verify_leaf_cert_crl: true"), sends: once("client", "deep")},
	{name: "tls-host", chain: clients("system_root_certs: {}"), sends: once("client")},
	{name: "tls-pins", chain: clients(trust + `, verify_certificate_hash: ["@whole-client@"], verify_certificate_spki: ["@key-star@"]`), sends: once("client", "star", "upper")},
	{name: "tls-pin-whole", chain: clients(`verify_certificate_hash: ["@whole-stranger@"]`), sends: once("client", "stranger")},
	{name: "tls-pin-key", chain: clients(trust + `, verify_certificate_spki: ["@key-client@"]`), sends: once("client", "star")},
	{name: "tls-title-exact", chain: titled("san_type: DNS, matcher: {exact: client.test}"), sends: once(everybody...)},
	{name: "tls-title-wild", chain: titled("san_type: DNS, matcher: {exact: a.clients.test}"), sends: once(everybody...)},
	{name: "tls-title-star", chain: titled("san_type: DNS, matcher: {exact: '*.clients.test'}"), sends: once(everybody...)},
	{name: "tls-title-suffix", chain: titled("san_type: DNS, matcher: {suffix: .test}"), sends: once(everybody...)},
	{name: "tls-title-case", chain: titled("san_type: DNS, matcher: {exact: CLIENT.test, ignore_case: true}"), sends: once(everybody...)},
	{name: "tls-title-upper", chain: titled("san_type: DNS, matcher: {exact: CLIENT.test}"), sends: once(everybody...)},
	{name: "tls-title-uri", chain: titled("san_type: URI, matcher: {exact: 'spiffe://td/client'}"), sends: once(everybody...)},
	{name: "tls-title-pattern", chain: titled("san_type: URI, matcher: {safe_regex: {regex: 'spiffe://[a-z]*/client'}}"), sends: once(everybody...)},
	{name: "tls-title-mail", chain: titled("san_type: EMAIL, matcher: {contains: '@td'}"), sends: once(everybody...)},
	{name: "tls-title-address", chain: titled("san_type: IP_ADDRESS, matcher: {prefix: 10.1.}"), sends: once(everybody...)},
	{name: "tls-title-other", chain: titled("san_type: OTHER_NAME, oid: 1.2.3, matcher: {exact: client}"), sends: once(everybody...)},
	{name: "tls-title-old", chain: clients(trust + ", match_subject_alt_names: [{exact: client.test}, {prefix: 'spiffe://other/'}]"), sends: once(everybody...)},
	{name: "tls-domains", chain: clients(`custom_validator_config: {name: envoy.tls.cert_validator.spiffe, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig, trust_domains: [{name: td, trust_bundle: {filename: @folder/ca.pem}}, {name: other, trust_bundle: {filename: @folder/stranger/ca.pem}}]}}`),
		sends: once("client", "star", "upper", "nameless", "twice", "stranger", "ended", "deep", "issuer", "for-servers")},
	{name: "tls-domains-titles", chain: clients(`match_typed_subject_alt_names: [{san_type: URI, matcher: {exact: "spiffe://td/client"}}], custom_validator_config: {name: envoy.tls.cert_validator.spiffe, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig, trust_domains: [{name: td, trust_bundle: {filename: @folder/ca.pem}}]}}`),
		sends: once("client", "twice", "stranger")},

	// Of sessions.
	{name: "tls-sessions", chain: server(shows("front")), sends: shakes(meeting{keep: "a"}, meeting{keep: "a"}, meeting{keep: "b", top: tls.VersionTLS12}, meeting{keep: "b", top: tls.VersionTLS12})},
	{name: "tls-sessions-none", chain: server(shows("front"), "disable_stateless_session_resumption: true", "disable_stateful_session_resumption: true"), sends: shakes(meeting{keep: "a"}, meeting{keep: "a"}, meeting{keep: "b", top: tls.VersionTLS12}, meeting{keep: "b", top: tls.VersionTLS12})},
	{name: "tls-sessions-keys", chain: server(shows("front"), "session_ticket_keys: {keys: [{filename: @folder/tickets}]}"), sends: shakes(meeting{keep: "a"}, meeting{keep: "a"}, meeting{keep: "b", top: tls.VersionTLS12}, meeting{keep: "b", top: tls.VersionTLS12})},
	{name: "tls-sessions-clients", chain: clients(trust), sends: shakes(meeting{keep: "a", shows: "client"}, meeting{keep: "a", shows: "client"}, meeting{keep: "b", shows: "client", top: tls.VersionTLS12}, meeting{keep: "b", shows: "client", top: tls.VersionTLS12})},

	// Of secrets.
	{name: "tls-secrets", chain: server("tls_certificate_sds_secret_configs: ["+sds("shown.yaml", "shown")+"], validation_context_sds_secret_config: "+sds("trusted.yaml", "trusted"), "require_client_certificate: true", "session_ticket_keys_sds_secret_config: "+sds("keys.yaml", "keys")),
		files: map[string]string{"shown.yaml": secretOf("name: shown, tls_certificate: {watched_directory: {path: @folder/stranger}, certificate_chain: {filename: @folder/front.pem}, private_key: {filename: @folder/front.key}}"),
			"trusted.yaml": secretOf("name: trusted, validation_context: {watched_directory: {path: @folder/stranger}, " + trust + "}"), "keys.yaml": secretOf("name: keys, session_ticket_keys: {keys: [{filename: @folder/tickets}]}")},
		sends: once("client", "", "stranger")},
	{name: "tls-secrets-own", chain: server("tls_certificate_sds_secret_configs: [{name: own-shown}], combined_validation_context: {default_validation_context: {match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: client.test}}]}, validation_context_sds_secret_config: {name: own-trusted}}", "require_client_certificate: true", "session_ticket_keys_sds_secret_config: {name: own-keys}"),
		sends: once("client", "", "stranger", "star")},

	// Of time.
	{name: "tls-slow", chain: server(shows("front")) + "\ntransport_socket_connect_timeout: 0.2s", sends: []exchange{{send: "\x16\x03\x01", take: 1}}},

	// Of upstreams.
	toPeer("tls-up", "secure", peer("", "sni: server.test")),
	toPeer("tls-up-nameless", "secure", peer("")),
	toPeer("tls-up-plain", "well", peer("")),
	toPeer("tls-up-protocols", "secure", peer("alpn_protocols: [http/1.1]")),
	toPeer("tls-up-trusted", "secure", peer("validation_context: {"+trust+"}", "sni: server.test", "auto_sni_san_validation: true")),
	toPeer("tls-up-strange", "strange", peer("validation_context: {"+trust+"}", "sni: server.test")),
	toPeer("tls-up-unasked", "strange", peer("", "sni: server.test")),
	toPeer("tls-up-other", "secure", peer("validation_context: {"+trust+"}", "sni: other.test", "auto_sni_san_validation: true")),
	toPeer("tls-up-title", "secure", peer("validation_context: {"+trust+", match_typed_subject_alt_names: [{san_type: URI, matcher: {exact: 'spiffe://td/server'}}]}")),
	toPeer("tls-up-title-other", "secure", peer("validation_context: {"+trust+", match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: 'spiffe://td/server'}}]}")),
	toPeer("tls-up-pin", "secure", peer(`validation_context: {verify_certificate_hash: ["@whole-front@"]}`)),
	toPeer("tls-up-thirteen", "thirteen", peer("")),
	toPeer("tls-up-thirteen-too", "thirteen", peer("tls_params: {tls_maximum_protocol_version: TLSv1_3}")),
	toPeer("tls-up-mutual", "mutual", peer(shows("client"))),
	toPeer("tls-up-mutual-none", "mutual", peer("")),
	toPeer("tls-up-mutual-stranger", "mutual", peer(shows("stranger/stranger"))),
	toPeer("tls-up-sessions", "secure", peer("", "sni: server.test", "max_session_keys: 1"), exchange{send: "GET /", answers: []string{answeredOnce}}, exchange{send: "GET /", answers: []string{answeredOnce}}),
	toPeer("tls-up-sessions-thirteen", "thirteen", peer("tls_params: {tls_maximum_protocol_version: TLSv1_3}", "sni: server.test", "max_session_keys: 1"), exchange{send: "GET /", answers: []string{answeredOnce}}, exchange{send: "GET /", answers: []string{answeredOnce}}),
	toPeer("tls-up-sessions-nameless", "secure", peer("", "max_session_keys: 1"), exchange{send: "GET /", answers: []string{answeredOnce}}, exchange{send: "GET /", answers: []string{answeredOnce}}),
	toPeer("tls-up-sessions-none", "secure", peer("", "sni: server.test", "max_session_keys: 0"), exchange{send: "GET /", answers: []string{answeredOnce}}, exchange{send: "GET /", answers: []string{answeredOnce}}),
	toPeer("tls-up-suites", "secure", peer("tls_params: {cipher_suites: [ECDHE-ECDSA-CHACHA20-POLY1305], ecdh_curves: [P-256]}")),
	{name: "tls-up-tcp", tcp: "cluster: $up", clusters: map[string]string{"up": peer("validation_context: {"+trust+"}", "sni: server.test")}, ends: map[string]string{"up": "- lb_endpoints: [" + end("secure", "") + "]"}, sends: []exchange{{send: "tcp hello"}}},
	{name: "tls-up-tcp-strange", tcp: "cluster: $up", clusters: map[string]string{"up": peer("validation_context: {"+trust+"}", "sni: server.test")}, ends: map[string]string{"up": "- lb_endpoints: [" + end("strange", "") + "]"}, sends: []exchange{{send: "tcp hello"}}},
	{name: "tls-both", chain: clients(trust), vhost: routes(route("prefix: /", to)), clusters: map[string]string{"up": peer(shows("client")+", validation_context: {"+trust+"}", "sni: server.test")}, ends: map[string]string{"up": "- lb_endpoints: [" + end("mutual", "") + "]"}, sends: once("client", "deep")},
}

var answeredOnce = answered(200, "connection: close")

// ownSecrets are the bootstrap's, which scenarios name.
const ownSecrets = `  secrets:
  - {name: own-shown, tls_certificate: {certificate_chain: {filename: @folder/front.pem}, private_key: {filename: @folder/front.key}, watched_directory: {path: @folder/stranger}}}
  - {name: own-trusted, validation_context: {trusted_ca: {filename: @folder/ca.pem}, watched_directory: {path: @folder/stranger}}}
  - {name: own-keys, session_ticket_keys: {keys: [{filename: @folder/tickets}]}}
`
