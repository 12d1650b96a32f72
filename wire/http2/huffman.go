package http2

import "encoding/binary"

// The Huffman code of RFC 7541 appendix B is canonical: it is told by the lengths of its symbols, those of one length being numbered in
// the order of the bytes.

// huffmanGroups are the symbols of each length in bits. The end of string, of 30 bits, is the last of all and must not be sent.
var huffmanGroups = [...]struct {
	bits    uint8
	symbols string
}{
	{5, "012aceiost"},
	{6, " %-./3456789=A_bdfghlmnpru"},
	{7, ":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"},
	{8, "&*,;XZ"},
	{10, "!\"()?"},
	{11, "'+|"},
	{12, "#>"},
	{13, "\x00$@[]~"},
	{14, "^}"},
	{15, "<`{"},
	{19, "\\\xc3\xd0"},
	{20, "\x80\x82\x83\xa2\xb8\xc2\xe0\xe2"},
	{21, "\x99\xa1\xa7\xac\xb0\xb1\xb3\xd1\xd8\xd9\xe3\xe5\xe6"},
	{22, "\x81\x84\x85\x86\x88\x92\x9a\x9c\xa0\xa3\xa4\xa9\xaa\xad\xb2\xb5\xb9\xba\xbb\xbd\xbe\xc4\xc6\xe4\xe8\xe9"},
	{23, "\x01\x87\x89\x8a\x8b\x8c\x8d\x8f\x93\x95\x96\x97\x98\x9b\x9d\x9e\xa5\xa6\xa8\xae\xaf\xb4\xb6\xb7\xbc\xbf\xc5\xe7\xef"},
	{24, "\t\x8e\x90\x91\x94\x9f\xab\xce\xd7\xe1\xec\xed"},
	{25, "\xc7\xcf\xea\xeb"},
	{26, "\xc0\xc1\xc8\xc9\xca\xcd\xd2\xd5\xda\xdb\xee\xf0\xf2\xf3\xff"},
	{27, "\xcb\xcc\xd3\xd4\xd6\xdd\xde\xdf\xf1\xf4\xf5\xf6\xf7\xf8\xfa\xfb\xfc\xfd\xfe"},
	{28, "\x02\x03\x04\x05\x06\a\b\v\f\x0e\x0f\x10\x11\x12\x13\x14\x15\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\x7f\xdc\xf9"},
	{30, "\n\r\x16"},
}

// lookBits is how many bits are looked up at once: two of the shortest symbols, or any one of what text is mostly made of.
const lookBits = 11

// step is what the next lookBits bits say: up to two symbols and the bits they take. None: the symbol is a longer one.
type step struct {
	first, second byte
	symbols       uint8
	bits          uint8
}

// group is where the codes of one length begin, moved to the upper end of 32 bits, and their symbols.
type group struct {
	bits    uint8
	end     uint64 // the first code that is longer
	first   uint32
	symbols string
}

var huffmanSteps, huffmanLong = func() (steps [1 << lookBits]step, long []group) {
	var single [1 << lookBits]step
	code := uint64(0) // left-justified in 32 bits
	for _, g := range huffmanGroups {
		long = append(long, group{bits: g.bits, first: uint32(code), symbols: g.symbols, end: code + uint64(len(g.symbols))<<(32-g.bits)})
		for i := range len(g.symbols) {
			if g.bits <= lookBits {
				for at := code >> (32 - lookBits); at < (code+1<<(32-g.bits))>>(32-lookBits); at++ {
					single[at] = step{first: g.symbols[i], symbols: 1, bits: g.bits}
				}
			}
			code += 1 << (32 - g.bits)
		}
	}
	for at, s := range single {
		if s.symbols == 1 {
			if next := single[at<<s.bits&(len(single)-1)]; next.symbols == 1 && s.bits+next.bits <= lookBits {
				s = step{s.first, next.first, 2, s.bits + next.bits}
			}
		}
		steps[at] = s
	}
	return steps, long
}()

// huffmanRoom bounds what n bytes of the code are decoded to, with room for what is written ahead.
func huffmanRoom(n int) int { return n*8/5 + 2 }

// appendHuffman decodes in behind dst, whose room must be huffmanRoom(len(in)), and tells whether it was valid: padded with less than a
// byte of ones, and without the end of string.
func appendHuffman(dst, in []byte) ([]byte, bool) {
	out, n := dst[:cap(dst)], len(dst)
	var acc uint64 // the bits at hand, at the upper end
	var have uint8 // how many
	for len(in) >= 8 {
		// Bits below have are those of the next byte, which is or-ed to itself later.
		acc |= binary.BigEndian.Uint64(in) >> have
		k := (63 - have) >> 3
		in, have = in[k:], have+k*8
		for have >= 30 {
			s := huffmanSteps[acc>>(64-lookBits)]
			if s.symbols == 0 {
				if s = longSymbol(acc); s.symbols == 0 {
					return dst, false
				}
			}
			out[n+1] = s.second
			out[n] = s.first
			n += int(s.symbols)
			acc <<= s.bits & 63
			have -= s.bits
		}
	}
	for {
		for have <= 56 && len(in) > 0 {
			acc |= uint64(in[0]) << (56 - have)
			in, have = in[1:], have+8
		}
		padded := acc | ^uint64(0)>>have
		if have < 8 && padded == ^uint64(0) {
			return dst[:n], true
		}
		s := huffmanSteps[padded>>(64-lookBits)]
		if s.symbols == 0 {
			s = longSymbol(padded)
		}
		if s.symbols == 0 || s.bits > have {
			return dst, false
		}
		out[n] = s.first
		if s.symbols == 2 {
			out[n+1] = s.second
		}
		n += int(s.symbols)
		acc <<= s.bits & 63
		have -= s.bits
	}
}

// longSymbol is the symbol that acc begins with, which is longer than what is looked up; none for the end of string.
func longSymbol(acc uint64) step {
	code := acc >> 32
	for i := range huffmanLong {
		if g := &huffmanLong[i]; code < g.end {
			return step{first: g.symbols[(code-uint64(g.first))>>(32-g.bits)], symbols: 1, bits: g.bits}
		}
	}
	return step{}
}
