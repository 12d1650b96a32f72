package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/weftmesh/weft/control/console"
	"github.com/weftmesh/weft/control/source"
)

const diffText = `Say how manifests differ from the objects that weftd has: as a unified diff of both in YAML, as weftd writes them. Nothing is changed.

Exit code: 0 if nothing differs, 1 if something does, 2 if it cannot be said.

Usage:
  weftctl diff -f FILE... [flags]

Examples:
  weftctl diff -f canary.yaml
  weftctl diff -f mesh/ || echo 'the mesh is not what the files say'`

const exitDiffers outcome = 1

func diffCommand() *planeCommand {
	return &planeCommand{name: "diff", text: diffText, remote: true, run: planeDiff, flags: func(f *flag.FlagSet, o *planeOptions) {
		filesFlag(f, o)
		spaceFlag(f, o)
	}, check: wantFiles, failure: exitUsage}
}

func runDiff(args []string, s streams) int { return diffCommand().do(args, s) }

func planeDiff(ctx context.Context, p *pages, o *planeOptions, s streams) error {
	all, err := manifests(o.files, s)
	if err != nil {
		return err
	}
	objects, err := objectsIn(all, o.namespace)
	if err != nil {
		return err
	}
	differs := false
	for _, one := range objects {
		var now console.Object
		err := p.api(ctx, asking{method: http.MethodGet, path: "/api/objects/" + one.Key.Path()}, &now)
		var f *failed
		if errors.As(err, &f) && f.code == http.StatusNotFound {
			now.Manifest = nil
		} else if err != nil {
			return err
		}
		is, err := authored(now.Manifest)
		if err != nil {
			return err
		}
		text, err := source.Manifest(one)
		if err != nil {
			return err
		}
		wanted, err := authored(text)
		if err != nil {
			return err
		}
		if is == wanted {
			continue
		}
		differs = true
		name := called(one.Kind.String()) + "/" + one.Namespace + "/" + one.Name
		if err := unified(s.out, "weftd/"+name, one.From.File+"/"+name, is, wanted); err != nil {
			return err
		}
	}
	if differs {
		return exitDiffers
	}
	return nil
}

// authored is a manifest in YAML without what weftd adds to what its author has written; of none, nothing.
func authored(manifest []byte) (string, error) {
	if len(manifest) == 0 {
		return "", nil
	}
	v, err := decoded(manifest)
	if err != nil {
		return "", err
	}
	if meta, is := at(v, "metadata").(map[string]any); is {
		for _, name := range []string{"creationTimestamp", "generation", "resourceVersion"} {
			delete(meta, name)
		}
	}
	text, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	err = printed(&out, "yaml", json.RawMessage(text))
	return out.String(), err
}

// around is how many lines that are the same stand around those that are not.
const around = 3

// unified writes how two texts differ, as diff -u does.
func unified(w io.Writer, was, is, before, after string) error {
	var out strings.Builder
	fmt.Fprintf(&out, "--- %s\n+++ %s\n", was, is)
	lines := edits(linesOf(before), linesOf(after))
	for i := 0; i < len(lines); {
		if lines[i].sign == ' ' {
			i++
			continue
		}
		from := max(i-around, 0)
		end, same := i, 0
		for j := i; j < len(lines) && same <= 2*around; j++ {
			if lines[j].sign == ' ' {
				same++
			} else {
				same, end = 0, j
			}
		}
		to := min(end+around+1, len(lines))
		a, b, inA, inB := 1, 1, 0, 0
		for j, l := range lines[:to] {
			if l.sign != '+' {
				if j < from {
					a++
				} else {
					inA++
				}
			}
			if l.sign != '-' {
				if j < from {
					b++
				} else {
					inB++
				}
			}
		}
		fmt.Fprintf(&out, "@@ -%s +%s @@\n", span(a, inA), span(b, inB))
		for _, l := range lines[from:to] {
			fmt.Fprintf(&out, "%c%s\n", l.sign, strings.Map(harmless, l.text))
		}
		i = to
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// span is where lines stand, as diff writes it: of none, the line before.
func span(from, count int) string {
	switch count {
	case 0:
		return fmt.Sprintf("%d,0", from-1)
	case 1:
		return fmt.Sprint(from)
	}
	return fmt.Sprintf("%d,%d", from, count)
}

func linesOf(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// edit is a line of both texts, of the first alone, or of the second alone.
type edit struct {
	sign byte // ' ', '-' or '+'
	text string
}

// maxTable bounds, in cells, the comparison of lines. Beyond that all of the one is replaced by all of the other.
const maxTable = 16 << 20

// edits makes one text of another in the fewest steps: the longest common subsequence of what is between their same beginnings and ends.
func edits(a, b []string) (out []edit) {
	start := 0
	for start < len(a) && start < len(b) && a[start] == b[start] {
		out = append(out, edit{' ', a[start]})
		start++
	}
	end := 0
	for end < len(a)-start && end < len(b)-start && a[len(a)-1-end] == b[len(b)-1-end] {
		end++
	}
	x, y := a[start:len(a)-end], b[start:len(b)-end]
	i, j := 0, 0
	if n, m := len(x), len(y); (n+1)*(m+1) <= maxTable {
		common := make([]int32, (n+1)*(m+1)) // of what is behind each pair of places
		for i := n - 1; i >= 0; i-- {
			for j := m - 1; j >= 0; j-- {
				if x[i] == y[j] {
					common[i*(m+1)+j] = common[(i+1)*(m+1)+j+1] + 1
				} else {
					common[i*(m+1)+j] = max(common[(i+1)*(m+1)+j], common[i*(m+1)+j+1])
				}
			}
		}
		for i < n && j < m {
			switch {
			case x[i] == y[j]:
				out = append(out, edit{' ', x[i]})
				i, j = i+1, j+1
			case common[(i+1)*(m+1)+j] >= common[i*(m+1)+j+1]:
				out = append(out, edit{'-', x[i]})
				i++
			default:
				out = append(out, edit{'+', y[j]})
				j++
			}
		}
	}
	for ; i < len(x); i++ {
		out = append(out, edit{'-', x[i]})
	}
	for ; j < len(y); j++ {
		out = append(out, edit{'+', y[j]})
	}
	for _, line := range a[len(a)-end:] {
		out = append(out, edit{' ', line})
	}
	return out
}
