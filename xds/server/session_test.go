package server

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
)

// proxy is a model of one: what it asks for, and what it has.
type proxy struct {
	t       testing.TB
	s       *Session
	v       variant
	now     time.Time
	kinds   [kindCount]wanted
	pending []pending
	seen    []string // responses, for people
	refuses func(k Kind, name, version string) bool
	strict  bool // a response with something wrong in it is not taken at all
}

type wanted struct {
	begun, all bool
	said       bool // something was asked for by name
	named      map[string]bool
	has        map[string]string // versions
	nonce      string
}

// pending is a response that the proxy has not answered.
type pending struct {
	kind      Kind
	nonce     string
	resources []named
	removed   []string
}

type named struct{ name, version string }

func newProxy(t testing.TB, v variant) *proxy {
	p := &proxy{t: t, v: v, now: time.Unix(1000, 0), strict: true, refuses: func(_ Kind, _, version string) bool { return strings.HasPrefix(version, "bad") }}
	for k := range p.kinds {
		p.kinds[k] = wanted{named: map[string]bool{}, has: map[string]string{}}
	}
	p.connect()
	return p
}

func (p *proxy) connect() {
	p.s = &Session{variant: p.v, only: kindCount, server: New(Options{}), wake: make(chan struct{}, 1), step: len(steps), first: p.now}
	p.pending = nil
	for k := range p.kinds {
		w := &p.kinds[k]
		w.nonce = ""
		if begun := w.begun; begun {
			w.begun = false
			p.ask(Kind(k), w.all, slices.Sorted(maps.Keys(w.named))...)
		}
	}
}

func (p *proxy) take(k Kind, r *request) {
	p.t.Helper()
	r.url = typePrefix + facts[k].message
	if err := p.s.take(r, p.now); err != nil {
		p.t.Fatal(err)
	}
}

// ask has the proxy want other things of a kind.
func (p *proxy) ask(k Kind, all bool, list ...string) {
	p.t.Helper()
	if p.v == world {
		p.answer(k) // what it has read it has answered
	}
	w := &p.kinds[k]
	first := !w.begun
	if p.v == world && first && !all && len(list) == 0 && facts[k].all {
		return // there is no way to say so
	}
	next := map[string]bool{}
	for _, name := range list {
		next[name] = true
	}
	r := &request{}
	if p.v == world {
		r.nonce = w.nonce
		r.names = slices.Clone(list)
		w.said = (!first && w.said) || len(list) > 0 || !all || !facts[k].all
		if all && w.said {
			r.names = append(r.names, star)
		}
	} else {
		for _, name := range list {
			if first || !w.named[name] {
				r.names = append(r.names, name)
			}
		}
		for name := range w.named {
			if !next[name] {
				r.unsubscribe = append(r.unsubscribe, name)
			}
		}
		switch {
		case first && all && (len(list) > 0 || !facts[k].all), !first && all && !w.all:
			r.names = append(r.names, star)
		case first && !all && len(list) == 0 && facts[k].all:
			r.names, r.unsubscribe = []string{star}, []string{star} // as Envoy says that it wants nothing
		case !all && w.all && !first:
			r.unsubscribe = append(r.unsubscribe, star)
		}
		if first {
			r.versions = maps.Clone(w.has)
		}
		if !first && len(r.names)+len(r.unsubscribe) == 0 {
			return
		}
	}
	w.begun, w.all, w.named = true, all, next
	for name := range w.has {
		if !all && !next[name] {
			delete(w.has, name)
		}
	}
	p.take(k, r)
}

// hear takes what the server has to say by now, without answering.
func (p *proxy) hear() (heard bool) {
	p.t.Helper()
	for range 10_000 {
		r, _ := p.s.next(p.now)
		if r == nil {
			return heard
		}
		heard = true
		p.pending = append(p.pending, p.open(r))
	}
	p.t.Fatal("the server does not stop talking")
	return false
}

