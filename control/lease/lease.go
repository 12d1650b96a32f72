package lease

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	randv2 "math/rand/v2"
	"os"
	"sync"
	"time"
)

// How long a lease is good for, how often it is renewed or looked at, and when who could not renew it stops: well before another one may take it.
const (
	Life   = 15 * time.Second
	pace   = 2 * time.Second
	end    = 10 * time.Second
	asking = 3 * time.Second // for one question
)

// Record is what is known of a lease.
type Record struct {
	Holder      string // empty: nobody
	Life        time.Duration
	Acquired    time.Time // by the holder's clock, for people
	Renewed     time.Time
	Transitions int // how often it has had another holder
}

// same tells whether nobody has written since.
func (r Record) same(other Record) bool {
	return r.Holder == other.Holder && r.Renewed.Equal(other.Renewed) && r.Life == other.Life
}

// Place is where a record is kept.
type Place interface {
	// Get reads the record, and its version there; no version: there is no record.
	Get(ctx context.Context) (r Record, version string, err error)
	// Put writes the record if its version is still that one; else it fails with ErrTaken.
	Put(ctx context.Context, r Record, version string) error
}

// ErrTaken says that another one was faster.
var ErrTaken = errors.New("lease: another one has written it meanwhile")

// Lead has do run while this process is the one that holds the lease, again and again until ctx ends. The context of do ends when the lease is lost, or cannot be
// renewed and might be; do has to end then. Whose clock is right does not matter: a lease is over when nobody has been seen to renew it for its life.
func Lead(ctx context.Context, at Place, log *slog.Logger, do func(context.Context)) {
	host, _ := os.Hostname()
	l := leading{at: at, me: host + "_" + rand.Text()[:8]}
	var stop func() // nil: it does not run
	var limit *time.Timer
	defer func() {
		if stop != nil {
			limit.Stop()
			stop()
		}
		l.release()
	}()
	said := ""
	for {
		mine, err := l.try(ctx)
		if ctx.Err() != nil {
			return
		}
		switch {
		case err == nil:
			said = ""
		case err.Error() != said:
			log.Warn("whether this one leads is not known", "because", err)
			said = err.Error()
		}
		switch {
		case mine && stop == nil:
			log.Info("leads")
			var cancel func()
			cancel, stop = begin(ctx, do)
			limit = time.AfterFunc(time.Until(l.renewed.Add(end)), cancel) // whatever else hangs
		case mine && !limit.Reset(time.Until(l.renewed.Add(end))), // which had run out, so that it has ended
			!mine && stop != nil && (err == nil || time.Since(l.renewed) >= end):
			log.Info("does not lead any more")
			limit.Stop()
			stop()
			stop = nil
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pace/2 + randv2.N(pace/2)):
		}
	}
}

// begin has something run. Who calls cancel has it end, and who calls stop waits until it has, too.
func begin(ctx context.Context, do func(context.Context)) (cancel, stop func()) {
	ctx, cancel = context.WithCancel(ctx)
	var all sync.WaitGroup
	all.Go(func() { do(ctx) })
	return cancel, func() {
		cancel()
		all.Wait()
	}
}

// leading is what one knows of a lease.
type leading struct {
	at      Place
	me      string
	seen    Record    // as it was last
	since   time.Time // when it was first seen so
	renewed time.Time // when we last wrote it
}

// try takes or renews the lease if that can be done, and says whether it is ours.
func (l *leading) try(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	began := time.Now()
	is, version, err := l.at.Get(ctx)
	if err != nil {
		return false, err
	}
	if version != "" {
		if !is.same(l.seen) || l.since.IsZero() {
			l.seen, l.since = is, began
		}
		if is.Holder != l.me && is.Holder != "" && time.Since(l.since) < is.Life {
			return false, nil
		}
	}
	if is.Holder != l.me {
		is.Holder, is.Acquired = l.me, time.Now()
		is.Transitions++
	}
	is.Life, is.Renewed = Life, time.Now()
	switch err := l.at.Put(ctx, is, version); {
	case errors.Is(err, ErrTaken):
		return false, nil
	case err != nil:
		return false, err
	}
	l.seen, l.since, l.renewed = is, began, began
	return true, nil
}

// release lets the next one have it at once.
func (l *leading) release() {
	if l.renewed.IsZero() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), asking)
	defer cancel()
	is, version, err := l.at.Get(ctx)
	if err != nil || is.Holder != l.me {
		return
	}
	is.Holder, is.Life, is.Renewed = "", time.Second, time.Now() // what has no holder needs a life all the same
	l.at.Put(ctx, is, version)
}
