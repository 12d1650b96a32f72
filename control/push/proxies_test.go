package push

import (
	"reflect"
	"slices"
	"testing"

	"github.com/weftmesh/weft/control/ca"
	"github.com/weftmesh/weft/control/translate"
)

// TestKeysTellApart has proxies that differ in what translation looks at be told apart: of two with one key, one would be told what the other is for.
func TestKeysTellApart(t *testing.T) {
	plain := keyOf(&translate.Proxy{}, ca.Identity{}, "", "")
	kind := reflect.TypeFor[translate.Proxy]()
	for i := range kind.NumField() {
		name := kind.Field(i).Name
		if slices.Contains([]string{"ID", "Revision", "Group", "Entry", "Probed"}, name) { // which translation does not look at
			continue
		}
		p := &translate.Proxy{}
		switch f := reflect.ValueOf(p).Elem().Field(i); f.Kind() {
		case reflect.String:
			f.SetString("x")
		case reflect.Uint8:
			f.SetUint(1)
		case reflect.Map:
			f.Set(reflect.ValueOf(map[string]string{"a": "b"}))
		case reflect.Struct:
			if one := f.Field(0); one.Kind() == reflect.Bool {
				one.SetBool(true)
			} else {
				one.SetString("x")
			}
		default:
			t.Fatalf("%s is a %s", name, f.Kind())
		}
		if keyOf(p, ca.Identity{}, "", "") == plain {
			t.Errorf("%s is not in keys", name)
		}
	}
}
