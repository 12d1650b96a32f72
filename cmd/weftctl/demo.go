package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// steps are the weights that the demo goes through.
var steps = []weights{{100, 0}, {90, 10}, {50, 50}, {0, 100}}

type demoOptions struct {
	weft     string
	once     bool
	keep     bool
	step     time.Duration
	rate     int
	requests uint
}

const demoHelp = `Start hello v1, hello v2 and weft between them, send steady traffic, and move it from v1 to v2 by editing the route file that weft
watches: 100/0, 90/10, 50/50, 0/100. Nothing is restarted and nothing may be lost.

On a terminal the shares are shown live; the last step stays until Ctrl-C. Elsewhere a line is written each second, and the demo
ends after the last step. Exit code: 0 if every share held and nothing was lost, else 1.

Usage:
  weftctl demo [flags]

Examples:
  weftctl demo                        watch it
  weftctl demo --once                 unattended, in half a minute: a table with a verdict for each step
  weftctl demo --keep                 leave everything running, to edit the route file and to curl by hand
  weftctl demo --weft "$(which envoy)"  the same configuration through Envoy

Flags:
`

func parseDemo(args []string, out io.Writer) (demoOptions, error) {
	o := demoOptions{}
	set := flag.NewFlagSet("weftctl demo", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.StringVar(&o.weft, "weft", "", "`path` of the proxy to run (default: weft beside this program)")
	set.BoolVar(&o.once, "once", false, "unattended: measure each step over --requests answers and print a table")
	set.BoolVar(&o.keep, "keep", false, "after the last step keep everything running until Ctrl-C, and say where it is")
	set.DurationVar(&o.step, "step", 8*time.Second, "`duration` of a step, 1s to 1h; Enter ends it sooner (not with --once)")
	set.IntVar(&o.rate, "rate", 500, fmt.Sprintf("requests a second over %d connections, %d to %d", connections, connections, maxRate))
	set.UintVar(&o.requests, "requests", 2500, fmt.Sprintf("answers that a step is measured over with --once, %d to 1000000", fewest))
	err := set.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		io.WriteString(out, demoHelp)
		set.SetOutput(out)
		set.PrintDefaults()
		return o, err
	case err != nil:
		return o, fmt.Errorf("%w (weftctl demo --help lists the flags)", err)
	case set.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q: only flags are taken (weftctl demo --help lists them)", set.Arg(0))
	case o.step < time.Second || o.step > time.Hour:
		return o, fmt.Errorf("--step is %v: want 1s to 1h", o.step)
	case o.rate < connections || o.rate > maxRate:
		return o, fmt.Errorf("--rate is %d: want %d to %d", o.rate, connections, maxRate)
	case o.requests < fewest || o.requests > 1000000:
		return o, fmt.Errorf("--requests is %d: want %d to 1000000", o.requests, fewest)
	}
	return o, nil
}

// findWeft is the proxy to run: the one that was named, else the one that was built with this program.
func findWeft(named string) (string, error) {
	if named != "" {
		path, err := exec.LookPath(named)
		if err != nil {
			return "", fmt.Errorf("demo: --weft names no program: %w", err)
		}
		return path, nil
	}
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("demo: finding weft beside this program: %w", err)
	}
	path, err := exec.LookPath(filepath.Join(filepath.Dir(self), "weft"))
	if err != nil {
		return "", fmt.Errorf("demo: there is no weft beside this program: run \"make build\", or name one by --weft: %w", err)
	}
	return path, nil
}

func runDemo(args []string, s streams) int {
	o, err := parseDemo(args, s.out)
	if errors.Is(err, flag.ErrHelp) {
		return exitDone
	}
	if err != nil {
		fmt.Fprintf(s.err, "weftctl demo: %v\n", err)
		return exitUsage
	}
	path, err := findWeft(o.weft)
	if err != nil {
		fmt.Fprintln(s.err, err)
		return exitFailed
	}
	o.weft = path
	// A reader that goes away ends the demo through the error of a write, with everything cleaned up, and not through this signal.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer stop()
	// A second Ctrl-C does not wait for the cleaning up.
	context.AfterFunc(ctx, stop)

	stage, err := raise(ctx, o)
	var results []result
	if err == nil {
		results, err = perform(ctx, o, stage, s)
	}
	interrupted := errors.Is(err, context.Canceled)
	if interrupted {
		err = nil
	}
	stage.fall()
	// Only now is the last answer there.
	sent, lost, firstLost := stage.totals()
	if !o.once && len(results) > 0 {
		io.WriteString(s.out, "\n"+tableHead)
		for i, r := range results {
			io.WriteString(s.out, r.row(i+1))
		}
	}
	if sent > 0 {
		fmt.Fprintf(s.out, "%s requests, %s lost\n", thousands(sent), thousands(lost))
	}
	switch {
	case err != nil:
	case lost > 0:
		err = fmt.Errorf("demo: %d requests were lost, the first by: %s", lost, firstLost)
	case interrupted && o.once && len(results) < len(steps):
		err = errors.New("demo: interrupted before the last step")
	default:
		for i, r := range results {
			if r.verdict() == missed {
				err = errors.Join(err, fmt.Errorf("demo: step %d: v2 got %.2f %%: want %d ± %.2f", i+1, 100*r.share(), r.weights.v2, 100*r.bound()))
			}
		}
	}
	if err == nil {
		stage.clean()
		return exitDone
	}
	fmt.Fprintln(s.err, err)
	if stage.weft != nil {
		fmt.Fprintf(s.err, "the end of weft's log (%s, kept with the configuration beside it):\n%s", stage.weft.log, tail(stage.weft.log, 20))
	} else {
		stage.clean()
	}
	return exitFailed
}
