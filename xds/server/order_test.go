package server

import "testing"

// all asks for what a proxy asks for.
func (p *proxy) all() *proxy {
	p.t.Helper()
	p.ask(Clusters, true)
	p.ask(Listeners, true)
	p.rest()
	return p
}

// first is what the views of these tests begin with.
func first() []*Part {
	return []*Part{part(Clusters, "a=1", "b=1"), part(Endpoints, "a=1", "b=1"), part(Listeners, "l=1"), part(Routes, "r=1")}
}

// A change that moves a route from one cluster to another names nobody who is not there, and takes nobody away who is named.
func TestWhatIsNewComesBeforeWhatNamesItAndWhatIsGoneGoesAfter(t *testing.T) {
	p := newProxy(t, delta)
	p.s.Show(&View{Parts: first()})
	p.all()
	p.ask(Endpoints, false, "a", "b")
	p.ask(Routes, false, "r")
	p.rest()
	p.now = p.now.Add(early)
	p.seen = nil
	p.s.Show(&View{Parts: []*Part{part(Clusters, "b=1", "c=1"), part(Endpoints, "b=1", "c=1"), part(Listeners, "l=1", "m=1"), part(Routes, "r=2")}})
	p.hear()
	p.heard("clusters [{c 1}] -[]")
	p.ask(Endpoints, false, "a", "b", "c") // before it answers
	p.hear()
	p.heard("endpoints [{c 1}] -[]")
	p.answer(Clusters)
	p.hear()
	p.heard()
	p.answer(Endpoints)
	p.hear()
	p.heard("listeners [{m 1}] -[]")
	p.now = p.now.Add(patience) // it does not answer
	p.hear()
	p.heard("routes [{r 2}] -[]")
	p.answer(Routes)
	p.hear()
	p.heard("endpoints [] -[a]")
	p.answer(Endpoints)
	p.hear()
	p.heard("clusters [] -[a]")
	p.rest()
	p.holds(Clusters, "b=1", "c=1")
}

// Over the state of the world, too: what is gone is listed until its turn has come.
func TestAListHasWhatIsGoneUntilItsTurnHasCome(t *testing.T) {
	p := newProxy(t, world)
	p.s.Show(&View{Parts: first()})
	p.all()
	p.ask(Endpoints, false, "a", "b")
	p.ask(Routes, false, "r")
	p.rest()
	p.now = p.now.Add(early)
	p.seen = nil
	p.s.Show(&View{Parts: []*Part{part(Clusters, "b=1", "c=1"), part(Endpoints, "b=1", "c=1"), part(Listeners, "l=1"), part(Routes, "r=2")}})
	p.rest()
	p.heard("clusters [{a 1} {b 1} {c 1}] -[]", "routes [{r 2}] -[]", "clusters [{b 1} {c 1}] -[]")
}

// Who named a filter's configuration may go on serving connections that are older than the listener that does not.
func TestNobodyIsToldThatAnExtensionIsGone(t *testing.T) {
	p := newProxy(t, delta)
	p.s.Show(&View{Parts: append(first(), part(Extensions, "x=1", "y=1"))})
	p.all()
	p.ask(Extensions, false, "x", "y")
	p.rest()
	p.now = p.now.Add(early)
	p.seen = nil
	p.s.Show(&View{Parts: append(first(), part(Extensions, "y=1"))})
	p.rest()
	p.heard()
	p.holds(Extensions, "x=1", "y=1")
	p.s.Show(&View{Parts: append(first(), part(Extensions, "x=2", "y=1"))})
	p.rest()
	p.holds(Extensions, "x=2", "y=1")
}

func TestEndpointsOvertake(t *testing.T) {
	p := newProxy(t, delta)
	p.s.Show(&View{Parts: first()})
	p.all()
	p.ask(Endpoints, false, "a", "b")
	p.rest()
	p.seen = nil
	parts := first()
	parts[0] = part(Clusters, "a=2", "b=1")
	p.s.Show(&View{Parts: parts})
	p.hear()
	p.heard("clusters [{a 2}] -[]", "endpoints [{a 1}] -[]") // for the cluster is warmed anew
	p.answer(Endpoints)
	parts = []*Part{parts[0], part(Endpoints, "a=1", "b=2"), parts[2], parts[3]}
	p.s.Show(&View{Parts: parts})
	p.hear()
	p.heard("endpoints [{b 2}] -[]") // though the clusters are not answered
}

func TestOnlyWhatIsOtherIsToldAndOfViewsThatCameInBetweenNothing(t *testing.T) {
	p := newProxy(t, delta)
	parts := first()
	p.s.Show(&View{Parts: parts})
	p.all()
	p.seen = nil
	for _, version := range []string{"2", "3", "4"} {
		p.s.Show(&View{Parts: []*Part{part(Clusters, "a="+version, "b=1"), parts[1], parts[2]}})
		p.hear()
	}
	p.rest()
	p.heard("clusters [{a 2}] -[]", "clusters [{a 4}] -[]")
	p.s.Show(&View{Parts: []*Part{part(Clusters, "a=4", "b=1"), parts[1], parts[2]}})
	p.rest()
	p.heard()
	if p.s.settled != p.s.latest.Load() {
		t.Error("the proxy has all, and that is not known")
	}
}

