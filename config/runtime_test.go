package config

import (
	"fmt"
	goruntime "runtime"
	"testing"
)

// TestRuntimeKeys: a key has what is said of it whenever that is said, and is forgotten with the last who asks for it.
func TestRuntimeKeys(t *testing.T) {
	number := 42.9
	early := RuntimeKey("early")
	SetRuntime(map[string]*Value{"early": {Number: &number}, "late": {Number: &number}})
	defer SetRuntime(nil)
	late := RuntimeKey("late")
	if early.Uint(1) != 42 || late.Uint(1) != 42 || !late.Bool(false) || RuntimeKey("late") != late || !AskedFor("late") || AskedFor("nobody") {
		t.Error(early.Uint(1), late.Uint(1))
	}
	SetRuntime(map[string]*Value{})
	if early.Uint(1) != 1 || late.Bool(false) || RuntimeKey("") != nil || RuntimeKey("").Uint(3) != 3 {
		t.Error("a value that was taken back stays")
	}
	for i := range 10_000 {
		RuntimeKey(fmt.Sprint("passing ", i))
	}
	// They are swept out when there are twice as many as were left the last time, which are 10,000 at most.
	for i := range 50_000 {
		if i%5000 == 0 {
			goruntime.GC()
		}
		RuntimeKey(fmt.Sprint("more ", i))
	}
	if n := len(runtime.keys); n > 20_200 {
		t.Errorf("%d keys are kept", n)
	}
	goruntime.KeepAlive(early)
}

func TestFractionNow(t *testing.T) {
	at := func(n float64) *Value { return &Value{Number: &n} }
	yes := true
	for name, c := range map[string]struct {
		value  *Value
		of, in uint64
	}{
		"nothing":     {nil, 3, 1000},
		"percents":    {at(50), 50, 100},
		"a part":      {at(99.5), 99, 100},
		"more":        {at(1e300), 100, 100},
		"less":        {at(-1), 3, 1000},
		"a share":     {&Value{Share: &Fraction{Of: 7, In: 10_000}}, 7, 10_000},
		"no share":    {&Value{Text: "x"}, 3, 1000},
		"only a word": {&Value{Bool: &yes}, 3, 1000},
	} {
		f := Fraction{Of: 3, In: 1000, Key: &Key{Name: "k"}}
		f.Key.value.Store(c.value)
		if of, in := f.Now(); of != c.of || in != c.in {
			t.Errorf("%s: %d of %d", name, of, in)
		}
	}
	if n := testing.AllocsPerRun(100, func() { f := Always; f.Now() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
