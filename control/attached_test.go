package control

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/control/console"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/control/source/kube"
	"github.com/weftmesh/weft/control/store"
)

// until waits for something that a plane does in its own time.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	end := time.Now().Add(20 * time.Second)
	for tick := time.NewTicker(2 * time.Millisecond); !f(); <-tick.C {
		if time.Now().After(end) {
			t.Fatal("not in time: ", what)
		}
	}
}

// TestAttachedClustersAreBounded has as many clusters be followed as may be, and one more be refused until there is room; what is no record, or is the first one's name, is said; and all go.
func TestAttachedClustersAreBounded(t *testing.T) {
	p, _ := start(t, "")
	kubeconfig := func(port int) string {
		return fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: c, clusters: [{name: c, cluster: {server: "https://127.0.0.1:%d"}}], users: [{name: c, user: {token: t}}], contexts: [{name: c, context: {cluster: c, user: c}}]}`, port)
	}
	kept := map[string]store.Revision{}
	put := func(name, value string) {
		t.Helper()
		r, err := p.store.Put(t.Context(), console.ClusterPrefix+name, []byte(value), kept[name])
		if err != nil {
			t.Fatal(err)
		}
		kept[name] = r
	}
	record := func(port int) string {
		text, err := json.Marshal(console.Cluster{Kubeconfig: kubeconfig(port), Author: "ann"})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	refused := func() (all []string) {
		for _, c := range p.clusterStatus() {
			if c.Refused != "" {
				all = append(all, c.Name+": "+c.Refused)
			}
		}
		return all
	}
	for i := range console.MaxClusters {
		put(fmt.Sprintf("c%02d", i), record(1))
	}
	until(t, "all are followed", func() bool {
		all := p.clusterStatus()
		return len(all) == console.MaxClusters && len(refused()) == 0 && all[0].Away != nil && all[0].Error != ""
	})
	put("more", record(1))
	until(t, "one more is refused", func() bool {
		all := refused()
		return len(all) == 1 && strings.Contains(all[0], "more: 64 clusters are attached, which is as many as may be")
	})
	until(t, "it is said", func() bool {
		problems := p.push.Status().Problems
		return len(problems) == 1 && strings.Contains(problems[0].Text, "the cluster more (weftctl, ann): 64 clusters")
	})
	if err := p.store.Delete(t.Context(), console.ClusterPrefix+"c63", kept["c63"]); err != nil {
		t.Fatal(err)
	}
	delete(kept, "c63")
	until(t, "there is room for it", func() bool { return len(refused()) == 0 && len(p.clusterStatus()) == console.MaxClusters })
	put("c00", record(2)) // another way to it
	until(t, "it is followed there", func() bool { return strings.HasSuffix(p.clusterStatus()[0].URL, ":2") })
	put("c00", "{")
	until(t, "what is no record is said, and what was before goes on", func() bool {
		c := p.clusterStatus()[0]
		return c.Refused != "" && strings.HasSuffix(c.URL, ":2")
	})
	put("c00", `{"kubeconfig": "[", "discoveryOnly": true}`)
	until(t, "it is shown as it is followed", func() bool {
		c := p.clusterStatus()[0]
		return strings.Contains(c.Refused, "cannot be read") && strings.HasSuffix(c.URL, ":2") && !c.Discovery
	})
	for name, r := range kept {
		if err := p.store.Delete(t.Context(), console.ClusterPrefix+name, r); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "all are gone", func() bool { return len(p.clusterStatus()) == 0 && len(p.push.Status().Problems) == 0 })
	put(defaultCluster, record(1))
	until(t, "the first one's name is refused", func() bool {
		all := refused()
		return len(all) == 1 && strings.Contains(all[0], `"Kubernetes" is the name of the first cluster`)
	})
}

// TestAnotherWayToAClusterTakesOver has another kubeconfig of a cluster leave out nothing that is known: the gateway of a network stays by the address that its name had, while nobody answers who knows names.
func TestAnotherWayToAClusterTakesOver(t *testing.T) {
	api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Query().Get("sendInitialEvents") != "":
			w.WriteHeader(http.StatusBadRequest)
		case r.URL.Query().Get("watch") != "":
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		case r.URL.Path == "/api/v1/services":
			io.WriteString(w, `{"metadata":{"resourceVersion":"1"},"items":[{"metadata":{"namespace":"edge","name":"way","labels":{"topology.istio.io/network":"far"}},"spec":{"type":"LoadBalancer","clusterIP":"10.0.0.1","ports":[{"name":"tls","port":15443}]},"status":{"loadBalancer":{"ingress":[{"hostname":"way.invalid"}]}}}]}`)
		default:
			io.WriteString(w, `{"metadata":{"resourceVersion":"1"},"items":[]}`)
		}
	}))
	t.Cleanup(api.Close)
	p, _ := start(t, "")
	root := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw}))
	was := store.Absent
	attach := func(token string) *following {
		t.Helper()
		text, err := json.Marshal(console.Cluster{Discovery: true, Author: "ann", Kubeconfig: fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: c, clusters: [{name: c, cluster: {server: %q, certificate-authority-data: %s}}], users: [{name: u, user: {token: %s}}], contexts: [{name: c, context: {cluster: c, user: u}}]}`, api.URL, root, token)})
		if err == nil {
			was, err = p.store.Put(t.Context(), console.ClusterPrefix+"east", text, was)
		}
		if err != nil {
			t.Fatal(err)
		}
		var run *following
		until(t, "it is followed by "+token, func() bool {
			p.clusters.mu.Lock()
			defer p.clusters.mu.Unlock()
			if a := p.clusters.by["east"]; a != nil && strings.Contains(a.kubeconfig, token) {
				run = a.run
			}
			return run != nil && run.Status().Told
		})
		return run
	}
	one := attach("one")
	until(t, "the name is not known", func() bool {
		one.ways.mu.Lock()
		defer one.ways.mu.Unlock()
		return one.ways.failed["way.invalid"] != ""
	})
	one.ways.mu.Lock()
	one.ways.known["way.invalid"] = []string{"192.0.2.1"} // as if somebody had answered before
	one.ways.mu.Unlock()
	two := attach("two")
	if two == one {
		t.Fatal("it is followed as before")
	}
	until(t, "the gateway is there by its address", func() bool {
		g := p.push.Mesh().Networks.Gateways("far", "")
		return len(g) == 1 && g[0].Address == "192.0.2.1"
	})
}

