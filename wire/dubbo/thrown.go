package dubbo

import "math/big"

// thrown writes what a method has thrown. Of a GenericException, which providers make of exceptions for generic calls, that is what it tells of the one that it stands for; of any other its own class and message.
func (a *answer) thrown() error {
	t, err := a.tag()
	if err != nil {
		return err
	}
	if t != 'O' && (t < 0x60 || t > 0x6f) {
		return fail(BadAnswer)
	}
	_, c, err := a.opening(t)
	if err != nil {
		return err
	}
	a.values++
	var name, message, own int // where they stand
	names := int(c.fields)
	for range c.n {
		at := a.at
		err := a.elsewhere(&names, func() error {
			field, err := a.text()
			switch string(field) {
			case "exceptionClass":
				name = at
			case "exceptionMessage":
				message = at
			case "detailMessage":
				own = at
			}
			return err
		})
		if err == nil {
			err = a.skip()
		}
		if err != nil {
			return err
		}
	}
	if name == 0 || a.b[name] == hessianNull {
		name, message = int(c.name), own
	}
	a.out = append(a.out, `{"exception":`...)
	if err := a.member(name); err != nil {
		return err
	}
	a.out = append(a.out, `,"message":`...)
	if err := a.member(message); err != nil {
		return err
	}
	a.out = append(a.out, '}')
	return nil
}

// member writes the text that stands somewhere else, or null.
func (a *answer) member(at int) error {
	if at == 0 || a.b[at] == hessianNull {
		a.out = append(a.out, "null"...)
		return nil
	}
	a.at = at
	return a.writeText(a.first())
}

// skip passes a value over.
func (a *answer) skip() error {
	t, err := a.hessian.tag()
	if err != nil {
		return err
	}
	return a.pass(t)
}

// maxWords bounds how many ints a java.math.BigInteger has that is written as a number.
const maxWords = 1024

// writeInteger writes a java.math.BigInteger: a sign, and its size in ints, the largest first.
func (a *answer) writeInteger(c class) error {
	names, sign := int(c.fields), int32(0)
	size := new(big.Int)
	for range c.n {
		var field []byte
		err := a.elsewhere(&names, func() (err error) {
			field, err = a.text()
			return err
		})
		switch {
		case err != nil:
		case string(field) == "signum":
			sign, err = a.number()
		case string(field) == "mag":
			err = a.words(size)
		default: // what is known of its bits, or 0
			_, err = a.number()
		}
		if err != nil {
			return err
		}
	}
	if sign < 0 {
		size.Neg(size)
	}
	a.out = size.Append(a.out, 10)
	return nil
}

// words reads a list of ints, which are one number.
func (a *answer) words(size *big.Int) error {
	t, err := a.tag()
	if err != nil {
		return err
	}
	if t != 'V' && t != 'X' && (t < 0x70 || t > 0x7f) {
		return fail(BadTag)
	}
	from := int32(a.at - 1)
	n, _, err := a.opening(t)
	if err == nil && n > maxWords {
		err = fail(NumberTooLong)
	}
	if err != nil {
		return err
	}
	bytes := make([]byte, 0, 4*n)
	for range n {
		word, err := a.number()
		if err != nil {
			return err
		}
		bytes = append(bytes, byte(word>>24), byte(word>>16), byte(word>>8), byte(word))
	}
	a.values++
	a.places = append(a.places, place{from, int32(a.at)})
	size.SetBytes(bytes)
	return nil
}
