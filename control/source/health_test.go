package source

import (
	"testing"
	"time"
)

// TestHealth reads what a status says of a workload, from a file and from an API server, writes it, and reads it again.
func TestHealth(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		annotation, conditions string
		want                   *Health
		well                   bool
	}{
		{"", ``, nil, true},
		{`"true"`, ``, nil, false},
		{`"true"`, `{"type": "Other", "status": "True"}`, nil, false},
		{`"true"`, `{"type": "Other", "status": "False"}, {"type": "Healthy", "status": "True", "lastTransitionTime": "2026-01-02T03:04:05Z"}`, &Health{Well: true, Since: since}, true},
		{`"true"`, `{"type": "Healthy", "status": "False", "message": "no answer", "lastTransitionTime": "2026-01-02T03:04:05Z"}`, &Health{Because: "no answer", Since: since}, false},
		{`"true"`, `{"type": "Healthy", "status": "Unknown"}`, &Health{}, false},
		{`"false"`, `{"type": "Healthy", "status": "False"}`, &Health{}, true},
		{"", `{"type": "Healthy", "status": "False"}`, &Health{}, true},
	} {
		text := `{"apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry", "metadata": {"name": "a", "namespace": "b"`
		if c.annotation != "" {
			text += `, "annotations": {"` + HealthAnnotation + `": ` + c.annotation + `}`
		}
		text += `}, "spec": {"address": "10.0.0.1"}, "status": {"conditions": [` + c.conditions + `]}}`
		file := Read([]byte(text), Origin{})
		served, err := ReadServed(WorkloadEntry, []byte(text), Origin{})
		if err != nil || len(file.Objects) != 1 || served.Object == nil {
			t.Fatalf("%s: %v, %v, %v", text, err, file.Problems, served.Problems)
		}
		again, err := Manifest(served.Object)
		if err != nil {
			t.Fatal(err)
		}
		for from, o := range map[string]*Object{"a file": file.Objects[0], "a server": served.Object, "itself": Read(again, Origin{}).Objects[0]} {
			if o.Well() != c.well || (o.Health == nil) != (c.want == nil) || c.want != nil && (o.Health.Well != c.want.Well || o.Health.Because != c.want.Because || !o.Health.Since.Equal(c.want.Since)) {
				t.Errorf("%s from %s: well %v, %+v", text, from, o.Well(), o.Health)
			}
		}
	}
	is := func(status string) string {
		return Read([]byte(`{"apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry", "metadata": {"name": "a", "namespace": "b"}, "spec": {"address": "10.0.0.1"}, "status": {"conditions": [{"type": "Healthy", "status": "`+status+`"}]}}`), Origin{}).Objects[0].Revision
	}
	if is("True") == is("False") {
		t.Error("the revision does not say whether it is well")
	}
}
