package fields

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/weftmesh/weft/test/authority"
	"github.com/weftmesh/weft/test/e2e"
)

// identities are the certificates in a trial's folder, by name:
//
//	front, rsa, other   of servers, for front.test, front.test (with a key of RSA) and other.test
//	server              of the upstream, for server.test
//	client              with a name of each kind
//	revoked, ended      of clients, which crl.pem lists and whose time is over
//	deep                of a client, which ca.pem has not issued, but mid.pem, that stands between
//	stranger            of a client, of stranger/ca.pem
//
// staple and ended-staple are OCSP responses for front, of which one is not valid any more; rsa.p12 and rsa-sealed.key
// open with "secret"; none.pem and crl.pem are lists of revoked certificates of ca.pem, mid-crl.pem one of mid.pem; tickets1 and tickets2 are keys.
type identities struct {
	*authority.Authority
	of map[string]tls.Certificate
}

// otherNamed is the value of subjectAltName for a name of the kind 1.2.3, beside the names that a client has.
func otherNamed(text string, names []asn1.RawValue) pkix.Extension {
	value, _ := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: must(asn1.MarshalWithParams(text, "utf8"))})
	names = append(names, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: append(must(asn1.Marshal(asn1.ObjectIdentifier{1, 2, 3})), value...)})
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: must(asn1.Marshal(names))}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

func name(tag int, b string) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, Bytes: []byte(b)}
}

