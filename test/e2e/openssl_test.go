package e2e

import (
	"bufio"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// openSSL runs it with a folder's certificates, until it ends or the test does.
func openSSL(t *testing.T, dir string, arguments ...string) (stdin io.WriteCloser, stdout *bufio.Reader) {
	t.Helper()
	c := exec.Command("openssl", arguments...)
	c.Dir = dir
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stderr = c.Stdout
	if err := c.Start(); err != nil {
		t.Fatalf("%v: make setup installs openssl", err)
	}
	t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	return stdin, bufio.NewReader(out)
}

// Another library than ours is served, and serves us: in each version, with each kind of key, and with certificates on both sides.
func TestOpenSSL(t *testing.T) {
	for _, version := range []string{"1_2", "1_3"} {
		for _, kind := range []string{"rsa", "ecdsa"} {
			t.Run(version+"/"+kind, func(t *testing.T) {
				t.Parallel()
				a := NewAuthority(t, t.TempDir())
				issue := func(name string, names ...string) {
					if kind == "rsa" {
						a.IssueRSA(name, names)
					} else {
						a.Issue(name, names, nil)
					}
				}
				issue("front", "front.test")
				issue("client", "spiffe://td/client")
				issue("back", "spiffe://td/back")
				issue("server", "server.test")

				// OpenSSL's server asks for our certificate, and tells of the connection in a page.
				_, said := openSSL(t, a.Dir, "s_server", "-accept", "127.0.0.1:0", "-tls"+version, "-cert", "server.pem", "-key", "server.key", "-CAfile", "ca.pem", "-Verify", "1", "-verify_return_error", "-www")
				port := 0
				for port == 0 {
					line, err := said.ReadString('\n')
					if err != nil {
						t.Fatalf("s_server does not begin: %v", err)
					}
					if at, ok := strings.CutPrefix(strings.TrimSpace(line), "ACCEPT "); ok {
						_, text, _ := net.SplitHostPort(at)
						port, _ = strconv.Atoi(text)
					}
				}
				go io.Copy(io.Discard, said)
				p := Start(t, Bootstrap(
					Secured(HTTPListener(All), DownstreamTLS("tls_certificates: ["+a.Source("front")+"], validation_context: "+a.Trusts(`match_typed_subject_alt_names: [{san_type: URI, matcher: {exact: "spiffe://td/client"}}]`), "require_client_certificate: true")),
					Cluster("up", port, UpstreamTLS("tls_params: {tls_maximum_protocol_version: TLSv1_3}, tls_certificates: ["+a.Source("back")+"], validation_context: "+a.Trusts(""), "sni: server.test, auto_sni_san_validation: true"))))

				// OpenSSL's client shows its certificate, and looks at ours.
				stdin, page := openSSL(t, a.Dir, "s_client", "-connect", p.Address(), "-tls"+version, "-CAfile", "ca.pem", "-cert", "client.pem", "-key", "client.key", "-servername", "front.test", "-verify_hostname", "front.test", "-verify_return_error", "-ign_eof")
				io.WriteString(stdin, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
				b, err := io.ReadAll(page)
				if err != nil {
					t.Fatal(err)
				}
				text := string(b)
				for _, want := range []string{"Verify return code: 0 (ok)", "HTTP/1.1 200 ", "TLSv" + strings.ReplaceAll(version, "_", ".")} {
					if !strings.Contains(text, want) {
						t.Errorf("want %q in\n%s", want, text)
					}
				}
				p.WantStat("cluster.up.ssl.handshake", 1)
				p.WantStat("cluster.up.ssl.versions.TLSv"+strings.ReplaceAll(version, "_", "."), 1)

				// Without its certificate it is told so, and gets nothing.
				stdin, page = openSSL(t, a.Dir, "s_client", "-connect", p.Address(), "-tls"+version, "-CAfile", "ca.pem", "-servername", "front.test", "-ign_eof")
				io.WriteString(stdin, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
				if b, _ := io.ReadAll(page); strings.Contains(string(b), "HTTP/1.1") || !strings.Contains(string(b), "alert") {
					t.Errorf("without a certificate: %s", b)
				}
				p.WantStat("listener."+underscores(p.Address())+".ssl.fail_verify_no_cert", 1)
			})
		}
	}
}
