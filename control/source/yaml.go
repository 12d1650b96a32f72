package source

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// What a file and an object may cost. Kubernetes stores no object of more than 1.5 MB; aliases may stand for more than is written, so what they
// are when written out is bounded too.
const (
	MaxFile   = 16 << 20 // bytes
	maxMarks  = 2 << 20  // signs that begin a node: a node costs the parser 200 bytes
	maxObject = 3 << 20  // bytes, as JSON
	maxNodes  = 1 << 20  // of an object, what aliases stand for counted each time
	maxDepth  = 200
)

// Document is a piece of a file that is read by itself.
type Document struct {
	Text []byte
	Line int // of the file, where it begins
}

// Split cuts a file into its documents. A line that begins with three dashes ends one wherever it stands, in the middle of a text too, so what
// is wrong with one document says nothing of the others.
func Split(data []byte) []Document {
	var out []Document
	line, first, start := 1, 1, 0
	add := func(end int) {
		if len(bytes.TrimSpace(data[start:end])) > 0 {
			out = append(out, Document{Text: data[start:end], Line: first})
		}
	}
	for at := 0; at < len(data); line++ {
		end := len(data)
		if n := bytes.IndexByte(data[at:], '\n'); n >= 0 {
			end = at + n + 1
		}
		if l := data[at:end]; at > 0 && bytes.HasPrefix(l, []byte("---")) && (len(l) == 3 || strings.IndexByte(" \t\r\n", l[3]) >= 0) {
			add(at)
			start, first = at, line
		}
		at = end
	}
	add(len(data))
	return out
}

// fault is what is wrong at a place of a document.
type fault struct {
	path string // from where the reading began
	line int    // of the document; 0: not known
	text string
}

// in puts a fault below a field or an index.
func (f *fault) in(step string) *fault {
	if f.path != "" && f.path[0] != '[' {
		step += "."
	}
	f.path = step + f.path
	return f
}

// step is a key as paths have it.
func step(key string) string {
	for i := range len(key) {
		if c := key[i]; !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-') {
			return "[" + strconv.Quote(key) + "]"
		}
	}
	return key
}

// below is a path with one more step.
func below(path, step string) string {
	if path == "" || step == "" || step[0] == '[' {
		return path + step
	}
	return path + "." + step
}

// parse reads the roots of a document's objects: there may be several without dashes between them.
func (d Document) parse() (roots []*yaml.Node, f *fault) {
	marks := 0
	for _, c := range d.Text {
		switch c {
		case '\n', ',', ':', '-', '[', '{', '?':
			marks++
		}
	}
	if marks > maxMarks {
		return nil, &fault{text: fmt.Sprintf("has more than %d fields and items: write it as several documents", maxMarks)}
	}
	text := bytes.TrimPrefix(d.Text, []byte("---"))
	if rest := bytes.TrimSpace(text); len(rest) > 0 && rest[0] == '{' && json.Valid(rest) {
		root, f := parseJSON(text)
		if f != nil {
			return nil, f
		}
		return []*yaml.Node{root}, nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(d.Text))
	for {
		var n yaml.Node
		switch err := dec.Decode(&n); {
		case errors.Is(err, io.EOF):
			return roots, nil
		case err != nil:
			return roots, yamlFault(err)
		}
		for _, root := range n.Content { // of the document node
			if root.Kind != yaml.ScalarNode || root.ShortTag() != "!!null" {
				roots = append(roots, root)
			}
		}
	}
}

var yamlLine = regexp.MustCompile(`line (\d+): `)

// yamlFault finds the line in a message of the parser's.
func yamlFault(err error) *fault {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	f := &fault{}
	if m := yamlLine.FindStringSubmatchIndex(text); m != nil {
		f.line, _ = strconv.Atoi(text[m[2]:m[3]])
		text = text[:m[0]] + text[m[1]:]
	}
	f.text = "is no YAML: " + text
	return f
}

