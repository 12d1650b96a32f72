package batch

import (
	"fmt"
	"math/bits"
	mathrand "math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unsafe"
)

// What a processor does with the assembly of AVX-512 IFMA, for machines that have none: the instructions that the kernels consist of and no
// others, as Intel's manual defines them. It is stricter than a processor: a sum of more than 64 bits is a fault, and so are a row that does
// not begin at a multiple of 64 bytes and one that is not of the numbers that were passed.

// vector is a register of eight words.
type vector [8]uint64

// program is one function: its instructions in plain text, and what each does.
type program struct {
	text  []string
	steps []func(*machine)
}

type machine struct {
	general   [16]uint64
	vectors   [32]vector
	masks     [8]uint8
	zero      bool // the flag
	next      int  // instruction; -1: it has returned
	arguments map[string]uint64
	memory    [][]uint64 // each at its number shifted by 32, and as far from a multiple of 64 bytes as it is
	trace     *trace     // nil: nobody asks
}

// trace is a digest of every instruction that was done and every address that was used, in their order.
type trace uint64

func (t *trace) add(v uint64) {
	if t != nil {
		*t = trace(bits.RotateLeft64((uint64(*t)^v)*0x9e3779b97f4a7c15, 29))
	}
}

// fault is what a machine panics with.
type fault string

func stop(format string, args ...any) { panic(fault(fmt.Sprintf(format, args...))) }

// run calls the function with numbers, whose names are in the order of numbers.
func (p *program) run(t *trace, digits int, names string, numbers ...[]uint64) {
	m := &machine{arguments: map[string]uint64{"digits": uint64(digits)}, memory: numbers, trace: t}
	for i := range m.general { // what was there before is nothing that may be relied on
		m.general[i] = 0xdead<<32 + uint64(i)
	}
	for i := range m.vectors {
		for lane := range m.vectors[i] {
			m.vectors[i][lane] = 0x0123456789abcdef * uint64(1+i+lane)
		}
	}
	for i := range m.masks {
		m.masks[i] = uint8(0x5a + i)
	}
	for i, name := range strings.Fields(names) {
		m.arguments[name] = uint64(i)<<32 + uint64(uintptr(unsafe.Pointer(&numbers[i][0]))%64)
	}
	for count := 0; m.next >= 0; count++ {
		if m.next >= len(p.steps) || count > 200_000 {
			stop("it does not return")
		}
		t.add(uint64(m.next))
		m.next++
		p.steps[m.next-1](m)
	}
}

// row is eight words of memory.
func (m *machine) row(address uint64) *vector {
	m.trace.add(address)
	i := int(address >> 32)
	if i >= len(m.memory) {
		stop("an address of nothing: %#x", address)
	}
	words := m.memory[i]
	at := int64(uint32(address)) - int64(uintptr(unsafe.Pointer(&words[0]))%64)
	switch {
	case address%64 != 0:
		stop("a row that is not aligned: %#x", address)
	case at < 0 || at/8+8 > int64(len(words)):
		stop("byte %d of a number of %d", at, 8*len(words))
	}
	return (*vector)(words[at/8:])
}

func add(x, y uint64) uint64 {
	sum, carry := bits.Add64(x, y, 0)
	if carry != 0 {
		stop("a sum of more than 64 bits")
	}
	return sum
}

var general = []string{"AX", "CX", "DX", "BX", "SI", "DI", "BP", "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15"}

var (
	address  = regexp.MustCompile(`^(-?\d+)?\((\w+)\)(?:\((\w+)\*([1248])\))?$`)
	argument = regexp.MustCompile(`^(\w+)\+\d+\(FP\)$`)
)

// How operands are read, as they are written in Go's assembly.

func register(o string) int {
	i := slices.Index(general, o)
	if i < 0 {
		stop("no general register: %s", o)
	}
	return i
}

func constant(o string) uint64 {
	n, err := strconv.ParseUint(strings.TrimPrefix(strings.TrimPrefix(o, "$"), "+"), 0, 64)
	if err != nil || o[0] != '$' {
		stop("no constant: %s", o)
	}
	return n
}

func numbered(o, kind string, below int) int {
	n, err := strconv.Atoi(strings.TrimPrefix(o, kind))
	if err != nil || !strings.HasPrefix(o, kind) || n >= below {
		stop("no register %s: %s", kind, o)
	}
	return n
}

