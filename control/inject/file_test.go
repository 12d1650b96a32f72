package inject

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// What is no pod and makes none stays as it is, byte for byte; comments and order stay in what is changed.
func TestFile(t *testing.T) {
	const others = "# a head\n\napiVersion:   v1   # odd blanks\nkind: Service\nmetadata: {name: cart}\n--- # kept\n" +
		"kind: Deployment\napiVersion: example.test/v1\nspec: {template: nothing}\n---\n\n---\n# nothing but this\n---\r\nkind: ConfigMap\r\napiVersion: v1\r\ndata: {a: \"\\x41\"}\r\n"
	w := worldOf(t, "")
	of := func(string) *World { return w }
	out, reports, err := File([]byte(others), "default", of)
	if err != nil || string(out) != others || len(reports) != 0 {
		t.Errorf("%q %v %v", out, reports, err)
	}
	for _, text := range []string{"", "\n\n", "# only\n"} {
		if out, _, err := File([]byte(text), "default", of); err != nil || string(out) != text {
			t.Errorf("%q becomes %q: %v", text, out, err)
		}
	}
	const deployment = `---
# Who sells.
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: shop} # here
spec:
  template:
    metadata:
      labels: &labels
        app: cart
    spec:
      containers:
      # the only one
      - name: cart
        image: registry.test/cart:7 # pinned
        env: [{name: ON, value: "on"}]
  selector:
    matchLabels: *labels
`
	out, reports, err = File([]byte(others+deployment), "default", of)
	if err != nil || len(reports) != 1 || reports[0].Namespace != "shop" || reports[0].Name != "cart" || reports[0].Skipped != "" {
		t.Fatalf("%+v %v", reports, err)
	}
	rest, is := bytes.CutPrefix(out, []byte(others))
	if !is {
		t.Fatalf("others are not as they were:\n%s", out)
	}
	for _, want := range []string{"---\n# Who sells.\n", "# here", "# the only one", "# pinned", "value: \"on\"", "/deployments/cart", "name: istio-proxy", "service.istio.io/canonical-name: cart"} {
		if !strings.Contains(string(rest), want) {
			t.Errorf("there is no %q in\n%s", want, rest)
		}
	}
	var d struct {
		Spec struct {
			Selector struct{ MatchLabels map[string]string }
			Template struct {
				Metadata struct{ Labels map[string]string }
			}
		}
	}
	if err := yaml.Unmarshal(rest, &d); err != nil || d.Spec.Template.Metadata.Labels[labelTLS] != "istio" {
		t.Errorf("%+v %v", d, err)
	}
	second, reports, err := File(out, "default", of)
	if err != nil || !bytes.Equal(second, out) || len(reports) != 1 || reports[0].Skipped == "" {
		t.Errorf("a second time: %+v %v\n%s", reports, err, second)
	}
}

// All kinds that pods are made from, and lists of them; the owner is the kind's own.
func TestFileKinds(t *testing.T) {
	w := worldOf(t, "")
	const pod = `{"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}}`
	for kind, text := range map[string]string{
		"v1 Pod": `, ` + pod[1:len(pod)-1], "apps/v1 Deployment": `, "metadata": {"name": "a"}, "spec": {"template": ` + pod + `}`, "apps/v1 StatefulSet": `, "metadata": {"name": "a"}, "spec": {"template": ` + pod + `}`,
		"apps/v1 DaemonSet": `, "metadata": {"name": "a"}, "spec": {"template": ` + pod + `}`, "batch/v1 Job": `, "metadata": {"name": "a"}, "spec": {"template": ` + pod + `}`,
		"batch/v1 CronJob": `, "metadata": {"name": "a"}, "spec": {"jobTemplate": {"spec": {"template": ` + pod + `}}}`,
	} {
		version, name, _ := strings.Cut(kind, " ")
		one := `{"apiVersion": "` + version + `", "kind": "` + name + `"` + text + `}`
		for _, doc := range []string{one, `{"apiVersion": "v1", "kind": "List", "items": [` + one + `, {"kind": "Service", "apiVersion": "v1"}]}`} {
			out, reports, err := File([]byte(doc), "here", func(namespace string) *World {
				if namespace != "here" {
					t.Errorf("%s: namespace %q", kind, namespace)
				}
				return w
			})
			if err != nil || len(reports) != 1 || strings.Count(string(out), "name: istio-proxy") != 1 {
				t.Errorf("%s: %+v %v\n%s", doc, reports, err, out)
			}
			if owner := "/" + strings.ToLower(name) + "s/a"; name != "Pod" && !strings.Contains(string(out), owner) {
				t.Errorf("%s: no %s", doc, owner)
			}
		}
	}
}

