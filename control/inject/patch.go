package inject

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// object is a mapping of JSON. A pod is changed as one: what nobody knows here stays as it is.
type object = map[string]any

// Operation is a step of a JSON Patch (RFC 6902): add, replace or remove.
type Operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"` // null, if something is removed
}

// pointer escapes a key for a path (RFC 6901 section 3).
var pointer = strings.NewReplacer("~", "~0", "/", "~1")

// diff is what makes after of before: mappings key by key, lists of named things by their names where these are in the same order, and all else as a whole.
func diff(path string, before, after any) []Operation {
	if reflect.DeepEqual(before, after) {
		return nil
	}
	switch b := before.(type) {
	case object:
		if a, is := after.(object); is {
			return diffObjects(path, b, a)
		}
	case []any:
		if a, is := after.([]any); is {
			if steps, can := diffLists(path, b, a); can {
				return steps
			}
		}
	}
	return []Operation{{"replace", path, after}}
}

func diffObjects(path string, before, after object) (out []Operation) {
	for _, key := range slices.Sorted(maps.Keys(before)) {
		at := path + "/" + pointer.Replace(key)
		if value, is := after[key]; is {
			out = append(out, diff(at, before[key], value)...)
		} else {
			out = append(out, Operation{Op: "remove", Path: at})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(after)) {
		if _, was := before[key]; !was {
			out = append(out, Operation{"add", path + "/" + pointer.Replace(key), after[key]})
		}
	}
	return out
}

// diffLists can tell lists of named things apart that differ in what was put in between.
func diffLists(path string, before, after []any) (out []Operation, can bool) {
	at := 0
	for i, one := range after {
		step := fmt.Sprintf("%s/%d", path, i)
		if at < len(before) && nameOf(one) == nameOf(before[at]) && nameOf(one) != "" {
			out = append(out, diff(step, before[at], one)...)
			at++
			continue
		}
		out = append(out, Operation{"add", step, one})
	}
	return out, at == len(before)
}

// nameOf is the name of a thing in a list; empty: it has none.
func nameOf(one any) string {
	o, _ := one.(object)
	name, _ := o["name"].(string)
	return name
}

// plain is a value as JSON has it: maps, lists, words, numbers as json.Number.
func plain(v any) (out any) {
	text, err := json.Marshal(v)
	if err == nil {
		out, err = parse(text)
	}
	if err != nil {
		panic("inject: " + err.Error()) // all of it was read from JSON, or is written here
	}
	return out
}

// parse reads JSON, with numbers as they are written.
func parse(text []byte) (out any, err error) {
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	if err = d.Decode(&out); err == nil && d.More() {
		err = fmt.Errorf("there is more behind it")
	}
	return out, err
}
