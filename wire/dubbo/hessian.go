package dubbo

import (
	"encoding/binary"
	"math"
	"unicode/utf8"
)

// Bounds of what a body may have: how deep values stand in one another, at which Java's own stack ends somewhat later, and how many classes.
const (
	maxDepth   = 1024
	maxClasses = 4096
)

const hessianNull = 'N'

// hessian reads the values of Hessian 2.0 (the grammar of its specification, section 3) in the order in which they stand. Definitions of classes hold from where they stand on.
type hessian struct {
	b       []byte
	at      int
	fields  []int32 // of the classes that were defined
	values  int     // lists, maps and objects that have begun, which may be referred to
	types   int     // names of types that were said, likewise
	open    []int32 // how many values are to come of the lists, maps and objects that are open, or until what
	scratch []byte  // texts that are not in one piece
}

// Of what is open and does not say how much it has.
const (
	untilEnd  = -1 - iota // values, and then a Z
	untilKey              // a key, or a Z
	thenValue             // the value of a key
)

func (h *hessian) read(b []byte) {
	*h = hessian{b: b, fields: h.fields[:0], open: h.open[:0], scratch: kept(h.scratch)}
}

// more tells whether n bytes are there still.
func (h *hessian) more(n int) bool { return n >= 0 && len(h.b)-h.at >= n }

// tag reads the byte that a value begins with, and defines the classes before it.
func (h *hessian) tag() (byte, error) {
	for {
		if !h.more(1) {
			return 0, fail(BodyCut)
		}
		t := h.b[h.at]
		h.at++
		if t != 'C' {
			return t, nil
		}
		if err := h.define(); err != nil {
			return 0, err
		}
	}
}

// define reads the definition of a class: its name, and the names of its fields.
func (h *hessian) define() error {
	if err := h.skipText(); err != nil {
		return err
	}
	n, err := h.count()
	if err != nil {
		return err
	}
	if len(h.fields) == maxClasses {
		return fail(TooManyClasses)
	}
	h.fields = append(h.fields, n)
	for range n {
		if err := h.skipText(); err != nil {
			return err
		}
	}
	return nil
}

// count reads how many there are of what takes a byte each at least.
func (h *hessian) count() (int32, error) {
	if !h.more(1) {
		return 0, fail(BodyCut)
	}
	t := h.b[h.at]
	h.at++
	n, is, err := h.integer(t)
	switch {
	case err != nil:
		return 0, err
	case !is:
		return 0, fail(BadTag)
	case n < 0 || int(n) > len(h.b)-h.at:
		return 0, fail(BadCount)
	}
	return n, nil
}

// integer reads an int that begins with a tag, if it is one.
func (h *hessian) integer(t byte) (n int32, is bool, err error) {
	size := 0
	switch {
	case t >= 0x80 && t <= 0xbf:
		return int32(t) - 0x90, true, nil
	case t >= 0xc0 && t <= 0xcf:
		n, size = int32(t)-0xc8, 1
	case t >= 0xd0 && t <= 0xd7:
		n, size = int32(t)-0xd4, 2
	case t == 'I':
		size = 4
	default:
		return 0, false, nil
	}
	if !h.more(size) {
		return 0, true, fail(BodyCut)
	}
	for _, c := range h.b[h.at : h.at+size] {
		n = n<<8 | int32(c)
	}
	h.at += size
	return n, true, nil
}

// long reads a long that begins with a tag, if it is one.
func (h *hessian) long(t byte) (n int64, is bool, err error) {
	size := 0
	switch {
	case t >= 0xd8 && t <= 0xef:
		return int64(t) - 0xe0, true, nil
	case t >= 0xf0:
		n, size = int64(t)-0xf8, 1
	case t >= 0x38 && t <= 0x3f:
		n, size = int64(t)-0x3c, 2
	case t == 0x59:
		if !h.more(4) {
			return 0, true, fail(BodyCut)
		}
		h.at += 4
		return int64(int32(binary.BigEndian.Uint32(h.b[h.at-4:]))), true, nil
	case t == 'L':
		size = 8
	default:
		return 0, false, nil
	}
	if !h.more(size) {
		return 0, true, fail(BodyCut)
	}
	for _, c := range h.b[h.at : h.at+size] {
		n = n<<8 | int64(c)
	}
	h.at += size
	return n, true, nil
}

