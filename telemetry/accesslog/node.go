package accesslog

import (
	"maps"
	"slices"
)

// node is a value of an object that leaves out what is missing: fields and elements without a value, and objects in which nothing is
// left. Other objects need no tree: whatever happens, all of their structure is written.
type node struct {
	key      string // with quotes and colon; empty in a list
	ops      []operator
	children []node
	open     byte // '{' or '[' of one that has children; 0: a leaf
}

// parseNode makes a tree of what has been read once already, so that only what parse would say can go wrong.
func parseNode(v any, in Compiler) (*node, error) {
	n := &node{}
	add := func(key string, v any) error {
		c, err := parseNode(v, in)
		if err == nil && c != nil {
			c.key = key
			n.children = append(n.children, *c)
		}
		return err
	}
	switch v := v.(type) {
	case nil:
		return nil, nil
	case map[string]any:
		n.open = '{'
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if err := add(`"`+escape(key)+`":`, v[key]); err != nil {
				return nil, err
			}
		}
	case []any:
		n.open = '['
		for _, e := range v {
			if err := add("", e); err != nil {
				return nil, err
			}
		}
	default:
		budget := maxText
		ops, err := parseValue(nil, v, "", 0, &budget, in)
		n.ops = join(ops)
		return n, err
	}
	return n, nil
}

// append writes a node behind dst and tells whether there was anything to write.
func (n *node) append(dst []byte, e *Entry) ([]byte, bool) {
	start := len(dst)
	if n.open == 0 {
		for i := range n.ops {
			o := &n.ops[i]
			if o.kind == opLiteral {
				dst = append(dst, o.text...)
				continue
			}
			from := len(dst)
			dst = o.append(dst, e, true)
			if o.write == writeValue && string(dst[from:]) == "null" {
				return dst[:start], false
			}
		}
		return dst, true
	}
	dst = append(dst, n.open)
	some := false
	for i := range n.children {
		c := &n.children[i]
		mark := len(dst)
		if some {
			dst = append(dst, ',')
		}
		dst = append(dst, c.key...)
		var ok bool
		if dst, ok = c.append(dst, e); !ok {
			dst = dst[:mark]
			continue
		}
		some = true
	}
	return append(dst, n.open+2), some || n.open == '[' // } and ] stand two behind { and [
}
