package xds

import (
	"bytes"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/xds/stream"
)

// news is what a stream tells.
type news struct {
	link *link
	stream.Event
}

// judgement is what becomes of a response. It is said when all that came with it is in force, or is not.
type judgement struct {
	link     *link
	kind     Kind
	response *stream.Response
	refused  map[string]bool // resources, by name
	faults   Faults
	why      map[string]Faults // of them, those of each resource
	ignored  []string
	count    int             // resources that are new or others than before, and that were removed
	changed  map[string]bool // of those that were asked for by name
	named    map[string]int  // how often resources are in it that are not the same as before
}

// maxBatch is how many responses are put in force together at most.
const maxBatch = 64

// hear takes in what has been told, and what else has been meanwhile, and puts it in force at once.
func (f *Feed) hear(n news, serve func(*config.Snapshot) error) {
	f.take(n)
	for range maxBatch {
		select {
		case n = <-f.news:
			f.take(n)
			continue
		default:
		}
		break
	}
	f.advance(serve)
}

func (f *Feed) take(n news) {
	if n.Err != nil {
		for _, h := range f.heads {
			if h.link == n.link && !h.began.IsZero() {
				h.count(updateFailure)
			}
		}
		for _, s := range f.asked {
			if s.held.link == n.link {
				s.count(updateFailure)
			}
		}
		f.report(Outcome{Server: n.link.server, Err: n.Err})
		return
	}
	for _, kind := range kinds {
		if n.Response.Message != kind.Message() || kind == Names && f.names == nil || n.link.message != "" && n.link.message != kind.Message() {
			continue
		}
		v := &judgement{link: n.link, kind: kind, response: n.Response, refused: map[string]bool{}, why: map[string]Faults{}, changed: map[string]bool{}}
		f.judgements = append(f.judgements, v)
		for _, h := range f.heads {
			if h.kind == kind && h.link == n.link {
				f.takeAll(h, v)
				return
			}
		}
		if kind == VirtualHosts {
			f.takeHosts(v)
			return
		}
		if kind == Names {
			f.takeNames(v)
			return
		}
		f.takeNamed(v)
		return
	}
	// Nobody has asked for such things.
	f.report(Outcome{Server: n.link.server, Err: fmt.Errorf("resources of type %q have come that nobody has asked for", n.Response.Message)})
}

// refuse turns one resource down.
func (v *judgement) refuse(name string, faults ...Fault) {
	v.refused[name] = true
	for i := range faults {
		faults[i].File = v.kind.String() + " " + strconv.Quote(name)
	}
	v.faults = append(v.faults, faults...)
	v.why[name] = append(v.why[name], faults...)
}

// resource finds one of the response.
func (v *judgement) resource(name string) *stream.Resource {
	for i := range v.response.Resources {
		if v.response.Resources[i].Name == name {
			return &v.response.Resources[i]
		}
	}
	return &stream.Resource{Name: name}
}

// fresh are the resources of a response that are worth looking at: not those that are the same as before, whom seen knows, and who are
// most of what a control plane says again. It also says which of them have been in the response already. What is in it twice, or cannot be
// opened, is refused.
func (v *judgement) fresh(seen func(*stream.Resource) (same, again bool)) []*stream.Resource {
	var rest []*stream.Resource
	v.named = map[string]int{}
	for i := range v.response.Resources {
		r := &v.response.Resources[i]
		same, again := seen(r)
		if same && !again {
			continue
		}
		if again && v.named[r.Name] == 0 {
			v.named[r.Name]++
		}
		v.named[r.Name]++
		rest = append(rest, r)
	}
	var out []*stream.Resource
	for _, r := range rest {
		switch times := v.named[r.Name]; {
		case times > 1 && r.Name != "":
			if !v.refused[r.Name] {
				v.refuse(r.Name, Fault{Text: fmt.Sprintf("is in the response %d times", times)})
			}
		case r.Err != nil:
			v.refuse(r.Name, Fault{Text: r.Err.Error()})
		default:
			out = append(out, r)
		}
	}
	return out
}

// decode reads a resource, of which there may be an earlier version, or refuses it.
func (f *Feed) decode(v *judgement, r *stream.Resource, before any) any {
	r.Keep()
	c, err := f.decoder.After(v.kind.Message(), r.Wire, before)
	if err == nil {
		return c
	}
	var faults []Fault
	for _, p := range problemsOf(err) {
		faults = append(faults, Fault{Path: p.Path, Text: p.Text})
	}
	v.refuse(r.Name, faults...)
	return nil
}

func (f *Feed) failureOf(v *judgement, r *stream.Resource) *Failure {
	x := &Failure{Version: r.Version, Time: f.now(), Details: v.why[r.Name].Error()}
	if r.Wire != nil {
		x.Wires = map[string][]byte{r.Name: bytes.Clone(r.Wire)}
	}
	return x
}

