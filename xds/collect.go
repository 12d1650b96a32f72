package xds

import (
	"bytes"
	"fmt"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/telemetry"
)

// top adds a file of listeners or clusters, if there is one.
func (f *Feed) top(kind Kind, w *config.WatchedFile, prefix string) {
	if w == nil {
		return
	}
	s := &subscription{state: State{Kind: kind, File: w.Path}, prefix: prefix}
	s.acquire(f.stats)
	f.tops = append(f.tops, &file{WatchedFile: *w, kind: kind, subscribers: []*subscription{s}})
}

// collect reads a file of listeners or clusters. All that is in it is taken, or nothing: Envoy takes what is good and leaves the rest,
// and so may serve half of what was meant.
func (f *Feed) collect(top *file) *proposal {
	top.stamp = stampOf(top.Path)
	c := readContent(f.decoder, top.Path, top.kind)
	if len(c.faults) > 0 {
		return &proposal{top: top, content: c, faults: c.faults}
	}
	static := map[string]bool{}
	if top.kind == Clusters {
		for _, o := range f.static.Clusters {
			static[o.Name] = true
		}
	} else {
		for _, o := range f.static.Listeners {
			static[o.Name] = true
		}
	}
	old := map[string]Member{}
	for _, m := range top.subscribers[0].state.Members {
		old[m.Name] = m
	}
	var members []Member
	var ignored []string
	for _, name := range c.order {
		if static[name] { // as in Envoy, the bootstrap's stands
			ignored = append(ignored, name)
			continue
		}
		r := c.resources[name]
		if o, ok := old[name]; ok && bytes.Equal(o.Wire, r.wire) {
			members = append(members, o)
			continue
		}
		if v, ok := r.value.(*config.Cluster); ok {
			v.Discovered = true
		}
		members = append(members, Member{Name: name, Version: c.version, Updated: f.now(), Resource: r.value, Wire: r.wire})
	}
	p := f.arrange(top, members)
	p.content, p.ignored = c, ignored
	if top.kind == Listeners && len(p.faults) == 0 {
		p.faults = sharedAddresses(top.Path, p.snapshot.Listeners)
	}
	return p
}

// sharedAddresses refuses listeners at one address. Sockets that share their port would let the kernel bind both.
func sharedAddresses(path string, listeners []*config.Listener) (faults Faults) {
	at := map[config.Address]string{}
	for _, l := range listeners {
		for _, a := range l.AllAddresses() {
			where := config.Address{AddrPort: a.AddrPort, Path: a.Path}
			if where.Path == "" && where.AddrPort.Port() == 0 {
				continue
			}
			if other, ok := at[where]; ok && other != l.Name {
				faults = append(faults, Fault{File: path, Path: "resources", Text: fmt.Sprintf("listener %q is at %s, where %q is", l.Name, where, other)})
			}
			at[where] = l.Name
		}
	}
	return faults
}

// settleTop writes down what has become of a file of listeners or clusters.
func (f *Feed) settleTop(p *proposal) Outcome {
	s := p.top.subscribers[0]
	o := Outcome{Kind: p.top.kind, File: p.top.Path, Version: p.content.version, Ignored: p.ignored}
	s.count(updateAttempt)
	p.top.awaited = p.awaited
	if len(p.faults) > 0 {
		o.Err = p.faults
		if p.content.unreadable {
			s.count(updateFailure)
		} else {
			s.count(updateRejected)
		}
		s.state.Failure = &Failure{Version: p.content.version, Time: f.now(), Wires: p.content.wires(), Details: p.faults.Error()}
		return o
	}
	s.count(updateSuccess)
	if o.Changed = p.changed; o.Changed && p.top.kind == Clusters {
		s.count(reloadOrNoRebuild)
	}
	s.state.Version, s.state.Updated, s.state.Members, s.state.Failure = p.content.version, f.now(), p.members, nil
	return o
}

// acquire begins to count what becomes of a subscription, if anybody counts.
func (s *subscription) acquire(store *telemetry.Store) {
	if store != nil {
		s.owner = store.Acquire(updateTables[s.state.Kind], s.prefix, s.tags...)
		s.stats = s.owner.Loop(store.Loops())
	}
}
