package dubbo

import (
	"math"
	"strconv"
	"unicode/utf8"
)

// maxNesting bounds how deep lists and objects stand in one another in JSON that is written as an argument, which a provider reads by calls within calls.
const maxNesting = 256

// jsonReader reads a JSON text (RFC 8259), and writes what it reads.
type jsonReader struct {
	in    []byte
	at    int
	out   []byte
	depth int
}

func (r *jsonReader) space() {
	for r.at < len(r.in) {
		switch r.in[r.at] {
		case ' ', '\t', '\n', '\r':
			r.at++
		default:
			return
		}
	}
}

// peek is the byte that the next value or sign begins with; 0 at the end.
func (r *jsonReader) peek() byte {
	r.space()
	if r.at == len(r.in) {
		return 0
	}
	return r.in[r.at]
}

// whole reads a text that is one value of a type.
func (r *jsonReader) whole(t *Type) error {
	if err := r.value(t); err != nil {
		return err
	}
	if r.peek() != 0 || r.at < len(r.in) {
		return because("it is no JSON: behind its value stands " + quote(r.in[r.at:]))
	}
	return nil
}

// value reads a value that a type is wanted of.
func (r *jsonReader) value(t *Type) error {
	c := r.peek()
	switch {
	case c == 'n' && t.Primitive():
		if _, err := r.literal(); err != nil {
			return err
		}
		return t.unlike("null")
	case t.kind != ofAnything && c != 'n':
		return r.declared(t, c)
	}
	switch c {
	case '{':
		return r.object(&untyped)
	case '[':
		return r.list(&untyped)
	case '"':
		s, err := r.text()
		if err == nil {
			r.out = s.append(r.out)
		}
		return err
	case 'n', 't', 'f':
		tag, err := r.literal()
		if err == nil {
			r.out = append(r.out, tag)
		}
		return err
	}
	return r.number()
}

// literal reads null, true or false, and gives what hessian2 has for it.
func (r *jsonReader) literal() (byte, error) {
	for _, one := range [...]struct {
		text string
		tag  byte
	}{{"null", hessianNull}, {"true", 'T'}, {"false", 'F'}} {
		if rest := r.in[r.at:]; len(rest) >= len(one.text) && string(rest[:len(one.text)]) == one.text {
			r.at += len(one.text)
			return one.tag, nil
		}
	}
	return 0, r.bad()
}

// bad is that what stands here begins no value.
func (r *jsonReader) bad() error {
	if r.at >= len(r.in) {
		return because("it is no JSON: it ends where more should come")
	}
	return because("it is no JSON: " + quote(r.in[r.at:]) + " begins nothing that may stand there")
}

func (r *jsonReader) enter() error {
	if r.depth == maxNesting {
		return because("lists and objects stand in one another more than 256 deep")
	}
	r.depth++
	r.at++
	return nil
}

// list reads an array, each of whose values is of a type. How many there are is written behind them, in the room that so many as there can be take.
func (r *jsonReader) list(of *Type) error {
	if err := r.enter(); err != nil {
		return err
	}
	room, n := r.room(), 0
	for more := r.peek() != ']'; more; n++ {
		if err := r.value(of); err != nil {
			return within(err, n)
		}
		switch r.peek() {
		case ',':
			r.at++
		case ']':
			more = false
		default:
			return within(r.bad(), n)
		}
	}
	r.at++
	r.depth--
	room.fill(r.out, n)
	return nil
}

// lengthRoom is where a list of no type says how many values it has.
type lengthRoom struct{ at, size int }

// room begins a list. A value and what divides it from the next take two bytes at least.
func (r *jsonReader) room() lengthRoom {
	room := lengthRoom{len(r.out) + 1, 5}
	switch most := (len(r.in) - r.at) / 2; {
	case most <= 2047:
		room.size = 2
	case most <= 262143:
		room.size = 3
	}
	r.out = append(append(r.out, 'X'), "\x00\x00\x00\x00\x00"[:room.size]...)
	return room
}

func (room lengthRoom) fill(b []byte, n int) {
	b = b[room.at:]
	switch room.size {
	case 2:
		b[0], b[1] = byte(0xc8+n>>8), byte(n)
	case 3:
		b[0], b[1], b[2] = byte(0xd4+n>>16), byte(n>>8), byte(n)
	default:
		b[0], b[1], b[2], b[3], b[4] = 'I', byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	}
}