func (f *Feed) expiry(r *stream.Resource) time.Time {
	if r.TTL == 0 {
		return time.Time{}
	}
	f.mortal = true
	return f.now().Add(r.TTL)
}

// repeats says that a resource says what is there, and nothing else.
func repeats(r *stream.Resource, wire []byte, expires time.Time) bool {
	return r.Err == nil && !r.Renewal && r.TTL == 0 && expires.IsZero() && bytes.Equal(r.Wire, wire)
}

// takeAll takes a response about listeners or clusters. Each is judged by itself.
func (f *Feed) takeAll(h *head, v *judgement) {
	static := map[string]bool{}
	switch h.kind {
	case Clusters:
		for _, c := range f.static.Clusters {
			static[c.Name] = true
		}
	case Listeners:
		for _, l := range f.static.Listeners {
			static[l.Name] = true
		}
	}
	next := map[string]*member{} // what changes; nil: it is gone
	f.round++
	for _, r := range v.fresh(func(r *stream.Resource) (same, again bool) {
		m := h.members[r.Name]
		if m == nil {
			return false, false
		}
		again, m.round = m.round == f.round, f.round
		return m.failure == nil && m.latest.Resource != nil && repeats(r, m.latest.Wire, m.expires), again
	}) {
		old := h.members[r.Name]
		if static[r.Name] { // as in Envoy, the bootstrap's stands
			v.ignored = append(v.ignored, r.Name)
			continue
		}
		if r.Renewal {
			if old != nil {
				m := *old
				m.expires = f.expiry(r)
				next[r.Name] = &m
			}
			continue
		}
		m := &member{}
		if old != nil {
			*m = *old
		}
		m.expires, m.failure = f.expiry(r), nil
		if m.latest.Resource == nil || !bytes.Equal(m.latest.Wire, r.Wire) {
			c := f.decode(v, r, m.latest.Resource)
			if c != nil {
				f.adopt(m, r, c, v)
			}
		}
		if v.refused[r.Name] {
			m.failure = f.failureOf(v, r)
		}
		next[r.Name] = m
	}
	for _, name := range v.response.Removed {
		next[name] = nil
	}
	if v.response.Whole {
		for name, m := range h.members {
			if m.round != f.round {
				next[name] = nil
			}
		}
	}
	if h.kind == Scopes {
		f.tellApart(h, v, next)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, m := range next {
		if m != nil {
			f.tell(v.link, h.kind, []string{name}, false)
			h.members[name] = m
		} else if old := h.members[name]; old != nil {
			f.tell(v.link, h.kind, []string{name}, true)
			delete(h.members, name)
			if old.latest.Resource != nil {
				v.count++
			}
		}
	}
	f.stale = f.stale || h.kind == Scopes && !h.answered // who waits for them need not, though there are none
	f.tell(v.link, h.kind, v.response.Removed, true)
	h.answered = true
	h.version, h.updated = v.response.Version, f.now()
	f.stale = f.stale || v.count > 0
}

// adopt makes a resource that was read the last good one, unless it says what the one before it says.
func (f *Feed) adopt(m *member, r *stream.Resource, c any, v *judgement) {
	latest := Member{Name: r.Name, Version: r.Version, Updated: f.now(), Resource: c, Wire: r.Wire}
	same := false
	switch c := c.(type) {
	case *config.Listener:
		old, _ := m.latest.Resource.(*config.Listener)
		same = old != nil && bytes.Equal(old.Raw, c.Raw)
	case *config.Scope:
		old, _ := m.latest.Resource.(*config.Scope)
		same = old != nil && bytes.Equal(old.Raw, c.Raw)
	case *config.Cluster:
		c.Discovered = true
		old, _ := m.latest.Resource.(*config.Cluster)
		for _, l := range f.leaving {
			if old == nil && l.cluster.Name == c.Name {
				old = l.cluster
			}
		}
		if same = old != nil && bytes.Equal(old.Raw, c.Raw); same {
			latest.Resource = old
			same = m.latest.Resource != nil
		}
	}
	if same {
		m.latest.Wire = r.Wire
		return
	}
	v.count++
	m.latest = latest
}

// takeNamed takes a response about resources that were asked for by name.
func (f *Feed) takeNamed(v *judgement) {
	type result struct {
		held  *held
		r     *stream.Resource
		value any
	}
	var results []result
	then := *f.snapshot
	f.round++
	f.mu.Lock() // over versions
	fresh := v.fresh(func(r *stream.Resource) (same, again bool) {
		h := v.link.held[resourceKey{v.kind, r.Name}]
		if h == nil {
			return r.Err == nil, false // nobody needs it any more
		}
		again, h.round = h.round == f.round, f.round
		if same = h.failure == nil && h.value != nil && repeats(r, h.wire, h.expires); same {
			h.version = r.Version
		}
		return same, again
	})
	f.mu.Unlock()
	for _, r := range fresh {
		h := v.link.held[resourceKey{v.kind, r.Name}]
		if h == nil {
			continue
		}
		one := result{held: h, r: r}
		if !r.Renewal && (h.value == nil || !bytes.Equal(h.wire, r.Wire)) {
			one.value = f.decode(v, r, h.value)
		}
		if v.kind == Secrets || v.kind == Extensions {
			before := then
			switch value := one.value.(type) {
			case *config.Secret:
				then.Secrets = with(then.Secrets, r.Name, value)
			case *config.Extension:
				then.Extensions = with(then.Extensions, r.Name, value)
			}
			if blames := f.unfit(&then); len(blames) > 0 {
				then, one.value = before, nil
				v.refuse(r.Name, faultsIn(blames)...)
			}
		}
		results = append(results, one)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, one := range results {
		h, r := one.held, one.r
		h.expires = f.expiry(r)
		if v.refused[r.Name] {
			h.failure = f.failureOf(v, r)
			continue
		}
		h.failure = nil
		if r.Renewal {
			continue
		}
		h.version = r.Version
		if one.value == nil { // the same bytes
			continue
		}
		h.wire = r.Wire
		one.value = f.withHosts(h, one.value)
		if h.value != nil && equal(h.value, one.value) {
			continue
		}
		v.count++
		v.changed[h.name] = true
		if r, is := one.value.(*config.RouteConfiguration); is && h.value == nil && r.Hosts != nil && len(h.hosts) == 0 {
			h.hosting = f.now()
		}
		if h.value == nil || h.kind.routes() && len(f.warming) > 0 {
			f.stale = true
		}
		h.value, h.updated = one.value, f.now()
		f.renewed = append(f.renewed, h)
	}
	for _, name := range v.response.Removed {
		// Who uses it keeps it, as in Envoy; who waits for it does not wait any longer.
		if h := v.link.held[resourceKey{v.kind, name}]; h != nil && h.value == nil && !h.absent {
			h.absent, f.stale = true, true
		}
	}
}

// equal says that two versions of a resource say the same.
func equal(a, b any) bool {
	_, one, raw := identity(a)
	_, other, again := identity(b)
	return one == other && (one != config.Hash{} || bytes.Equal(raw, again))
}

// refuse turns a resource down that could be read and cannot be. If its response has been answered, it is only told of.
func (f *Feed) refuse(who owner, faults Faults) {
	for i := len(f.judgements) - 1; i >= 0; i-- {
		v := f.judgements[i]
		for k := range v.response.Resources {
			if v.kind == who.kind && v.response.Resources[k].Name == who.name {
				v.refuse(who.name, faults...)
				return
			}
		}
	}
	f.report(Outcome{Kind: who.kind, Name: who.name, Err: faults})
}

// answer says what became of the responses.
func (f *Feed) answer() {
	for _, v := range f.judgements {
		text := ""
		if len(v.faults) > 0 {
			text = v.faults.Error()
		}
		v.link.stream.Answer(v.response, v.refused, text)
		f.countVerdict(v)
		o := Outcome{Kind: v.kind, Server: v.link.server, Version: v.response.Version, Count: v.count, Changed: v.count > 0, Ignored: v.ignored}
		if len(v.faults) > 0 {
			o.Err = v.faults
		}
		f.report(o)
	}
	f.judgements = nil
	for _, o := range f.unsaid {
		f.report(o)
	}
	f.unsaid = nil
}

func (f *Feed) countVerdict(v *judgement) {
	for _, h := range f.heads {
		if h.kind == v.kind && h.link == v.link {
			h.count(updateAttempt)
			if len(v.faults) > 0 {
				h.count(updateRejected)
				return
			}
			h.count(updateSuccess)
			if v.kind != Listeners && v.count > 0 {
				h.count(reloadOrNoRebuild)
			}
			return
		}
	}
	told := map[string]bool{}
	for i := range v.response.Resources {
		name := v.response.Resources[i].Name
		h := v.link.held[resourceKey{v.kind, name}]
		if h == nil || told[name] {
			continue
		}
		told[name] = true
		for _, s := range h.users {
			s.count(updateAttempt)
			if v.refused[name] {
				s.count(updateRejected)
				continue
			}
			s.count(updateSuccess)
			if (v.kind.routes() || v.kind == Endpoints) && v.changed[name] == v.kind.routes() {
				s.count(reloadOrNoRebuild)
			}
		}
	}
}

func clone[V any](m *map[string]V, done *bool) {
	if *done {
		return
	}
	*done = true
	if *m = maps.Clone(*m); *m == nil {
		*m = map[string]V{}
	}
}
