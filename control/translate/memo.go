package translate

import "weak"

// memo remembers what was made of inputs, as long as anybody has it: views hold the pieces that they are made of. What is let go is made again
// if it is wanted, and nobody can tell.
type memo[K comparable, V any] struct {
	made map[K]weak.Pointer[V]
	full int // at which size it is swept
}

// What is large is in keys without being held by them: an old index, or a layer of an old view, would else stay as long as the key. Such a key
// equals one of the same thing, and of no other, even when the thing is gone.
type ref[T any] = weak.Pointer[T]

// leastFull keeps small memos from being swept at every turn.
const leastFull = 16

func (m *memo[K, V]) get(k K, of func() *V) *V {
	if v := m.at(k); v != nil {
		return v
	}
	v := of()
	m.set(k, v)
	return v
}

// at gives what is remembered of a key; nil: nothing.
func (m *memo[K, V]) at(k K) *V { return m.made[k].Value() }

// set has something be remembered, in the place of what was.
func (m *memo[K, V]) set(k K, v *V) {
	if m.made == nil {
		m.made, m.full = map[K]weak.Pointer[V]{}, leastFull
	}
	if len(m.made) >= m.full {
		m.sweep()
	}
	m.made[k] = weak.Make(v)
}

// sweep forgets what was let go, and with it the inputs.
func (m *memo[K, V]) sweep() {
	for k, p := range m.made {
		if p.Value() == nil {
			delete(m.made, k)
		}
	}
	m.full = max(leastFull, 2*len(m.made))
}

// chain is a list as one comparable value: the same items in the same order are the same pointer. nil is the empty one.
type chain struct {
	before *chain
	item   any
}

type chains struct{ memo[chain, chain] }

func (c *chains) add(before *chain, item any) *chain {
	return c.get(chain{before, item}, func() *chain { return &chain{before, item} })
}
