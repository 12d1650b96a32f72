package filters

import (
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/config"
)

// Many tokens are taken at once or not at all, and given back as far as there is room.
func TestTakeMany(t *testing.T) {
	begin := time.Unix(1e9, 0)
	b := NewBucket(config.Rate{Tokens: 10, Fill: 1, Interval: time.Hour}, begin)
	for i, c := range []struct {
		n    int64
		ok   bool
		left uint32
	}{{7, true, 3}, {4, false, 3}, {3, true, 0}, {-4, true, 4}, {-100, true, 10}, {11, false, 10}, {1 << 40, false, 10}, {-1 << 40, true, 10}, {10, true, 0}} {
		ok := b.Take(begin, c.n)
		if left, _ := b.Left(begin); ok != c.ok || left != c.left {
			t.Errorf("step %d: to take %d says %v and leaves %d, want %v and %d", i, c.n, ok, left, c.ok, c.left)
		}
	}
}

// Ten times as much as is allowed, from several loops at once, over ten seconds: what is let through is the limit, within one percent.
func TestBucketAdmitsItsRate(t *testing.T) {
	for _, r := range []config.Rate{
		{Tokens: 1, Fill: 1, Interval: 50 * time.Millisecond},
		{Tokens: 10, Fill: 10, Interval: 100 * time.Millisecond},
		{Tokens: 100, Fill: 1000, Interval: time.Second},
		{Tokens: 3000, Fill: 3, Interval: time.Millisecond},
	} {
		begin := time.Now()
		b := NewBucket(r, begin)
		limit := 10 * float64(r.Fill) / r.Interval.Seconds()
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
					if b.Take(now, 1) {
						mu.Lock()
						admitted++
						mu.Unlock()
					}
				}
			})
		}
		wait.Wait()
		want := limit + float64(r.Tokens)
		if off := float64(admitted) - want; off > want/100+1 || off < -want/100-loops {
			t.Errorf("%+v: %d admitted, want %.0f", r, admitted, want)
		}
	}
}

func TestBucketTells(t *testing.T) {
	begin := time.Now()
	b := NewBucket(config.Rate{Tokens: 2, Fill: 1, Interval: 100 * time.Second}, begin)
	for i, want := range []struct {
		tokens uint32
		wait   time.Duration
	}{{2, 0}, {1, 0}, {0, 100 * time.Second}} {
		if tokens, wait := b.Left(begin); tokens != want.tokens || wait != want.wait {
			t.Errorf("after %d: %d, %v, want %+v", i, tokens, wait, want)
		}
		if b.Take(begin, 1) != (i < 2) || b.Spent(begin) {
			t.Errorf("token %d", i)
		}
	}
	if tokens, wait := b.Left(begin.Add(150 * time.Second)); tokens != 1 || wait != 0 {
		t.Errorf("later: %d, %v", tokens, wait)
	}
	if !b.Spent(begin.Add(200 * time.Second)) {
		t.Error("not full again")
	}
	// A loop whose clock is a little behind is not let through twice, nor does it take back what others took.
	b.Take(begin.Add(200*time.Second), 1)
	b.Take(begin.Add(200*time.Second), 1)
	if b.Take(begin.Add(199*time.Second), 1) || b.Take(begin.Add(200*time.Second), 1) {
		t.Error("a clock that is behind makes tokens")
	}
}

// What is kept by name goes when nothing would be lost with it, and only then.
func TestKeptBuckets(t *testing.T) {
	var kept Kept
	now := time.Now()
	used := NewBucket(config.Rate{Tokens: 1, Fill: 1, Interval: time.Hour}, now)
	used.Take(now, 1)
	make := func(b *Bucket) func() Keeps { return func() Keeps { return b } }
	first := kept.Of("used", now, make(used))
	for i := range 3000 {
		kept.Of(i, now, make(NewBucket(config.Rate{Tokens: 1, Fill: 1, Interval: time.Hour}, now)))
	}
	none := NewBucket(config.Rate{Tokens: 1, Fill: 1, Interval: time.Hour}, now)
	if kept.Of("used", now, make(none)) != first {
		t.Error("a bucket that is not full was dropped")
	}
	full := 0
	for i := range 3000 {
		if kept.Of(i, now, make(none)) != Keeps(none) {
			full++
		}
	}
	if full > 2048 {
		t.Errorf("%d full buckets were kept", full)
	}
}

// A loop whose clock lags behind another's finds all that is left.
func TestBucketOfLoopsThatDisagree(t *testing.T) {
	now := time.Now()
	b := NewBucket(config.Rate{Tokens: 10, Fill: 10, Interval: time.Hour}, now)
	for i := range 10 {
		at := now.Add(5 * time.Millisecond)
		if i == 9 {
			at = now
		}
		if !b.Take(at, 1) {
			t.Errorf("token %d is not there", i+1)
		}
	}
	if b.Take(now.Add(5*time.Millisecond), 1) {
		t.Error("there is one too many")
	}
}