// effective is the address that an operand means.
func effective(o string) func(*machine) uint64 {
	f := address.FindStringSubmatch(o)
	if f == nil {
		stop("no address: %s", o)
	}
	offset, _ := strconv.ParseInt(f[1], 10, 64)
	base := register(f[2])
	if f[3] == "" {
		return func(m *machine) uint64 { return m.general[base] + uint64(offset) }
	}
	index, scale := register(f[3]), constant("$"+f[4])
	return func(m *machine) uint64 { return m.general[base] + m.general[index]*scale + uint64(offset) }
}

// words are those of a vector register, or in memory.
func words(o string) func(*machine) *vector {
	if o[0] == 'Z' {
		i := numbered(o, "Z", 32)
		return func(m *machine) *vector { return &m.vectors[i] }
	}
	at := effective(o)
	return func(m *machine) *vector { return m.row(at(m)) }
}

// step is what one instruction does.
func step(name string, o []string, labels map[string]int) func(*machine) {
	want := func(n int) {
		if len(o) != n {
			stop("%s of %d operands", name, len(o))
		}
	}
	// each is an instruction that makes a word of each lane's words, of the result's too.
	each := func(n int, f func(x, y, old uint64) uint64) func(*machine) {
		want(n)
		x, y, to := words(o[n-3]), words("Z"+strconv.Itoa(numbered(o[n-2], "Z", 32))), numbered(o[n-1], "Z", 32)
		return func(m *machine) {
			x, y, to := x(m), y(m), &m.vectors[to]
			for i := range to {
				to[i] = f(x[i], y[i], to[i])
			}
		}
	}
	// count is an instruction that makes a general register of itself and of a register or a constant, and sets the flag.
	count := func(n int, f func(x, to uint64) uint64) func(*machine) {
		want(n)
		to := register(o[n-1])
		x := func(*machine) uint64 { return 1 }
		switch {
		case n == 2 && o[0][0] == '$':
			c := constant(o[0])
			x = func(*machine) uint64 { return c }
		case n == 2:
			r := register(o[0])
			x = func(m *machine) uint64 { return m.general[r] }
		}
		return func(m *machine) {
			m.general[to] = f(x(m), m.general[to])
			m.zero = m.general[to] == 0
		}
	}
	jump := func(if0 bool) func(*machine) {
		want(1)
		to, ok := labels[o[0]]
		if !ok {
			stop("no label %s", o[0])
		}
		return func(m *machine) {
			if m.zero == if0 {
				m.next = to
			}
		}
	}
	switch name {
	case "VMOVDQU64", "VMOVDQA64":
		want(2)
		from, to := words(o[0]), words(o[1])
		return func(m *machine) { *to(m) = *from(m) }
	case "VMOVDQA64.Z":
		want(3)
		from, mask, to := words(o[0]), numbered(o[1], "K", 8), numbered(o[2], "Z", 32)
		return func(m *machine) {
			for i, v := range *from(m) {
				m.vectors[to][i] = v & -uint64(m.masks[mask]>>i&1)
			}
		}
	case "VPCMPEQQ":
		want(3)
		x, y, to := words(o[0]), words(o[1]), numbered(o[2], "K", 8)
		return func(m *machine) {
			x, y := x(m), y(m)
			m.masks[to] = 0
			for i := range x {
				if x[i] == y[i] {
					m.masks[to] |= 1 << i
				}
			}
		}
	case "VPXORQ":
		return each(3, func(x, y, _ uint64) uint64 { return x ^ y })
	case "VPANDQ":
		return each(3, func(x, y, _ uint64) uint64 { return x & y })
	case "VPADDQ":
		return each(3, func(x, y, _ uint64) uint64 { return add(x, y) })
	case "VPSRLQ":
		want(3)
		n := constant(o[0])
		o = slices.Insert(o, 2, o[1]) // so that it has three words, too
		return each(4, func(x, _, _ uint64) uint64 { return x >> n })
	case "VPTERNLOGQ":
		n := constant(o[0])
		return each(4, func(x, y, old uint64) (v uint64) {
			for which := range 8 { // the truth table's lines, of which bit 2 is the old word, bit 1 the second operand and bit 0 the first
				if n>>which&1 == 1 {
					line := ^uint64(0)
					for bit, w := range []uint64{x, y, old} {
						line &= w ^ (uint64(which>>bit&1) - 1)
					}
					v |= line
				}
			}
			return v
		})
	case "VPMADD52LUQ":
		return each(3, func(x, y, old uint64) uint64 {
			_, l := bits.Mul64(x<<12>>12, y<<12>>12)
			return add(old, l<<12>>12)
		})
	case "VPMADD52HUQ":
		return each(3, func(x, y, old uint64) uint64 {
			h, l := bits.Mul64(x<<12>>12, y<<12>>12)
			return add(old, h<<12|l>>52)
		})
	case "VZEROUPPER":
		return func(m *machine) {
			for i := range 16 {
				clear(m.vectors[i][2:])
			}
		}
	case "RET":
		return func(m *machine) {
			for i := range 16 {
				if [6]uint64(m.vectors[i][2:]) != [6]uint64{} {
					stop("it returns with something in the upper part of Z%d, which makes all that uses the lower one slow", i)
				}
			}
			m.next = -1
		}
	case "MOVQ":
		want(2)
		to := register(o[1])
		if f := argument.FindStringSubmatch(o[0]); f != nil {
			return func(m *machine) {
				v, ok := m.arguments[f[1]]
				if !ok {
					stop("no argument %s", f[1])
				}
				m.general[to] = v
			}
		}
		from := register(o[0])
		return func(m *machine) { m.general[to] = m.general[from] }
	case "LEAQ":
		want(2)
		at, to := effective(o[0]), register(o[1])
		return func(m *machine) { m.general[to] = at(m) }
	case "ADDQ":
		return count(2, func(x, to uint64) uint64 { return to + x })
	case "SUBQ":
		return count(2, func(x, to uint64) uint64 { return to - x })
	case "DECQ":
		return count(1, func(x, to uint64) uint64 { return to - x })
	case "SHLQ":
		return count(2, func(x, to uint64) uint64 { return to << x })
	case "SHRQ":
		return count(2, func(x, to uint64) uint64 { return to >> x })
	case "CMPQ":
		want(2)
		x, y := register(o[0]), constant(o[1])
		return func(m *machine) { m.zero = m.general[x] == y }
	case "CMOVQEQ":
		want(2)
		from, to := register(o[0]), register(o[1])
		return func(m *machine) {
			if m.zero {
				m.general[to] = m.general[from]
			}
		}
	case "JZ":
		return jump(true)
	case "JNZ":
		return jump(false)
	}
	stop("an instruction that is not known: %s", name)
	return nil
}

