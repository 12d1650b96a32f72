package push

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/control/translate"
)

// town is a machine with proxies that it is told of, and what a Push does between the two: each proxy is told of some objects, and answers when the test
// says so.
type town struct {
	t       testing.TB
	c       cohorts
	now     time.Time
	base    objects // what all are told of
	proxies []*neighbour
	first   map[*source.Object][]string // who was told of a version while it was under way, in order
	refuses func(*neighbour, *source.Object) bool
	passed  map[*source.Object]bool // the first of what is under way has answered a version
}

// neighbour is a proxy.
type neighbour struct {
	*member
	asks func(source.Key) bool // which objects concern it
	told objects
}

const stepWait = 10 * time.Second

func newTown(t testing.TB) *town {
	return &town{
		t: t, c: cohorts{wait: stepWait, held: map[source.Key]*held{}}, now: time.Unix(0, 0), base: objects{}, first: map[*source.Object][]string{}, passed: map[*source.Object]bool{},
		refuses: func(*neighbour, *source.Object) bool { return false },
	}
}

func (w *town) proxy(id, zone string, role translate.Role) *neighbour {
	n := &neighbour{member: &member{proxy: &translate.Proxy{ID: id, Role: role, Locality: mesh.Locality{Region: "r", Zone: zone}}}, asks: func(source.Key) bool { return true }, told: objects{}}
	if zone == "" {
		n.proxy.Locality = mesh.Locality{}
	}
	w.proxies = append(w.proxies, n)
	w.c.came()
	w.run()
	return n
}

// of is a version of an object; one whose name begins with f goes by itself.
func of(name, text string) *source.Object {
	o := &source.Object{Key: source.Key{Kind: source.VirtualService, Namespace: "a", Name: name}, Revision: text}
	if strings.HasPrefix(name, "f") {
		o.Kind = source.EnvoyFilter
	}
	return o
}

// change tells of versions. What begins with "now" goes at once.
func (w *town) change(list ...*source.Object) {
	var changes []source.Change
	for _, o := range list {
		changes = append(changes, source.Change{Key: o.Key, Object: o})
	}
	for _, c := range w.c.take(changes, func(c source.Change) bool { return !strings.HasPrefix(c.Object.Revision, "now") }) {
		w.base[c.Key] = c.Object
	}
	w.run()
}

// sees is what a proxy is told of.
func (w *town) sees(n *neighbour) objects {
	all := maps.Clone(w.base)
	if way := w.c.way; w.c.sees(zoneOf(n.proxy), way != nil && way.first == n.member) {
		maps.Copy(all, way.changes)
	}
	maps.DeleteFunc(all, func(k source.Key, o *source.Object) bool { return o == nil || !n.asks(k) })
	return all
}

// run does what Push.advance does.
func (w *town) run() {
	for {
		commit, ask := w.c.turn(w.now)
		if ask {
			var concerned []*member
			for _, n := range w.proxies {
				if slices.ContainsFunc(slices.Collect(maps.Keys(w.c.way.changes)), func(k source.Key) bool { return n.asks(k) && w.base[k] != w.c.way.changes[k] }) {
					concerned = append(concerned, n.member)
				}
			}
			w.c.start(concerned, w.now)
			continue
		}
		if commit != nil {
			maps.Copy(w.base, commit)
			continue
		}
		again := false
		for _, n := range w.proxies {
			if sees := w.sees(n); !maps.Equal(sees, n.told) {
				for k, o := range sees {
					if n.told[k] != o && w.base[k] != o {
						w.first[o] = append(w.first[o], n.proxy.ID)
					}
				}
				if n.told = sees; n.since.IsZero() {
					n.since = w.now
				}
			}
			if way := w.c.way; way != nil && way.open[n.member] && n.since.IsZero() {
				w.c.settled(n.member)
				again = true
			}
		}
		if !again {
			return
		}
	}
}

