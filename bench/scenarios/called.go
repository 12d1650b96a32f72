package scenarios

import (
	"context"

	"github.com/weftmesh/weft/bench/load"
	"github.com/weftmesh/weft/bench/rivals"
	"github.com/weftmesh/weft/bench/upstream"
)

// called measures what a call of Dubbo 2 costs, and beside what a request of HTTP/2 costs the same contestant on as many streams.
type called struct {
	envoyish
	spec load.Spec
}

func (d called) measure(ctx context.Context, s *Stage, c rivals.Contestant) (Sample, error) {
	beside, err := streams(load.HTTP2, upstream.Path1K, upstream.Size1K, d.spec.Conns, d.spec.Streams).measure(ctx, s, c)
	if err != nil || beside.Invalid != "" {
		return Sample{Invalid: beside.Invalid}, err
	}
	sample, err := traffic{d.spec}.over(ctx, s, c, rivals.Plan{Threads: 1, Dubbo: true, Upstream: s.ports.Dubbo})
	if len(sample.Values) == 1 && len(beside.Values) == 1 {
		sample.Values = append(sample.Values, sample.Values[0]/beside.Values[0])
	}
	return sample, err
}
