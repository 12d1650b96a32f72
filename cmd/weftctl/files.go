package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weftmesh/weft/control/source"
)

// Bounds of what is sent at once, below those of weftd.
const (
	partBytes     = 4 << 20
	partDocuments = 500
	maxManifests  = 10_000 // files
)

// manifest is a file of manifests as it is.
type manifest struct {
	file string
	data []byte
}

// manifests reads what is named: files, directories, of which the files count that weftd would read there, or - for standard input.
func manifests(paths []string, s streams) (out []manifest, err error) {
	if len(paths) == 0 {
		return nil, errors.New("of what? want -f FILE, a directory, or - for standard input")
	}
	for _, path := range paths {
		if path == "-" {
			if s.in == nil {
				return nil, errors.New("there is no standard input")
			}
			data, err := io.ReadAll(io.LimitReader(s.in, source.MaxFile+1))
			if err != nil {
				return nil, fmt.Errorf("reading standard input: %w", err)
			}
			out = append(out, manifest{"standard input", data})
			continue
		}
		err := filepath.WalkDir(path, func(full string, d fs.DirEntry, err error) error {
			hidden := full != path && strings.HasPrefix(d.Name(), ".")
			switch {
			case err != nil:
				return err
			case d.IsDir() && hidden:
				return fs.SkipDir
			case d.IsDir(), hidden, full != path && !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(full)):
				return nil
			case len(out) >= maxManifests:
				return fmt.Errorf("%s has more than %d files", path, maxManifests)
			}
			data, err := content(full)
			out = append(out, manifest{full, data})
			return err
		})
		if err != nil {
			var p *fs.PathError
			if errors.As(err, &p) && errors.Is(p.Err, fs.ErrNotExist) {
				return nil, fmt.Errorf("%s: there is no such file", p.Path)
			}
			return nil, err
		}
	}
	for _, one := range out {
		if len(one.data) > source.MaxFile {
			return nil, fmt.Errorf("%s has more than %d MB", one.file, source.MaxFile>>20)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("there is no file in %s: want files that end in .yaml, .yml or .json", shortList(paths, 3))
	}
	return out, nil
}

// part is manifests that are sent together.
type part struct {
	data   []byte
	places []place
	lines  int
	count  int
}

// place is where lines of a part come from.
type place struct {
	from int // the first of them
	file string
	line int // that it has in its file
}

// parts puts the documents of files together.
func parts(all []manifest) (out []*part) {
	var now *part
	for _, one := range all {
		for _, d := range source.Split(one.data) {
			if now == nil || len(now.data)+len(d.Text) > partBytes || now.count >= partDocuments {
				now = &part{}
				out = append(out, now)
			}
			now.add(one.file, d)
		}
	}
	return out
}

func (p *part) add(file string, d source.Document) {
	p.count++
	if !bytes.HasPrefix(d.Text, []byte("---")) {
		p.data = append(p.data, "---\n"...)
		p.lines++
	}
	p.places = append(p.places, place{p.lines + 1, file, d.Line})
	p.data = append(p.data, d.Text...)
	if !bytes.HasSuffix(d.Text, []byte("\n")) {
		p.data = append(p.data, '\n')
	}
	p.lines += bytes.Count(d.Text, []byte("\n"))
	if !bytes.HasSuffix(d.Text, []byte("\n")) {
		p.lines++
	}
}

// at is the file and line that a line of the part is.
func (p *part) at(line int) string {
	for _, one := range slices.Backward(p.places) {
		if line >= one.from {
			return fmt.Sprintf("%s:%d", one.file, one.line+line-one.from)
		}
	}
	return "what was sent"
}

// objectsIn are the objects of files, read here.
func objectsIn(all []manifest, namespace string) (objects []*source.Object, err error) {
	var wrong []error
	for _, one := range all {
		c := source.ReadIn(one.data, source.Origin{File: one.file}, namespace)
		objects = append(objects, c.Objects...)
		for _, p := range c.Problems {
			if !p.Warning {
				wrong = append(wrong, fmt.Errorf("%s:%d: %s: %s", p.From.File, p.From.Line, p.Path, p.Text))
			}
		}
	}
	if len(wrong) == 0 && len(objects) == 0 {
		wrong = append(wrong, errors.New("there is no object in what is named"))
	}
	return objects, errors.Join(wrong...)
}
