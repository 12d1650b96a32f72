package loop

// Sizes of what is read at once: the first, and what a connection whose last read filled it gets next (docs/design/0003-engine.md:
// 256 KiB halves the cost of bulk).
const (
	readSize = 64 << 10
	bulkSize = 256 << 10
)

// pool keeps a loop's spare buffers by size class. Idle connections hold none, so what is kept is bounded by how many were busy at
// once, and by keepBytes.
type pool struct {
	free [len(classes)][][]byte
	kept int
}

var classes = [...]int{2 << 10, 8 << 10, 32 << 10, 128 << 10, 512 << 10, 2 << 20}

// keepBytes bounds what a pool holds on to.
const keepBytes = 4 << 20

// get is an empty buffer with room for n bytes.
func (p *pool) get(n int) []byte {
	for i, size := range classes {
		if size < n {
			continue
		}
		if free := p.free[i]; len(free) > 0 {
			b := free[len(free)-1]
			free[len(free)-1] = nil
			p.free[i] = free[:len(free)-1]
			p.kept -= size
			return b
		}
		return make([]byte, 0, size)
	}
	return make([]byte, 0, n)
}

// put takes a buffer back that get gave, or anything else, which it drops.
func (p *pool) put(b []byte) {
	for i, size := range classes {
		if cap(b) == size {
			if p.kept+size <= keepBytes {
				p.free[i] = append(p.free[i], b[:0])
				p.kept += size
			}
			return
		}
	}
}

// grow makes room for n more bytes behind b, moving it to a larger buffer if need be.
func (p *pool) grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	larger := append(p.get(max(len(b)+n, 2*len(b))), b...)
	if b != nil {
		p.put(b)
	}
	return larger
}