// answers has a proxy answer all that it is told.
func (w *town) answers(n *neighbour) {
	n.since = time.Time{}
	var bad []source.Key
	for k, o := range n.told {
		if way := w.c.way; w.refuses(n, o) && way != nil && way.changes[k] == o && w.base[k] != o {
			bad = append(bad, k)
		}
	}
	if len(bad) > 0 && w.c.refused(refusedBy{proxy: n.proxy.ID, because: "it is bad", at: w.now}) {
		w.run()
		w.c.blame(bad)
	}
	if way := w.c.way; way != nil {
		if way.first == n.member && len(bad) == 0 {
			for _, o := range n.told {
				w.passed[o] = true
			}
		}
		w.c.settled(n.member)
	}
	w.run()
}

func (w *town) leaves(n *neighbour) {
	w.proxies = slices.DeleteFunc(w.proxies, func(other *neighbour) bool { return other == n })
	w.c.left(n.member, w.now)
	w.run()
}

func (w *town) passes(d time.Duration) {
	w.now = w.now.Add(d)
	w.run()
}

// shows is who is told of a version of an object now.
func (w *town) shows(o *source.Object) string {
	var ids []string
	for _, n := range w.proxies {
		if n.told[o.Key] == o {
			ids = append(ids, n.proxy.ID)
		}
	}
	return strings.Join(ids, " ")
}

func (w *town) want(o *source.Object, who string) {
	w.t.Helper()
	if got := w.shows(o); got != who {
		w.t.Fatalf("%s %s is shown to %q, want %q", o.Name, o.Revision, got, who)
	}
}

// streets are two zones, a gateway, and somebody without a zone.
func streets(t testing.TB) (w *town, gate, a, b, c, d *neighbour) {
	w = newTown(t)
	gate = w.proxy("a-gate", "1", translate.Gateway)
	return w, gate, w.proxy("b", "1", translate.Sidecar), w.proxy("c", "1", translate.Sidecar), w.proxy("d", "2", translate.Sidecar), w.proxy("e", "", translate.Sidecar)
}

func TestAChangeGoesStepByStep(t *testing.T) {
	w, gate, b, c, d, e := streets(t)
	x := of("x", "1")
	w.change(x)
	w.want(x, "b") // not the gateway, which comes first by name
	w.answers(d)   // who is not asked
	w.want(x, "b")
	w.answers(b)
	w.want(x, "a-gate b c")
	w.answers(c)
	w.want(x, "a-gate b c")
	w.answers(gate)
	w.want(x, "a-gate b c d e")
	if w.base[x.Key] == x {
		t.Fatal("it counts for all before they have answered")
	}
	w.answers(d)
	w.answers(e)
	if w.base[x.Key] != x || w.c.way != nil {
		t.Error("it is not over")
	}
}

func TestARefusalTakesItBack(t *testing.T) {
	for step := range 3 {
		t.Run(stepWords[step], func(t *testing.T) {
			w, gate, b, c, d, e := streets(t)
			w.refuses = func(n *neighbour, o *source.Object) bool {
				return o.Revision == "bad" && n == []*neighbour{b, c, d}[step]
			}
			good, bad, other := of("x", "good"), of("x", "bad"), of("y", "1")
			w.change(good)
			all := func() {
				for _, n := range []*neighbour{b, c, gate, d, e} {
					w.answers(n)
				}
			}
			all()
			w.want(good, "a-gate b c d e")
			w.change(bad, other)
			if step > 0 {
				w.answers(b)
			}
			if step > 1 {
				w.answers(c)
				w.answers(gate)
			}
			seen := w.shows(bad)
			w.answers([]*neighbour{b, c, d}[step])
			w.want(bad, "")
			w.want(good, "a-gate b c d e")
			w.want(other, "b") // what was refused with it begins again
			all()
			w.want(other, "a-gate b c d e")
			if h := w.c.held[bad.Key]; h == nil || h.object != bad || h.because != "it is bad" || len(w.c.held) != 1 || len(w.first[bad]) != len(strings.Fields(seen)) {
				t.Errorf("held back: %+v; shown to %v", h, w.first[bad])
			}
			w.change(of("x", "bad")) // told again, as it was
			if w.c.way != nil || w.c.held[bad.Key] == nil {
				t.Error("it is tried again without a reason")
			}
			w.c.resume(bad.Key)
			w.run()
			w.change(of("x", "mended"))
			all()
			all()
			if w.base[bad.Key].Revision != "mended" || len(w.c.held) > 0 {
				t.Errorf("%+v, %v", w.base[bad.Key], w.c.held)
			}
		})
	}
}

