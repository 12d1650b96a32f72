package dubbo

import (
	"strings"
	"testing"
)

// To read a call allocates nothing once a Call has grown, whatever is asked of it.
func TestReadingAllocatesNothing(t *testing.T) {
	attachments := map[any]any{"group": "blue", "interface": "org.example.Greeter", "timeout": int32(3000)}
	generic := generic(t, "greet", []string{"java.lang.String", "int"}, []any{"ann", int32(7)})
	for name, b := range map[Serialization][]byte{
		Hessian2:  body(t, "Ljava/lang/String;IJ", attachments, strings.Repeat("weft", 250), int32(5), int64(7)),
		Fastjson2: bodies(t)["plain"],
	} {
		var c Call
		if n := testing.AllocsPerRun(100, func() {
			if c.Read(Hessian2, generic) != nil {
				t.Fatal("it is not read")
			}
			if method, n, err := c.Target(); n != 2 || err != nil || string(method) != "greet" {
				t.Fatal(n, err)
			}
			if is, err := c.TargetType(1, "int"); !is || err != nil {
				t.Fatal(is, err)
			}
			if c.Read(name, b) != nil {
				t.Fatal("it is not read")
			}
			for i := range c.Parameters() {
				c.Argument(i)
			}
			if v, is, err := c.Attachment("group"); !is || err != nil || string(v.Text) != "blue" {
				t.Fatal(v, err)
			}
		}); n > 0 {
			t.Errorf("%v: %v allocations", name, n)
		}
	}
}

func BenchmarkCall(b *testing.B) {
	attachments := map[any]any{"group": "blue", "interface": "org.example.Greeter", "path": "org.example.Greeter", "timeout": int32(3000)}
	bytes := body(b, "Ljava/lang/String;IJ", attachments, strings.Repeat("weft", 250), int32(5), int64(7))
	for _, one := range []struct {
		name string
		ask  func(*Call)
	}{
		{"head", func(*Call) {}},
		{"three arguments", func(c *Call) { c.Argument(2) }},
		{"attachments", func(c *Call) { c.Attachment("group") }},
	} {
		b.Run(one.name, func(b *testing.B) {
			var c Call
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Read(Hessian2, bytes); err != nil {
					b.Fatal(err)
				}
				one.ask(&c)
			}
		})
	}
}
