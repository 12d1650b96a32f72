package control

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weftmesh/weft/control"
	"github.com/weftmesh/weft/test/vacant"
)

// How long certificates live where a test waits for others to take their place, and how long a new root does not sign.
const (
	shortLife    = 8 * time.Second
	shortOverlap = 2 * time.Second
)

// newShortPlane is a plane, in this process, whose certificates do not live long.
func newShortPlane(t *testing.T, files map[string]string) *securePlane {
	t.Helper()
	return newPlaneHere(t, files, control.Options{CertificateLife: shortLife, RootOverlap: shortOverlap})
}

// newPlaneHere is a plane in this process.
func newPlaneHere(t *testing.T, files map[string]string, o control.Options) *securePlane {
	t.Helper()
	ports := vacant.Ports(t, 2)
	s := &securePlane{plane: &plane{t: t, dir: t.TempDir(), admin: ports[0]}, port: ports[1]}
	for name, text := range files {
		s.write(name, text)
	}
	o.ConfigDir, o.Admin, o.SecureGRPC, o.Store = s.dir, fmt.Sprintf("127.0.0.1:%d", s.admin), fmt.Sprintf("127.0.0.1:%d", s.port), filepath.Join(t.TempDir(), "store")
	o.Log, o.Level = slog.New(slog.DiscardHandler), &slog.LevelVar{}
	p, err := control.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	<-p.Readied()
	return s
}

// roots are those of the mesh.
func (s *securePlane) roots() (list []*x509.Certificate) {
	for text := []byte(s.page("/ca/roots")); ; {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return list
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			s.t.Fatal(err)
		}
		list = append(list, c)
	}
}

// A root takes another's place under load, and certificates that do not live long those of others: no handshake fails (hazard 85).
func TestRootsChangeUnderLoad(t *testing.T) {
	for _, c := range [][2]string{{"envoy", "weft"}, {"weft", "envoy"}} {
		t.Run(c[0]+" asks "+c[1], func(t *testing.T) {
			t.Parallel() // it waits most of the time
			p := newPairUnder(t, newShortPlane)
			p.plane.joins(c[1], "web", "web")
			p.plane.joins(c[0], "client", "client")
			p.opens()
			var done atomic.Bool
			var handshakes atomic.Int64
			var all sync.WaitGroup
			end := sync.OnceFunc(func() {
				done.Store(true)
				all.Wait()
			})
			defer end()
			for range 2 {
				all.Go(func() {
					for tick := time.NewTicker(5 * time.Millisecond); !done.Load(); <-tick.C {
						line, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p.tcp))
						if err != nil {
							t.Error(err)
							return
						}
						good := echoes(line)
						if line.Close(); !good {
							t.Error("a connection was lost")
							return
						}
						if _, err := p.ask(t.Context()); err != nil {
							t.Errorf("a request was lost: %v", err)
							return
						}
						handshakes.Add(1)
					}
				})
			}
			shown := func() *x509.Certificate {
				c, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p.in[1]), &tls.Config{InsecureSkipVerify: true})
				if err != nil {
					return &x509.Certificate{}
				}
				defer c.Close()
				return c.ConnectionState().PeerCertificates[0]
			}
			first := shown()
			old := p.plane.roots()[0]
			if first.CheckSignatureFrom(old) != nil {
				t.Fatal("the root has not signed")
			}
			if code, text := p.plane.post("/ca/rotate", nil); code != http.StatusOK {
				t.Fatal(code, text)
			}
			eventually(t, "both roots are trusted", func() bool { return len(p.plane.roots()) == 2 })
			next := p.plane.roots()[1]
			eventually(t, "the new one has signed what the server shows", func() bool { return shown().CheckSignatureFrom(next) == nil })
			second := shown()
			eventually(t, "and again", func() bool { return !shown().Equal(second) })
			if len(p.plane.roots()) != 2 {
				t.Error("the old root is gone before what it has signed")
			}
			end()
			if n := handshakes.Load(); n < 100 {
				t.Errorf("only %d handshakes", n)
			} else {
				t.Logf("%d handshakes", n)
			}
		})
	}
}
