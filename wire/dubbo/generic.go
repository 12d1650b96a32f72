package dubbo

// What GenericService is called by, without the interface at hand: the method's name, the names of its parameters' types, and its arguments.
const (
	genericTypes = "Ljava/lang/String;[Ljava/lang/String;[Ljava/lang/Object;"
	genericCall  = "$invoke"
	genericAsync = "$invokeAsync"
)

// Generic tells whether the call stands for another one, which its arguments say.
func (c *Call) Generic() bool { return c.generic }

func isGeneric(method, types []byte) bool {
	return len(method) > 0 && method[0] == '$' && (string(method) == genericCall || string(method) == genericAsync) && string(types) == genericTypes
}

// Target is the method that is called in the end, and how many arguments that has: of a generic call the one that it stands for, of any other its own.
func (c *Call) Target() (method []byte, arguments int, err error) {
	if !c.generic {
		return c.Method, len(c.parameters), nil
	}
	if _, err = c.Argument(2); err != nil {
		return nil, 0, err
	}
	return c.arguments[0].Text, len(c.given), nil
}

// TargetArgument is an argument of Target, from 0; of one that there is not it is null.
func (c *Call) TargetArgument(i int) (Value, error) {
	if !c.generic {
		return c.Argument(i)
	}
	if _, err := c.Argument(2); err != nil || i < 0 || i >= len(c.given) {
		return Value{}, err
	}
	return c.given[i], nil
}

// TargetType tells whether a parameter of Target, from 0, is declared as a type that is named as Java's sources do: int, java.lang.String, byte[] or java.util.Map$Entry. One of which nothing is said is
// of no type.
func (c *Call) TargetType(i int, name string) (bool, error) {
	if !c.generic {
		return c.Declares(i, name), nil
	}
	if _, err := c.Argument(2); err != nil || i < 0 || i >= len(c.named) || c.named[i].Kind != Text {
		return false, err
	}
	text := c.named[i].Text
	return string(text) == name || len(text) > 0 && text[0] == '[' && describes(text, name), nil // as Class.getName has arrays
}

// Declares is TargetType for the call itself, be it a generic one or not.
func (c *Call) Declares(i int, name string) bool {
	return i >= 0 && i < len(c.parameters) && describes(c.Type(i), name)
}

// describes tells whether a descriptor (JVM specification, section 4.3.2), or the name of an array's class, which differs by its dots, is of a type that is named so.
func describes(descriptor []byte, name string) bool {
	for len(descriptor) > 0 && descriptor[0] == '[' {
		if len(name) < 2 || name[len(name)-2:] != "[]" {
			return false
		}
		descriptor, name = descriptor[1:], name[:len(name)-2]
	}
	if len(descriptor) == 0 {
		return false
	}
	if descriptor[0] != 'L' {
		return len(descriptor) == 1 && name == primitive(descriptor[0])
	}
	if len(descriptor) != len(name)+2 || descriptor[len(descriptor)-1] != ';' {
		return false
	}
	for i := range len(name) {
		if c := descriptor[i+1]; c != name[i] && (c != '/' || name[i] != '.') {
			return false
		}
	}
	return true
}

// primitive is the name of a type that has a letter. Nothing is named by what no other letter gives.
func primitive(letter byte) string {
	switch letter {
	case 'Z':
		return "boolean"
	case 'B':
		return "byte"
	case 'C':
		return "char"
	case 'D':
		return "double"
	case 'F':
		return "float"
	case 'I':
		return "int"
	case 'J':
		return "long"
	case 'S':
		return "short"
	}
	return "?"
}

// list reads the next value, and what stands in it if it is a list or an array, for as many as a method has parameters.
func (c *Call) list(into []Value) ([]Value, error) {
	if c.serialization == Hessian2 {
		return c.hessian.list(into)
	}
	return c.jsonb.list(into)
}

func (h *hessian) list(into []Value) ([]Value, error) {
	t, err := h.tag()
	n := int32(untilEnd)
	switch {
	case err != nil:
	case t == 'W':
	case t == 'U':
		err = h.kind()
	case t == 'X':
		n, err = h.count()
	case t == 'V':
		if err = h.kind(); err == nil {
			n, err = h.count()
		}
	case t >= 0x70 && t <= 0x77:
		n, err = int32(t-0x70), h.kind()
	case t >= 0x78 && t <= 0x7f:
		n = int32(t - 0x78)
	default:
		return into, h.pass(t)
	}
	h.values++
	for err == nil && n != 0 {
		if n == untilEnd {
			if !h.more(1) {
				return into, fail(BodyCut)
			}
			if h.b[h.at] == 'Z' {
				h.at++
				break
			}
		} else {
			n--
		}
		if len(into) == MaxParameters {
			return into, fail(TooManyParameters)
		}
		var v Value
		if v, err = h.value(); err == nil {
			into = append(into, v)
		}
	}
	return into, err
}

func (j *jsonb) list(into []Value) ([]Value, error) {
	if err := j.begin(); err != nil {
		return into, err
	}
	t, err := j.tag()
	if err == nil && t == jsonbTyped {
		if _, err = j.symbol(); err == nil {
			t, err = j.tag()
		}
	}
	n := int32(0)
	switch {
	case err != nil:
	case t >= jsonbArray && t < jsonbArrayLong:
		n = int32(t - jsonbArray)
	case t == jsonbArrayLong:
		n, err = j.number()
	}
	if err == nil && (n < 0 || int(n) > j.end-j.at) {
		err = fail(BadCount)
	}
	if err == nil && n > MaxParameters {
		err = fail(TooManyParameters)
	}
	for ; err == nil && n > 0; n-- {
		var v Value
		if v, err = j.within(true); err == nil {
			into = append(into, v)
		}
	}
	j.at = j.end
	return into, err
}
