package load_test

import (
	"context"
	"testing"
	"time"

	"github.com/weftmesh/weft/bench/load"
	"github.com/weftmesh/weft/bench/upstream"
)

// Each kind of traffic of HTTP/2 is answered, and every answer found to be right.
func TestHTTP2(t *testing.T) {
	s, err := upstream.Listen(false)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Serve(ctx) }()
	for name, spec := range map[string]load.Spec{
		"get":    {Protocol: load.HTTP2, Path: upstream.Path1K, Body: upstream.Size1K, Conns: 8, Streams: 32},
		"64k":    {Protocol: load.HTTP2, Path: upstream.Path64K, Body: upstream.Size64K, Conns: 2, Streams: 32},
		"unary":  {Protocol: load.GRPC, Path: upstream.PathUnary, Body: upstream.MessageSize, Conns: 8, Streams: 32},
		"stream": {Protocol: load.GRPCStream, Path: upstream.PathStream, Body: upstream.MessageSize, Conns: 8, Streams: 32},
		"mega":   {Protocol: load.HTTP2, Path: upstream.PathMega, Body: upstream.SizeMega, Conns: 1, Streams: 2},
		"big":    {Protocol: load.HTTP2, Path: upstream.PathBig, Body: upstream.SizeBig, Conns: 1, Streams: 1},
	} {
		t.Run(name, func(t *testing.T) {
			spec.Port, spec.Warm, spec.Measure = s.Ports().HTTP2, 500*time.Millisecond, 200*time.Millisecond
			r, err := load.Run(spec)
			if err != nil || r.Faults.Total() > 0 || r.Bytes == 0 || r.Requests == 0 && name != "big" {
				t.Errorf("%v, %d requests, %d bytes, faults: %v", err, r.Requests, r.Bytes, r.Faults)
			}
		})
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