func issue(t testing.TB, dir string) *identities {
	a := authority.New(t, dir)
	k := &identities{Authority: a, of: map[string]tls.Certificate{}}
	k.of["front"] = a.Issue("front", []string{"front.test"}, nil)
	k.of["rsa"] = a.IssueRSA("rsa", []string{"front.test"})
	k.of["other"] = a.Issue("other", []string{"other.test"}, nil)
	k.of["server"] = a.Issue("server", []string{"server.test"}, nil)
	k.of["client"] = a.Issue("client", nil, func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{otherNamed("client", []asn1.RawValue{name(1, "client@td.test"), name(2, "client.test"), name(6, "spiffe://td/client"), name(7, "\x0a\x01\x02\x03")})}
	})
	k.of["revoked"] = a.Issue("revoked", []string{"spiffe://td/client"}, nil)
	k.of["ended"] = a.Issue("ended", []string{"spiffe://td/client"}, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	mid := a.Under("mid", nil)
	k.of["deep"] = mid.Issue("deep", []string{"spiffe://td/client"}, nil)
	mid.Revoke("mid-crl.pem")
	a.Revoke("none.pem")
	a.Revoke("crl.pem", k.of["revoked"].Leaf)
	for _, folder := range []string{"stranger", "one", "two"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	k.of["stranger"] = authority.New(t, filepath.Join(dir, "stranger")).Issue("stranger", []string{"spiffe://td/client"}, nil)
	a.Staple("staple", k.of["front"].Leaf, time.Now().Add(time.Hour))
	a.Staple("ended-staple", k.of["front"].Leaf, time.Now().Add(-time.Hour))
	rsaKey := k.of["rsa"].PrivateKey
	a.Write("rsa.p12", must(pkcs12.Modern.Encode(rsaKey, k.of["rsa"].Leaf, nil, "secret")))
	sealed := must(x509.MarshalPKCS8PrivateKey(rsaKey))
	block, err := x509.EncryptPEMBlock(rand.Reader, "PRIVATE KEY", sealed, []byte("secret"), x509.PEMCipherAES256)
	if err != nil {
		t.Fatal(err)
	}
	a.Write("rsa-sealed.key", pem.EncodeToMemory(block))
	a.Write("tickets1", []byte(strings.Repeat("1", 80)))
	a.Write("tickets2", []byte(strings.Repeat("2", 80)))
	return k
}

// sums are what pieces say of the client's certificate.
func (k *identities) sums() []string {
	leaf := k.of["client"].Leaf
	whole, key := sha256.Sum256(leaf.Raw), sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	return []string{"@WHOLE@", hex.EncodeToString(whole[:]), "@KEY@", base64.StdEncoding.EncodeToString(key[:])}
}

// upstream speaks TLS as server.test, and answers with who came: the name that was asked for, and whether the session was resumed.
func (k *identities) upstream(t testing.TB) *e2e.Upstream {
	return e2e.Serve(t, e2e.OverTLS(&tls.Config{Certificates: []tls.Certificate{k.of["server"]}}, func(u *e2e.Upstream, c *e2e.Conn) {
		for u.Take(c) {
			s := c.Conn.(*tls.Conn).ConnectionState()
			text := fmt.Sprintf("%q resumed %t", s.ServerName, s.DidResume)
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s", len(text), text)
			return
		}
	}))
}

// meeting is what a client of TLS has met with.
type meeting struct {
	tls.ConnectionState
	status string // "refused" if there was no answer
	hinted int    // how many authorities the server has named, of which it takes certificates
}

// meet shakes hands, and sends a request; change has the last word on how.
func (w *world) meet(change func(*tls.Config)) (m meeting) {
	w.t.Helper()
	plain := w.dial()
	conf := &tls.Config{RootCAs: w.keys.Pool(), ServerName: "front.test"}
	if change != nil {
		change(conf)
	}
	own := conf.Certificates
	conf.Certificates = nil
	conf.GetClientCertificate = func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if m.hinted = len(r.AcceptableCAs); len(own) == 0 {
			return &tls.Certificate{}, nil
		}
		return &own[0], nil
	}
	m.status = "refused"
	c := tls.Client(plain.Conn, conf)
	if c.Handshake() != nil {
		return m
	}
	m.ConnectionState = c.ConnectionState()
	io.WriteString(c, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
	if r, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil {
		io.Copy(io.Discard, r.Body) // and the tickets that came
		m.status = fmt.Sprint(r.StatusCode)
	}
	return m
}

// shakes is a probe that meets a listener once and tells of it.
func shakes(change func(*tls.Config), tell func(meeting) any) func(*world) string {
	return func(w *world) string {
		w.t.Helper()
		m := w.meet(change)
		if m.status == "refused" {
			return m.status
		}
		return fmt.Sprint(tell(m))
	}
}

func statusOf(m meeting) any { return m.status }

// as is a client with one of the certificates.
func as(who string) func(*world) string {
	return func(w *world) string {
		w.t.Helper()
		return w.meet(func(c *tls.Config) { c.Certificates = []tls.Certificate{w.keys.of[who]} }).status
	}
}

// no says that a client shows nothing.
func no(*tls.Config) {}

// only has a client speak one version.
func only(version uint16) func(*tls.Config) {
	return func(c *tls.Config) { c.MinVersion, c.MaxVersion = version, version }
}

// from has a client speak any version from one on.
func from(version uint16) func(*tls.Config) {
	return func(c *tls.Config) { c.MinVersion, c.MaxVersion = version, tls.VersionTLS13 }
}

func versionOf(m meeting) any { return tls.VersionName(m.Version) }

func shown(m meeting) any { return m.PeerCertificates[0].Subject.CommonName }

// resumes comes twice, the first time to another proxy if before is its configuration, and tells whether the session was resumed.
func resumes(before func(string) string) func(*world) string {
	return func(w *world) string {
		w.t.Helper()
		cache := tls.NewLRUClientSessionCache(4)
		keeps := func(c *tls.Config) { c.ClientSessionCache = cache }
		first := w
		if before != nil {
			first = start(w.t, w.up, strings.NewReplacer("@DIR@", w.dir, "@PORT@", "1").Replace(before("")), w.dir, 1)
			first.keys = w.keys
		}
		if s := first.meet(keeps).status; s != "200" {
			return s
		}
		return fmt.Sprint(w.meet(keeps).DidResume)
	}
}

// Where pieces go.

const (
	fronts = `tls_certificates: [{certificate_chain: {filename: "@DIR@/front.pem"}, private_key: {filename: "@DIR@/front.key"}}]`
	ca     = `trusted_ca: {filename: "@DIR@/ca.pem"}`
)

// spokenOver is a listener that answers each request, and what its connections speak.
func spokenOver(socket string) string {
	return replaced(direct("status: 200"), "    - filters:", "    - "+socket+"\n      filters:")
}

// beside is a piece beside the common context of a server that shows front and trusts ca.pem.
func beside(piece string) string {
	return spokenOver(e2e.DownstreamTLS(fronts+", validation_context: {"+ca+"}", piece))
}

// contextOf is a piece of the common context of a server.
func contextOf(piece string) string { return spokenOver(e2e.DownstreamTLS(piece, "")) }

// inContext is a piece of the common context of a server that shows front.
func inContext(piece string) string { return contextOf(fronts + ", " + piece) }

func tlsParams(piece string) string { return inContext("tls_params: {" + piece + "}") }

// oldParams are tlsParams with a suite that versions before TLS 1.2 have.
func oldParams(piece string) string {
	return tlsParams("cipher_suites: [ECDHE-ECDSA-AES128-SHA, ECDHE-ECDSA-AES128-GCM-SHA256], " + piece)
}

func shows(chain, key string) string {
	return `{certificate_chain: {filename: "@DIR@/` + chain + `.pem"}, private_key: {filename: "@DIR@/` + key + `.key"}}`
}

// demands are those of a server that requires a certificate.
func demands(piece string) string {
	return spokenOver(e2e.DownstreamTLS(fronts+", validation_context: {"+piece+"}", "require_client_certificate: true"))
}

func trusting(piece string) string { return demands(ca + ", " + piece) }

func typedName(piece string) string {
	return trusting("match_typed_subject_alt_names: [{" + piece + "}]")
}

func spiffeDomains(piece string) string {
	return demands(`custom_validator_config: {name: v, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig, trust_domains: [{` + piece + `}]}}`)
}

// secrets are pieces of the bootstrap's own secrets, for a server that shows what "a" holds.
func secrets(piece string) string {
	return contextOf("tls_certificate_sds_secret_configs: [{name: a}]") + "\n  secrets: [" + piece + "]"
}

// naming is a piece beside the common context of a server, with secrets to name in it.
func naming(piece string) string {
	return beside(piece) + "\n  secrets: [{name: t1, session_ticket_keys: {keys: [{filename: \"@DIR@/tickets1\"}]}}, {name: t2, session_ticket_keys: {keys: [{filename: \"@DIR@/tickets2\"}]}}]"
}

// trustBy is a piece of the common context of a server that requires a certificate, with secrets to name in it.
func trustBy(piece string) string {
	return spokenOver(e2e.DownstreamTLS(fronts+", "+piece, "require_client_certificate: true")) +
		"\n  secrets: [{name: ours, validation_context: {" + ca + "}}, {name: theirs, validation_context: {trusted_ca: {filename: \"@DIR@/stranger/ca.pem\"}}}]"
}

func certificateFile(certificate string) string {
	return "resources: [{\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret, name: a, tls_certificate: " + certificate + "}]"
}

// upTLS is a piece beside the common context of a cluster that trusts ca.pem.
func upTLS(piece string) string {
	return cluster(e2e.UpstreamTLS("validation_context: {"+ca+"}", piece))
}

// watches tells which of the folders one and two is watched.
func watches(w *world) string {
	w.watch()
	which := ""
	w.eventually("a folder is watched", func() bool {
		for _, name := range []string{"one", "two"} {
			if watched(w.t, filepath.Join(w.dir, name)) {
				which = name
			}
		}
		return which != ""
	})
	return which
}

// watched tells whether the process has the kernel tell it of a folder.
func watched(t testing.TB, folder string) bool {
	i, err := os.Stat(folder)
	if err != nil {
		t.Fatal(err)
	}
	inode := fmt.Sprintf(" ino:%x ", i.Sys().(*syscall.Stat_t).Ino)
	infos, _ := filepath.Glob("/proc/self/fdinfo/*")
	for _, info := range infos {
		if b, err := os.ReadFile(info); err == nil && strings.Contains(string(b), "inotify") && strings.Contains(string(b), inode) {
			return true
		}
	}
	return false
}

// watching takes a secret of that kind from the file of the piece.
func watching(kind string) func(string) string {
	return func(string) string {
		if kind == "tls_certificate" {
			return contextOf("tls_certificate_sds_secret_configs: [{name: s, sds_config: {" + file + "piece.yaml\"}}}]")
		}
		return spokenOver(e2e.DownstreamTLS(fronts+", validation_context_sds_secret_config: {name: s, sds_config: {"+file+"piece.yaml\"}}}", ""))
	}
}

var tlsTrials = []trial{
	// Of a server.
	{paths: "TransportSocket@downstream.typed_config FilterChain.transport_socket", identities: true, site: spokenOver,
		base: `transport_socket: {name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}`, flip: e2e.DownstreamTLS(fronts, ""), probe: shakes(no, statusOf), want: [2]string{"refused", "200"}},
	{paths: "FilterChain.transport_socket_connect_timeout", identities: true, site: func(p string) string { return spokenOver(e2e.DownstreamTLS(fronts, "") + p) }, flip: "\n      transport_socket_connect_timeout: 0.05s", probe: says("\x16\x03\x01"), want: [2]string{"silence", "closed"}},
	{paths: "DownstreamTlsContext.require_client_certificate", identities: true, site: beside, base: "require_client_certificate: false", flip: "require_client_certificate: true", probe: shakes(no, statusOf), want: [2]string{"200", "refused"}},
	{paths: "DownstreamTlsContext.require_sni", identities: true, site: beside, base: "require_sni: false", flip: "require_sni: true", probe: shakes(func(c *tls.Config) { c.ServerName, c.InsecureSkipVerify = "", true }, statusOf), want: [2]string{"200", "refused"}},
	{paths: "DownstreamTlsContext.full_scan_certs_on_sni_mismatch", identities: true, site: func(p string) string {
		return spokenOver(e2e.DownstreamTLS("tls_certificates: ["+shows("rsa", "rsa")+", "+shows("other", "other")+"]", p))
	}, base: "full_scan_certs_on_sni_mismatch: false", flip: "full_scan_certs_on_sni_mismatch: true", probe: shakes(func(c *tls.Config) {
		c.ServerName, c.InsecureSkipVerify, c.MaxVersion, c.CipherSuites = "nobody.test", true, tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
	}, shown), want: [2]string{"refused", "other"}},
	{paths: "DownstreamTlsContext.disable_stateless_session_resumption", identities: true, site: beside, base: "disable_stateless_session_resumption: false", flip: "disable_stateless_session_resumption: true", probe: resumes(nil), want: [2]string{"true", "false"}},
	{paths: "TlsSessionTicketKeys.keys DownstreamTlsContext.session_ticket_keys", identities: true, site: beside, base: "session_ticket_keys: {keys: [{filename: \"@DIR@/tickets1\"}]}", flip: "session_ticket_keys: {keys: [{filename: \"@DIR@/tickets2\"}]}",
		probe: resumes(func(string) string { return beside("session_ticket_keys: {keys: [{filename: \"@DIR@/tickets1\"}]}") }), want: [2]string{"true", "false"}},
	{paths: "DownstreamTlsContext.session_ticket_keys_sds_secret_config SdsSecretConfig.name", identities: true, site: naming, base: "session_ticket_keys_sds_secret_config: {name: t1}", flip: "session_ticket_keys_sds_secret_config: {name: t2}",
		probe: resumes(func(string) string { return naming("session_ticket_keys_sds_secret_config: {name: t1}") }), want: [2]string{"true", "false"}},

	// What both sides have.
	{paths: "TlsParameters.tls_minimum_protocol_version=TLSv1_0", identities: true, site: oldParams, base: "tls_minimum_protocol_version: TLSv1_1", flip: "tls_minimum_protocol_version: TLSv1_0", probe: shakes(only(tls.VersionTLS10), versionOf), want: [2]string{"refused", "TLS 1.0"}},
	{paths: "TlsParameters.tls_minimum_protocol_version=TLSv1_1", identities: true, site: oldParams, base: "tls_minimum_protocol_version: TLSv1_2", flip: "tls_minimum_protocol_version: TLSv1_1", probe: shakes(only(tls.VersionTLS11), versionOf), want: [2]string{"refused", "TLS 1.1"}},
	{paths: "TlsParameters.tls_minimum_protocol_version=TLSv1_2", identities: true, site: tlsParams, base: "tls_minimum_protocol_version: TLSv1_3", flip: "tls_minimum_protocol_version: TLSv1_2", probe: shakes(only(tls.VersionTLS12), versionOf), want: [2]string{"refused", "TLS 1.2"}},
	{paths: "TlsParameters.tls_minimum_protocol_version=TLSv1_3", identities: true, site: tlsParams, base: "", flip: "tls_minimum_protocol_version: TLSv1_3", probe: shakes(only(tls.VersionTLS12), versionOf), want: [2]string{"TLS 1.2", "refused"}},
	{paths: "TlsParameters.tls_minimum_protocol_version=TLSv1_0 TlsParameters.tls_maximum_protocol_version=TLSv1_0", identities: true, site: oldParams, base: "tls_minimum_protocol_version: TLSv1_2, tls_maximum_protocol_version: TLSv1_2", flip: "tls_minimum_protocol_version: TLSv1_0, tls_maximum_protocol_version: TLSv1_0", probe: shakes(from(tls.VersionTLS10), versionOf), want: [2]string{"TLS 1.2", "TLS 1.0"}},
	{paths: "TlsParameters.tls_maximum_protocol_version=TLSv1_1", identities: true, site: oldParams, base: "tls_minimum_protocol_version: TLSv1_0, tls_maximum_protocol_version: TLSv1_0", flip: "tls_minimum_protocol_version: TLSv1_0, tls_maximum_protocol_version: TLSv1_1", probe: shakes(from(tls.VersionTLS10), versionOf), want: [2]string{"TLS 1.0", "TLS 1.1"}},
	{paths: "TlsParameters.tls_maximum_protocol_version=TLSv1_2", identities: true, site: tlsParams, base: "", flip: "tls_maximum_protocol_version: TLSv1_2", probe: shakes(no, versionOf), want: [2]string{"TLS 1.3", "TLS 1.2"}},
	{paths: "TlsParameters.tls_maximum_protocol_version=TLSv1_3", identities: true, site: tlsParams, base: "tls_maximum_protocol_version: TLSv1_2", flip: "tls_maximum_protocol_version: TLSv1_3", probe: shakes(no, versionOf), want: [2]string{"TLS 1.2", "TLS 1.3"}},
	{paths: "TlsParameters.cipher_suites", identities: true, site: tlsParams, base: "cipher_suites: [ECDHE-ECDSA-AES128-GCM-SHA256]", flip: "cipher_suites: [ECDHE-ECDSA-AES256-GCM-SHA384]", probe: shakes(only(tls.VersionTLS12), func(m meeting) any { return tls.CipherSuiteName(m.CipherSuite) }),
		want: [2]string{"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"}},
	{paths: "TlsParameters.ecdh_curves", identities: true, site: tlsParams, base: "ecdh_curves: [X25519]", flip: "ecdh_curves: [P-384]", probe: shakes(no, func(m meeting) any { return m.CurveID }), want: [2]string{"X25519", "CurveP384"}},
	{paths: "CommonTlsContext.alpn_protocols", identities: true, site: inContext, base: "alpn_protocols: [http/1.0, http/1.1]", flip: "alpn_protocols: [http/1.1, http/1.0]", probe: shakes(func(c *tls.Config) { c.NextProtos = []string{"http/1.1", "http/1.0"} }, func(m meeting) any { return m.NegotiatedProtocol }), want: [2]string{"http/1.0", "http/1.1"}},
	{paths: "TlsCertificate.certificate_chain TlsCertificate.private_key CommonTlsContext.tls_certificates", identities: true, site: contextOf, base: "tls_certificates: [" + shows("front", "front") + "]", flip: "tls_certificates: [" + shows("rsa", "rsa") + "]", probe: shakes(no, shown), want: [2]string{"front", "rsa"}},
	{paths: "TlsCertificate.private_key", identities: true, site: contextOf, base: "tls_certificates: [" + shows("front", "front") + "]", flip: "tls_certificates: [" + shows("front", "other") + "]", probe: served, want: [2]string{"true", "false"}},
	{paths: "CommonTlsContext.tls_certificate_sds_secret_configs", identities: true, site: func(p string) string {
		return contextOf(p) + "\n  secrets: [{name: a, tls_certificate: " + shows("front", "front") + "}, {name: b, tls_certificate: " + shows("rsa", "rsa") + "}]"
	}, base: "tls_certificate_sds_secret_configs: [{name: a}]", flip: "tls_certificate_sds_secret_configs: [{name: b}]", probe: shakes(no, shown), want: [2]string{"front", "rsa"}},
	{paths: "StaticResources.secrets Secret.tls_certificate", identities: true, site: secrets, base: "{name: a, tls_certificate: " + shows("front", "front") + "}", flip: "{name: a, tls_certificate: " + shows("rsa", "rsa") + "}", probe: shakes(no, shown), want: [2]string{"front", "rsa"}},
	{paths: "Secret.name", identities: true, site: secrets, base: "{name: a, tls_certificate: " + shows("front", "front") + "}", flip: "{name: b, tls_certificate: " + shows("front", "front") + "}", probe: served, want: [2]string{"true", "false"}},
	{paths: "Secret.session_ticket_keys", identities: true, site: func(p string) string {
		return beside("session_ticket_keys_sds_secret_config: {name: t}") + "\n  secrets: [{name: t, session_ticket_keys: {keys: [{filename: \"@DIR@/" + p + "\"}]}}]"
	}, base: "tickets1", flip: "tickets2", probe: resumes(func(string) string { return beside("session_ticket_keys: {keys: [{filename: \"@DIR@/tickets1\"}]}") }), want: [2]string{"true", "false"}},
	{paths: "SdsSecretConfig.sds_config", identities: true, site: func(p string) string {
		return contextOf("tls_certificate_sds_secret_configs: [{name: a, sds_config: {" + file + p + "\"}}}]")
	}, base: "one.yaml", flip: "two.yaml", files: map[string]string{"one.yaml": certificateFile(shows("front", "front")), "two.yaml": certificateFile(shows("rsa", "rsa"))}, probe: shakes(no, shown), want: [2]string{"front", "rsa"}},

	// What is asked of a peer.
	{paths: "CertificateValidationContext.trusted_ca CommonTlsContext.validation_context", identities: true, site: demands, base: ca, flip: `trusted_ca: {filename: "@DIR@/stranger/ca.pem"}`, probe: as("client"), want: [2]string{"200", "refused"}},
	{paths: "CertificateValidationContext.system_root_certs", identities: true, site: demands, flip: "system_root_certs: {}", probe: as("client"), want: [2]string{"200", "refused"}},
	{paths: "CertificateValidationContext.verify_certificate_hash", identities: true, site: trusting, base: "verify_certificate_hash: [" + strings.Repeat("ab", 32) + "]", flip: "verify_certificate_hash: [" + strings.Repeat("ab", 32) + ", \"@WHOLE@\"]", probe: as("client"), want: [2]string{"refused", "200"}},
	{paths: "CertificateValidationContext.verify_certificate_spki", identities: true, site: trusting, base: "verify_certificate_spki: [AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=]", flip: "verify_certificate_spki: [\"@KEY@\"]", probe: as("client"), want: [2]string{"refused", "200"}},
	{paths: "SubjectAltNameMatcher.matcher CertificateValidationContext.match_typed_subject_alt_names", identities: true, site: typedName, base: "san_type: URI, matcher: {exact: \"spiffe://td/client\"}", flip: "san_type: URI, matcher: {exact: \"spiffe://td/clien\"}", probe: as("client"), want: [2]string{"200", "refused"}},
	{paths: "SubjectAltNameMatcher.san_type=URI", identities: true, site: typedName, base: "san_type: DNS, matcher: {exact: \"spiffe://td/client\"}", flip: "san_type: URI, matcher: {exact: \"spiffe://td/client\"}", probe: as("client"), want: [2]string{"refused", "200"}},
	{paths: "SubjectAltNameMatcher.san_type=DNS", identities: true, site: typedName, base: "san_type: URI, matcher: {exact: client.test}", flip: "san_type: DNS, matcher: {exact: client.test}", probe: as("client"), want: [2]string{"refused", "200"}},
	{paths: "SubjectAltNameMatcher.san_type=EMAIL", identities: true, site: typedName, base: "san_type: DNS, matcher: {exact: client@td.test}", flip: "san_type: EMAIL, matcher: {exact: client@td.test}", probe: as("client"), want: [2]string{"refused", "200"}},
	{paths: "SubjectAltNameMatcher.san_type=IP_ADDRESS", identities: true, site: typedName, base: "san_type: DNS, matcher: {exact: 10.1.2.3}", flip: "san_type: IP_ADDRESS, matcher: {exact: 10.1.2.3}", probe: as("client"), want: [2]string{"refused", "200"}},
	{paths: "SubjectAltNameMatcher.san_type=OTHER_NAME", identities: true, site: typedName, base: "san_type: DNS, oid: 1.2.3, matcher: {exact: client}", flip: "san_type: OTHER_NAME, oid: 1.2.3, matcher: {exact: client}", probe: as("client"), want: [2]string{"refused", "200"}},
	{paths: "SubjectAltNameMatcher.oid", identities: true, site: typedName, base: "san_type: OTHER_NAME, oid: 1.2.4, matcher: {exact: client}", flip: "san_type: OTHER_NAME, oid: 1.2.3, matcher: {exact: client}", probe: as("client"), want: [2]string{"refused", "200"}},
	{paths: "CertificateValidationContext.match_subject_alt_names", identities: true, site: trusting, base: "match_subject_alt_names: [{suffix: td.test}]", flip: "match_subject_alt_names: [{suffix: nobody.test}]", probe: as("client"), want: [2]string{"200", "refused"}},
	{paths: "CertificateValidationContext.crl", identities: true, site: trusting, base: `crl: {filename: "@DIR@/none.pem"}`, flip: `crl: {filename: "@DIR@/crl.pem"}`, probe: as("revoked"), want: [2]string{"200", "refused"}},
	{paths: "CertificateValidationContext.only_verify_leaf_cert_crl", identities: true, site: trusting, base: `crl: {filename: "@DIR@/mid-crl.pem"}`, flip: `crl: {filename: "@DIR@/mid-crl.pem"}, only_verify_leaf_cert_crl: true`, probe: as("deep"), want: [2]string{"refused", "200"}},
	{paths: "CertificateValidationContext.allow_expired_certificate", identities: true, site: trusting, base: "allow_expired_certificate: false", flip: "allow_expired_certificate: true", probe: as("ended"), want: [2]string{"refused", "200"}},
	{paths: "CertificateValidationContext.trust_chain_verification=ACCEPT_UNTRUSTED", identities: true, site: trusting, flip: "trust_chain_verification: ACCEPT_UNTRUSTED", probe: as("stranger"), want: [2]string{"refused", "200"}},
	{paths: "CertificateValidationContext.max_verify_depth", identities: true, site: trusting, base: "max_verify_depth: 1", flip: "max_verify_depth: 2", probe: as("deep"), want: [2]string{"refused", "200"}},
	{paths: "CertificateValidationContext.suppress_client_ca_list", identities: true, site: func(p string) string { return inContext("validation_context: {" + ca + ", " + p + "}") }, base: "suppress_client_ca_list: false", flip: "suppress_client_ca_list: true", probe: shakes(no, func(m meeting) any { return m.hinted }), want: [2]string{"1", "0"}},
	{paths: "TrustDomain.name TypedExtensionConfig@validator.typed_config CertificateValidationContext.custom_validator_config", identities: true, site: spiffeDomains, base: `name: td, trust_bundle: {filename: "@DIR@/ca.pem"}`, flip: `name: other, trust_bundle: {filename: "@DIR@/ca.pem"}`, probe: as("revoked"), want: [2]string{"200", "refused"}},
	{paths: "TrustDomain.trust_bundle SPIFFECertValidatorConfig.trust_domains", identities: true, site: spiffeDomains, base: `name: td, trust_bundle: {filename: "@DIR@/ca.pem"}`, flip: `name: td, trust_bundle: {filename: "@DIR@/stranger/ca.pem"}`, probe: as("stranger"), want: [2]string{"refused", "200"}},
	{paths: "CommonTlsContext.validation_context_sds_secret_config", identities: true, site: trustBy, base: "validation_context_sds_secret_config: {name: ours}", flip: "validation_context_sds_secret_config: {name: theirs}", probe: as("client"), want: [2]string{"200", "refused"}},
	{paths: "CombinedCertificateValidationContext.validation_context_sds_secret_config CommonTlsContext.combined_validation_context", identities: true, site: trustBy, base: "combined_validation_context: {default_validation_context: {}, validation_context_sds_secret_config: {name: ours}}", flip: "combined_validation_context: {default_validation_context: {}, validation_context_sds_secret_config: {name: theirs}}", probe: as("client"), want: [2]string{"200", "refused"}},
	{paths: "CombinedCertificateValidationContext.default_validation_context", identities: true, site: trustBy, base: "combined_validation_context: {default_validation_context: {}, validation_context_sds_secret_config: {name: ours}}", flip: "combined_validation_context: {default_validation_context: {match_typed_subject_alt_names: [{san_type: URI, matcher: {prefix: \"spiffe://other/\"}}]}, validation_context_sds_secret_config: {name: ours}}", probe: as("client"), want: [2]string{"200", "refused"}},
	{paths: "Secret.validation_context", identities: true, site: func(p string) string {
		return spokenOver(e2e.DownstreamTLS(fronts+", validation_context_sds_secret_config: {name: s}", "require_client_certificate: true")) + "\n  secrets: [{name: s, validation_context: {trusted_ca: {filename: \"@DIR@/" + p + "\"}}}]"
	}, base: "ca.pem", flip: "stranger/ca.pem", probe: as("client"), want: [2]string{"200", "refused"}},
	{paths: "TlsCertificate.watched_directory WatchedDirectory.path", identities: true, site: watching("tls_certificate"), resource: &tlsv3.Secret{}, base: "name: s\ntls_certificate: {watched_directory: {path: \"@DIR@/one\"}, " + shows("front", "front")[1:], flip: "name: s\ntls_certificate: {watched_directory: {path: \"@DIR@/two\"}, " + shows("front", "front")[1:], probe: watches, want: [2]string{"one", "two"}},
	{paths: "CertificateValidationContext.watched_directory", identities: true, site: watching("validation_context"), resource: &tlsv3.Secret{}, base: "name: s\nvalidation_context: {watched_directory: {path: \"@DIR@/one\"}, " + ca + "}", flip: "name: s\nvalidation_context: {watched_directory: {path: \"@DIR@/two\"}, " + ca + "}", probe: watches, want: [2]string{"one", "two"}},

	// Of a client.
	{paths: "TransportSocket@upstream.typed_config Cluster.transport_socket", identities: true, site: cluster, base: `transport_socket: {name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}`, flip: e2e.UpstreamTLS("", ""), probe: look("GET /", "status"), want: [2]string{"503", "200"}},
	{paths: "UpstreamTlsContext.common_tls_context", identities: true, site: func(p string) string {
		return cluster(e2e.UpstreamTLS("validation_context: {trusted_ca: {filename: \"@DIR@/"+p+"\"}}", ""))
	}, base: "ca.pem", flip: "stranger/ca.pem", probe: look("GET /", "status"), want: [2]string{"200", "503"}},
	{paths: "UpstreamTlsContext.sni", identities: true, site: upTLS, base: "sni: a.test", flip: "sni: b.test", probe: look("GET /", "body"), want: [2]string{`"a.test" resumed false`, `"b.test" resumed false`}},
	{paths: "UpstreamTlsContext.auto_sni_san_validation", identities: true, site: upTLS, base: "sni: a.test, auto_sni_san_validation: false", flip: "sni: a.test, auto_sni_san_validation: true", probe: look("GET /", "status"), want: [2]string{"200", "503"}},
	{paths: "UpstreamTlsContext.max_session_keys", identities: true, site: upTLS, base: "max_session_keys: 1", flip: "max_session_keys: 0", probe: func(w *world) string {
		look("GET /", "status")(w)
		return look("GET /", "body")(w)
	}, want: [2]string{`"" resumed true`, `"" resumed false`}},
}

// Kubernetes swaps a folder of certificates under the program: who is connected notices nothing, in either direction, and who comes, or is
// called, next meets the new ones.
func TestCertificatesAreSwapped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mounted := filepath.Join(dir, "certificates")
	version := 0
	swap := func() *authority.Authority {
		version++
		folder := filepath.Join(mounted, fmt.Sprint("..v", version))
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		a := authority.New(t, folder)
		a.Issue("front", []string{"front.test"}, nil)
		a.Issue("back", []string{fmt.Sprint("spiffe://td/back", version)}, nil)
		if err := os.Symlink(filepath.Base(folder), filepath.Join(mounted, "..next")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(mounted, "..next"), filepath.Join(mounted, "..data")); err != nil {
			t.Fatal(err)
		}
		return a
	}
	first := swap()
	for _, name := range []string{"front.pem", "front.key", "back.pem", "back.key", "ca.pem"} {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(mounted, name)); err != nil {
			t.Fatal(err)
		}
	}
	// The upstream answers with who has come to it.
	serving := authority.New(t, dir).Issue("server", []string{"server.test"}, nil)
	u := e2e.Serve(t, e2e.OverTLS(&tls.Config{Certificates: []tls.Certificate{serving}, ClientAuth: tls.RequireAnyClientCert}, func(u *e2e.Upstream, c *e2e.Conn) {
		for u.Take(c) {
			text := c.Conn.(*tls.Conn).ConnectionState().PeerCertificates[0].URIs[0].String()
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s", len(text), text)
		}
	}))
	secret := func(name string) string {
		return `{"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret, name: ` + name + `, tls_certificate: {certificate_chain: {filename: ` + mounted + "/" + name + `.pem}, private_key: {filename: ` + mounted + "/" + name + `.key}, watched_directory: {path: ` + mounted + `}}}`
	}
	write(t, filepath.Join(dir, "sds.yaml"), "resources: ["+secret("front")+", "+secret("back")+"]\n")
	from := func(name string) string {
		return "tls_certificate_sds_secret_configs: [{name: " + name + ", sds_config: {path_config_source: {path: " + dir + "/sds.yaml}}}]"
	}
	text := e2e.Bootstrap(e2e.Secured(e2e.HTTPListener(all), e2e.DownstreamTLS(from("front"), "")), e2e.Cluster("up", u.Port, "max_requests_per_connection: 2", e2e.UpstreamTLS(from("back"), "sni: server.test"))) + "\nnode: {id: a, cluster: b}\n" + adminSite(adminAt)
	w := startProcess(t, u, text, dir, 1)
	w.eventually("a listener", func() bool { return w.listener() != "" })
	meet := func(a *authority.Authority) (*e2e.Conn, error) {
		return e2e.TryTLS(t, w.listener(), &tls.Config{RootCAs: a.Pool(), ServerName: "front.test"})
	}
	standing, err := meet(first)
	if err != nil {
		t.Fatal(err)
	}
	standing.Get("/").Want(t, 200, "spiffe://td/back1")
	for range 3 {
		next := swap()
		w.eventually("a new client meets the new certificate", func() bool {
			c, err := meet(next)
			if err == nil {
				c.Close()
			}
			return err == nil
		})
		// The second request of two goes over the connection that there is, and the next ones over another.
		if r := standing.Get("/"); r.Status != 200 {
			t.Errorf("a request on a connection that stood: %d %s", r.Status, r.Body)
		}
		standing.Get("/").Want(t, 200, fmt.Sprint("spiffe://td/back", version))
	}
	if _, err := meet(first); err == nil {
		t.Error("the first certificate is still shown")
	}
}
