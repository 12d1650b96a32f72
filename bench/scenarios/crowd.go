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

func (p crowded) measure(ctx context.Context, s *Stage, c rivals.Contestant) (Sample, error) {
	g := &governed{stage: s, town: town{services: p.services, quarters: p.quarters}, said: make(chan []byte, 1)}
	defer g.stop()
	var err error
	if g.papers, err = os.MkdirTemp("", "weft-bench-papers"); err != nil {
		return Sample{}, err
	}
	if err := sidecars.Found(g.papers); err != nil {
		return Sample{}, err
	}
	if err := g.start(ctx, c, p.planes, sidecars.Shape{Weft: true, Quarters: p.quarters}); err != nil {
		return Sample{}, err
	}
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
