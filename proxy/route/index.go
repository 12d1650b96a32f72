package route

import (
	"bytes"
	"slices"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/match"
)

// index finds the first route of a virtual host that matches, without looking at most of them.
//
// It knows for each rule something about the path that must hold for the rule to match: the whole path, how it begins, or a piece that
// is in it. What the request's path rules out is not looked at; whatever is left, a candidate, is asked by matches, so that the index
// is only ever about speed. Candidates come as lists in the order of the configuration. Each list is walked up to the best position
// found so far, which gives the same as merging them would, without the merge; cheap lists go first, so that a regular expression is
// only asked if it would win.
type index struct {
	routes         []*config.Route
	linear         bool
	exact          map[string][]int32
	foldedExact    map[string][]int32 // by the lowered path
	prefixes       trie
	foldedPrefixes trie // that leave case aside, lowered
	regexes        trie // by the literal that they begin with
	rest           []unbound
	connects       []int32 // that ask for CONNECT instead of a path
	longest        int     // of foldedExact's keys, in bytes
}

// unbound is a rule of which nothing is known about how its path begins.
type unbound struct {
	position int32
	contains []byte // what every path that it matches has in it; may be empty
}

// small is the number of routes up to which they are walked one by one, unless one has a regular expression. Measured with prefixes of
// which the last matches (BenchmarkFind, best of 160 on a busy machine), walk against index: 4 routes 125 and 202 ns, 6 routes 160 and
// 188, 8 routes 194 and 184, 11 routes 265 and 191. With expressions the index wins from the first: 10 routes and 20 expressions 9.1
// and 0.3 µs.
const small = 6

// longestFolded bounds the exact paths without case that are found by map, in bytes, since the request's path is lowered for it on
// the stack.
const longestFolded = 256

func compileIndex(routes []*config.Route) index {
	x := index{routes: routes, linear: len(routes) <= small && !slices.ContainsFunc(routes, byRegex)}
	if !x.linear {
		x.build()
	}
	return x
}

func (x *index) build() {
	x.exact, x.foldedExact = map[string][]int32{}, map[string][]int32{}
	for i, route := range x.routes {
		position, m := int32(i), &route.Match
		switch {
		case m.Kind == config.PathConnect:
			x.connects = append(x.connects, position)
		case m.Kind == config.PathRegex:
			x.addRegex(position, m)
		case m.Kind != config.PathExact && m.CaseSensitive:
			x.prefixes.add(m.Path, position)
		case m.Kind != config.PathExact:
			x.foldedPrefixes.add(lowered(m.Path), position)
		case m.CaseSensitive:
			x.exact[m.Path] = append(x.exact[m.Path], position)
		case len(m.Path) > longestFolded:
			x.rest = append(x.rest, unbound{position: position})
		default:
			key := lowered(m.Path)
			x.foldedExact[key] = append(x.foldedExact[key], position)
			x.longest = max(x.longest, len(key))
		}
	}
	for _, t := range []*trie{&x.prefixes, &x.foldedPrefixes, &x.regexes} {
		t.finish()
	}
}

func byRegex(r *config.Route) bool { return r.Match.Kind == config.PathRegex }

func lowered(s string) string { return string(lower(nil, []byte(s))) }

func (x *index) addRegex(position int32, m *config.Match) {
	heads, contains := literals(m.Regex.String())
	if heads == nil && len(m.Path) <= 1 { // every path begins with a slash
		x.rest = append(x.rest, unbound{position, []byte(contains)})
		return
	}
	if heads == nil || len(heads) > fewHeads && len(m.Path) > 1 {
		heads = []string{""}
	}
	for _, head := range heads {
		x.regexes.add(m.Path+head, position)
	}
}

// fewHeads is in how many ways what follows a literal may begin to be looked for with it: a class of digits tells hardly more than the
// literal by itself, and makes ten times as many nodes.
const fewHeads = 4

func (x *index) find(in *Input) *config.Route {
	if x.linear {
		return first(x.routes, in)
	}
	path, best := in.path, int32(len(x.routes))
	if len(x.connects) > 0 && in.Request.IsConnect() {
		best = x.try(x.connects, in, best)
	}
	best = x.try(x.exact[string(path)], in, best)
	if len(path) <= x.longest {
		var buffer [longestFolded]byte
		best = x.try(x.foldedExact[string(lower(buffer[:0], path))], in, best)
	}
	best = x.walk(&x.prefixes, path, false, in, best)
	best = x.walk(&x.foldedPrefixes, path, true, in, best)
	best = x.walk(&x.regexes, path, false, in, best)
	for i := range x.rest {
		u := &x.rest[i]
		if u.position >= best {
			break
		}
		if bytes.Contains(path, u.contains) && matches(&x.routes[u.position].Match, in) {
			best = u.position
			break
		}
	}
	if int(best) == len(x.routes) {
		return nil
	}
	return x.routes[best]
}

