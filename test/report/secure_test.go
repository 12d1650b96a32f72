package report

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/weftmesh/weft/test/authority"
)

// secureOf sends requests over TLS through one of the two and gives the entries.
func secureOf(t *testing.T, name, dir string, keys *tls.Config) map[string]string {
	logs, port := serveLogs(t)
	text := fmt.Sprintf(`
static_resources:
  listeners:
  - name: secure
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    listener_filters: [{name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}}]
    filter_chains:
    - transport_socket:
        name: tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            tls_certificates: [{certificate_chain: {filename: %[1]s/server.pem}, private_key: {filename: %[1]s/server.key}}]
            validation_context: {trusted_ca: {filename: %[1]s/ca.pem}}
      filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: secure
          access_log: [%[2]s]
          http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
          route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 200}}]}]}
  clusters:
  - {name: logs, connect_timeout: 5s, load_assignment: {cluster_name: logs, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %[3]d}}}}]}]}, typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http2_protocol_options: {}}}}}
`, dir, httpLog, port)
	p := start(t, name, text, 1)
	_, at, _ := net.SplitHostPort(p.at["secure"])
	roles := map[string]string{at: "SECURE"}
	facts := map[string]string{}
	for i, change := range []func(*tls.Config){
		func(*tls.Config) {},
		func(c *tls.Config) { c.Certificates = nil },
		func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
		func(c *tls.Config) { c.ServerName = "" },
	} {
		conf := keys.Clone()
		change(conf)
		conf.InsecureSkipVerify = conf.ServerName == ""
		send(t, client(false, conf), "GET", "https://"+p.at["secure"]+"/up", "")
		p.eventually("an entry", func() bool { h, _ := logs.counts(); return h > 0 })
		logs.mu.Lock()
		for _, e := range logs.http {
			flatten(facts, fmt.Sprintf("%d", i), e.ProtoReflect(), roles)
		}
		logs.http = nil
		logs.mu.Unlock()
	}
	for name, value := range facts { // only what TLS adds; the rest is compared without it
		if !strings.Contains(name, "tls_properties") && !strings.Contains(name, "failure_reason") {
			delete(facts, name)
		}
		if strings.HasSuffix(name, ".tls_session_id") && value != "" {
			facts[name] = "some"
		}
	}
	return facts
}

var explainedSecure = []difference{
	because(`\.tls_session_id$`, "crypto/tls does not tell it"),
}

// TestSecureEntries compares what both tell of TLS.
func TestSecureEntries(t *testing.T) {
	dir := t.TempDir()
	keys := issue(t, dir)
	var all [2]map[string]string
	for i, name := range []string{"envoy", "weft"} {
		all[i] = secureOf(t, name, dir, keys)
	}
	compare(t, all[0], all[1], explainedSecure)
}

// issue writes an authority and a server's certificate to a folder, and gives a client's.
func issue(t *testing.T, dir string) *tls.Config {
	t.Helper()
	a := authority.New(t, dir)
	a.Issue("server", []string{"server.test", "spiffe://mesh.test/server"}, func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: "server", Organization: []string{"some, body"}}
	})
	c := a.Issue("client", []string{"client.test", "spiffe://mesh.test/client", "http://client.test/"}, func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "client"} })
	return &tls.Config{RootCAs: a.Pool(), ServerName: "server.test", Certificates: []tls.Certificate{c}}
}
