package dubbo

import (
	"fmt"
	"testing"

	hessian2 "github.com/apache/dubbo-go-hessian2"
)

// A call that was written is one that is read, here and by dubbo-go, numbers of any length among its arguments.
func TestInvocation(t *testing.T) {
	i := Invocation{Interface: "org.example.Shop", Version: "1.2.0", Group: "blue", Method: "order"}
	arguments := []string{`"ann"`, "7", "12.50", "-123456789012345678901234567890", "0", `[1.5,"2e3",null]`, `{"id":1}`, "null", "4294967296"}
	for _, name := range []string{"java.lang.String", "int", "java.math.BigDecimal", "java.math.BigInteger", "java.math.BigInteger", "java.util.List<java.math.BigDecimal>", "org.example.Order", "byte[]", "java.math.BigInteger"} {
		i.Types = append(i.Types, typeOf(t, name))
	}
	b := i.AppendBegin(nil)
	for n, of := range i.Types {
		var err error
		if b, err = AppendArgument(b, of, []byte(arguments[n])); err != nil {
			t.Fatal(err)
		}
	}
	b = i.AppendEnd(b, [][2][]byte{{[]byte("x-user"), []byte("ann\xff")}, {[]byte("Generic"), []byte("nativejava")}, {[]byte("path"), []byte("org.example.Admin")}})

	var c Call
	if err := c.Read(Hessian2, b); err != nil {
		t.Fatal(err)
	}
	if got, want := spelled(&c), "order, 4:ann, 2:7, 5:, 5:, 5:, 5:, 5:, 0:, 5:"; got != want {
		t.Errorf("%s: want %s", got, want)
	}
	if is, err := c.TargetType(5, "java.util.List"); !is || err != nil {
		t.Error(is, err)
	}
	all, err := c.Attachments()
	said := ""
	for _, a := range all {
		said += fmt.Sprintf("%s=%s ", a.Name, a.Value.Text)
	}
	if want := "path=org.example.Shop interface=org.example.Shop version=1.2.0 group=blue generic=true x-user=ann\ufffd "; said != want || err != nil || c.hessian.at != len(b) {
		t.Errorf("%s: %v, %d of %d bytes: want %s", said, err, c.hessian.at, len(b), want)
	}
	if string(c.Framework) != "2.0.2" || string(c.Path) != "org.example.Shop" || string(c.Version) != "1.2.0" || !c.Generic() {
		t.Errorf("%q %q %q %v", c.Framework, c.Path, c.Version, c.Generic())
	}

	d := hessian2.NewDecoder(b)
	var read []any
	for range 9 {
		v, err := d.Decode()
		if err != nil {
			t.Fatal(err)
		}
		read = append(read, v)
	}
	given := read[7].([]hessian2.Object)
	if names := read[6].([]string); len(names) != 9 || names[5] != "java.util.List" || names[7] != "byte[]" {
		t.Error(names)
	}
	for n, want := range map[int]string{2: "12.50", 3: "-123456789012345678901234567890", 4: "0", 8: "4294967296"} {
		if got := fmt.Sprint(given[n]); got != want {
			t.Errorf("%s became %s (%T)", want, got, given[n])
		}
	}
	if list := given[5].([]any); fmt.Sprint(list[0], list[1], list[2]) != "1.5 2000 <nil>" {
		t.Error(list)
	}
	if read[8].(map[any]any)["generic"] != "true" {
		t.Error(read[8])
	}

	none := Invocation{Interface: "org.example.Shop", Method: "list"}
	b = none.AppendBegin(nil)
	d = hessian2.NewDecoder(b)
	for range 8 {
		v, err := d.Decode()
		if err != nil {
			t.Fatal(err)
		}
		read = append(read[1:], v)
	}
	if names, is := read[7].([]string); !is || len(names) > 0 {
		t.Errorf("no types are %v (%T)", read[7], read[7])
	}
	if given, is := read[8].([]hessian2.Object); !is || len(given) > 0 {
		t.Errorf("no arguments are %v (%T)", read[8], read[8])
	}
	b = none.AppendEnd(b, nil)
	if err := c.Read(Hessian2, b); err != nil || string(c.Version) != "0.0.0" {
		t.Errorf("%q, %v", c.Version, err)
	}
	if _, is, err := c.Attachment("version"); is || err != nil {
		t.Error(is, err)
	}
}