// first is the slow, obvious way to find a route.
func first(routes []*config.Route, in *Input) *config.Route {
	for _, route := range routes {
		if matches(&route.Match, in) {
			return route
		}
	}
	return nil
}

// try asks the rules at those positions that come before best, and gives the first that matches, or best.
func (x *index) try(positions []int32, in *Input, best int32) int32 {
	for _, p := range positions {
		if p >= best {
			break
		}
		if matches(&x.routes[p].Match, in) {
			return p
		}
	}
	return best
}

// walk asks the rules of all prefixes in the trie that the path has.
func (x *index) walk(t *trie, path []byte, fold bool, in *Input, best int32) int32 {
	if len(t.nodes) == 0 {
		return best
	}
	for n := &t.nodes[0]; n.lowest < best; {
		best = x.try(t.own(n), in, best)
		if n = t.step(n, path, fold); n == nil {
			break
		}
		path = path[n.label:]
	}
	return best
}

// trie is a compressed prefix tree. It is laid out for tables that do not fit into the processor's cache, where what counts is how many
// lines of memory a step touches: nodes are half a line, children beside one another, and what is compared at a node, its label and the
// first bytes of its children's labels, lies together.
type trie struct {
	keys      map[string][]int32 // until finish
	nodes     []node
	text      []byte  // labels, and behind each the heads of the node's children
	positions []int32 // of the rules whose prefix ends at a node, ascending, node by node
}

type node struct {
	text     uint32 // where the label, the bytes between the parent and this, begins
	label    uint32 // its length
	heads    uint32 // the number of children, whose labels' first bytes follow the label
	children uint32 // where in nodes they begin
	lowest   int32  // the first position of this node and all below it
	first    uint32 // where in positions its own begin
	count    uint32 // how many they are
}

func (t *trie) add(prefix string, position int32) {
	if t.keys == nil {
		t.keys = map[string][]int32{}
	}
	t.keys[prefix] = append(t.keys[prefix], position)
}

func (t *trie) finish() {
	if t.keys == nil {
		return
	}
	sorted := make([]string, 0, len(t.keys))
	for k := range t.keys {
		sorted = append(sorted, k)
	}
	slices.Sort(sorted)
	t.nodes = make([]node, 1, 2*len(sorted))
	t.fill(0, "", sorted, 0)
	t.keys = nil
	t.nodes, t.text, t.positions = slices.Clip(t.nodes), slices.Clip(t.text), slices.Clip(t.positions)
}

// fill makes the node at of the keys, which are sorted and have their first depth bytes in common, the label's among them, and all nodes
// below it.
func (t *trie) fill(at uint32, label string, keys []string, depth int) {
	n := node{text: uint32(len(t.text)), label: uint32(len(label)), lowest: 1<<31 - 1, first: uint32(len(t.positions))}
	if len(keys) > 0 && len(keys[0]) == depth {
		own := slices.Compact(t.keys[keys[0]]) // a rule that begins in two ways may have one of them twice
		t.positions = append(t.positions, own...)
		n.lowest, n.count = own[0], uint32(len(own))
		keys = keys[1:]
	}
	t.text = append(t.text, label...)
	groups := make([][]string, 0, 8)
	for len(keys) > 0 {
		head, end := keys[0][depth], 1
		for end < len(keys) && keys[end][depth] == head {
			end++
		}
		groups, keys = append(groups, keys[:end]), keys[end:]
		t.text = append(t.text, head)
	}
	n.heads, n.children = uint32(len(groups)), uint32(len(t.nodes))
	t.nodes = append(t.nodes, make([]node, len(groups))...)
	for i, group := range groups {
		first, last := group[0], group[len(group)-1]
		end := depth + 1
		for end < len(first) && end < len(last) && first[end] == last[end] {
			end++
		}
		child := n.children + uint32(i)
		t.fill(child, first[depth:end], group, end)
		n.lowest = min(n.lowest, t.nodes[child].lowest)
	}
	t.nodes[at] = n
}

// own are the positions of the rules whose prefix ends at n.
func (t *trie) own(n *node) []int32 { return t.positions[n.first : n.first+n.count] }

// step is the child of n whose label the path goes on with; nil if there is none.
func (t *trie) step(n *node, path []byte, fold bool) *node {
	if len(path) == 0 {
		return nil
	}
	head := path[0]
	if fold {
		head = match.LowerByte(head)
	}
	heads := t.text[n.text+n.label:]
	i := bytes.IndexByte(heads[:n.heads], head)
	if i < 0 {
		return nil
	}
	child := &t.nodes[n.children+uint32(i)]
	label := t.text[child.text : child.text+child.label]
	if len(path) < len(label) {
		return nil
	}
	if !fold && !bytes.Equal(path[:len(label)], label) || fold && !sameFolded(path[:len(label)], label) {
		return nil
	}
	return child
}

// sameFolded compares with what is in lower case already, without regard to the case of ASCII letters.
func sameFolded(b, lowered []byte) bool {
	for i, c := range b {
		if match.LowerByte(c) != lowered[i] {
			return false
		}
	}
	return true
}
