package server

import (
	"slices"
	"strings"
	"sync/atomic"
)

// Kind is a kind of resource, in the order in which proxies are told of them: who is named comes before who names it.
type Kind uint8

// The kinds.
const (
	Clusters Kind = iota
	Endpoints
	Listeners
	Routes
	VirtualHosts
	Secrets
	Extensions
	Names // for the DNS of a mesh: istio.networking.nds.v1.NameTable
	kindCount
)

// Resource is encoded once, however many proxies are told of it. It never changes: another version of it is another value. A cluster's endpoints
// have the cluster's name.
type Resource struct {
	Name    string
	Version string // another one exactly if Body is another
	Body    []byte // the message, without its type

	framed [variants]atomic.Pointer[frame] // made when it is first sent
}

// Part is resources of one kind, in the order of their names, of which each is there once. It never changes and is shared by views.
type Part struct {
	Kind      Kind
	Resources []*Resource
}

// View is all that a proxy may be told of: parts, none of which have a resource of the same kind and name. It never changes. Two proxies that are
// told the same share it.
type View struct {
	Version string // what the state of the world calls it
	Parts   []*Part
}

// Find is a resource by its name; nil: there is none.
func (v *View) Find(k Kind, name string) *Resource {
	for _, p := range v.Parts {
		if p.Kind != k {
			continue
		}
		i, ok := slices.BinarySearchFunc(p.Resources, name, func(r *Resource, name string) int { return strings.Compare(r.Name, name) })
		if ok {
			return p.Resources[i]
		}
	}
	return nil
}

// pick calls f for each of some names, sorted, with its resource; nil: there is none.
func (v *View) pick(k Kind, list names, f func(name string, r *Resource)) {
	const few = 8 // of a name to so many resources it pays to walk
	var walked [4][]*Resource
	parts := walked[:0]
	for _, p := range v.Parts {
		if p.Kind == k {
			if len(p.Resources) > few*len(list) || len(parts) == cap(parts) {
				for _, name := range list {
					f(name, v.Find(k, name))
				}
				return
			}
			parts = append(parts, p.Resources)
		}
	}
	for _, name := range list {
		var found *Resource
		for i, rest := range parts {
			for len(rest) > 0 && rest[0].Name < name {
				rest = rest[1:]
			}
			if parts[i] = rest; len(rest) > 0 && rest[0].Name == name {
				found = rest[0]
			}
		}
		f(name, found)
	}
}

// each calls f for every resource of a kind.
func (v *View) each(k Kind, f func(*Resource)) {
	for _, p := range v.Parts {
		if p.Kind == k {
			for _, r := range p.Resources {
				f(r)
			}
		}
	}
}

// pair is what was and what is under a name: nil: there was none, or there is none.
type pair struct{ was, is *Resource }

// compared is what the last two parts of a kind that were compared differ in: of many proxies that are told of the same change, one finds out.
type compared struct {
	from, to *Part
	pairs    []pair
}

// compare calls f for what is new (was is nil), other or gone (is is nil) from one view to another, in the order of names. What views share is
// not looked into. from may be nil: then all is new.
func (s *Server) compare(k Kind, from, to *View, f func(was, is *Resource)) {
	if from == to {
		return
	}
	old, next := unshared(k, from, to), unshared(k, to, from)
	if len(old) != 1 || len(next) != 1 {
		walk(merged(old), merged(next), f)
		return
	}
	c := s.compared[k].Load()
	if c == nil || c.from != old[0] || c.to != next[0] {
		c = &compared{from: old[0], to: next[0]}
		walk(c.from.Resources, c.to.Resources, func(was, is *Resource) { c.pairs = append(c.pairs, pair{was, is}) })
		s.compared[k].Store(c)
	}
	for _, one := range c.pairs {
		f(one.was, one.is)
	}
}

// walk does so with two lists in the order of names.
func walk(old, next []*Resource, f func(was, is *Resource)) {
	for len(old) > 0 || len(next) > 0 {
		switch {
		case len(next) == 0 || len(old) > 0 && old[0].Name < next[0].Name:
			f(old[0], nil)
			old = old[1:]
		case len(old) == 0 || next[0].Name < old[0].Name:
			f(nil, next[0])
			next = next[1:]
		default:
			if old[0] != next[0] && old[0].Version != next[0].Version {
				f(old[0], next[0])
			}
			old, next = old[1:], next[1:]
		}
	}
}

// unshared are the parts of v that the other view has not.
func unshared(k Kind, v, other *View) (out []*Part) {
	if v == nil {
		return nil
	}
	for _, p := range v.Parts {
		if p.Kind == k && len(p.Resources) > 0 && (other == nil || !slices.Contains(other.Parts, p)) {
			out = append(out, p)
		}
	}
	return out
}

// merged are the resources of parts, in the order of names.
func merged(parts []*Part) (out []*Resource) {
	if len(parts) == 1 {
		return parts[0].Resources
	}
	for _, p := range parts {
		out = append(out, p.Resources...)
	}
	slices.SortFunc(out, byName)
	return out
}

func byName(a, b *Resource) int { return strings.Compare(a.Name, b.Name) }
