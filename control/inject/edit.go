package inject

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A file is edited where it stands, so that its comments and its order stay.

var unescape = strings.NewReplacer("~1", "/", "~0", "~")

// edit carries a step of a patch out on a tree.
func edit(root *yaml.Node, op Operation) error {
	steps := strings.Split(strings.TrimPrefix(op.Path, "/"), "/")
	if op.Path == "" {
		return fmt.Errorf("the whole cannot be replaced")
	}
	n := root
	for _, step := range steps[:len(steps)-1] {
		if n = child(n, unescape.Replace(step)); n == nil {
			return fmt.Errorf("there is no %s", op.Path)
		}
	}
	last := unescape.Replace(steps[len(steps)-1])
	if n.Kind == yaml.SequenceNode {
		i, err := strconv.Atoi(last)
		if err != nil || i < 0 || i > len(n.Content) || i == len(n.Content) && op.Op != "add" {
			return fmt.Errorf("there is no %s", op.Path)
		}
		switch op.Op {
		case "add":
			n.Content = slices.Insert(n.Content, i, node(op.Value))
		case "remove":
			n.Content = slices.Delete(n.Content, i, i+1)
		default:
			n.Content[i] = node(op.Value)
		}
		block(n)
		return nil
	}
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("there is no %s", op.Path)
	}
	at := keyAt(n, last)
	switch {
	case op.Op == "remove" && at < 0:
		return fmt.Errorf("there is no %s of its own", op.Path) // it is merged in
	case op.Op == "remove":
		n.Content = slices.Delete(n.Content, at, at+2)
	case at >= 0:
		n.Content[at+1] = node(op.Value)
	default:
		n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: last}, node(op.Value))
	}
	block(n)
	return nil
}

// block has what grows be written below one another.
func block(n *yaml.Node) { n.Style &^= yaml.FlowStyle }

// child is the node below a key or an index. What an alias or a merge stands for becomes the document's own there, since it is changed in this place only.
func child(n *yaml.Node, step string) *yaml.Node {
	switch n.Kind {
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(n.Content) {
			return own(&n.Content[i])
		}
	case yaml.MappingNode:
		if at := keyAt(n, step); at >= 0 {
			return own(&n.Content[at+1])
		}
		if from := field(n, step); from != nil {
			copied := deep(from)
			n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: step}, copied)
			return copied
		}
	}
	return nil
}

// own is a node, or a copy of what it stands for, in its place.
func own(at **yaml.Node) *yaml.Node {
	if (*at).Kind == yaml.AliasNode {
		*at = deep((*at).Alias)
	}
	return *at
}

func deep(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return deep(n.Alias)
	}
	out := *n
	out.Anchor = ""
	out.Content = nil
	for _, c := range n.Content {
		out.Content = append(out.Content, deep(c))
	}
	return &out
}

// keyAt is where a mapping has a key; -1: nowhere.
func keyAt(n *yaml.Node, key string) int {
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return i
		}
	}
	return -1
}

// field is the value of a key, of the mapping's own or merged in; nil: there is none.
func field(n *yaml.Node, key string) *yaml.Node { return fieldIn(n, key, 0) }

func fieldIn(n *yaml.Node, key string, depth int) *yaml.Node {
	if n == nil || depth > 20 {
		return nil
	}
	if n.Kind == yaml.AliasNode {
		return fieldIn(n.Alias, key, depth+1)
	}
	if at := keyAt(n, key); at >= 0 {
		if v := n.Content[at+1]; v.Kind != yaml.AliasNode {
			return v
		}
		return own(&n.Content[at+1])
	}
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Tag != "!!merge" {
			continue
		}
		from := n.Content[i+1]
		if from.Kind != yaml.SequenceNode {
			from = &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{from}}
		}
		for _, one := range from.Content {
			if v := fieldIn(one, key, depth+1); v != nil {
				return v
			}
		}
	}
	return nil
}

// word is the scalar at a key; empty: there is none.
func word(n *yaml.Node, key string) string {
	if v := field(n, key); v != nil && v.Kind == yaml.ScalarNode && v.Tag != "!!null" {
		return v.Value
	}
	return ""
}

// node is a value as a tree.
func node(v any) *yaml.Node {
	n := &yaml.Node{}
	if err := n.Encode(numbers(v)); err != nil {
		panic("inject: " + err.Error()) // it is what JSON has
	}
	return n
}

// numbers has numbers be some: those that are kept as they were written would be words.
func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i
		}
		f, _ := v.Float64()
		return f
	case object:
		out := object{}
		for k, one := range v {
			out[k] = numbers(one)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, one := range v {
			out[i] = numbers(one)
		}
		return out
	}
	return v
}
