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

const order = `{"id":9007199254740993,"customer":"ann","paid":true,"weight":12.5,"note":"an order of two things, one of which is \"large\"","address":{"street":"Straße 1","city":"Köln","zip":null},` +
	`"items":[{"name":"织网","count":2,"price":"12.50","tags":["a","b"]},{"name":"weft","count":1,"price":"7.25","tags":[]}]}`

// What is written of JSON, and as JSON, costs no allocation where there is room for it.
func TestWritingAllocatesNothing(t *testing.T) {
	of := typeOf(t, "org.example.Order")
	invocation := Invocation{Interface: "org.example.Shop", Version: "1.0.0", Group: "blue", Method: "order", Types: []Type{of, typeOf(t, "long"), typeOf(t, "double"), typeOf(t, "java.math.BigDecimal")}}
	attachments := [][2][]byte{{[]byte("x-user"), []byte("ann")}}
	room, back := make([]byte, 0, 4096), make([]byte, 0, 4096)
	json, whole, fraction := []byte(order), []byte("17"), []byte("17.5")
	if n := testing.AllocsPerRun(100, func() {
		b := invocation.AppendBegin(room)
		var errs [4]error
		b, errs[0] = AppendArgument(b, of, json)
		b, errs[1] = AppendArgument(b, invocation.Types[1], whole)
		b, errs[2] = AppendTextArgument(b, invocation.Types[2], fraction)
		b, errs[3] = AppendArgument(b, invocation.Types[3], fraction)
		if b = invocation.AppendEnd(b, attachments); errs != [4]error{} || len(b) > cap(room) {
			t.Fatal(errs, len(b))
		}
	}); n > 0 {
		t.Errorf("a call: %v allocations", n)
	}
	b, err := AppendArgument(nil, of, []byte(order))
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string][]byte{
		"maps":    answerOf(b),
		"objects": answered(t, int32(4), []any{&Car{Color: "red", Next: &Car{}}, &Fleet{Names: map[string]string{"a": "b"}}}),
		"thrown":  []byte("\x90C\x03a.E\x92\x05cause\x0ddetailMessage`Q\x90\x01x"),
	} {
		var a answer
		if n := testing.AllocsPerRun(100, func() {
			if _, _, err := a.append(back, body, cap(back)); err != nil {
				t.Fatal(err)
			}
		}); n > 0 {
			t.Errorf("an answer of %s: %v allocations", name, n)
		}
	}
}

func BenchmarkJSON(b *testing.B) {
	text := `"` + strings.Repeat("weft", 256) + `"`
	list := "[" + strings.Repeat("12345,", 999) + "1]"
	for _, one := range []struct{ name, of, json string }{
		{"an order", "org.example.Order", order},
		{"a text of 1 KiB", "java.lang.String", text},
		{"an int", "int", "12345"},
		{"1000 longs", "long[]", list},
	} {
		of := typeOf(b, one.of)
		in := []byte(one.json)
		written, err := AppendArgument(nil, of, in)
		if err != nil {
			b.Fatal(err)
		}
		body := answerOf(written)
		room := make([]byte, 0, 2*len(in)+64)
		b.Run(one.name+" to hessian2", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(in)))
			for b.Loop() {
				if _, err := AppendArgument(room, of, in); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(one.name+" to JSON", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(in)))
			for b.Loop() {
				if _, _, err := AppendJSON(room, Hessian2, body, cap(room)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
