package push

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"weak"

	"github.com/weftmesh/weft/control/ca"
	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/secrets"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/control/translate"
	"github.com/weftmesh/weft/xds/server"
)

// Status is how things stand, for people and for JSON.
type Status struct {
	Awaits   []string       `json:"awaits,omitempty"` // sources that have not told anything yet: until they do, nobody is told of the mesh
	Objects  map[string]int `json:"objects"`          // by kind
	Problems []Problem      `json:"problems"`
	Proxies  []Proxy        `json:"proxies"` // by name
	Refused  []Refusal      `json:"refused"` // by proxy
	Last     Round          `json:"last"`
	// RefusedObjects are what refused resources were made of, by name, as far as that is known.
	RefusedObjects []RefusedObject `json:"refusedObjects,omitempty"`
	// Rollouts are the changes that go step by step: those under way, and then those that come next.
	Rollouts []Rollout  `json:"rollouts,omitempty"`
	HeldBack []HeldBack `json:"heldBack,omitempty"` // by name
}

// Problem is something wrong with what a source has.
type Problem struct {
	Source  string `json:"source"`
	Text    string `json:"text"` // with file, line, object and field
	Warning bool   `json:"warning,omitempty"`
}

// Proxy is a stream of one.
type Proxy struct {
	ID        string    `json:"id"`
	Namespace string    `json:"namespace"`
	Role      string    `json:"role"` // sidecar or router, as nodes say it
	Version   string    `json:"istioVersion,omitempty"`
	Cluster   string    `json:"cluster,omitempty"`
	Revision  string    `json:"revision,omitempty"` // of the control plane that it is meant for
	Peer      string    `json:"peer"`
	Since     time.Time `json:"since"`
	View      string    `json:"view,omitempty"`         // the version that it is to have; empty: none yet
	Synced    bool      `json:"synced"`                 // it has answered all of it
	Kinds     []Kind    `json:"kinds"`                  // that it has asked for
	Unknown   []string  `json:"unknownTypes,omitempty"` // that it has asked for, too, and nobody tells of
	Identity  string    `json:"identity,omitempty"`     // that it has shown to have; empty: it has shown none
	By        string    `json:"by,omitempty"`           // how
	// Withheld are secrets that its configuration names and that it is not told.
	Withheld []secrets.Withheld `json:"withheld,omitempty"`
}

// Kind is how a stream stands with a kind of resource.
type Kind struct {
	Kind    string        `json:"kind"`
	Type    string        `json:"-"` // as requests have it
	All     bool          `json:"all,omitempty"`
	Names   int           `json:"names,omitempty"` // that are asked for
	Version string        `json:"version,omitempty"`
	Sent    time.Time     `json:"sent,omitzero"`              // when the last response was
	Nonce   string        `json:"-"`                          // of that
	Taken   string        `json:"-"`                          // nonce of the last response that was taken; empty: none was
	Waits   time.Duration `json:"waitsNanoseconds,omitempty"` // how long a response has not been answered
	Refused string        `json:"refused,omitempty"`          // why the last answered response was not taken
}

// Refusal is a resource that a proxy does not take as it is. What it had before stays in force there.
type Refusal struct {
	Proxy   string    `json:"proxy"`
	Kind    string    `json:"kind"`
	Name    string    `json:"name,omitempty"` // empty: a list, of which nobody can say what is wrong in it
	Version string    `json:"version"`
	Because string    `json:"because"`
	At      time.Time `json:"at"`
	earlier string    // the version that it had refused before; empty: none
}

// Round is what became of what sources told at once.
type Round struct {
	Number   int           `json:"number"` // the first is 1; 0: there was none
	Changes  int           `json:"changes"`
	Proxies  int           `json:"proxies"` // streams that were shown another view
	Began    time.Time     `json:"began"`
	Computed time.Duration `json:"computedNanoseconds"`           // until they were
	Answered time.Duration `json:"answeredNanoseconds,omitempty"` // until the last had answered; 0: not yet, or nobody had to
}

