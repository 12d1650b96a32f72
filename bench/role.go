package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"github.com/weftmesh/weft/bench/load"
	"github.com/weftmesh/weft/bench/mixed"
	"github.com/weftmesh/weft/bench/plane"
	"github.com/weftmesh/weft/bench/scenarios"
	"github.com/weftmesh/weft/bench/sidecars"
	"github.com/weftmesh/weft/bench/upstream"
)

// play is the life of a child process: one line of JSON out, and the end when the input ends.
// Neither part allocates while it works, so the garbage collector has nothing to do and is off.
func play(role string, in io.Reader, out io.Writer) error {
	debug.SetGCPercent(-1)
	switch role {
	case scenarios.PlaneRole:
		debug.SetGCPercent(100) // it is not what is measured, and it does allocate
		return plane.Play(in, out)
	case scenarios.MixedRole:
		debug.SetGCPercent(100)
		return mixed.Play(in, out)
	case scenarios.SidecarsRole:
		debug.SetGCPercent(400)
		return sidecars.Play(in, out)
	case scenarios.LoadRole:
		return playLoad(in, out)
	case scenarios.UpstreamRole, scenarios.OpenUpstreamRole:
		return playUpstream(role == scenarios.OpenUpstreamRole, in, out)
	case scenarios.FleetRole:
		return playFleet(in, out)
	}
	return fmt.Errorf("bench: no role %q", role)
}

func playLoad(in io.Reader, out io.Writer) error {
	var spec load.Spec
	if err := json.NewDecoder(in).Decode(&spec); err != nil {
		return fmt.Errorf("bench: load: what to do: %w", err)
	}
	if spec.Hold {
		var said error
		err := load.Hold(spec, func() {
			if said = json.NewEncoder(out).Encode(spec.Conns); said == nil {
				_, said = io.Copy(io.Discard, in)
			}
		})
		if err != nil {
			return err
		}
		return said
	}
	result, err := load.Run(spec)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(result)
}

func playUpstream(everywhere bool, in io.Reader, out io.Writer) error {
	server, err := upstream.Listen(everywhere)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(out).Encode(server.Ports()); err != nil {
		return err
	}
	return server.Serve(untilEnd(in))
}

func playFleet(in io.Reader, out io.Writer) error {
	var delays []time.Duration
	input := json.NewDecoder(in)
	if err := input.Decode(&delays); err != nil {
		return fmt.Errorf("bench: fleet: what to do: %w", err)
	}
	fleet, err := upstream.ListenFleet(delays)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(out).Encode(fleet.Ports()); err != nil {
		return err
	}
	return fleet.Serve(untilEnd(in))
}

// untilEnd ends with the input.
func untilEnd(in io.Reader) context.Context {
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, in)
		stop()
	}()
	return ctx
}
