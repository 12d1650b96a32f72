package batch

import (
	"slices"
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
	pending map[size][]*operation // by what can be done at once
	waiting int                   // how many they are
	running int                   // how many have been taken, and are being done
}

// operation is one of a key.
type operation struct {
	key       *Key
	input     []byte
	unchecked []byte
	output    []byte // nil: it failed its check
	done      chan struct{}
	alone     chan struct{} // room for one word: nobody else comes, do what waits
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
	return func() {
		once.Do(func() {
			q.expected.Add(-1)
			q.mu.Lock()
			q.settle()
			q.mu.Unlock()
		})
	}
}

// Counts are how many operations there were, in how many batches, and how many failed their check and were done again.
func (q *Queue) Counts() (operations, batches, faults int64) {
	return q.total.Load(), q.batches.Load(), q.faults.Load()
}

// do has an operation done: with others, if some are on their way, or else at once. Nobody who is alone waits.
func (q *Queue) do(p Place, o *operation) {
	with := size{o.key.kernel, o.key.digits}
	q.mu.Lock()
	if q.pending == nil {
		q.pending = map[size][]*operation{}
	}
	q.pending[with] = append(q.pending[with], o)
	q.waiting++
	if len(q.pending[with]) >= with.atOnce || q.complete() {
		list := q.take(with)
		q.settle()
		q.mu.Unlock()
		q.run(list)
		return
	}
	q.mu.Unlock()

	if p != nil {
		p.Leave()
	}
	late := time.NewTimer(q.Delay)
	defer late.Stop()
	done := false
	select {
	case <-o.done:
		done = true
	case <-o.alone:
	case <-late.C:
	}
	if p != nil {
		p.Enter()
	}
	if done {
		return
	}
	q.mu.Lock()
	if !slices.Contains(q.pending[with], o) {
		q.mu.Unlock()
		<-o.done // somebody has just taken it
		return
	}
	list := q.take(with)
	q.mu.Unlock()
	q.run(list)
}

// take is everything of one size, for the caller to run. The caller holds mu.
func (q *Queue) take(with size) []*operation {
	list := q.pending[with]
	delete(q.pending, with)
	q.waiting -= len(list)
	q.running += len(list)
	return list
}

// complete says that everybody who is expected has come. The caller holds mu.
func (q *Queue) complete() bool { return q.waiting+q.running >= int(q.expected.Load()) }

// settle has what waits done, if nobody who is expected is still to come: whoever came first does it. The caller holds mu.
func (q *Queue) settle() {
	if !q.complete() {
		return
	}
	for _, list := range q.pending {
		select {
		case list[0].alone <- struct{}{}:
		default: // was told
		}
	}
}

// run does what one caller has taken, on that caller's time.
func (q *Queue) run(list []*operation) {
	q.batches.Add(1)
	q.total.Add(int64(len(list)))
	defer func() {
		q.mu.Lock()
		q.running -= len(list)
		q.mu.Unlock()
		// However it ends, nobody waits for ever: without an output an operation is done by the plain path.
		for _, o := range list {
			close(o.done)
		}
	}()
	compute(list)
}
