package load

import (
	"testing"
	"time"
)

// Two connections that are both busy: what falls due is owed by the right one, and counts from when
// it was due.
func TestTimetable(t *testing.T) {
	o := newOpen(1000, 2) // a request a millisecond
	o.start = 10 * time.Millisecond
	l := &loop{conns: []conn{{slot: 0, state: busy}, {slot: 1, state: busy}}}
	if next := o.wake(l, 9*time.Millisecond); next != o.start {
		t.Fatalf("first wake at %v, want %v", next, o.start)
	}
	if next := o.wake(l, o.start+2500*time.Microsecond); next != o.start+3*time.Millisecond {
		t.Fatalf("next wake at %v, want 3 ms after the start", next)
	}
	if a, b := o.turns[0].owed, o.turns[1].owed; a != 2 || b != 1 {
		t.Fatalf("owed %d and %d, want 2 (at 0 and 2 ms) and 1 (at 1 ms)", a, b)
	}
	// Connection 0 waits for an answer since 5 ms, and requests were due at 10, 12 and 11 ms.
	l.conns[0].since, l.conns[1].since = 5*time.Millisecond, 13*time.Millisecond
	o.overdue(l, 13*time.Millisecond)
	if n := l.latency.Count(); n != 5 {
		t.Fatalf("%d latencies of unanswered requests, want 5", n)
	}
	if got, want := l.latency.Max(), 8*time.Millisecond; got != want {
		t.Errorf("longest wait %v, want %v", got, want)
	}
	if got, want := l.latency.Mean(), (8+3+1+2+0)*time.Millisecond/5; got != want {
		t.Errorf("mean wait %v, want %v", got, want)
	}
}

func TestSpecBounds(t *testing.T) {
	good := Spec{Port: 1, Protocol: HTTP1, Path: "/", Body: 1, Conns: 1, Measure: 1}
	if err := good.check(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Spec){
		"port":     func(s *Spec) { s.Port = 70000 },
		"protocol": func(s *Spec) { s.Protocol = "http9" },
		"path":     func(s *Spec) { s.Path = "x" },
		"body":     func(s *Spec) { s.Body = 0 },
		"none":     func(s *Spec) { s.Conns = 0 },
		"too many": func(s *Spec) { s.Conns = mostConns + 1 },
		"rate":     func(s *Spec) { s.Rate = -1 },
		"time":     func(s *Spec) { s.Measure = 0 },
	} {
		bad := good
		spoil(&bad)
		if bad.check() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
