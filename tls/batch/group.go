package batch

import "sync"

// group is what is computed at once: a number for each lane, each with a modulus of its own.
type group struct {
	*kernel
	digits  int
	m, rr   []uint64 // moduli, and 2^(2·bits·digits) modulo them
	k       []uint64
	x, y, t []uint64
	one     []uint64
	sum     []uint64
	index   []uint64
	table   []uint64
}

// groups are spare ones by what they compute with: 40 KiB, and they hold secrets while they are in use.
var groups sync.Map // of size: *sync.Pool

// size is what operations have in common that can be done at once.
type size struct {
	*kernel
	digits int
}

func newGroup(c *kernel, digits int) *group {
	p, ok := groups.Load(size{c, digits})
	if !ok {
		p, _ = groups.LoadOrStore(size{c, digits}, &sync.Pool{New: func() any {
			lanes, n := c.lanes, digits*c.lanes
			g := &group{kernel: c, digits: digits, m: aligned(n), rr: aligned(n), k: aligned(lanes), x: aligned(n), y: aligned(n), t: aligned(n), one: aligned(n),
				sum: aligned(2*n + 2*lanes), index: aligned(lanes), table: aligned(entries * n)}
			for lane := range lanes {
				g.one[lane] = 1
			}
			return g
		}})
	}
	return p.(*sync.Pool).Get().(*group)
}

// free gives the group back, with nothing of what it computed.
func (g *group) free() {
	for _, n := range [][]uint64{g.x, g.y, g.t, g.sum, g.index, g.table, g.m, g.rr, g.k} {
		clear(n)
	}
	p, _ := groups.Load(size{g.kernel, g.digits})
	p.(*sync.Pool).Put(g)
}

// modulus is what a lane computes with.
type modulus struct {
	m, rr []uint64
	k     uint64
}

func (g *group) lane(i int, m *modulus) {
	g.put(g.m, i, m.m)
	g.put(g.rr, i, m.rr)
	g.k[i] = m.k
}

func (g *group) mul(out, a, b []uint64) { g.multiply(out, a, b, g.m, g.k, g.sum, g.digits) }

func (g *group) sqr(n []uint64) { g.square(n, n, g.m, g.k, g.sum, g.digits) }

// power raises x, which is in Montgomery's form and stays so, to an exponent for each lane: windows of four bits, the highest first, of
// which every lane has the same number.
func (g *group) power(exponents [][]uint8) {
	n := g.digits * g.lanes
	entry := func(i int) []uint64 { return g.table[i*n : (i+1)*n] }
	g.mul(entry(0), g.rr, g.one)
	copy(entry(1), g.x)
	for i := 2; i < entries; i++ {
		g.mul(entry(i), entry(i-1), g.x)
	}
	for w := range exponents[0] {
		for lane := range g.lanes {
			g.index[lane] = uint64(exponents[lane][w])
		}
		if w == 0 {
			g.choose(g.x, g.table, g.index, g.digits)
			continue
		}
		for range window {
			g.sqr(g.x)
		}
		g.choose(g.t, g.table, g.index, g.digits)
		g.mul(g.x, g.x, g.t)
	}
}

// lower takes x out of Montgomery's form, and is each lane below its modulus.
func (g *group) lower() [][]uint64 {
	g.mul(g.x, g.x, g.one)
	out := make([][]uint64, g.lanes)
	for lane := range g.lanes {
		out[lane] = g.get(g.x, lane, g.digits)
		g.reduce(out[lane], g.get(g.m, lane, g.digits))
	}
	return out
}
