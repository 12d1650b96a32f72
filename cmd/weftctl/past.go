package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/weftmesh/weft/control/console"
)

const historyText = `List the versions of an object that weftd keeps: the last five of each author, so that a controller's steps do not push out what a person has written.
With --version, print one as a manifest.

Usage:
  weftctl history KIND NAME [flags]

Examples:
  weftctl history virtualservice reviews -n shop
  weftctl history vs/reviews --version 3`

const rollbackText = `Have an object be again what a version of it was, as a new version by who asks. Labels and annotations stay as they are. What weftd does not keep itself (a
file's object, or Kubernetes') it does not change: its manifest of that version is printed, with where to put it, and the exit code is 1.

Usage:
  weftctl rollback KIND NAME --to VERSION [flags]

Examples:
  weftctl rollback virtualservice reviews --to 3 -n shop
  weftctl rollback vs/reviews --to 3 --dry-run
  weftctl rollback vs/reviews --to 3 > mesh/reviews.yaml     of an object in a file`

func wantKey(o *planeOptions) error {
	_, err := o.oneKey()
	return err
}

func historyCommand() *planeCommand {
	return &planeCommand{name: "history", text: historyText, most: 2, formats: tables, remote: true, run: planeHistory, check: wantKey, flags: func(f *flag.FlagSet, o *planeOptions) {
		namespaceFlag(f, o)
		f.IntVar(&o.number, "version", 0, "`number` of the version that is printed as a manifest, in YAML or JSON")
	}}
}

func runHistory(args []string, s streams) int { return historyCommand().do(args, s) }

func planeHistory(ctx context.Context, p *pages, o *planeOptions, s streams) error {
	key, err := o.oneKey()
	if err != nil {
		return err
	}
	path := "/api/history/" + key.Path()
	if o.number != 0 {
		var v console.Version
		if err := p.api(ctx, asking{method: http.MethodGet, path: path + "/" + strconv.Itoa(o.number)}, &v); err != nil {
			return err
		}
		if v.Deleted {
			return fmt.Errorf("version %d is that %s was taken away, by %s", v.Number, key, v.Author)
		}
		return printed(s.out, manifestForm(o.format), v.Manifest)
	}
	var all console.History
	if err := p.api(ctx, asking{method: http.MethodGet, path: path}, &all); err != nil {
		return err
	}
	if o.format != "table" {
		return printed(s.out, o.format, all)
	}
	rows := [][]string{{"VERSION", "AUTHOR", "AT", "SOURCE", "IS"}}
	for _, v := range all.Versions {
		is, at, from := "", "", v.Source
		switch {
		case v.Deleted:
			is = "taken away"
		case v.Current:
			is = "in force"
		}
		if !v.At.IsZero() {
			at = v.At.UTC().Format(time.RFC3339)
		}
		if v.Where != "" {
			from += " " + v.Where
		}
		rows = append(rows, []string{strconv.Itoa(v.Number), v.Author, at, from, is})
	}
	return table(s.out, rows)
}

// manifestForm is the form of a manifest, which is no table.
func manifestForm(form string) string {
	if form == "table" {
		return "yaml"
	}
	return form
}

func rollbackCommand() *planeCommand {
	return &planeCommand{name: "rollback", text: rollbackText, most: 2, remote: true, run: planeRollback, flags: func(f *flag.FlagSet, o *planeOptions) {
		namespaceFlag(f, o)
		changeFlags(f, o)
		f.IntVar(&o.number, "to", 0, "`number` of the version, as weftctl history has it")
	}, check: func(o *planeOptions) error {
		if o.number < 1 {
			return errors.New("to which version? want --to N: weftctl history lists them")
		}
		return wantKey(o)
	}}
}

func runRollback(args []string, s streams) int { return rollbackCommand().do(args, s) }

func planeRollback(ctx context.Context, p *pages, o *planeOptions, s streams) error {
	key, err := o.oneKey()
	if err != nil {
		return err
	}
	var done console.Applied
	err = p.api(ctx, asking{method: http.MethodPost, path: "/api/rollback/" + key.Path() + "/" + strconv.Itoa(o.number), query: o.manner(p)}, &done)
	var f *failed
	if errors.As(err, &f) {
		sayProblems(s.err, "Error", nil, f.Problems)
		if f.Manifest != nil {
			if err := printed(s.out, "yaml", f.Manifest); err != nil {
				return err
			}
		}
	}
	if err != nil {
		return err
	}
	for _, r := range done.Results {
		text := fmt.Sprintf("rolled back to version %d, as version %d", o.number, r.Version)
		switch {
		case r.Result == "unchanged":
			text = fmt.Sprintf("is what version %d was already", o.number)
		case o.dryRun:
			text = fmt.Sprintf("would be rolled back to version %d (dry run)", o.number)
		}
		if _, err := fmt.Fprintf(s.out, "%s/%s %s\n", called(r.Kind), r.Name, text); err != nil {
			return err
		}
	}
	return nil
}
