package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/weftmesh/weft/bench/report"
	"github.com/weftmesh/weft/bench/rivals"
	"github.com/weftmesh/weft/bench/scenarios"
)

const usage = `Usage: go run ./bench [flags]

Measures weft beside its rivals and prints the table; a whole run also writes it, with plots and the
raw rounds, to bench/results. Needs two processors; the CPU quota scenarios need root.

  go build -o bin/weft ./cmd/weft && go run ./bench      everything
  go run ./bench -quick                                  everything, briefly: does it run at all?
  go run ./bench -scenarios 'http1-1k-c(64|512)$'        two scenarios
  go run ./bench -rivals nginx,envoy -scenarios http1    without weft
  go run ./bench -rounds 9 -seconds 5 -out elsewhere    more patience, results elsewhere
  go run ./bench -rivals weft -scenarios c64 -profile /tmp/profile    where its time goes, for go tool pprof

Files are written by a run of everything with everyone, and by any run that is given -out.

Scenarios: %s

Flags:
`

// wanted is what the command line asks for.
type wanted struct {
	rounds  int
	measure time.Duration
	list    []scenarios.Scenario
	rivals  []rivals.Rival
	out     string // "" for no files
	quick   bool
	weft    string
	profile string
	role    string
}

const everyone = "weft,floor,nginx,haproxy,envoy"

func parse(args []string, said io.Writer) (wanted, error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(said)
	f.Usage = func() {
		fmt.Fprintf(said, usage, strings.Join(scenarios.Names(scenarios.All()), ", "))
		f.PrintDefaults()
	}
	var w wanted
	rounds := f.Int("rounds", 5, "`rounds` of each scenario, 1 to 100")
	seconds := f.Float64("seconds", 3, "measured `seconds` of traffic in a round, 0.1 to 600")
	pattern := f.String("scenarios", "", "measure only scenarios whose name matches the `regex`")
	names := f.String("rivals", everyone, "contestants, separated by commas")
	f.StringVar(&w.out, "out", "bench/results", "`directory` for the results")
	f.StringVar(&w.weft, "weft", "bin/weft", "the weft `binary`")
	f.BoolVar(&w.quick, "quick", false, "one round of 0.5 s: to see that everything runs, not to measure")
	f.StringVar(&w.profile, "profile", "", "`file` for a CPU profile of the traffic, written by weft or envoy; the last scenario's stays")
	f.StringVar(&w.role, "role", "", "play a `part` in a child process; for the benchmark's own use")
	if err := f.Parse(args); err != nil {
		return w, err
	}
	given := map[string]bool{}
	f.Visit(func(g *flag.Flag) { given[g.Name] = true })
	if f.NArg() > 0 {
		return w, fmt.Errorf("bench: %q is no flag: see -help", f.Arg(0))
	}
	if *rounds < 1 || *rounds > 100 {
		return w, fmt.Errorf("bench: -rounds %d: want 1 to 100", *rounds)
	}
	if !(*seconds >= 0.1 && *seconds <= 600) || math.IsNaN(*seconds) {
		return w, fmt.Errorf("bench: -seconds %g: want 0.1 to 600", *seconds)
	}
	w.rounds, w.measure = *rounds, time.Duration(*seconds*float64(time.Second))
	if w.quick {
		if !given["rounds"] {
			w.rounds = 1
		}
		if !given["seconds"] {
			w.measure = 500 * time.Millisecond
		}
	}
	chosen, err := regexp.Compile(*pattern)
	if err != nil {
		return w, fmt.Errorf("bench: -scenarios: %w", err)
	}
	for _, s := range scenarios.All() {
		if chosen.MatchString(s.Name) {
			w.list = append(w.list, s)
		}
	}
	if len(w.list) == 0 {
		return w, fmt.Errorf("bench: -scenarios %q matches none of %s", *pattern, strings.Join(scenarios.Names(scenarios.All()), ", "))
	}
	if w.rivals, err = rivals.Pick(strings.Split(*names, ",")); err != nil {
		return w, err
	}
	whole := !w.quick && *names == everyone && len(w.list) == len(scenarios.All())
	if !whole && !given["out"] {
		w.out = ""
	}
	return w, nil
}

func main() {
	w, err := parse(os.Args[1:], os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if w.role != "" {
		err = play(w.role, os.Stdin, os.Stdout)
	} else {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		err = measure(ctx, w, os.Stdout)
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// measure is the whole run.
func measure(ctx context.Context, w wanted, out io.Writer) error {
	machine, err := report.ThisMachine()
	if err != nil {
		return err
	}
	run := report.Run{Date: time.Now(), Machine: machine, Rounds: w.rounds, Measure: w.measure}
	var contestants []rivals.Contestant
	places := rivals.Places{Weft: w.weft, Envoy: os.Getenv("WEFT_ENVOY")}
	for _, r := range w.rivals {
		c, err := r.Find(ctx, places)
		if err != nil {
			return fmt.Errorf("%w; or leave it out with -rivals", err)
		}
		contestants = append(contestants, c)
		run.Versions = append(run.Versions, report.Version{Name: c.Name, Version: c.Version})
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("bench: own binary: %w", err)
	}
	stage, err := scenarios.NewStage(ctx, self)
	if err != nil {
		return err
	}
	defer stage.Close()
	stage.Measure, stage.Profile = w.measure, w.profile
	stage.Weft, stage.Weftd = w.weft, filepath.Join(filepath.Dir(w.weft), "weftd")
	stage.Remark = func(text string) { fmt.Fprintf(out, "  %s\n", text) }
	if w.quick {
		stage.Warm, stage.Idle, stage.Brief = 200*time.Millisecond, time.Second, true
	}
	run.Outcomes, err = scenarios.Run(ctx, stage, w.list, contestants, w.rounds, progress(out))
	if err != nil {
		return fmt.Errorf("bench: interrupted: %w", err)
	}
	fmt.Fprintln(out)
	if err := run.WriteText(out); err != nil {
		return err
	}
	if w.out == "" {
		return nil
	}
	files, err := run.WriteFiles(w.out)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nwritten to %s: %s\n", w.out, strings.Join(files, ", "))
	return nil
}

// progress prints a line for each scenario and round, and what goes wrong.
func progress(out io.Writer) func(scenarios.Step) {
	return func(s scenarios.Step) {
		if s.Err != nil {
			fmt.Fprintf(out, "  %s: %v\n", s.Rival, s.Err)
			return
		}
		fmt.Fprintf(out, "%2d/%d  %-20s round %d of %d  %s\n", s.Number, s.Of, s.Scenario.Name, s.Round, s.Rounds, s.Rival)
	}
}