func TestWhatIsRefusedMostGoesByItself(t *testing.T) {
	w, _, b, c, _, _ := streets(t)
	w.refuses = func(_ *neighbour, o *source.Object) bool { return o.Revision == "bad" }
	c.asks = func(k source.Key) bool { return k.Name != "f1" }
	b.asks = func(k source.Key) bool { return k.Name != "f2" }
	x, one, two := of("x", "1"), of("f1", "1"), of("f2", "bad")
	w.change(one, two, x)
	w.want(x, "b")
	for range 5 {
		for _, n := range slices.Clone(w.proxies) {
			w.answers(n)
		}
		if w.c.held[two.Key] != nil {
			break
		}
	}
	if w.base[x.Key] != x || w.base[one.Key] != one || w.c.held[two.Key] == nil || !slices.Equal(w.first[two], []string{"c"}) {
		t.Errorf("%v, held back %v, shown to %v", w.base, w.c.held, w.first[two])
	}
}

func TestWhoDoesNotAnswerIsWaitedForAWhile(t *testing.T) {
	t.Run("the first", func(t *testing.T) {
		w, gate, b, c, d, e := streets(t)
		x := of("x", "1")
		w.change(x)
		w.passes(stepWait - 1)
		w.want(x, "b")
		w.passes(1)
		w.want(x, "c") // another is tried
		w.answers(c)
		w.want(x, "a-gate b c") // b is told again, and not waited for
		w.answers(gate)
		w.answers(d)
		w.answers(e)
		if w.base[x.Key] != x {
			t.Error("it is not over")
		}
		_ = b
	})
	t.Run("two in a row", func(t *testing.T) {
		w, _, _, _, _, _ := streets(t)
		x := of("x", "1")
		w.change(x)
		w.passes(stepWait)
		w.passes(stepWait)
		w.want(x, "")
		if h := w.c.held[x.Key]; h == nil || h.because != "it was tried with b, c, one after another, and each of them did not answer" {
			t.Errorf("%+v", h)
		}
	})
	t.Run("the only one", func(t *testing.T) {
		w := newTown(t)
		w.proxy("b", "1", translate.Sidecar)
		x := of("x", "1")
		w.change(x)
		w.passes(stepWait)
		if w.base[x.Key] != x {
			t.Error("it is not over: nobody else could try it")
		}
	})
	t.Run("of a zone, and of all", func(t *testing.T) {
		w, gate, b, c, _, e := streets(t)
		x := of("x", "1")
		w.change(x)
		w.answers(b)
		w.answers(c)
		w.passes(stepWait)
		w.want(x, "a-gate b c d e")
		if got := w.c.way.missed; !slices.Equal(got, []string{"a-gate"}) {
			t.Errorf("missed %v", got)
		}
		w.answers(e)
		w.passes(stepWait)
		if w.base[x.Key] != x {
			t.Error("it is not over")
		}
		y := of("y", "1")
		w.change(y) // who has not answered for so long is waited for by nobody
		w.answers(b)
		w.want(y, "a-gate b c")
		w.answers(c)
		w.answers(e)
		if w.base[y.Key] != y {
			t.Error("it is not over")
		}
		_ = gate
	})
}

