package kube_test

import (
	"sync"
	"testing"

	"github.com/weftmesh/weft/control/source/kube"
	test "github.com/weftmesh/weft/test/kube"
)

// Every namespace has the roots of the mesh, whatever becomes of its copy; one that another control plane keeps is left alone.
func TestRootsArePublished(t *testing.T) {
	c := test.Start(t)
	c.Apply(string(kube.Role("weftd", "istio-system", kube.Duties{Roots: true})))
	const theirs = `{apiVersion: v1, kind: ConfigMap, metadata: {name: istio-ca-root-cert, namespace: theirs}, data: {root-cert.pem: theirs}}`
	c.Apply("{apiVersion: v1, kind: Namespace, metadata: {name: a}}\n---\n" + theirs)
	var mu sync.Mutex
	roots := "one"
	f := follow(t, c.KubeconfigOf("istio-system", "weftd"), func(o *kube.Options) {
		o.Roots = func() []byte {
			mu.Lock()
			defer mu.Unlock()
			return []byte(roots)
		}
	})
	has := func(namespace string) string {
		var all struct {
			Items []struct {
				Metadata struct{ Namespace string }
				Data     map[string]string
			}
		}
		c.List("/api/v1/configmaps?fieldSelector=metadata.name%3Distio-ca-root-cert", &all)
		for _, one := range all.Items {
			if one.Metadata.Namespace == namespace {
				return one.Data["root-cert.pem"]
			}
		}
		return ""
	}
	become := func(namespace, want string) {
		t.Helper()
		eventually(t, namespace+" has "+want, func() bool { return has(namespace) == want })
	}
	become("a", "one")
	become("istio-system", "one")
	c.Apply("{apiVersion: v1, kind: Namespace, metadata: {name: b}}")
	become("b", "one")
	c.Delete("{apiVersion: v1, kind: ConfigMap, metadata: {name: istio-ca-root-cert, namespace: b}}")
	become("b", "one")
	mu.Lock()
	roots = "two"
	mu.Unlock()
	become("a", "two")
	become("b", "two")
	if got := has("kube-system"); got != "" {
		t.Errorf("kube-system has %q", got)
	}
	if got := has("theirs"); got != "theirs" || f.log.count("another one keeps the ConfigMap") == 0 {
		t.Errorf("of another control plane: %q", got)
	}
}
