package netns

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secretv3 "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// asking is one way of asking, again and again.
type asking struct {
	name        string
	asked, lost atomic.Int64
}

// load is several of them at once.
type load struct {
	t     *testing.T
	ways  []*asking
	ended atomic.Bool
	all   sync.WaitGroup
}

// patience is how long an answer may take: far more than any takes on a machine that is busy, and less than who asks would wait.
const patience = 5 * time.Second

// asks begins to ask in some way. What fails is lost, and the first of it is said.
func (l *load) asks(name string, ask func() error) {
	a := &asking{name: name}
	l.ways = append(l.ways, a)
	l.all.Go(func() {
		for tick := time.NewTicker(3 * time.Millisecond); !l.ended.Load(); <-tick.C {
			a.asked.Add(1)
			if err := ask(); err != nil && a.lost.Add(1) == 1 {
				l.t.Errorf("%s %s: lost: %v", time.Now().Format("15:04:05.000"), name, err)
			}
		}
	})
}

// more waits until each has asked so many times more.
func (l *load) more(n int64) {
	l.t.Helper()
	had := make([]int64, len(l.ways))
	for i, a := range l.ways {
		had[i] = a.asked.Load()
	}
	eventually(l.t, "everybody has asked again", func() bool {
		for i, a := range l.ways {
			if a.asked.Load() < had[i]+n {
				return false
			}
		}
		return true
	})
}

// end ends it and says how much there was. It gives what was asked by the names that begin so.
func (l *load) end(beginning string) (asked int64) {
	l.ended.Store(true)
	l.all.Wait()
	var b strings.Builder
	for _, a := range l.ways {
		fmt.Fprintf(&b, "\n%-34s %6d asked %3d lost", a.name, a.asked.Load(), a.lost.Load())
		if strings.HasPrefix(a.name, beginning) {
			asked += a.asked.Load()
		}
	}
	l.t.Log(b.String())
	return asked
}

// posts asks by a method that clients do not ask by again of themselves once anything of it was sent.
func posts(rt http.RoundTripper, url string) func() error {
	c := http.Client{Transport: rt, Timeout: patience}
	return func() error {
		r, err := c.Post(url, "text/plain", strings.NewReader("a question"))
		return answered(r, err)
	}
}

func gets(rt http.RoundTripper, url string) func() error {
	c := http.Client{Transport: rt, Timeout: patience}
	return func() error { return answered(c.Get(url)) }
}

func answered(r *http.Response, err error) error {
	if err != nil {
		return err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", r.Status, b)
	}
	return err
}

// kept are connections from the pod that are used again and again.
func (p *pod) kept() *http.Transport {
	return &http.Transport{DialContext: func(_ context.Context, network, to string) (net.Conn, error) { return p.dial(network, to) }}
}

// two is HTTP/2 in plain text.
func (p *pod) two() *http2.Transport {
	return &http2.Transport{AllowHTTP: true, DialTLSContext: func(_ context.Context, network, to string, _ *tls.Config) (net.Conn, error) {
		return p.dial(network, to)
	}}
}

// echoes asks over one connection that stands.
func echoes(t *testing.T, dial func() (net.Conn, error)) func() error {
	c, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	n, broken := 0, error(nil)
	return func() error {
		if broken != nil {
			return broken
		}
		n++
		text, b := fmt.Appendf(nil, "%08d", n), make([]byte, 8)
		c.SetDeadline(time.Now().Add(patience))
		if _, broken = c.Write(text); broken == nil {
			_, broken = io.ReadFull(c, b)
		}
		if broken == nil && !bytes.Equal(b, text) {
			broken = fmt.Errorf("%s is answered by %s", text, b)
		}
		return broken
	}
}

// names asks the sidecar for the address of a name.
func (p *pod) names(network, name, want string) func() error {
	return func() error {
		c, err := p.dial(network, "127.0.0.1:15053")
		if err != nil {
			return err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		m := dnsmessage.Message{Header: dnsmessage.Header{ID: 7, RecursionDesired: true}, Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
		q, err := m.Pack()
		if err != nil {
			return err
		}
		b := make([]byte, 4096)
		n := 0
		if network == "tcp" {
			if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(q))), q...)); err != nil {
				return err
			}
			if _, err := io.ReadFull(c, b[:2]); err != nil {
				return err
			}
			n, err = io.ReadFull(c, b[:binary.BigEndian.Uint16(b)])
		} else {
			if _, err := c.Write(q); err != nil {
				return err
			}
			n, err = c.Read(b)
		}
		if err != nil {
			return err
		}
		if err := m.Unpack(b[:n]); err != nil {
			return err
		}
		if m.RCode != dnsmessage.RCodeSuccess || len(m.Answers) != 1 || net.IP(m.Answers[0].Body.(*dnsmessage.AResource).A[:]).String() != want {
			return fmt.Errorf("%s is %v", name, m.GoString())
		}
		return nil
	}
}

// secret is the certificate that is told at the sidecar's socket, as a proxy beside it asks for it.
func (w *workload) secret() (*x509.Certificate, error) {
	conn, err := grpc.NewClient("unix:"+filepath.Join(w.dir, "var/run/secrets/workload-spiffe-uds/socket"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// A proxy comes again if whom it reached has gone.
	stream, err := secretv3.NewSecretDiscoveryServiceClient(conn).StreamSecrets(ctx, grpc.WaitForReady(true))
	if err != nil {
		return nil, err
	}
	if err := stream.Send(&discoveryv3.DiscoveryRequest{Node: &corev3.Node{Id: "beside"}, TypeUrl: "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret", ResourceNames: []string{"default"}}); err != nil {
		return nil, err
	}
	r, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	if len(r.Resources) != 1 {
		return nil, fmt.Errorf("%d secrets", len(r.Resources))
	}
	var s tlsv3.Secret
	if err := r.Resources[0].UnmarshalTo(&s); err != nil {
		return nil, err
	}
	block, _ := pem.Decode(s.GetTlsCertificate().GetCertificateChain().GetInlineBytes())
	if block == nil {
		return nil, errors.New("no certificate")
	}
	return x509.ParseCertificate(block.Bytes)
}

// secrets asks for it again and again: it stays the same.
func (w *workload) secrets() func() error {
	is, err := w.secret()
	if err != nil {
		w.t.Fatal(err)
	}
	return func() error {
		c, err := w.secret()
		if err == nil && !c.Equal(is) {
			err = fmt.Errorf("the certificate is %s, and was %s", c.SerialNumber.Text(16), is.SerialNumber.Text(16))
		}
		return err
	}
}

// counted is a counter of the sidecar's, as Prometheus is told it: the sum of those with all of these labels.
func (w *workload) counted(name string, labels ...string) (sum float64) {
	r, err := http.Get("http://" + w.ip + ":15020/stats/prometheus")
	if err != nil {
		w.t.Error(err)
		return 0
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		w.t.Error(err)
	}
	return value(string(b), name, labels...)
}

// value is that of a counter in Prometheus's text.
func value(text, name string, labels ...string) (sum float64) {
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, name+"{") && !strings.HasPrefix(line, name+" ") || slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(line, l) }) {
			continue
		}
		var v float64
		fmt.Sscan(line[strings.LastIndex(strings.TrimSpace(line), " ")+1:], &v)
		sum += v
	}
	return sum
}
