package localratelimit

import (
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/filters"
)

// Ten times as much as is allowed, from several loops at once, over ten seconds: what is let through is the limit, within one percent.
func TestBucketAdmitsItsRate(t *testing.T) {
	for _, r := range []rate{
		{tokens: 1, fill: 1, interval: 50 * time.Millisecond},
		{tokens: 10, fill: 10, interval: 100 * time.Millisecond},
		{tokens: 100, fill: 1000, interval: time.Second},
		{tokens: 3000, fill: 3, interval: time.Millisecond},
	} {
		begin := time.Now()
		b := newBucket(r, begin)
		limit := 10 * float64(r.fill) / r.interval.Seconds()
		const loops = 4
		step := time.Duration(float64(10*time.Second) / (10 * limit))
		var mu sync.Mutex
		var wait sync.WaitGroup
		admitted, next := 0, 0
		for range loops {
			wait.Go(func() {
				for {
					mu.Lock()
					now := begin.Add(time.Duration(next) * step)
					next++
					mu.Unlock()
					if now.Sub(begin) >= 10*time.Second {
						return
					}
					if b.take(now) {
						mu.Lock()
						admitted++
						mu.Unlock()
					}
				}
			})
		}
		wait.Wait()
		want := limit + float64(r.tokens)
		if off := float64(admitted) - want; off > want/100+1 || off < -want/100-loops {
			t.Errorf("%+v: %d admitted, want %.0f", r, admitted, want)
		}
	}
}

func TestBucketTells(t *testing.T) {
	begin := time.Now()
	b := newBucket(rate{tokens: 2, fill: 1, interval: 100 * time.Second}, begin)
	for i, want := range []struct {
		tokens uint32
		wait   time.Duration
	}{{2, 0}, {1, 0}, {0, 100 * time.Second}} {
		if tokens, wait := b.left(begin); tokens != want.tokens || wait != want.wait {
			t.Errorf("after %d: %d, %v, want %+v", i, tokens, wait, want)
		}
		if b.take(begin) != (i < 2) || b.isFull(begin) {
			t.Errorf("token %d", i)
		}
	}
	if tokens, wait := b.left(begin.Add(150 * time.Second)); tokens != 1 || wait != 0 {
		t.Errorf("later: %d, %v", tokens, wait)
	}
	if !b.isFull(begin.Add(200 * time.Second)) {
		t.Error("not full again")
	}
	// A loop whose clock is a little behind is not let through twice, nor does it take back what others took.
	b.take(begin.Add(200 * time.Second))
	b.take(begin.Add(200 * time.Second))
	if b.take(begin.Add(199*time.Second)) || b.take(begin.Add(200*time.Second)) {
		t.Error("a clock that is behind makes tokens")
	}
}

// What is kept by name goes when nothing would be lost with it, and only then.
func TestKeptBuckets(t *testing.T) {
	var kept filters.Kept
	now := time.Now()
	used := newBucket(rate{tokens: 1, fill: 1, interval: time.Hour}, now)
	used.take(now)
	make := func(b *bucket) func() filters.Keeps { return func() filters.Keeps { return &buckets{standard: b} } }
	first := kept.Of("used", now, make(used))
	for i := range 3000 {
		kept.Of(i, now, make(newBucket(rate{tokens: 1, fill: 1, interval: time.Hour}, now)))
	}
	if kept.Of("used", now, make(nil)) != first {
		t.Error("a bucket that is not full was dropped")
	}
	full := 0
	for i := range 3000 {
		if kept.Of(i, now, make(nil)).(*buckets).standard != nil {
			full++
		}
	}
	if full > 2048 {
		t.Errorf("%d full buckets were kept", full)
	}
}
