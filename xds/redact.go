package xds

import (
	annotations "github.com/cncf/xds/go/udpa/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
)

// redacted stands where a configuration holds what nobody is to see.
const redacted = "[redacted]"

// redact takes keys and passwords out of a message that is to be shown: all that Envoy's .proto files call sensitive.
func redact(m protoreflect.Message) {
	if a, ok := m.Interface().(*anypb.Any); ok {
		// What the program does not know is nothing that it holds keys for.
		if inner, err := a.UnmarshalNew(); err == nil {
			redact(inner.ProtoReflect())
			if wire, err := proto.Marshal(inner); err == nil {
				a.Value = wire
			}
		}
		return
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		each := redact
		if sensitive, _ := proto.GetExtension(f.Options(), annotations.E_Sensitive).(bool); sensitive {
			if f.Message() == nil {
				blank(m, f)
				return true
			}
			each = blankAll
		}
		switch {
		case f.IsMap():
			if f.MapValue().Message() != nil {
				v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool { each(v.Message()); return true })
			}
		case f.Message() == nil:
		case f.IsList():
			for i := range v.List().Len() {
				each(v.List().Get(i).Message())
			}
		default:
			each(v.Message())
		}
		return true
	})
}

// blankAll takes everything out of a message, however deep.
func blankAll(m protoreflect.Message) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if f.Message() != nil && !f.IsMap() && !f.IsList() {
			blankAll(v.Message())
		} else {
			blank(m, f)
		}
		return true
	})
}

// blank takes one field out; where there was text, it says so.
func blank(m protoreflect.Message, f protoreflect.FieldDescriptor) {
	switch {
	case f.IsList() || f.IsMap():
		m.Clear(f)
	case f.Kind() == protoreflect.StringKind:
		m.Set(f, protoreflect.ValueOfString(redacted))
	case f.Kind() == protoreflect.BytesKind:
		m.Set(f, protoreflect.ValueOfBytes([]byte(redacted)))
	default:
		m.Clear(f)
	}
}
