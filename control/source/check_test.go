package source

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
)

var update = flag.Bool("update", false, "write what comes out into the tables of testdata/check")

// TestCheck runs the tables: a file of a kind, whose documents are specs, each with what is said of it behind, in lines that begin with "#= ". A
// document may begin with the lines of metadata, with "#m " before them.
func TestCheck(t *testing.T) {
	files, err := filepath.Glob("testdata/check/*.yaml")
	if err != nil || len(files) < 12 {
		t.Fatalf("there are %d tables: %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var out []string
			for i, row := range strings.Split(string(data), "---\n") {
				spec, metadata, want := "", "", ""
				for line := range strings.Lines(row) {
					if w, is := strings.CutPrefix(line, "#= "); is {
						want += w
					} else if m, is := strings.CutPrefix(line, "#m "); is {
						metadata += "  " + m
					} else {
						spec += line
					}
				}
				got := strings.Join(checked(t, name, metadata, spec), "\n") + "\n"
				if got != want && !*update {
					t.Errorf("row %d:\n%ssaid\n%swant\n%s", i, row, got, want)
				}
				metadata = strings.ReplaceAll(metadata, "  ", "#m ")
				out = append(out, metadata+spec+"#= "+strings.ReplaceAll(strings.TrimSuffix(got, "\n"), "\n", "\n#= ")+"\n")
			}
			if *update {
				if err := os.WriteFile(file, []byte(strings.Join(out, "---\n")), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// checked says what is said of a spec, with lines of the spec.
func checked(t *testing.T, kind, metadata, spec string) (out []string) {
	var c Contents
	lines := 0
	switch kind {
	case "MeshConfig":
		_, c.Problems = ReadMeshConfig([]byte(spec), Origin{})
	case "MeshNetworks":
		_, c.Problems = ReadMeshNetworks([]byte(spec), Origin{})
	default:
		var form Form
		for _, f := range Forms {
			if f.Name == kind {
				form = f
			}
		}
		head := "apiVersion: " + strings.TrimPrefix(form.Group+"/"+form.Versions[0], "/") + "\nkind: " + kind + "\nmetadata:\n"
		if !strings.Contains(metadata, "name: ") {
			head += "  name: a\n"
		}
		head += metadata
		if kind != "EndpointSlice" {
			head += "spec:\n"
			spec = "  " + strings.ReplaceAll(strings.TrimSuffix(spec, "\n"), "\n", "\n  ") + "\n"
		}
		lines = strings.Count(head, "\n")
		c = Read([]byte(head+spec), Origin{})
	}
	for _, p := range c.Problems {
		if p.Name == "" {
			t.Errorf("of no object: %+v", p)
		}
		s := fmt.Sprintf("%d: ", p.From.Line-lines)
		if p.Warning {
			s += "warning: "
		}
		out = append(out, s+strings.TrimPrefix(p.Path, "spec.")+": "+p.Text)
	}
	if len(out) == 0 {
		out = []string{"good"}
	}
	return out
}

// A pattern of a megabyte is refused wherever one may stand: it is a proxy that would have to compile it.
func TestPatternsAreBounded(t *testing.T) {
	long := strings.Repeat("a", 1<<20)
	for kind, specs := range map[string][]string{
		"VirtualService": {
			"hosts: [a]\nhttp: [{match: [{uri: {regex: %s}}], route: [{destination: {host: a}}]}]\n",
			"hosts: [a]\nhttp: [{match: [{headers: {x: {regex: %s}}}], route: [{destination: {host: a}}]}]\n",
			"hosts: [a]\nhttp: [{match: [{queryParams: {x: {regex: %s}}}], route: [{destination: {host: a}}]}]\n",
			"hosts: [a]\nhttp: [{rewrite: {uriRegexRewrite: {match: %s, rewrite: b}}, route: [{destination: {host: a}}]}]\n",
			"hosts: [a]\nhttp: [{corsPolicy: {allowOrigins: [{regex: %s}]}, route: [{destination: {host: a}}]}]\n",
		},
		"EnvoyFilter": {
			"configPatches: [{applyTo: CLUSTER, match: {proxy: {proxyVersion: %s}}, patch: {operation: REMOVE}}]\n",
			"configPatches: [{applyTo: HTTP_ROUTE, patch: {operation: MERGE, value: {match: {safe_regex: {regex: %s}}}}}]\n",
			`configPatches: [{applyTo: HTTP_FILTER, patch: {operation: ADD, value: {name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC,
    rules: {policies: {a: {permissions: [{url_path: {path: {safe_regex: {regex: %s}}}}], principals: [{any: true}]}}}}}}}]
`,
		},
	} {
		for _, spec := range specs {
			got := strings.Join(checked(t, kind, "", strings.Replace(spec, "%s", long, 1)), "\n")
			if !strings.Contains(got, "regex is too large, max length allowed is ") || len(got) > 1000 {
				t.Errorf("%s%s", spec, short(got))
			}
		}
	}
}

// A patch may go into each cluster of a mesh, so that a large one is refused.
func TestPatchesAreBounded(t *testing.T) {
	spec := "configPatches: [{applyTo: CLUSTER, patch: {operation: MERGE, value: {alt_stat_name: %s}}}]\n"
	for n, want := range map[int]string{100 << 10: "good", 200 << 10: "has 204805 bytes: want 131072 at most"} {
		if got := strings.Join(checked(t, "EnvoyFilter", "", strings.Replace(spec, "%s", strings.Repeat("a", n), 1)), "\n"); !strings.Contains(got, want) {
			t.Errorf("%d bytes: %s", n, short(got))
		}
	}
}

// FuzzCheck checks whatever protobuf can hold: a check ends, says something where it says anything, and not too much.
func FuzzCheck(f *testing.F) {
	f.Add(uint8(0), []byte{})
	f.Add(uint8(VirtualService), []byte("\x0a\x01a\x1a\x06\x12\x04\x0a\x02\x0a\x00"))
	f.Add(uint8(EnvoyFilter), []byte("\x22\x08\x08\x01\x1a\x04\x08\x02\x12\x00"))
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		k := Kind(kind % uint8(kindCount))
		if Forms[k].message == nil {
			return
		}
		m := Forms[k].message()
		if proto.Unmarshal(data, m) != nil {
			return
		}
		problems := Check(&Object{Key: Key{Kind: k, Namespace: "a", Name: "b"}, Spec: m})
		if len(problems) > maxProblems {
			t.Errorf("%d problems", len(problems))
		}
		for _, p := range problems {
			if p.Text == "" || len(p.Text) > 1000 || p.Key.Name != "b" {
				t.Errorf("said %+v", p)
			}
		}
	})
}