// What is wrong is said with its line and its object, and nothing comes out.
func TestFileWrong(t *testing.T) {
	w := worldOf(t, "")
	for text, want := range map[string]string{
		"a: b\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: a, annotations: {sidecar.istio.io/logLevel: loud}}\nspec: {}": `line 2: Pod default/a: metadata.annotations["sidecar.istio.io/logLevel"]: "loud" is no level`,
		"a: b\n---\n\t[": "line 2: is no YAML",
		"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {}":          "line 1: Deployment default/a: has no spec.template",
		"apiVersion: v1\nkind: Pod\nmetadata: {name: a, annotations: {a: 1}}\nspec: {}": "is no Pod",
		"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: &a {containers: [*a]}":   "line 1:",
		"a: &a [b,b,b,b,b,b,b,b,b]\nc: &c [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g,*g,*g,*g]": "aliases",
	} {
		out, _, err := File([]byte(text), "default", func(string) *World { return w })
		if err == nil || !strings.Contains(err.Error(), want) || out != nil {
			t.Errorf("%q: %q %v: want %q", text, out, err, want)
		}
	}
}

// A template that is merged in is changed where it is used, and not where it stands.
func TestFileMerges(t *testing.T) {
	w := worldOf(t, "")
	const text = `apiVersion: v1
kind: List
items:
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: a}
  spec:
    template: &pod
      metadata: {labels: {app: a}}
      spec: &spec
        containers: [{name: a, image: a}]
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: b}
  spec:
    template:
      metadata: {labels: {app: b}}
      spec:
        <<: *spec
        dnsPolicy: Default
- apiVersion: v1
  kind: Other
  spec: *pod
`
	out, reports, err := File([]byte(text), "default", func(string) *World { return w })
	if err != nil || len(reports) != 2 {
		t.Fatalf("%+v %v", reports, err)
	}
	if got := strings.Count(string(out), "name: istio-proxy"); got != 2 {
		t.Errorf("%d sidecars:\n%s", got, out)
	}
	plain, err := yaml.YAMLToJSON(out)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var l struct {
		Items []struct {
			Spec struct {
				Template struct {
					Spec struct{ Containers []struct{ Name string } }
				}
			}
		}
	}
	if err := json.Unmarshal(plain, &l); err != nil || len(l.Items[1].Spec.Template.Spec.Containers) != 2 {
		t.Errorf("%s %v", plain, err)
	}
}

// A file may be anything.
func FuzzFile(f *testing.F) {
	f.Add([]byte("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a}]}\n"))
	f.Add([]byte("apiVersion: apps/v1\nkind: Deployment\nspec: {template: &a {<<: {spec: {}}, metadata: *a}}"))
	f.Add([]byte("a: &a\n  - *a\n---\nkind: List\napiVersion: v1\nitems: [{kind: Job, apiVersion: batch/v1, spec: {template: {spec: {containers: [{name: istio-proxy, env: [1]}]}}}}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		w := worldOf(t, "")
		out, _, err := File(data, "default", func(string) *World { return w })
		if err != nil {
			return
		}
		second, _, err := File(out, "default", func(string) *World { return w })
		if err != nil || !bytes.Equal(second, out) {
			t.Fatalf("%q\nbecomes %q\nand then %q: %v", data, out, second, err)
		}
	})
}
