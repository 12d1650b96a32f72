package e2e

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// echoing answers each request with what it got, over whatever connection.
func echoing(u *Upstream, c *Conn) {
	for u.Take(c) {
		u.mu.Lock()
		text := u.heads[len(u.heads)-1] + u.bodies[len(u.bodies)-1]
		u.mu.Unlock()
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s", len(text), text)
	}
}

// One request through TLS on both sides, with certificates on all four ends, in each version and with each kind of key.
func TestTLSOnBothSides(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, kind := range []string{"ecdsa", "rsa"} {
			t.Run(fmt.Sprintf("%s/%s", tls.VersionName(version), kind), func(t *testing.T) {
				a := NewAuthority(t, t.TempDir())
				issue := func(name string, names ...string) tls.Certificate {
					if kind == "rsa" {
						return a.IssueRSA(name, names)
					}
					return a.Issue(name, names, nil)
				}
				issue("front", "front.test")
				issue("back", "spiffe://td/back")
				client, server := issue("client", "spiffe://td/client"), issue("server", "server.test")
				var peer atomic.Pointer[x509.Certificate]
				u := Serve(t, OverTLS(&tls.Config{Certificates: []tls.Certificate{server}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: a.Pool(), MinVersion: version, MaxVersion: version},
					func(u *Upstream, c *Conn) {
						peer.Store(c.Conn.(*tls.Conn).ConnectionState().PeerCertificates[0])
						echoing(u, c)
					}))
				p := Start(t, Bootstrap(
					Secured(HTTPListener(All), DownstreamTLS("tls_certificates: ["+a.Source("front")+"], validation_context: "+a.Trusts(`match_typed_subject_alt_names: [{san_type: URI, matcher: {prefix: "spiffe://td/"}}]`), "require_client_certificate: true")),
					Cluster("up", u.Port, UpstreamTLS("tls_params: {tls_maximum_protocol_version: TLSv1_3}, tls_certificates: ["+a.Source("back")+"], validation_context: "+a.Trusts(""), "sni: server.test, auto_sni_san_validation: true"))))
				c := DialTLS(t, p.Address(), &tls.Config{RootCAs: a.Pool(), ServerName: "front.test", Certificates: []tls.Certificate{client}, MinVersion: version, MaxVersion: version})
				for range 3 {
					if r := c.Get("/"); r.Status != 200 || !strings.HasPrefix(r.Body, "GET / HTTP/1.1\r\n") {
						t.Fatalf("%d %q", r.Status, r.Body)
					}
				}
				if c := peer.Load(); len(c.URIs) != 1 || c.URIs[0].String() != "spiffe://td/back" {
					t.Errorf("the upstream met %v", c.URIs)
				}
				p.WantStat("cluster.up.ssl.handshake", 1)
			})
		}
	}
}

// A body that is larger than every buffer goes through TLS in both directions, whole.
func TestBodiesOverTLS(t *testing.T) {
	a := NewAuthority(t, t.TempDir())
	a.Issue("front", []string{"front.test"}, nil)
	server := a.Issue("server", []string{"server.test"}, nil)
	u := Serve(t, OverTLS(&tls.Config{Certificates: []tls.Certificate{server}}, func(u *Upstream, c *Conn) {
		head, ok := c.head()
		if !ok {
			return
		}
		var n int
		fmt.Sscanf(field(head, "content-length"), "%d", &n)
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n", n)
		io.CopyN(c, c.r, int64(n))
		u.heldOpen()
	}))
	p := Start(t, Bootstrap(Secured(HTTPListener(All), DownstreamTLS("tls_certificates: ["+a.Source("front")+"]", "")),
		Cluster("up", u.Port, UpstreamTLS("", ""), "per_connection_buffer_limit_bytes: 65536")))
	c := DialTLS(t, p.Address(), &tls.Config{RootCAs: a.Pool(), ServerName: "front.test"})
	body := strings.Repeat("0123456789abcdef", 2<<20/16)
	go func() {
		io.WriteString(c.Conn, fmt.Sprintf("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n", len(body)))
		io.WriteString(c.Conn, body)
	}()
	if r := c.Read("POST"); r.Status != 200 || r.Body != body {
		t.Errorf("%d, %d bytes of %d, %v", r.Status, len(r.Body), len(body), r.Err)
	}
}

func field(head, name string) string {
	for _, line := range strings.Split(head, "\r\n") {
		if n, v, ok := strings.Cut(line, ": "); ok && strings.EqualFold(n, name) {
			return v
		}
	}
	return ""
}

