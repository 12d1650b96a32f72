package decode

import (
	"maps"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// roots are the messages that reach the program by themselves.
var roots = []string{
	"envoy.config.bootstrap.v3.Bootstrap",
	"envoy.config.listener.v3.Listener",
	"envoy.config.cluster.v3.Cluster",
	"envoy.config.route.v3.RouteConfiguration",
	"envoy.config.route.v3.ScopedRouteConfiguration",
	"envoy.config.endpoint.v3.ClusterLoadAssignment",
	"envoy.extensions.transport_sockets.tls.v3.Secret",
	"envoy.config.core.v3.TypedExtensionConfig",
	"envoy.service.runtime.v3.Runtime",
}

// TestEveryFieldHasAnAnswer walks the descriptors from the roots: every field of every message that is read, and every value of every
// enum, is in the table, and the table names nothing that is not there.
func TestEveryFieldHasAnAnswer(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range roots {
		walkTable(t, seen, r, "", r)
	}
	for name := range index() {
		if !seen[name] {
			t.Errorf("%s is in the table and cannot be reached", name)
		}
	}
}

func walkTable(t *testing.T, seen map[string]bool, message, word, path string) {
	key := message
	if word != "" {
		key += "@" + word
	}
	if seen[key] {
		return
	}
	seen[key] = true
	answers := lookup(message, word)
	if answers == nil {
		t.Errorf("%s: no answers for %s", path, key)
		return
	}
	mt, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(message))
	if err != nil {
		t.Errorf("%s: %s is not linked into the program", path, message)
		return
	}
	d := mt.Descriptor()
	left := maps.Clone(answers)
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		name := string(f.Name())
		path := path + "." + name
		a, ok := left[name]
		delete(left, name)
		switch {
		case !ok || a.answer == unknown:
			t.Errorf("%s: no answer", path)
		case a.answer != isRun && a.why == "":
			t.Errorf("%s: no reason", path)
		case a.answer == isRun && len(a.except) > 0, a.answer == isHarmless && len(a.except) > 0:
			t.Errorf("%s: exceptions from no refusal", path)
		case a.answer == isRun:
			walkTableField(t, seen, f, a, path)
		}
	}
	for name := range left {
		t.Errorf("%s: %s has no field %s", path, message, name)
	}
}

func walkTableField(t *testing.T, seen map[string]bool, f protoreflect.FieldDescriptor, a field, path string) {
	if f.IsMap() {
		f = f.MapValue()
	}
	switch {
	case f.Enum() != nil:
		left := maps.Clone(a.values)
		for i := range f.Enum().Values().Len() {
			v := f.Enum().Values().Get(i)
			name := string(v.Name())
			if left[name].answer == unknown {
				t.Errorf("%s: no answer for the value %s", path, name)
			}
			if v.Number() == 0 && !f.HasPresence() && left[name].answer == isRefused {
				t.Errorf("%s: %s is what is meant by saying nothing and cannot be refused", path, name)
			}
			delete(left, name)
		}
		for name := range left {
			t.Errorf("%s: there is no value %s", path, name)
		}
	case len(a.values) > 0:
		t.Errorf("%s: values, but it is no enum", path)
	case f.Message() == nil || leaf(f.Message()):
	case f.Message().FullName() == "google.protobuf.Any":
		if len(a.any) == 0 && a.filter == inNoFilter {
			t.Errorf("%s: nothing may be in it", path)
		}
		for _, name := range a.any {
			walkTable(t, seen, name, a.table, path+"("+name+")")
		}
	default:
		walkTable(t, seen, string(f.Message().FullName()), a.table, path)
	}
}

// TestReasonsReadWell keeps the page of reasons uniform.
func TestReasonsReadWell(t *testing.T) {
	for name, fields := range index() {
		for f, a := range fields {
			if strings.HasSuffix(a.why, ".") || strings.Contains(a.why, "  ") {
				t.Errorf("%s.%s: %q", name, f, a.why)
			}
		}
	}
}
