package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/weftmesh/weft/control/console"
	"github.com/weftmesh/weft/control/source"
)

const getText = `Show objects that weftd has, from whatever source. KIND is a name, such as virtualservice, a short one, such as vs, or all.

Usage:
  weftctl get KIND [NAME...] [flags]
  weftctl get KIND/NAME... [flags]

Examples:
  weftctl get all -A
  weftctl get vs -n shop
  weftctl get vs/reviews dr/reviews -n shop -o yaml
  weftctl get virtualservices -A -o name`

var getForms = []string{"table", "yaml", "json", "name"}

func getCommand() *planeCommand {
	return &planeCommand{name: "get", text: getText, most: maxManifests, formats: getForms, remote: true, run: planeGet, flags: func(f *flag.FlagSet, o *planeOptions) {
		namespaceFlag(f, o)
		f.BoolVar(&o.everywhere, "A", false, "of all namespaces")
	}, check: func(o *planeOptions) error {
		if len(o.names) == 1 && !strings.Contains(o.names[0], "/") { // a kind, or all
			if _, known := source.KindOf(o.names[0]); !known && o.names[0] != "all" {
				return unknownKind(o.names[0])
			}
			return nil
		}
		if o.everywhere {
			return errors.New("-A is about all objects of a kind, and not about those that are named")
		}
		_, err := o.keysOf()
		return err
	}}
}

func runGet(args []string, s streams) int { return getCommand().do(args, s) }

func planeGet(ctx context.Context, p *pages, o *planeOptions, s streams) error {
	var all console.Objects
	named := len(o.names) > 1 || strings.Contains(o.names[0], "/")
	if named {
		keys, err := o.keysOf()
		if err != nil {
			return err
		}
		for _, key := range keys {
			var one console.Object
			if err := p.api(ctx, asking{method: http.MethodGet, path: "/api/objects/" + key.Path()}, &one); err != nil {
				return err
			}
			all.Objects = append(all.Objects, one)
		}
	} else {
		q := url.Values{}
		kind, known := source.KindOf(o.names[0])
		if known {
			q.Set("kind", kind.Resource())
		}
		if !o.everywhere && !(known && (source.Forms[kind].Cluster || source.Forms[kind].Versions == nil)) {
			q.Set("namespace", o.namespace)
		}
		if err := p.api(ctx, asking{method: http.MethodGet, path: "/api/objects", query: q}, &all); err != nil {
			return err
		}
	}
	switch o.format {
	case "name":
		for _, one := range all.Objects {
			if _, err := fmt.Fprintf(s.out, "%s/%s\n", called(one.Kind), one.Name); err != nil {
				return err
			}
		}
		return nil
	case "json", "yaml":
		if named && len(all.Objects) == 1 {
			return printed(s.out, o.format, all.Objects[0].Manifest)
		}
		items := make([]json.RawMessage, len(all.Objects))
		for i, one := range all.Objects {
			items[i] = one.Manifest
		}
		return printed(s.out, o.format, map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
	}
	if len(all.Objects) == 0 {
		fmt.Fprintln(s.err, "there is none (-n names another namespace, -A is for all)")
		return nil
	}
	return printObjects(all.Objects, o.names[0] == "all" || strings.Contains(o.names[0], "/"), o.everywhere, s)
}

// printObjects is for people. What is not in force says why.
func printObjects(list []console.Object, kinds, namespaces bool, s streams) error {
	head := []string{"NAME", "SOURCE", "AUTHOR", "VERSION", "AGE", "IN FORCE"}
	if namespaces {
		head = append([]string{"NAMESPACE"}, head...)
	}
	rows := [][]string{head}
	for _, one := range list {
		name, version, force, from := one.Name, "", "yes", one.Source
		if kinds {
			name = strings.ToLower(one.Kind) + "/" + name
		}
		if one.Version > 0 {
			version = strconv.Itoa(one.Version)
		}
		if !one.InForce {
			force = "no: " + one.Note
		}
		if one.Where != "" {
			from += " " + one.Where
		}
		var m struct {
			Metadata struct{ CreationTimestamp time.Time }
		}
		age := ""
		if json.Unmarshal(one.Manifest, &m) == nil && !m.Metadata.CreationTimestamp.IsZero() {
			age = since(m.Metadata.CreationTimestamp)
		}
		row := []string{name, from, one.Author, version, age, force}
		if namespaces {
			row = append([]string{one.Namespace}, row...)
		}
		rows = append(rows, row)
	}
	return table(s.out, rows)
}

// since is an age in its largest unit, as kubectl has it.
func since(t time.Time) string {
	switch d := time.Since(t); {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", max(int(d.Seconds()), 0))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}
