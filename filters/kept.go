package filters

import (
	"sync"
	"time"
)

// Kept is what filters keep from one configuration to the next, by name: token buckets. The zero value keeps nothing yet. Looking
// something up takes no lock.
type Kept struct {
	values sync.Map // Key → Keeps
	mu     sync.Mutex
	count  int
	sweep  int // the count at which to look for what is not needed any more
}

// Keeps is something that is kept.
type Keeps interface {
	// Spent tells whether nothing would be lost were it made anew. What is used by a configuration that runs may be spent, too.
	Spent(now time.Time) bool
}

// Key is the name of something kept, made once when it is configured: as a pointerless value in an interface it is looked up without
// allocating.
type Key any

// firstSweep is the number of things above which what is spent is looked for; afterwards that is done whenever the number has doubled.
const firstSweep = 1024

// Of is what is kept under a key; make is called if there is nothing.
func (k *Kept) Of(key Key, now time.Time, make func() Keeps) Keeps {
	if v, ok := k.values.Load(key); ok {
		return v.(Keeps)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if v, ok := k.values.Load(key); ok {
		return v.(Keeps)
	}
	if k.count >= max(k.sweep, firstSweep) {
		k.values.Range(func(key, v any) bool {
			if v.(Keeps).Spent(now) {
				k.values.Delete(key)
				k.count--
			}
			return true
		})
		k.sweep = 2 * k.count
	}
	v := make()
	k.values.Store(key, v)
	k.count++
	return v
}
