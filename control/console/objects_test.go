package console

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/weftmesh/weft/control/history"
	"github.com/weftmesh/weft/control/push"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/control/store"
)

// What is applied is in force, is told of, and goes when it is taken away.
func TestApply(t *testing.T) {
	w := newWorld(t, store.NewMemory())
	w.expect(request{method: "GET", path: "/api/objects"}, 503, "it waits for what these have to tell", "files")
	w.expect(request{method: "POST", path: "/api/objects", body: shop("a.test")}, 503)
	w.file("{apiVersion: v1, kind: Namespace, metadata: {name: a}}")
	w.expect(request{method: "POST", path: "/api/objects?dryRun=true&author=ann", body: shop("a.test")}, 200, `"dryRun": true`, `"result": "created"`)
	w.expect(request{method: "GET", path: "/api/objects/" + shopPath}, 404, "there is no VirtualService a/shop")
	if r := w.apply("ann", shop("a.test")).Results; len(r) != 1 || r[0].Result != "created" || r[0].Version != 1 || r[0].ResourceVersion == "" {
		t.Errorf("%+v", r)
	}
	key := source.Key{Kind: source.VirtualService, Namespace: "a", Name: "shop"}
	w.eventually("it is in force", func() bool { o, owner := w.Push.Find(key); return o != nil && owner == "store" && o.Author == "ann" })
	w.expect(request{method: "GET", path: "/api/objects/virtualservices.networking.istio.io/a/shop"}, 200, `"author": "ann"`, `"source": "store"`, `"inForce": true`, `"generation": 1`, `"hosts": [`)
	if r := w.apply("ben", shop("a.test")).Results; r[0].Result != "unchanged" || r[0].Version != 1 {
		t.Errorf("%+v", r)
	}
	if r := w.apply("ben", shop("a.test", ", labels: {x: y}")).Results; r[0].Result != "configured" || r[0].Version != 1 {
		t.Errorf("%+v", r)
	}
	if r := w.apply("ben", shop("b.test", ", labels: {x: y}")).Results; r[0].Result != "configured" || r[0].Version != 2 {
		t.Errorf("%+v", r)
	}
	if got := w.host(shopPath); got != "b.test" { // at once, whatever the mesh has
		t.Errorf("host %s", got)
	}
	w.expect(request{method: "POST", path: "/api/objects?namespace=c&dryRun=true", body: strings.Replace(shop("a.test"), ", namespace: a", "", 1)}, 200, `"namespace": "c"`)
	w.expect(request{method: "GET", path: "/api/objects?kind=vs&namespace=a"}, 200, `"name": "shop"`)
	if body := w.expect(request{method: "GET", path: "/api/objects?namespace=b"}, 200); strings.Contains(body, "shop") {
		t.Error("an object of another namespace is listed")
	}
	w.expect(request{method: "GET", path: "/api/objects"}, 200, `"kind": "Namespace"`, `"kind": "VirtualService"`, `"where": "f.yaml:1"`)
	w.expect(request{method: "DELETE", path: "/api/objects/" + shopPath + "?dryRun=1&author=ann"}, 200, `"deleted"`)
	w.expect(request{method: "DELETE", path: "/api/objects/" + shopPath + "?author=ann"}, 200, `"deleted"`, `"version": 3`)
	w.expect(request{method: "DELETE", path: "/api/objects/" + shopPath}, 404)
	w.eventually("it is gone", func() bool { o, _ := w.Push.Find(key); return o == nil })
	if got := w.versions(shopPath); got != "1:ann 2:ben 3:ann:gone*" {
		t.Errorf("history is %s", got)
	}
	want := []string{
		"created VirtualService a/shop  1 by ann (local, this host)", "changed VirtualService a/shop  1 by ben (local, this host)",
		"changed VirtualService a/shop  2 by ben (local, this host)", "deleted VirtualService a/shop  3 by ann (local, this host)",
	}
	if !slices.Equal(w.entries, want) {
		t.Errorf("audit is\n%s", strings.Join(w.entries, "\n"))
	}
}

