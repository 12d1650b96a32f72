package xds

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/weftmesh/weft/xds/decode"
)

// Fault is one thing that is wrong with a configuration, and where.
type Fault struct {
	File string // or "--config-yaml"
	Line int    // 0: not known
	Path string // inside the resource
	Text string // what is wrong and what would be right
}

// String is file:line: path: text.
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		b.WriteString(":" + strconv.Itoa(f.Line))
	}
	b.WriteString(": ")
	if f.Path != "" {
		b.WriteString(f.Path + ": ")
	}
	b.WriteString(f.Text)
	return b.String()
}

// Faults are all that were found, up to a bound.
type Faults []Fault

// Error lists the faults, one a line.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].String()
	}
	return strings.Join(lines, "\n")
}

// text is a text that was read, and what it holds.
type text struct {
	file string
	root *node // nil for protobuf's own formats
}

// locate finds the file and line of what was found wrong with a message that was read from texts, each merged over the ones before, and
// puts the faults in the order of the texts.
func locate(texts []text, problems decode.Problems) Faults {
	faults := make(Faults, 0, len(problems))
	for _, p := range problems {
		f := Fault{Path: p.Path, Text: p.Text}
		f.File, f.Line = find(texts, p.Path)
		faults = append(faults, f)
	}
	order := func(f Fault) int { return slices.IndexFunc(texts, func(t text) bool { return t.file == f.File }) }
	slices.SortStableFunc(faults, func(a, b Fault) int { return cmp.Or(order(a)-order(b), a.Line-b.Line) })
	return faults
}

// find goes down a path in all texts at once: of an object each may hold a part, and lists of merged messages are strung together.
func find(texts []text, path string) (file string, line int) {
	type place struct {
		n    *node
		file string
	}
	var places []place
	for _, t := range texts {
		if t.root != nil {
			places = append(places, place{t.root, t.file})
		}
	}
	file = texts[0].file
	for path != "" {
		var s pathStep
		if s, path = nextStep(path); s.message {
			continue
		}
		var deeper []place
		for _, p := range places {
			if s.index < 0 {
				for i, k := range p.n.keys {
					if k.text == s.name || sameField(k.text, s.name) {
						deeper = append(deeper, place{p.n.items[i], p.file})
						file, line = p.file, k.line
					}
				}
				continue
			}
			items := p.n.items
			if p.n.kind != listNode { // one value stands for a list
				items = []*node{p.n}
			}
			if s.index < len(items) {
				deeper = []place{{items[s.index], p.file}}
				file, line = p.file, items[s.index].line
				break
			}
			s.index -= len(items)
		}
		if places = deeper; len(places) == 0 {
			break
		}
	}
	return file, line
}

type pathStep struct {
	name    string
	index   int // -1: a name
	message bool
}

// nextStep splits name, [index], ["key"] or (Message) off a path.
func nextStep(path string) (s pathStep, rest string) {
	s.index = -1
	switch path[0] {
	case '.':
		return nextStep(path[1:])
	case '(':
		s.message = true
		_, rest, _ = strings.Cut(path, ")")
	case '[':
		if quoted, err := strconv.QuotedPrefix(path[1:]); err == nil {
			s.name, _ = strconv.Unquote(quoted)
			return s, strings.TrimPrefix(path[1+len(quoted):], "]")
		}
		number, after, _ := strings.Cut(path[1:], "]")
		s.index, _ = strconv.Atoi(number)
		rest = after
	default:
		end := strings.IndexAny(path, ".[(")
		if end < 0 {
			end = len(path)
		}
		s.name, rest = path[:end], path[end:]
	}
	return s, rest
}

// sameField says that a camelCase key names a field.
func sameField(key, name string) bool {
	return !strings.Contains(key, "_") && strings.EqualFold(key, strings.ReplaceAll(name, "_", ""))
}
