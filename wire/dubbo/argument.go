package dubbo

import (
	"encoding/base64"
	"math"
	"math/big"
	"strconv"
	"time"
	"unicode/utf8"
)

// AppendArgument writes JSON as a value of the type in hessian2. json is one value, in UTF-8, in which lists and objects stand in one another 256 deep at most. An error says in plain words what it is and what was wanted, with the
// place inside ("[2].price: want an int, not 3.5"); then nothing is written.
//
// Of types whose JSON is known it is checked: numbers and their ranges (3.0 and 1e3 are integers, and a text that is a number is one, since JavaScript's numbers are no longs), booleans, characters, which are one of UTF-16's, texts,
// lists, sets, arrays and maps and what is said to be in them. byte[] is a text in base64, char[] a text. java.util.Date is a text as RFC 3339 has it, or the milliseconds since 1970, to which it is cut; "2006-01-02 15:04:05", which is of no zone,
// is passed on as it is, and read by the provider in its own, as from all callers of Dubbo's. java.math.BigDecimal and BigInteger are as they are written, of 1024 digits at most, to which an integer's exponent adds 64: for those the Invocation defines classes, and only behind its
// beginning they may be written.
//
// All else, java.lang.Object and classes, is written as what it is, and is for the provider to make an object or an enum of: null, booleans, texts, an int where 32 bits do, else a long, a double where there is a
// fraction or an exponent, lists, and maps. A number that is in none of them is refused (an integer beyond 64 bits, a decimal of more than 17 digits or beyond a double): as a text it comes through, since providers make numbers of texts.
// So is a text by the name of class in an object, for Dubbo makes an object of the class that it names. Half of a surrogate pair becomes U+FFFD.
func AppendArgument(b []byte, t Type, json []byte) ([]byte, error) {
	r := jsonReader{in: json, out: b}
	if err := r.whole(&t); err != nil {
		return b, err
	}
	return r.out, nil
}

// AppendTextArgument is AppendArgument for a text that is no JSON (of a query, a header or a path): what is declared a text, a character or binary data is it as it is; numbers, booleans and dates are read. Lists and maps are read as JSON.
// For java.lang.Object and classes a text is JSON if it begins with {, [ or ", and is else a text, as an enum's are.
func AppendTextArgument(b []byte, t Type, text []byte) ([]byte, error) {
	var err error
	switch {
	case !utf8.Valid(text):
		return b, because("it is no UTF-8")
	case t.kind == ofList || t.kind == ofMap || t.kind == ofAnything && len(text) > 0 && (text[0] == '{' || text[0] == '[' || text[0] == '"'):
		return AppendArgument(b, t, text)
	case t.kind == ofAnything:
		return appendString(b, text), nil
	case t.kind == ofBoolean && string(text) == "true", t.kind == ofBoolean && string(text) == "false":
		return appendBool(b, string(text) == "true"), nil
	}
	out, err := t.appendText(b, text)
	if err != nil {
		return b, err
	}
	return out, nil
}

// AppendTextList is for lists, sets and arrays of which a query has each item ("tag=a&tag=b"): they are as AppendTextArgument has them.
func AppendTextList(b []byte, t Type, texts [][]byte) ([]byte, error) {
	if t.kind != ofList {
		if len(texts) == 1 {
			return AppendTextArgument(b, t, texts[0])
		}
		return b, t.unlike(strconv.Itoa(len(texts)) + " of them")
	}
	of := &untyped
	if t.of != nil {
		of = t.of
	}
	out := appendInt(append(b, 'X'), int32(len(texts)))
	for i, text := range texts {
		var err error
		if out, err = AppendTextArgument(out, *of, text); err != nil {
			return b, within(err, i)
		}
	}
	return out, nil
}

// AppendNull writes null.
func AppendNull(b []byte) []byte { return append(b, hessianNull) }

// declared reads a value that begins with c, and is not null, for a type whose JSON is known.
func (r *jsonReader) declared(t *Type, c byte) error {
	switch {
	case t.kind == ofList && c == '[':
		if t.of == nil {
			return r.list(&untyped)
		}
		return r.list(t.of)
	case t.kind == ofMap && c == '{':
		if t.of == nil {
			return r.object(&untyped)
		}
		return r.object(t.of)
	case c == '{':
		return t.unlike("an object")
	case c == '[':
		return t.unlike("a list")
	case c == 't' || c == 'f':
		tag, err := r.literal()
		if err == nil && t.kind != ofBoolean {
			return t.unlike(strconv.FormatBool(tag == 'T'))
		}
		r.out = append(r.out, tag)
		return err
	case c == '"':
		s, err := r.text()
		if err != nil {
			return err
		}
		if t.kind == ofText {
			r.out = s.append(r.out)
			return nil
		}
		text := s.raw
		if s.escaped {
			text = s.utf8(nil)
		}
		r.out, err = t.appendText(r.out, text)
		return err
	}
	token, _, err := r.digits()
	if err != nil {
		return err
	}
	out, is, err := t.appendNumber(r.out, token)
	if !is {
		return t.unlike("the number " + cut(token))
	}
	r.out = out
	return err
}

