package http2

// decoder reads header blocks (RFC 7541 §3) of one direction of one connection. Whatever becomes of the message, each block must be read
// to its end, since the next one may speak of what this one has put into the table.
type decoder struct {
	table
	limit uint32 // how large the peer may make the table: what we announced
	late  bool   // a field of the block was read: no update of the table's size may follow
}

// literal is a string as it stands in a block.
type literal struct {
	raw     []byte
	huffman bool
}

// decode reads a block, or a piece of one unless final is set, into m, and gives back what is left of the piece: the beginning of a
// representation that is not whole. A code other than none is the connection's end.
func (d *decoder) decode(b []byte, m *head, final bool) (rest []byte, code Code) {
	for len(b) > 0 {
		start, c := b, b[0]
		if c >= 0x80 { // §6.1: indexed field
			i := uint64(c & 0x7f)
			if b = b[1:]; i == 0x7f {
				var ok bool
				if i, b, ok = integer(i, b); !ok {
					return unfinished(start, b, final)
				}
			}
			d.late = true
			if i < uint64(len(staticTable)) {
				if i == 0 {
					return nil, BadIndex
				}
				k := &staticTable[i]
				m.field(k.id, k.kind, k.code, k.name, k.value, false)
				continue
			}
			n := i - uint64(len(staticTable))
			if n >= uint64(d.len()) {
				return nil, BadIndex
			}
			e := d.at(d.next - 1 - uint32(n))
			v := e.off + e.name
			m.field(e.id, e.kind, e.code, d.bytes[e.off:v:v], d.bytes[v:v+e.value:v+e.value], false)
			continue
		}
		if c&0xe0 == 0x20 { // §6.3: size update
			i := uint64(c & 0x1f)
			if b = b[1:]; i == 0x1f {
				var ok bool
				if i, b, ok = integer(i, b); !ok {
					return unfinished(start, b, final)
				}
			}
			if d.late {
				return nil, LateTableUpdate
			}
			if i > uint64(d.limit) {
				return nil, BadTableSize
			}
			d.setMax(uint32(i))
			continue
		}
		mask := byte(0x0f) // §6.2.2, §6.2.3: literal without indexing, never indexed
		if c&0x40 != 0 {   // §6.2.1: literal with incremental indexing
			mask = 0x3f
		}
		i := uint64(c & mask)
		ok := true
		if b = b[1:]; i == uint64(mask) {
			if i, b, ok = integer(i, b); !ok {
				return unfinished(start, b, final)
			}
		}
		var name, value literal
		if i == 0 {
			if name, b, ok = stringLiteral(b); !ok {
				return unfinished(start, b, final)
			}
		}
		if value, b, ok = stringLiteral(b); !ok {
			return unfinished(start, b, final)
		}
		d.late = true
		if code := d.literal(i, name, value, m, c&0x40 != 0, c&0xf0 == 0x10); code != none {
			return nil, code
		}
	}
	return nil, none
}

// literal takes one field that is spelled out, at least its value.
func (d *decoder) literal(index uint64, name, value literal, m *head, insert, never bool) Code {
	var f entry
	var n []byte
	ref, named := uint32(0), false
	switch {
	case index == 0:
		n = name.raw
		if name.huffman {
			var ok bool
			// The value's room is asked for with that of the name, so that the name need not move.
			if n, ok = appendHuffman(m.tail(huffmanRoom(len(n))+huffmanRoom(len(value.raw))), n); !ok {
				return BadHuffman
			}
		}
		f.id, f.kind, f.code = classify(n)
	case index < uint64(len(staticTable)):
		k := &staticTable[index]
		n, f.id, f.kind = k.name, k.id, k.kind
	default:
		if index -= uint64(len(staticTable)); index >= uint64(d.len()) {
			return BadIndex
		}
		ref, named = d.next-1-uint32(index), true
		e := d.at(ref)
		n, f.id, f.kind = d.name(e), e.id, e.kind
		if e.code == BadName {
			f.code = BadName
		}
	}
	v := value.raw
	if value.huffman {
		// It is decoded to where it will be if the name is put before it.
		tail, ok := m.tail(len(n)+huffmanRoom(len(v))), false
		if v, ok = appendHuffman(tail[len(n):len(n)], v); !ok {
			return BadHuffman
		}
	}
	if f.code == none {
		f.code = f.kind.judge(v)
	}
	if insert {
		// Before m has it, who may move the value.
		if e := d.insert(n, v, ref, named); e != nil {
			e.id, e.kind, e.code = f.id, f.kind, f.code
			n = d.name(e)
		}
	}
	m.field(f.id, f.kind, f.code, n, v, never)
	return none
}

// integer reads on where the prefix of an integer was full (RFC 7541 §5.1). If it is not whole rest is empty; if it is too large rest is not.
func integer(prefix uint64, b []byte) (n uint64, rest []byte, ok bool) {
	n = prefix
	for i, c := range b {
		if i == 9 {
			return 0, b, false
		}
		n += uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			return n, b[i+1:], true
		}
	}
	if len(b) >= 9 {
		return 0, b, false
	}
	return 0, nil, false
}

// stringLiteral reads a string without decoding it (RFC 7541 §5.2).
func stringLiteral(b []byte) (s literal, rest []byte, ok bool) {
	if len(b) == 0 {
		return s, nil, false
	}
	n, huffman := uint64(b[0]&0x7f), b[0] >= 0x80
	if b = b[1:]; n == 0x7f {
		if n, b, ok = integer(n, b); !ok {
			return s, b, false
		}
	}
	if n > uint64(len(b)) {
		return s, nil, false
	}
	return literal{b[:n:n], huffman}, b[n:], true
}

// unfinished is for a representation of which rest says whether it may become whole.
func unfinished(start, rest []byte, final bool) ([]byte, Code) {
	switch {
	case len(rest) > 0:
		return nil, BadInteger
	case final:
		return nil, CutBlock
	}
	return start, none
}
