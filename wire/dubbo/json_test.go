package dubbo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	hessian2 "github.com/apache/dubbo-go-hessian2"
)

func typeOf(t testing.TB, name string) Type {
	t.Helper()
	of, err := TypeOf(name)
	if err != nil {
		t.Fatal(err)
	}
	return of
}

// decoded is what dubbo-go reads of a value.
func decoded(t testing.TB, b []byte) any {
	t.Helper()
	d := hessian2.NewDecoder(b)
	v, err := d.Decode()
	if err != nil {
		t.Fatalf("%q: %v", b, err)
	}
	if _, err := d.Decode(); err == nil {
		t.Fatalf("%q: more is left", b)
	}
	return v
}

func TestTypes(t *testing.T) {
	for name, want := range map[string]string{
		"int": "int", "java.lang.String": "java.lang.String", "java.util.List<java.lang.Long>": "java.util.List", "long[]": "long[]", "org.example.Order": "org.example.Order", " java.util.Map < java.lang.String , org.example.Order[] > [ ] [] ": "java.util.Map[][]",
		"java.util.Map$Entry<?, ? extends java.lang.Number>": "java.util.Map$Entry", "java.util.List<?>": "java.util.List", "org.example.Ordnung_2": "org.example.Ordnung_2", "org.éxample.Ü": "org.éxample.Ü", "java.util.List<java.util.Map<java.lang.String,java.util.List<long[]>>>": "java.util.List",
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
		"int x":                                  `what should be a Java type goes on with "x"`,
		"java.lang.1A":                           "what should be a Java type",
		"a." + strings.Repeat("b", maxTypeName):  "1024 characters",
	} {
		if _, err := TypeOf(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v: want %s", name, err, want)
		}
	}
}

