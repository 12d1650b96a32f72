package load

import (
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weftmesh/weft/bench/proc"
)

// connectLimit bounds the time in which all connections must be open.
const connectLimit = 20 * time.Second

// Run makes the traffic of spec and returns what it saw. It takes at most 20 s to open the
// connections, plus the warm-up and the measured time; faults are counted in the Result, and an
// error says that there is none.
func Run(spec Spec) (Result, error) {
	if err := spec.check(); err != nil {
		return Result{}, err
	}
	switch {
	case spec.Protocol == Resets:
		return runResets(spec)
	case spec.shared():
		client, err := newSharing(spec)
		if err != nil {
			return Result{}, err
		}
		return runShared(spec, client)
	}
	if spec.TLS {
		return runTLS(spec)
	}
	var timetable *open
	var p pace = closed{}
	if spec.Rate > 0 {
		// The kernel rounds waits up by 50 µs unless told not to, a whole period at 20,000 a second.
		// It is a property of the thread.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
			return Result{}, fmt.Errorf("load: timer slack: %w", err)
		}
		timetable = newOpen(spec.Rate, spec.Conns)
		timetable.start = never / 2 // nothing is due while connections are being opened
		p = timetable
	}
	l, err := newLoop(spec, p)
	if err != nil {
		return Result{}, err
	}
	defer l.close()
	for i := range l.conns {
		l.dial(&l.conns[i])
	}
	for limit := l.now() + connectLimit; l.up < len(l.conns); {
		if err := l.step(limit); err != nil {
			return Result{Faults: l.faults}, err
		}
		if l.now() >= limit {
			return Result{Faults: l.faults}, fmt.Errorf("load: %d of %d connections open after %v", l.up, len(l.conns), connectLimit)
		}
	}
	if timetable != nil {
		timetable.start = l.now()
	}
	if err := l.until(l.now() + spec.Warm); err != nil {
		return Result{Faults: l.faults}, err
	}

	l.requests, l.refused, l.reopened = 0, 0, 0
	l.latency.Reset()
	if timetable != nil {
		timetable.late.Reset()
	}
	costBefore, err := proc.CPUTime(spec.Watch)
	if err != nil {
		return Result{}, err
	}
	from := l.now()
	if err := l.until(from + spec.Measure); err != nil {
		return Result{Faults: l.faults}, err
	}
	to := l.now()
	costAfter, err := proc.CPUTime(spec.Watch)
	if err != nil {
		return Result{}, err
	}
	r := Result{
		Requests: l.requests, Refused: l.refused, Elapsed: to - from, Cost: costAfter - costBefore,
		Reopened: l.reopened, Faults: l.faults,
	}
	if timetable != nil {
		timetable.overdue(l, to)
		r.LateP99 = timetable.late.Quantile(0.99)
	}
	r.P50, r.P99, r.P999 = l.latency.Quantile(0.50), l.latency.Quantile(0.99), l.latency.Quantile(0.999)
	r.Max, r.Mean = l.latency.Max(), l.latency.Mean()
	return r, nil
}

func (l *loop) until(end time.Duration) error {
	for l.now() < end {
		if err := l.step(end); err != nil {
			return err
		}
	}
	return nil
}

// Hold opens the connections of spec, makes one request on each, and calls held while all of them
// are open and idle. Any fault is an error. Opening takes at most 20 s; held decides the rest.
func Hold(spec Spec, held func()) error {
	spec.Hold = true
	if err := spec.check(); err != nil {
		return err
	}
	if spec.shared() {
		return holdHTTP2(spec, held)
	}
	if spec.TLS {
		return holdTLS(spec, held)
	}
	p := &once{asked: make([]bool, spec.Conns)}
	l, err := newLoop(spec, p)
	if err != nil {
		return err
	}
	defer l.close()
	for range opening {
		p.open(l)
	}
	for limit := l.now() + connectLimit; p.answered < len(l.conns); {
		if err := l.step(limit); err != nil {
			return err
		}
		if l.faults.Total() > 0 || l.reopened > 0 {
			return fmt.Errorf("load: while opening %d connections to hold: faults: %v; %d closed by the peer", spec.Conns, l.faults, l.reopened)
		}
		if l.now() >= limit {
			return fmt.Errorf("load: %d of %d connections answered after %v", p.answered, spec.Conns, connectLimit)
		}
	}
	held()
	return nil
}
