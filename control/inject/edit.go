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
		return fmt.Errorf("there is no %s", op.Path)
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

// child is the node below a key or an index; nil: there is none.
func child(n *yaml.Node, step string) *yaml.Node {
	if n.Kind != yaml.SequenceNode {
		return field(n, step)
	}
	if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(n.Content) {
		return n.Content[i]
	}
	return nil
}

// resolve is a tree with what its aliases and merges stand for in their places: each is changed by itself.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return resolve(n.Alias)
	}
	out := *n
	out.Anchor, out.Content = "", nil
	if n.Kind != yaml.MappingNode {
		for _, c := range n.Content {
			out.Content = append(out.Content, resolve(c))
		}
		return &out
	}
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := resolve(n.Content[i]), resolve(n.Content[i+1])
		switch {
		case k.Tag != "!!merge":
			out.Content = append(out.Content, k, v)
		case v.Kind == yaml.SequenceNode:
			merged = append(merged, v.Content...)
		default:
			merged = append(merged, v)
		}
	}
	for _, m := range merged { // of which an earlier one counts
		for i := 0; m.Kind == yaml.MappingNode && i+1 < len(m.Content); i += 2 {
			if keyAt(&out, m.Content[i].Value) < 0 {
				out.Content = append(out.Content, m.Content[i], m.Content[i+1])
			}
		}
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

// field is the value of a key; nil: there is none.
func field(n *yaml.Node, key string) *yaml.Node {
	if n == nil {
		return nil
	}
	if at := keyAt(n, key); at >= 0 {
		return n.Content[at+1]
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
