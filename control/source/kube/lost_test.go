package kube_test

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/control/source"
	test "github.com/weftmesh/weft/test/kube"
)

// gate is a way to an API server that can be shut.
type gate struct {
	address string
	mu      sync.Mutex
	shut    bool
	open    map[net.Conn]bool
}

func newGate(t testing.TB, to string) *gate {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{address: l.Addr().String(), open: map[net.Conn]bool{}}
	t.Cleanup(func() { l.Close(); g.close(true) })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			g.mu.Lock()
			shut := g.shut
			g.mu.Unlock()
			out, err := net.Dial("tcp", to)
			if shut || err != nil {
				in.Close()
				continue
			}
			g.mu.Lock()
			g.open[in], g.open[out] = true, true
			g.mu.Unlock()
			for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
				go func() {
					io.Copy(pair[0], pair[1])
					in.Close()
					out.Close()
				}()
			}
		}
	}()
	return g
}

// cut ends what goes through it, and lets others through.
func (g *gate) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.open {
		c.Close()
		delete(g.open, c)
	}
}

// close shuts it, or opens it.
func (g *gate) close(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	if shut {
		for c := range g.open {
			c.Close()
			delete(g.open, c)
		}
	}
}

// through is a kubeconfig that leads through a gate.
func through(t testing.TB, c *test.Cluster, g *gate) string {
	text, err := os.ReadFile(c.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(text), c.URL, "https://"+g.address)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// What a server that does not answer has told stays; what changes meanwhile is told at once when it answers again.
func TestAServerThatIsLostComesBack(t *testing.T) {
	c := test.Start(t)
	c.Install()
	c.Apply(world)
	g := newGate(t, strings.TrimPrefix(c.URL, "https://"))
	f := follow(t, through(t, c, g))
	f.next()
	had := len(f.objects)
	for range 2 {
		g.close(true)
		f.until("it is said", func() bool { return f.says("does not answer, and what it has told goes on being served") })
		if len(f.objects) != had || f.cluster.Status().Away == nil {
			t.Errorf("%d objects of %d, %+v", len(f.objects), had, f.cluster.Status())
		}
		settle := `
{apiVersion: v1, kind: Service, metadata: {name: new, namespace: a}, spec: {ports: [{port: 80}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: shop, namespace: a}, spec: {hosts: [shop.a], http: [{route: [{destination: {host: shop}}]}]}}
`
		c.Apply(settle)
		c.Delete("{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: shop-x, namespace: a}}")
		g.close(false)
		var got []string
		for len(got) == 0 { // that it answers is told first
			got = f.next()
		}
		slices.Sort(got)
		if want := []string{"-EndpointSlice a/shop-x", "Service a/new", "VirtualService a/shop"}; !slices.Equal(got, want) {
			t.Errorf("told at once: %q, want %q", got, want)
		}
		f.until("nothing is said any more", func() bool { return len(f.problem) == 0 })
		c.Delete("{apiVersion: v1, kind: Service, metadata: {name: new, namespace: a}}")
		f.told("-Service a/new")
		c.Apply(world)
		f.told("EndpointSlice a/shop-x", "VirtualService a/shop")
	}
	if n := f.log.count("the API server answers again"); n != 2 {
		t.Errorf("that it answers is said %d times", n)
	}

	// Watches that end are taken up where they were, and nothing is listed again.
	listed, watched := f.number("lists_total"), f.number("watches_total")
	<-time.After(1100 * time.Millisecond) // client-go takes a watch that has told nothing within a second for one that does not work, and lists again
	g.cut()
	c.Apply("{apiVersion: v1, kind: Service, metadata: {name: meanwhile, namespace: a}, spec: {ports: [{port: 80}]}}")
	f.told("Service a/meanwhile")
	eventually(t, "all is watched again", func() bool { return f.number("watches_total") >= watched+22 })
	if n := f.number("lists_total"); n != listed {
		t.Errorf("%d lists: want none", n-listed)
	}

	// A server that dies and comes back at once.
	c.Restart()
	c.Apply("{apiVersion: v1, kind: Service, metadata: {name: last, namespace: a}, spec: {ports: [{port: 80}]}}")
	if got := f.until("it is told", func() bool { return f.object(source.Service, "a", "last") != nil }); len(got) != 1 {
		t.Errorf("told %q", got)
	}
}
