package load

import (
	"time"

	"github.com/weftmesh/weft/bench/proc"
)

// counts are what a client of connections that are shared has seen.
type counts struct {
	base     time.Time
	requests uint64
	bytes    uint64
	latency  Histogram
	faults   Faults
}

func (c *counts) now() time.Duration { return time.Since(c.base) }

func (c *counts) seen() *counts { return c }

// sharing is a client that has many requests under way on each connection.
type sharing interface {
	seen() *counts
	dial() error                    // opens all connections
	step(until time.Duration) error // waits for events until the given time at most, and serves them
	close()
}

func newSharing(spec Spec) (sharing, error) {
	if spec.Protocol == Dubbo {
		return newClientDubbo(spec)
	}
	return newClient2(spec)
}

// runShared is Run for a client that shares connections, which it closes.
func runShared(spec Spec, client sharing) (Result, error) {
	defer client.close()
	c := client.seen()
	if err := client.dial(); err != nil {
		return Result{}, err
	}
	if err := stepping(client, c.now()+spec.Warm); err != nil {
		return Result{Faults: c.faults}, err
	}
	c.requests, c.bytes = 0, 0
	c.latency.Reset()
	before, err := proc.CPUTime(spec.Watch)
	if err != nil {
		return Result{}, err
	}
	from := c.now()
	if err := stepping(client, from+spec.Measure); err != nil {
		return Result{Faults: c.faults}, err
	}
	to := c.now()
	after, err := proc.CPUTime(spec.Watch)
	if err != nil {
		return Result{}, err
	}
	return Result{
		Requests: c.requests, Bytes: c.bytes, Elapsed: to - from, Cost: after - before, Faults: c.faults,
		P50: c.latency.Quantile(0.50), P99: c.latency.Quantile(0.99), P999: c.latency.Quantile(0.999), Max: c.latency.Max(), Mean: c.latency.Mean(),
	}, nil
}

// stepping has a client work until the given time.
func stepping(client sharing, end time.Duration) error {
	for client.seen().now() < end {
		if err := client.step(end); err != nil {
			return err
		}
	}
	return nil
}
