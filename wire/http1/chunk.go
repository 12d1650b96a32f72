package http1

// chunkHead reads the end of a chunk's data, if that is due, and the next chunk's size and extensions (RFC 9112 §7.1). It tells how much
// it took; d is then inChunk, or inTrailers, or where it was if more is needed.
func (d *Decoder) chunkHead(in []byte) (n int, c Code) {
	if d.state == afterChunk {
		switch {
		case len(in) >= 2 && in[0] == '\r' && in[1] == '\n':
			n = 2
			d.state = atChunk
		case len(in) == 0 || len(in) == 1 && in[0] == '\r':
			return 0, none
		default:
			return 0, BadChunk
		}
	}
	line, cut := limited(in[n:], maxSizeDigits+d.o.chunkExtension()+len("\r\n"))
	if d.scanned != 0 {
		if whole, c := d.lineEnd(line, cut, ChunkExtension); !whole {
			return n, c
		}
	}
	size, i := int64(0), 0
	for i < len(line) && i < maxSizeDigits {
		x := hex[line[i]]
		if x > 15 || size>>59 != 0 {
			break
		}
		size = size<<4 | int64(x)
		i++
	}
	if i == 0 || i+1 >= len(line) || line[i] != '\r' || line[i+1] != '\n' {
		// With extensions, or at fault, or not whole.
		whole, c := d.lineEnd(line, cut, ChunkExtension)
		if !whole {
			return n, c
		}
		end := control(line, 0)
		if i == 0 || !d.extension(line[i:end]) {
			return n, BadChunk
		}
		if end-i > d.o.chunkExtension() || !d.afford(end-i, size) {
			return n, ChunkExtension
		}
		i = end
	}
	n += i + 2
	if size > 0 {
		d.state, d.left = inChunk, size
		return n, none
	}
	d.state, d.used, d.fields, d.taken = inTrailers, 0, 0, 0
	if d.Trailers != nil {
		d.Trailers.Reset()
	}
	return n, none
}

// extension tells whether b, which has no control characters, can be what follows a chunk size: nothing, or a semicolon after optional
// white space, and anything.
func (d *Decoder) extension(b []byte) bool {
	for _, c := range b {
		switch c {
		case ' ', '\t':
		case ';':
			return true
		default:
			return false
		}
	}
	return len(b) == 0
}

// afford counts n bytes of extensions that came with size bytes of data and tells whether that is still allowed.
func (d *Decoder) afford(n int, size int64) bool {
	d.excess += uint32(n)
	d.excess -= uint32(min(int64(d.excess), size))
	return d.excess <= bodyExtensions
}
