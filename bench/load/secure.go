package load

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weftmesh/weft/bench/proc"
)

// What speaks TLS has a goroutine for each connection: crypto/tls waits, and what the client costs is not what is measured.

// tally is what a run over TLS has counted so far.
type tally struct {
	requests atomic.Uint64
	faults   [6]atomic.Uint64 // in the order of Faults
	mu       sync.Mutex
	latency  Histogram
}

const (
	faultConnect = iota
	faultReset
	faultShort
	faultStatus
	faultLength
	faultMalformed
)

func (t *tally) all() Faults {
	n := func(i int) uint64 { return t.faults[i].Load() }
	return Faults{n(faultConnect), n(faultReset), n(faultShort), n(faultStatus), n(faultLength), n(faultMalformed)}
}

func (s Spec) tls() *tls.Config {
	// What a certificate says is for tests; here it would only slow the client down.
	c := &tls.Config{InsecureSkipVerify: true, ServerName: "bench.example", MinVersion: tls.VersionTLS13}
	if s.Curve != 0 {
		c.CurvePreferences = []tls.CurveID{tls.CurveID(s.Curve)}
	}
	return c
}

// dialTLS opens a connection and shakes hands.
func (s Spec) dialTLS(c *tls.Config) (*tls.Conn, error) {
	plain, err := net.DialTimeout("tcp4", fmt.Sprintf("127.0.0.1:%d", s.Port), connectLimit)
	if err != nil {
		return nil, err
	}
	plain.SetDeadline(time.Now().Add(connectLimit + s.Warm + s.Measure))
	conn := tls.Client(plain, c)
	if err := conn.Handshake(); err != nil {
		plain.Close()
		return nil, err
	}
	return conn, nil
}

// runTLS is Run over TLS. With Handshakes each request is a connection of its own, on which nothing is asked.
func runTLS(spec Spec) (Result, error) {
	var t tally
	var over atomic.Bool
	var workers sync.WaitGroup
	up := make(chan error, spec.Conns)
	conf := spec.tls()
	for range spec.Conns {
		workers.Go(func() {
			conn, err := spec.dialTLS(conf)
			if up <- err; err != nil {
				return
			}
			if spec.Handshakes {
				conn.Close()
				t.shake(spec, conf, &over)
				return
			}
			defer conn.Close()
			t.ask(spec, conn, &over)
		})
	}
	defer workers.Wait()
	defer over.Store(true)
	for range spec.Conns {
		if err := <-up; err != nil {
			return Result{Faults: Faults{Connect: 1}}, fmt.Errorf("load: open a connection: %w", err)
		}
	}
	time.Sleep(spec.Warm)
	t.mu.Lock()
	t.latency.Reset()
	t.mu.Unlock()
	before, costBefore, err := t.moment(spec)
	if err != nil {
		return Result{}, err
	}
	from := time.Now()
	time.Sleep(spec.Measure)
	after, costAfter, err := t.moment(spec)
	if err != nil {
		return Result{}, err
	}
	r := Result{Requests: after - before, Elapsed: time.Since(from), Cost: costAfter - costBefore, Faults: t.all()}
	t.mu.Lock()
	defer t.mu.Unlock()
	r.P50, r.P99, r.P999 = t.latency.Quantile(0.50), t.latency.Quantile(0.99), t.latency.Quantile(0.999)
	r.Max, r.Mean = t.latency.Max(), t.latency.Mean()
	return r, nil
}

func (t *tally) moment(spec Spec) (uint64, time.Duration, error) {
	cost, err := proc.CPUTime(spec.Watch)
	return t.requests.Load(), cost, err
}

func (t *tally) done(since time.Time) {
	t.requests.Add(1)
	t.mu.Lock()
	t.latency.Record(time.Since(since))
	t.mu.Unlock()
}

func (t *tally) shake(spec Spec, conf *tls.Config, over *atomic.Bool) {
	for !over.Load() {
		since := time.Now()
		conn, err := spec.dialTLS(conf)
		if err != nil {
			t.faults[faultConnect].Add(1)
			return
		}
		t.done(since)
		conn.Close()
	}
}

func (t *tally) ask(spec Spec, conn *tls.Conn, over *atomic.Bool) {
	p := spec.protocol()
	b := make([]byte, 64<<10)
	for !over.Load() {
		since := time.Now()
		if fault, err := exchange(p, conn, b); err != nil {
			t.faults[fault].Add(1)
			return
		}
		t.done(since)
	}
}

// exchange makes one request and reads its answer.
func exchange(p protocol, conn *tls.Conn, b []byte) (fault int, err error) {
	if _, err := conn.Write(p.request()); err != nil {
		return faultReset, err
	}
	for {
		n, err := conn.Read(b)
		if errors.Is(err, io.EOF) {
			return faultShort, err
		}
		if err != nil {
			return faultReset, err
		}
		used, v := p.feed(b[:n])
		switch {
		case v == more:
		case v != done && v != refused:
			return faultStatus + int(v-badStatus), fmt.Errorf("load: an answer of verdict %d", v)
		case used < n:
			return faultMalformed, errors.New("load: more came than the answer")
		default:
			return 0, nil
		}
	}
}

// holdTLS is Hold over TLS.
func holdTLS(spec Spec, held func()) error {
	conf := spec.tls()
	conns := make([]*tls.Conn, spec.Conns)
	var workers sync.WaitGroup
	errs := make(chan error, spec.Conns)
	turns := make(chan struct{}, opening)
	b := make(chan []byte, opening)
	for range opening {
		b <- make([]byte, 16<<10)
	}
	for i := range conns {
		workers.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			var err error
			if conns[i], err = spec.dialTLS(conf); err == nil {
				buffer := <-b
				_, err = exchange(spec.protocol(), conns[i], buffer)
				b <- buffer
			}
			if err != nil {
				errs <- err
			}
		})
	}
	workers.Wait()
	defer func() {
		for _, c := range conns {
			if c != nil {
				c.Close()
			}
		}
	}()
	select {
	case err := <-errs:
		return fmt.Errorf("load: while opening %d connections to hold: %w", spec.Conns, err)
	default:
	}
	held()
	return nil
}
