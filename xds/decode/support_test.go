package decode

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

var update = flag.Bool("update", false, "write docs/support.md anew")

// TestSupportPage keeps docs/support.md what the table says.
func TestSupportPage(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "support.md")
	want := supportPage(t)
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("docs/support.md is not what the table says: run go test ./xds/decode -run TestSupportPage -update")
	}
}

// sections are the parts of the page and where they begin.
var sections = []struct {
	title string
	roots []string
}{
	{"Bootstrap", []string{"envoy.config.bootstrap.v3.Bootstrap"}},
	{"Listeners", []string{"envoy.config.listener.v3.Listener"}},
	{"TCP", []string{"envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"}},
	{"HTTP", []string{"envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"}},
	{"HTTP filters", slices.Sorted(slices.Values(slices.Concat(filterMessages[inChain], filterMessages[inRoute])))},
	{"Routes", []string{"envoy.config.route.v3.RouteConfiguration"}},
	{"Clusters", []string{"envoy.config.cluster.v3.Cluster"}},
	{"Endpoints", []string{"envoy.config.endpoint.v3.ClusterLoadAssignment"}},
	{"What comes by itself", []string{"envoy.config.core.v3.TypedExtensionConfig", "envoy.service.runtime.v3.Runtime"}},
	{"What several of them use", nil},
}

func supportPage(t *testing.T) string {
	var b strings.Builder
	b.WriteString(`# What of Envoy's configuration is supported

Written from the table in ` + "`xds/decode`" + ` by its tests; do not edit. A field that is *refused* or missing here is an error that names it, never
ignored. A *harmless* field is accepted because it cannot change what is seen from outside, for the reason given. Everything else does
what Envoy's documentation of the field says, with Envoy's default.

A word after @ tells apart what a message means at different places.
`)
	owner := map[string]int{}
	for i, s := range sections {
		for _, root := range s.roots {
			owner[root] = i
		}
	}
	last := len(sections) - 1
	for i, s := range sections[:last] {
		for _, root := range s.roots {
			claim(t, owner, root, "", i, last)
		}
	}
	for i, s := range sections {
		fmt.Fprintf(&b, "\n## %s\n", s.title)
		var keys []string
		order(t, &keys, map[string]bool{}, "envoy.config.bootstrap.v3.Bootstrap", "")
		for _, key := range keys {
			if owner[key] == i {
				writeMessage(t, &b, key)
			}
		}
	}
	b.WriteString(`
## Harmless extensions

They are accepted and do nothing, written as themselves or as a TypedStruct in either spelling. Anything else that is not run is refused. *Seen*
means that the real Envoy was run with and without it, and us with it (` + "`test/istio`" + `); the others are Istio's own, which a stock Envoy does not know, and the
reason is the whole argument.

| extension | where | | why |
|---|---|---|---|
`)
	for _, h := range HarmlessExtensions() {
		seen := "argued"
		if h.Seen {
			seen = "seen"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", h.Message, h.Where, seen, h.Why)
	}
	b.WriteString(`
Of Envoy's feature flags these may be set in ` + "`layered_runtime`" + `, whatever to:

| flag | why |
|---|---|
`)
	for _, key := range slices.Sorted(maps.Keys(flags)) {
		fmt.Fprintf(&b, "| `%s` | %s |\n", key, flags[key])
	}
	return b.String()
}

// claim gives every message that is reached from one section to that section, and what is reached from two to the last one.
func claim(t *testing.T, owner map[string]int, message, word string, section, shared int) {
	eachMessage(t, message, word, func(key, message, word string) {
		have, ok := owner[key]
		switch {
		case !ok:
			owner[key] = section
		case have == section, have == shared, isRoot(key):
			return
		default:
			owner[key] = shared
		}
		claim(t, owner, message, word, owner[key], shared)
	})
}

func isRoot(key string) bool {
	for _, s := range sections {
		if slices.Contains(s.roots, key) {
			return true
		}
	}
	return false
}

// order lists messages as they are reached.
func order(t *testing.T, keys *[]string, seen map[string]bool, message, word string) {
	key := tableKey(message, word)
	if seen[key] {
		return
	}
	seen[key] = true
	*keys = append(*keys, key)
	eachMessage(t, message, word, func(_, message, word string) { order(t, keys, seen, message, word) })
}

func tableKey(message, word string) string {
	if word != "" {
		return message + "@" + word
	}
	return message
}

// eachMessage calls f for every message that a message's fields may hold.
func eachMessage(t *testing.T, message, word string, f func(key, message, word string)) {
	answers := lookup(message, word)
	for _, d := range fieldsOf(t, message) {
		a := answers[string(d.Name())]
		if d.IsMap() {
			d = d.MapValue()
		}
		switch {
		case a.answer != isRun || d.Message() == nil || leaf(d.Message()):
		case d.Message().FullName() == "google.protobuf.Any":
			for _, name := range a.any {
				f(tableKey(name, a.table), name, a.table)
			}
		default:
			f(tableKey(string(d.Message().FullName()), a.table), string(d.Message().FullName()), a.table)
		}
	}
}

func fieldsOf(t *testing.T, message string) []protoreflect.FieldDescriptor {
	m, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(message))
	if err != nil {
		t.Fatal(err)
	}
	list := m.Descriptor().Fields()
	out := make([]protoreflect.FieldDescriptor, list.Len())
	for i := range out {
		out[i] = list.Get(i)
	}
	return out
}

func writeMessage(t *testing.T, b *strings.Builder, key string) {
	message, word, _ := strings.Cut(key, "@")
	fields := fieldsOf(t, message)
	if len(fields) == 0 {
		return
	}
	fmt.Fprintf(b, "\n### %s\n\n`%s`\n\n| field | | |\n|---|---|---|\n", tableKey(short(message), word), key)
	answers := lookup(message, word)
	for _, d := range fields {
		a := answers[string(d.Name())]
		answer, note := [...]string{"?", "run", "harmless", "refused"}[a.answer], a.why
		if len(a.except) > 0 {
			note += fmt.Sprintf("; `%s` is accepted", strings.Join(a.except, "`, `"))
		}
		var notes []string
		if d.Enum() != nil && a.answer == isRun {
			for i := range d.Enum().Values().Len() {
				name := string(d.Enum().Values().Get(i).Name())
				if v := a.values[name]; v.answer != isRun {
					notes = append(notes, fmt.Sprintf("`%s` %s", name, v.why))
				}
			}
		}
		if len(a.any) > 0 {
			names := make([]string, len(a.any))
			for i, n := range a.any {
				names[i] = "`" + short(n) + "`"
			}
			notes = append(notes, strings.Join(names, ", "))
		}
		if note != "" {
			notes = append([]string{note}, notes...)
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", d.Name(), answer, strings.Join(notes, "; "))
	}
}
