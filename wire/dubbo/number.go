package dubbo

import (
	"errors"
	"math"
	"strconv"
)

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
			return because("no long is as large as " + cut(token) + ": as a text it comes through")
		case n == int64(int32(n)):
			r.out = appendInt(r.out, int32(n))
		default:
			r.out = appendLong(r.out, n)
		}
		return nil
	}
	f, err := strconv.ParseFloat(string(token), 64)
	if err != nil || significant(token) > 17 {
		return because("no double is " + cut(token) + ": as a text it comes through")
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

var (
	errFraction = errors.New("a fraction")
	errLarge    = errors.New("too large")
)

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
