package push

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/weftmesh/weft/control/source"
)

// Whatever sources tell and take back, in whatever order, what counts is what the first of those has that have it, and the rest wait.
func TestTheFirstSourceCounts(t *testing.T) {
	order := []string{"one", "two", "three"}
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 1))
		c := claims{order: order, owners: map[source.Key]string{}, waits: map[source.Key]map[string]*source.Object{}}
		have := map[source.Key]map[string]*source.Object{} // what sources have
		mesh := map[source.Key]*source.Object{}            // what came of it
		for step := range 400 {
			key := source.Key{Kind: source.VirtualService, Namespace: "a", Name: fmt.Sprint(random.IntN(3))}
			name := order[random.IntN(3)]
			change := source.Change{Key: key}
			if random.IntN(3) > 0 {
				change.Object = &source.Object{Key: key, Revision: fmt.Sprint(step)}
			}
			if have[key] == nil {
				have[key] = map[string]*source.Object{}
			}
			have[key][name] = change.Object
			if one, counts := c.settle(name, change, mesh[key]); counts {
				if mesh[key] = one.Object; one.Key != key {
					t.Fatalf("a change of %v is one of %v", key, one.Key)
				}
			}
			var want *source.Object
			owner, waiting := "", 0
			for _, name := range order {
				if o := have[key][name]; o != nil && want == nil {
					want, owner = o, name
				} else if o != nil {
					waiting++
				}
			}
			if mesh[key] != want || want != nil && c.owner(key) != owner || len(c.waits[key]) != waiting {
				t.Fatalf("seed %d, step %d: %s tells %v: %v of %q counts and %d wait: want %v of %q, and %d", seed, step, name, change.Object, mesh[key], c.owner(key), len(c.waits[key]), want, owner, waiting)
			}
		}
		if len(c.owners) > 3 || len(c.waits) > 3 {
			t.Errorf("%d owners and %d that wait of 3 objects", len(c.owners), len(c.waits))
		}
	}
}

// An object that two sources have is said to be there twice, until one of them has it no more.
func TestAnObjectOfTwoSources(t *testing.T) {
	p := newPlane(t, "files", "the store")
	shop := func(host string) string {
		return "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: shop, namespace: a}, spec: {hosts: [" + host + "], http: [{route: [{destination: {host: a}}]}]}}"
	}
	key := source.Key{Kind: source.VirtualService, Namespace: "a", Name: "shop"}
	is := func(owner, revision string) func(Status) bool {
		return func(Status) bool { o, name := p.Find(key); return o != nil && name == owner && o.Revision == revision }
	}
	revision := func(host string) string { return source.Read([]byte(shop(host)), source.Origin{}).Objects[0].Revision }
	if o, _ := p.Find(key); o != nil || p.Mesh() != nil {
		t.Error("there is a mesh before all have told")
	}
	p.tell("the store", shop("a.test"))
	p.Tell(p.ctx, "files", source.Batch{})
	p.eventually("the store's counts", is("the store", revision("a.test")))
	p.tell("files", shop("b.test"))
	p.eventually("the file's counts", is("files", revision("b.test")))
	wrong := func(s Status) []Problem { // besides that nobody has the host that it leads to
		return slices.DeleteFunc(s.Problems, func(one Problem) bool { return one.Warning })
	}
	p.eventually("it is said", func(s Status) bool {
		found := wrong(s)
		return len(found) == 1 && found[0].Source == "the store" && strings.HasSuffix(found[0].Text, "VirtualService a/shop: is in files (f.yaml) too, and that one counts")
	})
	p.Tell(p.ctx, "files", source.Batch{Changes: []source.Change{{Key: key}}})
	p.eventually("the store's counts again", is("the store", revision("a.test")))
	p.tell("cluster east", shop("c.test")) // which nobody knew of, and which comes last
	p.eventually("the store's counts still", func(s Status) bool {
		found := wrong(s)
		return len(found) == 1 && found[0].Source == "cluster east" && strings.HasSuffix(found[0].Text, "VirtualService a/shop: is in the store (f.yaml) too, and that one counts") && is("the store", revision("a.test"))(s)
	})
	p.Tell(p.ctx, "cluster east", source.Batch{Changes: []source.Change{{Key: key}}})
	p.eventually("nothing is wrong", func(s Status) bool { return len(wrong(s)) == 0 })
}

// What an object names that is not there is said for as long as it is not.
func TestWhatIsNotThereIsSaid(t *testing.T) {
	p := newPlane(t, "files")
	p.tell("files", "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: shop, namespace: a}, spec: {hosts: [b.test], http: [{route: [{destination: {host: a.test}}]}]}}")
	p.eventually("it is said", func(s Status) bool {
		return len(s.Problems) == 1 && s.Problems[0].Warning && strings.HasSuffix(s.Problems[0].Text, "spec.http[0].route[0].destination.host: no service has the host a.test: requests are answered with 503")
	})
	p.tell("files", "{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: a, namespace: a}, spec: {hosts: [a.test], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: 10.0.0.1}]}}")
	p.eventually("it is said no longer", func(s Status) bool { return len(s.Problems) == 0 })
}
