package decode

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
)

// walk visits everything that is set in a message and notes what the table does not run.
func (s *session) walk(m protoreflect.Message, word string, p *at) {
	d := m.Descriptor()
	if unknown := m.GetUnknown(); len(unknown) > 0 && !s.allowUnknown {
		s.problem(p, "unknown field number %s of %s: it is newer than this program, or the bytes are broken", numbers(unknown), d.Name())
	}
	answers := lookup(string(d.FullName()), word)
	if answers == nil {
		s.problem(p, "not supported: nothing is known about %s here", d.FullName())
		return
	}
	list := d.Fields()
	for i := 0; i < list.Len() && !s.full(); i++ {
		f := list.Get(i)
		if !m.Has(f) {
			continue
		}
		a, p, v := answers[string(f.Name())], p.field(string(f.Name())), m.Get(f)
		switch a.answer {
		case isRun:
			s.walkField(f, v, a, p)
		case isHarmless:
			s.harmless(p, "", a.why)
		case isRefused:
			if !slices.Contains(a.except, spell(f, v)) {
				s.problem(p, "%s%s", a.why, exceptions(a.except))
			}
		default:
			s.problem(p, "not supported: the field is newer than this program")
		}
	}
}

func (s *session) walkField(f protoreflect.FieldDescriptor, v protoreflect.Value, a field, p *at) {
	switch {
	case f.IsMap():
		if f.MapValue().Message() == nil {
			return
		}
		var keys []protoreflect.MapKey
		v.Map().Range(func(k protoreflect.MapKey, _ protoreflect.Value) bool {
			keys = append(keys, k)
			return true
		})
		slices.SortFunc(keys, func(a, b protoreflect.MapKey) int { return strings.Compare(a.String(), b.String()) })
		for _, k := range keys {
			if a.key != "" && k.String() != a.key {
				s.harmless(p.key(k.String()), "", a.why)
				continue
			}
			s.walkValue(f.MapValue(), v.Map().Get(k), a, p.key(k.String()))
		}
	case f.IsList():
		if f.Message() == nil && f.Enum() == nil {
			return
		}
		for i := 0; i < v.List().Len() && !s.full(); i++ {
			s.walkValue(f, v.List().Get(i), a, p.item(i))
		}
	default:
		s.walkValue(f, v, a, p)
	}
}

func (s *session) walkValue(f protoreflect.FieldDescriptor, v protoreflect.Value, a field, p *at) {
	switch {
	case f.Enum() != nil:
		s.walkEnum(f.Enum(), v.Enum(), a, p)
	case f.Message() == nil || leaf(f.Message()):
	case f.Message().FullName() == "google.protobuf.Any":
		s.walkAny(v.Message().Interface().(*anypb.Any), a, p)
	default:
		if m, ok := v.Message().Interface().(*typev3.FractionalPercent); ok {
			s.atMostAll(m, p)
		}
		s.walk(v.Message(), a.table, p)
	}
}

// atMostAll refuses a share of more than everything, which Envoy takes for everything: nobody means that.
func (s *session) atMostAll(m *typev3.FractionalPercent, p *at) {
	if f := Fraction(m); m.GetNumerator() > f.In {
		s.problem(p.field("numerator"), "%d of %d is more than everything", m.GetNumerator(), f.In)
	}
}

func (s *session) walkEnum(d protoreflect.EnumDescriptor, n protoreflect.EnumNumber, a field, p *at) {
	v := d.Values().ByNumber(n)
	if v == nil {
		s.problem(p, "no value of %s has the number %d", d.Name(), n)
		return
	}
	switch a := a.values[string(v.Name())]; a.answer {
	case isRun:
	case isHarmless:
		s.harmless(p, string(v.Name())+": ", a.why)
	case isRefused:
		s.problem(p, "%s: %s", v.Name(), a.why)
	default:
		s.problem(p, "%s: not supported: the value is newer than this program", v.Name())
	}
}

func (s *session) walkAny(m *anypb.Any, a field, p *at) {
	o := s.open(m)
	switch {
	case o.err != nil:
		s.problem(p, "%v", o.err)
	case !s.may(a, o.name):
		s.problem(p, "%s is not supported here; %s", o.name, s.allowed(a))
	default:
		p := p.as(o.name)
		s.walk(o.message.ProtoReflect(), a.table, p)
		s.validate(o.message, p)
	}
}

// may tells whether a message may be in an Any. Those of HTTP filters may if the program has the filter.
func (d *Decoder) may(a field, name string) bool {
	has := d.filters
	if a.filter == inRoute {
		has = d.overrides
	}
	return slices.Contains(a.any, name) && (!slices.Contains(filterMessages[a.filter], name) || has[name] != nil)
}

// allowed lists what may be in an Any.
func (s *session) allowed(a field) string {
	names := slices.DeleteFunc(slices.Clone(a.any), func(name string) bool { return !s.may(a, name) })
	if len(names) == 0 {
		return "nothing is"
	}
	return "there may be " + strings.Join(names, ", ")
}

// leaf says that a message is a plain value: its fields are not fields of the configuration.
func leaf(d protoreflect.MessageDescriptor) bool {
	return d.ParentFile().Package() == "google.protobuf" && d.Name() != "Any"
}

// spell writes a value as an exception in the table does.
func spell(f protoreflect.FieldDescriptor, v protoreflect.Value) string {
	if f.IsList() || f.IsMap() {
		return "a list"
	}
	if f.Message() == nil {
		return v.String()
	}
	m := v.Message()
	switch w := m.Interface().(type) {
	case *durationpb.Duration:
		return w.AsDuration().String()
	}
	if inner := m.Descriptor().Fields().ByName("value"); leaf(m.Descriptor()) && inner != nil {
		return m.Get(inner).String()
	}
	if proto.Size(m.Interface()) == 0 {
		return "empty"
	}
	return "a message"
}

func exceptions(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return fmt.Sprintf(" (%s is accepted)", strings.Join(values, " or "))
}

// numbers lists the field numbers of unknown bytes.
func numbers(b []byte) string {
	var list []string
	for len(b) > 0 && len(list) < 8 {
		n, _, size := protowire.ConsumeField(b)
		if size < 0 {
			break
		}
		list = append(list, strconv.Itoa(int(n)))
		b = b[size:]
	}
	return strings.Join(list, ", ")
}
