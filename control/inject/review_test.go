package inject

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func reviewOf(object string) []byte {
	return fmt.Appendf(nil, `{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "u", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "namespace": "shop", "operation": "CREATE", "object": %s}}`, object)
}

// An answer has the question's uid, a patch that can be carried out, or a reason.
func TestReview(t *testing.T) {
	w := worldOf(t, "")
	for _, c := range []struct {
		object, why, skipped string
		patched              bool
	}{
		{string(podWith("", "")), "", "", true},
		{string(podWith("", `, "hostNetwork": true`)), "", "it is on its node's network", false},
		{string(podWith(`, "annotations": {"sidecar.istio.io/logLevel": "loud"}`, "")), "no sidecar can be put in: metadata.annotations[\"sidecar.istio.io/logLevel\"]", "", false},
		{`{"metadata": []}`, "no sidecar can be put in: is no Pod", "", false},
		{`null`, "no sidecar can be put in: is no Pod", "", false},
	} {
		q, err := ReadReview(reviewOf(c.object))
		if err != nil {
			t.Fatal(err)
		}
		a, skipped := q.Decide(w)
		text, err := q.Answer(a)
		var r Review
		if err != nil || json.Unmarshal(text, &r) != nil || r.APIVersion != reviewVersion || r.Kind != "AdmissionReview" || r.Response.UID != "u" {
			t.Fatalf("%s %v", text, err)
		}
		why := ""
		if r.Response.Status != nil {
			why = r.Response.Status.Message
		}
		if r.Response.Allowed != (c.why == "") || !strings.HasPrefix(why, c.why) || !strings.HasPrefix(skipped, c.skipped) || (r.Response.Patch != nil) != c.patched || (r.Response.PatchType == "JSONPatch") != c.patched {
			t.Errorf("%s: %s, skipped %q", c.object, text, skipped)
		}
	}
	for body, want := range map[string]string{
		"": "is no AdmissionReview", "[]": "is no AdmissionReview", "{}": "want an AdmissionReview of admission.k8s.io/v1",
		`{"apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview", "request": {"uid": "u"}}`: "want an AdmissionReview of admission.k8s.io/v1",
		`{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}`:                               "asks nothing",
		`{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {}}`:                "asks nothing",
	} {
		if _, err := ReadReview([]byte(body)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v: want %q", body, err, want)
		}
	}
}

// Kubernetes passes 4,096 bytes of warnings on.
func TestWarningsAreShort(t *testing.T) {
	q := &Request{UID: "u"}
	a := Allowed()
	for range 100 {
		a.Warnings = append(a.Warnings, strings.Repeat("é", 300))
	}
	q.Answer(a)
	sum := 0
	for _, w := range a.Warnings {
		if sum += len(w); len(w) > 256 || !strings.HasSuffix(w, "é …") {
			t.Fatalf("%q", w)
		}
	}
	if sum > 4096 || sum < 3500 {
		t.Errorf("%d bytes", sum)
	}
}

// A review may be anything; what is let through with a patch is a pod with a sidecar, once.
func FuzzReview(f *testing.F) {
	for _, o := range []string{string(podWith("", "")), string(podWith(`, "annotations": {"proxy.istio.io/config": "{}", "sidecar.istio.io/userVolume": "{}"}`, `, "initContainers": [{"name": "istio-init"}]`)),
		`{"Spec": {"Containers": [{"NAME": "a", "livenessprobe": {"httpGet": {}}}]}}`, `{"spec": {"containers": [{"name": "istio-proxy", "ports": [{"containerPort": 15090}], "env": [{"name": "POD_NAME"}], "securityContext": {"runAsUser": 5}}]}}`} {
		f.Add(reviewOf(o))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		q, err := ReadReview(body)
		if err != nil {
			return
		}
		w := worldOf(t, "nativeSidecar: true")
		a, _ := q.Decide(w)
		text, err := q.Answer(a)
		if err != nil || !json.Valid(text) {
			t.Fatalf("%s %v", text, err)
		}
		if a.Patch == nil {
			return
		}
		var steps []Operation
		if err := json.Unmarshal(a.Patch, &steps); err != nil {
			t.Fatal(err)
		}
		again(t, patched(t, q.Object, steps), w)
	})
}
