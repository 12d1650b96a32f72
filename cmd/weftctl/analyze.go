package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/push"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/control/source/file"
	"github.com/weftmesh/weft/control/translate"
)

const analyzeHelp = `Say what is wrong with a mesh's objects before weftd has them: what cannot be read, what breaks Istio's rules, what is there twice, what
weftd does not run yet, and, if there are services among them, what names a host, a subset, a gateway or a route that is not there. It is what
weftd itself would say of them, and nobody is asked. With --live weftd is asked instead, what it says of the objects that it has, of all its sources.

PATH is a file, a directory, of which the files count that weftd would read there, or - for standard input.
Exit code: 0 if nothing is wrong, or there are warnings alone, 1 if something is, 2 if asked wrongly.

Usage:
  weftctl analyze PATH... [flags]
  weftctl analyze --live [flags]

Examples:
  weftctl analyze mesh
  weftctl analyze canary.yaml --mesh-config mesh.yaml
  kubectl get virtualservices,destinationrules -A -o yaml | weftctl analyze -
  weftctl analyze mesh -o json
  weftctl analyze --live                        of the mesh that is served now

With --live only:
  -server address    of weftd, as with weftctl status
  -token-file file   with the token that says who asks
  -ca-file file      with the certificates that weftd's is trusted by`

// findings are what is found out about a mesh's objects, for people and for programs.
type findings struct {
	Objects  int       `json:"objects"` // that are good by themselves
	Problems []finding `json:"problems"`
}

// finding is something wrong, or, as a warning, something to know.
type finding struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"` // 0: it is about no line
	Object  string `json:"object,omitempty"`
	Field   string `json:"field,omitempty"`
	Warning bool   `json:"warning"`
	Text    string `json:"text"`
}

func runAnalyze(args []string, s streams) int {
	if i := slices.IndexFunc(args, func(a string) bool { return a == "--live" || a == "-live" }); i >= 0 {
		return liveCommand().do(slices.Delete(slices.Clone(args), i, i+1), s)
	}
	var form, meshConfig string
	paths, err := parsed("analyze", analyzeHelp, args, s.out, func(set *flag.FlagSet) {
		formFlag(set, &form, tables)
		set.StringVar(&meshConfig, "mesh-config", "", "a `file` with the mesh's own configuration, as weftd is given it")
	})
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitDone
	case err != nil:
	case len(paths) == 0 && meshConfig == "":
		err = errors.New("what is to be analyzed? name files or directories of manifests, or - for standard input")
	default:
		err = formKnown(form, tables)
	}
	if err != nil {
		fmt.Fprintf(s.err, "weftctl analyze: %v\n", err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	f, err := analyze(ctx, paths, meshConfig, s)
	if err == nil {
		err = f.print(form, s.out)
	}
	if err != nil {
		fmt.Fprintf(s.err, "weftctl analyze: %v\n", err)
		return exitFailed
	}
	if f.wrong() > 0 {
		return exitFailed
	}
	return exitDone
}

// analysis is what has been read of a mesh.
type analysis struct {
	problems []source.Problem
	objects  map[source.Key]*source.Object
}

// analyze reads all that is named and has it judged by the rooms that judge it in weftd.
func analyze(ctx context.Context, paths []string, meshConfig string, s streams) (*findings, error) {
	a := &analysis{objects: map[source.Key]*source.Object{}}
	for _, path := range paths {
		if err := a.path(ctx, path, s); err != nil {
			return nil, err
		}
	}
	if len(a.objects) == 0 && len(a.problems) == 0 && len(paths) > 0 {
		return nil, fmt.Errorf("there is no object in %s: want files of YAML or JSON, which in a directory end in .yaml, .yml or .json", shortList(paths, 3))
	}
	if meshConfig != "" {
		data, err := content(meshConfig)
		if err != nil {
			return nil, fmt.Errorf("--mesh-config: %w", err)
		}
		o, problems := source.ReadMeshConfig(data, source.Origin{File: meshConfig})
		a.problems = append(a.problems, problems...)
		if o != nil {
			a.add(o)
		}
	}
	var whole []source.Change
	services := false
	for _, o := range a.objects {
		found := push.Check(o)
		a.problems = append(a.problems, found...)
		if !slices.ContainsFunc(found, func(one source.Problem) bool { return !one.Warning }) {
			whole = append(whole, source.Change{Key: o.Key, Object: o})
			services = services || o.Kind == source.Service || o.Kind == source.ServiceEntry
		}
	}
	if services { // else they are elsewhere, and it is not known what is there
		a.problems = append(a.problems, translate.References(mesh.New().With(whole))...)
	}
	f := &findings{Objects: len(a.objects), Problems: []finding{}}
	for _, p := range a.problems {
		f.Problems = append(f.Problems, found(p))
	}
	slices.SortStableFunc(f.Problems, func(a, b finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Object, b.Object), cmp.Compare(a.Field, b.Field))
	})
	f.Problems = slices.Compact(f.Problems)
	return f, nil
}

