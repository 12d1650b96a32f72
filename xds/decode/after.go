package decode

import (
	"bytes"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/weftmesh/weft/config"
)

// After is Wire for a later version of a resource. Of the endpoints of a cluster and the virtual hosts of a table, those whose bytes are
// the same as before are not read again, and are the very same values.
func (d *Decoder) After(message string, wire []byte, before any) (any, error) {
	switch before := before.(type) {
	case *config.Assignment:
		if a := d.assignmentAfter(wire, before); a != nil {
			return a, nil
		}
	case *config.RouteConfiguration:
		if t := d.routesAfter(wire, before); t != nil {
			return t, nil
		}
	}
	return d.Wire(message, wire)
}

// split takes the messages of a repeated field out of a message and out of what it was. It says whether all else is the same.
func split(now, was []byte, list protowire.Number) (these, those [][]byte, same bool) {
	for len(now) > 0 || len(was) > 0 {
		one, value, rest := cut(now)
		if value != nil && one == list {
			these, now = append(these, value), rest
			continue
		}
		other, value, wasRest := cut(was)
		if value != nil && other == list {
			those, was = append(those, value), wasRest
			continue
		}
		n, m := len(now)-len(rest), len(was)-len(wasRest)
		if one == 0 || other == 0 || !bytes.Equal(now[:n], was[:m]) {
			return nil, nil, false
		}
		now, was = rest, wasRest
	}
	return these, those, true
}

// cut takes the first field off a message: its number, 0 if there is none, and its value if that has a length.
func cut(b []byte) (number protowire.Number, value, rest []byte) {
	number, kind, n := protowire.ConsumeTag(b)
	if n < 0 {
		return 0, nil, b
	}
	size := protowire.ConsumeFieldValue(number, kind, b[n:])
	if size < 0 {
		return 0, nil, b
	}
	if kind == protowire.BytesType {
		value, _ = protowire.ConsumeBytes(b[n:])
	}
	return number, value, b[n+size:]
}

// without is a message but for one repeated field.
func without(b []byte, list protowire.Number) (out []byte) {
	for len(b) > 0 {
		number, value, rest := cut(b)
		if value == nil || number != list {
			out = append(out, b[:len(b)-len(rest)]...)
		}
		if number == 0 {
			break
		}
		b = rest
	}
	return out
}

// ends is how many of two lists are the same from the beginning, and from the end.
func ends(now, was [][]byte) (head, tail int) {
	least := min(len(now), len(was))
	for head < least && bytes.Equal(now[head], was[head]) {
		head++
	}
	for tail < least-head && bytes.Equal(now[len(now)-1-tail], was[len(was)-1-tail]) {
		tail++
	}
	return head, tail
}

// part begins to read a part of a resource, if it is in form and nothing is wrong with it; else nil.
func (d *Decoder) part(wire []byte, m proto.Message) *session {
	seen := scan{decoder: d, clean: true, same: true}
	seen.message(wire, d.outline(m.ProtoReflect().Descriptor(), "", false))
	if !seen.clean || !seen.same || proto.Unmarshal(wire, m) != nil {
		return nil
	}
	s := d.session()
	s.whole, s.raw, s.same = m, wire, true
	s.canonical(m.ProtoReflect())
	if s.unread || s.deep || !s.valid(m) {
		return nil
	}
	return s
}
