package dubbo

import (
	"encoding/binary"
	"math"
	"unicode/utf16"
	"unicode/utf8"
)

// What values of fastjson2's JSONB begin with, as its own documentation lists them.
const (
	jsonbChar       = 0x90 // an int
	jsonbBinary     = 0x91 // how many, bytes
	jsonbTyped      = 0x92 // a type, as behind jsonbSymbol, and a value
	jsonbReference  = 0x93 // a path, as text
	jsonbArray      = 0x94 // of 0, and behind it of 1 to 15
	jsonbArrayLong  = 0xa4 // how many, values
	jsonbEnd        = 0xa5 // of an object
	jsonbObject     = 0xa6 // pairs
	jsonbTime       = 0xa7 // 3 bytes, an int of nanoseconds
	jsonbDateTime   = 0xa8 // 7 bytes, an int of nanoseconds
	jsonbDate       = 0xa9 // 4 bytes
	jsonbZoned      = 0xaa // 7 bytes, an int of nanoseconds, a text
	jsonbMillis     = 0xab // 8 bytes
	jsonbSeconds    = 0xac // 4 bytes
	jsonbMinutes    = 0xad // 4 bytes
	jsonbInstant    = 0xae // a long, an int of nanoseconds
	jsonbNull       = 0xaf
	jsonbFalse      = 0xb0
	jsonbTrue       = 0xb1
	jsonbDouble0    = 0xb2
	jsonbDouble1    = 0xb3
	jsonbDoubleLong = 0xb4 // a long
	jsonbDouble     = 0xb5 // 8 bytes
	jsonbFloatInt   = 0xb6 // an int
	jsonbFloat      = 0xb7 // 4 bytes
	jsonbDecimalInt = 0xb8 // a long
	jsonbDecimal    = 0xb9 // an int of digits behind the point, a big integer
	jsonbBigLong    = 0xba // a long
	jsonbBig        = 0xbb // how many, bytes
	jsonbShort      = 0xbc // 2 bytes
	jsonbByte       = 0xbd // 1 byte
	jsonbLong       = 0xbe // 8 bytes
	jsonbLongInt    = 0xbf // 4 bytes
	jsonbInt        = 0x48 // 4 bytes
	jsonbASCIIShort = 0x49 // of no character, and behind it of 1 to 47
	jsonbASCII      = 0x79 // how many, bytes
	jsonbUTF8       = 0x7a
	jsonbUTF16      = 0x7b
	jsonbUTF16LE    = 0x7c
	jsonbUTF16BE    = 0x7d
	jsonbGB18030    = 0x7e
	jsonbSymbol     = 0x7f // an int, or a text and the int by which it is meant from then on
)

// jsonb reads values of JSONB as Dubbo writes them: each behind its length in four bytes, and with symbols of its own.
type jsonb struct {
	b       []byte
	at      int
	end     int // of the value that is read
	symbols []symbol
	open    []int32
	scratch []byte // texts that are not UTF-8
}

// symbol is a text that was said once and is meant by its number from then on.
type symbol struct {
	number int32
	text   []byte
}

func (j *jsonb) read(b []byte) {
	*j = jsonb{b: b, symbols: j.symbols[:0], open: j.open[:0], scratch: kept(j.scratch)}
}

// begin reads the length of a value.
func (j *jsonb) begin() error {
	if len(j.b)-j.at < 4 {
		return fail(BodyCut)
	}
	n := binary.BigEndian.Uint32(j.b[j.at:])
	j.at += 4
	if uint64(n) > uint64(len(j.b)-j.at) {
		return fail(BodyCut)
	}
	if n == 0 {
		return fail(BadTag)
	}
	j.end, j.symbols = j.at+int(n), j.symbols[:0]
	return nil
}

// take gives the next n bytes of the value.
func (j *jsonb) take(n int) ([]byte, error) {
	if n < 0 || j.end-j.at < n {
		return nil, fail(BodyCut)
	}
	j.at += n
	return j.b[j.at-n : j.at], nil
}