// Nobody gets in without what is asked for, and each refusal is counted by its cause.
func TestClientsAreChecked(t *testing.T) {
	a, other := NewAuthority(t, t.TempDir()), NewAuthority(t, t.TempDir())
	a.Issue("front", []string{"front.test"}, nil)
	u := Echo(t)
	revoked := a.Issue("revoked", []string{"spiffe://td/revoked"}, nil)
	a.Revoke("crl.pem", revoked.Leaf)
	p := Start(t, Bootstrap(Secured(HTTPListener(All), DownstreamTLS("tls_certificates: ["+a.Source("front")+"], validation_context: "+
		a.Trusts(`crl: {filename: "`+filepath.Join(a.Dir, "crl.pem")+`"}, match_typed_subject_alt_names: [{san_type: URI, matcher: {prefix: "spiffe://td/"}}]`), "require_client_certificate: true")), Cluster("up", u.Port)))
	ended := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	serverOnly := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }
	for _, c := range []struct {
		name string
		own  []tls.Certificate
		row  string // that counts the refusal; empty: it is let in
	}{
		{"good", []tls.Certificate{a.Issue("client", []string{"spiffe://td/client"}, nil)}, ""},
		{"none", nil, "fail_verify_no_cert"},
		{"of another authority", []tls.Certificate{other.Issue("client", []string{"spiffe://td/client"}, nil)}, "fail_verify_error"},
		{"of another trust domain", []tls.Certificate{a.Issue("client", []string{"spiffe://other/client"}, nil)}, "fail_verify_san"},
		{"the name in the wrong place", []tls.Certificate{a.Issue("client", []string{"spiffe.td"}, nil)}, "fail_verify_san"},
		{"ended", []tls.Certificate{a.Issue("client", []string{"spiffe://td/client"}, ended)}, "fail_verify_error"},
		{"a server's", []tls.Certificate{a.Issue("client", []string{"spiffe://td/client"}, serverOnly)}, "fail_verify_error"},
		{"revoked", []tls.Certificate{revoked}, "fail_verify_error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := p.Stat("listener." + underscores(p.Address()) + ".ssl." + c.row)
			conn, err := TryTLS(t, p.Address(), &tls.Config{RootCAs: a.Pool(), ServerName: "front.test", Certificates: c.own})
			if c.row == "" {
				if err != nil {
					t.Fatal(err)
				}
				if r := conn.Get("/"); r.Status != 200 {
					t.Error(r.Status)
				}
				return
			}
			if err == nil { // in TLS 1.3 the client is through before the server has looked
				if _, err = conn.Conn.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
					t.Errorf("let in, or closed without a word: %v", err)
				}
			}
			p.WantStat("listener."+underscores(p.Address())+".ssl."+c.row, before+1)
		})
	}
	// In plain text there is no way in either.
	c := Dial(t, p.Address())
	c.Send("GET / HTTP/1.1\r\nhost: a\r\n\r\n")
	if b, err := io.ReadAll(c.Conn); err == nil && strings.Contains(string(b), "HTTP/") {
		t.Errorf("plain text was answered: %q", b)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.heads) != 1 {
		t.Errorf("%d requests got to the upstream, want the good one", len(u.heads))
	}
}

func underscores(address string) string { return strings.ReplaceAll(address, ":", "_") }

// An upstream that is not who it should be gets no request.
func TestUpstreamsAreChecked(t *testing.T) {
	a, other := NewAuthority(t, t.TempDir()), NewAuthority(t, t.TempDir())
	for _, c := range []struct {
		name, socket string
		server       tls.Certificate
		row          string
	}{
		{"good", UpstreamTLS("validation_context: "+a.Trusts(""), "sni: server.test, auto_sni_san_validation: true"), a.Issue("s", []string{"server.test"}, nil), ""},
		{"wildcard", UpstreamTLS("validation_context: "+a.Trusts(""), "sni: server.test.example, auto_sni_san_validation: true"), a.Issue("s", []string{"*.test.example"}, nil), ""},
		{"another name", UpstreamTLS("validation_context: "+a.Trusts(""), "sni: server.test, auto_sni_san_validation: true"), a.Issue("s", []string{"other.test"}, nil), "fail_verify_san"},
		{"another authority", UpstreamTLS("validation_context: "+a.Trusts(""), "sni: server.test"), other.Issue("s", []string{"server.test"}, nil), "fail_verify_error"},
		{"nobody asks", UpstreamTLS("", "sni: server.test"), other.Issue("s", []string{"server.test"}, nil), ""},
		{"an empty context asks nothing", UpstreamTLS("validation_context: {}", "sni: server.test"), other.Issue("s", []string{"server.test"}, nil), ""},
		{"another key", UpstreamTLS("validation_context: {verify_certificate_hash: [\""+strings.Repeat("00", 32)+"\"]}", "sni: server.test"), a.Issue("s", []string{"server.test"}, nil), "fail_verify_cert_hash"},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := Serve(t, OverTLS(&tls.Config{Certificates: []tls.Certificate{c.server}}, echoing))
			log := filepath.Join(t.TempDir(), "log")
			p := Start(t, Bootstrap(HTTPListener(All, `access_log: [{name: file, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: "`+log+`", format: "%UPSTREAM_TRANSPORT_FAILURE_REASON%\n"}}]`), Cluster("up", u.Port, c.socket)))
			r := p.Dial().Get("/")
			if c.row == "" {
				if r.Status != 200 {
					t.Errorf("%d %s", r.Status, r.Body)
				}
				return
			}
			if r.Status != 503 || len(u.heads) != 0 || p.Stat("cluster.up.ssl."+c.row) != 1 {
				t.Errorf("%d %s, %d requests got there, %s is %d", r.Status, r.Body, len(u.heads), c.row, p.Stat("cluster.up.ssl."+c.row))
			}
			p.Eventually("the log tells of the certificate", func() bool {
				b, _ := os.ReadFile(log)
				return strings.Contains(string(b), "certificate_is_refused")
			})
		})
	}
}