// TestWhatWasToldBeforeIsGoneOnce has what another way to a cluster told be said to be gone in what is told next, as often as it may not have been heard, and no more.
func TestWhatWasToldBeforeIsGoneOnce(t *testing.T) {
	key := func(name string) source.Key { return source.Key{Cluster: "east", Kind: source.Pod, Name: name} }
	r := &following{cluster: &cluster{Cluster: kube.New(kube.Options{Server: &kube.Server{Name: "east"}, Attached: true})}, left: map[source.Key]bool{key("a"): true, key("b"): true}}
	is := func(what string, want ...string) {
		t.Helper()
		var got, kept []string
		for _, c := range r.gone([]source.Change{{Key: key("b"), Object: &source.Object{}}}) {
			got = append(got, c.Key.Name)
		}
		for k := range r.keys() {
			if kept = append(kept, k.Name); k.Name == "b" {
				kept = kept[:len(kept)-1]
			}
		}
		slices.Sort(got)
		if slices.Sort(kept); !slices.Equal(got, want) || !slices.Equal(kept, want) {
			t.Errorf("%s: %q are said to be gone, and %q are known, want %q", what, got, kept, want)
		}
	}
	is("at first", "a")
	r.settled([]source.Change{{Key: key("c")}}, false)
	is("when it may not have been heard", "a", "c")
	r.settled(nil, true)
	is("when it has been")
	r.settled([]source.Change{{Key: key("d")}}, false)
	is("when what is gone later may not have been heard", "d")
}

// TestNetworksFromAFile has networks be what a file says, and what it says when it is read again.
func TestNetworksFromAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "networks.yaml")
	write := func(address string) {
		text := fmt.Sprintf("networks: {far: {endpoints: [{fromRegistry: east}], gateways: [{address: %s, port: 15443}]}}", address)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("192.0.2.1")
	p, err := Start(Options{ConfigDir: t.TempDir(), MeshNetworks: file, GRPC: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler), Level: &slog.LevelVar{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	is := func(want string) func() bool {
		return func() bool {
			if m := p.push.Mesh(); m != nil {
				all := m.Networks.Gateways("far", "")
				return len(all) == 1 && all[0].Address == want && all[0].Port == 15443
			}
			return false
		}
	}
	until(t, "they are read", is("192.0.2.1"))
	write("192.0.2.2")
	p.Reread()
	until(t, "they are read again", is("192.0.2.2"))
}
