package xds

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds of a text. They are far above every configuration that is meant.
const (
	maxTextBytes = 256 << 20
	maxAliased   = 1 << 18 // values that aliases may add to those that are written
	maxNesting   = 100
)

// node is a piece of JSON, wherever it was written.
type node struct {
	kind  nodeKind
	line  int
	text  string  // of a scalar
	keys  []*node // of an object
	items []*node // of a list or an object
}

type nodeKind uint8

const (
	nullNode nodeKind = iota
	boolNode
	numberNode
	stringNode
	listNode
	objectNode
)

func (k nodeKind) String() string {
	return [...]string{"null", "a boolean", "a number", "a string", "a list", "an object"}[k]
}

// textError is a text that cannot be read at all.
type textError struct {
	line int
	text string
}

func (e *textError) Error() string { return e.text }

// parseYAML reads the first document of a text as Envoy reads it, which is YAML 1.1 in parts: y, n, yes, no, on and off are booleans
// and 010 is eight unless they are quoted, and << is a key like any other.
func parseYAML(text []byte) (*node, error) {
	var doc yaml.Node
	err := yaml.NewDecoder(bytes.NewReader(text)).Decode(&doc)
	if errors.Is(err, io.EOF) {
		return nil, &textError{text: "the text is empty"}
	}
	if err != nil {
		return nil, &textError{text: strings.TrimPrefix(err.Error(), "yaml: ")}
	}
	r := yamlReader{left: len(text) + maxAliased}
	return r.read(&doc, 0)
}

type yamlReader struct {
	left int
}

func (r *yamlReader) read(y *yaml.Node, depth int) (*node, error) {
	if r.left--; r.left < 0 {
		return nil, &textError{y.Line, "too many values when aliases are spelled out"}
	}
	if depth > maxNesting {
		return nil, &textError{y.Line, fmt.Sprintf("nested more than %d deep", maxNesting)}
	}
	n := &node{line: y.Line}
	switch y.Kind {
	case yaml.DocumentNode:
		return r.read(y.Content[0], depth)
	case yaml.AliasNode:
		a, err := r.read(y.Alias, depth+1)
		if err != nil {
			return nil, err
		}
		a.line = y.Line
		return a, nil
	case yaml.ScalarNode:
		scalar(n, y)
	case yaml.SequenceNode:
		n.kind = listNode
		for _, c := range y.Content {
			item, err := r.read(c, depth+1)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, item)
		}
	case yaml.MappingNode:
		n.kind = objectNode
		for i := 0; i+1 < len(y.Content); i += 2 {
			k, v := y.Content[i], y.Content[i+1]
			if k.Tag == "!ignore" { // a place for anchors that are used elsewhere
				continue
			}
			if k.Kind == yaml.AliasNode {
				k = k.Alias
			}
			if k.Kind != yaml.ScalarNode {
				return nil, &textError{k.Line, "a key is neither a word nor a string"}
			}
			item, err := r.read(v, depth+1)
			if err != nil {
				return nil, err
			}
			n.keys = append(n.keys, &node{kind: stringNode, line: k.Line, text: k.Value})
			n.items = append(n.items, item)
		}
	}
	return n, nil
}

// scalar says what a word means. A string in quotes is a string; anything else is tried as null, boolean and whole number.
func scalar(n *node, y *yaml.Node) {
	n.kind, n.text = stringNode, y.Value
	tagged := y.Style&yaml.TaggedStyle != 0
	if y.Style&^yaml.TaggedStyle != 0 && !tagged {
		return
	}
	switch y.Value {
	case "", "~", "null", "Null", "NULL":
		if !tagged {
			n.kind = nullNode
			return
		}
	}
	if v, ok := yamlBool(y.Value); ok {
		n.kind, n.text = boolNode, strconv.FormatBool(v)
		return
	}
	if v, ok := yamlInt(y.Value); ok {
		n.text = strconv.FormatInt(v, 10)
		if int64(int32(v)) == v {
			n.kind = numberNode
		}
	}
}

// yamlBool knows a boolean in lower case, upper case and with a capital.
func yamlBool(s string) (v, ok bool) {
	lower := strings.ToLower(s)
	if s != lower && s != strings.ToUpper(s) && s != lower[:1] && s != strings.ToUpper(lower[:1])+lower[1:] {
		return false, false
	}
	switch lower {
	case "y", "yes", "true", "on":
		return true, true
	case "n", "no", "false", "off":
		return false, true
	}
	return false, false
}

// yamlInt reads decimal, 0x hexadecimal and 0 octal numbers.
func yamlInt(s string) (int64, bool) {
	digits := strings.TrimPrefix(strings.TrimPrefix(s, "+"), "-")
	base := 10
	switch {
	case len(digits) > 2 && (digits[:2] == "0x" || digits[:2] == "0X"):
		base = 16
		s = strings.Replace(s, digits[:2], "", 1)
	case len(digits) > 1 && digits[0] == '0':
		base = 8
	}
	v, err := strconv.ParseInt(s, base, 64)
	return v, err == nil
}

// parseJSON reads one value and nothing after it.
func parseJSON(text []byte) (*node, error) {
	r := jsonReader{d: json.NewDecoder(bytes.NewReader(text)), text: text, line: 1}
	r.d.UseNumber()
	n, err := r.read(0)
	if err == nil {
		if _, err = r.d.Token(); err == io.EOF {
			return n, nil
		}
		err = errors.New("something follows the end of the object")
	}
	var known *textError
	if errors.As(err, &known) {
		return nil, err
	}
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = errors.New("the text ends too soon")
	}
	return nil, &textError{r.at(), err.Error()}
}

type jsonReader struct {
	d    *json.Decoder
	text []byte
	seen int64 // bytes whose lines have been counted
	line int
}

// at is the line of the last token.
func (r *jsonReader) at() int {
	end := min(r.d.InputOffset(), int64(len(r.text)))
	r.line += bytes.Count(r.text[r.seen:end], []byte("\n"))
	r.seen = end
	return r.line
}

func (r *jsonReader) read(depth int) (*node, error) {
	t, err := r.d.Token()
	if err != nil {
		return nil, err
	}
	n := &node{line: r.at()}
	if depth > maxNesting {
		return nil, &textError{n.line, fmt.Sprintf("nested more than %d deep", maxNesting)}
	}
	switch t := t.(type) {
	case nil:
	case bool:
		n.kind, n.text = boolNode, strconv.FormatBool(t)
	case json.Number:
		n.kind, n.text = numberNode, t.String()
	case string:
		n.kind, n.text = stringNode, t
	case json.Delim:
		n.kind = listNode
		if t == '{' {
			n.kind = objectNode
		}
		for r.d.More() {
			if n.kind == objectNode {
				k, err := r.read(depth + 1)
				if err != nil {
					return nil, err
				}
				n.keys = append(n.keys, k)
			}
			v, err := r.read(depth + 1)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, v)
		}
		if _, err := r.d.Token(); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// get finds a key of an object.
func (n *node) get(key string) *node {
	for i, k := range n.keys {
		if k.text == key {
			return n.items[i]
		}
	}
	return nil
}
