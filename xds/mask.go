package xds

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
)

// mask is a tree of the fields that are wanted of a message; nil: all of it.
type mask map[protoreflect.Name]mask

// readMask reads paths with commas between them. Empty, it masks nothing.
func readMask(text string) mask {
	var m mask
	for path := range strings.SplitSeq(text, ",") {
		if path = strings.TrimSpace(path); path == "" {
			continue
		}
		if m == nil {
			m = mask{}
		}
		at := m
		steps := strings.Split(path, ".")
		for i, s := range steps {
			name := protoreflect.Name(s)
			next, known := at[name]
			switch {
			case known && next == nil: // a shorter path wants all of it
			case i == len(steps)-1:
				at[name] = nil
			case !known:
				next = mask{}
				at[name] = next
			}
			if next == nil {
				break
			}
			at = next
		}
	}
	return m
}

// trim leaves of a message what the mask wants: below lists and what an Any holds, too, which Envoy's goes through only where an element of
// ?resource= has it. A name that is no field is an error.
func (k mask) trim(m protoreflect.Message) error {
	if k == nil {
		return nil
	}
	if a, ok := m.Interface().(*anypb.Any); ok {
		inner, err := a.UnmarshalNew()
		if err != nil {
			return nil // nobody can look into it
		}
		if err := k.trim(inner.ProtoReflect()); err != nil {
			return err
		}
		a.Value, err = proto.Marshal(inner)
		return err
	}
	list := m.Descriptor().Fields()
	for name, below := range k {
		f := list.ByName(name)
		switch {
		case f == nil:
			return fmt.Errorf("%s has no field %q", m.Descriptor().Name(), name)
		case below == nil:
		case f.IsMap() || f.Message() == nil:
			return fmt.Errorf("%s.%s has no fields", m.Descriptor().Name(), name)
		}
	}
	var err error
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		below, wanted := k[f.Name()]
		switch {
		case !wanted:
			m.Clear(f)
		case below == nil:
		case f.IsList():
			for i := 0; i < v.List().Len() && err == nil; i++ {
				err = below.trim(v.List().Get(i).Message())
			}
		default:
			err = below.trim(v.Message())
		}
		return err == nil
	})
	return err
}