// appendText writes a text, which is UTF-8, as a value of a type whose JSON is known.
func (t *Type) appendText(b, text []byte) ([]byte, error) {
	switch t.kind {
	case ofText:
		return appendString(b, text), nil
	case ofChar:
		if r, size := utf8.DecodeRune(text); size == 0 || size < len(text) || width(r) > 1 {
			return b, t.unlike("the text " + quote(text))
		}
		return appendString(b, text), nil
	case ofBytes:
		data, err := base64.StdEncoding.AppendDecode(nil, text)
		if err != nil {
			return b, t.unlike("the text " + quote(text))
		}
		return appendBytes(b, data), nil
	case ofDate:
		if _, err := time.Parse(time.DateTime, string(text)); err == nil {
			return appendString(b, text), nil
		}
		if at, err := time.Parse(time.RFC3339, string(text)); err == nil {
			return appendMillis(b, at.UnixMilli()), nil
		}
	}
	r := jsonReader{in: text}
	if token, _, err := r.digits(); err == nil && r.at == len(text) {
		if out, is, err := t.appendNumber(b, token); is {
			return out, err
		}
	}
	return b, t.unlike("the text " + quote(text))
}

// Bounds of what numbers of any length have, and of that what an exponent adds to what is written.
const (
	maxDigits = 1024
	maxZeros  = 64
)

// appendNumber writes a number for a type, if that is one of numbers.
func (t *Type) appendNumber(b, token []byte) (out []byte, is bool, err error) {
	low, high := int64(math.MinInt64), int64(math.MaxInt64)
	switch t.kind {
	case ofByte:
		low, high = math.MinInt8, math.MaxInt8
	case ofShort:
		low, high = math.MinInt16, math.MaxInt16
	case ofInt:
		low, high = math.MinInt32, math.MaxInt32
	case ofLong, ofDate:
	case ofFloat, ofDouble:
		f, err := strconv.ParseFloat(string(token), 64)
		if err != nil || t.kind == ofFloat && math.IsInf(float64(float32(f)), 0) {
			return b, true, t.unlike(cut(token))
		}
		return appendDouble(b, f), true, nil
	case ofDecimal:
		d := parseDecimal(token)
		if scale := d.digits - d.before; len(token) > maxDigits || scale > maxExponent || scale < -maxExponent {
			return b, true, t.unlike(cut(token))
		}
		return appendASCII(append(b, objectDecimal), token), true, nil
	case ofInteger:
		return t.appendInteger(b, token)
	default:
		return b, false, nil
	}
	n, err := integer(token)
	switch {
	case err != nil || n < low || n > high:
		return b, true, t.unlike(cut(token))
	case t.kind == ofLong:
		return appendLong(b, n), true, nil
	case t.kind == ofDate:
		return appendMillis(b, n), true, nil
	}
	return appendInt(b, int32(n)), true, nil
}

// appendInteger writes a java.math.BigInteger: its sign, and its size in ints, the largest first.
func (t *Type) appendInteger(b, token []byte) ([]byte, bool, error) {
	d := parseDecimal(token)
	digits, err := d.whole(nil, min(maxDigits, len(token)+maxZeros))
	if err != nil {
		return b, true, t.unlike(cut(token))
	}
	if len(digits) == 0 {
		return appendTyped(append(b, objectInteger, 0x90), "[int", 0), true, nil
	}
	n, _ := new(big.Int).SetString(string(digits), 10)
	sign := int32(1)
	if d.negative {
		sign = -1
	}
	words := (n.BitLen() + 31) / 32
	b = appendTyped(appendInt(append(b, objectInteger), sign), "[int", words)
	for bytes := n.FillBytes(make([]byte, words*4)); len(bytes) > 0; bytes = bytes[4:] {
		b = appendInt(b, int32(uint32(bytes[0])<<24|uint32(bytes[1])<<16|uint32(bytes[2])<<8|uint32(bytes[3])))
	}
	return b, true, nil
}
