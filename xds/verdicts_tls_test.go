package xds

import (
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/test/authority"
)

// server is a listener that speaks TLS; common is what is in its common_tls_context, more what is beside that.
func server(common string, more ...string) string {
	return `static_resources:
  listeners:
  - name: l
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - transport_socket: {name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, common_tls_context: {` + common + `}, ` + strings.Join(more, ", ") + `}}
      filters: [` + echo + "]\n"
}

// client is a cluster that speaks TLS.
func client(common string, more ...string) string {
	return cluster(`transport_socket: {name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, common_tls_context: {` + common + `}, ` + strings.Join(more, ", ") + `}}`)
}

// shown is a certificate with its key, which may be another one's.
func shown(name, key string) string {
	return `{certificate_chain: {filename: PEMS/` + name + `.pem}, private_key: {filename: PEMS/` + key + `.key}}`
}

const (
	shows  = `tls_certificates: [{certificate_chain: {filename: PEMS/a.pem}, private_key: {filename: PEMS/a.key}}]`
	trusts = `trusted_ca: {filename: PEMS/ca.pem}`
)

// trusting is a server with demands on its clients.
func trusting(demands string) string {
	return server(shows + ", validation_context: {" + demands + "}")
}

func params(text string) string { return server(shows + ", tls_params: {" + text + "}") }

func nameIs(matcher string) string {
	return trusting(trusts + ", match_typed_subject_alt_names: [{" + matcher + "}]")
}

// domains are roots by trust domain.
func domains(list string) string {
	return `custom_validator_config: {name: envoy.tls.cert_validator.spiffe, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig, trust_domains: [` + list + `]}}`
}

func keys(list string) string { return server(shows, "session_ticket_keys: {keys: ["+list+"]}") }

// bySecret is a server whose certificate is a secret.
func bySecret(ref string, secrets ...string) string {
	text := server("tls_certificate_sds_secret_configs: [" + ref + "]")
	if len(secrets) > 0 {
		text += "  secrets: [" + strings.Join(secrets, ", ") + "]\n"
	}
	return text
}