// double reads a double that begins with a tag, if it is one.
func (h *hessian) double(t byte) (f float64, is bool, err error) {
	size := 0
	switch t {
	case 0x5b:
		return 0, true, nil
	case 0x5c:
		return 1, true, nil
	case 0x5d:
		size = 1
	case 0x5e:
		size = 2
	case 0x5f:
		size = 4
	case 'D':
		size = 8
	default:
		return 0, false, nil
	}
	if !h.more(size) {
		return 0, true, fail(BodyCut)
	}
	b := h.b[h.at : h.at+size]
	h.at += size
	switch t {
	case 0x5d:
		return float64(int8(b[0])), true, nil
	case 0x5e:
		return float64(int16(binary.BigEndian.Uint16(b))), true, nil
	case 0x5f: // thousandths, as Java's and Dubbo's write it; the specification has a float there
		return float64(int32(binary.BigEndian.Uint32(b))) / 1000, true, nil
	}
	return math.Float64frombits(binary.BigEndian.Uint64(b)), true, nil
}

// characters reads how many UTF-16 characters a piece of text has that begins with a tag, and whether it is the last piece.
func (h *hessian) characters(t byte) (n int, last, is bool, err error) {
	switch {
	case t <= 0x1f:
		return int(t), true, true, nil
	case t >= 0x30 && t <= 0x33:
		if !h.more(1) {
			return 0, true, true, fail(BodyCut)
		}
		h.at++
		return int(t-0x30)<<8 | int(h.b[h.at-1]), true, true, nil
	case t == 'R' || t == 'S':
		if !h.more(2) {
			return 0, true, true, fail(BodyCut)
		}
		h.at += 2
		return int(binary.BigEndian.Uint16(h.b[h.at-2:])), t == 'S', true, nil
	}
	return 0, false, false, nil
}

func beginsText(t byte) bool { return t <= 0x1f || t >= 0x30 && t <= 0x33 || t == 'R' || t == 'S' }

// piece reads so many characters: each is a byte, or two or three as UTF-8 has them. One that UTF-16 needs two for is two of three bytes each; plain says that there is none.
func (h *hessian) piece(n int) (b []byte, plain bool, err error) {
	from, plain := h.at, true
	for ; n > 0; n-- {
		for n >= 8 && h.more(8) && binary.LittleEndian.Uint64(h.b[h.at:])&0x8080808080808080 == 0 { // ASCII, as nearly all of it
			h.at += 8
			n -= 8
		}
		if n == 0 {
			break
		}
		if !h.more(1) {
			return nil, false, fail(BodyCut)
		}
		size := 1
		switch c := h.b[h.at]; {
		case c < 0x80:
		case c&0xe0 == 0xc0:
			size = 2
		case c&0xf0 == 0xe0:
			size = 3
		default:
			return nil, false, fail(BadText)
		}
		if !h.more(size) {
			return nil, false, fail(BodyCut)
		}
		for _, c := range h.b[h.at+1 : h.at+size] {
			if c&0xc0 != 0x80 {
				return nil, false, fail(BadText)
			}
		}
		if size == 3 && h.b[h.at] == 0xed && h.b[h.at+1] >= 0xa0 { // a surrogate
			plain = false
		}
		h.at += size
	}
	return h.b[from:h.at], plain, nil
}

// textOf reads the text that begins with a tag, if it is one.
func (h *hessian) textOf(t byte) (text []byte, is bool, err error) {
	n, last, is, err := h.characters(t)
	if !is || err != nil {
		return nil, is, err
	}
	b, plain, err := h.piece(n)
	if err != nil {
		return nil, true, err
	}
	if last && plain {
		return b, true, nil
	}
	from := len(h.scratch)
	h.scratch = appendCharacters(h.scratch, b)
	for !last {
		if !h.more(1) {
			return nil, true, fail(BodyCut)
		}
		h.at++
		if n, last, is, err = h.characters(h.b[h.at-1]); !is {
			return nil, true, fail(BadText)
		}
		if err == nil {
			b, _, err = h.piece(n)
		}
		if err != nil {
			return nil, true, err
		}
		h.scratch = appendCharacters(h.scratch, b)
	}
	return h.scratch[from:], true, nil
}

