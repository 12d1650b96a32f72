package route

import (
	"testing"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/wire/http"
)

// TestScopeKey makes keys as Envoy does.
func TestScopeKey(t *testing.T) {
	plain := config.ScopeFragment{Header: "x-tenant"}
	second := config.ScopeFragment{Header: "x-list", Separator: ",", Index: 1}
	named := config.ScopeFragment{Header: "x-list", Separator: ";;", ByKey: true, Key: "v", Between: "=="}
	whole := config.ScopeFragment{Header: "x-list", ByKey: true, Key: "v", Between: "="}
	host := config.ScopeFragment{Header: ":authority"}
	for _, c := range []struct {
		name      string
		fragments []config.ScopeFragment
		fields    map[string]string
		want      []string // nil: there is none
	}{
		{"a field", []config.ScopeFragment{plain}, map[string]string{"x-tenant": "a, b"}, []string{"a, b"}},
		{"an empty field", []config.ScopeFragment{plain}, map[string]string{"x-tenant": ""}, []string{""}},
		{"no field", []config.ScopeFragment{plain}, nil, nil},
		{"an element", []config.ScopeFragment{second}, map[string]string{"x-list": "a,b,c"}, []string{"b"}},
		{"an empty element", []config.ScopeFragment{second}, map[string]string{"x-list": "a,"}, []string{""}},
		{"too few elements", []config.ScopeFragment{second}, map[string]string{"x-list": "a"}, nil},
		{"by name", []config.ScopeFragment{named}, map[string]string{"x-list": "u==1;;v==2==3;;v==4"}, []string{"2==3"}},
		{"by name without separator", []config.ScopeFragment{named}, map[string]string{"x-list": "u=1;;v"}, []string{""}},
		{"separators that are not whole", []config.ScopeFragment{named}, map[string]string{"x-list": "u==1;v==2;"}, nil},
		{"not by that name", []config.ScopeFragment{named}, map[string]string{"x-list": "u==1;;w==2"}, nil},
		{"one element by name", []config.ScopeFragment{whole}, map[string]string{"x-list": "v=1,2"}, []string{"1,2"}},
		{"several", []config.ScopeFragment{host, plain, second}, map[string]string{"x-tenant": "t", "x-list": "a,b"}, []string{"a.example", "t", "b"}},
		{"one of several is missing", []config.ScopeFragment{host, plain}, nil, nil},
	} {
		r := &http.Request{}
		r.SetAuthority([]byte("a.example"))
		for name, value := range c.fields {
			r.AddNamed([]byte(name), []byte(value))
		}
		got, ok := AppendScopeKey(nil, c.fragments, r)
		if ok != (c.want != nil) || ok && string(got) != ScopeKey(c.want) {
			t.Errorf("%s: %q, %v", c.name, got, ok)
		}
	}
	if ScopeKey([]string{"a", "bc"}) == ScopeKey([]string{"ab", "c"}) {
		t.Error("keys of other parts are the same")
	}
	r := &http.Request{}
	r.SetAuthority([]byte("a.example"))
	r.AddNamed([]byte("x-list"), []byte("u==1;;v==2"))
	key := make([]byte, 0, 64)
	table := map[string]int{ScopeKey([]string{"a.example", "2"}): 7}
	if n := testing.AllocsPerRun(100, func() {
		if k, ok := AppendScopeKey(key[:0], []config.ScopeFragment{host, named}, r); !ok || table[string(k)] != 7 {
			t.Fatal("not found")
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
