package tls

import (
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/tls/batch"
)

// Store holds secrets by name. Contexts hold on to its slots and read them without a lock; who puts a new secret into one has rotated it,
// for the next handshake on, and has cut nothing.
type Store struct {
	Gate   Gate
	KeyLog func(path string) io.Writer // gives the file for secrets of connections, which has been opened; nil: they are not written down
	mu     sync.Mutex
	slots  map[string]*slot
	queues map[time.Duration]*batch.Queue // by how long an operation may wait
}

// batchDelay is how long an operation of a private key waits for others at most, if nothing else is said.
const batchDelay = 200 * time.Microsecond

// queue is where keys with that delay have their operations done.
func (s *Store) queue(delay time.Duration) *batch.Queue {
	if delay <= 0 {
		delay = batchDelay
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[delay]
	if q == nil {
		q = &batch.Queue{Delay: delay}
		s.queues[delay] = q
	}
	return q
}

// slot is where a secret is, or will be.
type slot struct {
	name  string
	value atomic.Pointer[config.Secret] // nil: it has not come
}

// NewStore makes an empty store. gate bounds the handshakes of all contexts that use it.
func NewStore(gate Gate) *Store {
	return &Store{Gate: gate, slots: map[string]*slot{}, queues: map[time.Duration]*batch.Queue{}}
}

// slot is that of a name, which is made if it is new.
func (s *Store) slot(name string) *slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.slots[name]
	if v == nil {
		v = &slot{name: name}
		s.slots[name] = v
	}
	return v
}

// Update makes these the secrets that there are. One that is not among them any more is kept: what is configured to use it goes on.
func (s *Store) Update(secrets map[string]*config.Secret) {
	for _, c := range secrets {
		v := s.slot(c.Name)
		if old := v.value.Load(); old == nil || old.Hash != c.Hash {
			v.value.Store(c)
		}
	}
}

// Secrets are those that are there, in no order.
func (s *Store) Secrets() []*config.Secret {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*config.Secret
	for _, v := range s.slots {
		if c := v.value.Load(); c != nil {
			all = append(all, c)
		}
	}
	return all
}
