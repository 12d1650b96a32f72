package lease_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weftmesh/weft/control/lease"
	"github.com/weftmesh/weft/control/store"
)

// What a lease takes, as lease.go has it.
const (
	pace, asking = 2 * time.Second, 3 * time.Second
	end          = 10 * time.Second
)

// line is a process's way to where the lease is: it may be cut, or take no answer.
type line struct {
	lease.Place
	mu          sync.Mutex
	cut, silent bool
}

func (l *line) set(cut, silent bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut, l.silent = cut, silent
}

func (l *line) through(ctx context.Context) error {
	l.mu.Lock()
	cut, silent := l.cut, l.silent
	l.mu.Unlock()
	if silent {
		<-ctx.Done()
		return ctx.Err()
	}
	if cut {
		return errors.New("the line is cut")
	}
	return nil
}

func (l *line) Get(ctx context.Context) (lease.Record, string, error) {
	if err := l.through(ctx); err != nil {
		return lease.Record{}, "", err
	}
	return l.Place.Get(ctx)
}

func (l *line) Put(ctx context.Context, r lease.Record, version string) error {
	if err := l.through(ctx); err != nil {
		return err
	}
	err := l.Place.Put(ctx, r, version)
	if err2 := l.through(ctx); err2 != nil { // it is written, and nobody hears of it
		return err2
	}
	return err
}

// process leads, if it does.
type process struct {
	line line
	end  context.CancelFunc
	done chan struct{}
}

func start(t *testing.T, s store.Store, leaders *atomic.Int64, led chan<- int, i int) *process {
	p := &process{line: line{Place: store.Lease(s, "test")}, done: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	p.end = cancel
	go func() {
		defer close(p.done)
		lease.Lead(ctx, &p.line, slog.New(slog.DiscardHandler), func(ctx context.Context) {
			if n := leaders.Add(1); n > 1 {
				t.Errorf("%d lead", n)
			}
			led <- i
			<-ctx.Done()
			leaders.Add(-1)
		})
	}()
	return p
}

// TestOneLeads has several processes lead while lines are cut, answers are lost, and processes end: never two at a time, and one again soon.
func TestOneLeads(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 1))
				s := store.NewMemory()
				defer s.Close()
				var leaders atomic.Int64
				led := make(chan int, 1000)
				var all []*process
				for i := range 4 {
					all = append(all, start(t, s, &leaders, led, i))
				}
				for range 40 {
					p := all[random.IntN(len(all))]
					switch random.IntN(6) {
					case 0, 1:
						p.line.set(true, false)
					case 2:
						p.line.set(false, true)
					case 3:
						p.end()
						<-p.done
						for i := range all {
							if all[i] == p {
								all[i] = start(t, s, &leaders, led, i)
							}
						}
					default:
						p.line.set(false, false)
					}
					time.Sleep(time.Duration(random.IntN(int(20 * time.Second))))
				}
				for _, p := range all {
					p.line.set(false, false)
				}
				time.Sleep(lease.Life + 2*pace + asking)
				synctest.Wait()
				if leaders.Load() != 1 {
					t.Errorf("%d lead when nothing is wrong any more", leaders.Load())
				}
				for _, p := range all {
					p.end()
					<-p.done
				}
				if leaders.Load() != 0 {
					t.Error("one leads afterwards")
				}
			})
		})
	}
}

// TestTheNextOneLeads says how long it takes: at once after one that has ended in good order, and the life of the lease after one that is not heard of any more.
func TestTheNextOneLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.NewMemory()
		defer s.Close()
		var leaders atomic.Int64
		led := make(chan int, 10)
		one := start(t, s, &leaders, led, 1)
		if <-led != 1 {
			t.Fatal("another leads")
		}
		two := start(t, s, &leaders, led, 2)
		time.Sleep(10 * lease.Life)
		if len(led) > 0 {
			t.Fatal("another leads, too")
		}
		began := time.Now()
		one.line.set(true, false) // what was under way to it may be lost, but not what it has been told
		if got := <-led; got != 2 || time.Since(began) > lease.Life+pace+asking || time.Since(began) < end {
			t.Errorf("%d leads after %v", got, time.Since(began))
		}
		one.line.set(false, false)
		time.Sleep(pace)
		began = time.Now()
		two.end()
		<-two.done
		if got := <-led; got != 1 || time.Since(began) > 2*pace {
			t.Errorf("%d leads after %v", got, time.Since(began))
		}
		one.end()
		<-one.done
	})
}
