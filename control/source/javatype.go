package source

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// primitives are Java's types that are no classes, and cannot be null.
var primitives = []string{"boolean", "byte", "short", "int", "long", "float", "double", "char"}

// What Java's own types take between < and >; all others may have anything there, and it is for people.
var (
	plainTypes = []string{"java.lang.Boolean", "java.lang.Byte", "java.lang.Short", "java.lang.Integer", "java.lang.Long", "java.lang.Float", "java.lang.Double", "java.lang.Character",
		"java.lang.String", "java.lang.CharSequence", "java.math.BigDecimal", "java.math.BigInteger", "java.util.Date"}
	listTypes = []string{"java.lang.Iterable", "java.util.Collection", "java.util.List", "java.util.ArrayList", "java.util.LinkedList", "java.util.Set", "java.util.HashSet", "java.util.LinkedHashSet",
		"java.util.SortedSet", "java.util.TreeSet", "java.util.Queue", "java.util.Deque"}
	mapTypes = []string{"java.util.Map", "java.util.HashMap", "java.util.LinkedHashMap", "java.util.SortedMap", "java.util.TreeMap", "java.util.concurrent.ConcurrentMap", "java.util.concurrent.ConcurrentHashMap"}
)

// maxType bounds, in bytes, a type as it is written, and with it how deep types stand in one another.
const maxType = 1024

// javaName tells whether s can be a name in Java: letters, digits, _ and $, no digit first.
func javaName(s string) bool {
	for i, r := range s {
		if r != '_' && r != '$' && !unicode.IsLetter(r) && (i == 0 || !unicode.IsDigit(r)) {
			return false
		}
	}
	return s != ""
}

// javaClass tells whether s can be a class or an interface, with its packages.
func javaClass(s string) bool {
	for name := range strings.SplitSeq(s, ".") {
		if !javaName(name) {
			return false
		}
	}
	return true
}

// javaType checks a declared type as Java's sources have it: int, java.lang.String, long[], java.util.List<org.example.Order>. It is as strict as weft (wire/dubbo.TypeOf), which would refuse the whole table of routes.
func javaType(s string) error {
	switch {
	case s == "":
		return errors.New("is required: a type as Java writes it, such as int or java.lang.String")
	case len(s) > maxType:
		return fmt.Errorf("has %d bytes, and a type has %d at most", len(s), maxType)
	case strings.HasPrefix(s, "["):
		return fmt.Errorf("%q is how Java's virtual machine writes an array: want it as in sources, such as long[]", short(s))
	}
	p := javaParser{rest: s}
	if _, err := p.declared(); err != nil {
		return fmt.Errorf("%q is no Java type: %w", short(s), err)
	}
	if p.space(); p.rest != "" {
		return fmt.Errorf("%q is no Java type: nothing can follow before %q", short(s), short(p.rest))
	}
	return nil
}

// javaParser reads what a type is made of.
type javaParser struct{ rest string }

func (p *javaParser) space() { p.rest = strings.TrimLeft(p.rest, " ") }

// skip passes a sign over, if it comes next.
func (p *javaParser) skip(sign string) bool {
	p.space()
	rest, is := strings.CutPrefix(p.rest, sign)
	p.rest = rest
	return is
}

// declared reads a type; primitive: it is one, and no array of them.
func (p *javaParser) declared() (primitive bool, err error) {
	p.space()
	end := strings.IndexFunc(p.rest, func(r rune) bool { return r != '.' && !javaName("a"+string(r)) })
	if end < 0 {
		end = len(p.rest)
	}
	name := p.rest[:end]
	p.rest = p.rest[end:]
	primitive = slices.Contains(primitives, name)
	if !primitive && (!javaClass(name) || !strings.Contains(name, ".")) {
		return false, fmt.Errorf("%q: want int and the like, or a class with its package, such as java.lang.String", short(name))
	}
	if p.skip("<") {
		n, err := p.arguments()
		switch {
		case err != nil:
			return false, err
		case primitive || slices.Contains(plainTypes, name):
			return false, fmt.Errorf("%s takes nothing between < and >", name)
		case slices.Contains(listTypes, name) && n != 1:
			return false, fmt.Errorf("%s takes one type between < and >", name)
		case slices.Contains(mapTypes, name) && n != 2:
			return false, fmt.Errorf("%s takes two types between < and >", name)
		}
	}
	for p.skip("[") {
		if primitive = false; !p.skip("]") {
			return false, errors.New("a ] is missing")
		}
	}
	return primitive, nil
}

// arguments reads what stands behind a <, and the > that closes it.
func (p *javaParser) arguments() (n int, err error) {
	for {
		n++
		wild := p.skip("?")
		if !wild || p.skip("extends ") || p.skip("super ") {
			primitive, err := p.declared()
			if err != nil {
				return n, err
			}
			if primitive && !wild {
				return n, errors.New("between < and > only classes and arrays can stand")
			}
		}
		switch {
		case p.skip(","):
		case p.skip(">"):
			return n, nil
		default:
			return n, errors.New("a > is missing")
		}
	}
}
