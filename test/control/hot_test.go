package control

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weftmesh/weft/control/push"
	"github.com/weftmesh/weft/test/authority"
	"github.com/weftmesh/weft/test/vacant"
)

// moment is within what a new certificate has to be shown. It is a tenth of a second, and more on a machine that has other things to do.
const moment = 5 * time.Second

// clients of a door ask again and again, over new connections and over two that stand, of which one is of HTTP/1.1; whatever is lost fails the test.
type clients struct {
	*front
	port   int
	host   string
	done   atomic.Bool
	n      atomic.Int64
	all    sync.WaitGroup
	first  *x509.Certificate // that those who stand have met
	others atomic.Int64      // answers to those who stand that came over another connection
}

func (f *front) loads(port int, host string) *clients {
	c := &clients{front: f, port: port, host: host}
	_, met := f.visits(port, host, f.names(host))
	c.first = met.PeerCertificates[0]
	f.t.Cleanup(func() { c.end() })
	c.runs(func() *tls.ConnectionState {
		said, met := f.visits(port, host, f.names(host))
		c.judge(said)
		return met
	}, false)
	for _, h2 := range []bool{false, true} {
		config := f.names(host)
		if !h2 {
			config.NextProtos = []string{"http/1.1"}
		}
		client := &http.Client{Timeout: deadline, Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: h2}}
		f.t.Cleanup(client.CloseIdleConnections)
		c.runs(func() *tls.ConnectionState {
			said, met := f.asks(client, port, host)
			c.judge(said)
			return met
		}, true)
	}
	return c
}

func (c *clients) judge(said string) {
	if !strings.HasPrefix(said, "200 ") {
		c.t.Errorf("lost: %s", said)
	}
}

func (c *clients) runs(once func() *tls.ConnectionState, stands bool) {
	c.all.Go(func() {
		for tick := time.NewTicker(2 * time.Millisecond); !c.done.Load(); <-tick.C {
			met := once()
			if met == nil {
				return // that has been said
			}
			if stands && !met.PeerCertificates[0].Equal(c.first) {
				c.others.Add(1)
			}
			c.n.Add(1)
		}
	})
}

// end waits for what is under way, and says how much there was.
func (c *clients) end() int64 {
	c.done.Store(true)
	c.all.Wait()
	return c.n.Load()
}

// shown is the certificate that a door shows for a name; nil: none.
func (f *front) shown(port int, name string) *x509.Certificate {
	c, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port), f.names(name))
	if err != nil {
		return nil
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0]
}

// door is a Gateway of one host, and where it leads.
func door(port int, host, credential string) string {
	return fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: %[3]s, namespace: shop}
