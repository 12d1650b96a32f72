package dubbo

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
	return r.ends()
}

// ends says what stands behind the value that was read.
func (r *jsonReader) ends() error {
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

// items reads an array, and has each of its values be read.
func (r *jsonReader) items(read func() error) (n int, err error) {
	if err := r.enter(); err != nil {
		return 0, err
	}
	for more := r.peek() != ']'; more; n++ {
		if err := read(); err != nil {
			return n, within(err, n)
		}
		switch r.peek() {
		case ',':
			r.at++
		case ']':
			more = false
		default:
			return n, within(r.bad(), n)
		}
	}
	r.at++
	r.depth--
	return n, nil
}

// members reads an object, and has the value of each of its members be read.
func (r *jsonReader) members(read func(name jsonText) error) error {
	if err := r.enter(); err != nil {
		return err
	}
	for more := r.peek() != '}'; more; {
		if r.peek() != '"' {
			return r.bad()
		}
		name, err := r.text()
		if err != nil {
			return err
		}
		if r.peek() != ':' {
			return within(r.bad(), name)
		}
		r.at++
		if err := read(name); err != nil {
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
	return nil
}

// list reads an array, each of whose values is of a type. How many there are is written behind them, in the room that so many as there can be take.
func (r *jsonReader) list(of *Type) error {
	room := r.room()
	n, err := r.items(func() error { return r.value(of) })
	if err == nil {
		room.fill(r.out, n)
	}
	return err
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
	r.out = append(r.out, 'H')
	err := r.members(func(name jsonText) error {
		r.out = name.append(r.out)
		if r.peek() == '"' && name.is("class") {
			return because("Dubbo takes it for the class that an object is to be of, which callers may not say")
		}
		return r.value(of)
	})
	r.out = append(r.out, 'Z')
	return err
}

// Members gives the members of an object, which is all of a JSON text, one by one: the name, and the value as it stands there, both until the function returns. It is bounded as AppendArgument is.
func Members(json []byte, each func(name, value []byte)) error {
	r := jsonReader{in: json}
	if c := r.peek(); c != '{' {
		return because("it is no object")
	}
	err := r.members(func(name jsonText) error {
		r.space()
		from := r.at
		if err := r.pass(); err != nil {
			return err
		}
		r.out = name.utf8(r.out[:0])
		each(r.out, json[from:r.at])
		return nil
	})
	if err == nil {
		err = r.ends()
	}
	return err
}

// pass reads a value of which nothing is wanted.
func (r *jsonReader) pass() (err error) {
	switch r.peek() {
	case '{':
		return r.members(func(jsonText) error { return r.pass() })
	case '[':
		_, err = r.items(r.pass)
	case '"':
		_, err = r.text()
	case 'n', 't', 'f':
		_, err = r.literal()
	default:
		_, _, err = r.digits()
	}
	return err
}