func TestAProxyThatComesBackIsToldOnlyWhatIsNewToIt(t *testing.T) {
	p := newProxy(t, delta)
	p.s.Show(&View{Parts: first()})
	p.all()
	p.ask(Endpoints, false, "a", "b")
	p.rest()
	p.seen = nil
	p.connect()
	p.s.Show(&View{Parts: first()}) // of another process
	p.rest()
	p.heard("clusters [] -[]", "listeners [] -[]")
	p.connect()
	p.s.Show(&View{Parts: []*Part{part(Clusters, "a=2"), part(Endpoints, "a=1"), part(Listeners, "l=1")}})
	p.rest()
	p.heard("clusters [{a 2}] -[]", "endpoints [{a 1}] -[]", "listeners [] -[]", "endpoints [] -[b]", "clusters [] -[b]")
	p.holds(Clusters, "a=2")
	p.holds(Endpoints, "a=1")
}

func TestWhoeverAsksIsAnswered(t *testing.T) {
	p := newProxy(t, delta)
	p.s.Show(&View{Parts: first()})
	p.ask(Endpoints, false, "a", "x")
	p.rest()
	p.heard("endpoints [{a 1}] -[x]")
	p.take(Endpoints, &request{names: []string{"a", "x"}}) // again
	p.rest()
	p.heard("endpoints [{a 1}] -[x]")
	p.take(Endpoints, &request{nonce: "2"}) // an answer asks for nothing
	p.rest()
	p.heard()
	p.s.Show(&View{Parts: []*Part{part(Endpoints, "a=1", "x=1")}})
	p.rest()
	p.heard("endpoints [{x 1}] -[]")
	p.ask(Clusters, true)
	p.rest()
	p.heard("clusters [] -[]") // there are none, and a proxy waits for being told so
}

func TestWhatIsRefusedIsFoundAndNotToldAgain(t *testing.T) {
	for _, strict := range []bool{false, true} {
		p := newProxy(t, delta)
		p.strict = strict
		p.s.Show(&View{Parts: []*Part{part(Clusters, "a=1", "b=bad", "c=1", "d=1")}})
		p.ask(Clusters, true)
		p.rest()
		p.holds(Clusters, "a=1", "c=1", "d=1")
		p.heard("clusters [{a 1} {b bad} {c 1} {d 1}] -[]", "clusters [{a 1} {b bad}] -[]", "clusters [{c 1} {d 1}] -[]", "clusters [{a 1}] -[]", "clusters [{b bad}] -[]")
		var refused []string
		for _, v := range p.s.verdicts {
			if v.Refused != "" {
				refused = append(refused, v.Resources[0].Name+": "+v.Refused)
			}
		}
		if len(refused) != 1 || refused[0] != "b: b is bad" {
			t.Errorf("what is known of what was refused: %q", refused)
		}
		p.s.Show(&View{Parts: []*Part{part(Clusters, "a=1", "b=bad", "c=2", "d=1")}})
		p.rest()
		p.heard("clusters [{c 2}] -[]")
		p.s.Show(&View{Parts: []*Part{part(Clusters, "a=1", "b=2", "c=2", "d=1")}})
		p.rest()
		p.heard("clusters [{b 2}] -[]")
	}
}

func TestAStaleAnswerOverTheStateOfTheWorldSaysNothing(t *testing.T) {
	p := newProxy(t, world)
	p.s.Show(&View{Parts: first()})
	p.ask(Endpoints, false, "a")
	p.rest()
	p.take(Endpoints, &request{nonce: "77", names: []string{"a", "b"}})
	p.rest()
	p.holds(Endpoints, "a=1")
	p.take(Endpoints, &request{nonce: "1", names: []string{"a", "b"}})
	p.seen = nil
	p.rest()
	p.heard("endpoints [{b 1}] -[]")
	p.take(Endpoints, &request{nonce: "2"}) // none
	p.s.Show(&View{Parts: []*Part{part(Endpoints, "a=2", "b=2")}})
	p.rest()
	p.heard()
}

func TestNamesHaveABound(t *testing.T) {
	p := newProxy(t, delta)
	list := make([]string, maxNames+1)
	for i := range list {
		list[i] = string(rune('a'+i%26)) + string(rune('A'+i/26%26)) + string(rune('0'+i/676))
	}
	if err := p.s.take(&request{url: typePrefix + facts[Endpoints].message, names: list}, p.now); err == nil {
		t.Error("too many names were taken")
	}
}

// A proxy that is told of a cluster asks for its endpoints. That the cluster is gone again by then is no reason to say that it has none: routes to it
// are still to be told, and those that lead elsewhere after them.
func TestWhatARoundNamesIsThereUntilTheNext(t *testing.T) {
	p := newProxy(t, delta)
	p.s.Show(&View{Parts: first()})
	p.all()
	p.ask(Endpoints, false, "a", "b")
	p.ask(Routes, false, "r")
	p.rest()
	p.now = p.now.Add(early)
	p.seen = nil
	p.s.Show(&View{Parts: []*Part{part(Clusters, "b=1", "c=1"), part(Endpoints, "b=1", "c=1"), part(Listeners, "l=1"), part(Routes, "r=2")}})
	p.hear()
	p.heard("clusters [{c 1}] -[]")
	p.s.Show(&View{Parts: []*Part{part(Clusters, "b=1", "d=1"), part(Endpoints, "b=1", "d=1"), part(Listeners, "l=1"), part(Routes, "r=3")}})
	p.ask(Endpoints, false, "a", "b", "c")
	p.hear()
	p.heard("endpoints [{c 1}] -[]")
	p.answer(Clusters)
	p.answer(Endpoints)
	p.hear()
	p.heard("routes [{r 2}] -[]")
	p.answer(Routes)
	p.rest()
	p.holds(Clusters, "b=1", "d=1")
	p.holds(Routes, "r=3")
}
