package load_test

import (
	"context"
	"testing"
	"time"

	"github.com/weftmesh/weft/bench/load"
	"github.com/weftmesh/weft/bench/upstream"
)

// Calls of Dubbo are answered with what they ask with, each by its own answer.
func TestDubbo(t *testing.T) {
	s, err := upstream.Listen(false)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Serve(ctx) }()
	for name, spec := range map[string]load.Spec{
		"1k":  {Body: upstream.Size1K, Conns: 8, Streams: 32},
		"20k": {Body: 20 << 10, Conns: 2, Streams: 32},
		"one": {Body: 8, Conns: 1, Streams: 1},
	} {
		t.Run(name, func(t *testing.T) {
			spec.Protocol, spec.Port, spec.Warm, spec.Measure = load.Dubbo, s.Ports().Dubbo, 100*time.Millisecond, 200*time.Millisecond
			r, err := load.Run(spec)
			if err != nil || r.Faults.Total() > 0 || r.Requests == 0 || r.Bytes < r.Requests*uint64(spec.Body) {
				t.Errorf("%v, %d calls, %d bytes, faults: %v", err, r.Requests, r.Bytes, r.Faults)
			}
		})
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