// programs are the functions of the assembly's text whose names end as is said, without the instructions that skip tells of.
func programs(text, end string, skip func(function string, i int) bool) (all map[string]*program, err error) {
	line := ""
	defer func() {
		if f, ok := recover().(fault); ok {
			err = fmt.Errorf("%s: %s", line, string(f))
		}
	}()
	type instruction struct {
		name     string
		operands []string
	}
	all = map[string]*program{}
	for _, part := range strings.Split(text, "\nTEXT ·")[1:] {
		name, body, _ := strings.Cut(part, "(SB)")
		if !strings.HasSuffix(name, end) {
			continue
		}
		_, body, _ = strings.Cut(body, "\n")
		var list []instruction
		labels := map[string]int{}
		p := &program{}
		seen := 0
		for line = range strings.Lines(body) {
			line, _, _ = strings.Cut(line, "//")
			line = strings.TrimSpace(line)
			if line == "" {
				continue
			}
			if label, ok := strings.CutSuffix(line, ":"); ok {
				labels[label] = len(list)
				continue
			}
			if seen++; skip != nil && skip(name, seen-1) {
				continue
			}
			word, rest, _ := strings.Cut(line, " ")
			var operands []string
			if rest = strings.TrimSpace(rest); rest != "" {
				operands = strings.Split(rest, ", ")
			}
			list = append(list, instruction{word, operands})
			p.text = append(p.text, line)
		}
		for i, in := range list {
			line = p.text[i]
			p.steps = append(p.steps, step(in.name, in.operands, labels))
		}
		all[name] = p
	}
	return all, nil
}

// interpreted is the kernel of AVX-512 IFMA, by this interpreter. t is nil, or gets what every call does.
func interpreted(all map[string]*program, t *trace) *kernel {
	return &kernel{name: "AVX-512 IFMA, interpreted", lanes: 8, bits: 52, most: 1000, atOnce: 8,
		multiply: func(out, a, b, m, k, sum []uint64, digits int) {
			n := digits * 8
			all["multiply8"].run(t, digits, "out a b m k sum", out[:n], a[:n], b[:n], m[:n], k[:8], sum[:n])
		},
		square: func(out, a, m, k, sum []uint64, digits int) {
			n := digits * 8
			all["square8"].run(t, digits, "out a m k sum", out[:n], a[:n], m[:n], k[:8], sum[:2*n])
		},
		choose: func(out, table, index []uint64, digits int) {
			n := digits * 8
			all["choose8"].run(t, digits, "out table index", out[:n], table[:entries*n], index[:8])
		},
	}
}

