package dubbo

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	hessian2 "github.com/apache/dubbo-go-hessian2"
)

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
