package dubbo

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	hessian2 "github.com/apache/dubbo-go-hessian2"
)

// Car and Fleet are objects as Java's classes would be.
type Car struct {
	Color string
	Doors int32
	Next  *Car
}

func (*Car) JavaClassName() string { return "org.example.Car" }

type Fleet struct {
	Cars  []any
	Names map[string]string
}

func (*Fleet) JavaClassName() string { return "org.example.Fleet" }

// body is that of a request, as dubbo-go-hessian2 writes its values.
func body(t testing.TB, types string, attachments any, arguments ...any) []byte {
	t.Helper()
	e := hessian2.NewEncoder()
	for _, v := range append(append([]any{"2.0.2", "org.example.Greeter", "1.0.0", "greet", types}, arguments...), attachments) {
		if err := e.Encode(v); err != nil {
			t.Fatal(err)
		}
	}
	return e.Buffer()
}

// What another implementation writes is read as it was meant, whatever stands in between.
func TestHessian(t *testing.T) {
	car := &Car{Color: "red", Doors: 4, Next: &Car{Color: "blue"}}
	type argument struct {
		written any
		kind    string
		want    Value
	}
	text := func(s string) argument { return argument{s, "Ljava/lang/String;", Value{Kind: Text, Text: []byte(s)}} }
	var list []argument
	for _, n := range []int64{0, 1, -1, -8, 15, 16, -9, -16, 47, 48, -17, 2047, 2048, -2048, -2049, 262143, 262144, -262144, -262145, math.MaxInt32, math.MinInt32, math.MaxInt64, math.MinInt64} {
		if n == int64(int32(n)) {
			list = append(list, argument{int32(n), "I", Value{Kind: Int, Int: n}})
		}
		list = append(list, argument{n, "J", Value{Kind: Int, Int: n}})
	}
	for _, f := range []float64{0, 1, -1, 127, -128, 128, 32767, -32768, 0.5, 12.25, -12.345, 1e300, math.Inf(1)} {
		list = append(list, argument{f, "D", Value{Kind: Double, Double: f}})
	}
	for _, s := range []string{"", "a", strings.Repeat("a", 31), strings.Repeat("b", 32), strings.Repeat("c", 1023), strings.Repeat("d", 1024), strings.Repeat("e", 100_000), "naïve", "织网", "a😀b", strings.Repeat("织😀", 30_000)} {
		list = append(list, text(s))
	}
	for _, v := range []any{[]byte("bytes"), make([]byte, 70_000), time.UnixMilli(1_700_000_000_123), time.UnixMilli(1_700_000_040_000), []any{int32(1), "two", 3.0, nil, []any{int64(1)}}, []string{"a", "b"}, []int32{1, 2},
		map[any]any{"a": int32(1), int32(2): []any{}}, car, &Fleet{Cars: []any{car, car, &Car{}}, Names: map[string]string{"a": "b"}}, []any{car, car}} {
		list = append(list, argument{v, "Ljava/lang/Object;", Value{Kind: Other}})
	}
	list = append(list, argument{true, "Z", Value{Kind: Bool, Bool: true}}, argument{false, "Z", Value{Kind: Bool}}, argument{nil, "Ljava/lang/String;", Value{}})

	var c Call
	attachments := map[any]any{"group": "blue", "timeout": int32(3000), "dry": true, "fleet": &Fleet{Cars: []any{car}}, "list": []any{"x"}, int32(5): "no name"}
	for round := range 300 {
		r := rand.New(rand.NewPCG(uint64(round), 1))
		var of []argument
		if round < len(list) {
			of = list[round : round+1]
		} else {
			for range r.IntN(6) {
				of = append(of, list[r.IntN(len(list))])
			}
		}
		types, written := "", []any(nil)
		for _, a := range of {
			types += a.kind
			written = append(written, a.written)
		}
		b := body(t, types, attachments, written...)
		if err := c.Read(Hessian2, b); err != nil {
			t.Fatalf("%v: %v", written, err)
		}
		if string(c.Framework) != "2.0.2" || string(c.Path) != "org.example.Greeter" || string(c.Version) != "1.0.0" || string(c.Method) != "greet" || c.Parameters() != len(of) {
			t.Fatalf("%q %q %q %q, %d parameters", c.Framework, c.Path, c.Version, c.Method, c.Parameters())
		}
		for i, a := range of {
			if string(c.Type(i)) != a.kind {
				t.Errorf("type %d of %s is %q", i, types, c.Type(i))
			}
			if v, err := c.Argument(i); err != nil || !same(v, a.want) {
				t.Errorf("%.100v of %T: %.200v, %v: want %.200v", a.written, a.written, v, err, a.want)
			}
		}
		for name, want := range map[string]Value{"group": {Kind: Text, Text: []byte("blue")}, "timeout": {Kind: Int, Int: 3000}, "dry": {Kind: Bool, Bool: true}, "fleet": {Kind: Other}, "list": {Kind: Other}} {
			if v, is, err := c.Attachment(name); !is || err != nil || !same(v, want) {
				t.Errorf("%s behind %.100v is %+v, %v, %v", name, written, v, is, err)
			}
		}
		if c.hessian.at != len(b) {
			t.Errorf("%d of %d bytes are read of %.100v", c.hessian.at, len(b), written)
		}
	}
}

