package push

import (
	"context"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/control/translate"
	"github.com/weftmesh/weft/xds/server"
)

// A proxy refuses a resource, and people change objects. Which of them a refused resource was made of is found out after it was refused, off the way of
// what is told, by a translator of its own.

const (
	// maxSuspicions is how many refused resources may wait for it; of more, nobody finds it out.
	maxSuspicions = 64
	// maxRecent is how many of the objects that changed last are suspected first: of a table of thousands of routes that is what there is to say.
	maxRecent = 32
	// maxNamed is how many objects are named of a refused resource, and maxAccused how many resources of a refused list are looked at.
	maxNamed, maxAccused = 16, 16
)

// suspicion is resources of a kind that were refused.
type suspicion struct {
	attempt   int       // of what is under way and waits for it; 0: nothing does
	about     refusedAs // attempt is 0: whose finding it is
	mesh      *mesh.Mesh
	proxy     *translate.Proxy
	kind      server.Kind
	resources []*server.Resource
	because   string
	instead   []source.Change // objects that may be in them, with what to look at in their place; nil: whoever may be
	recent    []source.Key
}

// refusedAs is a version of a resource, or of a list.
type refusedAs struct{ kind, name, version string }

// accused are the resources that a verdict is about: of a list, those that the reason names, or else all of it.
func accused(v server.Verdict) []*server.Resource {
	if len(v.Resources) <= 1 {
		return v.Resources
	}
	var named []*server.Resource
	for _, r := range v.Resources {
		if len(named) < maxAccused && strings.Contains(v.Refused, r.Name) {
			named = append(named, r)
		}
	}
	if len(named) > 0 {
		return named
	}
	return v.Resources
}

// investigate has it found out what a resource was made of. What waits for it goes on without it if there is no room.
func (p *Push) investigate(s suspicion) {
	select {
	case p.suspicions <- s:
	default:
		p.count(uninvestigated, 1)
	}
}

// investigator works until ctx ends. It keeps its translator, and what that remembers, while there is more to do.
func (p *Push) investigator(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-p.suspicions:
			t := translate.New()
			for more := true; more; {
				p.conclude(s, p.find(t, s))
				select {
				case s = <-p.suspicions:
				default:
					more = false
				}
			}
		}
	}
}

// find finds out of which objects it was made.
func (p *Push) find(t *translate.Translator, s suspicion) (keys []source.Key) {
	defer func() {
		if r := recover(); r != nil {
			p.count(failures, 1)
			p.Log.Error("it cannot be found out what a refused resource was made of", "kind", s.kind, "because", r, "stack", string(debug.Stack()))
		}
	}()
	for _, r := range s.resources[:min(len(s.resources), maxAccused)] {
		instead := s.instead
		if instead == nil {
			for _, key := range s.recent {
				if s.mesh.Get(key) != nil {
					instead = append(instead, source.Change{Key: key})
				}
			}
			for _, o := range translate.Suspects(s.mesh, s.proxy, s.kind, r.Name, s.because) {
				if !slices.ContainsFunc(instead, func(c source.Change) bool { return c.Key == o.Key }) {
					instead = append(instead, source.Change{Key: o.Key})
				}
			}
		}
		for _, key := range t.MadeOf(s.mesh, s.proxy, s.kind, r, instead) {
			if !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
	}
	slices.SortFunc(keys, source.Compare)
	return keys
}

// conclude hands on what was found out. If some of what a change has refused are EnvoyFilters, it is those: all else is checked before it is told.
func (p *Push) conclude(s suspicion, keys []source.Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.attempt > 0 {
		if filters := slices.DeleteFunc(slices.Clone(keys), func(k source.Key) bool { return k.Kind != source.EnvoyFilter }); len(filters) > 0 {
			keys = filters
		}
		p.happen(event{attempt: s.attempt, what: (*Push).hasFound, keys: keys})
		return
	}
	if f := p.findings[s.about]; f != nil {
		f.keys = keys[:min(len(keys), maxNamed)]
	}
}

// finding is what a refused resource was made of, as far as it is known.
type finding struct {
	refusals int // that are of it
	keys     []source.Key
}

// as is what a refusal is of.
func (r Refusal) as() refusedAs { return refusedAs{r.Kind, r.Name, r.Version} }

// suspect has it found out what a refused resource was made of, once for all that refuse it. It is called with the lock held.
func (p *Push) suspect(m *member, v server.Verdict, as refusedAs) {
	f := p.findings[as]
	if f == nil {
		f = &finding{}
		p.findings[as] = f
		list := accused(v)
		if as.name == "" && len(list) == len(v.Resources) { // nobody has said which of all
			list = nil
		}
		if len(list) > 0 {
			p.investigate(suspicion{about: as, mesh: seenBy(p.mesh, m.group.proxy), proxy: m.group.proxy, kind: v.Kind, resources: list, because: v.Refused, recent: slices.Clone(p.recent)})
		}
	}
	f.refusals++
}

// pardon forgets a refusal, if there is one. It is called with the lock held.
func (p *Push) pardon(key refusal) {
	r, is := p.refused[key]
	if !is {
		return
	}
	delete(p.refused, key)
	if m := p.proxies[key.session]; m != nil {
		m.refusals.Add(-1)
	}
	if f := p.findings[r.as()]; f != nil {
		if f.refusals--; f.refusals == 0 {
			delete(p.findings, r.as())
		}
	}
}

// changed notes what has changed. It is called with the lock held.
func (p *Push) changed(changes []source.Change) {
	for _, c := range changes[max(0, len(changes)-maxRecent):] {
		p.recent = slices.DeleteFunc(p.recent, func(key source.Key) bool { return key == c.Key })
		p.recent = slices.Insert(p.recent, 0, c.Key)
	}
	p.recent = p.recent[:min(len(p.recent), maxRecent)]
}