// appendCharacters appends text in which surrogates stand as characters of their own, as UTF-8.
func appendCharacters(to, b []byte) []byte {
	for i := 0; i < len(b); {
		if b[i] != 0xed || b[i+1] < 0xa0 {
			to = append(to, b[i])
			i++
			continue
		}
		high, r := unit(b[i:]), utf8.RuneError
		i += 3
		if high < 0xdc00 && i+2 < len(b) && b[i] == 0xed && b[i+1] >= 0xb0 {
			r = (high-0xd800)<<10 + unit(b[i:]) - 0xdc00 + 0x10000
			i += 3
		}
		to = utf8.AppendRune(to, r)
	}
	return to
}

// skipText passes a text over.
func (h *hessian) skipText() error {
	if !h.more(1) {
		return fail(BodyCut)
	}
	h.at++
	return h.passText(h.b[h.at-1])
}

// passText passes the text over that begins with a tag.
func (h *hessian) passText(t byte) error {
	for {
		n, last, is, err := h.characters(t)
		if !is {
			return fail(BadText)
		}
		if err == nil {
			_, _, err = h.piece(n)
		}
		if err != nil || last {
			return err
		}
		if !h.more(1) {
			return fail(BodyCut)
		}
		t = h.b[h.at]
		h.at++
	}
}

func (h *hessian) text() ([]byte, error) {
	t, err := h.tag()
	if err != nil || t == hessianNull {
		return nil, err
	}
	text, is, err := h.textOf(t)
	if !is {
		err = fail(BadText)
	}
	return text, err
}

func (h *hessian) value() (v Value, err error) {
	t, err := h.tag()
	if err != nil {
		return v, err
	}
	if v, is, err := h.scalar(t); is {
		return v, err
	}
	if text, is, err := h.textOf(t); is {
		return Value{Kind: Text, Text: text}, err
	}
	return Value{Kind: Other}, h.pass(t)
}

// scalar reads null, a truth or a number that begins with a tag, if it is one.
func (h *hessian) scalar(t byte) (v Value, is bool, err error) {
	switch t {
	case hessianNull:
		return v, true, nil
	case 'T', 'F':
		return Value{Kind: Bool, Bool: t == 'T'}, true, nil
	}
	if n, is, err := h.integer(t); is {
		return Value{Kind: Int, Int: int64(n)}, true, err
	}
	if n, is, err := h.long(t); is {
		return Value{Kind: Int, Int: n}, true, err
	}
	if f, is, err := h.double(t); is {
		return Value{Kind: Double, Double: f}, true, err
	}
	return v, false, nil
}

// pass passes the value over that begins with a tag, without a call for what stands in it: how deep that is the peer says.
func (h *hessian) pass(t byte) error {
	err := h.begin(t)
	for err == nil {
		var ends bool
		if ends, err = h.next(); ends || err != nil {
			break
		}
		if t, err = h.tag(); err == nil {
			err = h.begin(t)
		}
	}
	h.open = h.open[:0]
	return err
}

// next goes on to the next value of what is open. Ends is true when nothing is.
func (h *hessian) next() (ends bool, err error) {
	for len(h.open) > 0 {
		last := &h.open[len(h.open)-1]
		switch {
		case *last == untilEnd || *last == untilKey:
			if !h.more(1) {
				return false, fail(BodyCut)
			}
			if h.b[h.at] != 'Z' {
				if *last == untilKey {
					*last = thenValue
				}
				return false, nil
			}
			h.at++
		case *last == thenValue:
			*last = untilKey
			return false, nil
		case *last > 0:
			*last--
			return false, nil
		}
		h.open = h.open[:len(h.open)-1]
	}
	return true, nil
}

// into opens what has so many values, or has them until its end, and may be referred to.
func (h *hessian) into(n int32) error {
	if len(h.open) == maxDepth {
		return fail(TooDeep)
	}
	h.values++
	h.open = append(h.open, n)
	return nil
}

