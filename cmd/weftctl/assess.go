package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/weftmesh/weft/filters/builtin"
	"github.com/weftmesh/weft/xds"
)

const assessHelp = `Say what weft would make of the configuration of a running Envoy: what would run, what is harmless and why, and what would be refused,
where and why. It is read by the decoder that serves. Files that it names are not looked at, and redacted keys are taken to be good.

SOURCE is a file with what /config_dump answers, - for standard input, or the admin address of the Envoy (HOST:PORT or a URL).
Exit code: 0 if nothing would be refused, 1 if something would, or the dump cannot be read, 2 if asked wrongly.

Usage:
  weftctl assess SOURCE [flags]

Examples:
  weftctl assess 127.0.0.1:15000
  weftctl assess dump.json --harmless
  kubectl exec POD -c istio-proxy -- pilot-agent request GET 'config_dump?include_eds' | weftctl assess -
  weftctl assess dump.json -o json`

type assessOptions struct {
	format   string
	harmless bool
	all      bool
}

func runAssess(args []string, s streams) int {
	o := assessOptions{}
	names, err := parsed("assess", assessHelp, args, s.out, func(set *flag.FlagSet) {
		formFlag(set, &o.format, tables)
		set.BoolVar(&o.harmless, "harmless", false, "list what is harmless, too, with the reasons")
		set.BoolVar(&o.all, "all", false, "list the resources that would run, too")
	})
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitDone
	case err != nil:
	case len(names) == 0:
		err = errors.New("what is to be assessed? name a file with what /config_dump answers, - for standard input, or an admin address")
	case len(names) > 1:
		err = fmt.Errorf("unexpected argument %q: it takes one", names[1])
	default:
		err = formKnown(o.format, tables)
	}
	if err != nil {
		fmt.Fprintf(s.err, "weftctl assess: %v\n", err)
		return exitUsage
	}
	dump, err := readDump(names[0], s)
	var a *xds.Assessment
	if err == nil {
		a, err = xds.Assess(dump, builtin.All())
	}
	if err == nil {
		err = o.print(a, s.out)
	}
	if err != nil {
		fmt.Fprintf(s.err, "weftctl assess: %v\n", err)
		return exitFailed
	}
	if a.Refused() > 0 {
		return exitFailed
	}
	return exitDone
}

// readDump reads a dump from wherever it is.
func readDump(source string, s streams) ([]byte, error) {
	if source == "-" {
		if s.in == nil {
			return nil, errors.New("there is no standard input")
		}
		return io.ReadAll(io.LimitReader(s.in, pageBytes+1))
	}
	if _, err := os.Stat(source); err == nil && !strings.HasPrefix(source, "http://") {
		return os.ReadFile(source)
	} else if !strings.Contains(source, ":") {
		return nil, fmt.Errorf("reading the dump: %w (an admin address is HOST:PORT)", err)
	}
	p, err := openPages(ofProxy, source)
	if err != nil {
		return nil, err
	}
	return p.get(context.Background(), "/config_dump?include_eds")
}

func (o *assessOptions) print(a *xds.Assessment, w io.Writer) error {
	if o.format != "table" {
		return printed(w, o.format, a)
	}
	for i := range a.Resources {
		r := &a.Resources[i]
		if r.Runs() && !o.all && !(o.harmless && len(r.Harmless) > 0) {
			continue
		}
		verdict := "runs"
		if !r.Runs() {
			verdict = "would be refused"
		}
		fmt.Fprintf(w, "%s %q (%s) %s\n", r.Kind, r.Name, r.From, verdict)
		for _, f := range r.Refused {
			fmt.Fprintf(w, "  %s\n", findingLine(f))
		}
		if o.harmless {
			for _, f := range r.Harmless {
				fmt.Fprintf(w, "  harmless: %s\n", findingLine(f))
			}
		}
	}
	if a.Refused() > 0 || o.all || o.harmless {
		fmt.Fprintln(w)
	}
	rows := [][]string{{"KIND", "RUN", "REFUSED", "HARMLESS FIELDS"}}
	for _, k := range a.Summary {
		rows = append(rows, []string{k.Kind, fmt.Sprint(k.Run), fmt.Sprint(k.Refused), fmt.Sprint(k.Harmless)})
	}
	if err := table(w, rows); err != nil {
		return err
	}
	for _, n := range a.Notes {
		fmt.Fprintf(w, "note: %s\n", n)
	}
	if n := a.Refused(); n > 0 {
		fmt.Fprintf(w, "%d of %d resources would be refused\n", n, len(a.Resources))
	} else {
		fmt.Fprintf(w, "all %d resources would run\n", len(a.Resources))
	}
	return nil
}

func findingLine(f xds.Finding) string {
	if f.Path == "" {
		return f.Why
	}
	return f.Path + ": " + f.Why
}
