package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/weftmesh/weft/control/console"
	"github.com/weftmesh/weft/control/source"
)

const applyText = `Have objects be as manifests say. weftd reads and checks all of them first: if something is wrong with one, none is applied, and it is said with file,
line and field. They are kept in weftd's store, with their last versions (weftctl history). A manifest with a resourceVersion is refused if somebody has changed the object since.

Usage:
  weftctl apply -f FILE... [flags]

Examples:
  weftctl apply -f canary.yaml
  weftctl apply -f mesh/ --dry-run
  weftctl get vs reviews -o yaml | sed 's/weight: 10/weight: 20/' | weftctl apply -f -
  weftctl apply -f canary.yaml --as canary         with an author of its own, whose versions do not push out yours
  weftctl apply -f canary.yaml --server https://weftd.test:15443 --token-file token --ca-file roots.pem`

const deleteText = `Take objects away that were applied. weftctl rollback brings back what they were.

Usage:
  weftctl delete (KIND NAME... | KIND/NAME... | -f FILE...) [flags]

Examples:
  weftctl delete virtualservice reviews -n shop
  weftctl delete vs/reviews dr/reviews
  weftctl delete -f canary.yaml --ignore-not-found`

func filesFlag(f *flag.FlagSet, o *planeOptions) {
	f.Var(&o.files, "f", "`file` of manifests, a directory, or - for standard input; may be said again")
}

func applyCommand() *planeCommand {
	return &planeCommand{name: "apply", text: applyText, formats: tables, remote: true, run: planeApply, flags: func(f *flag.FlagSet, o *planeOptions) {
		filesFlag(f, o)
		spaceFlag(f, o)
		changeFlags(f, o)
	}, check: wantFiles}
}

func wantFiles(o *planeOptions) error {
	if len(o.files) == 0 {
		return errors.New("of what? want -f FILE, a directory, or - for standard input")
	}
	return nil
}

func runApply(args []string, s streams) int { return applyCommand().do(args, s) }

func planeApply(ctx context.Context, p *pages, o *planeOptions, s streams) error {
	all, err := manifests(o.files, s)
	if err != nil {
		return err
	}
	list := parts(all)
	if len(list) == 0 {
		return errors.New("there is no object in what is named")
	}
	send := func(one *part, dry bool) (*console.Applied, error) {
		q := o.manner(p)
		if o.namespace != "" {
			q.Set("namespace", o.namespace)
		}
		if dry {
			q.Set("dryRun", "true")
		}
		var done console.Applied
		err := p.api(ctx, asking{method: http.MethodPost, path: "/api/objects", query: q, body: one.data}, &done)
		var f *failed
		if errors.As(err, &f) {
			sayProblems(s.err, "Error", one, f.Problems)
			sayResults(s.out, f.Results, false)
		}
		return &done, err
	}
	if len(list) > 1 && !o.dryRun { // or the first would be applied, and then something be wrong with the second
		for _, one := range list {
			if _, err := send(one, true); err != nil {
				return err
			}
		}
	}
	done := console.Applied{DryRun: o.dryRun, Results: []console.Result{}}
	for _, one := range list {
		more, err := send(one, o.dryRun)
		if err != nil {
			return err
		}
		sayProblems(s.err, "Warning", one, more.Warnings)
		if done.Results, done.Warnings = append(done.Results, more.Results...), append(done.Warnings, more.Warnings...); o.format == "table" {
			if err := sayResults(s.out, more.Results, o.dryRun); err != nil {
				return err
			}
		}
	}
	if o.format != "table" {
		return printed(s.out, o.format, done)
	}
	return nil
}

func sayProblems(w io.Writer, what string, one *part, problems []console.Problem) {
	for _, p := range problems {
		what := what
		if p.Warning {
			what = "Warning"
		}
		var words []string
		if p.Line > 0 && one != nil {
			words = append(words, one.at(p.Line))
		}
		for _, word := range []string{p.Object, p.Field, p.Text} {
			if word != "" {
				words = append(words, word)
			}
		}
		fmt.Fprintf(w, "%s: %s\n", what, strings.Map(harmless, strings.Join(words, ": ")))
	}
}

// sayResults says in a line each what has come of objects, as kubectl does.
func sayResults(w io.Writer, results []console.Result, dry bool) error {
	trial := ""
	if dry {
		trial = " (dry run)"
	}
	for _, r := range results {
		if _, err := fmt.Fprintf(w, "%s/%s %s%s\n", called(r.Kind), r.Name, r.Result, trial); err != nil {
			return err
		}
	}
	return nil
}

func deleteCommand() *planeCommand {
	return &planeCommand{name: "delete", text: deleteText, most: maxManifests, remote: true, run: planeDelete, flags: func(f *flag.FlagSet, o *planeOptions) {
		filesFlag(f, o)
		spaceFlag(f, o)
		changeFlags(f, o)
		f.BoolVar(&o.ignoreMissing, "ignore-not-found", false, "an object that is not there is no failure")
	}, check: func(o *planeOptions) error {
		if len(o.files) > 0 && len(o.names) > 0 {
			return errors.New("want objects by name or by -f, not both")
		}
		if len(o.files) > 0 {
			return nil
		}
		_, err := o.keysOf()
		return err
	}}
}

func runDelete(args []string, s streams) int { return deleteCommand().do(args, s) }

func planeDelete(ctx context.Context, p *pages, o *planeOptions, s streams) error {
	var keys []source.Key
	var err error
	if len(o.files) > 0 {
		all, err := manifests(o.files, s)
		if err != nil {
			return err
		}
		objects, err := objectsIn(all, o.namespace)
		if err != nil {
			return err
		}
		for _, one := range objects {
			keys = append(keys, one.Key)
		}
	} else if keys, err = o.keysOf(); err != nil {
		return err
	}
	var wrong []error
	for _, key := range keys {
		var done console.Applied
		err := p.api(ctx, asking{method: http.MethodDelete, path: "/api/objects/" + key.Path(), query: o.manner(p)}, &done)
		var f *failed
		switch {
		case errors.As(err, &f) && f.code == http.StatusNotFound && o.ignoreMissing:
		case err != nil && !errors.As(err, &f):
			return errors.Join(append(wrong, err)...)
		case err != nil:
			wrong = append(wrong, err)
		default:
			if err := sayResults(s.out, done.Results, o.dryRun); err != nil {
				return err
			}
		}
	}
	return errors.Join(wrong...)
}
