package decode

import (
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// What the generated types say of a message that breaks the rules written in Envoy's .proto files.
type (
	validated  interface{ ValidateAll() error }
	violations interface{ AllErrors() []error }
	violation  interface {
		Field() string // Go's name of the field, with [index] or [key]
		Reason() string
		Cause() error
	}
)

// validate holds a message against the rules of Envoy's .proto files.
func (s *session) validate(m proto.Message, p *at) {
	v, ok := m.(validated)
	if !ok {
		return
	}
	if err := v.ValidateAll(); err != nil {
		s.violated(err, m.ProtoReflect().Descriptor(), p)
	}
}

func (s *session) violated(err error, d protoreflect.MessageDescriptor, p *at) {
	switch e := err.(type) {
	case violations:
		for _, one := range e.AllErrors() {
			s.violated(one, d, p)
		}
	case violation:
		name, place, _ := strings.Cut(e.Field(), "[")
		inner := d
		if f := byGoName(d, name); f == nil {
			p = p.field(oneofName(d, name))
		} else {
			p = p.field(string(f.Name()))
			if inner = f.Message(); f.IsMap() {
				inner = f.MapValue().Message()
			}
		}
		if place != "" {
			place = strings.TrimSuffix(place, "]")
			if i, err := strconv.Atoi(place); err == nil {
				p = p.item(i)
			} else {
				p = p.key(place)
			}
		}
		if e.Cause() != nil && inner != nil {
			s.violated(e.Cause(), inner, p)
			return
		}
		s.problem(p, "%s", e.Reason())
	default:
		s.problem(p, "%v", err)
	}
}

func byGoName(d protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	for i := range d.Fields().Len() {
		if f := d.Fields().Get(i); sameName(string(f.Name()), name) {
			return f
		}
	}
	return nil
}

func oneofName(d protoreflect.MessageDescriptor, name string) string {
	for i := range d.Oneofs().Len() {
		if o := d.Oneofs().Get(i); sameName(string(o.Name()), name) {
			var fields []string
			for j := range o.Fields().Len() {
				fields = append(fields, string(o.Fields().Get(j).Name()))
			}
			return strings.Join(fields, "|")
		}
	}
	return name
}

func sameName(proto, goName string) bool {
	return strings.EqualFold(strings.ReplaceAll(proto, "_", ""), strings.ReplaceAll(goName, "_", ""))
}
