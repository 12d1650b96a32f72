package server

import (
	"slices"
	"time"
)

// topic is what one proxy and this server have said to each other about a kind. What the proxy has is what the view told has of what it asks for,
// but for the odd ones.
type topic struct {
	begun   bool // the proxy has asked
	all     bool // for everything
	unnamed bool // by never having named anything, over the state of the world
	named   names
	told    *View          // nil: nothing has been told
	odd     map[string]odd // by name
	asked   names          // what is to be answered whatever the proxy has
	again   bool           // a response has to be sent even if there is nothing in it
	flight  *flight        // the response that is not answered yet
	nonce   string         // of the last response
	sent    time.Time      // when that was
	taken   string         // the nonce of the last one that the proxy took
	halves  []half         // of responses that were refused: each is told by itself
	refused string         // why the last response that was answered was turned down; empty: it was not
}

// odd is a resource that a proxy has otherwise than the view that it was told. If that view has none, the proxy is still to be told that it is gone.
type odd struct {
	version string
	was     *Resource // nil: only its version is known
}

// flight is a response that is on its way.
type flight struct {
	nonce     string
	sent      time.Time
	view      *View
	resources []*Resource
	removed   []string
	half      bool // of one that was refused
}

// wants says whether the proxy asks for a name.
func (t *topic) wants(name string) bool { return t.all || t.named.has(name) }

// lag says whether the proxy lacks something of a view, or has something that is not there any more.
func (t *topic) lag(to *View) bool { return t.begun && (t.told != to || len(t.odd) > 0) }

func (t *topic) keepOdd(name string, o odd) {
	if t.odd == nil {
		t.odd = map[string]odd{}
	}
	t.odd[name] = o
}

// answer gives what the proxy waits for, and nothing else: what changes has its turn. What the view has no more and that of the round has is what the proxy
// may have been told to ask for a moment ago, and it is about to be told of who names it: a cluster of Envoy's that hears that there are no endpoints for
// it takes that for a word, and answers requests with 503.
func (t *topic) answer(k Kind, to, round *View) (send []*Resource, missing []string) {
	send = make([]*Resource, 0, len(t.asked))
	to.pick(k, t.asked, func(name string, r *Resource) {
		if r == nil && round != to {
			if still := round.Find(k, name); still != nil {
				send = append(send, still)
				t.keepOdd(name, odd{still.Version, still}) // until its turn to go
				return
			}
		}
		if r == nil {
			missing = append(missing, name)
		} else {
			send = append(send, r)
		}
		delete(t.odd, name)
		if t.told == to || t.told == nil && !t.all {
			return
		}
		was := t.found(k, name)
		switch {
		case r != nil && (was == nil || was.Version != r.Version):
			t.keepOdd(name, odd{r.Version, r})
		case r == nil && was != nil:
			t.keepOdd(name, odd{}) // it has none, which is no version of any
		}
	})
	t.asked = nil
	if t.told == nil && !t.all {
		t.told = to
	}
	return send, missing
}

// news gives what is new or other for the proxy in a view. What is gone stays, odd.
func (t *topic) news(by *Server, k Kind, to *View) (send []*Resource) {
	by.compare(k, t.told, to, func(was, is *Resource) {
		name := ""
		if is != nil {
			name = is.Name
		} else {
			name = was.Name
		}
		if !t.wants(name) {
			return
		}
		if _, is := t.odd[name]; is {
			return
		}
		if is == nil {
			t.keepOdd(name, odd{was.Version, was})
			return
		}
		send = append(send, is)
	})
	found := len(send)
	for name, o := range t.odd {
		r := to.Find(k, name)
		if r == nil {
			if o == (odd{}) {
				delete(t.odd, name)
			}
			continue
		}
		delete(t.odd, name)
		if r.Version != o.version {
			send = append(send, r)
		}
	}
	sortFrom(send, found)
	t.told = to
	return send
}

// gone gives the names of what the proxy has and the view it was told has not.
func (t *topic) gone(k Kind) (removed []string) {
	for name, o := range t.odd {
		if t.told.Find(k, name) != nil {
			continue
		}
		delete(t.odd, name)
		if o != (odd{}) {
			removed = append(removed, name)
		}
	}
	slices.Sort(removed)
	return removed
}

// list gives all that the proxy is to have by now: what it asks for of the view that it was told, but for what is odd.
func (t *topic) list(k Kind) (send []*Resource) {
	take := func(r *Resource) {
		if _, is := t.odd[r.Name]; !is {
			send = append(send, r)
		}
	}
	if t.all {
		t.told.each(k, take)
	} else {
		for _, name := range t.named {
			if r := t.told.Find(k, name); r != nil {
				take(r)
			}
		}
	}
	found := len(send)
	for _, o := range t.odd {
		if o.was != nil {
			send = append(send, o.was)
		}
	}
	sortFrom(send, found)
	return send
}

// sortFrom puts what was added to a list in the order of maps into that of names.
func sortFrom(list []*Resource, from int) {
	if from < len(list) {
		slices.SortFunc(list, byName)
	}
}

// half is a part of what was in a response.
type half struct {
	resources []*Resource
	removed   []string
}

// split has a refused response told again in halves, of which one is good, or both are split again, until it is known what was refused. false: it
// cannot be split, and is what was refused.
func (t *topic) split(f *flight) bool {
	switch n := len(f.resources); {
	case n == 0 || n == 1 && len(f.removed) == 0:
		return false
	case n == 1:
		t.halves = append(t.halves, half{resources: f.resources})
	default:
		t.halves = append(t.halves, half{resources: f.resources[:n/2]}, half{resources: f.resources[n/2:]})
	}
	if len(f.removed) > 0 {
		t.halves = append(t.halves, half{removed: f.removed})
	}
	return true
}

// version is what was told of a name: empty if there is none.
func (t *topic) version(k Kind, name string) string {
	if o, is := t.odd[name]; is {
		return o.version
	}
	if r := t.found(k, name); r != nil {
		return r.Version
	}
	return ""
}

// found is a resource of the view that was told.
func (t *topic) found(k Kind, name string) *Resource {
	if t.told == nil {
		return nil
	}
	return t.told.Find(k, name)
}

// half gives the next of them, less what was told otherwise by now.
func (t *topic) half(k Kind) (send []*Resource, removed []string) {
	for len(t.halves) > 0 && t.told != nil && len(send)+len(removed) == 0 {
		h := t.halves[0]
		t.halves = t.halves[1:]
		for _, r := range h.resources {
			if t.wants(r.Name) && t.version(k, r.Name) == r.Version {
				send = append(send, r)
			}
		}
		for _, name := range h.removed {
			if t.wants(name) && t.version(k, name) == "" {
				removed = append(removed, name)
			}
		}
	}
	if len(t.halves) == 0 {
		t.halves = nil
	}
	return send, removed
}
