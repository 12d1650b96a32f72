package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

// run runs a program that make setup installs, with in as its input, and gives all that it says.
func run(t *testing.T, in io.Reader, name string, arguments ...string) (stdout, stderr []byte) {
	t.Helper()
	var out, said bytes.Buffer
	c := exec.CommandContext(asked(t), name, arguments...)
	c.Stdin, c.Stdout, c.Stderr = in, &out, &said
	if err := c.Run(); err != nil {
		t.Fatalf("%s %v: %v (make setup installs it)\n%s%s", name, arguments, err, out.Bytes(), said.Bytes())
	}
	return out.Bytes(), said.Bytes()
}

// stones is n bytes, the same each time, whose pattern falls in with no size of a frame or buffer.
type stones struct {
	n, at int
}

var pattern = func() []byte {
	b := make([]byte, 1_000_003)
	rand.NewChaCha8([32]byte{}).Read(b)
	return b
}()

func (s *stones) Read(b []byte) (int, error) {
	if s.at == s.n {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), s.n-s.at)], pattern[s.at%len(pattern):])
	s.at += n
	return n, nil
}

func sumOf(r io.Reader) string {
	h := sha256.New()
	io.Copy(h, r)
	return sum(h)
}

func sum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// much is the size of a large body, some of one that is encrypted.
const (
	much = 64 << 20
	some = 4 << 20
)

// quarry answers with much, with the sum of what it gets, or with the trailers that it gets.
func quarry(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/much":
		io.Copy(w, &stones{n: much})
	case "/some":
		io.Copy(w, &stones{n: some})
	case "/trailers":
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(flushing{w}, n, " ", r.Trailer.Get("x-sum"))
		w.Header().Set(http.TrailerPrefix+"x-end", "yes")
	default:
		fmt.Fprint(w, r.Method, " ", sumOf(r.Body))
	}
}

// nghttp2, in curl, nghttp and h2load, is served, with TLS and without.
func TestNghttp2(t *testing.T) {
	a := NewAuthority(t, t.TempDir())
	a.Issue("front", []string{"127.0.0.1", "front.test"}, nil)
	u := Serve2With(t, &http2.Server{MaxConcurrentStreams: 1000}, quarry)
	body := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(body, bytes.Repeat([]byte("0123456789"), 20_000), 0o600); err != nil {
		t.Fatal(err)
	}
	sumOfBody := sumOf(strings.NewReader(strings.Repeat("0123456789", 20_000)))
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("tls=%v", secure), func(t *testing.T) {
			listener, scheme, size, path := HTTPListener(All), "http://", much, "/much"
			version := []string{"--http2-prior-knowledge"}
			if secure {
				listener, scheme = Secured(listener, DownstreamTLS("alpn_protocols: [h2, http/1.1], tls_certificates: ["+a.Source("front")+"]", "")), "https://front.test:"
				size, path = some, "/some"
				version = []string{"--http2", "--cacert", filepath.Join(a.Dir, "ca.pem")}
			}
			p := StartLoops(t, 2, Bootstrap(listener, Cluster("up", u.Port, Speaks2())))
			at := scheme + p.Address()
			if secure {
				_, port, _ := strings.Cut(p.Address(), ":")
				at = scheme + port
				version = append(version, "--resolve", "front.test:"+port+":127.0.0.1")
			}
			curl := func(in io.Reader, arguments ...string) []byte {
				t.Helper()
				out, said := run(t, in, "curl", append(append([]string{"--noproxy", "*", "-sS", "-w", "%{stderr}%{http_version} %{http_code}"}, version...), arguments...)...)
				if string(said) != "2 200" {
					t.Errorf("curl %v: %s", arguments, said)
				}
				return out
			}
			if out := curl(nil, at+"/"); string(out) != "GET "+sumOf(strings.NewReader("")) {
				t.Errorf("%q", out)
			}
			if out := curl(nil, "--data-binary", "@"+body, at+"/"); string(out) != "POST "+sumOfBody {
				t.Errorf("%q", out)
			}
			want := sumOf(&stones{n: size})
			if out := curl(nil, at+path); sumOf(bytes.NewReader(out)) != want {
				t.Errorf("%d bytes that are not what was sent", len(out))
			}
			if out := curl(&stones{n: size}, "-T", "-", at+"/"); string(out) != "PUT "+want {
				t.Errorf("%q", out)
			}
			if secure { // several at once on one connection, which curl 7.88 cannot without ALPN, whoever serves it
				out, said := run(t, nil, "curl", append([]string{"--noproxy", "*", "-sS", "--parallel", "-w", "%{stderr}%{http_version} %{http_code}", at + "/?[1-50]"}, version...)...)
				if strings.Count(string(out), "GET ") != 50 || strings.Count(string(said), "2 200") != 50 {
					t.Errorf("%q %s", out, said)
				}
			}

			out, _ := run(t, nil, "nghttp", "-v", "-d", body, "--trailer", "x-sum: 42", strings.Replace(at, "front.test", "127.0.0.1", 1)+"/trailers")
			for _, want := range []string{":status: 200", "200000 42", "x-end: yes"} {
				if !strings.Contains(string(out), want) {
					t.Errorf("nghttp: want %q in\n%s", want, out)
				}
			}

			n := "20000"
			if secure {
				n = "2000"
			}
			out, _ = run(t, nil, "h2load", "-n", n, "-c", "8", "-m", "32", strings.Replace(at, "front.test", "127.0.0.1", 1)+"/")
			for _, want := range []string{n + " succeeded, 0 failed, 0 errored, 0 timeout", "status codes: " + n + " 2xx, 0 3xx, 0 4xx, 0 5xx"} {
				if !strings.Contains(string(out), want) {
					t.Errorf("h2load: want %q in\n%s", want, out)
				}
			}
			p.WantStat("http.http.downstream_rq_active", 0)
			p.WantStat("cluster.up.upstream_rq_active", 0)
			if n := p.Stat("http.http.downstream_cx_protocol_error"); n != 0 {
				t.Errorf("%d errors of the protocol", n)
			}
		})
	}
}

// Who asks for HTTP/2 by Upgrade is answered in HTTP/1, as a server may (RFC 9110 §7.8), and as Envoy does.
func TestUpgradeToH2CIsIgnored(t *testing.T) {
	u := Serve2(t, quarry)
	p := Start(t, Bootstrap(HTTPListener(All), Cluster("up", u.Port, Speaks2())))
	out, said := run(t, nil, "curl", "--noproxy", "*", "-sS", "-w", "%{stderr}%{http_version} %{http_code}", "--http2", "http://"+p.Address()+"/")
	if string(said) != "1.1 200" || string(out) != "GET "+sumOf(strings.NewReader("")) {
		t.Errorf("%s %s", said, out)
	}
}
