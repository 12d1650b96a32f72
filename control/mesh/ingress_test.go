package mesh

import (
	"fmt"
	"testing"

	"github.com/weftmesh/weft/control/source"
)

// TestPathsOfIngresses has paths be matched as Kubernetes says, and those of no type as Istio has it.
func TestPathsOfIngresses(t *testing.T) {
	for _, c := range []struct{ kind, path, want string }{
		{"Prefix", "/", "[prefix:\"/\"] 2"},
		{"Prefix", "/a/", "[exact:\"/a\" prefix:\"/a/\"] 4"},
		{"Prefix", "/a*", "[exact:\"/a*\" prefix:\"/a*/\"] 6"},
		{"Exact", "/a/*", "[exact:\"/a/*\"] 9"},
		{"", "", "[] 0"},
		{"", "/*", "[] 0"},
		{"ImplementationSpecific", "/a", "[exact:\"/a\"] 5"},
		{"ImplementationSpecific", "/a/*", "[prefix:\"/a\"] 4"},
		{"ImplementationSpecific", "/a.*", "[prefix:\"/a\"] 4"},
		{"ImplementationSpecific", "/a*", "[exact:\"/a*\"] 7"},
	} {
		matches, rank := entryPath(&source.IngressPath{Path: c.path, PathType: c.kind})
		if got := fmt.Sprint(matches, rank); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.kind, c.path, got, c.want)
		}
	}
}