// A client whose protocols the listener does not know goes on without one, as in Envoy; crypto/tls alone would end the handshake.
func TestProtocolsWithoutOverlap(t *testing.T) {
	a := NewAuthority(t, t.TempDir())
	a.Issue("front", []string{"front.test"}, nil)
	p := Start(t, Bootstrap(Secured(HTTPListener(All), DownstreamTLS("alpn_protocols: [istio-peer-exchange, http/1.1], tls_certificates: ["+a.Source("front")+"]", "")), Cluster("up", Echo(t).Port)))
	for offered, chosen := range map[string]string{"http/1.1": "http/1.1", "istio": "", "istio-peer-exchange": "", "": ""} {
		c := &tls.Config{RootCAs: a.Pool(), ServerName: "front.test"}
		if offered != "" {
			c.NextProtos = []string{offered}
		}
		conn := DialTLS(t, p.Address(), c)
		if got := conn.Conn.(*tls.Conn).ConnectionState().NegotiatedProtocol; got != chosen {
			t.Errorf("offered %q: %q was chosen, want %q", offered, got, chosen)
		}
		if r := conn.Get("/"); r.Status != 200 {
			t.Errorf("offered %q: %d", offered, r.Status)
		}
	}
}

// A session is resumed, and only as long as what is asked of its client stays the same (CVE-2022-21654).
func TestResumption(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			a := NewAuthority(t, t.TempDir())
			a.Issue("front", []string{"front.test"}, nil)
			keys := filepath.Join(a.Dir, "keys")
			if err := os.WriteFile(keys, []byte(strings.Repeat("k", 80)), 0o600); err != nil {
				t.Fatal(err)
			}
			u := Echo(t)
			asking := func(prefix string) string {
				return Bootstrap(Secured(HTTPListener(All), DownstreamTLS("tls_certificates: ["+a.Source("front")+"], validation_context: "+
					a.Trusts(`match_typed_subject_alt_names: [{san_type: URI, matcher: {prefix: "`+prefix+`"}}]`), `require_client_certificate: true, session_ticket_keys: {keys: [{filename: "`+keys+`"}]}`)), Cluster("up", u.Port))
			}
			p := Start(t, asking("spiffe://td/"))
			conf := &tls.Config{RootCAs: a.Pool(), ServerName: "front.test", MinVersion: version, MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(8),
				Certificates: []tls.Certificate{a.Issue("client", []string{"spiffe://td/client"}, nil)}}
			talk := func() bool {
				c := DialTLS(t, p.Address(), conf)
				if r := c.Get("/"); r.Status != 200 {
					t.Fatal(r.Status)
				}
				return c.Conn.(*tls.Conn).ConnectionState().DidResume
			}
			if talk() || !talk() {
				t.Error("the second connection is not a resumed one")
			}
			p.Change(asking("spiffe://td/cl"))
			if talk() {
				t.Error("a session was resumed though more is asked of its client now")
			}
			if !talk() {
				t.Error("nor is a new one resumed")
			}
			p.Change(asking("spiffe://other/"))
			c, err := TryTLS(t, p.Address(), conf)
			if err == nil {
				c.SetDeadline(time.Now().Add(deadline))
				if _, err := c.Conn.Read(make([]byte, 1)); err == nil {
					t.Error("a session got in that its certificate does not")
				}
			}
		})
	}
}

