package xds

import (
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/cncf/xds/go/udpa/annotations"
	udpav1 "github.com/cncf/xds/go/udpa/type/v1"
	xdsv3 "github.com/cncf/xds/go/xds/type/v3"
)

// hidden stands for what is not shown, as in Envoy.
const hidden = "[redacted]"

// redact hides what the .proto files call sensitive, private keys above all, wherever it is in a message.
func redact(m protoreflect.Message) {
	if a, ok := m.Interface().(*anypb.Any); ok {
		if inner, err := a.UnmarshalNew(); err == nil {
			redact(inner.ProtoReflect())
			if wire, err := proto.Marshal(inner); err == nil {
				a.Value = wire
			}
		}
		return
	}
	switch s := m.Interface().(type) {
	case *udpav1.TypedStruct:
		redactStruct(s.GetTypeUrl(), s.GetValue())
	case *xdsv3.TypedStruct:
		redactStruct(s.GetTypeUrl(), s.GetValue())
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		sensitive, _ := proto.GetExtension(f.Options(), annotations.E_Sensitive).(bool)
		within := redact
		if sensitive {
			within = hideAll
		}
		switch {
		case f.IsMap():
			if f.MapValue().Message() != nil {
				v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
					within(v.Message())
					return true
				})
			}
		case f.IsList() && f.Message() != nil:
			for i := range v.List().Len() {
				within(v.List().Get(i).Message())
			}
		case f.Message() != nil:
			within(v.Message())
		case sensitive:
			hide(m, f)
		}
		return true
	})
}

// redactStruct redacts a message that was written as a JSON object. Of what no message can be made all is hidden, for nobody knows what is in
// it.
func redactStruct(url string, value *structpb.Struct) {
	if value == nil {
		return
	}
	t, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(url[strings.LastIndexByte(url, '/')+1:]))
	if err == nil {
		m := t.New()
		var text []byte
		if text, err = protojson.Marshal(value); err == nil {
			if err = (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(text, m.Interface()); err == nil {
				redact(m)
				if text, err = (protojson.MarshalOptions{UseProtoNames: true}).Marshal(m.Interface()); err == nil {
					err = protojson.Unmarshal(text, value)
				}
			}
		}
	}
	if err != nil {
		value.Fields = map[string]*structpb.Value{hidden: structpb.NewStringValue(hidden)}
	}
}

// hideAll hides everything in a message.
func hideAll(m protoreflect.Message) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsMap():
			m.Clear(f)
		case f.IsList() && f.Message() != nil:
			for i := range v.List().Len() {
				hideAll(v.List().Get(i).Message())
			}
		case f.Message() != nil:
			hideAll(v.Message())
		default:
			hide(m, f)
		}
		return true
	})
}

func hide(m protoreflect.Message, f protoreflect.FieldDescriptor) {
	switch {
	case f.IsList():
		m.Clear(f)
	case f.Kind() == protoreflect.StringKind:
		m.Set(f, protoreflect.ValueOfString(hidden))
	case f.Kind() == protoreflect.BytesKind:
		m.Set(f, protoreflect.ValueOfBytes([]byte(hidden)))
	default:
		m.Clear(f)
	}
}