// What is wrong is said with its line, object and field, and nothing of what came with it is applied.
func TestWhatIsWrongIsNotApplied(t *testing.T) {
	s := store.NewMemory()
	w := newWorld(t, s)
	w.file("{apiVersion: v1, kind: Namespace, metadata: {name: a}}")
	good := strings.Replace(shop("good.test"), "name: shop", "name: good", 1) + "---\n"
	for name, one := range map[string]struct {
		body  string
		code  int
		words []string
	}{
		"a field": {good + strings.Replace(shop("a.test"), "hosts", "hots", 1), 422, []string{`"line": 12`, `"object": "VirtualService a/shop"`, `"field": "spec.hots"`, "hosts?", "nothing is applied"}},
		"a rule":  {good + strings.Replace(shop("a.test"), "{host: a}", "{host: a}, weight: -1", 1), 422, []string{`"field": "spec.http[0].route[0].weight"`}},
		"something that is not run": {good + "{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: s, namespace: a}, spec: {hosts: ['*.a.test'], resolution: DYNAMIC_DNS, ports: [{number: 80, name: http, protocol: HTTP}]}}", 422,
			[]string{`"object": "ServiceEntry a/s"`, "not run yet"}},
		"a certificate": {good + "{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: a}, type: kubernetes.io/tls, data: {tls.key: c2VjcmV0}}", 422,
			[]string{`"object": "Secret a/s"`, `"field": "data[tls.crt]"`, "is missing"}},
		"no YAML":          {good + "a: [", 422, []string{"is no YAML"}},
		"no object":        {"# nothing\n", 400, []string{"there is no object in what was sent"}},
		"another's kind":   {"{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}}", 400, []string{"is no kind that a mesh is made of"}},
		"an unknown kind":  {good + "{apiVersion: networking.istio.io/v1, kind: VirtualServce, metadata: {name: a}}", 422, []string{"is no kind that is known here"}},
		"twice":            {good + good, 422, []string{"is there twice, first in line 1"}},
		"a name":           {good + strings.Replace(shop("a.test"), "name: shop", "name: ../x", 1), 422, []string{"is no name"}},
		"a long name":      {good + strings.NewReplacer("name: shop", "name: "+strings.Repeat("n", 250), "namespace: a", "namespace: "+strings.Repeat("n", 250)).Replace(shop("a.test")), 422, []string{"want 1 to 512"}},
		"too much":         {strings.Repeat("#", maxBody+1), 413, []string{"send it in parts"}},
		"too many objects": {many(maxObjects + 1), 413, []string{"want at most 2000"}},
		"a large object":   {good + shop("a.test", ", annotations: {a: "+strings.Repeat("x", 1<<20)+"}"), 422, []string{"it cannot be stored"}},
	} {
		body := w.expect(request{method: "POST", path: "/api/objects", body: one.body}, one.code, one.words...)
		if t.Failed() {
			t.Fatalf("%s: %.500s", name, body)
		}
	}
	for path, code := range map[string]int{"?dryRun=maybe": 400, "?author=a%20b": 400, "?author=" + strings.Repeat("a", 129): 400, "?namespace=B": 400} {
		w.expect(request{method: "POST", path: "/api/objects" + path, body: good}, code)
	}
	w.expect(request{method: "POST", path: "/api/objects", body: good + shop("a.test"), header: map[string]string{"If-Match": "1"}}, 400, "If-Match is about one object")
	w.expect(request{method: "POST", path: "/api/objects?namespace=b", body: good + shop("a.test")}, 422, "is a, and b is asked for")
	for _, path := range []string{"/api/objects/nokind/a/b", "/api/objects/vs/a", "/api/nothing", "/api/history/vs/a/none", "/api/objects?kind=nokind"} {
		w.expect(request{method: "GET", path: path}, 404)
	}
	for _, path := range []string{"/api/objects/ns/a/b", "/api/objects/vs/-/b", "/api/objects/vs/A/b", "/api/history/secret/a/b", "/api/history/vs/a/shop/zero"} {
		w.expect(request{method: "GET", path: path}, 400)
	}
	if all, err := s.List(t.Context(), ""); err != nil || len(all) > 0 {
		t.Errorf("the store has %v, %v", all, err)
	}
}

func many(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: shop%d, namespace: a}, spec: {hosts: [a%d.test], http: [{route: [{destination: {host: a}}]}]}}\n---\n", i, i)
	}
	return b.String()
}

