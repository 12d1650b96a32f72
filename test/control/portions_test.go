package control

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/control/translate"
	"github.com/weftmesh/weft/test/manifest"
	"github.com/weftmesh/weft/xds/server"
)

// listing is the names and versions of all resources of a view.
func listing(v *server.View) string {
	var b strings.Builder
	for kind := range server.Names + 1 {
		versions := map[string]string{}
		for _, part := range v.Parts {
			if part.Kind == kind {
				for _, r := range part.Resources {
					versions[r.Name] = r.Version
				}
			}
		}
		for _, name := range slices.Sorted(maps.Keys(versions)) {
			fmt.Fprintln(&b, kind, name, versions[name])
		}
	}
	return b.String()
}

// TestChangesComeToTheSame has objects come and go one by one, in any order, and wants what is told after each to be what a control plane tells
// that has just begun.
func TestChangesComeToTheSame(t *testing.T) {
	objects := manifest.Read(t, `
kind: Sidecar
metadata: {name: few, namespace: shop}
spec: {egress: [{hosts: [./reviews.shop.svc.cluster.local, other/*]}]}
---
kind: Sidecar
metadata: {name: own, namespace: shop}
spec: {workloadSelector: {labels: {version: v2}}, ingress: [{port: {number: 8080, name: http, protocol: HTTP}, defaultEndpoint: "127.0.0.1:80"}], egress: [{hosts: ["*/*"]}]}
---
kind: MeshConfig
metadata: {name: mesh}
spec: {accessLogFile: /dev/null, outboundTrafficPolicy: {mode: REGISTRY_ONLY}, defaultServiceExportTo: [.]}
---
kind: PeerAuthentication
metadata: {name: off, namespace: shop}
spec: {mtls: {mode: DISABLE}}
`)
	for _, file := range []string{"mesh.yaml", "gateway.yaml", "access.yaml"} {
		text, err := os.ReadFile("testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, manifest.Read(t, string(text))...)
	}
	nodes := []string{
		plainNode, istioNode, gatewayNode,
		`{id: sidecar~10.1.0.2~reviews-v2.shop~shop.svc.cluster.local, user_agent_name: weft, metadata: {NAMESPACE: shop, LABELS: {app: reviews, version: v2}}, locality: {region: r1, zone: z2}}`,
		`{id: sidecar~10.9.0.1~ratings.other~other.svc.cluster.local, metadata: {NAMESPACE: other, LABELS: {app: ratings}}}`,
	}
	rounds := 3
	if testing.Short() {
		rounds = 1
	}
	for seed := range rounds {
		r := rand.New(rand.NewPCG(uint64(seed), 2))
		m, tr := mesh.New(), translate.New()
		there := map[source.Key]*source.Object{}
		held := map[string]*server.View{} // as somebody who tells them does
		for step := range 120 {
			var portion []source.Change
			for range 1 + r.IntN(6) {
				c := objects[r.IntN(len(objects))]
				if there[c.Key] != nil && r.IntN(2) == 0 {
					c.Object = nil
					delete(there, c.Key)
				} else {
					again := *c.Object // another one that says the same
					c.Object = &again
					there[c.Key] = c.Object
				}
				portion = append(portion, c)
			}
			m = m.With(portion)
			node := nodes[r.IntN(len(nodes))]
			p := proxyOf(t, node)
			v := tr.View(m, p)
			held[node] = v
			if tr.View(m, proxyOf(t, node)) != v {
				t.Fatal("the same is told as another view")
			}
			var all []source.Change
			for k, o := range there {
				all = append(all, source.Change{Key: k, Object: o})
			}
			if got, want := listing(v), listing(translate.New().View(mesh.New().With(all), p)); got != want {
				t.Fatalf("seed %d, step %d: after changes\n%s\nat once\n%s", seed, step, got, want)
			}
		}
	}
}