// open reads a response, as protobuf does.
func (p *proxy) open(r *response) pending {
	p.t.Helper()
	wire := r.buffers.Materialize()
	if len(wire) != r.size {
		p.t.Fatalf("a response of %d bytes says it has %d", len(wire), r.size)
	}
	out := pending{}
	var url string
	if p.v == delta {
		var m discoveryv3.DeltaDiscoveryResponse
		if err := proto.Unmarshal(wire, &m); err != nil {
			p.t.Fatal(err)
		}
		url, out.nonce, out.removed = m.TypeUrl, m.Nonce, m.RemovedResources
		for _, one := range m.Resources {
			if one.Resource.TypeUrl != m.TypeUrl || string(one.Resource.Value) != one.Name+"="+one.Version {
				p.t.Fatalf("a resource is wrapped as another: %v", one)
			}
			out.resources = append(out.resources, named{one.Name, one.Version})
		}
	} else {
		var m discoveryv3.DiscoveryResponse
		if err := proto.Unmarshal(wire, &m); err != nil {
			p.t.Fatal(err)
		}
		url, out.nonce = m.TypeUrl, m.Nonce
		for _, one := range m.Resources {
			name, version, _ := strings.Cut(string(one.Value), "=")
			out.resources = append(out.resources, named{name, version})
		}
	}
	k, ok := kindOf(url)
	if !ok {
		p.t.Fatalf("a response is about %q", url)
	}
	out.kind = k
	p.seen = append(p.seen, fmt.Sprintf("%v %v -%v", k, out.resources, out.removed))
	p.kinds[k].nonce = out.nonce
	for _, other := range p.pending {
		if other.kind == k {
			p.t.Fatalf("two responses about %v are on their way", k)
		}
	}
	names := map[string]bool{}
	for _, one := range out.resources {
		if names[one.name] {
			p.t.Fatalf("a response has %s twice", one.name)
		}
		names[one.name] = true
	}
	return out
}

// answer answers the oldest response about a kind, if there is one.
func (p *proxy) answer(k Kind) {
	p.t.Helper()
	i := slices.IndexFunc(p.pending, func(r pending) bool { return r.kind == k })
	if i < 0 {
		return
	}
	r := p.pending[i]
	p.pending = slices.Delete(p.pending, i, i+1)
	w := &p.kinds[k]
	wrong := ""
	for _, one := range r.resources {
		if p.refuses(k, one.name, one.version) {
			wrong = one.name + " is bad"
		}
	}
	if wrong == "" || !p.strict {
		if p.v == world && (w.all || !facts[k].parts) {
			there := map[string]bool{}
			for _, one := range r.resources {
				there[one.name] = true
			}
			for name := range w.has {
				if w.all && !there[name] {
					delete(w.has, name)
				}
			}
		}
		for _, one := range r.resources {
			if (w.all || w.named[one.name]) && !p.refuses(k, one.name, one.version) {
				w.has[one.name] = one.version
			}
		}
		for _, name := range r.removed {
			delete(w.has, name)
		}
	}
	answer := &request{nonce: r.nonce, refusal: wrong}
	if p.v == world {
		answer.names = slices.Sorted(maps.Keys(w.named))
		if w.all && w.said {
			answer.names = append(answer.names, star)
		}
	}
	p.take(k, answer)
}

// rest has all be said and answered.
func (p *proxy) rest() {
	p.t.Helper()
	for range 10_000 {
		heard := p.hear()
		if len(p.pending) == 0 && !heard {
			if _, wait := p.s.next(p.now); wait >= never {
				return
			}
			p.now = p.now.Add(patience)
		}
		for len(p.pending) > 0 {
			p.answer(p.pending[0].kind)
		}
	}
	p.t.Fatalf("it does not come to rest:\n%s", strings.Join(p.seen[max(0, len(p.seen)-20):], "\n"))
}

// res makes a resource whose body can be told.
func res(name, version string) *Resource {
	return &Resource{Name: name, Version: version, Body: []byte(name + "=" + version)}
}

// part makes one of "name=version".
func part(k Kind, list ...string) *Part {
	p := &Part{Kind: k}
	for _, one := range list {
		name, version, _ := strings.Cut(one, "=")
		p.Resources = append(p.Resources, res(name, version))
	}
	return p
}

// holds compares what the proxy has of a kind.
func (p *proxy) holds(k Kind, list ...string) {
	p.t.Helper()
	var got []string
	for _, name := range slices.Sorted(maps.Keys(p.kinds[k].has)) {
		got = append(got, name+"="+p.kinds[k].has[name])
	}
	if !slices.Equal(got, list) {
		p.t.Fatalf("of %v the proxy has %v: want %v\n%s", k, got, list, strings.Join(p.seen, "\n"))
	}
}

