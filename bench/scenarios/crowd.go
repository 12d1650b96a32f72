package scenarios

import (
	"context"
	"fmt"
	"os"

	"github.com/weftmesh/weft/bench/rivals"
	"github.com/weftmesh/weft/bench/sidecars"
)

// crowded measures several control planes with many sidecars that see little each, over mutual TLS: what each keeps, and how long a change of what all
// see takes.
type crowded struct {
	ours
	services, quarters, planes, sidecars int
}

// governSecurely starts control planes over a town, to which sidecars come over mutual TLS. The caller stops them.
func (s *Stage) governSecurely(ctx context.Context, t town, planes int) (_ *governed, err error) {
	g := &governed{stage: s, town: t, said: make(chan []byte, 1)}
	defer func() {
		if err != nil {
			g.stop()
		}
	}()
	if g.papers, err = os.MkdirTemp("", "weft-bench-papers"); err != nil {
		return nil, err
	}
	if err := sidecars.Found(g.papers); err != nil {
		return nil, err
	}
	return g, g.start(ctx, planes, sidecars.Shape{Weft: true, Quarters: t.quarters})
}

func (p crowded) measure(ctx context.Context, s *Stage, _ rivals.Contestant) (Sample, error) {
	g, err := s.governSecurely(ctx, town{services: p.services, quarters: p.quarters}, p.planes)
	if err != nil {
		return Sample{}, err
	}
	defer g.stop()
	said, err := g.order(ctx, sidecars.Order{More: p.sidecars})
	if err != nil {
		return Sample{}, err
	}
	s.remark(fmt.Sprintf("a sidecar's first configuration: %.0f KB", float64(said.Bytes)/1e3/float64(p.sidecars)))
	memory, err := g.megabytes(ctx)
	if err != nil {
		return Sample{}, err
	}
	values, err := g.changes(ctx, 5, p.sidecars, commonWeight)
	return Sample{Values: append([]float64{said.Took.Seconds(), memory / float64(p.planes)}, values...)}, err
}

// commonWeight changes a weight of the service that all quarters see.
func commonWeight(t town, n int) error { return t.service(0, 10+n, 4, 100) }

// certified measures what certificates cost their authority.
type certified struct {
	ours
	count int
}

func (p certified) measure(ctx context.Context, s *Stage, _ rivals.Contestant) (Sample, error) {
	g, err := s.governSecurely(ctx, town{}, 1)
	if err != nil {
		return Sample{}, err
	}
	defer g.stop()
	if _, err := g.order(ctx, sidecars.Order{Certificates: 100}); err != nil { // handshakes, and what is made once
		return Sample{}, err
	}
	before, err := g.cpu()
	if err != nil {
		return Sample{}, err
	}
	if _, err := g.order(ctx, sidecars.Order{Certificates: p.count}); err != nil {
		return Sample{}, err
	}
	after, err := g.cpu()
	return Sample{Values: []float64{float64((after - before).Microseconds()) / float64(p.count)}}, err
}
