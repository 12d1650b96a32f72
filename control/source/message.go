package source

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
)

var strict = protojson.UnmarshalOptions{}

// message reads Istio's own message into the object, below a path.
func (r *reading) message(o *Object, path string, n *yaml.Node, w *writer) {
	take(o, n, w, func(f *fault) { f.path = below(path, f.path); r.note(o.Key, f) })
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		n = &yaml.Node{Kind: yaml.MappingNode, Line: n.Line}
	}
	if f := w.value(n, 0); f != nil {
		f.path = below(path, f.path)
		r.note(o.Key, f)
		return
	}
	m := Forms[o.Kind].message()
	if w.times {
		w.instead = map[*yaml.Node]string{}
		durations(n, m.ProtoReflect().Descriptor(), w.instead, 0)
		w.out, w.nodes = w.out[:0], 0
		w.value(n, 0) // it was good before
	}
	err := strict.Unmarshal(w.out, m)
	if err == nil {
		o.Spec = m
		return
	}
	before := r.wrong
	r.unknown(o, path, n, m.ProtoReflect().Descriptor(), w.skip)
	if r.wrong == before {
		line, path, text := locate(err, n, w, path)
		r.note(o.Key, &fault{path: path, line: line, text: text})
	}
}

// protoText is how protobuf's reader says where it stood.
var protoText = regexp.MustCompile(`^proto:\s*(?:syntax error )?\(line \d+:(\d+)\): `)

// locate finds the field that protobuf's reader stumbled on.
func locate(err error, n *yaml.Node, w *writer, under string) (line int, path, text string) {
	// It puts now a space and now another between its words, so that nobody compares them.
	text = strings.ReplaceAll(err.Error(), "\u00a0", " ")
	m := protoText.FindStringSubmatch(text)
	if m == nil {
		return n.Line, under, short(text)
	}
	text = text[len(m[0]):]
	column, _ := strconv.Atoi(m[1])
	offset := len(w.out)
	for at := range string(w.out) { // columns count characters
		if column--; column == 0 {
			offset = at
			break
		}
	}
	again := &writer{mark: true, skip: w.skip, instead: w.instead}
	again.value(n, 0) // it was good before
	bad := again.at(offset)
	if bad == nil {
		return n.Line, under, text
	}
	path, _ = pathOf(n, bad, 0)
	return bad.Line, below(under, path), text
}

// pathOf is the way to a node.
func pathOf(n, to *yaml.Node, depth int) (string, bool) {
	n = real(n)
	if n == to {
		return "", true
	}
	if depth > maxDepth {
		return "", false
	}
	for i, c := range n.Content {
		at := fmt.Sprintf("[%d]", i)
		if n.Kind == yaml.MappingNode {
			at = step(n.Content[i&^1].Value)
		}
		if path, is := pathOf(c, to, depth+1); is {
			return below(at, path), true
		}
	}
	return "", false
}

// unknown notes the fields that a message does not have, but for those that were taken out of what is read into it.
func (r *reading) unknown(o *Object, path string, n *yaml.Node, m protoreflect.MessageDescriptor, taken map[*yaml.Node]bool) {
	n = real(n)
	if n == nil || n.Kind != yaml.MappingNode || strings.HasPrefix(string(m.FullName()), "google.protobuf.") || r.wrong >= maxProblems {
		return
	}
	pairs, f := (&writer{}).pairs(n, 0)
	if f != nil {
		return
	}
	for i := 0; i < len(pairs); i += 2 {
		key, v := pairs[i], real(pairs[i+1])
		at := below(path, step(short(key.Value)))
		d := fieldOf(m, key.Value)
		switch {
		case taken[key]:
		case d == nil:
			var have []string
			for j := range m.Fields().Len() {
				have = append(have, m.Fields().Get(j).JSONName())
			}
			r.note(o.Key, &fault{path: at, line: key.Line, text: "is no field of " + string(m.Name()) + nearest(key.Value, have)})
		case d.IsMap():
			if value := d.MapValue().Message(); value != nil && v.Kind == yaml.MappingNode {
				for j := 0; j+1 < len(v.Content); j += 2 {
					r.unknown(o, below(at, step(short(v.Content[j].Value))), v.Content[j+1], value, taken)
				}
			}
		case d.Message() == nil:
		case d.IsList() && v.Kind == yaml.SequenceNode:
			for j, item := range v.Content {
				r.unknown(o, fmt.Sprintf("%s[%d]", at, j), item, d.Message(), taken)
			}
		default:
			r.unknown(o, at, v, d.Message(), taken)
		}
	}
}

// nearest says which name may have been meant.
func nearest(name string, have []string) string {
	plain := func(s string) string { return strings.ToLower(strings.ReplaceAll(s, "_", "")) }
	best, most := "", 3
	for _, h := range have {
		if d := distance(plain(name), plain(h), most); d < most {
			best, most = h, d
		}
	}
	if best == "" || len(name) > 64 {
		return ""
	}
	return ": " + best + "?"
}

// distance counts the letters that have to change to make one word of another, or gives most.
func distance(a, b string, most int) int {
	if len(a) > 64 || len(b) > 64 || len(a)-len(b) >= most || len(b)-len(a) >= most {
		return most
	}
	var row [65]int
	for j := range len(b) + 1 {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := last
			if a[i] != b[j] {
				cost = 1 + min(last, row[j], row[j+1])
			}
			last, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

// lineOf finds the line of a field, or of what is nearest above it.
func lineOf(root *yaml.Node, path string) int {
	n := real(root)
	line := n.Line
	for path != "" {
		var name string
		index := -1
		switch {
		case strings.HasPrefix(path, `["`):
			quoted, err := strconv.QuotedPrefix(path[1:])
			if err != nil {
				return line
			}
			name, _ = strconv.Unquote(quoted)
			path = strings.TrimPrefix(path[1+len(quoted):], "]")
		case path[0] == '[':
			number, rest, _ := strings.Cut(path[1:], "]")
			index, _ = strconv.Atoi(number)
			path = rest
		default:
			end := strings.IndexAny(path, ".[")
			if end < 0 {
				end = len(path)
			}
			name, path = path[:end], path[end:]
		}
		path = strings.TrimPrefix(path, ".")
		var next *yaml.Node
		switch {
		case index >= 0 && n.Kind == yaml.SequenceNode && index < len(n.Content):
			next = n.Content[index]
			line = next.Line
		case index < 0 && n.Kind == yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				if k := n.Content[i]; k.Value == name || strings.EqualFold(strings.ReplaceAll(k.Value, "_", ""), name) {
					next, line = n.Content[i+1], k.Line
				}
			}
		}
		if next == nil {
			return line
		}
		n = real(next)
	}
	return line
}
