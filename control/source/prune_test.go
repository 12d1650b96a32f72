package source

import (
	"encoding/json"
	"reflect"
	"testing"
)

// filter is prune of what has been read.
func filter(v any, want shape) any {
	if want == nil {
		return v
	}
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, one := range v {
			if of, is := want[name]; is {
				out[name] = filter(one, of)
			}
		}
		return out
	case []any:
		out := []any{}
		for _, one := range v {
			out = append(out, filter(one, want))
		}
		return out
	}
	return v
}

// What is left of any JSON is what is wanted of it, and what is none is found out, by prune or by who reads what is left.
func FuzzPrune(f *testing.F) {
	for _, text := range []string{
		`{"a": 1, "b": {"c": [ {"d": "x\"}\\", "e": null}, 7 , "]" ] , "z": {}}, "c": [[{"d": 1}], []]}`,
		"\t{\"b\":{\"c\":{}} ,\"a\":{\"x\":[1,2]},\"q\":\"\\\\\",\"\\u0061\":tru}", `{"a":}`, `{"b":{"c":[}]}}`, `{"a" 1}`, `[{"a":1e9},{},]`, `"`, `{"a":1,}`, `{"":0,"b":{"":0,"c":1}}`, `{"b":{"c":1}}x`,
	} {
		f.Add([]byte(text))
	}
	want := shape{"a": nil, "b": {"c": {"d": nil}}, "c": {"d": nil}}
	f.Fuzz(func(t *testing.T, text []byte) {
		var all any
		valid := json.Unmarshal(text, &all) == nil
		left, err := prune(nil, text, want)
		Members(text, func(_, _ []byte) error { return nil })
		if !valid {
			return
		}
		if err != nil {
			if err == errJSON && len(text) > maxDepth { // it is too deep
				return
			}
			t.Fatalf("%s: %v", text, err)
		}
		var got any
		if err := json.Unmarshal(left, &got); err != nil {
			t.Fatalf("%s: left %s: %v", text, left, err)
		}
		if got, want := filter(got, want), filter(all, want); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: left %s", text, left)
		}
		if o, is := all.(map[string]any); is {
			found := map[string]any{}
			if err := Members(text, func(name, value []byte) error {
				var key string
				var v any
				if json.Unmarshal([]byte(`"`+string(name)+`"`), &key) == nil && json.Unmarshal(value, &v) == nil {
					found[key] = v
				}
				return nil
			}); err != nil || !reflect.DeepEqual(o, found) {
				t.Errorf("%s: members %v, %v", text, found, err)
			}
		}
	})
}