// object reads an object, each of whose values is of a type, and writes it as a map. A name that stands there twice stands in the map twice, of which Java keeps the last.
func (r *jsonReader) object(of *Type) error {
	if err := r.enter(); err != nil {
		return err
	}
	r.out = append(r.out, 'H')
	for more := r.peek() != '}'; more; {
		if r.peek() != '"' {
			return r.bad()
		}
		name, err := r.text()
		if err != nil {
			return err
		}
		r.out = name.append(r.out)
		if r.peek() != ':' {
			return within(r.bad(), name)
		}
		r.at++
		if r.peek() == '"' && name.is("class") {
			return within(because("Dubbo takes it for the class that an object is to be of, which callers may not say"), name)
		}
		if err := r.value(of); err != nil {
			return within(err, name)
		}
		switch r.peek() {
		case ',':
			r.at++
		case '}':
			more = false
		default:
			return r.bad()
		}
	}
	r.at++
	r.depth--
	r.out = append(r.out, 'Z')
	return nil
}

// number reads a number of no declared type: an int if it is one, or else a long, and if it has a fraction or an exponent a double. What is in none of them is refused.
func (r *jsonReader) number() error {
	token, whole, err := r.digits()
	if err != nil {
		return err
	}
	if whole {
		n, err := integer(token)
		switch {
		case err != nil:
			return because("no long is as large as " + shown(token) + ": as a text it comes through")
		case n == int64(int32(n)):
			r.out = appendInt(r.out, int32(n))
		default:
			r.out = appendLong(r.out, n)
		}
		return nil
	}
	f, err := strconv.ParseFloat(string(token), 64)
	if err != nil || significant(token) > 17 {
		return because("no double is " + shown(token) + ": as a text it comes through")
	}
	r.out = appendDouble(r.out, f)
	return nil
}

// digits reads a number. Whole says that it has neither fraction nor exponent.
func (r *jsonReader) digits() (token []byte, whole bool, err error) {
	from, whole := r.at, true
	run := func() bool {
		begin := r.at
		for r.at < len(r.in) && r.in[r.at]-'0' <= 9 {
			r.at++
		}
		return r.at > begin
	}
	next := func(a, b byte) bool {
		is := r.at < len(r.in) && (r.in[r.at] == a || r.in[r.at] == b)
		if is {
			r.at++
		}
		return is
	}
	next('-', '-')
	if !next('0', '0') && !run() {
		return nil, false, r.bad()
	}
	if next('.', '.') {
		whole = false
		if !run() {
			return nil, false, r.bad()
		}
	}
	if next('e', 'E') {
		whole = false
		next('+', '-')
		if !run() {
			return nil, false, r.bad()
		}
	}
	return r.in[from:r.at], whole, nil
}

// significant counts the digits of a number between its first and last that are not 0.
func significant(token []byte) int {
	n, zeros := 0, 0
	for _, c := range token {
		switch {
		case c == 'e' || c == 'E':
			return n
		case c == '0':
			if n > 0 {
				zeros++
			}
		case c > '0' && c <= '9':
			n, zeros = n+zeros+1, 0
		}
	}
	return n
}

// decimal is a number as it is written: a sign, digits, and how many of them stand before the point.
type decimal struct {
	negative bool
	token    []byte // its digits, and a point among them
	digits   int
	before   int
}

// maxExponent bounds what stands behind an e.
const maxExponent = 9999

func parseDecimal(token []byte) (d decimal) {
	if token[0] == '-' {
		d.negative, token = true, token[1:]
	}
	point, exponent := -1, 0
	for i, c := range token {
		switch {
		case c == '.':
			point = d.digits
		case c == 'e' || c == 'E':
			n := token[i+1:]
			sign := n[0] == '-'
			if sign || n[0] == '+' {
				n = n[1:]
			}
			for _, c := range n {
				exponent = min(exponent*10+int(c-'0'), maxExponent+1)
			}
			if sign {
				exponent = -exponent
			}
			token = token[:i]
		default:
			d.digits++
			continue
		}
		if c != '.' {
			break
		}
	}
	if point < 0 {
		point = d.digits
	}
	d.token, d.before = token, point+exponent
	return d
}

// whole appends the digits of an integer, without zeros before them, at most so many. A fraction is none, unless it is 0.
func (d *decimal) whole(b []byte, most int) (digits []byte, err error) {
	i, from := 0, len(b)
	for _, c := range d.token {
		if c == '.' {
			continue
		}
		switch {
		case i >= d.before && c != '0':
			return nil, errFraction
		case i < d.before && (c != '0' || len(b) > from):
			if len(b)-from == most {
				return nil, errLarge
			}
			b = append(b, c)
		}
		i++
	}
	if len(b) > from {
		for ; i < d.before; i++ {
			if len(b)-from == most {
				return nil, errLarge
			}
			b = append(b, '0')
		}
	}
	return b, nil
}