// What is written of JSON is read by dubbo-go as it was meant.
func TestArguments(t *testing.T) {
	day := time.UnixMilli(1_700_000_000_123)
	long := strings.Repeat("a", 100_000)
	pairs := strings.Repeat("😀", 40_000)
	for _, one := range []struct {
		of, json string
		want     any // an error is what is said
	}{
		{"java.lang.Object", "null", nil},
		{"java.lang.Object", "true", true},
		{"java.lang.Object", " [ 1 , -2147483648 , 2147483648 , -9223372036854775808 , 0.5, 1.0, 1e3, -0.0 ] ", []any{int32(1), int32(-2147483648), int64(2147483648), int64(math.MinInt64), 0.5, 1.0, 1000.0, math.Copysign(0, -1)}},
		{"java.lang.Object", `{"a":{"b":[{}]},"c":"\u00e9\n\"\\\/\b\f\r\t"}`, map[any]any{"a": map[any]any{"b": []any{map[any]any{}}}, "c": "é\n\"\\/\b\f\r\t"}},
		{"java.lang.Object", `"\ud83d\ude00😀"`, "😀😀"},
		{"java.lang.Object", `"\ud83dx\ude00"`, "\ufffdx\ufffd"},
		{"java.lang.Object", `"\ud83d\u0041"`, "\ufffdA"},
		{"java.lang.Object", `9223372036854775808`, errors.New("no long is as large as 9223372036854775808: as a text it comes through")},
		{"java.lang.Object", `{"a":[1,1e400]}`, errors.New("a[1]: no double is 1e400: as a text it comes through")},
		{"java.lang.Object", `0.123456789012345678`, errors.New("no double is 0.123456789012345678: as a text it comes through")},
		{"java.lang.Object", `0.12345678901234500000`, 0.123456789012345},
		{"java.lang.Object", `[{"class":"java.net.URL"}]`, errors.New("[0].class: Dubbo takes it for the class that an object is to be of, which callers may not say")},
		{"java.lang.Object", `{"a":{"\u0063lass":"x"}}`, errors.New("a.class: Dubbo takes it for the class that an object is to be of, which callers may not say")},
		{"java.lang.Object", `{"class":3}`, map[any]any{"class": int32(3)}},
		{"java.lang.Object", `"` + long + `"`, long},
		{"java.lang.Object", `"é` + long + `"`, "é" + long},
		{"java.lang.Object", `"a` + pairs + `"`, "a" + pairs},
		{"org.example.Color", `"RED"`, "RED"},
		{"int", "2147483647", int32(math.MaxInt32)},
		{"int", "2147483648", errors.New("want an int, not 2147483648")},
		{"int", "3.0", int32(3)},
		{"int", "30e-1", int32(3)},
		{"int", "1e3", int32(1000)},
		{"int", "0.0e99999999999", int32(0)},
		{"int", "3.5", errors.New("want an int, not 3.5")},
		{"int", "1e99999999999", errors.New("want an int, not 1e99999999999")},
		{"int", `"17"`, int32(17)},
		{"int", `"x"`, errors.New(`want an int, not the text "x"`)},
		{"int", "null", errors.New("want an int, not null")},
		{"int", "true", errors.New("want an int, not true")},
		{"int", "[1]", errors.New("want an int, not a list")},
		{"int", "{}", errors.New("want an int, not an object")},
		{"int", "01", errors.New(`it is no JSON: behind its value stands "1"`)},
		{"int", "", errors.New("it is no JSON: it ends where more should come")},
		{"java.lang.Integer", "null", nil},
		{"byte", "-128", int32(-128)},
		{"byte", "128", errors.New("want a byte (-128 to 127), not 128")},
		{"short", "-32768", int32(-32768)},
		{"short", "32768", errors.New("want a short (-32768 to 32767), not 32768")},
		{"long", "-9223372036854775808", int64(math.MinInt64)},
		{"long", "9223372036854775808", errors.New("want a long, not 9223372036854775808")},
		{"java.lang.Long", "5", int64(5)},
		{"java.lang.Long", `"9007199254740993"`, int64(9007199254740993)},
		{"double", "1", 1.0},
		{"double", "0.1234567890123456789", 0.12345678901234568},
		{"double", "1e999", errors.New("want a double, not 1e999")},
		{"float", "0.1", 0.1},
		{"float", "1e39", errors.New("want a float, not 1e39")},
		{"boolean", "false", false},
		{"boolean", "0", errors.New("want a boolean, not the number 0")},
		{"boolean", `"true"`, errors.New(`want a boolean, not the text "true"`)},
		{"char", `"é"`, "é"},
		{"char", `"\u00e9"`, "é"},
		{"char", `"ab"`, errors.New(`want a text of one character, not the text "ab"`)},
		{"char", `""`, errors.New(`want a text of one character, not the text ""`)},
		{"char", `"😀"`, errors.New(`want a text of one character, not the text "😀"`)},
		{"char", "65", errors.New("want a text of one character, not the number 65")},
		{"char[]", `"abc"`, "abc"},
		{"java.lang.String", `"x"`, "x"},
		{"java.lang.String", "5", errors.New("want a text, not the number 5")},
		{"java.util.Date", `"2023-11-14T22:13:20.123Z"`, day},
		{"java.util.Date", `"2023-11-15T00:13:20.123999+02:00"`, day},
		{"java.util.Date", "1700000000123", day},
		{"java.util.Date", `"1700000000123"`, day},
		{"java.util.Date", `"2023-11-14 22:13:20"`, "2023-11-14 22:13:20"},
		{"java.util.Date", `"2023-13-14 22:13:20"`, errors.New(`want a date as 2006-01-02T15:04:05Z, or milliseconds, not the text "2023-13-14 22:13:20"`)},
		{"java.util.Date", "null", nil},
		{"byte[]", `"AAEC"`, []byte{0, 1, 2}},
		{"byte[]", `"AAE"`, errors.New(`want a text in base64, not the text "AAE"`)},
		{"byte[]", "[1]", errors.New("want a text in base64, not a list")},
		{"long[]", "[1,2]", []any{int64(1), int64(2)}},
		{"long[]", "[]", []any{}},
		{"long[]", "[1,null]", errors.New("[1]: want a long, not null")},
		{"long[][]", "[[1],[2,x]]", errors.New(`[1][1]: it is no JSON: "x]]" begins nothing that may stand there`)},
		{"java.util.List<java.lang.Long>", "[1,null]", []any{int64(1), nil}},
		{"java.util.List<java.lang.Long>", "{}", errors.New("want a list, not an object")},
		{"java.util.List", "[1,{}]", []any{int32(1), map[any]any{}}},
		{"java.util.List<org.example.Order>", `[{},{"price":}]`, errors.New(`[1].price: it is no JSON: "}]" begins nothing that may stand there`)},
		{"java.util.Map<java.lang.String,java.util.Set<java.lang.Short>>", `{"a":[1,2],"a":[3]}`, map[any]any{"a": []any{int32(3)}}},
		{"java.util.Map<java.lang.String,java.util.Set<java.lang.Short>>", `{"a":[1],"b c":[1,"x"]}`, errors.New(`b c[1]: want a short (-32768 to 32767), not the text "x"`)},
		{"java.util.Map", "[]", errors.New("want an object, not a list")},
		{"java.math.BigInteger", "1.5", errors.New("want an integer of at most 1024 digits, not 1.5")},
		{"java.math.BigInteger", "1e1024", errors.New("want an integer of at most 1024 digits, not 1e1024")},
		{"java.math.BigInteger", "1e68", errors.New("want an integer of at most 1024 digits, not 1e68")},
		{"java.math.BigDecimal", "1e10000", errors.New("want a number of at most 1024 digits, not 1e10000")},
		{"java.math.BigDecimal", "1e-10000", errors.New("want a number of at most 1024 digits, not 1e-10000")},
		{"java.math.BigDecimal", "0." + strings.Repeat("1", 1023), errors.New("want a number of at most 1024 digits, not 0." + strings.Repeat("1", 38) + "...")},
		{"java.lang.Object", "\"\xff\"", errors.New("it is no UTF-8")},
		{"java.lang.Object", "\"\x01\"", errors.New("it is no JSON: a control character stands in a text as it is")},
		{"java.lang.Object", `"abc`, errors.New("it is no JSON: a text does not end")},
		{"java.lang.Object", `"\x"`, errors.New(`it is no JSON: "\\x\"" stands for no character`)},
		{"java.lang.Object", `"\u00g0"`, errors.New(`it is no JSON: "\\u00g0\"" stands for no character`)},
		{"java.lang.Object", "[1,]", errors.New(`[1]: it is no JSON: "]" begins nothing that may stand there`)},
		{"java.lang.Object", "{,}", errors.New(`it is no JSON: ",}" begins nothing that may stand there`)},
		{"java.lang.Object", `{"a":1,}`, errors.New(`it is no JSON: "}" begins nothing that may stand there`)},
		{"java.lang.Object", "[1", errors.New("[0]: it is no JSON: it ends where more should come")},
		{"java.lang.Object", "1.", errors.New("it is no JSON: it ends where more should come")},
		{"java.lang.Object", "nul", errors.New(`it is no JSON: "nul" begins nothing that may stand there`)},
		{"java.lang.Object", "1 2", errors.New(`it is no JSON: behind its value stands "2"`)},
		{"java.lang.Object", strings.Repeat("[", maxNesting) + strings.Repeat("]", maxNesting), nested(maxNesting)},
		{"java.lang.Object", strings.Repeat("[", maxNesting+1) + strings.Repeat("]", maxNesting+1), errors.New("deep")},
	} {
		b, err := AppendArgument([]byte("before"), typeOf(t, one.of), []byte(one.json))
		if want, is := one.want.(error); is {
			if err == nil || err.Error() != want.Error() && !(want.Error() == "deep" && strings.HasSuffix(err.Error(), "256 deep")) || string(b) != "before" {
				t.Errorf("%s as %s: %v, %d bytes: want %v", cut([]byte(one.json)), one.of, err, len(b), want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s as %s: %v", cut([]byte(one.json)), one.of, err)
			continue
		}
		got := decoded(t, bytes.TrimPrefix(b, []byte("before")))
		if at, is := got.(time.Time); is && at.Equal(day) {
			got = day
		}
		if !reflect.DeepEqual(got, one.want) {
			t.Errorf("%s as %s: %.200v (%T): want %.200v", cut([]byte(one.json)), one.of, got, got, one.want)
		}
	}
}

func nested(n int) any {
	list := []any{}
	for range n - 1 {
		list = []any{list}
	}
	return list
}

// What is no JSON is read as it is declared.
func TestTextArguments(t *testing.T) {
	for _, one := range []struct {
		of, text string
		want     any
	}{
		{"java.lang.String", `5 "x"`, `5 "x"`},
		{"java.lang.String", "", ""},
		{"java.lang.String", "\xff", errors.New("it is no UTF-8")},
		{"char", "x", "x"},
		{"int", "5", int32(5)},
		{"int", "", errors.New(`want an int, not the text ""`)},
		{"int", " 5", errors.New(`want an int, not the text " 5"`)},
		{"java.lang.Double", "1e3", 1000.0},
		{"java.lang.Boolean", "true", true},
		{"boolean", "yes", errors.New(`want a boolean, not the text "yes"`)},
		{"java.util.Date", "1970-01-01T00:00:01Z", time.UnixMilli(1000)},
		{"java.util.Date", "1000", time.UnixMilli(1000)},
		{"byte[]", "AAEC", []byte{0, 1, 2}},
		{"org.example.Color", "RED", "RED"},
		{"org.example.Order", `{"id":1}`, map[any]any{"id": int32(1)}},
		{"java.lang.Object", `"RED"`, "RED"},
		{"java.lang.Object", `5`, "5"},
		{"java.util.List<java.lang.Long>", "[1]", []any{int64(1)}},
		{"java.util.List", "a", errors.New(`it is no JSON: "a" begins nothing that may stand there`)},
		{"java.util.Map", "{}", map[any]any{}},
	} {
		b, err := AppendTextArgument(nil, typeOf(t, one.of), []byte(one.text))
		if want, is := one.want.(error); is {
			if err == nil || err.Error() != want.Error() || len(b) > 0 {
				t.Errorf("%q as %s: %v: want %v", one.text, one.of, err, want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q as %s: %v", one.text, one.of, err)
			continue
		}
		got := decoded(t, b)
		if at, is := got.(time.Time); is {
			got = time.UnixMilli(at.UnixMilli())
		}
		if !reflect.DeepEqual(got, one.want) {
			t.Errorf("%q as %s: %v (%T): want %v", one.text, one.of, got, got, one.want)
		}
	}
	for _, one := range []struct {
		of    string
		texts string
		want  any
	}{
		{"java.util.List<java.lang.Integer>", "1 2", []any{int32(1), int32(2)}},
		{"java.util.Set", "a 2", []any{"a", "2"}},
		{"java.lang.String[]", "a", []any{"a"}},
		{"int[]", "1 x", errors.New(`[1]: want an int, not the text "x"`)},
		{"int", "5", int32(5)},
		{"int", "5 6", errors.New("want an int, not 2 of them")},
	} {
		b, err := AppendTextList(nil, typeOf(t, one.of), bytes.Fields([]byte(one.texts)))
		if want, is := one.want.(error); is {
			if err == nil || err.Error() != want.Error() || len(b) > 0 {
				t.Errorf("%q as %s: %v: want %v", one.texts, one.of, err, want)
			}
		} else if err != nil || !reflect.DeepEqual(decoded(t, b), one.want) {
			t.Errorf("%q as %s: %q, %v: want %v", one.texts, one.of, b, err, one.want)
		}
	}
	if b, err := AppendTextList(nil, typeOf(t, "java.util.List"), nil); err != nil || len(decoded(t, b).([]any)) > 0 {
		t.Error(b, err)
	}
	if v := decoded(t, AppendNull(nil)); v != nil {
		t.Error(v)
	}
}

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

// answered is a body that dubbo-go writes.
func answered(t testing.TB, values ...any) []byte {
	t.Helper()
	e := hessian2.NewEncoder()
	for _, v := range values {
		if err := e.Encode(v); err != nil {
			t.Fatal(err)
		}
	}
	return e.Buffer()
}

func random(r *rand.Rand, depth int) (written, want any) {
	texts := []string{"", "a", "naïve \"q\" \\ \n\x01", "a😀织", strings.Repeat("x", 40), strings.Repeat("é", 3000), strings.Repeat("y", 70_000)}
	switch n := r.IntN(11); {
	case n == 0:
		return nil, nil
	case n == 1:
		is := r.IntN(2) == 0
		return is, is
	case n == 2:
		i := int32(r.Uint32()) >> r.IntN(32)
		return i, float64(i)
	case n == 3:
		i := int64(r.Uint64()) >> (11 + r.IntN(53))
		return i, float64(i)
	case n == 4:
		f := r.NormFloat64() * math.Pow10(r.IntN(40)-20)
		return f, f
	case n <= 6 || depth == 0:
		s := texts[r.IntN(len(texts))]
		return s, s
	case n == 7:
		at := time.UnixMilli(r.Int64N(4e12)).UTC()
		return at, at.Format("2006-01-02T15:04:05.000Z")
	case n == 8:
		m, want := map[any]any{}, map[string]any{}
		for i := range r.IntN(4) {
			v, w := random(r, depth-1)
			m[fmt.Sprint("k", i)], want[fmt.Sprint("k", i)] = v, w
		}
		return m, want
	case n == 9:
		v, w := random(r, depth-1)
		return &Box{V: v}, map[string]any{"v": w, "n": 5.0}
	}
	list, want2 := []any{}, []any{}
	for range r.IntN(12) {
		v, w := random(r, depth-1)
		list, want2 = append(list, v), append(want2, w)
	}
	return list, want2
}

// Box is an object of a class of Java's.
type Box struct {
	V any
	N int32
}

func (*Box) JavaClassName() string { return "org.example.Box" }

// What another implementation writes is the JSON that was meant.
func TestAnswersAtRandom(t *testing.T) {
	for round := range 600 {
		r := rand.New(rand.NewPCG(uint64(round), 7))
		v, want := random(r, 4)
		b := answered(t, int32(1), v)
		out, thrown, err := AppendJSON([]byte("x"), Hessian2, b, 1<<24)
		if err != nil || thrown {
			t.Fatalf("%.300v: %v", v, err)
		}
		var got any
		if err := json.Unmarshal(out[1:], &got); err != nil {
			t.Fatalf("%.300v: %v: %.300s", v, err, out)
		}
		fix(got)
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%.300v: %.300s", v, out)
		}
	}
}

func fix(v any) {
	switch v := v.(type) {
	case map[string]any:
		if _, is := v["n"]; is && v["n"] == 0.0 {
			v["n"] = 5.0
		}
		for _, v := range v {
			fix(v)
		}
	case []any:
		for _, v := range v {
			fix(v)
		}
	}
}