// parseJSON makes the same tree of JSON, of which YAML's parser does not know all escapes.
func parseJSON(data []byte) (*yaml.Node, *fault) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	line, seen := 1, int64(0)
	var value func(depth int) (*yaml.Node, *fault)
	value = func(depth int) (*yaml.Node, *fault) {
		t, err := dec.Token()
		if err != nil {
			return nil, &fault{line: line, text: "is no JSON: " + err.Error()}
		}
		at := dec.InputOffset()
		line += bytes.Count(data[seen:at], []byte{'\n'})
		seen = at
		n := &yaml.Node{Kind: yaml.ScalarNode, Line: line}
		switch t := t.(type) {
		case json.Delim:
			n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
			if t == '{' {
				n.Kind, n.Tag = yaml.MappingNode, "!!map"
			}
			if depth > maxDepth {
				return nil, &fault{line: line, text: tooDeep}
			}
			for dec.More() {
				if n.Kind == yaml.MappingNode {
					key, f := value(depth + 1)
					if f != nil {
						return nil, f
					}
					n.Content = append(n.Content, key)
				}
				item, f := value(depth + 1)
				if f != nil {
					return nil, f
				}
				n.Content = append(n.Content, item)
			}
			if _, err := dec.Token(); err != nil {
				return nil, &fault{line: line, text: "is no JSON: " + err.Error()}
			}
		case string:
			n.Tag, n.Value, n.Style = "!!str", t, yaml.DoubleQuotedStyle
		case json.Number:
			n.Tag, n.Value = "!!float", t.String()
		case bool:
			n.Tag, n.Value = "!!bool", strconv.FormatBool(t)
		default:
			n.Tag = "!!null"
		}
		return n, nil
	}
	return value(0)
}

var tooDeep = fmt.Sprintf("is more than %d levels deep", maxDepth)

// real is what an alias stands for.
func real(n *yaml.Node) *yaml.Node {
	for range maxDepth {
		if n == nil || n.Kind != yaml.AliasNode {
			break
		}
		n = n.Alias
	}
	return n
}

// writer writes trees as JSON.
type writer struct {
	out   []byte
	nodes int
	skip  map[*yaml.Node]bool // keys that are left out
	marks []mark              // where values stand, if they are wanted
	mark  bool
	times bool // there are words that may be times
	// instead has what is written for words that are times.
	instead map[*yaml.Node]string
}

// mark is a place in the JSON and in the document.
type mark struct {
	offset int
	node   *yaml.Node
}

func (w *writer) count(n *yaml.Node, depth int) *fault {
	if w.nodes++; w.nodes > maxNodes || len(w.out) > maxObject {
		return &fault{line: n.Line, text: fmt.Sprintf("is more than %d MB or %d fields, what aliases stand for counted", maxObject>>20, maxNodes)}
	}
	if depth > maxDepth {
		return &fault{line: n.Line, text: tooDeep}
	}
	return nil
}

// pairs are a mapping's keys and values in turn, with what it merges in.
func (w *writer) pairs(n *yaml.Node, depth int) ([]*yaml.Node, *fault) {
	merges := false
	for i := 0; i < len(n.Content); i += 2 {
		k := n.Content[i]
		if k.Kind != yaml.ScalarNode {
			return nil, &fault{line: k.Line, text: "has a key that is no plain word"}
		}
		merges = merges || k.Tag == "!!merge"
	}
	if f := doubles(n); f != nil {
		return nil, f
	}
	if !merges {
		return n.Content, nil
	}
	var out []*yaml.Node
	have := map[string]bool{}
	for i := 0; i < len(n.Content); i += 2 {
		if k := n.Content[i]; k.Tag != "!!merge" {
			have[k.Value] = true
			out = append(out, k, n.Content[i+1])
		}
	}
	for i := 0; i < len(n.Content); i += 2 {
		if n.Content[i].Tag != "!!merge" {
			continue
		}
		from := []*yaml.Node{n.Content[i+1]}
		if list := real(from[0]); list.Kind == yaml.SequenceNode {
			from = list.Content
		}
		for _, m := range from {
			m = real(m)
			if f := w.count(m, depth); f != nil {
				return nil, f
			}
			if m.Kind != yaml.MappingNode {
				return nil, &fault{line: n.Content[i].Line, text: "merges something that is no mapping"}
			}
			more, f := w.pairs(m, depth+1)
			if f != nil {
				return nil, f
			}
			for j := 0; j < len(more); j += 2 {
				if f := w.count(more[j], depth); f != nil {
					return nil, f
				}
				if !have[more[j].Value] {
					have[more[j].Value] = true
					out = append(out, more[j], more[j+1])
				}
			}
		}
	}
	return out, nil
}

// doubles finds a key that a mapping has twice.
func doubles(n *yaml.Node) *fault {
	const few = 32 // to be compared each with each
	if len(n.Content) > few {
		seen := make(map[string]int, len(n.Content)/2)
		for i := 0; i < len(n.Content); i += 2 {
			k := n.Content[i]
			if line, is := seen[k.Value]; is {
				return double(k, line)
			}
			seen[k.Value] = k.Line
		}
		return nil
	}
	for i := 2; i < len(n.Content); i += 2 {
		for j := 0; j < i; j += 2 {
			if n.Content[i].Value == n.Content[j].Value {
				return double(n.Content[i], n.Content[j].Line)
			}
		}
	}
	return nil
}

func double(k *yaml.Node, first int) *fault {
	return (&fault{line: k.Line, text: fmt.Sprintf("is there twice, first %d lines above: only one of them can be meant", k.Line-first)}).in(step(k.Value))
}

