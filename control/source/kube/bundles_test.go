package kube

import (
	"fmt"
	"maps"
	"testing"

	"sigs.k8s.io/yaml"
)

// Webhooks are ours if their labels say so, and the revision's, and of them those that lead into our namespace.
func TestWhoseWebhooksAreWritten(t *testing.T) {
	for _, c := range []struct {
		revision, labels string
		want             map[string]string // nil: it is somebody else's
	}{
		{"", "app: weftd, istio.io/rev: default", map[string]string{"ours": "old"}},
		{"default", "app: weftd, istio.io/rev: default", map[string]string{"ours": "old"}},
		{"two", "app: weftd, istio.io/rev: two, istio.io/tag: canary", map[string]string{"ours": "old"}},
		{"two", "app: weftd, istio.io/rev: default", nil},
		{"", "app: weftd, istio.io/rev: two", nil},
		{"", "app: weftd", nil},
		{"", "app: sidecar-injector, istio.io/rev: default", nil},
		{"", "istio.io/rev: default", nil},
	} {
		cluster := New(Options{Server: &Server{}, Namespace: "mesh", Revision: c.revision})
		i, err := cluster.readWebhooks(fromYAML(t, fmt.Sprintf(`
metadata: {name: a, resourceVersion: "7", labels: {%s}}
webhooks:
- {name: ours, clientConfig: {caBundle: old, service: {name: weftd, namespace: mesh}}}
- {name: elsewhere, clientConfig: {caBundle: old, service: {name: weftd, namespace: other}}}
- {name: outside, clientConfig: {caBundle: old, url: "https://mesh.test"}}
`, c.labels)))
		if err != nil || i.Name != "a" || i.ResourceVersion != "7" || !maps.Equal(i.Annotations, c.want) || (i.Annotations == nil) != (c.want == nil) {
			t.Errorf("revision %q, {%s}: %+v %v", c.revision, c.labels, i, err)
		}
		b := &bundles{cluster: cluster, there: map[string]map[string]string{}, wake: make(chan struct{}, 1)}
		if err := b.Replace([]any{i}, ""); err != nil {
			t.Fatal(err)
		}
		if wrong := b.wrong("new"); (len(wrong) == 1) != (c.want != nil) || c.want != nil && len(wrong["a"]) != 1 {
			t.Errorf("revision %q, {%s}: to be written: %v", c.revision, c.labels, wrong)
		}
		if wrong := b.wrong("old"); len(wrong) != 0 {
			t.Errorf("revision %q, {%s}: to be written again: %v", c.revision, c.labels, wrong)
		}
		b.Delete(i)
		if wrong := b.wrong("new"); len(wrong) != 0 {
			t.Errorf("of what is gone: %v", wrong)
		}
	}
}

// Revisions beside one another each write their own: they wait for no Lease of another's.
func TestRevisionsDoNotWaitForOneAnother(t *testing.T) {
	for revision, want := range map[string]string{"": "weftd-webhooks", "default": "weftd-webhooks", "two": "weftd-webhooks-two"} {
		if got := New(Options{Server: &Server{}, Revision: revision}).bundleLease(); got != want {
			t.Errorf("revision %q: %s, want %s", revision, got, want)
		}
	}
}

func fromYAML(t *testing.T, text string) []byte {
	t.Helper()
	out, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return out
}