// Status tells how things stand.
func (p *Push) Status() Status {
	s := Status{Objects: map[string]int{}, Problems: []Problem{}, Proxies: []Proxy{}, Refused: []Refusal{}}
	m := p.gatherStatus(&s)
	if m != nil {
		for _, one := range p.referencesOf(m) {
			s.Problems = append(s.Problems, Problem{Source: one.From.Source, Text: Say(one), Warning: true})
		}
		for k := source.VirtualService; k <= source.ConfigMap; k++ {
			if o := m.Objects(k); o != nil && len(o.All()) > 0 {
				s.Objects[k.String()] = len(o.All())
			}
		}
	}
	slices.Sort(s.Awaits)
	slices.SortFunc(s.Problems, func(a, b Problem) int { return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Text, b.Text)) })
	slices.SortFunc(s.Proxies, func(a, b Proxy) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Peer, b.Peer), a.Since.Compare(b.Since))
	})
	slices.SortFunc(s.Refused, func(a, b Refusal) int {
		return cmp.Or(cmp.Compare(a.Proxy, b.Proxy), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(s.RefusedObjects, func(a, b RefusedObject) int {
		return cmp.Or(cmp.Compare(a.Object, b.Object), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Because, b.Because))
	})
	return s
}

// referencesOf is what objects of a mesh name that is not there. It is looked for when somebody asks, once for each mesh: of 1,000 services it takes 3 ms.
func (p *Push) referencesOf(m *mesh.Mesh) []source.Problem {
	p.mu.Lock()
	known := p.references
	p.mu.Unlock()
	if known.mesh.Value() != m {
		known = referencesIn{weak.Make(m), translate.References(m)}
		p.mu.Lock()
		p.references = known
		p.mu.Unlock()
	}
	return known.problems
}

// referencesIn are of a mesh.
type referencesIn struct {
	mesh     weak.Pointer[mesh.Mesh]
	problems []source.Problem
}

// gatherStatus takes what has to be taken at once, as it comes, and gives the mesh; nil: there is none yet.
func (p *Push) gatherStatus(s *Status) *mesh.Mesh {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Last = p.last
	for name := range p.awaited {
		s.Awaits = append(s.Awaits, name)
	}
	for name, list := range p.problems {
		for _, one := range list {
			s.Problems = append(s.Problems, Problem{Source: name, Text: Say(one), Warning: one.Warning})
		}
	}
	for id, list := range p.unrun {
		for _, one := range list {
			s.Problems = append(s.Problems, Problem{Source: id.source, Text: Say(one), Warning: one.Warning})
		}
	}
	for _, list := range p.doubled {
		for _, one := range list {
			s.Problems = append(s.Problems, Problem{Source: one.From.Source, Text: Say(one), Warning: one.Warning})
		}
	}
	for session, m := range p.proxies {
		one := Proxy{ID: m.proxy.ID, Namespace: m.proxy.Namespace, Role: m.proxy.Role.String(), Version: m.proxy.Version, Cluster: m.proxy.Cluster, Revision: m.proxy.Revision, Peer: session.Peer(), Since: session.Since(), Kinds: []Kind{}, Unknown: session.Unknown()}
		if one.By, one.Withheld = m.shown.By, m.group.withheld; m.shown.Who != (ca.Identity{}) {
			one.Identity = m.shown.Who.String()
		}
		states, at := session.States(now)
		if m.view != nil {
			one.View, one.Synced = m.view.Version, at == m.view
		}
		for _, st := range states {
			one.Kinds = append(one.Kinds, Kind{Kind: st.Kind.String(), Type: st.Kind.Type(), All: st.All, Names: st.Names, Version: st.Version, Sent: st.Sent, Nonce: st.Nonce, Taken: st.Taken, Waits: st.Waits, Refused: st.Refused})
		}
		s.Proxies = append(s.Proxies, one)
	}
	for _, r := range p.refused {
		s.Refused = append(s.Refused, r)
	}
	for _, one := range p.refusedObjects() {
		s.RefusedObjects = append(s.RefusedObjects, one)
	}
	s.Rollouts, s.HeldBack = p.cohorts.rollouts(), p.cohorts.heldBack()
	return p.mesh
}

// Tally is what Status counts, without what takes long to put together where there are many proxies.
type Tally struct {
	Versions map[string]int    // streams, by the version of Istio that their proxies say
	Refused  [server.Kinds]int // what proxies do not take, now, by kind
}

// Tally counts.
func (p *Push) Tally() Tally {
	t := Tally{Versions: map[string]int{}}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.proxies {
		t.Versions[m.proxy.Version]++
	}
	for r := range p.refused {
		t.Refused[r.kind]++
	}
	return t
}

// Told is what a proxy of that name is to have by now, by kind, and the version of it; false: none is connected here.
func (p *Push) Told(id string) (told [server.Kinds][]*server.Resource, version string, is bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for s, m := range p.proxies {
		if m.proxy.ID != id {
			continue
		}
		for k := range told {
			told[k] = append(told[k], s.Told(server.Kind(k))...) // of which it may have several streams
		}
		if is = true; m.view != nil {
			version = m.view.Version
		}
	}
	return told, version, is
}

// Problems are all that there are with objects of sources: what is wrong with them, what is not run of them, which of several do not count, what proxies
// have refused of them, and what is held back.
func (p *Push) Problems() (out []source.Problem) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, list := range p.problems {
		out = append(out, list...)
	}
	for _, list := range p.unrun {
		out = append(out, list...)
	}
	for _, list := range p.doubled {
		out = append(out, list...)
	}
	return append(out, p.refusals()...)
}

// Readied is closed when every source has told something, and whoever waited has been shown what comes of it.
func (p *Push) Readied() <-chan struct{} { return p.whole }

// Say is a problem in a line: where, of what, and what.
func Say(one source.Problem) string {
	text := one.From.File
	if text == "" {
		text = one.From.Source
	}
	if one.From.Line > 0 {
		text = fmt.Sprintf("%s:%d", text, one.From.Line)
	}
	return strings.TrimPrefix(text+": ", ": ") + SayWhat(one)
}

// SayWhat is a problem without where.
func SayWhat(one source.Problem) string {
	text := ""
	if one.Name != "" {
		text = one.Key.String() + ": "
	}
	if one.Path != "" {
		text += one.Path + ": "
	}
	return text + one.Text
}