// value writes what is below a node.
func (w *writer) value(n *yaml.Node, depth int) *fault {
	n = real(n)
	if f := w.count(n, depth); f != nil {
		return f
	}
	if w.mark {
		w.marks = append(w.marks, mark{len(w.out), n})
	}
	switch n.Kind {
	case yaml.MappingNode:
		content, f := w.pairs(n, depth)
		if f != nil {
			return f
		}
		w.out = append(w.out, '{')
		first := true
		for i := 0; i < len(content); i += 2 {
			if w.skip[content[i]] {
				continue
			}
			if !first {
				w.out = append(w.out, ',')
			}
			first = false
			if w.mark {
				w.marks = append(w.marks, mark{len(w.out), content[i]})
			}
			w.string(content[i].Value)
			w.out = append(w.out, ':')
			if f := w.value(content[i+1], depth+1); f != nil {
				return f.in(step(content[i].Value))
			}
		}
		w.out = append(w.out, '}')
	case yaml.SequenceNode:
		w.out = append(w.out, '[')
		for i, item := range n.Content {
			if i > 0 {
				w.out = append(w.out, ',')
			}
			if f := w.value(item, depth+1); f != nil {
				return f.in(fmt.Sprintf("[%d]", i))
			}
		}
		w.out = append(w.out, ']')
	case yaml.ScalarNode:
		return w.scalar(n)
	default:
		return &fault{line: n.Line, text: "is an alias of itself"}
	}
	return nil
}

// scalar writes a plain value. Words are read as kubectl reads them: "yes" without quotes is true.
func (w *writer) scalar(n *yaml.Node) *fault {
	switch tag := n.ShortTag(); tag {
	case "!!str", "!!timestamp":
		if n.Style == 0 {
			switch n.Value {
			case "y", "Y", "yes", "Yes", "YES", "on", "On", "ON":
				w.out = append(w.out, "true"...)
				return nil
			case "n", "N", "no", "No", "NO", "off", "Off", "OFF":
				w.out = append(w.out, "false"...)
				return nil
			}
		}
		if s, is := w.instead[n]; is {
			w.string(s)
			return nil
		}
		w.times = w.times || goDuration(n.Value)
		w.string(n.Value)
	case "!!null":
		w.out = append(w.out, "null"...)
	case "!!bool":
		var b bool
		if n.Decode(&b) != nil {
			return &fault{line: n.Line, text: fmt.Sprintf("%q is no truth value: true or false", short(n.Value))}
		}
		w.out = strconv.AppendBool(w.out, b)
	case "!!int", "!!float":
		if numeral(n.Value) {
			w.out = append(w.out, n.Value...)
			return nil
		}
		var v any
		if n.Decode(&v) != nil {
			return &fault{line: n.Line, text: fmt.Sprintf("%q is no number", short(n.Value))}
		}
		if f, is := v.(float64); is && (math.IsNaN(f) || math.IsInf(f, 0)) {
			return &fault{line: n.Line, text: fmt.Sprintf("%q is no number that can be used", n.Value)}
		}
		text, err := json.Marshal(v)
		if err != nil {
			return &fault{line: n.Line, text: fmt.Sprintf("%q is no number", short(n.Value))}
		}
		w.out = append(w.out, text...)
	default:
		return &fault{line: n.Line, text: fmt.Sprintf("has a tag that means nothing here: %s", short(tag))}
	}
	return nil
}

// numeral says whether a number is written as JSON has it.
func numeral(s string) bool {
	s = strings.TrimPrefix(s, "-")
	whole, rest, point := strings.Cut(s, ".")
	digits := func(s string) bool {
		for i := range len(s) {
			if s[i] < '0' || s[i] > '9' {
				return false
			}
		}
		return s != ""
	}
	return digits(whole) && (whole == "0" || whole[0] != '0') && (!point || digits(rest))
}

const hexDigits = "0123456789abcdef"

// string writes a string in quotes.
func (w *writer) string(s string) {
	w.out = append(w.out, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				w.out = append(append(w.out, s[start:i]...), `\ufffd`...)
				start = i + size
			}
			i += size
			continue
		}
		if c < ' ' || c == '"' || c == '\\' {
			w.out = append(w.out, s[start:i]...)
			w.out = append(w.out, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			start = i + 1
		}
		i++
	}
	w.out = append(append(w.out, s[start:]...), '"')
}

// at finds the node that a place in the JSON was written for.
func (w *writer) at(offset int) *yaml.Node {
	var n *yaml.Node
	for _, m := range w.marks {
		if m.offset > offset {
			break
		}
		n = m.node
	}
	return n
}

// short is a text that is fit for a message.
func short(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