spec: {selector: {app: door}, servers: [{port: {number: %[1]d, name: %[3]s, protocol: HTTPS}, hosts: [%[2]s], tls: {mode: SIMPLE, credentialName: %[3]s}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: %[3]s, namespace: shop}
spec: {hosts: [%[2]s], gateways: [%[3]s], http: [{route: [{destination: {host: web.shop.internal, port: {number: 80}}}]}]}
`, port, host, credential)
}

// pairOf is a Secret of Kubernetes' kind with what an authority has written by that name.
func pairOf(t *testing.T, a *authority.Authority, secret, certificate, key string) string {
	return manifestOf(t, a, "shop", secret, "kubernetes.io/tls", map[string]string{"tls.crt": certificate + ".pem", "tls.key": key + ".key"})
}

// A credential changes under load, where Secrets are an API server's and where they are applied: new connections see it within a moment, those that stand stand, and nothing is lost. What is broken
// is not shown, nor is what was there taken away, and it is said.
func TestCredentialsChangeUnderLoad(t *testing.T) {
	for _, c := range [][2]string{{"an API server", "weft gateway"}, {"weftctl", "weft gateway"}, {"weftctl", "envoy"}} {
		t.Run(c[0]+", "+c[1], func(t *testing.T) {
			a := authority.New(t, t.TempDir())
			const host = "web.example.com"
			a.Issue("web", []string{host}, nil)
			a.Issue("stranger", []string{host}, nil)
			port := vacant.Ports(t, 1)[0]
			f := newFrontUnder(t, c[1], a, door(port, host, "web"), func(t *testing.T, files map[string]string) *securePlane {
				s := &securePlane{port: vacant.Ports(t, 1)[0], store: filepath.Join(t.TempDir(), "store")}
				s.plane = newPlaneOf(t, sources[map[bool]int{true: 1}[c[0] == "an API server"]], files, "--secure-grpc-addr", fmt.Sprintf("127.0.0.1:%d", s.port), "--store", s.store)
				return s
			})
			p := f.plane
			// gives has the Secret be that, and says what was said to whoever gave it; there are no words without a fault.
			gives := func(secret string) string {
				t.Helper()
				if p.cluster != nil {
					p.cluster.Apply(strings.TrimPrefix(secret, "---\n"))
					return ""
				}
				out, err := p.weftctl(secret, "apply", "-f", "-")
				if err == nil {
					return ""
				}
				return out
			}
			problems := func() (all string) {
				for _, one := range p.status().Problems {
					all += one.Text + "\n"
				}
				return all
			}
			if said := gives(pairOf(t, a, "web", "web", "web")); said != "" {
				t.Fatal(said)
			}
			f.opens(port, host)
			l := f.loads(port, host)
			var slowest time.Duration
			changes := func(name string) *x509.Certificate {
				t.Helper()
				next := a.Issue(name, []string{host}, nil)
				began := time.Now()
				if said := gives(pairOf(t, a, "web", name, name)); said != "" {
					t.Fatal(said)
				}
				eventually(t, "the next certificate is shown", func() bool { return f.shown(port, host).Equal(next.Leaf) })
				slowest = max(slowest, time.Since(began))
				return next.Leaf
			}
			last := f.shown(port, host)
			for range 5 {
				last = changes("web")
			}
			if slowest > moment {
				t.Errorf("a new certificate is shown after %v: want %v at most", slowest, moment)
			}
			stays := func(what string) {
				t.Helper()
				for range 20 {
					if got := f.shown(port, host); got == nil || !got.Equal(last) {
						t.Fatalf("%s: the last good certificate is not shown", what)
					}
				}
			}
			for _, bad := range []struct{ what, secret, said string }{
				{"a key of another certificate", pairOf(t, a, "web", "web", "stranger"), "data[tls.key]: is not the private key"},
				{"nonsense", strings.Replace(pairOf(t, a, "web", "web", "web"), "tls.crt: ", "tls.crt: bm9uc2Vuc2U=\n  was: ", 1), "data[tls.crt]: has no certificate in PEM"},
			} {
				refused := gives(bad.secret)
				if p.cluster == nil && !strings.Contains(refused, bad.said) {
					t.Errorf("%s: weftctl says %q, want %q", bad.what, refused, bad.said)
				}
				if p.cluster != nil { // where nobody asks weftd first, it is said afterwards
					eventually(t, bad.what+": it is said", func() bool { return strings.Contains(problems(), "Secret shop/web: "+bad.said) })
				}
				stays(bad.what)
			}
			// It is taken away: what is shown stays, as with Istio, and it is said of the gateway.
			withheld := func() string {
				for _, one := range p.status().Proxies {
					if strings.HasPrefix(one.ID, "door.") {
						return fmt.Sprint(one.Withheld)
					}
				}
				return "it is not there"
			}
			if p.cluster != nil {
				p.cluster.Delete(strings.TrimPrefix(pairOf(t, a, "web", "web", "web"), "---\n"))
			} else {
				p.mustctl("", "delete", "secret", "web", "-n", "shop")
			}
			eventually(t, "it is said that it is gone", func() bool { return strings.Contains(withheld(), "kubernetes://web there is no Secret shop/web") })
			stays("gone")
			last = changes("again")
			if got := withheld(); got != "[]" || problems() != "" {
				t.Errorf("all is well again, and it is said %s %s", got, problems())
			}
			n := l.end()
			if l.others.Load() > 0 || n < 100 {
				t.Errorf("%d requests, of which %d over connections that took the place of those that stood", n, l.others.Load())
			}
			t.Logf("%d requests; a new certificate is shown after %v at most", n, slowest.Round(time.Millisecond))
		})
	}
}

// A Gateway whose Secret comes later keeps nobody waiting but those who ask for its host.
func TestACredentialComesLate(t *testing.T) {
	for _, program := range fronts {
		t.Run(program, func(t *testing.T) {
			a := authority.New(t, t.TempDir())
			a.Issue("early", []string{"early.example.com"}, nil)
			late := a.Issue("late", []string{"late.example.com"}, nil)
			port := vacant.Ports(t, 1)[0]
			programs() // which takes as long as it takes
			began := time.Now()
			f := newFront(t, program, a, door(port, "early.example.com", "early")+"---"+door(port, "late.example.com", "late")+pairOf(t, a, "early", "early", "early"))
			f.opens(port, "early.example.com")
			if took := time.Since(began); took > moment {
				t.Errorf("who asks for the other host is served after %v: want %v at most", took, moment)
			}
			if f.gateway != nil {
				f.gateway.isReady()
			}
			if said, _ := f.visits(port, "late.example.com", f.names("late.example.com")); !strings.HasPrefix(said, "refused: ") {
				t.Errorf("the host whose certificate is not there: %s", said)
			}
			eventually(t, "it is said what is missing", func() bool {
				for _, one := range f.plane.status().Proxies {
					for _, w := range one.Withheld {
						if w.Name == "kubernetes://late" && w.Because == "there is no Secret shop/late" {
							return true
						}
					}
				}
				return false
			})
			l := f.loads(port, "early.example.com")
			f.plane.write("late.yaml", pairOf(t, a, "late", "late", "late"))
			f.opens(port, "late.example.com")
			if got := f.shown(port, "late.example.com"); !got.Equal(late.Leaf) {
				t.Error("another certificate is shown")
			}
			if n := l.end(); l.others.Load() > 0 {
				t.Errorf("of %d requests %d came over connections that took the place of those that stood", n, l.others.Load())
			}
			if s := f.plane.status(); len(s.Refused) > 0 || !allSynced(s.Proxies) {
				t.Errorf("%+v", s)
			}
		})
	}
}

func allSynced(all []push.Proxy) bool {
	for _, one := range all {
		if !one.Synced {
			return false
		}
	}
	return true
}
