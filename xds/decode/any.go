package decode

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	udpav1 "github.com/cncf/xds/go/udpa/type/v1"
	xdsv3 "github.com/cncf/xds/go/xds/type/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3" // so that it can be named
)

// opened is what an Any holds.
type opened struct {
	name    string // of the message, in full
	message proto.Message
	err     error
}

// open unpacks an Any once. A TypedStruct, in either spelling, stands for the message that it names. A message of a type that the
// program does not link has a name and no message.
func (s *session) open(a *anypb.Any) *opened {
	if o := s.opened[a]; o != nil {
		return o
	}
	o := s.unpack(a)
	if v, ok := o.message.(validated); s.trusted && (o.message == nil || ok && v.ValidateAll() != nil) {
		s.broken = true
	}
	s.opened[a] = o
	return o
}

func (s *session) unpack(a *anypb.Any) *opened {
	name := string(a.MessageName())
	if name == "" {
		return &opened{err: fmt.Errorf("type URL %q names no message: want type.googleapis.com/ and a message's full name", a.GetTypeUrl())}
	}
	t, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(name))
	if err != nil {
		return &opened{name: name}
	}
	m := t.New().Interface()
	if err := proto.Unmarshal(a.GetValue(), m); err != nil {
		return &opened{name: name, err: fmt.Errorf("not a %s: %w", short(name), plain(err))}
	}
	switch m := m.(type) {
	case *udpav1.TypedStruct:
		return s.fromStruct(m.GetTypeUrl(), m.GetValue())
	case *xdsv3.TypedStruct:
		return s.fromStruct(m.GetTypeUrl(), m.GetValue())
	}
	return &opened{name: name, message: m}
}

// fromStruct reads a message that was written as a JSON object.
func (s *session) fromStruct(url string, value *structpb.Struct) *opened {
	name := url[strings.LastIndexByte(url, '/')+1:]
	if !protoreflect.FullName(name).IsValid() {
		return &opened{err: fmt.Errorf("type_url %q of a TypedStruct names no message", url)}
	}
	t, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(name))
	if err != nil {
		return &opened{name: name}
	}
	text, err := protojson.Marshal(value)
	if err != nil {
		return &opened{name: name, err: plain(err)}
	}
	m := t.New().Interface()
	if err := (protojson.UnmarshalOptions{DiscardUnknown: s.allowUnknown}).Unmarshal(text, m); err != nil {
		return &opened{name: name, err: fmt.Errorf("not a %s: %w", short(name), plain(err))}
	}
	return &opened{name: name, message: m}
}

// plain takes the spaces of changing kinds and the prefix out of the protobuf module's errors.
func plain(err error) error {
	text := strings.ReplaceAll(err.Error(), "\u00a0", " ")
	return errors.New(strings.TrimSpace(strings.TrimPrefix(text, "proto:")))
}

// in unpacks an Any that the walk has found good. It gives nil for what the walk has refused.
func in[M proto.Message](s *session, a *anypb.Any) (m M) {
	if a != nil {
		m, _ = s.open(a).message.(M)
	}
	return m
}

// inFilter notes what a filter says against its message, whose place p is.
func (s *session) inFilter(err error, p *at) {
	switch err := err.(type) {
	case nil:
	case Problems:
		for _, q := range err {
			s.problem(p.field(q.Path), "%s", q.Text)
		}
	case interface{ Unwrap() []error }: // of errors.Join
		for _, one := range err.Unwrap() {
			s.inFilter(one, p)
		}
	default:
		s.problem(p, "%v", err)
	}
}

// canonical opens every Any below m and gives it the one spelling of its content, so that equal resources have equal bytes.
func (s *session) canonical(m protoreflect.Message) {
	if a, ok := m.Interface().(*anypb.Any); ok {
		s.canonicalAny(a)
		return
	}
	for _, f := range leadToAny(m.Descriptor()) {
		if !m.Has(f) {
			continue
		}
		v := m.Get(f)
		switch {
		case f.IsMap():
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				s.canonical(v.Message())
				return true
			})
		case f.IsList():
			for i := range v.List().Len() {
				s.canonical(v.List().Get(i).Message())
			}
		default:
			s.canonical(v.Message())
		}
	}
}

// maxNested bounds how deep messages are in Anys in one another. Each level is a copy of all that is in it, and nobody has ten.
const maxNested = 32

func (s *session) canonicalAny(a *anypb.Any) {
	if s.depth++; s.depth > maxNested {
		s.deep = true
	}
	defer func() { s.depth-- }()
	if s.deep {
		return
	}
	name := string(a.MessageName())
	t, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(name))
	if err != nil {
		return
	}
	inner := t.New()
	if proto.Unmarshal(a.GetValue(), inner.Interface()) != nil {
		return
	}
	s.canonical(inner)
	a.Value = marshal(inner.Interface())
	switch inner.Interface().(type) {
	case *udpav1.TypedStruct, *xdsv3.TypedStruct:
	default:
		s.opened[a] = &opened{name: name, message: inner.Interface()}
	}
}

// leadToAny are the fields of a message below which an Any may be: few do, and the others need not be looked at.
func leadToAny(d protoreflect.MessageDescriptor) []protoreflect.FieldDescriptor {
	if known, ok := leading.Load(d.FullName()); ok {
		return known.([]protoreflect.FieldDescriptor)
	}
	var out []protoreflect.FieldDescriptor
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		below := f.Message()
		if f.IsMap() {
			below = f.MapValue().Message()
		}
		if below != nil && holdsAny(below, map[protoreflect.FullName]bool{}) {
			out = append(out, f)
		}
	}
	leading.Store(d.FullName(), out)
	return out
}

// leading is what leadToAny has found out, by the names of messages.
var leading sync.Map

func holdsAny(d protoreflect.MessageDescriptor, seen map[protoreflect.FullName]bool) bool {
	if d.FullName() == "google.protobuf.Any" {
		return true
	}
	if seen[d.FullName()] {
		return false
	}
	seen[d.FullName()] = true
	for i := range d.Fields().Len() {
		if m := d.Fields().Get(i).Message(); m != nil && holdsAny(m, seen) { // a map's entry is a message, too
			return true
		}
	}
	return false
}

// marshal writes a message the same way each time.
func marshal(m proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true, AllowPartial: true}.Marshal(m)
	if err != nil {
		panic("decode: a message that was read cannot be written: " + err.Error()) // text that is not UTF-8 is refused when read
	}
	return b
}