// What no encoder of ours writes, and the specification has.
func TestHessianByHand(t *testing.T) {
	front := func(types string) string { return "\x052.0.2\x01p\x01v\x01m" + string(rune(len(types))) + types }
	for _, one := range []struct {
		name, argument string
		want           Value
	}{
		{"a list of no said length", "W\x91\x92Z", Value{Kind: Other}},
		{"a typed list of no said length", "U\x04[intW\x91ZZ", Value{Kind: Other}},
		{"a typed list, its type by reference", "X\x92V\x04[int\x91\x91V\x90\x91\x91", Value{Kind: Other}},
		{"a short typed list", "\x72\x04[int\x91\x92", Value{Kind: Other}},
		{"text in pieces", "R\x00\x02abS\x00\x01c", Value{Kind: Text, Text: []byte("abc")}},
		{"half of a pair ends a piece", "R\x00\x01\xed\xa0\xbd\x01\xed\xb8\x80", Value{Kind: Text, Text: []byte("\ufffd\ufffd")}},
		{"bytes in pieces", "A\x00\x01xB\x00\x01y", Value{Kind: Other}},
		{"bytes of middling length", "\x34\x03xyz", Value{Kind: Other}},
		{"a class before an object, and another one before that", "C\x01A\x91\x01aC\x01B\x90O\x90a", Value{Kind: Other}},
		{"thousandths", "\x5f\x00\x00\x30\x39", Value{Kind: Double, Double: 12.345}},
		{"an empty map", "HZ", Value{Kind: Other}},
	} {
		var c Call
		if err := c.Read(Hessian2, []byte(front("I")+one.argument+"H\x01a\x01bZ")); err != nil {
			t.Errorf("%s: %v", one.name, err)
			continue
		}
		if v, err := c.Argument(0); err != nil || !same(v, one.want) {
			t.Errorf("%s: %+v, %v: want %+v", one.name, v, err, one.want)
		}
		if v, is, err := c.Attachment("a"); !is || err != nil || string(v.Text) != "b" {
			t.Errorf("%s: the attachment is %+v, %v, %v", one.name, v, is, err)
		}
	}
}

