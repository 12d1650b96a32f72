package decode

import (
	"fmt"
	"reflect"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

// told is metadata with one value.
func told(t *testing.T, value string) *corev3.Metadata {
	t.Helper()
	s, err := structpb.NewStruct(map[string]any{"config": value, "services": []any{map[string]any{"name": "a"}}})
	if err != nil {
		t.Fatal(err)
	}
	return &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{"istio": s}}
}

// TestMetadataIsRecalled reads what resources say alike as one value, keeps apart what differs, also a message of another kind with the same bytes, and
// does not remember without a bound.
func TestMetadataIsRecalled(t *testing.T) {
	d := New(nil, Options{})
	one := d.session().metadata(told(t, "a"))
	again := d.session().metadata(told(t, "a"))
	other := d.session().metadata(told(t, "b"))
	same := func(a, b any) bool { return reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer() }
	if !same(one, again) || one["istio"]["config"] != "a" {
		t.Errorf("%v and %v", one, again)
	}
	if same(one, other) || other["istio"]["config"] != "b" {
		t.Errorf("%v and %v", one, other)
	}
	if d.session().metadata(nil) != nil || d.session().metadata(&corev3.Metadata{}) != nil {
		t.Error("there is metadata where none is said")
	}
	if m := d.session().object(nil); m == nil || len(m) != 0 {
		t.Errorf("no object is %v", m)
	}
	for i := range 5 * maxRecent {
		d.session().metadata(told(t, fmt.Sprint(i)))
		if n := len(d.recent.now) + len(d.recent.before); n > 2*maxRecent {
			t.Fatalf("%d values are remembered", n)
		}
		if i%100 == 0 && !same(d.session().metadata(told(t, "kept")), d.session().metadata(told(t, "kept"))) {
			t.Fatal("what is said all the time is read anew")
		}
	}
}