// path reads what one path stands for.
func (a *analysis) path(ctx context.Context, path string, s streams) error {
	if path == "-" {
		if s.in == nil {
			return errors.New("there is no standard input")
		}
		data, err := io.ReadAll(io.LimitReader(s.in, source.MaxFile+1))
		if err != nil {
			return fmt.Errorf("reading standard input: %w", err)
		}
		a.file(data, "standard input")
		return nil
	}
	i, err := os.Stat(path)
	if err != nil {
		return err
	}
	if i.IsDir() {
		return a.folder(ctx, path)
	}
	data, err := content(path)
	if err != nil {
		return err
	}
	a.file(data, filepath.Clean(path))
	return nil
}

// content is a file's, and of one that is too large a byte more than is read of any.
func content(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, source.MaxFile+1))
	var p *fs.PathError
	if errors.As(err, &p) && errors.Is(p.Err, syscall.EISDIR) {
		return nil, fmt.Errorf("%s is a directory: want a file", path)
	}
	return data, err
}

func (a *analysis) file(data []byte, name string) {
	c := source.Read(data, source.Origin{File: name})
	a.problems = append(a.problems, c.Problems...)
	for _, o := range c.Objects {
		a.add(o)
	}
}

// folder takes the first that a source tells of a directory, so that the files that count are those that count in weftd.
func (a *analysis) folder(ctx context.Context, path string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var first *source.Batch
	err := file.Watch(ctx, path, func(b source.Batch) {
		if first == nil {
			first = &b
		}
		cancel()
	})
	switch {
	case err != nil:
		return err
	case first == nil:
		return fmt.Errorf("%s: %w", path, context.Cause(ctx))
	}
	for _, p := range first.Problems {
		p.From.File = filepath.Join(path, p.From.File)
		a.problems = append(a.problems, p)
	}
	for _, c := range first.Changes {
		if c.Object != nil {
			o := *c.Object
			o.From.File = filepath.Join(path, o.From.File)
			a.add(&o)
		}
	}
	return nil
}

// add takes an object in. Of one that is there twice the first counts, as in a directory.
func (a *analysis) add(o *source.Object) {
	was := a.objects[o.Key]
	if was != nil && was.From.File == o.From.File && was.From.Line == o.From.Line {
		return // somebody has named a directory and a file in it
	}
	if was != nil {
		a.problems = append(a.problems, source.Problem{Key: o.Key, From: o.From, Text: fmt.Sprintf("is in %s:%d too, and that one counts", was.From.File, was.From.Line)})
		return
	}
	a.objects[o.Key] = o
}

func found(p source.Problem) finding {
	f := finding{File: p.From.File, Line: p.From.Line, Field: p.Path, Warning: p.Warning, Text: p.Text}
	if p.Name != "" {
		f.Object = p.Key.String()
	}
	return f
}

// wrong counts what is more than a warning.
func (f *findings) wrong() (n int) {
	for _, p := range f.Problems {
		if !p.Warning {
			n++
		}
	}
	return n
}

func (f *findings) print(form string, w io.Writer) error {
	if form != "table" {
		return printed(w, form, f)
	}
	if len(f.Problems) > 0 {
		rows := [][]string{{"WHERE", "IS", "OBJECT", "FIELD", "WHAT"}}
		for _, p := range f.Problems {
			where, is := p.File, "wrong"
			if p.Line > 0 {
				where = fmt.Sprintf("%s:%d", p.File, p.Line)
			}
			if p.Warning {
				is = "warning"
			}
			rows = append(rows, []string{where, is, p.Object, p.Field, p.Text})
		}
		if err := table(w, rows); err != nil {
			return err
		}
	}
	wrong := f.wrong()
	_, err := fmt.Fprintf(w, "%d good objects, %d problems, %d warnings\n", f.Objects, wrong, len(f.Problems)-wrong)
	return err
}
