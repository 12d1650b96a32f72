package manifest

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/weftmesh/weft/control/source"
)

// ofCluster says, in a comment of a document, that its object is one of a cluster that was attached.
const ofCluster = "# cluster "

// Read reads objects from documents of YAML.
func Read(t testing.TB, text string) (changes []source.Change) {
	t.Helper()
	for i, document := range strings.Split("\n"+text, "\n---") {
		if strings.TrimSpace(document) == "" {
			continue
		}
		o := read(t, i, document)
		if _, rest, is := strings.Cut(document, ofCluster); is {
			o.Cluster, _, _ = strings.Cut(rest, "\n")
		}
		changes = append(changes, source.Change{Key: o.Key, Object: o})
	}
	return changes
}

func read(t testing.TB, i int, text string) *source.Object {
	t.Helper()
	from := source.Origin{Source: "a test"}
	said := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &said); err != nil {
		t.Fatalf("document %d: %v", i, err)
	}
	kind, _ := said["kind"].(string)
	var o *source.Object
	var problems []source.Problem
	switch kind {
	case "MeshConfig":
		o, problems = source.ReadMeshConfig(write(t, said["spec"]), from)
	case "MeshNetworks":
		o, problems = source.ReadMeshNetworks(write(t, said["spec"]), from)
	default:
		if said["apiVersion"] == nil {
			said["apiVersion"] = versionOf(kind)
		}
		c := source.Read(write(t, said), from)
		if problems = c.Problems; len(c.Objects) == 1 {
			o = c.Objects[0]
		}
	}
	for _, p := range problems {
		if !p.Warning {
			t.Errorf("document %d: %s: %s: %s", i, p.Key, p.Path, p.Text)
		}
	}
	if o == nil {
		t.Fatalf("document %d is no object", i)
	}
	return o
}

// versionOf is what a kind's apiVersion is, if it says none.
func versionOf(kind string) string {
	for i := range source.Forms {
		if f := &source.Forms[i]; f.Name == kind && len(f.Versions) > 0 {
			return strings.TrimPrefix(f.Group+"/"+f.Versions[0], "/")
		}
	}
	return ""
}

func write(t testing.TB, v any) []byte {
	t.Helper()
	b, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
