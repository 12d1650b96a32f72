package dubbo

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"
	"sync"
	"time"
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
// Dates are texts as RFC 3339 has them, in UTC and with milliseconds, of years beyond 9999 with a sign and six digits. Binary data is a text in base64. What is no number of JSON's (NaN, infinities) is null. Objects are objects without their class,
// which is left out of maps that stand for objects, too; those of java.math are numbers, enums their names (as is any other object that has nothing but a name, for nothing tells them apart), and classes of Java's own around a value that value,
// as java.sql.Timestamp. Names in maps are texts, and what is written as a text, a number or a boolean becomes one; of others there is no JSON.
func AppendJSON(b []byte, s Serialization, body []byte, max int) (out []byte, thrown bool, err error) {
	if s != Hessian2 {
		return b, false, fail(NotHessian)
	}
	a := answers.Get().(*answer)
	a.hessian.read(body)
	a.out, a.most, a.work, a.depth, a.classes, a.places = b, len(b)+max, max, 0, a.classes[:0], a.places[:0]
	thrown, err = a.whole()
	out = a.out
	a.b, a.out = nil, nil
	if cap(a.places) <= maxPlaces {
		answers.Put(a)
	}
	if err != nil {
		return b, false, err
	}
	return out, thrown, nil
}

// answers are readers that have grown to what answers need.
var answers = sync.Pool{New: func() any { return new(answer) }}

// maxPlaces bounds of how many values it is kept where they stood, from one answer to the next.
const maxPlaces = 4096

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

// compound writes a list, a map or an object.
func (a *answer) compound(t byte) error {
	if a.depth == maxDepth {
		return fail(TooDeep)
	}
	a.depth++
	from, id := int32(a.at-1), len(a.places)
	n, c, err := a.opening(t)
	if err != nil {
		return err
	}
	a.values++
	a.places = append(a.places, place{from: from})
	switch {
	case t == 'H' || t == 'M':
		err = a.writePairs()
	case t == 'O' || t >= 0x60 && t <= 0x6f:
		err = a.writeObject(c)
	default:
		err = a.writeList(n)
	}
	a.depth--
	a.places[id].end = int32(a.at)
	return err
}

// opening reads what stands before the values of a list, map or object: its type or class, and how many there are.
func (a *answer) opening(t byte) (n int32, c class, err error) {
	n = untilEnd
	switch {
	case t == 'M' || t == 'U':
		err = a.kind()
	case t == 'V':
		if err = a.kind(); err == nil {
			n, err = a.count()
		}
	case t == 'X':
		n, err = a.count()
	case t >= 0x70 && t <= 0x77:
		n, err = int32(t-0x70), a.kind()
	case t >= 0x78:
		n = int32(t - 0x78)
	case t == 'O' || t >= 0x60 && t <= 0x6f:
		index := int32(t - 0x60)
		if t == 'O' {
			index, err = a.number()
		}
		if err == nil && (index < 0 || int(index) >= len(a.classes)) {
			err = fail(BadReference)
		}
		if err == nil {
			c = a.classes[index]
		}
	}
	return n, c, err
}

// ends tells whether what says no number of values ends here.
func (a *answer) ends() (bool, error) {
	if !a.more(1) {
		return false, fail(BodyCut)
	}
	if a.b[a.at] != 'Z' {
		return false, nil
	}
	a.at++
	return true, nil
}

func (a *answer) writeList(n int32) error {
	a.out = append(a.out, '[')
	for i := int32(0); n < 0 || i < n; i++ {
		if n < 0 {
			if ends, err := a.ends(); ends || err != nil {
				a.out = append(a.out, ']')
				return err
			}
		}
		if i > 0 {
			a.out = append(a.out, ',')
		}
		if err := a.value(); err != nil {
			return err
		}
	}
	a.out = append(a.out, ']')
	return nil
}

