package demo

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

// options are what the demo is asked for.
type options struct {
	programs string // the folder of weft and weftd; empty: that of this program
	once     bool
	keep     bool
	step     time.Duration
	rate     int
	answers  uint
	report   string
	ground   string // kind of
}

const help = `Walk through a mesh on this machine: weftd, a gateway, and the workloads sleep, hello v1 and hello v2 with a sidecar each, as root in
network namespaces of their own with their traffic captured, and else on loopback addresses without; the first line says which.
Under steady requests all goes to v1, then by canary to v2; plain text is let in, and then is not; a method is denied to an
identity; v2 is killed; certificates rotate. Nothing may be lost. All of it goes when the demo ends.

On a terminal it is shown live, and stays after the last step until Ctrl-C. Elsewhere a line is written each second, and it ends
after the last step. Exit code: 0 if every step held and nothing was lost, else 1.

Usage:
  weftctl demo [flags]

Examples:
  weftctl demo                        watch it
  weftctl demo --once                 unattended, in less than two minutes: a line and a verdict for each step, and a page with plots
  weftctl demo --once --ground namespaces
                                      the same, and fail where there can be none, as in CI
  weftctl demo --keep                 leave everything running, to look around and to curl by hand

Flags:
`

func parse(args []string, out io.Writer) (options, error) {
	o := options{}
	set := flag.NewFlagSet("weftctl demo", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.StringVar(&o.programs, "programs", "", "`folder` with weft and weftd (default: that of this program)")
	set.BoolVar(&o.once, "once", false, "unattended: a line for each step, and a report")
	set.BoolVar(&o.keep, "keep", false, "after the last step keep everything running until Ctrl-C, and say where it is")
	set.DurationVar(&o.step, "step", 8*time.Second, "`duration` that a step stays to be looked at, 1s to 1h; Enter ends it sooner (not with --once)")
	set.IntVar(&o.rate, "rate", 500, fmt.Sprintf("requests a second over %d connections, %d to %d", connections, connections, maxRate))
	set.UintVar(&o.answers, "requests", 2500, fmt.Sprintf("answers that a share is measured over, %d to 1000000", fewest))
	set.StringVar(&o.report, "report", "", "`file` for a page with plots (default with --once: weft-demo.html)")
	set.StringVar(&o.ground, "ground", anyGround, "`kind` of place: namespaces, of the network, with capture; loopback, addresses of it, without; auto: namespaces where this machine allows them, else loopback")
	err := set.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		io.WriteString(out, help)
		set.SetOutput(out)
		set.PrintDefaults()
		return o, err
	case err != nil:
		return o, fmt.Errorf("%w (weftctl demo --help lists the flags)", err)
	case set.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q: only flags are taken (weftctl demo --help lists them)", set.Arg(0))
	case o.step < time.Second || o.step > time.Hour:
		return o, fmt.Errorf("--step is %v: want 1s to 1h", o.step)
	case o.ground != anyGround && o.ground != inNamespaces && o.ground != onLoopback:
		return o, fmt.Errorf("--ground is %q: want auto, namespaces or loopback", o.ground)
	case o.rate < connections || o.rate > maxRate:
		return o, fmt.Errorf("--rate is %d: want %d to %d", o.rate, connections, maxRate)
	case o.answers < fewest || o.answers > 1000000:
		return o, fmt.Errorf("--requests is %d: want %d to 1000000", o.answers, fewest)
	}
	if o.once && o.report == "" {
		o.report = "weft-demo.html"
	}
	return o, nil
}

// find is the folder of the programs.
func find(said string) (string, error) {
	if said == "" {
		self, err := os.Executable()
		if err != nil {
			return "", fmt.Errorf("demo: finding this program: %w", err)
		}
		said = filepath.Dir(self)
	}
	for _, name := range []string{"weft", "weftd"} {
		if _, err := exec.LookPath(filepath.Join(said, name)); err != nil {
			return "", fmt.Errorf("demo: there is no %s in %s: run \"make build\", or name its folder by --programs: %w", name, said, err)
		}
	}
	return filepath.Abs(said)
}

// Run is weftctl demo: 0 if every step held, 1 if not, 2 if it was asked for wrongly.
func Run(args []string, in *os.File, out, wrong io.Writer) int {
	o, err := parse(args, out)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintf(wrong, "weftctl demo: %v\n", err)
		return 2
	}
	if o.programs, err = find(o.programs); err != nil {
		fmt.Fprintln(wrong, err)
		return 1
	}
	// A reader that goes away ends the demo through the error of a write, with everything cleaned up, and not through this signal.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer stop()
	// A second Ctrl-C does not wait for the cleaning up.
	context.AfterFunc(ctx, stop)

	began := time.Now()
	stage, err := raise(ctx, o.programs, o.ground, o.rate, func(what string) { fmt.Fprintln(out, what) })
	b := &board{answers: uint64(o.answers), rate: o.rate}
	if err == nil {
		fmt.Fprintf(out, "everything is up after %.1f s; sleep sends %d requests a second\n\n", time.Since(began).Seconds(), o.rate)
		err = perform(ctx, o, stage, b, in, out)
	}
	interrupted := errors.Is(err, context.Canceled)
	stage.still()
	var reported error
	if o.report != "" && len(b.results) > 0 {
		reported = report(o.report, stage, b.results)
	}
	stage.fall()
	lost, first := stage.lost()
	if sent := stage.sent(); sent > 0 {
		fmt.Fprintf(out, "%s requests, %s lost\n", thousands(sent), thousands(lost))
		if o.report != "" && reported == nil {
			fmt.Fprintln(out, "the report is", o.report)
		}
	}
	switch {
	case interrupted && (len(b.results) < len(steps) && o.once):
		err = errors.New("demo: interrupted before the last step")
	case interrupted:
		err = nil
	}
	if err == nil && lost > 0 {
		err = fmt.Errorf("demo: %d requests were lost, the first by: %s", lost, first)
	}
	if err = errors.Join(err, reported); err == nil {
		stage.clean()
		return 0
	}
	fmt.Fprintln(wrong, err)
	stage.blame(wrong)
	return 1
}

// perform walks, as a table or as it happens.
func perform(ctx context.Context, o options, s *stage, b *board, in *os.File, out io.Writer) error {
	if !o.once {
		return attended(ctx, s, b, o.step, in, out, o.keep)
	}
	err := unattended(ctx, s, b, out)
	if err == nil && o.keep {
		if err = write(out, s.kept()); err == nil {
			err = s.stay(ctx)
		}
	}
	return err
}

// blame shows the ends of the logs, which stay.
func (s *stage) blame(out io.Writer) {
	all := []*process{s.weftd}
	for _, w := range s.pods {
		all = append(all, w.sidecar)
	}
	for _, p := range all {
		if p != nil {
			fmt.Fprintf(out, "\nthe end of the log of %s (%s):\n%s", p.name, p.log, tail(p.log, 12))
		}
	}
	if s.dir != "" {
		fmt.Fprintf(out, "\nall files are in %s\n", s.dir)
	}
}
