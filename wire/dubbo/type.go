package dubbo

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Type is a parameter's declared type, as far as it decides how JSON is written. The zero value is java.lang.Object: of it all JSON is written as what it is.
type Type struct {
	name string
	kind kind
	of   *Type // what a list's items or a map's values are; nil: nothing is said of them
}

// kind is what JSON has to be for a type.
type kind uint8

const (
	ofAnything kind = iota // java.lang.Object, and classes, of which only the provider knows what they want
	ofBoolean
	ofByte
	ofShort
	ofInt
	ofLong
	ofFloat
	ofDouble
	ofChar
	ofText
	ofDecimal // java.math.BigDecimal
	ofInteger // java.math.BigInteger
	ofDate
	ofBytes
	ofList
	ofMap
)

var untyped = Type{name: "java.lang.Object"}

// kinds are the types that are known by name. Boxes of primitive types are those, and may be null.
var kinds = map[string]kind{
	"boolean": ofBoolean, "byte": ofByte, "short": ofShort, "int": ofInt, "long": ofLong, "float": ofFloat, "double": ofDouble, "char": ofChar,
	"java.lang.Boolean": ofBoolean, "java.lang.Byte": ofByte, "java.lang.Short": ofShort, "java.lang.Integer": ofInt, "java.lang.Long": ofLong, "java.lang.Float": ofFloat, "java.lang.Double": ofDouble, "java.lang.Character": ofChar,
	"java.lang.String": ofText, "java.lang.CharSequence": ofText, "java.math.BigDecimal": ofDecimal, "java.math.BigInteger": ofInteger, "java.util.Date": ofDate,
	"java.lang.Iterable": ofList, "java.util.Collection": ofList, "java.util.List": ofList, "java.util.ArrayList": ofList, "java.util.LinkedList": ofList, "java.util.Set": ofList, "java.util.HashSet": ofList, "java.util.LinkedHashSet": ofList,
	"java.util.SortedSet": ofList, "java.util.TreeSet": ofList, "java.util.Queue": ofList, "java.util.Deque": ofList,
	"java.util.Map": ofMap, "java.util.HashMap": ofMap, "java.util.LinkedHashMap": ofMap, "java.util.SortedMap": ofMap, "java.util.TreeMap": ofMap, "java.util.concurrent.ConcurrentMap": ofMap, "java.util.concurrent.ConcurrentHashMap": ofMap,
}

// maxTypeName bounds, in bytes, a type as it is written, and with it how deep types stand in one another.
const maxTypeName = 1024

// TypeOf reads a type as Java's sources have it: int, java.lang.String, java.util.List<java.lang.Long>, org.example.Order, long[]. What stands between < and > says of lists, sets and maps what is in them, and of all else nothing.
// A class has to be named with its package, and one in another with a $. An error says what is wrong with the name.
func TypeOf(name string) (Type, error) {
	if len(name) > maxTypeName {
		return Type{}, errors.New("no Java type is named with more than 1024 characters")
	}
	p := typeParser{rest: name}
	t, err := p.read()
	if p.space(); err == nil && p.rest != "" {
		err = errors.New("what should be a Java type goes on with " + quote([]byte(p.rest)))
	}
	if err != nil {
		return Type{}, err
	}
	return t, nil
}

// Name is the type as $invoke names it: without what stands between < and >, and arrays as long[], which Dubbo's callers write and its providers of all versions read.
func (t Type) Name() string {
	if t.name == "" {
		return untyped.name
	}
	return t.name
}

// Primitive tells whether null is not possible.
func (t Type) Primitive() bool {
	return t.kind != ofAnything && !strings.Contains(t.name, ".") && !strings.HasSuffix(t.name, "[]")
}

// exact tells whether numbers of any length are in it, which are objects of classes that an Invocation defines.
func (t *Type) exact() bool {
	for t != nil && t.kind != ofDecimal && t.kind != ofInteger {
		t = t.of
	}
	return t != nil
}

// typeParser reads what a type is made of.
type typeParser struct{ rest string }

func (p *typeParser) space() { p.rest = strings.TrimLeft(p.rest, " ") }

// skip passes a sign over, if it is the next.
func (p *typeParser) skip(sign string) bool {
	p.space()
	rest, is := strings.CutPrefix(p.rest, sign)
	p.rest = rest
	return is
}

func (p *typeParser) read() (t Type, err error) {
	if t.name, err = p.class(); err != nil {
		return t, err
	}
	t.kind = kinds[t.name]
	if p.skip("<") {
		if t.kind != ofAnything && t.kind != ofList && t.kind != ofMap {
			return t, errors.New(t.name + " takes nothing between < and >")
		}
		n := 0
		for ; ; n++ {
			item, err := p.argument()
			if err != nil {
				return t, err
			}
			if t.kind == ofList && n == 0 || t.kind == ofMap && n == 1 {
				t.of = &item
			}
			if !p.skip(",") {
				break
			}
		}
		if !p.skip(">") {
			return t, errors.New("a > is missing")
		}
		if t.kind == ofList && n != 0 || t.kind == ofMap && n != 1 {
			return t, errors.New("between < and > " + t.name + " takes the type of what is in it: one for a list, two for a map")
		}
	}
	for p.skip("[") {
		if !p.skip("]") {
			return t, errors.New("a ] is missing")
		}
		item := t
		t = Type{name: item.name + "[]", kind: ofList, of: &item}
		switch item.name {
		case "byte":
			t.kind, t.of = ofBytes, nil
		case "char":
			t.kind, t.of = ofText, nil
		}
	}
	return t, nil
}

// argument reads what stands between < and >. Of ? and its bounds nothing is known that JSON could be held to.
func (p *typeParser) argument() (Type, error) {
	if p.skip("?") {
		if p.skip("extends ") || p.skip("super ") {
			_, err := p.read()
			return untyped, err
		}
		return untyped, nil
	}
	t, err := p.read()
	if err == nil && t.Primitive() {
		err = errors.New("between < and > no " + t.name + " can stand")
	}
	return t, err
}

// class reads the name of a primitive type, or of a class and its package.
func (p *typeParser) class() (string, error) {
	p.space()
	end, begins, dots := 0, true, false
name:
	for _, r := range p.rest {
		switch {
		case r == '_' || r == '$' || unicode.IsLetter(r) || !begins && unicode.IsDigit(r):
			begins = false
		case r == '.' && !begins:
			begins, dots = true, true
		default:
			break name
		}
		end += utf8.RuneLen(r)
	}
	name := p.rest[:end]
	switch {
	case name == "" || begins:
		return "", errors.New("what should be a Java type is " + quote([]byte(p.rest)))
	case !dots && kinds[name] == ofAnything:
		return "", errors.New(quote([]byte(name)) + " is no Java type: a class is named with its package, as java.lang.String")
	}
	p.rest = p.rest[end:]
	return name, nil
}

// List tells whether it is a list, a set or an array, of whose items a query may have several.
func (t Type) List() bool { return t.kind == ofList }
