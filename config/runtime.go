package config

import (
	"math"
	"sync"
	"sync/atomic"
	"weak"
)

// RuntimeLayer is one of the layers of values that may be changed while the process runs; later ones win.
type RuntimeLayer struct {
	Name   string
	Admin  bool // it holds what the operator says while the process runs
	Values map[string]*Value
	// File or Stream is where the values come from, if they do, as the resource Resource.
	File     *WatchedFile
	Stream   *Subscription
	Resource string
}

// RuntimeValues are the values of a layer that came by themselves.
type RuntimeValues struct {
	Name   string
	Hash   Hash
	Values map[string]*Value
	Raw    []byte
}

// Value is what a layer says of a key. What it cannot be read as is not set.
type Value struct {
	Text   string // as it was said
	Bool   *bool
	Number *float64
	Share  *Fraction
}

// Key is the name of a value that may be changed while the process runs, which makes it the one thing here that is written to after it
// was made. It is found by its name once, when a configuration is read: to look at it then costs an atomic load. A nil key has no value.
type Key struct {
	Name  string
	value atomic.Pointer[Value]
}

func (k *Key) get() *Value {
	if k == nil {
		return nil
	}
	return k.value.Load()
}

// Uint is the value as a whole number, whose fraction is cut off, or otherwise.
func (k *Key) Uint(otherwise uint64) uint64 {
	v := k.get()
	if v == nil || v.Number == nil || *v.Number < 0 || *v.Number >= math.MaxInt64 {
		return otherwise
	}
	return uint64(*v.Number)
}

// Bool is the value as a truth, or otherwise. A number is true unless it is 0.
func (k *Key) Bool(otherwise bool) bool {
	switch v := k.get(); {
	case v == nil:
		return otherwise
	case v.Bool != nil:
		return *v.Bool
	case v.Number != nil:
		return *v.Number != 0
	}
	return otherwise
}

// Now is the share at this moment: what its key says, a whole number being percents, or else what is configured.
func (f *Fraction) Now() (of, in uint64) {
	v := f.Key.get()
	switch {
	case v == nil:
	case v.Share != nil:
		return uint64(v.Share.Of), uint64(v.Share.In)
	case v.Number != nil && *v.Number >= 0:
		return uint64(min(*v.Number, 100)), 100
	}
	return uint64(f.Of), uint64(f.In)
}

// runtime are the keys that configurations ask for and the values that there are. There is one for the process: filters' configurations
// are read by functions that know of nothing else, and an operator who changes a value means all that asks for it.
var runtime struct {
	sync.Mutex
	keys   map[string]weak.Pointer[Key]
	values map[string]*Value
	swept  int // keys when those were last taken out that nobody asks for any more
}

// RuntimeKey finds a key by its name; an empty name is none.
func RuntimeKey(name string) *Key {
	if name == "" {
		return nil
	}
	r := &runtime
	r.Lock()
	defer r.Unlock()
	if k := r.keys[name].Value(); k != nil {
		return k
	}
	if len(r.keys) > 2*r.swept+100 {
		for n, k := range r.keys {
			if k.Value() == nil {
				delete(r.keys, n)
			}
		}
		r.swept = len(r.keys)
	}
	if r.keys == nil {
		r.keys = map[string]weak.Pointer[Key]{}
	}
	k := &Key{Name: name}
	k.value.Store(r.values[name])
	r.keys[name] = weak.Make(k)
	return k
}

// SetRuntime makes these the values of all keys; the map is the package's from then on.
func SetRuntime(values map[string]*Value) {
	r := &runtime
	r.Lock()
	defer r.Unlock()
	r.values = values
	for name, p := range r.keys {
		if k := p.Value(); k != nil {
			k.value.Store(values[name])
		}
	}
}

// AskedFor tells whether a configuration asks for a key.
func AskedFor(name string) bool {
	r := &runtime
	r.Lock()
	defer r.Unlock()
	return r.keys[name].Value() != nil
}
