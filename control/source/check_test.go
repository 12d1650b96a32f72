package source

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