// TCP over TLS: each side's end reaches the other, and what follows it the other way does, too.
func TestHalfCloseOverTLS(t *testing.T) {
	a := NewAuthority(t, t.TempDir())
	a.Issue("front", []string{"front.test"}, nil)
	server := a.Issue("server", []string{"server.test"}, nil)
	u := Serve(t, OverTLS(&tls.Config{Certificates: []tls.Certificate{server}}, func(_ *Upstream, c *Conn) {
		b, _ := io.ReadAll(c.r)
		fmt.Fprintf(c, "got %d", len(b))
	}))
	p := Start(t, Bootstrap(Secured(`
- name: tcp
  address: {socket_address: {address: 127.0.0.1, port_value: 0}}
  filter_chains:
  - filters:
    - name: envoy.filters.network.tcp_proxy
      typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: tcp, cluster: up}
`, DownstreamTLS("tls_certificates: ["+a.Source("front")+"]", "")), Cluster("up", u.Port, UpstreamTLS("validation_context: "+a.Trusts(""), "sni: server.test"))))
	c := DialTLS(t, p.Address(), &tls.Config{RootCAs: a.Pool(), ServerName: "front.test"})
	c.Send(strings.Repeat("x", 1<<20))
	c.Conn.(*tls.Conn).CloseWrite()
	if b, err := io.ReadAll(c.Conn); string(b) != "got 1048576" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}

// held is a connection that keeps all but the first of what is written, to send it at once.
type held struct {
	net.Conn
	began bool
	kept  []byte
}

func (h *held) Write(b []byte) (int, error) {
	if !h.began {
		h.began = true
		return h.Conn.Write(b)
	}
	h.kept = append(h.kept, b...)
	return len(b), nil
}

// A client that has said all it has to say, and has ended its side, before our side of the handshake is through, is heard and answered.
func TestHandshakeAndEndAtOnce(t *testing.T) {
	a := NewAuthority(t, t.TempDir())
	a.Issue("front", []string{"front.test"}, nil)
	u := Serve(t, func(_ *Upstream, c *Conn) {
		b, _ := io.ReadAll(c.r)
		fmt.Fprintf(c, "got %s", b)
	})
	p := Start(t, Bootstrap(Secured(`
- name: tcp
  address: {socket_address: {address: 127.0.0.1, port_value: 0}}
  filter_chains:
  - filters:
    - name: envoy.filters.network.tcp_proxy
      typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: tcp, cluster: up}
`, DownstreamTLS("tls_certificates: ["+a.Source("front")+"]", "")), Cluster("up", u.Port)))
	for i := range 50 {
		plain := Dial(t, p.Address())
		h := &held{Conn: plain.Conn}
		secure := tls.Client(h, &tls.Config{RootCAs: a.Pool(), ServerName: "front.test"})
		if err := secure.Handshake(); err != nil {
			t.Fatal(err)
		}
		io.WriteString(secure, "all of it")
		secure.CloseWrite()
		plain.Conn.SetDeadline(time.Now().Add(deadline)) // crypto/tls has set another one for its last word
		if _, err := plain.Conn.Write(h.kept); err != nil {
			t.Fatal(err)
		}
		plain.Conn.(*net.TCPConn).CloseWrite()
		if b, err := io.ReadAll(secure); err != nil || string(b) != "got all of it" {
			t.Fatalf("client %d got %q, %v", i, b, err)
		}
	}
}

// What a server says of a client that it refuses is what is told of it, though it hangs up at once.
func TestAlertsAreHeard(t *testing.T) {
	a := NewAuthority(t, t.TempDir())
	server := a.Issue("server", []string{"server.test"}, nil)
	u := Serve(t, OverTLS(&tls.Config{Certificates: []tls.Certificate{server}, ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12}, echoing))
	log := filepath.Join(t.TempDir(), "log")
	p := Start(t, Bootstrap(HTTPListener(All, `access_log: [{name: file, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: "`+log+`", format: "%UPSTREAM_TRANSPORT_FAILURE_REASON%\n"}}]`), Cluster("up", u.Port, UpstreamTLS("", ""))))
	const requests = 20
	for range requests {
		if r := p.Dial().Get("/"); r.Status != 503 {
			t.Errorf("%d %s", r.Status, r.Body)
		}
	}
	p.WantStat("cluster.up.ssl.connection_error", requests)
	p.Eventually("the log has all of it", func() bool {
		b, _ := os.ReadFile(log)
		return strings.Count(string(b), "remote_error:_tls:_") == requests
	})
}

