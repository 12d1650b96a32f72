package accesslog

import (
	"testing"

	"github.com/weftmesh/weft/config"
)

func TestWhatFiltersNoted(t *testing.T) {
	e := &Entry{
		Metadata: config.Metadata{"a.b": {"text": "it's \"so\"", "n": 1.5, "yes": true, "list": []any{"x", 2.0, nil}, "deep": map[string]any{"k": "v"}}},
		State:    []config.State{{Name: "s", Value: `q"`}, {Name: "io.x", Value: "y"}},
	}
	for text, want := range map[string]string{
		`%DYNAMIC_METADATA(a.b:text)%`:   `it's "so"`,
		`%DYNAMIC_METADATA(a.b:text):4%`: `it's`,
		`%DYNAMIC_METADATA(a.b:n)%`:      `1.5`,
		`%DYNAMIC_METADATA(a.b:yes)%`:    `true`,
		`%DYNAMIC_METADATA(a.b:list)%`:   `["x",2,null]`,
		`%DYNAMIC_METADATA(a.b:deep:k)%`: `v`,
		`%DYNAMIC_METADATA(a.b:deep)%`:   `{"k":"v"}`,
		`%DYNAMIC_METADATA(a.b:none)%`:   `-`,
		`%DYNAMIC_METADATA(a.b:n:k)%`:    `-`,
		`%DYNAMIC_METADATA(none)%`:       `-`,
		`%FILTER_STATE(s:PLAIN)%`:        `q"`,
		`%FILTER_STATE(s)%`:              `"q\""`,
		`%FILTER_STATE(none)%`:           `-`,
		`%FILTER_STATE(io.x:PLAIN)%`:     `y`,
	} {
		f, err := Parse(text, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := string(f.Append(nil, e)); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	f, err := ParseJSON(map[string]any{"a": "%DYNAMIC_METADATA(a.b:n)%", "b": "%DYNAMIC_METADATA(a.b:text)%", "c": "%DYNAMIC_METADATA(a.b:deep)%",
		"d": "x%DYNAMIC_METADATA(a.b:deep)%", "e": "%FILTER_STATE(s)%", "f": "%DYNAMIC_METADATA(none:x)%", "g": "%DYNAMIC_METADATA(a.b:deep):3%"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"a":1.5,"b":"it's \"so\"","c":{"k":"v"},"d":"x{\"k\":\"v\"}","e":"q\"","f":null,"g":{"k":"v"}}` + "\n"
	if got := string(f.Append(nil, e)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if f, err = Parse("%FILTER_STATE(s:FIELD:a)%", Options{}); err != nil {
		t.Fatal(err)
	}
	if got := string(f.Append(nil, e)); got != "-" {
		t.Errorf("%s is a field of what has none", got)
	}
}
