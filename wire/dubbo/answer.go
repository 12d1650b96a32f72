package dubbo

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"
	"sync"
)

// What the body of an answer begins with. Each has a twin, three more, behind which there are attachments.
const (
	answerThrown = iota
	answerValue
	answerNull
	answerKinds
)

// AppendJSON writes what an answer of status OK is, as JSON: its value, null where the method gives nothing, or, with thrown, {"exception": CLASS, "message": TEXT} of what it has thrown. An error: the body cannot be read, is deeper
// than 1024, refers to itself, or would be more than max bytes; with those of references, which are written as often as they stand there, counted as they stand in the body, too. Then nothing is written. Only hessian2 is read: what is asked for in
// it is answered in it.
//
// Dates are milliseconds since 1970, in UTC. Binary data is a text in base64. What is no number of JSON's (NaN, infinities) is null. Objects are objects without their class,
// which is left out of maps that stand for objects, too; those of java.math are numbers, enums their names (as is any other object that has nothing but a name, for nothing tells them apart), and classes of Java's own around a value that value,
// as java.sql.Timestamp. Names in maps are texts, and what is written as a text, a number or a boolean becomes one; of others there is no JSON.
func AppendJSON(b []byte, s Serialization, body []byte, max int) (out []byte, thrown bool, err error) {
	if s != Hessian2 {
		return b, false, fail(NotHessian)
	}
	a := answers.Get().(*answer)
	out, thrown, err = a.append(b, body, max)
	if cap(a.places) <= maxPlaces {
		answers.Put(a)
	}
	return out, thrown, err
}

// answers are readers that have grown to what answers need.
var answers = sync.Pool{New: func() any { return new(answer) }}

// maxPlaces bounds of how many values it is kept where they stood, from one answer to the next.
const maxPlaces = 4096

// append is AppendJSON for a reader that has been used before.
func (a *answer) append(b, body []byte, max int) (out []byte, thrown bool, err error) {
	a.hessian.read(body)
	a.out, a.most, a.work, a.depth, a.classes, a.places = b, len(b)+max, max, 0, a.classes[:0], a.places[:0]
	thrown, err = a.whole()
	out = a.out
	a.b, a.out = nil, nil
	if err != nil {
		return b, false, err
	}
	return out, thrown, nil
}

// whole writes all of a body.
func (a *answer) whole() (thrown bool, err error) {
	kind, err := a.number()
	if err != nil {
		return false, err
	}
	switch kind {
	case answerValue, answerValue + answerKinds:
		err = a.value()
	case answerNull, answerNull + answerKinds:
		a.out = append(a.out, "null"...)
	case answerThrown, answerThrown + answerKinds:
		thrown, err = true, a.thrown()
	default:
		err = fail(BadAnswer)
	}
	if err == nil && len(a.out) > a.most {
		err = fail(AnswerTooLarge)
	}
	return thrown, err
}

// answer writes the values that it reads.
type answer struct {
	hessian
	out     []byte
	most    int // bytes that out may have
	work    int // bytes that references may still lead to
	depth   int
	classes []class // that were defined
	places  []place // lists, maps and objects that may be referred to
}

// class is a definition of one.
type class struct {
	name, fields int32 // where its name stands, and those of its fields
	n            int32 // how many these are
	what         what
}

// what an object is that is not written as an object.
type what uint8

const (
	isObject  what = iota
	isNamed        // an enum: its name
	isWrapped      // what is in it
	isDecimal      // likewise, a text that is a number
	isInteger      // a sign and ints
)

// place is where a value stands; what is open has no end yet.
type place struct{ from, end int32 }

// tag is that of hessian, but for what is kept of classes.
func (a *answer) tag() (byte, error) {
	for {
		if !a.more(1) {
			return 0, fail(BodyCut)
		}
		t := a.b[a.at]
		a.at++
		if t != 'C' {
			return t, nil
		}
		c := class{name: int32(a.at)}
		if err := a.define(); err != nil {
			return 0, err
		}
		c.n = a.fields[len(a.fields)-1]
		after := a.at
		a.at = int(c.name)
		name, _ := a.text()
		a.count()
		c.fields = int32(a.at)
		c.what = a.classify(name, c.n)
		a.at, a.scratch = after, a.scratch[:0]
		a.classes = append(a.classes, c)
	}
}