// A response that ends with its connection is whole only if its server has said so.
func TestTruncatedResponseIsBroken(t *testing.T) {
	a := NewAuthority(t, t.TempDir())
	server := a.Issue("server", []string{"server.test"}, nil)
	for _, orderly := range []bool{true, false} {
		u := Serve(t, func(u *Upstream, plain *Conn) {
			secure := tls.Server(plain.Conn, &tls.Config{Certificates: []tls.Certificate{server}})
			if secure.Handshake() != nil {
				return
			}
			b := make([]byte, 4096)
			secure.Read(b)
			io.WriteString(secure, "HTTP/1.1 200 OK\r\n\r\nas far as it goes")
			if orderly {
				secure.CloseWrite()
			}
			plain.Conn.(*net.TCPConn).CloseWrite()
			u.heldOpen()
		})
		p := Start(t, Bootstrap(HTTPListener(All), Cluster("up", u.Port, UpstreamTLS("", ""))))
		if r := p.Dial().Get("/"); (r.Err == nil) != orderly {
			t.Errorf("with close_notify %v: %d %q, %v", orderly, r.Status, r.Body, r.Err)
		}
	}
}

// Certificates and roots change all the time under load: not a request is lost and not a connection cut, and new handshakes meet what is
// new.
func TestRotationUnderLoad(t *testing.T) {
	a := NewAuthority(t, t.TempDir())
	a.Issue("front", []string{"front.test"}, nil)
	a.Issue("back", []string{"spiffe://td/back"}, nil)
	server, client := a.Issue("server", []string{"server.test"}, nil), a.Issue("client", []string{"spiffe://td/client"}, nil)
	u := Serve(t, OverTLS(&tls.Config{Certificates: []tls.Certificate{server}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: a.Pool()}, echoing))
	text := func() string {
		return Bootstrap(Secured(HTTPListener(All), DownstreamTLS("tls_certificate_sds_secret_configs: [{name: front}], validation_context_sds_secret_config: {name: roots}", "require_client_certificate: true")),
			Cluster("up", u.Port, "max_requests_per_connection: 7", UpstreamTLS("tls_certificate_sds_secret_configs: [{name: back}], combined_validation_context: {default_validation_context: {}, validation_context_sds_secret_config: {name: roots}}", "sni: server.test"))) +
			"\n  secrets:\n  - {name: front, tls_certificate: " + a.Source("front") + "}\n  - {name: back, tls_certificate: " + a.Source("back") + "}\n  - {name: roots, validation_context: " + a.Trusts("") + "}\n"
	}
	p := StartLoops(t, 2, text())
	conf := &tls.Config{RootCAs: a.Pool(), ServerName: "front.test", Certificates: []tls.Certificate{client}}
	var done atomic.Bool
	var requests atomic.Int64
	var clients sync.WaitGroup
	for n := range 4 {
		c := DialTLS(t, p.Address(), conf)
		clients.Go(func() {
			for i := 0; !done.Load(); i++ {
				if n%2 == 0 && i%10 == 9 { // half of them come anew all the time
					c.Close()
					var err error
					if c, err = TryTLS(t, p.Address(), conf); err != nil {
						t.Error(err)
						return
					}
				}
				if r := c.Get("/"); r.Status != 200 || r.Err != nil {
					t.Errorf("%d %s %v", r.Status, r.Body, r.Err)
					return
				}
				requests.Add(1)
			}
		})
	}
	var last tls.Certificate
	for range 40 {
		last = a.Issue("front", []string{"front.test"}, nil)
		a.Issue("back", []string{"spiffe://td/back"}, nil)
		p.Change(text())
	}
	seen := DialTLS(t, p.Address(), conf).Conn.(*tls.Conn).ConnectionState().PeerCertificates[0]
	done.Store(true)
	clients.Wait()
	if !seen.Equal(last.Leaf) {
		t.Error("a new handshake met an old certificate")
	}
	if requests.Load() < 100 {
		t.Errorf("only %d requests", requests.Load())
	}
	if n := p.Stat("listener_manager.listener_in_place_updated") + p.Stat("listener_manager.listener_modified"); n != 0 {
		t.Errorf("%d listeners were changed for a rotation", n)
	}
}