// askedTLS are configurations of TLS that the real Envoy is asked about, too. PEMS is a folder of certificates.
var askedTLS = []verdict{
	{name: "server", text: server(shows)},
	{name: "client", text: client("")},
	{name: "server without a certificate", text: server(""), bad: "common_tls_context.tls_certificates: a certificate is missing"},
	{name: "key of another certificate", text: server("tls_certificates: [" + shown("a", "b") + "]"), bad: "tls_certificates[0]: PEMS/a.pem and PEMS/b.key: private key does not match public key"},
	{name: "key of another certificate in a secret", text: bySecret("{name: s}", "{name: s, tls_certificate: "+shown("a", "b")+"}"), bad: "secrets[0].tls_certificate: PEMS/a.pem and PEMS/b.key"},
	{name: "certificate that is not there", text: server("tls_certificates: [" + shown("nobody", "a") + "]"), bad: "tls_certificates[0].certificate_chain.filename: open PEMS/nobody.pem: no such file"},
	{name: "key that is not there", text: server("tls_certificates: [" + shown("a", "nobody") + "]"), bad: "tls_certificates[0].private_key.filename: open PEMS/nobody.key: no such file"},
	{name: "folder for a certificate", text: server("tls_certificates: [{certificate_chain: {filename: PEMS}, private_key: {filename: PEMS/a.key}}]"), bad: "PEMS is not a regular file"},
	{name: "certificate without a key", text: server("tls_certificates: [{certificate_chain: {filename: PEMS/a.pem}}]"), bad: "tls_certificates[0].private_key: a key is missing"},
	{name: "key without a certificate", text: server("tls_certificates: [{private_key: {filename: PEMS/a.key}}]"), bad: "tls_certificates[0].certificate_chain: a certificate is missing"},
	{name: "garbage for a certificate", text: server("tls_certificates: [" + shown("garbage", "a") + "]"), bad: "PEMS/garbage.pem"},
	{name: "garbage in a certificate", text: server("tls_certificates: [" + shown("broken", "a") + "]"), bad: "PEMS/broken.pem"},
	{name: "empty certificate", text: server("tls_certificates: [" + shown("empty", "a") + "]"), bad: "certificate_chain: a certificate is missing"},
	{name: "garbage for a key", text: server("tls_certificates: [" + shown("a", "garbage") + "]"), bad: "PEMS/garbage.key"},
	{name: "key with a password", text: server("tls_certificates: [" + shown("a", "sealed") + "]"), bad: "PEMS/sealed.key"},
	{name: "certificate that has ended", text: server("tls_certificates: [" + shown("ended", "ended") + "]"), bad: "certificate_chain: PEMS/ended.pem: the certificate ended on", differs: "Envoy shows it to all who come, who all refuse it"},
	{name: "key of RSA that is too short", text: server("tls_certificates: [" + shown("weak", "weak") + "]"), bad: "private_key: a key of RSA with 1024 bits: want 2048 to 8192"},
	{name: "key on P-224", text: server("tls_certificates: [" + shown("p224", "p224") + "]"), bad: "want P-256, P-384 or P-521"},
	{name: "key on P-384", text: server("tls_certificates: [" + shown("p384", "p384") + "]")},
	{name: "certificates of two kinds", text: server("tls_certificates: [" + shown("a", "a") + ", " + shown("p384", "p384") + "]")},
	{name: "certificates and secrets", text: server(shows+", tls_certificate_sds_secret_configs: [{name: s}]") + "  secrets: [{name: s, tls_certificate: " + shown("a", "a") + "}]\n", bad: "there are tls_certificates, too"},
	{name: "nine certificates", text: server("tls_certificates: [" + strings.Repeat(shown("a", "a")+", ", 9) + "]"), bad: "9 certificates: a context has at most 8", differs: "Envoy has no bound"},

	{name: "trust", text: trusting(trusts)},
	{name: "empty bundle", text: trusting("trusted_ca: {filename: PEMS/empty.pem}"), bad: "validation_context.trusted_ca: PEMS/empty.pem: there is no certificate in it"},
	{name: "empty bundle inline", text: trusting(`trusted_ca: {inline_string: ""}`), bad: "validation_context.trusted_ca"},
	{name: "garbage for a bundle", text: trusting("trusted_ca: {filename: PEMS/garbage.pem}"), bad: "trusted_ca: PEMS/garbage.pem: there is no certificate in it"},
	{name: "garbage in a bundle", text: trusting("trusted_ca: {filename: PEMS/broken.pem}"), bad: "trusted_ca: PEMS/broken.pem: certificate 1:"},
	{name: "half a bundle", text: trusting("trusted_ca: {filename: PEMS/half.pem}"), bad: "trusted_ca: PEMS/half.pem"},
	{name: "bundle that is not there", text: trusting("trusted_ca: {filename: PEMS/nobody.pem}"), bad: "trusted_ca.filename: open PEMS/nobody.pem"},
	{name: "bundle from a variable that is not there", text: trusting("trusted_ca: {environment_variable: WEFT_NOBODY}"), bad: `trusted_ca.environment_variable: there is no variable "WEFT_NOBODY"`},
	{name: "key for a bundle", text: trusting("trusted_ca: {filename: PEMS/a.key}"), bad: "PEMS/a.key: there is no certificate in it"},
	{name: "bundle that has ended", text: trusting("trusted_ca: {filename: PEMS/ended-ca.pem}"), bad: "every certificate in it has ended", differs: "Envoy trusts nobody then"},
	{name: "nothing is asked", text: trusting("")},
	{name: "require a certificate of nobody's", text: server(shows, "require_client_certificate: true"), bad: "require_client_certificate: there is no validation_context", differs: "Envoy takes any certificate"},
	{name: "require a certificate", text: server(shows+", validation_context: {"+trusts+"}", "require_client_certificate: true")},
	{name: "names without trust", text: trusting("match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: a}}]"), bad: "validation_context: names prove nothing without trusted_ca"},
	{name: "old names without trust", text: trusting("match_subject_alt_names: [{exact: a}]"), bad: "validation_context: names prove nothing without trusted_ca"},
	{name: "names without trust in a client", text: client("validation_context: {match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: a}}]}"), bad: "names prove nothing without trusted_ca"},
	{name: "names and trust", text: nameIs("san_type: DNS, matcher: {exact: a}")},
	{name: "name of no kind", text: nameIs("matcher: {exact: a}"), bad: "match_typed_subject_alt_names[0].san_type"},
	{name: "name without a condition", text: nameIs("san_type: DNS"), bad: "match_typed_subject_alt_names[0].matcher"},
	{name: "name with a bad pattern", text: nameIs("san_type: DNS, matcher: {safe_regex: {regex: '(a'}}"), bad: "not a pattern of RE2"},
	{name: "other name", text: nameIs("san_type: OTHER_NAME, oid: 1.3.6.1.4.1.311.20.2.3, matcher: {exact: a}")},
	{name: "other name of no kind", text: nameIs("san_type: OTHER_NAME, matcher: {exact: a}"), bad: "match_typed_subject_alt_names[0].oid"},
	{name: "other name of a bad kind", text: nameIs("san_type: OTHER_NAME, oid: nobody, matcher: {exact: a}"), bad: "match_typed_subject_alt_names[0].oid"},
	{name: "sum that is none", text: trusting(`verify_certificate_hash: ["` + strings.Repeat("zz", 32) + `"]`), bad: "verify_certificate_hash[0]"},
	{name: "sum that is short", text: trusting(`verify_certificate_hash: ["` + strings.Repeat("00", 31) + `"]`), bad: "verify_certificate_hash[0]"},
	{name: "sum with colons", text: trusting(`verify_certificate_hash: ["` + strings.Repeat("00:", 31) + `00"]`)},
	{name: "sum of a key that is none", text: trusting(`verify_certificate_spki: ["` + strings.Repeat("!", 44) + `"]`), bad: "verify_certificate_spki[0]"},
	{name: "sum of a key that is short", text: trusting(`verify_certificate_spki: ["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="]`), bad: "verify_certificate_spki[0]"},
	{name: "revoked", text: trusting(trusts + ", crl: {filename: PEMS/crl.pem}")},
	{name: "revoked without trust", text: trusting("crl: {filename: PEMS/crl.pem}"), bad: "validation_context.crl: a list of revoked certificates says nothing without trusted_ca"},
	{name: "revoked in garbage", text: trusting(trusts + ", crl: {filename: PEMS/garbage.pem}"), bad: "crl: PEMS/garbage.pem: there is no list of revoked certificates in it", differs: "Envoy looks nobody up then"},
	{name: "revoked in an empty file", text: trusting(trusts + ", crl: {filename: PEMS/empty.pem}"), bad: "validation_context.crl", differs: "Envoy looks nobody up then"},
	{name: "revoked in a list that is old", text: trusting(trusts + ", crl: {filename: PEMS/stale.pem}"), bad: "was to be replaced on", differs: "Envoy refuses all who come"},
	{name: "depth", text: trusting(trusts + ", max_verify_depth: 0")},
	{name: "depth of 101", text: trusting(trusts + ", max_verify_depth: 101"), bad: "max_verify_depth"},
	{name: "accept anybody", text: trusting(trusts + ", trust_chain_verification: ACCEPT_UNTRUSTED")},
	{name: "roots of the host", text: trusting("system_root_certs: {}")},
	{name: "roots of the host and a bundle", text: trusting("system_root_certs: {}, " + trusts)},
	{name: "trust domain", text: trusting(domains("{name: td, trust_bundle: {filename: PEMS/ca.pem}}"))},
	{name: "trust domain without a name", text: trusting(domains("{trust_bundle: {filename: PEMS/ca.pem}}")), bad: "trust_domains[0].name", differs: "Envoy trusts it for nobody"},
	{name: "trust domain twice", text: trusting(domains("{name: td, trust_bundle: {filename: PEMS/ca.pem}}, {name: td, trust_bundle: {filename: PEMS/ca.pem}}")), bad: `trust_domains[1].name: "td" is listed twice`},
	{name: "trust domain without a bundle", text: trusting(domains("{name: td}")), bad: "trust_domains[0].trust_bundle"},
	{name: "trust domain with an empty bundle", text: trusting(domains("{name: td, trust_bundle: {filename: PEMS/empty.pem}}")), bad: "trust_domains[0].trust_bundle: PEMS/empty.pem: there is no certificate in it"},
	{name: "no trust domain", text: trusting(domains("")), bad: "trust_domains", differs: "Envoy trusts nobody then"},
	{name: "own name and nobody to trust", text: client("", "sni: a", "auto_sni_san_validation: true"), bad: "auto_sni_san_validation: a name proves nothing without"},
	{name: "own name", text: client("validation_context: {"+trusts+"}", "sni: a", "auto_sni_san_validation: true")},
	{name: "name of 256 bytes to ask for", text: client("", "sni: "+strings.Repeat("a", 256)), bad: "sni"},

	{name: "versions", text: params("tls_minimum_protocol_version: TLSv1_0, tls_maximum_protocol_version: TLSv1_3")},
	{name: "versions the wrong way round", text: params("tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_2"), bad: "tls_minimum_protocol_version: is above tls_maximum_protocol_version", differs: "Envoy fails each handshake"},
	{name: "suites", text: params("cipher_suites: ['[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]', ECDHE-RSA-AES256-GCM-SHA384, AES128-SHA]")},
	{name: "suite that is none", text: params("cipher_suites: [ECDHE-ECDSA-AES128-GCM-SHA256, NOBODY]"), bad: `cipher_suites[1]: "NOBODY" is no suite of TLS 1.2 that is known`},
	{name: "suite of TLS 1.3", text: params("cipher_suites: [TLS_AES_128_GCM_SHA256]"), bad: `cipher_suites[0]: "TLS_AES_128_GCM_SHA256" is no suite of TLS 1.2`},
	{name: "suites of a group", text: params("cipher_suites: [ALL]"), bad: `cipher_suites[0]: "ALL" is no suite`, differs: "Envoy hands OpenSSL's language on"},
	{name: "empty suite", text: params("cipher_suites: ['']"), bad: "cipher_suites[0]", differs: "Envoy takes it for nothing said"},
	{name: "curves", text: params("ecdh_curves: [X25519, P-256, P-384, P-521]")},
	{name: "curve that is none", text: params("ecdh_curves: [P-256, P-1]"), bad: `ecdh_curves[1]: "P-1" is no curve that is known`},
	{name: "curve after quanta", text: params("ecdh_curves: [X25519MLKEM768, X25519]")},
	{name: "protocol without a name", text: server(shows + `, alpn_protocols: [""]`), bad: "alpn_protocols[0]: a protocol has a name of 1 to 255 bytes", differs: "Envoy offers none"},
	{name: "protocol of 256 bytes", text: server(shows + ", alpn_protocols: [" + strings.Repeat("a", 256) + "]"), bad: "alpn_protocols[0]: a protocol has a name of 1 to 255 bytes"},

	{name: "ticket keys", text: keys("{filename: PEMS/tickets}, {filename: PEMS/tickets}")},
	{name: "ticket key of 79 bytes", text: keys("{filename: PEMS/short}"), bad: "session_ticket_keys.keys[0]: 79 bytes: a key has exactly 80"},
	{name: "ticket key of 81 bytes", text: keys("{inline_string: " + strings.Repeat("k", 81) + "}"), bad: "keys[0]: 81 bytes: a key has exactly 80"},
	{name: "ticket keys without one", text: keys(""), bad: "session_ticket_keys.keys"},

	{name: "secret", text: bySecret("{name: s}", "{name: s, tls_certificate: "+shown("a", "a")+"}")},
	{name: "secret that is not there", text: bySecret("{name: s}"), bad: `names secret "s", and static_resources.secrets has none of that name`},
	{name: "secret without a name", text: bySecret("{}", "{name: s, tls_certificate: "+shown("a", "a")+"}"), bad: "tls_certificate_sds_secret_configs[0].name"},
	{name: "secret of another kind", text: bySecret("{name: s}", "{name: s, validation_context: {"+trusts+"}}"), bad: `listener l: secret "s" is not a certificate`},
	{name: "secret twice", text: bySecret("{name: s}", "{name: s, tls_certificate: "+shown("a", "a")+"}", "{name: s, tls_certificate: "+shown("a", "a")+"}"), bad: `secrets[1].name: "s" is the name of another secret, too`},
	{name: "secret of nothing", text: bySecret("{name: s}", "{name: s, tls_certificate: "+shown("a", "a")+"}", "{name: t}"), bad: "secrets[1]: is empty"},
	{name: "secret from a file", text: told + bySecret("{name: s, sds_config: {path_config_source: {path: PEMS/sds.yaml}}}")},
	{name: "secret from a file that is not there", text: told + bySecret("{name: s, sds_config: {path_config_source: {path: PEMS/nobody.yaml}}}"), bad: "PEMS/nobody.yaml"},
	{name: "secret that is not in its file", text: told + bySecret("{name: t, sds_config: {path_config_source: {path: PEMS/sds.yaml}}}"), bad: `"t"`, differs: "Envoy waits for it"},
	{name: "secret from a file with a bad key", text: told + bySecret("{name: s, sds_config: {path_config_source: {path: PEMS/sds-bad.yaml}}}"), bad: "PEMS/a.pem and PEMS/b.key", differs: "it looks into these files when it serves"},
	{name: "trust by secret", text: server(shows+", combined_validation_context: {default_validation_context: {match_typed_subject_alt_names: [{san_type: URI, matcher: {prefix: a}}]}, validation_context_sds_secret_config: {name: s}}") + "  secrets: [{name: s, validation_context: {" + trusts + "}}]\n"},
	{name: "names by secret without trust", text: server(shows+", validation_context_sds_secret_config: {name: s}") + "  secrets: [{name: s, validation_context: {match_typed_subject_alt_names: [{san_type: URI, matcher: {prefix: a}}]}}]\n", bad: "names prove nothing without trusted_ca"},
	{name: "names beside a secret without trust", text: server(shows+", combined_validation_context: {default_validation_context: {match_typed_subject_alt_names: [{san_type: URI, matcher: {prefix: a}}]}, validation_context_sds_secret_config: {name: s}}") + "  secrets: [{name: s, validation_context: {}}]\n", bad: "names prove nothing without trusted_ca"},
	{name: "combined without a secret", text: server(shows + ", combined_validation_context: {default_validation_context: {" + trusts + "}}"), bad: "validation_context_sds_secret_config"},
}

