package peermetadata

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
)

// said is what a node with this metadata says of itself.
func said(t testing.TB, metadata string, labels ...string) []byte {
	t.Helper()
	m := &structpb.Struct{}
	if err := protojson.Unmarshal([]byte(metadata), m); err != nil {
		t.Fatal(err)
	}
	wire, err := proto.Marshal(&corev3.Node{Metadata: m, Locality: &corev3.Locality{Region: "r", Zone: "z"}})
	if err != nil {
		t.Fatal(err)
	}
	return introduce(wire, labels)
}

const node = `{"NAME": "p", "NAMESPACE": "n", "WORKLOAD_NAME": "w", "CLUSTER_ID": "c", "OWNER": "kubernetes://apis/apps/v1/namespaces/n/deployments/w", "SECRET": "s", "PROXY_CONFIG": {"a": "b"},
"LABELS": {"app": "a", "app.kubernetes.io/name": "b", "version": "v", "service.istio.io/canonical-name": "s", "service.istio.io/canonical-revision": "r", "role": "x", "tier": "y"}}`

// What one process says another understands, and it says no more of itself than that.
func TestIntroductions(t *testing.T) {
	value := said(t, node, "role", "none")
	for range 20 {
		if again := said(t, node, "role", "none"); string(again) != string(value) {
			t.Fatalf("%s\n%s", value, again)
		}
	}
	if plain, _ := base64.StdEncoding.DecodeString(string(value)); strings.Contains(string(plain), "SECRET") || strings.Contains(string(plain), "PROXY_CONFIG") || strings.Contains(string(plain), "tier") {
		t.Errorf("more is said than peers look at: %q", plain)
	}
	for _, given := range [][]byte{value, []byte(strings.TrimRight(string(value), "="))} {
		w, ok := parse(given, []string{"role", "tier"})
		if !ok {
			t.Fatalf("%s is not understood", given)
		}
		want := "type=deployment,workload=w,name=p,cluster=c,namespace=n,service=s,revision=r,app=b,version=v,region=r,availability_zone=z,labels[]role=x"
		s := w.state("downstream")
		if s.text.Value != want || s.text.Name != "downstream_peer_obj" || s.object.Name != "downstream_peer" {
			t.Errorf("%s: %s\nwant %s", s.text.Name, s.text.Value, want)
		}
		if labels, _ := s.object.Fields["labels"].(map[string]any); labels["role"] != "x" || s.object.Fields["workload"] != "w" {
			t.Errorf("expressions see %v", s.object.Fields)
		}
	}
}

func TestKinds(t *testing.T) {
	for owner, want := range map[string]string{
		"kubernetes://apis/apps/v1/namespaces/n/deployments/w": "deployment",
		"kubernetes://apis/batch/v1/namespaces/n/cronjobs/w":   "cronjob",
		"kubernetes://apis/v1/namespaces/n/pods/w":             "pod",
		"kubernetes://apis/apps/v1/namespaces/n/daemonsets/w":  "",
		"s/w": "", "w": "", "": "", "deployments/w": "",
	} {
		if got := kindOf(owner, "w"); got != want {
			t.Errorf("%q: %q, want %q", owner, got, want)
		}
	}
}

// A peer is believed what it says now, whoever has called itself the same before; and many of them take no more memory than there is for them.
func TestAcquaintances(t *testing.T) {
	var a acquaintances
	w := said(t, node)
	first := a.find([]byte("id"), w, nil)
	if !first.good || a.find([]byte("id"), w, nil) != first {
		t.Error("a peer is not remembered")
	}
	other := a.find([]byte("id"), said(t, `{"WORKLOAD_NAME": "other"}`), nil)
	if !strings.HasPrefix(other.up.text.Value, "workload=other,") {
		t.Errorf("a peer is taken for %s", other.up.text.Value)
	}
	for i := range 3 * maxHeard {
		a.find(fmt.Append(nil, i), w, nil)
		if len(a.byID) > maxHeard {
			t.Fatalf("%d are remembered", len(a.byID))
		}
	}
	for what, value := range map[string][]byte{"no base64": []byte("!"), "no message": []byte("AAAA"), "long": []byte(strings.Repeat("A", maxValue+4))} {
		n := len(a.byID)
		if a.find([]byte(what), value, nil).good {
			t.Errorf("%s is understood", what)
		}
		if what == "long" && len(a.byID) != n {
			t.Errorf("%s is remembered", what)
		}
	}
}

// FuzzParse reads what anybody may write into a header.
func FuzzParse(f *testing.F) {
	f.Add("ChIKDVdPUktMT0FEX05BTUUSAxoBdg==", "role")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, value, label string) {
		w, ok := parse([]byte(value), []string{label})
		if s := w.state("upstream"); ok && s.object.Object == "" {
			t.Errorf("%q: no object", value)
		}
	})
}