// begin reads what a tag begins: a value to its end, or a list, map or object to its first value.
func (h *hessian) begin(t byte) error {
	switch {
	case t == 0x4a: // a date in milliseconds
		return h.jump(8)
	case t == 0x4b: // in minutes
		return h.jump(4)
	case t == 'H':
		return h.into(untilKey)
	case t == 'M':
		return h.typed(untilKey)
	case t == 'U':
		return h.typed(untilEnd)
	case t == 'W':
		return h.into(untilEnd)
	case t == 'V':
		if err := h.kind(); err != nil {
			return err
		}
		return h.counted()
	case t == 'X':
		return h.counted()
	case t >= 0x70 && t <= 0x77:
		return h.typed(int32(t - 0x70))
	case t >= 0x78 && t <= 0x7f:
		return h.into(int32(t - 0x78))
	case t == 'O':
		class, err := h.number()
		if err != nil {
			return err
		}
		return h.object(class)
	case t >= 0x60 && t <= 0x6f:
		return h.object(int32(t - 0x60))
	case t == 'Q':
		return h.reference(h.values)
	case t == 'A' || t == 'B' || t >= 0x20 && t <= 0x2f || t >= 0x34 && t <= 0x37:
		return h.bytes(t)
	case beginsText(t):
		return h.passText(t)
	}
	_, is, err := h.scalar(t)
	if !is {
		return fail(BadTag)
	}
	return err
}

func (h *hessian) jump(n int) error {
	if !h.more(n) {
		return fail(BodyCut)
	}
	h.at += n
	return nil
}

// typed is into, behind the name of a type.
func (h *hessian) typed(n int32) error {
	if err := h.kind(); err != nil {
		return err
	}
	return h.into(n)
}

// kind reads the name of a type, or which of those that were said it is.
func (h *hessian) kind() error {
	if !h.more(1) {
		return fail(BodyCut)
	}
	if !beginsText(h.b[h.at]) {
		return h.reference(h.types)
	}
	h.types++
	return h.skipText()
}

// reference reads which it is of so many.
func (h *hessian) reference(of int) error {
	to, err := h.number()
	if err == nil && (to < 0 || int(to) >= of) {
		err = fail(BadReference)
	}
	return err
}

// number reads an int.
func (h *hessian) number() (int32, error) {
	if !h.more(1) {
		return 0, fail(BodyCut)
	}
	h.at++
	n, is, err := h.integer(h.b[h.at-1])
	if !is {
		err = fail(BadTag)
	}
	return n, err
}

// counted is into, behind how many there are.
func (h *hessian) counted() error {
	n, err := h.count()
	if err != nil {
		return err
	}
	return h.into(n)
}

// object opens one of a class that was defined.
func (h *hessian) object(class int32) error {
	if class < 0 || int(class) >= len(h.fields) {
		return fail(BadReference)
	}
	return h.into(h.fields[class])
}

// bytes passes binary data over, of which all pieces but the last begin with an A.
func (h *hessian) bytes(t byte) error {
	for {
		n := 0
		switch {
		case t >= 0x20 && t <= 0x2f:
			n = int(t - 0x20)
		case t >= 0x34 && t <= 0x37:
			if !h.more(1) {
				return fail(BodyCut)
			}
			n = int(t-0x34)<<8 | int(h.b[h.at])
			h.at++
		case t == 'A' || t == 'B':
			if !h.more(2) {
				return fail(BodyCut)
			}
			n = int(binary.BigEndian.Uint16(h.b[h.at:]))
			h.at += 2
		default:
			return fail(BadTag)
		}
		if err := h.jump(n); err != nil || t != 'A' {
			return err
		}
		if !h.more(1) {
			return fail(BodyCut)
		}
		t = h.b[h.at]
		h.at++
	}
}

// pairs reads a map, or null, of which those are kept whose key is a text, as far as there is room.
func (h *hessian) pairs(into []Attachment) ([]Attachment, error) {
	t, err := h.tag()
	switch {
	case err != nil || t == hessianNull:
		return into, err
	case t == 'M':
		err = h.kind()
	case t != 'H':
		return into, fail(NoAttachments)
	}
	h.values++
	for err == nil {
		if !h.more(1) {
			return into, fail(BodyCut)
		}
		if h.b[h.at] == 'Z' {
			h.at++
			return into, nil
		}
		var key, v Value
		if key, err = h.value(); err == nil {
			v, err = h.value()
		}
		if err == nil {
			into, err = keep(into, key, v)
		}
	}
	return into, err
}