// Five thousand who never finish, or hardly begin, a handshake keep nobody else from theirs.
func TestUnfinishedHandshakes(t *testing.T) {
	a := NewAuthority(t, t.TempDir())
	a.Issue("front", []string{"front.test"}, nil)
	p := Start(t, Bootstrap(Secured(HTTPListener(All), DownstreamTLS("tls_certificates: ["+a.Source("front")+"]", "")), Cluster("up", Echo(t).Port)))
	conf := &tls.Config{RootCAs: a.Pool(), ServerName: "front.test"}
	hello := helloOf(t, conf)
	standing := DialTLS(t, p.Address(), conf)
	const open = 5000
	needDescriptors(t, 2*open+1000) // both sides are in this process
	bare := NewBare(t, p.Address())
	for i := range open {
		c, part := bare.Dial(), hello
		if i%5 > 0 { // the others are answered, and never say what comes next
			part = hello[:len(hello)/2]
		}
		if _, err := c.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	row := "listener." + underscores(p.Address()) + ".downstream_cx_active"
	p.WantStat(row, open+1)
	for range 3 {
		if r := standing.Get("/"); r.Status != 200 {
			t.Error(r.Status)
		}
		if r := DialTLS(t, p.Address(), conf).Get("/"); r.Status != 200 {
			t.Error(r.Status)
		}
	}
	if n := p.Stat(row); n != open+4 {
		t.Errorf("%d connections stand at the end, want %d: it was not they who were there meanwhile", n, open+4)
	}
}

// needDescriptors asks for as many as that for this process.
func needDescriptors(t *testing.T, n uint64) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur < n {
		limit.Cur = limit.Max
		if limit.Max < n {
			t.Fatalf("this test opens %d descriptors, and the hard limit is %d (ulimit -Hn)", n, limit.Max)
		}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
	}
}

// helloOf is what a client says first.
func helloOf(t *testing.T, conf *tls.Config) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	defer ours.Close()
	go tls.Client(theirs, conf).Handshake()
	ours.SetReadDeadline(time.Now().Add(deadline))
	b := make([]byte, 16<<10)
	n, err := ours.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

// naming answers with the name that its client asked for.
func naming(a *Authority, names ...string) func(*Upstream, *Conn) {
	own := a.Issue("naming", names, nil)
	return OverTLS(&tls.Config{Certificates: []tls.Certificate{own}}, func(u *Upstream, c *Conn) {
		for u.Take(c) {
			text := "asked for " + c.Conn.(*tls.Conn).ConnectionState().ServerName
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s", len(text), text)
		}
	})
}

// The name of a request decides which server is asked for; a connection that asked for one name serves no request for another.
func TestNamesOfRequests(t *testing.T) {
	a := NewAuthority(t, t.TempDir())
	u := Serve(t, naming(a, "one.test", "two.test"))
	p := Start(t, Bootstrap(HTTPListener(All), Cluster("up", u.Port, UpstreamTLS("validation_context: "+a.Trusts(""), "sni: fixed.test"),
		`typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http_protocol_options: {}}, upstream_http_protocol_options: {auto_sni: true, auto_san_validation: true}}}`)))
	c := p.Dial()
	for _, ask := range [][2]string{{"one.test", "200 asked for one.test"}, {"two.test:8443", "200 asked for two.test"}, {"one.test", "200 asked for one.test"}, {"three.test", "503"}} {
		r := c.Send("GET / HTTP/1.1\r\nhost: " + ask[0] + "\r\n\r\n").Read("GET")
		if got := fmt.Sprintf("%d %s", r.Status, r.Body); !strings.HasPrefix(got, ask[1]) {
			t.Errorf("%s: %s", ask[0], got)
		}
	}
	if n := p.Stat("cluster.up.upstream_cx_total"); n != 3 {
		t.Errorf("%d connections, want one for each of three names", n)
	}
	p.WantStat("cluster.up.ssl.fail_verify_san", 1)
}

