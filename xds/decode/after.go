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

// split takes the messages of a repeated field out of a message and out of what it was, but for the first ones that are the same: head is
// how many those are. It says whether all else is the same.
func split(now, was []byte, list protowire.Number) (head int, these, those [][]byte, same bool) {
	now, was, head = skip(now, was, list)
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
			return 0, nil, nil, false
		}
		now, was = rest, wasRest
	}
	return head, these, those, true
}

// skip goes over the first fields of two messages, as far as they are the same byte for byte, and counts those with that number.
func skip(now, was []byte, list protowire.Number) (nowRest, wasRest []byte, count int) {
	same := 0
	for least := min(len(now), len(was)); same < least; {
		n := min(least-same, 256) // to compare is much faster than to look for a difference
		if bytes.Equal(now[same:same+n], was[same:same+n]) {
			same += n
			continue
		}
		for now[same] == was[same] {
			same++
		}
		break
	}
	at := 0
	for at < same {
		number, kind, n := protowire.ConsumeTag(now[at:])
		if n < 0 {
			break
		}
		size := protowire.ConsumeFieldValue(number, kind, now[at+n:])
		if size < 0 || at+n+size > same {
			break
		}
		if at += n + size; number == list && kind == protowire.BytesType {
			count++
		}
	}
	return now[at:], was[at:], count
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

// tails is how many of two lists are the same from the end.
func tails(now, was [][]byte) (tail int) {
	for tail < min(len(now), len(was)) && bytes.Equal(now[len(now)-1-tail], was[len(was)-1-tail]) {
		tail++
	}
	return tail
}

// part begins to read a part of a resource, if it can be trusted; else nil.
func (d *Decoder) part(wire []byte, m proto.Message) *session {
	s := d.session()
	if proto.Unmarshal(wire, m) != nil || !s.trust(m, wire) {
		return nil
	}
	return s
}

// listed are the first values of a repeated field of messages.
func listed(b []byte, list protowire.Number, most int) (out [][]byte) {
	for len(out) < most {
		number, value, rest := cut(b)
		if number == 0 {
			break
		}
		if number == list && value != nil {
			out = append(out, value)
		}
		b = rest
	}
	return out
}

// count is how many values a repeated field of messages has.
func count(b []byte, list protowire.Number) (n int) {
	for {
		number, value, rest := cut(b)
		if number == 0 {
			return n
		}
		if number == list && value != nil {
			n++
		}
		b = rest
	}
}
