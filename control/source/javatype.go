package source

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/weftmesh/weft/wire/dubbo"
)

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

// javaType checks a declared type as Java's sources have it, int, java.lang.String, long[], java.util.List<org.example.Order>, as weft does, which would refuse the whole table of routes.
func javaType(s string) error {
	switch {
	case s == "":
		return errors.New("is required: a type as Java writes it, such as int or java.lang.String")
	case strings.HasPrefix(s, "["):
		return fmt.Errorf("%q is how Java's virtual machine writes an array: want it as in sources, such as long[]", short(s))
	}
	_, err := dubbo.TypeOf(s)
	return err
}