func TestWhoGoesAwayIsASign(t *testing.T) {
	w, _, b, c, _, _ := streets(t)
	x := of("x", "1")
	w.change(x)
	w.leaves(b)
	w.want(x, "c")
	w.leaves(c)
	w.want(x, "")
	if w.c.held[x.Key] == nil {
		t.Error("it is not held back")
	}
	// Of one who is alone, the same one.
	w = newTown(t)
	one := w.proxy("b", "", translate.Sidecar)
	w.change(x)
	w.leaves(one)
	if w.base[x.Key] == x {
		t.Fatal("it is over before it was tried")
	}
	one = w.proxy("b", "", translate.Sidecar)
	w.want(x, "b")
	w.leaves(one)
	if w.c.held[x.Key] == nil || w.base[x.Key] == x {
		t.Error("it is not held back")
	}
	// Who does not come back is not waited for for ever.
	w = newTown(t)
	w.change(of("y", "1"))
	w.leaves(w.proxy("b", "", translate.Sidecar))
	w.passes(stepWait)
	if w.c.way != nil {
		t.Error("it is not over")
	}
}

func TestALaterVersionTakesItsPlace(t *testing.T) {
	w, gate, b, c, d, e := streets(t)
	x, y := of("x", "1"), of("x", "2")
	w.change(x, of("z", "1"))
	w.change(y)
	w.want(y, "")
	for _, n := range []*neighbour{b, c, gate, d, e} {
		w.answers(n)
	}
	w.want(x, "a-gate c d e") // it was answered, and is over
	w.want(y, "b")
	w.passes(stepWait)
	w.answers(c)
	w.answers(gate)
	w.answers(d)
	w.answers(e)
	w.want(y, "a-gate b c d e")
	w.answers(b)
	// Who takes too long is waited for no longer than need be.
	x, y = of("x", "3"), of("x", "4")
	w.change(x)
	w.change(y)
	w.passes(replacing - 1)
	w.want(x, "b")
	w.passes(1)
	w.want(x, "")
	w.want(y, "b")
	w.change(of("x", "5"))
	w.passes(replacing)
	w.want(y, "b") // but not for ever anew
	w.answers(b)
	w.want(y, "a-gate b c")
}

func TestWhatGoesAtOnceOvertakes(t *testing.T) {
	w, _, b, _, _, _ := streets(t)
	x, other, now := of("x", "1"), of("y", "now"), of("x", "now")
	w.change(x)
	w.change(other)
	w.want(x, "b")
	w.want(other, "a-gate b c d e")
	w.change(now)
	w.want(now, "a-gate b c d e")
	if w.c.way != nil {
		t.Error("an earlier version is under way")
	}
	w.answers(b)
	// A person may take back what is under way, and have it tried again.
	w.change(of("x", "2"))
	if key := x.Key; !w.c.abort(key, refusedBy{because: "by hand", at: w.now}) || w.c.abort(key, refusedBy{}) || w.c.held[key] == nil {
		t.Error("it is not taken back, or twice")
	}
	w.run()
	w.want(now, "a-gate b c d e")
	if !w.c.resume(x.Key) || w.c.resume(x.Key) {
		t.Error("it is not tried again, or twice")
	}
	w.run()
	if w.shows(now) != "a-gate c d e" {
		t.Error(w.shows(now))
	}
}

