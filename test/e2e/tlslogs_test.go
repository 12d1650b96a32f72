package e2e

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/test/authority"
)

// When certificates end is told by their names: those of secrets, and else the sum of what is written inline. What is gone is not told of.
func TestEndsOfCertificates(t *testing.T) {
	a := NewAuthority(t, t.TempDir())
	lives := func(d time.Duration) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.NotAfter = time.Now().Add(d) }
	}
	named, file := a.Issue("named", nil, lives(3*time.Hour)), a.Issue("file", nil, lives(4*time.Hour))
	a.Issue("later", nil, lives(5*time.Hour))
	inline := a.Issue("inline", nil, lives(6*time.Hour))
	text, err := os.ReadFile(filepath.Join(a.Dir, "inline.pem"))
	if err != nil {
		t.Fatal(err)
	}
	secrets := "\n  secrets: [{name: my.cert, tls_certificate: " + a.Source("named") + "}, {name: roots, validation_context: " + a.Trusts("") + "}]\n"
	config := func(certificates string) string {
		return Bootstrap("- {name: l, stat_prefix: l, address: {socket_address: {address: 127.0.0.1, port_value: 0}}, filter_chains: [{filters: [{name: d, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.network.direct_response.v3.Config}}], "+
			DownstreamTLS(certificates, "")+"}]}\n",
			Cluster("up", 1, UpstreamTLS("tls_certificates: [{certificate_chain: {inline_bytes: \""+base64.StdEncoding.EncodeToString(text)+"\"}, private_key: {filename: "+filepath.Join(a.Dir, "inline.key")+"}}]", ""))) + secrets
	}
	p := Start(t, config("tls_certificate_sds_secret_configs: [{name: my.cert}], validation_context_sds_secret_config: {name: roots}"))
	p.Refresh()
	const of, end = "listener.l.ssl.certificate.", ".expiration_unix_time_seconds"
	p.WantStat(of+"my.cert"+end, named.Leaf.NotAfter.Unix())
	p.WantStat(of+"roots"+end, a.Root.NotAfter.Unix())
	p.WantStat(fmt.Sprintf("cluster.up.ssl.certificate.unnamed_cert_%x", sha256.Sum256(text))[:len("cluster.up.ssl.certificate.unnamed_cert_")+8]+end, inline.Leaf.NotAfter.Unix())
	p.Change(config("tls_certificates: [" + a.Source("later") + ", " + a.Source("file") + "]"))
	p.Refresh()
	p.WantStat(of+"unnamed_cert_e3b0c442"+end, file.Leaf.NotAfter.Unix()) // the first of two that ends
	p.WantStat(of+"my.cert"+end, 0)
	p.WantStat(of+"roots"+end, 0)
}

// A listener's log tells why nobody got a connection, and of TCP, too, what was agreed on.
func TestListenerLogOfTLS(t *testing.T) {
	a, b := NewAuthority(t, t.TempDir()), authority.Named(t, t.TempDir(), "elsewhere")
	a.Issue("front", []string{"front.test"}, nil)
	client, stranger := a.Issue("client", nil, nil), b.Issue("stranger", nil, nil)
	const format = `%DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_PEER_SUBJECT% %DOWNSTREAM_LOCAL_SUBJECT% %REQUESTED_SERVER_NAME% %BYTES_RECEIVED% %RESPONSE_FLAGS% %DOWNSTREAM_TRANSPORT_FAILURE_REASON%\n`
	u := shout(t)
	file := filepath.Join(t.TempDir(), "log")
	p := Start(t, Bootstrap(`
- name: l
  address: {socket_address: {address: 127.0.0.1, port_value: 0}}
  access_log: [{name: a, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: "`+file+`", log_format: {text_format_source: {inline_string: "`+format+`"}}}}]
  filter_chains:
  - filters: [{name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: up}}]
    `+DownstreamTLS("tls_certificates: ["+a.Source("front")+"], validation_context: "+a.Trusts(""), "require_client_certificate: true"), Cluster("up", u.Port)))
	var want []string
	meet := func(line string, own ...tls.Certificate) {
		t.Helper()
		c, err := TryTLS(t, p.Address(), &tls.Config{RootCAs: a.Pool(), ServerName: "front.test", GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if len(own) == 0 {
				return &tls.Certificate{}, nil
			}
			return &own[0], nil
		}})
		if err == nil {
			c.Send("abc")
			c.Conn.(*tls.Conn).CloseWrite()
			c.Rest()
			c.Close()
		}
		want = append(want, line)
		wantLog(p, file, want)
	}
	meet("TLSv1.3 CN=client CN=front front.test 3 - -", client)
	meet("TLSv1.3 - CN=front front.test 0 - TLS_error:_client_didn't_provide_a_certificate")
	meet("TLSv1.3 CN=stranger CN=front front.test 0 - TLS_error:_the_peer's_certificate_is_refused:_it_(CN=stranger,_issued_by_CN=elsewhere)_ends_with_no_root_that_is_trusted:_x509:_certificate_signed_by_unknown_authority", stranger)
	p.Dial().Send("GET / HTTP/1.1\r\n\r\n").Closed()
	want = append(want, "- - CN=front - 0 - TLS_error:_first_record_does_not_look_like_a_TLS_handshake")
	wantLog(p, file, want)
	p.Dial().Close()
	wantLog(p, file, append(want, "- - - - 0 - -"))
}

// Fields of requests are made of the same operators as logs.
func TestFieldsOfTLS(t *testing.T) {
	a := NewAuthority(t, t.TempDir())
	a.Issue("front", []string{"front.test"}, nil)
	client := a.Issue("client", []string{"spiffe://td/client"}, nil)
	u := Echo(t)
	fields := `request_headers_to_add: [{header: {key: x-subject, value: "%DOWNSTREAM_PEER_SUBJECT%"}}, {header: {key: x-agreed, value: "%DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_PEER_URI_SAN%"}}, {header: {key: x-name, value: "%REQUESTED_SERVER_NAME%"}}]` + "\n"
	p := Start(t, Bootstrap(Secured(HTTPListener(fields+All), DownstreamTLS("tls_certificates: ["+a.Source("front")+"], validation_context: "+a.Trusts(""), "")), Cluster("up", u.Port)))
	for _, c := range []struct {
		own  []tls.Certificate
		want [3]string
	}{{[]tls.Certificate{client}, [3]string{"CN=client", "TLSv1.3 spiffe://td/client", "front.test"}}, {nil, [3]string{"", "TLSv1.3", "front.test"}}} {
		r := DialTLS(t, p.Address(), &tls.Config{RootCAs: a.Pool(), ServerName: "front.test", Certificates: c.own}).Get("/")
		for i, name := range []string{"x-subject", "x-agreed", "x-name"} {
			if got := field(r.Body, name); strings.TrimSpace(got) != c.want[i] {
				t.Errorf("%s is %q, want %q", name, got, c.want[i])
			}
		}
	}
}
