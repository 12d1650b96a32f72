package translate

import (
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
)

// merge puts a patch into a message as Istio does: what is set in the patch counts, lists grow at their end (or, replacing, are the patch's), and
// what is one thing for people, such as a duration, is taken as a whole. Two packed messages of one type are merged as what they are.
func merge(into, patch protoreflect.Message, replacing bool) {
	patch.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsList():
			if replacing {
				into.Clear(f)
			}
			list := into.Mutable(f).List()
			for i := range v.List().Len() {
				list.Append(copyOf(f, v.List().Get(i)))
			}
		case f.IsMap():
			m := into.Mutable(f).Map()
			v.Map().Range(func(k protoreflect.MapKey, one protoreflect.Value) bool {
				if f.MapValue().Message() != nil && m.Has(k) && !whole(f.MapValue().Message()) {
					mergeMessage(m.Mutable(k).Message(), one.Message(), replacing)
				} else {
					m.Set(k, copyOf(f.MapValue(), one))
				}
				return true
			})
		case f.Message() != nil && into.Has(f) && !whole(f.Message()):
			mergeMessage(into.Mutable(f).Message(), v.Message(), replacing)
		default:
			into.Set(f, copyOf(f, v))
		}
		return true
	})
}

// mergeMessage does so with two messages of a field, which may be packed.
func mergeMessage(into, patch protoreflect.Message, replacing bool) {
	a, packed := into.Interface().(*anypb.Any)
	if !packed {
		merge(into, patch, replacing)
		return
	}
	b := patch.Interface().(*anypb.Any)
	x, err := a.UnmarshalNew()
	if err == nil && a.TypeUrl == b.TypeUrl {
		var y proto.Message
		if y, err = b.UnmarshalNew(); err == nil {
			merge(x.ProtoReflect(), y.ProtoReflect(), replacing)
			a.Value = encode(x)
			return
		}
	}
	a.TypeUrl, a.Value = b.TypeUrl, b.Value
}

// whole tells whether a message is one thing: those of protobuf's own are, but what is packed.
func whole(d protoreflect.MessageDescriptor) bool {
	name := string(d.FullName())
	return strings.HasPrefix(name, "google.protobuf.") && name != "google.protobuf.Any"
}

// copyOf is a value that nobody else has.
func copyOf(f protoreflect.FieldDescriptor, v protoreflect.Value) protoreflect.Value {
	if f.Message() == nil {
		return v
	}
	return protoreflect.ValueOfMessage(proto.Clone(v.Message().Interface()).ProtoReflect())
}
