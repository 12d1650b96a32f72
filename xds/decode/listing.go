package decode

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"
)

// RunPaths lists, for the tests that hold it to its word, what the table runs: message.field of every field that can be flipped, and
// message.field=VALUE of every enum value beside the one that is meant by saying nothing. true marks those that hold other messages,
// which are flipped with what is in them; one in which nothing is run has nothing to flip and is left out. A message without fields, and
// the type of what an Any holds, are flipped by themselves.
func RunPaths() map[string]bool {
	all := map[string]bool{}
	listRun("envoy.config.bootstrap.v3.Bootstrap", "", all, map[string]bool{})
	for _, root := range []string{"envoy.config.route.v3.RouteConfiguration", "envoy.config.endpoint.v3.ClusterLoadAssignment"} {
		listRun(root, "", all, map[string]bool{})
	}
	return all
}

// listRun adds what is run in a message and below, and says whether anything is.
func listRun(message, word string, all, seen map[string]bool) bool {
	key := message
	if word != "" {
		key += "@" + word
	}
	if found, ok := seen[key]; ok {
		return found
	}
	seen[key] = true // what holds itself is judged by the rest
	t, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(message))
	if err != nil {
		return false
	}
	list := t.Descriptor().Fields()
	found := list.Len() == 0 // a message without fields says something by being there
	for i := range list.Len() {
		d := list.Get(i)
		a := lookup(message, word)[string(d.Name())]
		if a.answer != isRun {
			continue
		}
		path := key + "." + string(d.Name())
		v := d
		if d.IsMap() {
			v = d.MapValue()
		}
		switch {
		case v.Enum() != nil:
			for name, value := range a.values {
				if value.answer == isRun && (d.HasPresence() || v.Enum().Values().ByName(protoreflect.Name(name)).Number() != 0) {
					all[path+"="+name] = false
					found = true
				}
			}
		case v.Message() == nil || leaf(v.Message()):
			all[path] = false
			found = true
		default:
			names, inside := a.any, true // which message an Any holds is something to flip
			if v.Message().FullName() != "google.protobuf.Any" {
				names, inside = []string{string(v.Message().FullName())}, false
			}
			for _, name := range names {
				inside = listRun(name, a.table, all, seen) || inside
			}
			if inside {
				all[path] = true
				found = true
			}
		}
	}
	seen[key] = found
	return found
}

// RunPathsIn gives the paths of RunPaths that are set in a message, each with all that is set there.
func RunPathsIn(m proto.Message) map[string]string {
	all := map[string]string{}
	runIn(m.ProtoReflect(), "", all)
	return all
}

func runIn(m protoreflect.Message, word string, all map[string]string) {
	name := string(m.Descriptor().FullName())
	key := name
	if word != "" {
		key += "@" + word
	}
	m.Range(func(d protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		a := lookup(name, word)[string(d.Name())]
		if a.answer != isRun {
			return true
		}
		path := key + "." + string(d.Name())
		each := func(d protoreflect.FieldDescriptor, v protoreflect.Value) {
			switch {
			case d.Enum() != nil:
				all[path+"="+string(d.Enum().Values().ByNumber(v.Enum()).Name())] += "x"
			case d.Message() == nil:
				all[path] += v.String() + "\x00"
			default:
				all[path] += string(marshal(v.Message().Interface())) + "\x00"
				if any, ok := v.Message().Interface().(*anypb.Any); ok {
					if inner, err := any.UnmarshalNew(); err == nil {
						runIn(inner.ProtoReflect(), a.table, all)
					}
				} else if !leaf(d.Message()) {
					runIn(v.Message(), a.table, all)
				}
			}
		}
		switch {
		case d.IsMap():
			v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				all[path] += k.String() + "\x00"
				each(d.MapValue(), v)
				return true
			})
		case d.IsList():
			for i := range v.List().Len() {
				each(d, v.List().Get(i))
			}
		default:
			each(d, v)
		}
		return true
	})
}