// Whatever happens, nobody but the first is told of a version before the first has answered it or a step has been waited for, nobody at all once it was refused, and
// in the end all are told of the last version of each object but for what is held back, of which they are told the last that counted.
func TestCohortsConverge(t *testing.T) {
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 7))
		w := newTown(t)
		refused := map[*source.Object]bool{}
		w.refuses = func(n *neighbour, o *source.Object) bool {
			is := strings.HasPrefix(o.Revision, "bad") && len(n.proxy.ID)%2 == 0
			if is && w.c.way != nil && w.c.way.changes[o.Key] == o {
				refused[o] = true
			}
			return is
		}
		latest, number := objects{}, 0
		come := func() {
			number++
			n := w.proxy(strings.Repeat("p", 1+r.IntN(2))+fmt.Sprintf("%02d", number), []string{"", "1", "2", "3"}[r.IntN(4)], translate.Role(r.IntN(2)))
			some := r.IntN(4)
			n.asks = func(k source.Key) bool {
				return some == 0 || strings.HasSuffix(k.Name, fmt.Sprint(some)) || k.Name == "x1"
			}
			w.run()
		}
		for range 2 + r.IntN(6) {
			come()
		}
		for i := range 150 {
			before := map[*source.Object]int{}
			for o, who := range w.first {
				before[o] = len(who)
			}
			gone := maps.Clone(refused)
			switch r.IntN(9) {
			case 0, 1:
				var list []*source.Object
				for range 1 + r.IntN(3) {
					o := of(fmt.Sprint([]string{"x", "f"}[r.IntN(2)], r.IntN(4)), fmt.Sprint([]string{"good", "good", "bad", "now"}[r.IntN(4)], seed, "-", i, "-", len(list)))
					if slices.ContainsFunc(list, func(other *source.Object) bool { return other.Key == o.Key }) {
						continue
					}
					latest[o.Key] = o
					list = append(list, o)
				}
				w.change(list...)
			case 2, 3, 4, 5:
				if len(w.proxies) > 0 {
					w.answers(w.proxies[r.IntN(len(w.proxies))])
				}
			case 6:
				if len(w.proxies) > 1 && r.IntN(3) == 0 {
					w.leaves(w.proxies[r.IntN(len(w.proxies))])
				} else if len(w.proxies) < 9 {
					come()
				}
			case 7:
				w.passes(time.Duration(r.IntN(int(stepWait))))
			case 8:
				key := of(fmt.Sprint([]string{"x", "f"}[r.IntN(2)], r.IntN(4)), "").Key
				if r.IntN(4) == 0 && w.c.abort(key, refusedBy{because: "by hand", at: w.now}) {
					w.run()
				}
			}
			for o, who := range w.first {
				if gone[o] && len(who) > before[o] {
					t.Fatalf("seed %d: %s was refused, and is shown to %v then", seed, o.Revision, who[before[o]:])
				}
			}
			for _, n := range w.proxies {
				if way := w.c.way; way != nil && n.member == way.first && way.step > toOne {
					for k, o := range way.changes {
						if n.asks(k) && o != nil && w.base[k] != o && !w.passed[o] {
							t.Fatalf("seed %d: %s goes on, and %s has not answered it", seed, o.Revision, n.proxy.ID)
						}
					}
				}
				for k, o := range n.told {
					if w.base[k] == o {
						continue
					}
					way := w.c.way
					if way == nil || way.changes[k] != o || n.member != way.first && way.step == toOne || way.step == toZone && way.level(n.member) == toAll {
						t.Fatalf("seed %d: %s is told of %s, out of turn", seed, n.proxy.ID, o.Revision)
					}
				}
				if maps.Equal(n.told, w.sees(n)) == false {
					t.Fatalf("seed %d: %s is not told what it is to be", seed, n.proxy.ID)
				}
			}
		}
		for range 40 {
			for _, n := range slices.Clone(w.proxies) {
				w.answers(n)
			}
			w.passes(stepWait)
		}
		if w.c.way != nil || len(w.c.next) > 0 {
			t.Fatalf("seed %d: it does not end: %+v, next %v", seed, w.c.way, w.c.next)
		}
		for key, o := range latest {
			switch h := w.c.held[key]; {
			case h == nil && w.base[key] != o, h != nil && (h.object != o || w.base[key] == o), w.base[key] != nil && refused[w.base[key]]:
				t.Fatalf("seed %d: %s is %+v, the last is %s, held back %+v", seed, key, w.base[key], o.Revision, h)
			}
		}
	}
}