// heard compares the responses since it was asked last.
func (p *proxy) heard(list ...string) {
	p.t.Helper()
	if !slices.Equal(p.seen, list) {
		p.t.Fatalf("heard\n%s\nwant\n%s", strings.Join(p.seen, "\n"), strings.Join(list, "\n"))
	}
	p.seen = nil
}

// Whatever happens, and in whatever order, a proxy ends with its part of the last view, but for what it refuses.
func TestWhateverHappensAProxyEndsWithItsPartOfTheLastView(t *testing.T) {
	rounds := 4000
	if testing.Short() {
		rounds = 400
	}
	for seed := range rounds {
		for v := range variants {
			r := rand.New(rand.NewPCG(uint64(seed), uint64(v)))
			p := newProxy(t, v)
			p.strict = r.IntN(2) == 0
			world := newParts(r)
			view := world.view()
			p.s.Show(view)
			for range 2 + r.IntN(40) {
				k := Kind(r.IntN(int(kindCount)))
				switch r.IntN(8) {
				case 0, 1:
					world.change()
					view = world.view()
					p.s.Show(view)
				case 2:
					var list []string
					for range r.IntN(5) {
						list = append(list, string(rune('a'+r.IntN(6))))
					}
					slices.Sort(list)
					p.ask(k, facts[k].all && r.IntN(4) > 0 || r.IntN(8) == 0, slices.Compact(list)...)
				case 3, 4:
					p.hear()
				case 5, 6:
					p.hear()
					p.answer(k)
				case 7:
					if r.IntN(3) == 0 {
						p.connect()
						p.s.Show(view)
					}
					p.now = p.now.Add(time.Duration(r.IntN(1500)) * time.Millisecond)
				}
			}
			p.rest()
			for k := range p.kinds {
				w := &p.kinds[k]
				if !w.begun {
					continue
				}
				want := map[string]string{}
				view.each(Kind(k), func(r *Resource) {
					if w.all || w.named[r.Name] {
						want[r.Name] = r.Version
					}
				})
				for name, version := range want {
					if strings.HasPrefix(version, "bad") || v == 0 && p.strict && refused(want) && !(facts[k].parts && !w.all) {
						continue // the whole list may be refused for one
					}
					if w.has[name] != version {
						t.Fatalf("seed %d, variant %d, strict %v: of %v the proxy has %q, want %q of %v\n%s", seed, v, p.strict, Kind(k), w.has[name], version, want, strings.Join(p.seen, "\n"))
					}
				}
				for name := range w.has {
					gone := !facts[k].stays && (v == delta || w.all && !(p.strict && refused(want)))
					if _, is := want[name]; !is && gone {
						t.Fatalf("seed %d, variant %d: of %v the proxy still has %q of %v\n%s", seed, v, Kind(k), name, want, strings.Join(p.seen, "\n"))
					}
				}
			}
		}
	}
}

func refused(want map[string]string) bool {
	for _, version := range want {
		if strings.HasPrefix(version, "bad") {
			return true
		}
	}
	return false
}

// parts are those of a view that changes.
type parts struct {
	r     *rand.Rand
	parts []*Part
	count int
}

func newParts(r *rand.Rand) *parts {
	p := &parts{r: r}
	for k := range kindCount {
		for half := range 2 { // of which each has names of its own
			p.parts = append(p.parts, p.make(k, half))
		}
	}
	return p
}

func (p *parts) make(k Kind, half int) *Part {
	var list []string
	for i := range 3 {
		p.count++
		switch p.r.IntN(10) {
		case 0, 1, 2:
		case 3:
			list = append(list, fmt.Sprintf("%c=bad%d", 'a'+half*3+i, p.count))
		default:
			list = append(list, fmt.Sprintf("%c=%d", 'a'+half*3+i, p.r.IntN(4)))
		}
	}
	return part(k, list...)
}

func (p *parts) change() {
	p.parts = slices.Clone(p.parts)
	for range 1 + p.r.IntN(4) {
		i := p.r.IntN(len(p.parts))
		p.parts[i] = p.make(p.parts[i].Kind, i%2)
	}
}

func (p *parts) view() *View {
	p.count++
	return &View{Version: fmt.Sprint(p.count), Parts: p.parts}
}
