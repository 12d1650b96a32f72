package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/weftmesh/weft/capture"
)

const captureHead = `weft capture has the kernel bring a workload's traffic to the proxy. Its flags are those of istio-iptables, as are the variables that say the same.

Usage:
  weft capture plan|apply|clean|check [flags]
  weft istio-iptables [flags]                      as weft capture apply

Examples:
  weft capture apply -p 15001 -z 15006 -u 1337 -m REDIRECT -i '*' -x '' -b '*' -d 15090,15021,15020
                                                  capture what a sidecar captures
  weft capture plan -i '*' -b '*' -o iptables      say what would be done, for iptables-restore
  weft capture check -i '*' -b '*'                 what is missing, what comes before, what escapes; 1 if it is not as planned
  weft capture clean                              take away all that is ours, and nothing else
  weft capture apply --network-namespace /proc/4711/ns/net -i '*' -b '*'
                                                  capture in the namespace of another process

Flags:
`

// validationCode is the exit code of a probe that failed: Istio's, by which its CNI plugin finds the pods to mend.
const validationCode = 126

// captureCommand is weft capture: 0 if all is as it should be, 1 if not, 126 if --run-validation failed.
func captureCommand(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 || strings.HasPrefix(args[0], "-h") || args[0] == "--help" {
		capture.Parse([]string{"-h"}, capture.Host{Env: func(string) (string, bool) { return "", false }}, stdout, captureHead)
		if len(args) == 0 {
			fmt.Fprintln(stderr, "weft: capture: want plan, apply, clean or check")
			return 1
		}
		return 0
	}
	verb, do := args[0], map[string]func(capture.Options, io.Writer, io.Writer) (int, error){"plan": capturePlan, "apply": captureApply, "clean": captureClean, "check": captureCheck}[args[0]]
	if do == nil {
		fmt.Fprintf(stderr, "weft: capture: %q: want plan, apply, clean or check\n", verb)
		return 1
	}
	return captureRun(verb, args[1:], do, stdout, stderr)
}

// istioIPTables is what an injected init container calls by the name istio-iptables.
func istioIPTables(args []string, stdout, stderr io.Writer) int {
	return captureRun("apply", args, captureApply, stdout, stderr)
}

// captureRun reads a command line and carries it out, on a goroutine of its own: it may enter another network namespace, and not come back.
func captureRun(verb string, args []string, do func(capture.Options, io.Writer, io.Writer) (int, error), stdout, stderr io.Writer) int {
	type result struct {
		code int
		err  error
	}
	done := make(chan result, 1)
	go func() {
		o, err := captureOptions(args, stdout)
		if err != nil {
			done <- result{1, err}
			return
		}
		for _, w := range o.Warnings {
			fmt.Fprintln(stderr, "weft: capture: warning:", w)
		}
		code, err := do(o, stdout, stderr)
		done <- result{code, err}
	}()
	r := <-done
	switch {
	case errors.Is(r.err, flag.ErrHelp):
		return 0
	case r.err != nil:
		fmt.Fprintf(stderr, "weft: capture %s: %v\n", verb, r.err)
	}
	return r.code
}

// captureOptions reads the flags twice: the first time for the namespace, whose addresses complete them.
func captureOptions(args []string, stdout io.Writer) (capture.Options, error) {
	h, err := capture.ThisHost()
	if err != nil {
		return capture.Options{}, err
	}
	o, err := capture.Parse(args, h, stdout, captureHead)
	if err != nil || o.Namespace == "" {
		return o, err
	}
	if err := capture.Enter(o.Namespace); err != nil {
		return o, err
	}
	if h, err = capture.ThisHost(); err != nil {
		return o, err
	}
	return capture.Parse(args, h, stdout, captureHead)
}

func capturePlan(o capture.Options, stdout, _ io.Writer) (int, error) {
	p := capture.Make(o.Settings)
	switch o.Output {
	case capture.FormIPTables:
		fmt.Fprint(stdout, "# iptables-restore --noflush\n", p.IPTables(capture.IPv4))
		if p.IPv6 {
			fmt.Fprint(stdout, "# ip6tables-restore --noflush\n", p.IPTables(capture.IPv6))
		}
	case capture.FormNFT:
		fmt.Fprint(stdout, "# nft -f\n", p.NFT())
	case capture.FormJSON:
		return 1, errors.New("--output json is for check: a plan is shown as table, iptables or nft")
	default:
		w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "TABLE\tCHAIN\tIP\tRULE")
		for _, r := range p.Rules {
			version := "4"
			switch {
			case r.Family == capture.IPv6:
				version = "6"
			case r.Family == 0 && p.IPv6:
				version = "4, 6"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.Table, r.Chain, version, r)
		}
		w.Flush()
	}
	for _, route := range p.Routes() {
		fmt.Fprintln(stdout, "# "+route)
	}
	return 0, nil
}

func captureApply(o capture.Options, stdout, stderr io.Writer) (int, error) {
	switch {
	case o.CleanOnly:
		return captureClean(o, stdout, stderr)
	case o.DryRun:
		if o.Output == capture.FormTable {
			o.Output = capture.FormIPTables
		}
		return capturePlan(o, stdout, stderr)
	}
	if !o.SkipApply {
		why, err := capture.Apply(o)
		if err != nil {
			return 1, err
		}
		fmt.Fprintln(stdout, "captured by", why)
	}
	if o.Probe {
		if err := capture.Probe(o); err != nil {
			return validationCode, err
		}
		fmt.Fprintln(stdout, "a connection was captured as it should be")
	}
	return 0, nil
}

func captureClean(o capture.Options, stdout, _ io.Writer) (int, error) {
	if o.DryRun {
		return 1, errors.New("--dry-run is for apply: weft capture check says what is there")
	}
	done, err := capture.Clean(o)
	if err != nil {
		return 1, err
	}
	if len(done) == 0 {
		fmt.Fprintln(stdout, "there was nothing of ours")
	} else {
		fmt.Fprintln(stdout, "taken away: rules by", strings.Join(done, ", "))
	}
	return 0, nil
}

func captureCheck(o capture.Options, stdout, _ io.Writer) (int, error) {
	r, err := capture.Check(o)
	if err != nil {
		return 1, err
	}
	code := 0
	if !r.OK() {
		code = 1
	}
	switch o.Output {
	case capture.FormJSON:
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		return code, e.Encode(r)
	case capture.FormTable:
		fmt.Fprint(stdout, r)
		return code, nil
	}
	return 1, fmt.Errorf("--output %s is for plan: a check is shown as table or json", o.Output)
}
