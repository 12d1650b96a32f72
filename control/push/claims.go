package push

import (
	"cmp"
	"maps"
	"slices"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
)

// claims settle whose object counts if several sources have one of the same name: that of the source which Options.Sources names first. The others wait,
// and that is said of them.
type claims struct {
	order []string
	// owners are the sources of what counts, but for the first one, which mostly has most.
	owners map[source.Key]string
	waits  map[source.Key]map[string]*source.Object
}

// owner is whose object of that name counts, if there is one.
func (c *claims) owner(key source.Key) string {
	if name, is := c.owners[key]; is || len(c.order) == 0 {
		return name
	}
	return c.order[0]
}

func (c *claims) give(key source.Key, name string) {
	delete(c.owners, key)
	if len(c.order) > 0 && name != c.order[0] {
		c.owners[key] = name
	}
}

// settle says what a source's change is to the mesh, in which now is the object of that name that counts; false: nothing.
func (c *claims) settle(name string, change source.Change, now *source.Object) (source.Change, bool) {
	key := change.Key
	if key.Cluster != "" { // which nobody else has
		return change, true
	}
	switch owner := c.owner(key); {
	case now == nil:
		if change.Object != nil {
			c.give(key, name)
		}
		return change, true
	case owner == name && change.Object != nil:
		return change, true
	case owner == name:
		delete(c.owners, key)
		for _, next := range c.waiting(key) {
			o := c.waits[key][next]
			c.wait(key, next, nil)
			c.give(key, next)
			return source.Change{Key: key, Object: o}, true
		}
		return change, true
	case change.Object != nil && c.compare(name, owner) < 0:
		c.wait(key, name, nil)
		c.wait(key, owner, now)
		c.give(key, name)
		return change, true
	}
	c.wait(key, name, change.Object)
	return change, false
}

// wait has a source's object wait; nil: it has none that does.
func (c *claims) wait(key source.Key, name string, o *source.Object) {
	if o == nil {
		if delete(c.waits[key], name); len(c.waits[key]) == 0 {
			delete(c.waits, key)
		}
		return
	}
	if c.waits[key] == nil {
		c.waits[key] = map[string]*source.Object{}
	}
	c.waits[key][name] = o
}

// compare says which of two sources comes before the other: those that there were at the start in their order, then those that came later, by name.
func (c *claims) compare(a, b string) int {
	rank := func(name string) int {
		if at := slices.Index(c.order, name); at >= 0 {
			return at
		}
		return len(c.order)
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
}

// waiting are the sources whose object of a name waits, in their order.
func (c *claims) waiting(key source.Key) []string {
	return slices.SortedFunc(maps.Keys(c.waits[key]), c.compare)
}

// settle takes a source's changes to what they are to the mesh, after those of this round that have been settled before.
func (p *Push) settle(name string, changes []source.Change, round map[source.Key]*source.Object) (out []source.Change) {
	out = changes[:0:len(changes)]
	for _, c := range changes {
		now, is := round[c.Key]
		if !is {
			if now, is = p.cohorts.latest(c.Key); !is {
				now = p.next.Get(c.Key)
			}
		}
		was := now
		p.mu.Lock()
		one, counts := p.claims.settle(name, c, now)
		if counts {
			now = one.Object
		}
		before, found := p.doubled[c.Key], []source.Problem(nil)
		if waits := p.claims.waiting(c.Key); len(waits) > 0 && now != nil {
			for _, other := range waits {
				o := p.claims.waits[c.Key][other]
				found = append(found, source.Problem{Key: o.Key, From: o.From, Text: "is in " + placeOf(p.claims.owner(c.Key), now) + " too, and that one counts"})
			}
			p.doubled[c.Key] = found
		} else {
			delete(p.doubled, c.Key)
		}
		p.mu.Unlock()
		p.say(found, before)
		if counts {
			p.event(was, one)
			out = append(out, one)
			round[c.Key] = one.Object
		}
	}
	return out
}

// placeOf is where people find an object of a source's.
func placeOf(name string, o *source.Object) string {
	if o.From.File != "" {
		return name + " (" + o.From.File + ")"
	}
	return name
}

// Find gives the object of that name that is in force, and the source that has it; nil: there is none.
func (p *Push) Find(key source.Key) (*source.Object, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mesh == nil {
		return nil, ""
	}
	o := p.mesh.Objects(key.Kind).Get(key.Namespace, key.Name)
	if o == nil {
		return nil, ""
	}
	if name, is := p.owned[key]; is {
		return o, name
	}
	return o, p.claims.order[0]
}

// Mesh is what proxies are told of; nil: not every source has told something yet.
func (p *Push) Mesh() *mesh.Mesh {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mesh
}
