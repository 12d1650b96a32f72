package batch

import (
	"sync"
	"sync/atomic"
	"time"
)

// Queue gathers operations until a group is full. It holds fewer of them than a group has, so that it needs no bound of its own, and it
// holds none for longer than Delay.
type Queue struct {
	// Delay bounds how long an operation waits for others.
	Delay time.Duration

	expected atomic.Int64 // callers who will come, or have come and wait
	faults   atomic.Int64
	batches  atomic.Int64
	total    atomic.Int64

	mu      sync.Mutex
	pending map[int][]*operation // by the digits of their primes
}

// operation is one of a key.
type operation struct {
	key    *Key
	input  []byte
	output []byte // nil: it failed its check
	done   chan struct{}
}

// Place is a place among those who compute, which is given up while there is nothing to do but wait.
type Place interface {
	Leave()
	Enter()
}

// Expect says that an operation will come, so that others may wait for it; what it returns says that it has come and gone, or will not come
// any more.
func (q *Queue) Expect() (over func()) {
	q.expected.Add(1)
	var once sync.Once
	return func() { once.Do(func() { q.expected.Add(-1) }) }
}

// Counts are how many operations there were, in how many batches, and how many failed their check and were done again.
func (q *Queue) Counts() (operations, batches, faults int64) {
	return q.total.Load(), q.batches.Load(), q.faults.Load()
}

// do has an operation done: with others, if some are on their way, or else at once. Nobody who is alone waits.
func (q *Queue) do(p Place, o *operation) {
	size := o.key.digits
	q.mu.Lock()
	list := append(q.pending[size], o)
	if len(list) >= atOnce || int64(len(list)) >= q.expected.Load() {
		delete(q.pending, size)
		q.mu.Unlock()
		q.run(list)
		return
	}
	if q.pending == nil {
		q.pending = map[int][]*operation{}
	}
	q.pending[size] = list
	q.mu.Unlock()

	if p != nil {
		p.Leave()
	}
	late := time.NewTimer(q.Delay)
	defer late.Stop()
	select {
	case <-o.done:
		if p != nil {
			p.Enter()
		}
		return
	case <-late.C:
	}
	if p != nil {
		p.Enter()
	}
	q.mu.Lock()
	list = q.pending[size]
	mine := false
	for _, other := range list {
		mine = mine || other == o
	}
	if !mine {
		q.mu.Unlock()
		<-o.done // somebody has just taken it
		return
	}
	delete(q.pending, size)
	q.mu.Unlock()
	q.run(list)
}

// run does what one caller has taken, on that caller's time.
func (q *Queue) run(list []*operation) {
	q.batches.Add(1)
	q.total.Add(int64(len(list)))
	defer func() {
		// However it ends, nobody waits for ever: without an output an operation is done by the plain path.
		for _, o := range list {
			close(o.done)
		}
	}()
	compute(list)
}