func (j *jsonb) tag() (byte, error) {
	b, err := j.take(1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

// integer reads an int that begins with a tag, if it is one.
func (j *jsonb) integer(t byte) (n int32, is bool, err error) {
	switch {
	case t >= 0xf0 || t <= 0x2f:
		return int32(int8(t)), true, nil
	case t >= 0x30 && t <= 0x3f:
		b, err := j.take(1)
		if err != nil {
			return 0, true, err
		}
		return (int32(t)-0x38)<<8 | int32(b[0]), true, nil
	case t >= 0x40 && t <= 0x47:
		b, err := j.take(2)
		if err != nil {
			return 0, true, err
		}
		return (int32(t)-0x44)<<16 | int32(b[0])<<8 | int32(b[1]), true, nil
	case t == jsonbInt:
		b, err := j.take(4)
		if err != nil {
			return 0, true, err
		}
		return int32(binary.BigEndian.Uint32(b)), true, nil
	}
	return 0, false, nil
}

// number reads an int.
func (j *jsonb) number() (int32, error) {
	t, err := j.tag()
	if err != nil {
		return 0, err
	}
	n, is, err := j.integer(t)
	if !is {
		err = fail(BadTag)
	}
	return n, err
}

// wide reads an integer of another size that begins with a tag, if it is one.
func (j *jsonb) wide(t byte) (n int64, is bool, err error) {
	size := 0
	switch {
	case t >= 0xd8 && t <= 0xef:
		return int64(t) - 0xe0, true, nil
	case t >= 0xc8 && t <= 0xd7:
		n, size = int64(t)-0xd0, 1
	case t >= 0xc0 && t <= 0xc7:
		n, size = int64(t)-0xc4, 2
	case t == jsonbLong:
		size = 8
	case t == jsonbLongInt:
		size = 4
	case t == jsonbShort:
		size = 2
	case t == jsonbByte:
		size = 1
	default:
		return 0, false, nil
	}
	b, err := j.take(size)
	if err != nil {
		return 0, true, err
	}
	switch t {
	case jsonbLong:
		return int64(binary.BigEndian.Uint64(b)), true, nil
	case jsonbLongInt:
		return int64(int32(binary.BigEndian.Uint32(b))), true, nil
	case jsonbShort:
		return int64(int16(binary.BigEndian.Uint16(b))), true, nil
	case jsonbByte:
		return int64(int8(b[0])), true, nil
	}
	for _, c := range b {
		n = n<<8 | int64(c)
	}
	return n, true, nil
}

// whole reads an integer of any size.
func (j *jsonb) whole() (int64, error) {
	t, err := j.tag()
	if err != nil {
		return 0, err
	}
	if n, is, err := j.integer(t); is {
		return int64(n), err
	}
	n, is, err := j.wide(t)
	if !is {
		err = fail(BadTag)
	}
	return n, err
}

// double reads a double or a float that begins with a tag, if it is one.
func (j *jsonb) double(t byte) (f float64, is bool, err error) {
	switch t {
	case jsonbDouble0, jsonbDouble1:
		return float64(t - jsonbDouble0), true, nil
	case jsonbDoubleLong:
		n, err := j.whole()
		return float64(n), true, err
	case jsonbFloatInt:
		n, err := j.number()
		return float64(n), true, err
	case jsonbDouble:
		b, err := j.take(8)
		if err != nil {
			return 0, true, err
		}
		return math.Float64frombits(binary.BigEndian.Uint64(b)), true, nil
	case jsonbFloat:
		b, err := j.take(4)
		if err != nil {
			return 0, true, err
		}
		return float64(math.Float32frombits(binary.BigEndian.Uint32(b))), true, nil
	}
	return 0, false, nil
}

// textOf reads the text that begins with a tag, if it is one.
func (j *jsonb) textOf(t byte) (text []byte, is bool, err error) {
	switch {
	case t >= jsonbASCIIShort && t < jsonbASCII:
		b, err := j.take(int(t - jsonbASCIIShort))
		return j.latin(b), true, err
	case t < jsonbASCII || t > jsonbSymbol:
		return nil, false, nil
	case t == jsonbSymbol:
		text, err = j.symbol()
		return text, true, err
	}
	n, err := j.number()
	if err != nil {
		return nil, true, err
	}
	b, err := j.take(int(n))
	if err != nil {
		return nil, true, err
	}
	switch t {
	case jsonbUTF8:
		if !utf8.Valid(b) {
			return nil, true, fail(BadText)
		}
		return b, true, nil
	case jsonbUTF16LE:
		text, err = j.units(b, binary.LittleEndian)
		return text, true, err
	case jsonbUTF16, jsonbUTF16BE:
		text, err = j.units(b, binary.BigEndian)
		return text, true, err
	case jsonbGB18030: // which nobody asks for by its letters
		return nil, true, nil
	}
	return j.latin(b), true, nil
}

// latin makes UTF-8 of what is called ASCII, and is Latin-1.
func (j *jsonb) latin(b []byte) []byte {
	for _, c := range b {
		if c < utf8.RuneSelf {
			continue
		}
		from := len(j.scratch)
		for _, c := range b {
			j.scratch = utf8.AppendRune(j.scratch, rune(c))
		}
		return j.scratch[from:]
	}
	return b
}

// units makes UTF-8 of UTF-16.
func (j *jsonb) units(b []byte, order binary.ByteOrder) ([]byte, error) {
	if len(b)%2 != 0 {
		return nil, fail(BadText)
	}
	from := len(j.scratch)
	for i := 0; i < len(b); i += 2 {
		r := rune(order.Uint16(b[i:]))
		if utf16.IsSurrogate(r) {
			low := rune(0)
			if i+2 < len(b) {
				low = rune(order.Uint16(b[i+2:]))
			}
			if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
				i += 2
			}
		}
		j.scratch = utf8.AppendRune(j.scratch, r)
	}
	return j.scratch[from:], nil
}

// maxSymbols bounds how many texts of a value are known by their numbers.
const maxSymbols = 256

// symbol reads a text that is said once, or the number of one that was.
func (j *jsonb) symbol() ([]byte, error) {
	t, err := j.tag()
	if err != nil {
		return nil, err
	}
	if n, is, err := j.integer(t); is {
		if err != nil {
			return nil, err
		}
		for i := range j.symbols {
			if j.symbols[i].number == n {
				return j.symbols[i].text, nil
			}
		}
		if n < 0 || len(j.symbols) == maxSymbols { // of a table that both sides have beforehand, or that is not kept
			return nil, nil
		}
		return nil, fail(BadReference)
	}
	if t == jsonbSymbol {
		return nil, fail(BadText)
	}
	text, is, err := j.textOf(t)
	if !is {
		err = fail(BadText)
	}
	if err != nil {
		return nil, err
	}
	n, err := j.number()
	if err == nil && len(j.symbols) < maxSymbols {
		j.symbols = append(j.symbols, symbol{n, text})
	}
	return text, err
}

// scalar reads null, a truth or a number that begins with a tag, if it is one.
func (j *jsonb) scalar(t byte) (v Value, is bool, err error) {
	switch t {
	case jsonbNull:
		return v, true, nil
	case jsonbTrue, jsonbFalse:
		return Value{Kind: Bool, Bool: t == jsonbTrue}, true, nil
	}
	if n, is, err := j.integer(t); is {
		return Value{Kind: Int, Int: int64(n)}, true, err
	}
	if n, is, err := j.wide(t); is {
		return Value{Kind: Int, Int: n}, true, err
	}
	if f, is, err := j.double(t); is {
		return Value{Kind: Double, Double: f}, true, err
	}
	return v, false, nil
}

func (j *jsonb) text() ([]byte, error) {
	v, err := j.value()
	switch {
	case err != nil:
		return nil, err
	case v.Kind != Text && v.Kind != Null:
		return nil, fail(BadText)
	}
	return v.Text, nil
}

// value reads a value with its length; what stands behind its first scalar, or in it, is passed over by that.
func (j *jsonb) value() (v Value, err error) {
	if err := j.begin(); err != nil {
		return v, err
	}
	if v, err = j.within(false); err == nil {
		j.at = j.end
	}
	return v, err
}

// within reads a value that stands in another one, or, if it is not to be passed over, the beginning of one.
func (j *jsonb) within(pass bool) (v Value, err error) {
	t, err := j.tag()
	if err != nil {
		return v, err
	}
	if v, is, err := j.scalar(t); is {
		return v, err
	}
	if text, is, err := j.textOf(t); is {
		return Value{Kind: Text, Text: text}, err
	}
	if pass {
		err = j.pass(t)
	}
	return Value{Kind: Other}, err
}

// pass passes the value over that begins with a tag.
func (j *jsonb) pass(t byte) error {
	err := j.enter(t)
	for err == nil {
		var ends bool
		if ends, err = j.next(); ends || err != nil {
			break
		}
		if t, err = j.tag(); err == nil {
			err = j.enter(t)
		}
	}
	j.open = j.open[:0]
	return err
}

// next goes on to the next value of what is open. Ends is true when nothing is.
func (j *jsonb) next() (ends bool, err error) {
	for len(j.open) > 0 {
		last := &j.open[len(j.open)-1]
		switch {
		case *last == untilKey:
			if j.at == j.end {
				return false, fail(BodyCut)
			}
			if j.b[j.at] != jsonbEnd {
				*last = thenValue
				return false, nil
			}
			j.at++
		case *last == thenValue:
			*last = untilKey
			return false, nil
		case *last > 0:
			*last--
			return false, nil
		}
		j.open = j.open[:len(j.open)-1]
	}
	return true, nil
}

func (j *jsonb) into(n int32) error {
	switch {
	case len(j.open) == maxDepth:
		return fail(TooDeep)
	case int(n) > j.end-j.at:
		return fail(BadCount)
	}
	j.open = append(j.open, n)
	return nil
}

// enter reads what a tag begins: a value to its end, or an array or object to its first value.
func (j *jsonb) enter(t byte) (err error) {
	switch {
	case t == jsonbObject:
		return j.into(untilKey)
	case t >= jsonbArray && t < jsonbArrayLong:
		return j.into(int32(t - jsonbArray))
	case t == jsonbArrayLong:
		n, err := j.number()
		if err == nil && n < 0 {
			err = fail(BadCount)
		}
		if err != nil {
			return err
		}
		return j.into(n)
	case t == jsonbTyped:
		if _, err := j.symbol(); err != nil {
			return err
		}
		return j.into(1)
	case t == jsonbReference:
		return j.into(1)
	case t == jsonbBinary || t == jsonbBig:
		n, err := j.number()
		if err == nil {
			_, err = j.take(int(n))
		}
		return err
	case t == jsonbChar:
		_, err = j.number()
		return err
	case t == jsonbTime:
		return j.moment(3)
	case t == jsonbDateTime:
		return j.moment(7)
	case t == jsonbZoned:
		if err := j.moment(7); err != nil {
			return err
		}
		return j.into(1)
	case t == jsonbDate || t == jsonbSeconds || t == jsonbMinutes:
		_, err = j.take(4)
		return err
	case t == jsonbMillis:
		_, err = j.take(8)
		return err
	case t == jsonbInstant:
		if _, err = j.whole(); err == nil {
			_, err = j.number()
		}
		return err
	case t == jsonbDecimalInt || t == jsonbBigLong:
		_, err = j.whole()
		return err
	case t == jsonbDecimal:
		if _, err = j.number(); err != nil {
			return err
		}
		return j.into(1)
	}
	if _, is, err := j.scalar(t); is {
		return err
	}
	if _, is, err := j.textOf(t); is {
		return err
	}
	return fail(BadTag)
}

// moment passes over a time of so many bytes, and its nanoseconds.
func (j *jsonb) moment(n int) error {
	if _, err := j.take(n); err != nil {
		return err
	}
	_, err := j.number()
	return err
}

// pairs reads a map, or null, of which those are kept whose key is a text.
func (j *jsonb) pairs(into []Attachment) ([]Attachment, error) {
	if err := j.begin(); err != nil {
		return into, err
	}
	t, err := j.tag()
	if err == nil && t == jsonbTyped {
		if _, err = j.symbol(); err == nil {
			t, err = j.tag()
		}
	}
	switch {
	case err != nil || t == jsonbNull:
		return into, err
	case t != jsonbObject:
		return into, fail(NoAttachments)
	}
	for {
		if j.at == j.end {
			return into, fail(BodyCut)
		}
		if j.b[j.at] == jsonbEnd {
			j.at = j.end
			return into, nil
		}
		key, err := j.within(true)
		var v Value
		if err == nil {
			v, err = j.within(true)
		}
		if err == nil {
			into, err = keep(into, key, v)
		}
		if err != nil {
			return into, err
		}
	}
}

// appendJSONBInt writes an int that is not negative.
func appendJSONBInt(b []byte, n int32) []byte {
	if n <= 0x2f {
		return append(b, byte(n))
	}
	return binary.BigEndian.AppendUint32(append(b, jsonbInt), uint32(n))
}
