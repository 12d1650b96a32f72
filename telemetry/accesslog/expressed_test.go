package accesslog

import (
	"errors"
	"testing"
	"time"
)

// says is an expression that says one thing of everything; an error is what cannot be said.
type says struct{ v any }

func (s says) Holds(*Entry) bool { return s.v == true }

func (s says) Value(*Entry) (any, bool) {
	_, failed := s.v.(error)
	return s.v, !failed
}

func TestWhatExpressionsSay(t *testing.T) {
	for _, c := range []struct {
		v           any
		text, typed string // as text, and alone in an object
	}{
		{true, "true", "true"},
		{int64(-1), "-1", "-1"},
		{uint64(1 << 63), "9223372036854775808", "9223372036854775808"},
		{1.0 / 3, "0.333333", "0.3333333333333333"},
		{1e30, "1e+30", "1e+30"},
		{`a"b`, `a"b`, `"a\"b"`},
		{[]byte("abc"), "abc", `"YWJj"`},
		{nil, "NULL", "null"},
		{[]any{uint64(1), "a", []byte("x"), time.Second, nil}, "CelList value", `[1,"a","eA==","1s",null]`},
		{map[string]any{"b": true, "a": int64(1)}, "CelMap value", `{"a":1,"b":true}`},
		{Opaque("CelType"), "CelType value", "null"},
		{errors.New(""), "-", "null"},
		{time.Duration(0), "0", `"0s"`},
		{12 * time.Nanosecond, "12ns", `"0.000000012s"`},
		{123269 * time.Nanosecond, "123.269us", `"0.000123269s"`},
		{20 * time.Millisecond, "20ms", `"0.020s"`},
		{-1500 * time.Millisecond, "-1.5s", `"-1.500s"`},
		{90 * time.Minute, "1h30m", `"5400s"`},
		{25*time.Hour + time.Second, "25h1s", `"90001s"`},
		{time.Unix(0, 0), "1970-01-01T00:00:00+00:00", `"1970-01-01T00:00:00Z"`},
		{time.Unix(0, 5e8), "1970-01-01T00:00:00.5+00:00", `"1970-01-01T00:00:00.500Z"`},
	} {
		o := Options{Expression: func(string) (Expression, error) { return says{c.v}, nil }}
		f, err := Parse("%TYPED_CEL(x)%", o)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(f.Append(nil, &Entry{})); got != c.text {
			t.Errorf("%v: %s, want %s", c.v, got, c.text)
		}
		if f, err = ParseJSON(map[string]any{"a": "%TYPED_CEL(x)%"}, o); err != nil {
			t.Fatal(err)
		}
		if got, want := string(f.Append(nil, &Entry{})), `{"a":`+c.typed+"}\n"; got != want {
			t.Errorf("%v: %s, want %s", c.v, got, want)
		}
	}
}

func TestExpressionsAreBoundAndMayBeForbidden(t *testing.T) {
	f, err := Parse("%CEL(x):2%|", Options{Expression: func(string) (Expression, error) { return says{"abc"}, nil }})
	if err != nil || string(f.Append(nil, &Entry{})) != "ab|" {
		t.Error(err)
	}
	for text, o := range map[string]Options{"%CEL(x)%": {}, "%CEL()%": {Expression: func(string) (Expression, error) { return says{}, nil }},
		"%TYPED_CEL(x)%": {Expression: func(string) (Expression, error) { return nil, errors.New("bad") }}} {
		if _, err := Parse(text, o); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}
