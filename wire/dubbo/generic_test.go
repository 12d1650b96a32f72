package dubbo

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	hessian2 "github.com/apache/dubbo-go-hessian2"
)

// generic is the body of a generic call as dubbo-go writes it.
func generic(t testing.TB, method string, types []string, arguments any) []byte {
	t.Helper()
	e := hessian2.NewEncoder()
	for _, v := range []any{"2.0.2", "org.example.Greeter", "1.0.0", "$invoke", genericTypes, method, types, arguments, map[any]any{"generic": "true"}} {
		if err := e.Encode(v); err != nil {
			t.Fatal(err)
		}
	}
	return e.Buffer()
}

// generic2 is one of fastjson2, whose writer has given it the name of the method that it stands for.
func generic2(t testing.TB) []byte {
	return bytes.Replace(bodies(t)["invoke"], []byte("\x00\x00\x00\x06\x4egreet"), []byte("\x00\x00\x00\x08\x50$invoke"), 1)
}

// spelled is what a call is for, in words.
func spelled(c *Call, types ...string) string {
	method, n, err := c.Target()
	if err != nil {
		return err.Error()
	}
	words := []string{string(method)}
	for i := range n {
		v, err := c.TargetArgument(i)
		word := fmt.Sprintf("%d:%s", v.Kind, v.Append(nil))
		for _, name := range types {
			if is, _ := c.TargetType(i, name); is {
				word += " " + name
			}
		}
		if err != nil {
			word = err.Error()
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

// A generic call is the one that it stands for, and any other one is itself.
func TestGeneric(t *testing.T) {
	many := make([]string, 300)
	types := []string{"java.lang.String", "int", "java.util.List", "java.lang.String[]", "byte[]"}
	for name, one := range map[string]struct {
		of   Serialization
		body []byte
		want string
	}{
		"plain":              {Hessian2, body(t, "Ljava/lang/String;ILjava/util/List;[Ljava/lang/String;", nil, "ann", int32(7), []any{int32(1)}, []string{"x"}), "greet, 4:ann java.lang.String, 2:7 int, 5: java.util.List, 5: java.lang.String[]"},
		"generic":            {Hessian2, generic(t, "greet", []string{"java.lang.String", "int", "[Ljava.lang.String;", "[B"}, []any{"ann", int32(7), []string{"x"}, nil}), "greet, 4:ann java.lang.String, 2:7 int, 5: java.lang.String[], 0: byte[]"},
		"of many arguments":  {Hessian2, generic(t, "m", []string{"int", "int", "int", "int", "int", "int", "int", "int", "int"}, []any{int32(1), int32(2), int32(3), int32(4), int32(5), int32(6), int32(7), int32(8), true}), "m, 2:1 int, 2:2 int, 2:3 int, 2:4 int, 2:5 int, 2:6 int, 2:7 int, 2:8 int, 1:true int"},
		"of none":            {Hessian2, generic(t, "m", []string{}, []any{}), "m"},
		"without types":      {Hessian2, generic(t, "m", nil, []any{"x"}), "m, 4:x"},
		"of too many":        {Hessian2, generic(t, "m", many, []any{}), errs[TooManyParameters].Error()},
		"of objects":         {Hessian2, generic(t, "m", []string{"org.example.Car"}, []any{map[any]any{"color": "red"}, "behind"}), "m, 5:, 4:behind"},
		"in fastjson2":       {Fastjson2, generic2(t), "greet, 4:weft java.lang.String, 2:5"},
		"plain in fastjson2": {Fastjson2, bodies(t)["plain"], "greet, 4:weft java.lang.String"},
	} {
		var c Call
		for range 2 { // used again
			if err := c.Read(one.of, one.body); err != nil {
				t.Fatal(name, err)
			}
			if c.Generic() != (string(c.Method) == genericCall) {
				t.Errorf("%s: %v", name, c.Generic())
			}
			if got := spelled(&c, types...); got != one.want {
				t.Errorf("%s: %s: want %s", name, got, one.want)
			}
			if name == "of too many" {
				continue
			}
			if all, err := c.Attachments(); err != nil || c.Generic() && one.of == Hessian2 && len(all) != 1 {
				t.Errorf("%s: %v, %v", name, all, err)
			}
		}
	}
	for _, one := range []struct {
		descriptor, name string
		is               bool
	}{
		{"I", "int", true}, {"I", "long", false}, {"J", "long", true}, {"Z", "boolean", true}, {"B", "byte", true}, {"C", "char", true}, {"D", "double", true}, {"F", "float", true}, {"S", "short", true}, {"V", "?x", false},
		{"[I", "int[]", true}, {"[[I", "int[][]", true}, {"[I", "int", false}, {"I", "int[]", false}, {"[", "[]", false}, {"", "", false},
		{"Ljava/util/List;", "java.util.List", true}, {"Ljava/util/List;", "java/util/List", true}, {"Ljava/util/List;", "java.util.Lis", false}, {"[Ljava.lang.String;", "java.lang.String[]", true}, {"Ljava/util/Map$Entry;", "java.util.Map$Entry", true},
	} {
		if got := describes([]byte(one.descriptor), one.name); got != one.is {
			t.Errorf("%q as %q: %v", one.descriptor, one.name, got)
		}
	}
}