var assembly = sync.OnceValue(func() string {
	b, err := os.ReadFile("kernel_amd64.s")
	if err != nil {
		panic(err)
	}
	return string(b)
})

// ifmaAnywhere is the kernel of AVX-512 IFMA, whatever this machine has.
var ifmaAnywhere = sync.OnceValue(func() *kernel {
	all, err := programs(assembly(), "8", nil)
	if err != nil {
		panic(err)
	}
	return interpreted(all, nil)
})

// everyKernel has a test done with each kernel that there is on this machine, with that of AVX-512 IFMA in any case, and with plain Go in both shapes.
func everyKernel(t *testing.T, do func(t *testing.T, c *kernel)) {
	for _, c := range append(kernels(), ifmaAnywhere(), reference(4, 28), reference(8, 52)) {
		t.Run(fmt.Sprintf("%s, %d bits", c.name, c.bits), func(t *testing.T) { do(t, c) })
	}
}

// Every kernel shows at the start that it computes what it should.
func TestProof(t *testing.T) {
	everyKernel(t, func(t *testing.T, c *kernel) {
		if err := c.prove(); err != nil {
			t.Error(err)
		}
	})
}

// What computes wrongly is passed over for what is next, and it is said why; where nothing is left, operations are done one by one.
func TestWrongKernelsDoNotServe(t *testing.T) {
	wrong := *reference(8, 52)
	wrong.name = "wrong"
	wrong.square = func(out, a, m, k, sum []uint64, digits int) {
		wrong.multiply(out, a, a, m, k, sum, digits)
		out[7] ^= 1
	}
	right := reference(4, 28)
	if c, err := firstProven([]*kernel{&wrong, right}); c != right || err == nil || !strings.Contains(err.Error(), "wrong: a square") {
		t.Errorf("%v serves, %v", c, err)
	}
	if c, err := firstProven([]*kernel{right, &wrong}); c != right || err != nil {
		t.Errorf("%v serves, %v", c, err)
	}
	if c, err := firstProven([]*kernel{&wrong}); c != nil || err == nil {
		t.Errorf("%v serves, %v", c, err)
	}
	if _, err := newKey(keys[2048](), &Queue{}, nil); err == nil {
		t.Error("a key without a kernel was taken")
	}
}

// A kernel that lacks any of its instructions does not get through the proof: so it is worth something, and so is the interpreter.
func TestProofOfEachInstruction(t *testing.T) {
	whole, err := programs(assembly(), "8", nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(whole) != 3 {
		t.Fatalf("%d functions", len(whole))
	}
	for name, p := range whole {
		for i, text := range p.text {
			less, err := programs(assembly(), name, func(function string, at int) bool { return function == name && at == i })
			if err != nil {
				t.Fatal(err)
			}
			for other, p := range whole {
				if other != name {
					less[other] = p
				}
			}
			if err := proven(interpreted(less, nil)); err == nil {
				t.Errorf("%s without its instruction %d, %s, is as good as with it", name, i, text)
			}
		}
	}
}

// proven is prove for a kernel that may fault.
func proven(c *kernel) (err error) {
	defer func() {
		if f, ok := recover().(fault); ok {
			err = fmt.Errorf("%s", string(f))
		}
	}()
	return c.prove()
}

// Whatever the numbers are, the same instructions are done with the same addresses.
func TestTraceIsTheSameForAll(t *testing.T) {
	all, err := programs(assembly(), "8", nil)
	if err != nil {
		t.Fatal(err)
	}
	var seen trace
	c := interpreted(all, &seen)
	g := newGroup(c, c.digitsFor(1024))
	defer g.free()
	r := mathrand.New(mathrand.NewPCG(7, 8))
	var first trace
	for round := range 4 {
		seen = 0
		for lane := range c.lanes {
			m := keys[2048]().Primes[(lane+round)%2]
			modulus := c.newModulus(m, g.digits)
			g.lane(lane, &modulus)
		}
		exponents := make([][]uint8, c.lanes)
		for lane := range exponents {
			exponents[lane] = make([]uint8, 8)
			for i := range exponents[lane] {
				exponents[lane][i] = uint8(r.IntN(entries) * round % entries) // in the first round only zeros
			}
		}
		copy(g.x, c.random(r, g.digits, round%2 == 1))
		g.power(exponents)
		if first == 0 {
			first = seen
		}
		if seen != first || seen == 0 {
			t.Errorf("round %d goes another way: %x, want %x", round, seen, first)
		}
	}
}
