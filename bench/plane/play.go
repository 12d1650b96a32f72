package plane

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// A Change is what a scenario has the control plane say. It is prepared before it is said, so that the time of the one who prepares is not
// that of the one who hears.
type Change string

// The changes.
const (
	OneWeight   Change = "one weight, and all clusters again as they are"
	OneEndpoint Change = "one endpoint of the first cluster"
	OneHost     Change = "one virtual host"
	AllHosts    Change = "all virtual hosts"
	Everything  Change = "everything" // of a Churn
)

// Order has a control plane say a change so many times, each time another version, one after the other is answered.
type Order struct {
	Change Change
	Times  int
	Every  time.Duration // of Everything: once in so long
}

// Said is what became of an order.
type Said struct {
	Err    string // why it was not carried out; empty: it was
	Remark string
}

// Play is the life of a control plane in a process of its own: its shape in, its port out; then an order in and a line out when it is done,
// until the input ends.
func Play(in io.Reader, out io.Writer) error {
	var shape Shape
	input, output := json.NewDecoder(in), json.NewEncoder(out)
	if err := input.Decode(&shape); err != nil {
		return fmt.Errorf("plane: what to do: %w", err)
	}
	p, err := Listen()
	if err != nil {
		return err
	}
	var mesh []Named
	if shape.Churn != nil {
		mesh = shape.Churn.all(0)
	} else if mesh, err = shape.Mesh(); err != nil {
		return err
	}
	if err := p.Set(mesh...); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	served := make(chan error, 1)
	go func() { served <- p.Serve(ctx) }()
	if err := output.Encode(p.Port()); err != nil {
		return err
	}
	n := 0
	for {
		var o Order
		if err := input.Decode(&o); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("plane: an order: %w", err)
		}
		said := Said{}
		if o.Change == Everything {
			late, err := shape.Churn.run(ctx, p, n+1, o.Times, o.Every)
			n += o.Times
			if said.Remark = fmt.Sprintf("%d of %d changes were answered later than %v after they were said", late, o.Times, o.Every); err != nil {
				said.Err = err.Error()
			}
			o.Times = 0
		}
		for range o.Times {
			n++
			again, change := shape.change(o.Change, n)
			if err := p.Push(ctx, again, nil, change); err != nil {
				said.Err = err.Error()
				break
			}
		}
		if err := output.Encode(said); err != nil {
			return err
		}
	}
}

func (s Shape) change(c Change, n int) (again []string, change Named) {
	switch c {
	case OneWeight:
		return []string{"envoy.config.cluster.v3.Cluster"}, s.table(1+n%98, 0)
	case OneEndpoint:
		return nil, s.assignment(0, 0, n)
	case OneHost:
		return nil, s.table(1+n%98, 0)
	case AllHosts:
		return nil, s.table(1, n)
	}
	panic("plane: no change " + string(c))
}
