package source

import (
	"strings"
	"testing"
)

// TestJavaTypes says of what can be declared, and of what cannot, why. wire/dubbo has all that Java has.
func TestJavaTypes(t *testing.T) {
	for said, want := range map[string]string{
		"int": "", "java.lang.String": "", "org.example.Outer$Order": "", " java.util.List < java.lang.Long > [ ] ": "", "java.util.List<java.util.Map<java.lang.String, ? extends org.example.Zone[]>>": "",
		"":                               "is required",
		"[Ljava.lang.String;":            "virtual machine",
		"void":                           `"void" is no Java type: a class is named with its package`,
		"Order":                          "a class is named with its package",
		"java.util.List<int>":            "no int can stand",
		"int[":                           "a ] is missing",
		"a." + strings.Repeat("b", 1023): "more than 1024 characters",
	} {
		err := javaType(said)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", said, err, want)
		}
	}
}
