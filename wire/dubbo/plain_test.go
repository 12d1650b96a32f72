package dubbo

import (
	"fmt"
	"testing"

	hessian2 "github.com/apache/dubbo-go-hessian2"
)

// A call that is written as it is is what dubbo-go-hessian2 reads, and what Call does.
func TestPlain(t *testing.T) {
	i := Invocation{Interface: "a.Shop", Group: "blue", Method: "search"}
	for _, name := range []string{"java.lang.String", "int", "byte[]", "long[][]", "java.util.List<java.lang.Long>", "java.util.Map$Entry"} {
		kind, err := TypeOf(name)
		if err != nil {
			t.Fatal(err)
		}
		i.Types = append(i.Types, kind)
	}
	b := i.AppendPlainBegin(nil)
	for k, text := range []string{"tea", "5", "AQ==", "[[1]]", "[2]", "x"} {
		var err error
		if b, err = AppendTextArgument(b, i.Types[k], []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	b = i.AppendPlainEnd(b, [][2][]byte{{[]byte("path"), []byte("b")}, {[]byte("user"), []byte("ann")}})
	d := hessian2.NewDecoder(b)
	said := ""
	for range 12 {
		v, err := d.Decode()
		if err != nil {
			t.Fatal(err)
		}
		said += fmt.Sprintf("%v|", v)
	}
	if want := "2.0.2|a.Shop|0.0.0|search|Ljava/lang/String;I[B[[JLjava/util/List;Ljava/util/Map$Entry;|tea|5|[1]|[[1]]|[2]|x|map[group:blue interface:a.Shop path:b user:ann]|"; said != want {
		t.Errorf("%s: want %s", said, want)
	}
	var c Call
	if err := c.Read(Hessian2, b); err != nil {
		t.Fatal(err)
	}
	for k, want := range []string{"java.lang.String", "int", "byte[]", "long[][]", "java.util.List", "java.util.Map$Entry", ""} {
		if got := c.TypeName(k); got != want {
			t.Errorf("type %d is %q: want %q", k, got, want)
		}
	}
	if _, is, err := c.Attachment("user"); !is || err != nil {
		t.Error(is, err)
	}
}