// What an endpoint's metadata say decides whether it is spoken to by TLS, and its own name may be what is asked for.
func TestTransportsOfEndpoints(t *testing.T) {
	a := NewAuthority(t, t.TempDir())
	secure := Serve(t, naming(a, "own.test"))
	plain := Answer(t, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nplain")
	endpoint := func(port int, more string) string {
		return fmt.Sprintf("      - {endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}%s}\n", port, more)
	}
	text := func(mode string) string {
		return Bootstrap(HTTPListener(All), "- name: up\n  type: STATIC\n  transport_socket_matches:\n  - {name: mesh, match: {tlsMode: istio}, "+UpstreamTLS("validation_context: "+a.Trusts(""), "auto_host_sni: true, auto_sni_san_validation: true")+"}\n  - {name: rest, match: {}, transport_socket: {name: raw}}\n"+
			"  load_assignment:\n    cluster_name: up\n    endpoints:\n    - lb_endpoints:\n"+
			endpoint(secure.Port, ", hostname: own.test}, metadata: {filter_metadata: {envoy.transport_socket_match: {tlsMode: "+mode+"}}}")+endpoint(plain.Port, "}"))
	}
	p := Start(t, text("istio"))
	seen := map[string]int{}
	for range 4 {
		r := p.Dial().Get("/")
		seen[r.Body]++
	}
	if seen["asked for own.test"] != 2 || seen["plain"] != 2 {
		t.Errorf("answers: %v", seen)
	}
	// The endpoint is another one when its metadata say otherwise: no connection of the old kind is used for it.
	p.Change(text("disabled"))
	bad := 0
	for range 4 {
		if r := p.Dial().Get("/"); r.Status != 200 {
			bad++
		}
	}
	if bad != 2 {
		t.Errorf("%d of 4 requests in plain text failed at a server of TLS, want 2", bad)
	}
}

// A certificate is shown with its OCSP response as long as that is valid; what becomes of it afterwards is a matter of policy.
func TestStapling(t *testing.T) {
	a := NewAuthority(t, t.TempDir())
	leaf := a.Issue("front", []string{"front.test"}, nil).Leaf
	a.Staple("good", leaf, time.Now().Add(time.Hour))
	a.Staple("ended", leaf, time.Now().Add(-time.Hour))
	u := Echo(t)
	for _, c := range []struct {
		response, policy string
		stapled, refused bool
		row              string // that counts it
	}{
		{"good", "LENIENT_STAPLING", true, false, "responses"},
		{"ended", "LENIENT_STAPLING", false, false, "omitted"},
		{"good", "STRICT_STAPLING", true, false, "responses"},
		{"ended", "STRICT_STAPLING", false, true, "failed"},
		{"good", "MUST_STAPLE", true, false, "responses"},
	} {
		source := strings.TrimSuffix(a.Source("front"), "}") + `, ocsp_staple: {filename: "` + filepath.Join(a.Dir, c.response) + `"}}`
		p := Start(t, Bootstrap(Secured(HTTPListener(All), DownstreamTLS("tls_certificates: ["+source+"]", "ocsp_staple_policy: "+c.policy)), Cluster("up", u.Port)))
		conn, err := TryTLS(t, p.Address(), &tls.Config{RootCAs: a.Pool(), ServerName: "front.test"})
		if (err != nil) != c.refused {
			t.Errorf("%s, %s: %v", c.response, c.policy, err)
		}
		if err == nil && (conn.Conn.(*tls.Conn).OCSPResponse() != nil) != c.stapled {
			t.Errorf("%s, %s: stapled is %v", c.response, c.policy, !c.stapled)
		}
		// Who does not ask gets the certificate as it is, whatever the policy, and is not counted.
		stdin, page := openSSL(t, a.Dir, "s_client", "-connect", p.Address(), "-CAfile", "ca.pem", "-servername", "front.test", "-verify_return_error", "-ign_eof")
		io.WriteString(stdin, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
		if b, err := io.ReadAll(page); err != nil || !strings.Contains(string(b), "HTTP/1.1 200 ") {
			t.Errorf("%s, %s: %v %s", c.response, c.policy, err, b)
		}
		for _, row := range []string{"requests", "responses", "omitted", "failed"} {
			want := int64(0)
			if row == "requests" || row == c.row {
				want = 1
			}
			p.WantStat("listener."+underscores(p.Address())+".ssl.ocsp_staple_"+row, want)
		}
	}
}

// The secrets that are written down are those that the peers know, on either side of us; and a file that cannot be written to is an error.
func TestKeyLog(t *testing.T) {
	a := NewAuthority(t, t.TempDir())
	a.Issue("front", []string{"front.test"}, nil)
	server := a.Issue("server", []string{"server.test"}, nil)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		var client, upstream bytes.Buffer
		u := Serve(t, OverTLS(&tls.Config{Certificates: []tls.Certificate{server}, KeyLogWriter: &upstream, MinVersion: version, MaxVersion: version}, echoing))
		down, up := filepath.Join(t.TempDir(), "down"), filepath.Join(t.TempDir(), "up")
		p := Start(t, Bootstrap(
			Secured(HTTPListener(All), DownstreamTLS("alpn_protocols: [http/1.0], tls_certificates: ["+a.Source("front")+`], key_log: {path: "`+down+`"}`, "")),
			Cluster("up", u.Port, UpstreamTLS(`tls_params: {tls_maximum_protocol_version: TLSv1_3}, key_log: {path: "`+up+`", remote_address_range: [{address_prefix: 127.0.0.1, prefix_len: 32}], local_address_range: [{address_prefix: 127.0.0.0, prefix_len: 8}]}`, ""))))
		c := DialTLS(t, p.Address(), &tls.Config{RootCAs: a.Pool(), ServerName: "front.test", KeyLogWriter: &client, MinVersion: version, MaxVersion: version})
		if r := c.Get("/"); r.Status != 200 {
			t.Fatal(r.Status)
		}
		for path, theirs := range map[string]*bytes.Buffer{down: &client, up: &upstream} {
			want := slices.Sorted(strings.Lines(theirs.String()))
			var got []string
			p.Eventually("the secrets are in the file", func() bool {
				b, _ := os.ReadFile(path)
				got = slices.Sorted(strings.Lines(string(b)))
				return len(got) >= len(want)
			})
			if !slices.Equal(got, want) || len(want) == 0 {
				t.Errorf("%s, %s:\n got %q\nwant %q", tls.VersionName(version), filepath.Base(path), got, want)
			}
		}
		err := p.Proxy.Update(&read(t, Bootstrap(HTTPListener(All), Cluster("up", u.Port, UpstreamTLS(`key_log: {path: /none/such}`, "")))).Static)
		if err == nil || !strings.Contains(err.Error(), `cluster "up": key_log: `) {
			t.Errorf("a file that cannot be written to: %v", err)
		}
	}
}

// slicing cuts what is written into pieces of one byte; with records, each of them in a TLS record of its own, as far as the first message goes.
type slicing struct {
	net.Conn
	records bool
	done    bool
}

func (s *slicing) Write(b []byte) (int, error) {
	if s.done {
		return s.Conn.Write(b)
	}
	s.done = true
	if !s.records {
		for i := range b {
			if _, err := s.Conn.Write(b[i : i+1]); err != nil {
				return i, err
			}
		}
		return len(b), nil
	}
	var cut []byte
	for _, c := range b[5:] { // one record, with one message
		cut = append(cut, b[0], b[1], b[2], 0, 1, c)
	}
	if _, err := s.Conn.Write(cut); err != nil {
		return 0, err
	}
	return len(b), nil
}

// However the first message is cut up, the chain for its server name gets the connection, with and without an inspector (CVE-2020-8660).
func TestFragmentedHello(t *testing.T) {
	a := NewAuthority(t, t.TempDir())
	a.Issue("front", []string{"front.test"}, nil)
	u := Echo(t)
	plain := Secured(HTTPListener(All), DownstreamTLS("tls_certificates: ["+a.Source("front")+"]", ""))
	inspected := strings.Replace(plain, "  filter_chains:\n  - ", "  listener_filters: [{name: tls, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}}]\n  filter_chains:\n  - filter_chain_match: {server_names: [front.test]}\n    ", 1)
	for _, text := range []string{plain, inspected} {
		p := Start(t, Bootstrap(text, Cluster("up", u.Port)))
		for _, records := range []bool{false, true} {
			c := tls.Client(&slicing{Conn: Dial(t, p.Address()).Conn, records: records}, &tls.Config{RootCAs: a.Pool(), ServerName: "front.test"})
			if err := c.Handshake(); err != nil {
				t.Errorf("records %v: %v", records, err)
				continue
			}
			if r := wrap(t, c).Get("/"); r.Status != 200 {
				t.Errorf("records %v: %d", records, r.Status)
			}
		}
		if text == inspected {
			if _, err := TryTLS(t, p.Address(), &tls.Config{RootCAs: a.Pool(), ServerName: "other.test"}); err == nil {
				t.Error("a name that no chain has was served")
			}
		}
	}
}

// A certificate with ten thousand names costs its client the connection and nobody else his time
// (CVE-2026-27145).
func TestMonstrousCertificates(t *testing.T) {
	a := NewAuthority(t, t.TempDir())
	a.Issue("front", []string{"front.test"}, nil)
	p := Start(t, Bootstrap(Secured(HTTPListener(All), DownstreamTLS("tls_certificates: ["+a.Source("front")+"], validation_context: "+
		a.Trusts(`match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: good.test}}]`), "require_client_certificate: true")), Cluster("up", Echo(t).Port)))
	names := make([]string, 10_000)
	for i := range names {
		names[i] = fmt.Sprintf("n%d.test", i)
	}
	many := a.Issue("many", names, nil)
	conf := func(c tls.Certificate) *tls.Config {
		return &tls.Config{RootCAs: a.Pool(), ServerName: "front.test", Certificates: []tls.Certificate{c}}
	}
	refused := func(c tls.Certificate) {
		t.Helper()
		conn, err := TryTLS(t, p.Address(), conf(c))
		if err == nil {
			if _, err = conn.Conn.Read(make([]byte, 1)); err == nil {
				t.Error("let in")
			}
		}
	}
	refused(many)
	before := p.Stat("loop.turns")
	good := DialTLS(t, p.Address(), conf(a.Issue("good", []string{"good.test"}, nil)))
	if r := good.Get("/"); r.Status != 200 {
		t.Error(r.Status)
	}
	if p.Stat("loop.turns") == before {
		t.Error("the loop stands still")
	}
}
