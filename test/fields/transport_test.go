package fields

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/test/e2e"
)

// heardOf is a probe in which the client, if somebody, comes over TLS, claims a certificate of another, and tells what reached the upstream of a
// field.
func heardOf(who, name string) func(*world) string {
	return func(w *world) string {
		w.t.Helper()
		plain := w.dial()
		return w.over(plain, who, name)
	}
}

func (w *world) over(plain *e2e.Conn, who, name string) string {
	conf := &tls.Config{RootCAs: w.keys.Pool(), ServerName: "front.test"}
	if who != "" {
		conf.Certificates = []tls.Certificate{w.keys.of[who]}
	}
	c := tls.Client(plain.Conn, conf)
	if err := c.Handshake(); err != nil {
		return err.Error()
	}
	io.WriteString(c, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx-forwarded-client-cert: Hash=other\r\n\r\n")
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err.Error()
	}
	io.Copy(io.Discard, r.Body)
	heads := w.up.Heads()
	return field(heads[len(heads)-1], name)
}

// elements names what is told of a certificate, in order.
func elements(w *world) string {
	text := heardOf("client", "x-forwarded-client-cert")(w)
	if strings.HasPrefix(text, "[") {
		return "json"
	}
	var names []string
	for _, part := range strings.Split(text, ";") {
		name, _, _ := strings.Cut(part, "=")
		if len(names) == 0 || names[len(names)-1] != name {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

// shape is what is left of others' claims and of the client's own certificate.
func shape(who string) func(*world) string {
	return func(w *world) string {
		text := heardOf(who, "x-forwarded-client-cert")(w)
		return fmt.Sprintf("other %v, own %v", strings.Contains(text, "Hash=other"), strings.Count(text, "Hash=") > strings.Count(text, "Hash=other"))
	}
}

// clientCerts is a piece of a connection manager behind TLS that takes certificates of ca.pem.
func clientCerts(piece string) string {
	return strings.Replace(hcm(piece), "    - filters:", "    - "+e2e.DownstreamTLS(fronts+", validation_context: {"+ca+"}", "")+"\n      filters:", 1)
}

func details(piece string) string {
	return clientCerts("forward_client_cert_details: SANITIZE_SET\nset_current_client_cert_details: {" + piece + "}")
}

// asksUp are the protocol options of a cluster that has TLS.
func asksUp(piece string) string {
	return cluster(e2e.UpstreamTLS("validation_context: {"+ca+"}", "sni: fixed.test") + "\n" + `typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http_protocol_options: {}}, ` + piece + `}}`)
}

// endpointOf is a cluster with a hostname and metadata for its endpoint.
func endpointOf(piece string) string {
	const address = "endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: @PORT@}}}"
	return replaced(cluster(piece), address, "{endpoint: {hostname: host.test, address: {socket_address: {address: 127.0.0.1, port_value: @PORT@}}}, metadata: {filter_metadata: {envoy.transport_socket_match: {mode: mesh}}}}")
}

func proxying(piece string) string {
	return cluster(`transport_socket: {name: p, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport, ` + piece + `}}`)
}

// begins is an upstream that takes note of the first bytes that it hears, and has nothing to say.
func begins(t testing.TB) *e2e.Upstream {
	return e2e.Serve(t, func(u *e2e.Upstream, c *e2e.Conn) {
		b := make([]byte, 6)
		if _, err := io.ReadFull(c.Conn, b); err == nil {
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s", len(fmt.Sprintf("%q", b)), fmt.Sprintf("%q", b))
		}
		io.Copy(io.Discard, c.Conn)
	})
}

// later comes back after a second and a half.
func later(w *world) string {
	w.t.Helper()
	cache := tls.NewLRUClientSessionCache(4)
	keeps := func(c *tls.Config) { c.ClientSessionCache = cache }
	w.meet(keeps)
	<-time.After(1500 * time.Millisecond) // what is tried is time itself
	return fmt.Sprint(w.meet(keeps).DidResume)
}

func stapled(m meeting) any { return m.OCSPResponse != nil }

func staples(piece string) string {
	return contextOf(`tls_certificates: [{certificate_chain: {filename: "@DIR@/front.pem"}, private_key: {filename: "@DIR@/front.key"}, ` + piece + `}]`)
}

func stapling(response string) func(string) string {
	return func(piece string) string {
		return spokenOver(e2e.DownstreamTLS(`tls_certificates: [{certificate_chain: {filename: "@DIR@/front.pem"}, private_key: {filename: "@DIR@/front.key"}`+response+`}]`, piece))
	}
}

const cryptomb = `typed_config: {"@type": type.googleapis.com/envoy.extensions.private_key_providers.cryptomb.v3alpha.CryptoMbPrivateKeyMethodConfig, `

func provided(piece string) string {
	return contextOf(`tls_certificates: [{certificate_chain: {filename: "@DIR@/rsa.pem"}, ` + piece + `}]`)
}

// certificate is a piece of a server's certificate, and sealed of one whose key is encrypted.
func certificate(piece string) string { return contextOf("tls_certificates: [{" + piece + "}]") }

func sealed(piece string) string {
	return certificate(`certificate_chain: {filename: "@DIR@/rsa.pem"}, private_key: {filename: "@DIR@/rsa-sealed.key"}, ` + piece)
}

func keyLog(piece string) string { return inContext(`key_log: {path: "@DIR@/keys", ` + piece + `}`) }

// keyed tells whether the secrets of a connection get into a file.
func keyed(w *world) string {
	if s := w.meet(no).status; s != "200" {
		return s
	}
	return linesIn("keys", 4)(w)
}

// sockets is a piece of the sockets that endpoints with some metadata are spoken to by.
func sockets(piece string) string {
	return endpointOf("transport_socket_matches: [{name: a, " + piece + "}]")
}

// bareSocket is what is spoken behind the header.
const bareSocket = `transport_socket: {name: s, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}`

const proxyLine = "PROXY TCP4 10.1.1.1 10.1.1.2 1 2\r\n"

var transportTrials = []trial{
	{paths: "HttpConnectionManager.forward_client_cert_details=FORWARD_ONLY", identities: true, up: echo, site: clientCerts, flip: "forward_client_cert_details: FORWARD_ONLY", probe: shape("client"), want: [2]string{"other false, own false", "other true, own false"}},
	{paths: "HttpConnectionManager.forward_client_cert_details=APPEND_FORWARD", identities: true, up: echo, site: clientCerts, flip: "forward_client_cert_details: APPEND_FORWARD", probe: shape("client"), want: [2]string{"other false, own false", "other true, own true"}},
	{paths: "HttpConnectionManager.forward_client_cert_details=SANITIZE_SET", identities: true, up: echo, site: clientCerts, flip: "forward_client_cert_details: SANITIZE_SET", probe: shape("client"), want: [2]string{"other false, own false", "other false, own true"}},
	{paths: "HttpConnectionManager.forward_client_cert_details=ALWAYS_FORWARD_ONLY", identities: true, up: echo, site: clientCerts, flip: "forward_client_cert_details: ALWAYS_FORWARD_ONLY", probe: shape(""), want: [2]string{"other false, own false", "other true, own false"}},
	{paths: "SetCurrentClientCertDetails.subject HttpConnectionManager.set_current_client_cert_details", identities: true, up: echo, site: details, flip: "subject: true", probe: elements, want: [2]string{"Hash", "Hash Subject"}},
	{paths: "SetCurrentClientCertDetails.cert", identities: true, up: echo, site: details, flip: "cert: true", probe: elements, want: [2]string{"Hash", "Hash Cert"}},
	{paths: "SetCurrentClientCertDetails.chain", identities: true, up: echo, site: details, flip: "chain: true", probe: elements, want: [2]string{"Hash", "Hash Chain"}},
	{paths: "SetCurrentClientCertDetails.dns", identities: true, up: echo, site: details, flip: "dns: true", probe: elements, want: [2]string{"Hash", "Hash DNS"}},
	{paths: "SetCurrentClientCertDetails.uri", identities: true, up: echo, site: details, flip: "uri: true", probe: elements, want: [2]string{"Hash", "Hash URI"}},
	{paths: "SetCurrentClientCertDetails.issuer", identities: true, up: echo, site: details, flip: "issuer: true", probe: elements, want: [2]string{"Hash", "Hash Issuer"}},
	{paths: "SetCurrentClientCertDetails.format=JSON", identities: true, up: echo, site: details, flip: "format: JSON", probe: elements, want: [2]string{"Hash", "json"}},
	{paths: "ForwardProtoConfig.http_destination_ports", identities: true, up: echo, site: func(piece string) string {
		const address = "  address: {socket_address: {address: 127.0.0.1, port_value: 0}}\n"
		return strings.Replace(clientCerts(piece), address, address+`    listener_filters: [{name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol}}]`+"\n", 1)
	}, base: "forward_proto_config: {http_destination_ports: [3]}", flip: "forward_proto_config: {http_destination_ports: [2]}", probe: func(w *world) string {
		return w.over(w.dial().Send(proxyLine), "", "x-forwarded-proto")
	}, want: [2]string{"https", "http"}},

	{paths: "UpstreamTlsContext.auto_host_sni", identities: true, site: func(p string) string {
		return endpointOf(e2e.UpstreamTLS("", p))
	}, base: "sni: a.test", flip: "sni: a.test, auto_host_sni: true", probe: look("GET /", "body"), want: [2]string{`"a.test" resumed false`, `"host.test" resumed false`}},
	{paths: "UpstreamHttpProtocolOptions.auto_sni HttpProtocolOptions.upstream_http_protocol_options", identities: true, site: asksUp, base: "upstream_http_protocol_options: {auto_sni: false}", flip: "upstream_http_protocol_options: {auto_sni: true}", probe: look("GET /; host: one.test:80", "body"), want: [2]string{`"fixed.test" resumed false`, `"one.test" resumed false`}},
	{paths: "UpstreamHttpProtocolOptions.override_auto_sni_header", identities: true, site: asksUp, base: "upstream_http_protocol_options: {auto_sni: true}", flip: "upstream_http_protocol_options: {auto_sni: true, override_auto_sni_header: x-name}", probe: look("GET /; host: one.test; x-name: two.test", "body"), want: [2]string{`"one.test" resumed false`, `"two.test" resumed false`}},
	{paths: "UpstreamHttpProtocolOptions.auto_san_validation", identities: true, site: asksUp, base: "upstream_http_protocol_options: {auto_sni: true}", flip: "upstream_http_protocol_options: {auto_sni: true, auto_san_validation: true}", probe: look("GET /; host: one.test", "status"), want: [2]string{"200", "503"}},
	{paths: "Cluster.upstream_http_protocol_options", identities: true, site: func(p string) string { return cluster(e2e.UpstreamTLS("", "sni: fixed.test") + "\n" + p) }, base: "upstream_http_protocol_options: {auto_sni: false}", flip: "upstream_http_protocol_options: {auto_sni: true}", probe: look("GET /; host: one.test", "body"), want: [2]string{`"fixed.test" resumed false`, `"one.test" resumed false`}},
	{paths: "Cluster.transport_socket_matches TransportSocketMatch.transport_socket", identities: true, site: endpointOf, base: "transport_socket_matches: []", flip: "transport_socket_matches: [{name: a, match: {mode: mesh}, " + e2e.UpstreamTLS("", "sni: a.test") + "}]", probe: look("GET /", "status"), want: [2]string{"503", "200"}},
	{paths: "TransportSocketMatch.match", identities: true, site: sockets, base: "match: {mode: other}, " + e2e.UpstreamTLS("", ""), flip: "match: {mode: mesh}, " + e2e.UpstreamTLS("", ""), probe: look("GET /", "status"), want: [2]string{"503", "200"}},
	{paths: "ProxyProtocolUpstreamTransport.config ProxyProtocolConfig.version=V2", up: begins, site: proxying, base: "config: {version: V1}, " + bareSocket, flip: "config: {version: V2}, " + bareSocket, probe: look("GET /", "body"), want: [2]string{`"PROXY "`, `"\r\n\r\n\x00\r"`}},
	{paths: "ProxyProtocolUpstreamTransport.transport_socket TransportSocket@proxied.typed_config", identities: true, up: func(t testing.TB) *e2e.Upstream {
		return e2e.Serve(t, func(u *e2e.Upstream, c *e2e.Conn) {
			b := make([]byte, 256)
			n, _ := c.Conn.Read(b)
			_, rest, _ := strings.Cut(string(b[:n]), "\r\n")
			for rest == "" {
				n, err := c.Conn.Read(b)
				if err != nil {
					return
				}
				rest = string(b[:n])
			}
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nx-first: %x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", rest[0])
		})
	}, site: func(p string) string {
		return proxying("config: {version: V1}, transport_socket: {name: s, " + p + "}")
	},
		base: `typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}`, flip: `typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext}`, probe: look("GET /", "<x-first", "status"), want: [2]string{"47|200", "-|503"}},

	{paths: "DownstreamTlsContext.session_timeout", identities: true, site: beside, base: "session_timeout: 60s", flip: "session_timeout: 1s", probe: later, want: [2]string{"true", "false"}},
	{paths: "TlsCertificate.ocsp_staple", identities: true, site: staples, base: "", flip: `ocsp_staple: {filename: "@DIR@/staple"}`, probe: shakes(no, stapled), want: [2]string{"false", "true"}},
	{paths: "CommonTlsContext.key_log TlsKeyLog.path", identities: true, site: inContext, base: `key_log: {path: "@DIR@/others"}`, flip: `key_log: {path: "@DIR@/keys"}`, probe: keyed, want: [2]string{"no", "yes"}},
	{paths: "TlsKeyLog.local_address_range", identities: true, site: keyLog, base: "local_address_range: [{address_prefix: 10.0.0.0, prefix_len: 8}]", flip: "local_address_range: [{address_prefix: 10.0.0.0, prefix_len: 8}, {address_prefix: 127.0.0.1, prefix_len: 32}]", probe: keyed, want: [2]string{"no", "yes"}},
	{paths: "TlsKeyLog.remote_address_range", identities: true, site: keyLog, base: "remote_address_range: [{address_prefix: 10.0.0.0, prefix_len: 8}]", flip: "remote_address_range: [{address_prefix: 127.0.0.0, prefix_len: 8}]", probe: keyed, want: [2]string{"no", "yes"}},
	{paths: "TlsCertificate.pkcs12", identities: true, site: certificate, base: `certificate_chain: {filename: "@DIR@/front.pem"}, private_key: {filename: "@DIR@/front.key"}`, flip: `pkcs12: {filename: "@DIR@/rsa.p12"}, password: {inline_string: secret}`, probe: shakes(no, shown), want: [2]string{"front", "rsa"}},
	{paths: "TlsCertificate.password", identities: true, site: sealed, base: `password: {inline_string: other}`, flip: `password: {inline_string: secret}`, probe: func(w *world) string {
		if w.err != nil {
			return "refused"
		}
		return w.meet(no).status
	}, want: [2]string{"refused", "200"}},
	{paths: "DownstreamTlsContext.ocsp_staple_policy=STRICT_STAPLING", identities: true, site: stapling(`, ocsp_staple: {filename: "@DIR@/ended-staple"}`), flip: "ocsp_staple_policy: STRICT_STAPLING", probe: shakes(no, stapled), want: [2]string{"false", "refused"}},
	{paths: "DownstreamTlsContext.ocsp_staple_policy=MUST_STAPLE", identities: true, site: stapling(""), flip: "ocsp_staple_policy: MUST_STAPLE", probe: func(w *world) string { return fmt.Sprint(w.err == nil) }, want: [2]string{"true", "false"}},
	{paths: "TlsCertificate.private_key_provider PrivateKeyProvider.typed_config CryptoMbPrivateKeyMethodConfig.private_key CryptoMbPrivateKeyMethodConfig.poll_delay PrivateKeyProvider.fallback", identities: true, site: provided, base: `private_key: {filename: "@DIR@/front.key"}`,
		flip: `private_key_provider: {provider_name: cryptomb, fallback: true, ` + cryptomb + `private_key: {filename: "@DIR@/rsa.key"}, poll_delay: 0.001s}}`, probe: func(w *world) string {
			if w.err != nil {
				return "refused"
			}
			return w.meet(no).status
		}, want: [2]string{"refused", "200"}},
}
