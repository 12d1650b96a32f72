package main

import (
	"flag"
	"io"
	"os"
	"strings"
	"testing"
)

// TestPageNamesAll: docs/weftd.md has every flag, and names none that there is not.
func TestPageNamesAll(t *testing.T) {
	b, err := os.ReadFile("../../docs/weftd.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(b), "## Flags")
	if !ok {
		t.Fatal("docs/weftd.md has no part about flags")
	}
	set := flag.NewFlagSet("weftd", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	(&flags{}).define(set)
	set.VisitAll(func(f *flag.Flag) {
		if !strings.Contains(table, "| `--"+f.Name+"` |") {
			t.Errorf("docs/weftd.md says nothing of --%s", f.Name)
		}
	})
	for line := range strings.Lines(table) {
		if name, is := strings.CutPrefix(line, "| `--"); is {
			if name, _, _ = strings.Cut(name, "`"); set.Lookup(name) == nil {
				t.Errorf("docs/weftd.md has --%s, and weftd has not", name)
			}
		}
	}
}