// putKeys puts what the configurations above name into a folder.
func putKeys(t *testing.T, folder string) {
	t.Helper()
	a := authority.New(t, folder)
	a.Issue("a", []string{"a.test"}, nil)
	a.Issue("b", []string{"b.test"}, nil)
	a.Issue("ended", []string{"a.test"}, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	a.Under("ended-ca", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	a.IssueFor(weak, "weak", []string{"a.test"}, nil)
	a.IssueFor(authority.Curve(t, elliptic.P224()), "p224", []string{"a.test"}, nil)
	a.IssueFor(authority.Curve(t, elliptic.P384()), "p384", []string{"a.test"}, nil)
	a.Revoke("crl.pem")
	a.Write("stale.pem", pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: a.Revocations(time.Now().Add(-time.Minute))}))
	a.Write("broken.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("nothing")}))
	a.Write("sealed.key", pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("nothing")}))
	for name, text := range map[string]string{"garbage.pem": "hello", "garbage.key": "hello", "empty.pem": "", "tickets": strings.Repeat("k", 80), "short": strings.Repeat("k", 79)} {
		a.Write(name, []byte(text))
	}
	whole, err := os.ReadFile(filepath.Join(folder, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	a.Write("half.pem", append(whole, whole[:len(whole)/2]...))
	for name, key := range map[string]string{"sds.yaml": "a", "sds-bad.yaml": "b"} {
		a.Write(name, []byte(strings.ReplaceAll(`resources: [{"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret, name: s, tls_certificate: `+shown("a", key)+"}]\n", "PEMS", folder)))
	}
}
