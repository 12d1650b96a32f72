package source

import (
	"fmt"
	"strings"
	"testing"
)

// TestFor reads what is there as control planes of several revisions do, from a file and as an API server tells it.
func TestFor(t *testing.T) {
	const good, bad = `{hosts: [a], http: [{route: [{destination: {host: a}}]}]}`, `{hots: [a]}`
	of := func(kind, name, revision, spec string) string {
		labels := ""
		if revision != "" {
			labels = ", labels: {istio.io/rev: " + revision + "}"
		}
		return fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: %s, namespace: x%s}\nspec: %s\n---\n", map[string]string{"Service": "v1"}[kind]+map[string]string{"VirtualService": "networking.istio.io/v1"}[kind], kind, name, labels, spec)
	}
	text := of("VirtualService", "any", "", good) + of("VirtualService", "blue", "blue", good) + of("VirtualService", "green", "green", good) +
		of("VirtualService", "bad-blue", "blue", bad) + of("VirtualService", "bad-green", "green", bad) + of("VirtualService", "bad-any", "", bad) +
		of("Service", "other", "green", "{ports: [{port: 80}]}")
	c := Read([]byte(text), Origin{Source: "test"})
	var b Batch
	for _, o := range c.Objects {
		b.Changes = append(b.Changes, Change{o.Key, o})
	}
	b.Problems = c.Problems
	for revision, want := range map[string]string{
		"":      "any blue green other bad-blue bad-green bad-any",
		"blue":  "any blue -green other bad-blue bad-any",
		"green": "any -blue green other bad-green bad-any",
		"red":   "any -blue -green other bad-any",
	} {
		var got []string
		now := b.For(revision)
		for _, c := range now.Changes {
			sign := ""
			if c.Object == nil {
				sign = "-"
			}
			got = append(got, sign+c.Name)
		}
		for _, p := range now.Problems {
			got = append(got, p.Name)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q reads %s: want %s", revision, strings.Join(got, " "), want)
		}
	}
	if b.Changes[2].Object == nil {
		t.Error("what was given is another")
	}
	s, err := ReadServed(VirtualService, []byte(`{"metadata":{"name":"a","namespace":"x","labels":{"istio.io/rev":"blue"}},"spec":{"hots":["a"]}}`), Origin{Source: "test"})
	if err != nil || len(s.Problems) != 1 || s.Problems[0].Revision != "blue" || s.Revision != "blue" {
		t.Errorf("an API server's: %+v, %v", s, err)
	}
}