// classify tells what objects of a class are that has so many fields, whose names come next.
func (a *answer) classify(name []byte, n int32) what {
	if n != 1 {
		if string(name) == "java.math.BigInteger" {
			return isInteger
		}
		return isObject
	}
	field, _ := a.text()
	switch {
	case string(field) == "name":
		return isNamed
	case string(field) != "value":
		return isObject
	case has(name, "java.math."):
		return isDecimal
	case has(name, "java.") || has(name, "com.alibaba.com.caucho.hessian.io."):
		return isWrapped
	}
	return isObject
}

func has(name []byte, prefix string) bool {
	return len(name) >= len(prefix) && string(name[:len(prefix)]) == prefix
}

func (a *answer) value() error {
	t, err := a.tag()
	if err == nil {
		err = a.write(t)
	}
	if err == nil && len(a.out) > a.most {
		err = fail(AnswerTooLarge)
	}
	return err
}

// write writes the value that begins with a tag.
func (a *answer) write(t byte) error {
	switch {
	case beginsText(t):
		return a.writeText(t)
	case t == 0x4a || t == 0x4b:
		return a.date(t)
	case t == 'A' || t == 'B' || t >= 0x20 && t <= 0x2f || t >= 0x34 && t <= 0x37:
		return a.binary(t)
	case t == 'Q':
		return a.again()
	case t == 'H' || t == 'M' || t == 'O' || t == 'U' || t == 'V' || t == 'W' || t == 'X' || t >= 0x60 && t <= 0x7f:
		return a.compound(t)
	}
	v, is, err := a.scalar(t)
	switch {
	case err != nil:
		return err
	case !is:
		return fail(BadTag)
	case v.Kind == Null || v.Kind == Double && (math.IsNaN(v.Double) || math.IsInf(v.Double, 0)):
		a.out = append(a.out, "null"...)
	default:
		a.out = v.Append(a.out)
	}
	return nil
}

// writeText writes the text that begins with a tag.
func (a *answer) writeText(t byte) error {
	a.out = append(a.out, '"')
	for {
		n, last, is, err := a.characters(t)
		if !is {
			return fail(BadText)
		}
		if err != nil {
			return err
		}
		b, _, err := a.piece(n)
		if err != nil {
			return err
		}
		a.out = appendEscaped(a.out, b)
		if last {
			a.out = append(a.out, '"')
			return nil
		}
		if len(a.out) > a.most {
			return fail(AnswerTooLarge)
		}
		if !a.more(1) {
			return fail(BodyCut)
		}
		t = a.first()
	}
}

// first reads the byte that a text begins with which was found to be one.
func (a *answer) first() byte {
	a.at++
	return a.b[a.at-1]
}

// date writes milliseconds since 1970: of all forms that a date has in JSON, providers take this one alone, without loss, where they know by themselves that a field is a date.
func (a *answer) date(t byte) error {
	size := 8
	if t == 0x4b {
		size = 4
	}
	if err := a.jump(size); err != nil {
		return err
	}
	var ms int64
	if b := a.b[a.at-size:]; size == 8 {
		ms = int64(binary.BigEndian.Uint64(b))
	} else {
		ms = int64(int32(binary.BigEndian.Uint32(b))) * 60_000
	}
	a.out = strconv.AppendInt(a.out, ms, 10)
	return nil
}

// binary writes binary data, whose pieces are put together, since base64 takes three bytes at a time.
func (a *answer) binary(t byte) error {
	from := a.at
	if err := a.bytes(t); err != nil {
		return err
	}
	a.scratch = a.scratch[:0]
	for at := from; ; {
		n := int(t - 0x20)
		switch {
		case t == 'A' || t == 'B':
			n = int(binary.BigEndian.Uint16(a.b[at:]))
			at += 2
		case t >= 0x34:
			n = int(t-0x34)<<8 | int(a.b[at])
			at++
		}
		data := a.b[at : at+n]
		if at += n; t == 'A' {
			a.scratch = append(a.scratch, data...)
			t = a.b[at]
			at++
			continue
		}
		if len(a.scratch) > 0 {
			a.scratch = append(a.scratch, data...)
			data = a.scratch
		}
		a.out = append(base64.StdEncoding.AppendEncode(append(a.out, '"'), data), '"')
		return nil
	}
}