// More than a commit of the store takes is written in portions.
func TestManyObjects(t *testing.T) {
	s := store.NewMemory()
	w := newWorld(t, s)
	w.file("{apiVersion: v1, kind: Namespace, metadata: {name: a}}")
	n := 3 * store.MaxWrites
	for _, want := range []string{"created", "unchanged"} {
		r := w.apply("ann", many(n)).Results
		if len(r) != n {
			t.Fatalf("%d results", len(r))
		}
		for i, one := range r {
			if one.Result != want || one.Name != fmt.Sprint("shop", i) || one.Version != 1 || one.ResourceVersion == "" {
				t.Errorf("%+v", one)
			}
		}
	}
	if all, err := s.List(t.Context(), ""); err != nil || len(all) != 2*n {
		t.Errorf("%d entries, %v", len(all), err)
	}
	// If one cannot be changed, none is.
	text := strings.Replace(strings.ReplaceAll(many(3), "a0.test", "new.test"), "name: shop2,", "name: shop2, resourceVersion: '1',", 1)
	w.expect(request{method: "POST", path: "/api/objects", body: text}, 409, "VirtualService a/shop2 has been changed by ann")
	if got := w.host("vs/a/shop0"); got != "a0.test" {
		t.Errorf("host is %s", got)
	}
}

// Who writes upon a version that is not there any more is told so.
func TestWritersNoticeOneAnother(t *testing.T) {
	w := newWorld(t, store.NewMemory())
	w.file("{apiVersion: v1, kind: Namespace, metadata: {name: a}}")
	first := w.apply("ann", shop("a.test")).Results[0].ResourceVersion
	second := w.apply("ben", shop("b.test", ", resourceVersion: '"+first+"'")).Results[0].ResourceVersion
	w.expect(request{method: "POST", path: "/api/objects", body: shop("c.test", ", resourceVersion: '"+first+"'")}, 409, "has been changed by ben at", "it is resourceVersion "+second+", and "+first+" was expected")
	match := func(v string) map[string]string { return map[string]string{"If-Match": `"` + v + `"`} }
	w.expect(request{method: "POST", path: "/api/objects", body: shop("c.test"), header: match(first)}, 409)
	w.expect(request{method: "DELETE", path: "/api/objects/" + shopPath, header: match(first)}, 409)
	w.expect(request{method: "POST", path: "/api/rollback/" + shopPath + "/1", header: match(first)}, 409)
	if got := w.host(shopPath); got != "b.test" {
		t.Errorf("host is %s", got)
	}
	w.expect(request{method: "DELETE", path: "/api/objects/" + shopPath, header: match(second)}, 200)
	w.expect(request{method: "POST", path: "/api/objects", body: shop("c.test", ", resourceVersion: '"+second+"'")}, 409, "is not there any more")
	w.apply("ann", shop("a.test"))

	// Without that, the last one counts, and each is in the history.
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for j := range 5 {
				w.ask(request{method: "POST", path: fmt.Sprintf("/api/objects?author=writer%d", i), body: shop(fmt.Sprintf("h%d-%d.test", i, j))})
			}
		})
	}
	all.Wait()
	var h History
	w.decode(w.expect(request{method: "GET", path: "/api/history/" + shopPath}, 200), &h)
	for i, v := range h.Versions {
		if v.Number != i+1 {
			t.Errorf("version %d is number %d", i, v.Number)
		}
	}
}

