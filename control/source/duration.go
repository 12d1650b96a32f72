package source

import (
	"fmt"
	"time"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/structpb"
)

// Istio's authors write times as Go does, 1m30s and 100ms. Protobuf's JSON knows seconds only, so the others are put into its form where a field is one of time.

const durationName = "google.protobuf.Duration"

// goDuration says whether a word may be a time that is not in protobuf's form. It is asked of every word that is read.
func goDuration(s string) bool {
	if len(s) < 2 || len(s) > 32 || !(s[0] >= '0' && s[0] <= '9' || s[0] == '-' || s[0] == '+' || s[0] == '.') {
		return false
	}
	switch last := s[len(s)-1]; {
	case last == 'm' || last == 'h':
		return true
	case last != 's':
		return false
	}
	return !numeral(s[:len(s)-1])
}

// protoDuration is a time in protobuf's form; false: it is none.
func protoDuration(s string) (string, bool) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return "", false
	}
	sign := ""
	if d < 0 {
		sign, d = "-", -d
	}
	return fmt.Sprintf("%s%d.%09ds", sign, d/time.Second, d%time.Second), true
}

// durations finds the times in a tree that is a message, and what is to be written instead of them.
func durations(n *yaml.Node, m protoreflect.MessageDescriptor, instead map[*yaml.Node]string, depth int) {
	n = real(n)
	if n == nil || depth > maxDepth {
		return
	}
	if m.FullName() == durationName {
		if s, is := protoDuration(n.Value); is && n.Kind == yaml.ScalarNode {
			instead[n] = s
		}
		return
	}
	if n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		v := real(n.Content[i+1])
		if n.Content[i].Tag == "!!merge" {
			durations(v, m, instead, depth+1)
			for _, item := range items(v) {
				durations(item, m, instead, depth+1)
			}
			continue
		}
		f := fieldOf(m, n.Content[i].Value)
		switch {
		case f == nil:
		case f.IsMap():
			if value := f.MapValue().Message(); value != nil && v.Kind == yaml.MappingNode {
				for j := 1; j < len(v.Content); j += 2 {
					durations(v.Content[j], value, instead, depth+1)
				}
			}
		case f.Message() == nil:
		case f.IsList():
			for _, item := range items(v) {
				durations(item, f.Message(), instead, depth+1)
			}
		default:
			durations(v, f.Message(), instead, depth+1)
		}
	}
}

// fieldOf finds a field by either of its names.
func fieldOf(m protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	if f := m.Fields().ByJSONName(name); f != nil {
		return f
	}
	return m.Fields().ByTextName(name)
}

// patchDurations puts the times in a patch's value into protobuf's form, in a copy.
func patchDurations(value *structpb.Struct, m protoreflect.MessageDescriptor) *structpb.Struct {
	out := proto.CloneOf(value)
	structDurations(out, m, 0)
	return out
}

func structDurations(s *structpb.Struct, m protoreflect.MessageDescriptor, depth int) {
	if depth > maxDepth {
		return
	}
	if m.FullName() == "google.protobuf.Any" {
		t, err := protoregistry.GlobalTypes.FindMessageByURL(s.GetFields()["@type"].GetStringValue())
		if err != nil {
			return
		}
		m = t.Descriptor()
	}
	one := func(v *structpb.Value, m protoreflect.MessageDescriptor) {
		if m.FullName() != durationName {
			if inner := v.GetStructValue(); inner != nil {
				structDurations(inner, m, depth+1)
			}
		} else if text, is := v.GetKind().(*structpb.Value_StringValue); is {
			if s, is := protoDuration(text.StringValue); is {
				text.StringValue = s
			}
		}
	}
	for name, v := range s.GetFields() {
		f := fieldOf(m, name)
		switch {
		case f == nil:
		case f.IsMap():
			if value := f.MapValue().Message(); value != nil {
				for _, v := range v.GetStructValue().GetFields() {
					one(v, value)
				}
			}
		case f.Message() == nil:
		case f.IsList():
			for _, v := range v.GetListValue().GetValues() {
				one(v, f.Message())
			}
		default:
			one(v, f.Message())
		}
	}
}
