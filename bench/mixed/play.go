package mixed

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
)

// Play is the life of the traffic in a process of its own: the upstream's ports out; what traffic to make in; then any line in and a Result
// out, of the time since the line before, until the input ends.
func Play(in io.Reader, out io.Writer) error {
	u, err := Listen()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go u.Serve(ctx)
	input, output := json.NewDecoder(in), json.NewEncoder(out)
	if err := output.Encode(u.Ports()); err != nil {
		return err
	}
	var spec Spec
	if err := input.Decode(&spec); err != nil {
		return fmt.Errorf("mixed: what to do: %w", err)
	}
	t := Begin(spec)
	defer t.End()
	for {
		var mark any
		if err := input.Decode(&mark); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("mixed: a mark: %w", err)
		}
		if err := output.Encode(t.Mark()); err != nil {
			return err
		}
	}
}