// Bad bodies end as errors, at once, however deep or large they say they are.
func TestBadBodies(t *testing.T) {
	front := "\x052.0.2\x01p\x01v\x01m\x01I"
	for _, one := range []struct {
		name, body string
		want       Code
	}{
		{"nothing", "", BodyCut},
		{"a number for a text", "\x91", BadText},
		{"a byte of UTF-8 that begins nothing", "\x01\x80", BadText},
		{"four bytes of UTF-8", "\x01\xf0\x9f\x98\x80", BadText},
		{"a character cut", "\x01\xe7\xbb", BodyCut},
		{"types that are none", "\x052.0.2\x01p\x01v\x01m\x01X", BadTypes},
		{"a type that does not end", "\x052.0.2\x01p\x01v\x01m\x02La", BadTypes},
		{"more parameters than Java has", "\x052.0.2\x01p\x01v\x01mS\x01\x00" + strings.Repeat("I", 256), TooManyParameters},
		{"no argument", front, BodyCut},
		{"no value", front + "G", BadTag},
		{"a list that says it is long", front + "XI\x7f\xff\xff\xff", BadCount},
		{"a list of negative length", front + "X\x8f", BadCount},
		{"lists in lists", front + strings.Repeat("\x79", maxDepth+1), TooDeep},
		{"a reference to nothing", front + "Q\x90", BadReference},
		{"an object of no class", front + "O\x90", BadReference},
		{"a type of no name", front + "\x71\x90", BadReference},
		{"a class that says it is large", front + "C\x01AI\x7f\xff\xff\xff", BadCount},
		{"a key without a value", front + "H\x01aZ", BadTag},
		{"a map that does not end", front + "H\x01a\x01b", BodyCut},
		{"attachments that are a list", front + "\x91\x78", NoAttachments},
		{"more attachments than anybody has", front + "\x91H" + strings.Repeat("\x01a\x01b", maxAttachments+1) + "Z", TooManyAttachments},
		{"more classes than anybody has", front + strings.Repeat("C\x01A\x90", maxClasses+1) + "\x91", TooManyClasses},
		{"objects in themselves", front + "C\x01A\x91\x01n" + strings.Repeat("\x60", maxDepth+1), TooDeep},
		{"an object that is its own field ends", front + "C\x01A\x91\x01n\x60Q\x90" + "H", BodyCut},
	} {
		var c Call
		err := c.Read(Hessian2, []byte(one.body))
		if err == nil {
			_, err = c.Attachments()
		}
		if e, is := err.(*Error); !is || e.Code != one.want {
			t.Errorf("%s: %v: want %v", one.name, err, errs[one.want])
		}
		if _, again := c.Attachments(); again != err {
			t.Errorf("%s: asked again it says %v", one.name, again)
		}
	}
	// What there is before what is bad is read.
	var c Call
	if err := c.Read(Hessian2, []byte("\x052.0.2\x01p\x01v\x01m\x02II\x91G")); err != nil {
		t.Fatal(err)
	}
	if v, err := c.Argument(0); err != nil || v.Int != 1 {
		t.Error(v, err)
	}
	if _, err := c.Argument(1); err == nil {
		t.Error("what is none is an argument")
	}
	if v, err := c.Argument(0); err != nil || v.Int != 1 {
		t.Error(v, err)
	}
	if err := c.Read(Kryo, nil); err != fail(UnknownSerialization) {
		t.Error(err)
	}
}

// Whatever comes ends, and what is read of it lies within it.
func FuzzCall(f *testing.F) {
	for _, b := range bodies(f) {
		f.Add(uint8(Fastjson2), b)
	}
	f.Add(uint8(Hessian2), body(f, "Ljava/lang/String;I", map[any]any{"group": "blue", "car": &Car{Next: &Car{}}}, "weft", int32(5)))
	f.Add(uint8(Fastjson2), generic2(f))
	f.Add(uint8(Hessian2), generic(f, "greet", []string{"int", "java.lang.String"}, []any{int32(7), "ann"}))
	f.Add(uint8(Hessian2), body(f, "Ljava/lang/Object;", nil, []any{map[any]any{"a": []byte("x")}, time.UnixMilli(5), 2.5}))
	var c Call
	f.Fuzz(func(t *testing.T, s uint8, b []byte) {
		if err := c.Read(Serialization(s), b); err != nil {
			return
		}
		for i := range c.Parameters() {
			if v, err := c.Argument(i); err == nil {
				v.Append(nil)
			}
		}
		if _, n, err := c.Target(); err == nil {
			for i := range n {
				c.TargetType(i, "int[]")
				if v, err := c.TargetArgument(i); err == nil {
					v.Append(nil)
				}
			}
			if n > MaxParameters {
				t.Errorf("%d arguments", n)
			}
		}
		all, err := c.Attachments()
		at := c.hessian.at
		if Serialization(s) == Fastjson2 {
			at = c.jsonb.at
		}
		if len(all) > maxAttachments || at > len(b) || cap(c.hessian.open) > 2*maxDepth || cap(c.jsonb.open) > 2*maxDepth {
			t.Errorf("%d attachments, %d of %d bytes, %d open, %v", len(all), at, len(b), cap(c.hessian.open), err)
		}
	})
}
