package e2e

import (
	"crypto/tls"
	"fmt"
	"path/filepath"
	"testing"
)

// A list of what is revoked ends the connections that stand of whom it has, of HTTP and of TCP, to us and from us, and no others. One that others have
// signed ends none.
func TestRevocationEndsWhatStands(t *testing.T) {
	a := NewAuthority(t, t.TempDir())
	forger := NewAuthority(t, t.TempDir()) // whose root has the same name
	a.Issue("front", []string{"front.test"}, nil)
	good, bad := a.Issue("good", []string{"spiffe://td/good"}, nil), a.Issue("bad", []string{"spiffe://td/bad"}, nil)
	own, lost := a.Issue("own", []string{"back.test"}, nil), a.Issue("lost", []string{"lost.test"}, nil)
	secure := func(c tls.Certificate, f func(*Upstream, *Conn)) *Upstream {
		return Serve(t, OverTLS(&tls.Config{Certificates: []tls.Certificate{c}}, f))
	}
	echoTCP := func(u *Upstream, c *Conn) {
		for b := make([]byte, 1); ; {
			if _, err := c.Conn.Read(b); err != nil {
				return
			}
			c.Conn.Write(b)
		}
	}
	web, gone, lines, goneLines := secure(own, echoing), secure(lost, echoing), secure(own, echoTCP), secure(lost, echoTCP)
	tcp := func(name, cluster string) string {
		return fmt.Sprintf(`
- name: %s
  address: {socket_address: {address: 127.0.0.1, port_value: 0}}
  filter_chains:
  - filters:
    - name: envoy.filters.network.tcp_proxy
      typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: tcp, cluster: %s}
`, name, cluster)
	}
	const socket = "tls_certificate_sds_secret_configs: [{name: front}], validation_context_sds_secret_config: {name: roots}"
	up := UpstreamTLS("combined_validation_context: {default_validation_context: {}, validation_context_sds_secret_config: {name: roots}}", "")
	text := func(by *Authority, crl string) string {
		if crl != "" {
			crl = `only_verify_leaf_cert_crl: true, crl: {filename: "` + filepath.Join(by.Dir, crl) + `"}`
		}
		return Bootstrap(Secured(HTTPListener("routes: [{match: {prefix: /gone}, route: {cluster: gone}}, {match: {prefix: /}, route: {cluster: web}}]"), DownstreamTLS(socket, "require_client_certificate: true"))+
			Secured(tcp("tcp", "lines"), DownstreamTLS(socket, "require_client_certificate: true"))+tcp("gone", "gone-lines"),
			Cluster("web", web.Port, up), Cluster("gone", gone.Port, up), Cluster("lines", lines.Port, up), Cluster("gone-lines", goneLines.Port, up)) +
			"\n  secrets:\n  - {name: front, tls_certificate: " + a.Source("front") + "}\n  - {name: roots, validation_context: " + a.Trusts(crl) + "}\n"
	}
	p := StartLoops(t, 2, text(a, ""))
	dial := func(listener string, c tls.Certificate) *Conn {
		return DialTLS(t, p.Address(listener), &tls.Config{RootCAs: a.Pool(), ServerName: "front.test", Certificates: []tls.Certificate{c}})
	}
	lives := func(what string, c *Conn, http bool) {
		t.Helper()
		if http {
			if r := c.Get("/"); r.Status != 200 || r.Err != nil {
				t.Errorf("%s: %d %v", what, r.Status, r.Err)
			}
			return
		}
		b := []byte("x")
		c.Conn.Write(b)
		if _, err := c.Conn.Read(b); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	goodHTTP, badHTTP, goodTCP, badTCP, toGone := dial("http", good), dial("http", bad), dial("tcp", good), dial("tcp", bad), Dial(t, p.Address("gone"))
	lives("good HTTP", goodHTTP, true)
	lives("bad HTTP", badHTTP, true)
	lives("good TCP", goodTCP, false)
	lives("bad TCP", badTCP, false)
	lives("to whom is revoked", toGone, false)
	if r := goodHTTP.Get("/gone"); r.Status != 200 {
		t.Fatal(r.Status)
	}

	forger.Revoke("forged.pem", bad.Leaf, good.Leaf)
	p.Change(text(forger, "forged.pem"))
	lives("bad HTTP, on a list of others", badHTTP, true)
	lives("bad TCP, on a list of others", badTCP, false)
	a.Revoke("list.pem", lost.Leaf, bad.Leaf)
	p.Change(text(a, "list.pem"))
	for name, c := range map[string]*Conn{"HTTP": badHTTP, "TCP": badTCP, "to whom is revoked": toGone} {
		if !c.Closed() {
			t.Errorf("%s: it stands", name)
		}
	}
	lives("good HTTP", goodHTTP, true)
	lives("good TCP", goodTCP, false)
	for _, name := range []string{"http", "tcp"} {
		p.WantStat("listener."+underscores(p.Address(name))+".ssl.connection_revoked", 1)
	}
	p.WantStat("cluster.gone.ssl.connection_revoked", 1)
	p.WantStat("cluster.gone-lines.ssl.connection_revoked", 1)
	p.WantStat("cluster.web.ssl.connection_revoked", 0)
	if r := goodHTTP.Get("/gone"); r.Status != 503 {
		t.Errorf("to whom is revoked: %d %s", r.Status, r.Body)
	}
	if c, err := TryTLS(t, p.Address("http"), &tls.Config{RootCAs: a.Pool(), ServerName: "front.test", Certificates: []tls.Certificate{bad}}); err == nil && !c.Closed() {
		t.Error("who is revoked comes in again")
	}
	p.Change(text(a, "")) // and nothing is when the list is gone
	lives("good HTTP", goodHTTP, true)
	lives("bad HTTP again", dial("http", bad), true)
}