// writePairs writes a map, without the class of the object that it stands for.
func (a *answer) writePairs() error {
	a.out = append(a.out, '{')
	first := true
	for {
		if ends, err := a.ends(); ends || err != nil {
			a.out = append(a.out, '}')
			return err
		}
		begin := len(a.out)
		if !first {
			a.out = append(a.out, ',')
		}
		name := len(a.out)
		if err := a.value(); err != nil {
			return err
		}
		switch c := a.out[name]; {
		case c == '"':
		case c == '-' || c-'0' <= 9 || c == 't' || c == 'f':
			a.out = append(a.out, "\"\""...)
			copy(a.out[name+1:], a.out[name:])
			a.out[name] = '"'
			a.out[len(a.out)-1] = '"'
		default:
			return fail(BadName)
		}
		classed := string(a.out[name:]) == `"class"`
		a.out = append(a.out, ':')
		value := len(a.out)
		if err := a.value(); err != nil {
			return err
		}
		if classed && isClass(a.out[value:]) {
			a.out = a.out[:begin]
			continue
		}
		first = false
	}
}

// isClass tells whether JSON is a text that is the name of a class in a package.
func isClass(json []byte) bool {
	if json[0] != '"' {
		return false
	}
	dots, begins := 0, true
	for _, c := range json[1 : len(json)-1] {
		switch {
		case c == '.' && !begins:
			dots++
			begins = true
			continue
		case c|0x20 >= 'a' && c|0x20 <= 'z', c == '_', c == '$', c >= 0x80, c-'0' <= 9 && !begins:
		default:
			return false
		}
		begins = false
	}
	return dots > 0 && !begins
}

// writeObject writes an object of a class.
func (a *answer) writeObject(c class) error {
	begin := len(a.out)
	switch c.what {
	case isInteger:
		return a.writeInteger(c)
	case isWrapped:
		return a.value()
	case isDecimal:
		err := a.value()
		if text := a.out[begin:]; err == nil && text[0] == '"' {
			r := jsonReader{in: text[1 : len(text)-1]}
			if _, _, bad := r.digits(); bad == nil && r.at == len(r.in) {
				copy(text, r.in)
				a.out = a.out[:len(a.out)-2]
			}
		}
		return err
	case isNamed:
		if err := a.value(); err != nil || a.out[begin] == '"' {
			return err
		}
		const before = `{"name":`
		a.out = append(append(a.out, before...), '}')
		copy(a.out[begin+len(before):], a.out[begin:len(a.out)-1-len(before)])
		copy(a.out[begin:], before)
		return nil
	}
	a.out = append(a.out, '{')
	names := int(c.fields)
	for i := range c.n {
		if i > 0 {
			a.out = append(a.out, ',')
		}
		err := a.elsewhere(&names, func() error { return a.writeText(a.first()) })
		a.out = append(a.out, ':')
		if err == nil {
			err = a.value()
		}
		if err != nil {
			return err
		}
	}
	a.out = append(a.out, '}')
	return nil
}

// first reads the byte that a text begins with which was found to be one.
func (a *answer) first() byte {
	a.at++
	return a.b[a.at-1]
}

// elsewhere reads what stands somewhere else, and goes on behind it the next time.
func (a *answer) elsewhere(there *int, read func() error) error {
	here := a.at
	a.at = *there
	err := read()
	a.at, *there = here, a.at
	return err
}

// again writes what a reference leads to. Values that were written to their end lead nowhere into themselves.
func (a *answer) again() error {
	n, err := a.number()
	switch {
	case err != nil:
		return err
	case n < 0 || int(n) >= len(a.places):
		return fail(BadReference)
	case a.places[n].end == 0:
		return fail(SelfReference)
	}
	p := a.places[n]
	if a.work -= int(p.end - p.from); a.work < 0 {
		return fail(AnswerTooLarge)
	}
	// What is defined there was defined before.
	here, types, values, classes := a.at, a.types, len(a.places), len(a.classes)
	a.at = int(p.from)
	err = a.value()
	a.at, a.types, a.values, a.places, a.classes, a.fields = here, types, values, a.places[:values], a.classes[:classes], a.fields[:classes]
	return err
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
	const form = `-01-02T15:04:05.000Z"`
	at := time.UnixMilli(ms).UTC()
	year := at.Year()
	a.out = append(a.out, '"')
	width := 4
	if year < 0 || year > 9999 {
		sign := byte('+')
		if year < 0 {
			sign, year = '-', -year
		}
		a.out = append(a.out, sign)
		width = 6
	}
	for limit := int(math.Pow10(width - 1)); limit > 1 && year < limit; limit /= 10 {
		a.out = append(a.out, '0')
	}
	a.out = strconv.AppendInt(a.out, int64(year), 10)
	a.out = at.AppendFormat(a.out, form)
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