// An object that another source has is not for weftd to change, and the text says whose it is.
func TestObjectsOfOthers(t *testing.T) {
	w := newWorld(t, store.NewMemory())
	w.file(shop("file.test"))
	w.expect(request{method: "POST", path: "/api/objects", body: shop("a.test")}, 409, "VirtualService a/shop is in files (f.yaml), and that one counts: change the file")
	w.expect(request{method: "DELETE", path: "/api/objects/" + shopPath}, 409, "is in files (f.yaml)")
	w.expect(request{method: "GET", path: "/api/objects/" + shopPath}, 200, `"source": "files"`, `"where": "f.yaml:1"`, "file.test")
	if got := w.versions(shopPath); got != "1:*" {
		t.Errorf("history is %s", got)
	}
	w.expect(request{method: "POST", path: "/api/rollback/" + shopPath + "/1"}, 200, "unchanged")
	for _, host := range []string{"before.test", "file.test"} { // as the recorder writes it
		o := source.Read([]byte(shop(host)), source.Origin{}).Objects[0]
		all, err := history.List(t.Context(), w.Store, o.Key)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := source.Manifest(o)
		add, _, err := history.Add(o.Key, all, &history.Version{Author: "file", Source: "files", Where: "f.yaml", Manifest: text})
		if err == nil {
			_, err = w.Store.Commit(t.Context(), []store.Write{add})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := w.versions(shopPath); got != "1:file 2:file*" {
		t.Errorf("history is %s", got)
	}
	w.expect(request{method: "POST", path: "/api/rollback/" + shopPath + "/2"}, 200, "unchanged")
	w.expect(request{method: "POST", path: "/api/rollback/" + shopPath + "/1"}, 409, "is of files (f.yaml): change the file, to the manifest of version 1", `"manifest": {`, "before.test")
	// One that comes into a file later takes the place of what was applied, which is said, and can be taken away.
	other := strings.Replace(shop("a.test"), "name: shop", "name: other", 1)
	w.apply("ann", other)
	w.file(strings.Replace(other, "a.test", "b.test", 1))
	w.expect(request{method: "GET", path: "/api/objects?kind=vs"}, 200, `"note": "it is in files, too, and that one counts"`)
	w.expect(request{method: "POST", path: "/api/objects", body: other}, 409)
	w.expect(request{method: "DELETE", path: "/api/objects/vs/a/other"}, 200, "deleted")
	w.eventually("nothing is wrong", func() bool { // but that nobody has the host
		return !slices.ContainsFunc(w.Push.Status().Problems, func(one push.Problem) bool { return !one.Warning })
	})
}

// A version is gone back to as it was, by who asks, and what stands beside the spec stays.
func TestRollback(t *testing.T) {
	w := newWorld(t, store.NewMemory())
	w.file("{apiVersion: v1, kind: Namespace, metadata: {name: a}}")
	w.apply("ann", shop("a.test", ", labels: {x: old}"))
	for i := range 20 {
		w.apply("canary", shop(fmt.Sprintf("c%d.test", i), ", labels: {x: new}"))
	}
	if got := w.versions(shopPath); got != "1:ann 17:canary 18:canary 19:canary 20:canary 21:canary*" {
		t.Errorf("history is %s", got)
	}
	w.expect(request{method: "GET", path: "/api/history/" + shopPath + "/1"}, 200, `"author": "ann"`, "a.test", `"x": "old"`)
	w.expect(request{method: "GET", path: "/api/history/" + shopPath + "/2"}, 404, "there is no version 2 of VirtualService a/shop, or it is kept no more: there are 1 17 18 19 20 21")
	w.expect(request{method: "POST", path: "/api/rollback/" + shopPath + "/1?author=ben&dryRun=true"}, 200, "configured")
	w.expect(request{method: "POST", path: "/api/rollback/" + shopPath + "/1?author=ben"}, 200, `"result": "configured"`, `"version": 22`)
	w.expect(request{method: "GET", path: "/api/objects/" + shopPath}, 200, "a.test", `"x": "new"`, `"author": "ben"`)
	w.expect(request{method: "POST", path: "/api/rollback/" + shopPath + "/1"}, 200, `"result": "unchanged"`)
	w.expect(request{method: "DELETE", path: "/api/objects/" + shopPath + "?author=ann"}, 200)
	w.expect(request{method: "POST", path: "/api/rollback/" + shopPath + "/23"}, 409, "is that it was taken away")
	w.expect(request{method: "POST", path: "/api/rollback/" + shopPath + "/21?author=ben"}, 200, `"result": "created"`, `"version": 24`)
	if got := w.host(shopPath); got != "c19.test" {
		t.Errorf("host is %s", got)
	}
	if got := w.versions(shopPath); got != "1:ann 17:canary 18:canary 19:canary 20:canary 21:canary 22:ben 23:ann:gone 24:ben*" {
		t.Errorf("history is %s", got)
	}
}

// A page of somebody else's in a browser on this host changes nothing.
func TestOtherPagesChangeNothing(t *testing.T) {
	w := newWorld(t, store.NewMemory())
	w.file("{apiVersion: v1, kind: Namespace, metadata: {name: a}}")
	for _, header := range []map[string]string{{"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.test"}} {
		w.expect(request{method: "POST", path: "/api/objects", body: shop("a.test"), header: header}, http.StatusForbidden)
		w.expect(request{method: "DELETE", path: "/api/objects/" + shopPath, header: header}, http.StatusForbidden)
	}
	w.expect(request{method: "GET", path: "/api/objects/" + shopPath}, 404)
}
