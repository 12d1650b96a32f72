package control

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weftmesh/weft/test/etcd"
	"github.com/weftmesh/weft/test/kube"
)

// TestOutsideOfAllClusters has two weftd on a store, which are in no cluster, serve what one has that is attached by either: its objects of Istio's kinds, too, unless it is for discovery only. It is there when
// they start again, and does not hold them back when it is not.
func TestOutsideOfAllClusters(t *testing.T) {
	s, entry := shopOf(t)
	east := kube.Start(t)
	east.Install()
	east.Apply(entry)
	serves(east, "127.0.0.1")
	p := newPlane(t, nil, "--store", etcd.Start(t).Store("weft"))
	other := p.replica(t.TempDir())
	file := filepath.Join(t.TempDir(), "east.yaml")
	if err := os.WriteFile(file, []byte(east.Portable()), 0o600); err != nil {
		t.Fatal(err)
	}
	p.proxy("weft")
	other.mustctl("", "cluster", "attach", "east", "--kubeconfig", file)
	s.opens()
	end := s.load()
	p.kill()
	p.start()
	if c := p.following()["east"]; !c.Told || c.Discovery || c.Objects["ServiceEntry"] != 1 || p.number("clusters_attached") != 1 {
		t.Errorf("when weftd is ready: %+v", c)
	}
	if end() == 0 {
		t.Error("nothing was asked meanwhile")
	}
	other.mustctl("", "cluster", "attach", "east", "--kubeconfig", file, "--discovery-only")
	eventually(t, "its objects of Istio's kinds are not read", func() bool {
		_, err := s.ask(context.Background())
		c := p.following()["east"]
		return err != nil && c.Told && c.Discovery && c.Objects["ServiceEntry"] == 0 && c.Objects["Pod"] == 1
	})
	east.Stop()
	p.kill()
	p.start() // which waits for a while, and no longer
	if c := p.following()["east"]; c.Told || c.Away == nil || c.Error == "" {
		t.Errorf("without its API server: %+v", c)
	}
	p.kill()
	if !strings.Contains(p.said.String(), "is waited for no longer") {
		t.Error("it is not said that it is late")
	}
}
