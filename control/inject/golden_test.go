package inject

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	meshv1 "istio.io/api/mesh/v1alpha1"
	"sigs.k8s.io/yaml"

	"github.com/weftmesh/weft/control/source"
)

var update = flag.Bool("update", false, "write what comes out into the files of testdata")

// row is what a file of testdata says before its line of dashes: what the mesh says, and a pod. Behind the line is what becomes of it.
type row struct {
	Install   json.RawMessage   `json:"install"`
	Mesh      json.RawMessage   `json:"mesh"`
	Namespace string            `json:"namespace"`
	Objects   []json.RawMessage `json:"objects"`
	Pod       json.RawMessage   `json:"pod"`
}

type came struct {
	Refused  string          `json:"refused,omitempty"`
	Skipped  string          `json:"skipped,omitempty"`
	Warnings []string        `json:"warnings,omitempty"`
	Pod      json.RawMessage `json:"pod,omitempty"`
}

// world is what a row says of the mesh.
func (r *row) world(t testing.TB) *World {
	t.Helper()
	w := &World{Config: &meshv1.MeshConfig{}, Discovery: "weftd.istio-system.svc:15012", Namespace: r.Namespace, RootNamespace: "istio-system"}
	var err error
	if w.Install, err = ReadInstall(r.Install); err != nil {
		t.Fatal(err)
	}
	if r.Mesh != nil {
		o, problems := source.ReadMeshConfig(r.Mesh, source.Origin{})
		if o == nil {
			t.Fatal(problems)
		}
		w.Config = o.Spec.(*meshv1.MeshConfig)
	}
	for _, text := range r.Objects {
		c := source.Read(text, source.Origin{})
		if len(c.Objects) != 1 {
			t.Fatalf("%s: %+v", text, c.Problems)
		}
		if o := c.Objects[0]; o.Namespace == w.RootNamespace {
			w.Root = append(w.Root, o)
		} else if o.Namespace == w.Namespace {
			w.Space = append(w.Space, o)
		}
	}
	return w
}

// Every file of testdata: a pod in, a pod out. The patch makes of the one the other, as a file's editing does; and what comes out stays as it is.
func TestPods(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			in, want, _ := strings.Cut(string(text), "\n---\n")
			var r row
			if err := yaml.UnmarshalStrict([]byte(in), &r); err != nil {
				t.Fatal(err)
			}
			w := r.world(t)
			var c came
			out, err := Pod(r.Pod, w)
			if err != nil {
				c.Refused = err.Error()
			} else {
				c.Skipped, c.Warnings = out.Skipped, out.Warnings
				if out.Patch != nil {
					c.Pod = patched(t, r.Pod, out.Patch)
					again(t, c.Pod, w)
					sameAsFile(t, r.Pod, c.Pod, w)
				}
			}
			got, err := yaml.Marshal(&c)
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				if err := os.WriteFile(file, []byte(strings.TrimSuffix(in, "\n")+"\n---\n"+string(got)), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if string(got) != want {
				t.Errorf("came out:\n%s", got)
			}
		})
	}
}

// again holds that nothing is put in twice.
func again(t testing.TB, pod json.RawMessage, w *World) {
	t.Helper()
	out, err := Pod(pod, w)
	if err != nil || len(out.Patch) > 0 || out.Skipped == "" {
		t.Errorf("a second time: %+v %v", out, err)
	}
}

// sameAsFile holds that a file with the pod becomes the same.
func sameAsFile(t testing.TB, pod, want json.RawMessage, w *World) {
	t.Helper()
	text, _, err := File(pod, "default", func(string) *World { return w })
	if err != nil {
		t.Fatal(err)
	}
	got, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var a, b any // numbers as what they are, however they are written
	if json.Unmarshal(got, &a) != nil || json.Unmarshal(want, &b) != nil || !reflect.DeepEqual(a, b) {
		t.Errorf("a file becomes another pod:\n%s", text)
	}
}

// patched carries a patch out, by RFC 6902.
func patched(t testing.TB, text []byte, patch []Operation) json.RawMessage {
	t.Helper()
	wire, err := json.Marshal(patch)
	if err != nil {
		t.Fatal(err)
	}
	var steps []Operation
	d := json.NewDecoder(bytes.NewReader(wire))
	d.UseNumber()
	if err := d.Decode(&steps); err != nil {
		t.Fatal(err)
	}
	tree, err := parse(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		var keys []string
		for key := range strings.SplitSeq(s.Path[1:], "/") {
			keys = append(keys, strings.NewReplacer("~1", "/", "~0", "~").Replace(key))
		}
		tree = step(t, tree, keys, s)
	}
	out, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func step(t testing.TB, at any, keys []string, s Operation) any {
	t.Helper()
	key, last := keys[0], len(keys) == 1
	switch at := at.(type) {
	case object:
		_, is := at[key]
		switch {
		case !last && is:
			at[key] = step(t, at[key], keys[1:], s)
		case last && s.Op == "remove" && is:
			delete(at, key)
		case last && (s.Op == "add" || s.Op == "replace" && is):
			at[key] = s.Value
		default:
			t.Fatalf("%s %s: there is no such place", s.Op, s.Path)
		}
		return at
	case []any:
		i, err := strconv.Atoi(key)
		switch {
		case err != nil || i < 0 || i > len(at) || i == len(at) && !(last && s.Op == "add"):
			t.Fatalf("%s %s: there is no such place", s.Op, s.Path)
		case !last:
			at[i] = step(t, at[i], keys[1:], s)
		case s.Op == "add":
			return slices.Insert(at, i, s.Value)
		case s.Op == "remove":
			return slices.Delete(at, i, i+1)
		default:
			at[i] = s.Value
		}
		return at
	}
	t.Fatalf("%s %s: there is no such place", s.Op, s.Path)
	return nil
}
