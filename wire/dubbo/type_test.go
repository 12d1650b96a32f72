package dubbo

import (
	"strings"
	"testing"
)

func typeOf(t testing.TB, name string) Type {
	t.Helper()
	of, err := TypeOf(name)
	if err != nil {
		t.Fatal(err)
	}
	return of
}

func TestTypes(t *testing.T) {
	for name, want := range map[string]string{
		"int": "int", "java.lang.String": "java.lang.String", "java.util.List<java.lang.Long>": "java.util.List", "long[]": "long[]", "org.example.Order": "org.example.Order", " java.util.Map < java.lang.String , org.example.Order[] > [ ] [] ": "java.util.Map[][]",
		"java.util.Map$Entry<?, ? extends java.lang.Number>": "java.util.Map$Entry", "java.util.List<?>": "java.util.List", "char[]": "char[]", "byte[][]": "byte[][]", "org.example.Page<org.example.Order, int[]>": "org.example.Page", "java.util.Set<? super java.lang.Object>": "java.util.Set", "java.util.Map<?, ?>": "java.util.Map", "org.example.Ordnung_2": "org.example.Ordnung_2", "org.éxample.Ü": "org.éxample.Ü", "java.util.List<java.util.Map<java.lang.String,java.util.List<long[]>>>": "java.util.List",
	} {
		of, err := TypeOf(name)
		if err != nil || of.Name() != want || of.Primitive() != (name == "int") {
			t.Errorf("%q is %q, %v, %v: want %q", name, of.Name(), of.Primitive(), err, want)
		}
	}
	if name := (Type{}).Name(); name != "java.lang.Object" {
		t.Error(name)
	}
	for name, want := range map[string]string{
		"":                                       `what should be a Java type is ""`,
		"String":                                 `"String" is no Java type: a class is named with its package, as java.lang.String`,
		"void":                                   `"void" is no Java type`,
		"java.lang.":                             `what should be a Java type is "java.lang."`,
		"java..lang.A":                           `what should be a Java type is "java..lang.A"`,
		"[I":                                     `what should be a Java type is "[I"`,
		"int...":                                 `what should be a Java type`,
		"int[":                                   "a ] is missing",
		"java.util.List<java.lang.Long":          "a > is missing",
		"java.util.List<long>":                   "between < and > no long can stand",
		"java.util.Map<java.lang.Long>":          "one for a list, two for a map",
		"java.util.List<java.lang.A,java.lang.B": "a > is missing",
		"java.lang.String<java.lang.A>":          "java.lang.String takes nothing between < and >",
		"java.util.List<":                        `what should be a Java type is ""`,
		"java.util.List<>":                       `what should be a Java type is ">"`,
		"java.util.List<a.B>>":                   `goes on with ">"`,
		"java.util.List<a.B & a.C>":              "a > is missing",
		"long<a.B>":                              "long takes nothing between < and >",
		"int[1]":                                 "a ] is missing",
		"int[]x":                                 `goes on with "x"`,
		".a.b":                                   `what should be a Java type is ".a.b"`,
		"a.1":                                    `what should be a Java type is "a.1"`,
		"java lang":                              `"java" is no Java type`,
		"int x":                                  `what should be a Java type goes on with "x"`,
		"java.lang.1A":                           "what should be a Java type",
		"a." + strings.Repeat("b", maxTypeName):  "1024 characters",
	} {
		if _, err := TypeOf(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v: want %s", name, err, want)
		}
	}
}
