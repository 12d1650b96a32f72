package kube_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/control/source/kube"
	test "github.com/weftmesh/weft/test/kube"
)

// Entries are made, changed and taken away in an API server, with what others have written left as it is, and by nobody who has not read what is there.
func TestEntriesOfMachines(t *testing.T) {
	c := test.Start(t)
	c.Install()
	c.Apply(string(kube.Role("weftd", "istio-system", kube.Duties{Workloads: true})))
	c.Apply("{apiVersion: networking.istio.io/v1, kind: WorkloadGroup, metadata: {name: vm, namespace: a}, spec: {template: {}}}")
	s, err := kube.Connect(c.KubeconfigOf("istio-system", "weftd"), "", "test")
	if err != nil {
		t.Fatal(err)
	}
	e := kube.Entries{Server: s, Namespace: "istio-system", Log: slog.New(slog.DiscardHandler)}
	const name = "{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {name: vm-10.0.0.1, namespace: a}}"
	key := source.Key{Kind: source.WorkloadEntry, Namespace: "a", Name: "vm-10.0.0.1"}
	change := func(decide func(*source.Object) *source.Object) {
		t.Helper()
		began := time.Now()
		if err := e.Change(t.Context(), key, decide); err != nil {
			t.Fatal(err)
		}
		t.Logf("after %v", time.Since(began))
	}
	says := func() (text string) {
		t.Helper()
		if err := e.Change(t.Context(), key, func(was *source.Object) *source.Object {
			text = "none"
			if was != nil {
				text = was.Annotations["istio.io/connectedAt"]
				if was.Health != nil {
					text += " " + was.Health.Because
				}
			}
			return was
		}); err != nil {
			t.Fatal(err)
		}
		return text
	}
	since := time.Unix(1e9, 0)
	change(func(was *source.Object) *source.Object {
		if was != nil {
			t.Errorf("there is one: %+v", was)
		}
		return &source.Object{Key: key, Annotations: map[string]string{source.GroupAnnotation: "vm", "istio.io/connectedAt": "one"}, Spec: &networking.WorkloadEntry{Address: "10.0.0.1"}, Health: &source.Health{Because: "it sleeps", Since: since}}
	})
	if got := says(); got != "one it sleeps" {
		t.Errorf("it says %q", got)
	}
	c.ApplyAs("ann", strings.Replace(name, "namespace: a}", "namespace: a, annotations: {ann: hers}}", 1))
	tries := 0
	change(func(was *source.Object) *source.Object {
		if tries++; tries == 1 { // somebody writes meanwhile
			c.ApplyAs("ann", strings.Replace(name, "namespace: a}", "namespace: a, annotations: {ann: hers, istio.io/other: x}}", 1))
		}
		is := *was
		is.Annotations = map[string]string{source.GroupAnnotation: "vm", "istio.io/disconnectedAt": "two"}
		is.Health = &source.Health{Well: true, Since: since}
		return &is
	})
	var o struct {
		Metadata struct {
			Annotations     map[string]string
			OwnerReferences []struct{ Kind, Name string }
		}
		Status struct {
			Conditions []struct{ Type, Status string }
		}
	}
	c.Get(name, &o)
	if a := o.Metadata.Annotations; tries != 2 || a["ann"] != "hers" || a["istio.io/disconnectedAt"] != "two" || a["istio.io/connectedAt"] != "" || len(o.Metadata.OwnerReferences) != 1 || len(o.Status.Conditions) != 1 || o.Status.Conditions[0].Status != "True" {
		t.Errorf("after %d tries it is %+v", tries, o)
	}
	change(func(was *source.Object) *source.Object {
		is := *was
		is.Health = nil
		return &is
	})
	o.Status.Conditions = nil
	if c.Get(name, &o); len(o.Status.Conditions) > 0 {
		t.Errorf("its status says %+v: want nothing", o.Status)
	}
	change(func(*source.Object) *source.Object { return nil })
	if got := says(); got != "none" {
		t.Errorf("it says %q", got)
	}
	// Where nothing can be made that is said, and what is missing.
	none := key
	none.Namespace = "none"
	make := func(was *source.Object) *source.Object {
		return &source.Object{Key: none, Annotations: map[string]string{source.GroupAnnotation: "vm"}, Spec: &networking.WorkloadEntry{Address: "10.0.0.1"}}
	}
	if err := e.Change(t.Context(), none, make); err == nil || !strings.Contains(err.Error(), "namespace none") {
		t.Errorf("in no namespace: %v", err)
	}
	c.Account("a", "poor")
	if s, err = kube.Connect(c.KubeconfigOf("a", "poor"), "", "test"); err != nil {
		t.Fatal(err)
	}
	e.Server = s
	if err := e.Change(t.Context(), key, make); err == nil || !strings.Contains(err.Error(), "workloadentries/status") {
		t.Errorf("without rights: %v", err)
	}
	c.Stop()
	if err := e.Change(t.Context(), key, make); err == nil || errors.Is(err, t.Context().Err()) {
		t.Errorf("without a server: %v", err)
	}
}