// integer is the number if it is one of 64 bits, however it is written.
func integer(token []byte) (int64, error) {
	var room [20]byte
	d := parseDecimal(token)
	digits, err := d.whole(room[:0], 19)
	if err != nil {
		return 0, err
	}
	n := uint64(0)
	for _, c := range digits {
		n = n*10 + uint64(c-'0') // 19 digits are less than 2^64
	}
	switch {
	case d.negative && n <= 1<<63:
		return -int64(n), nil
	case d.negative || n > math.MaxInt64:
		return 0, errLarge
	}
	return int64(n), nil
}

// jsonText is a text as JSON has it, without its quotes, which was found to be one.
type jsonText struct {
	raw     []byte
	escaped bool // a \ is in it
	ascii   bool
	units   int // characters of UTF-16
}

// plain are the bytes that stand for themselves.
var plain = func() (is [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		is[c] = c != '"' && c != '\\'
	}
	return is
}()

// text reads a text. There must be a quote here.
func (r *jsonReader) text() (s jsonText, err error) {
	r.at++
	from, at := r.at, r.at
	s.ascii = true
	for {
		begin := at
		for at < len(r.in) && plain[r.in[at]] {
			at++
		}
		s.units += at - begin
		r.at = at
		if at == len(r.in) {
			return s, because("it is no JSON: a text does not end")
		}
		switch c := r.in[at]; {
		case c == '"':
			s.raw = r.in[from:at]
			r.at++
			return s, nil
		case c == '\\':
			char, size := unescape(r.in[at:])
			if size == 0 {
				return s, because("it is no JSON: " + quote(r.in[at:]) + " stands for no character")
			}
			s.escaped = true
			s.ascii = s.ascii && char < utf8.RuneSelf
			s.units += width(char)
			at += size
		case c < utf8.RuneSelf:
			return s, because("it is no JSON: a control character stands in a text as it is")
		default:
			char, size := utf8.DecodeRune(r.in[at:])
			if char == utf8.RuneError && size == 1 {
				return s, because("it is no UTF-8")
			}
			s.ascii = false
			s.units += width(char)
			at += size
		}
	}
}

// unescape reads what a \ begins, and how long that is; 0: it is nothing. Half of a pair alone is U+FFFD, as what is no character is.
func unescape(b []byte) (r rune, size int) {
	if len(b) < 2 {
		return 0, 0
	}
	switch b[1] {
	case '"', '\\', '/':
		return rune(b[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		high, is := hex4(b[2:])
		switch {
		case !is:
			return 0, 0
		case high < 0xd800 || high > 0xdfff:
			return high, 6
		case high < 0xdc00 && len(b) >= 12 && b[6] == '\\' && b[7] == 'u':
			if low, is := hex4(b[8:]); is && low >= 0xdc00 && low <= 0xdfff {
				return (high-0xd800)<<10 + low - 0xdc00 + 0x10000, 12
			}
		}
		return utf8.RuneError, 6
	}
	return 0, 0
}

func hex4(b []byte) (r rune, is bool) {
	if len(b) < 4 {
		return 0, false
	}
	for _, c := range b[:4] {
		switch {
		case c-'0' <= 9:
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// next is the character that a text begins with which is not at its end.
func (s *jsonText) next(at int) (r rune, size int) {
	if s.raw[at] == '\\' {
		return unescape(s.raw[at:])
	}
	return utf8.DecodeRune(s.raw[at:])
}

// append writes the text in hessian2.
func (s *jsonText) append(b []byte) []byte {
	if s.ascii && !s.escaped {
		return appendASCII(b, s.raw)
	}
	w := textWriter{b: b}
	w.begin(s.units)
	for at := 0; at < len(s.raw); {
		r, size := s.next(at)
		w.put(r)
		at += size
	}
	return w.end()
}

// utf8 appends the text as people read it.
func (s *jsonText) utf8(b []byte) []byte {
	if !s.escaped {
		return append(b, s.raw...)
	}
	for at := 0; at < len(s.raw); {
		r, size := s.next(at)
		b = utf8.AppendRune(b, r)
		at += size
	}
	return b
}

// is tells whether it is this one.
func (s *jsonText) is(text string) bool {
	if !s.escaped {
		return string(s.raw) == text
	}
	if len(s.raw) > 6*len(text) {
		return false
	}
	var room [64]byte
	return string(s.utf8(room[:0])) == text
}
