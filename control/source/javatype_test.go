package source

import (
	"strings"
	"testing"
)

// TestJavaTypes says of what can be declared, and of what cannot, why.
func TestJavaTypes(t *testing.T) {
	for said, want := range map[string]string{
		"int": "", "char[]": "", "byte[][]": "", "java.lang.String": "", "org.example.Outer$Order": "", "org.example.größe_1": "", " java.util.List < java.lang.Long > [ ] ": "",
		"java.util.List<java.util.Map<java.lang.String, ? extends org.example.Zone[]>>": "", "java.util.Map<?, ?>": "", "org.example.Page<org.example.Order, int[]>": "", "java.util.Set<? super java.lang.Object>": "",
		"":                                "is required",
		"[Ljava.lang.String;":             "virtual machine",
		"void":                            `"void": want int`,
		"Order":                           `"Order": want int`,
		"java lang":                       `"java": want int`,
		"a..b":                            `"a..b": want int`,
		"a.1":                             `"a.1": want int`,
		".a.b":                            `".a.b": want int`,
		"int x":                           `before "x"`,
		"int[]x":                          `before "x"`,
		"int[":                            "a ] is missing",
		"int[1]":                          "a ] is missing",
		"java.util.List<":                 `"": want int`,
		"java.util.List<>":                `"": want int`,
		"java.util.List<a.B":              "a > is missing",
		"java.util.List<a.B>>":            `before ">"`,
		"java.util.List<a.B & a.C>":       "a > is missing",
		"java.util.List<int>":             "only classes and arrays",
		"java.util.List<a.B, a.C>":        "takes one type",
		"java.util.Map<java.lang.String>": "takes two types",
		"java.lang.String<a.B>":           "takes nothing",
		"long<a.B>":                       "takes nothing",
		"a." + strings.Repeat("b", 1023):  "has 1025 bytes",
	} {
		err := javaType(said)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", said, err, want)
		}
	}
}
