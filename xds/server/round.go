package server

import "time"

// A round tells a proxy of one view: what is new and other in the order of kinds, so that nobody is named who is not there, and what is gone after
// that in the opposite order. A step waits until all that was told before is answered, patience at most. What a proxy asks for itself is
// answered at once, and endpoints wait for nobody: their clusters are there, or they would not be asked for.

const (
	patience = time.Second
	// early is how long after its first request a proxy is not told of what is gone: it tells what it has of one kind after another.
	early = time.Second
)

// step is one of a round's.
type step struct {
	kind Kind
	gone bool
}

// steps are a round's, in order.
var steps = [...]step{
	{kind: Clusters}, {kind: Endpoints}, {kind: Listeners}, {kind: Routes}, {kind: VirtualHosts}, {kind: Secrets}, {kind: Extensions}, {kind: Names},
	{Names, true}, {Extensions, true}, {Secrets, true}, {VirtualHosts, true}, {Routes, true}, {Listeners, true}, {Endpoints, true}, {Clusters, true},
}

// never is longer than anybody waits.
const never = 24 * time.Hour

// next gives what the proxy is to be told now. If there is nothing, it says after how long there might be without anything happening.
func (s *Session) next(now time.Time) (r *response, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	latest := s.latest.Load()
	if latest == nil {
		return nil, never
	}
	if s.view == nil {
		s.view = latest
	}
	for {
		if s.step == len(steps) && (latest != s.view || s.behind(latest)) {
			s.view, s.step = latest, 0
		}
		for k := range s.topics {
			if r := s.ahead(Kind(k), latest, now); r != nil {
				return r, 0
			}
		}
		if s.step == len(steps) {
			if s.behind(latest) {
				continue
			}
			s.settle()
			return nil, never
		}
		st := steps[s.step]
		if wait := s.held(st, now); wait > 0 {
			return nil, wait
		}
		s.step++
		if r := s.tell(st, now); r != nil {
			return r, 0
		}
	}
}

// aim is the view that a kind is told of.
func (s *Session) aim(k Kind, latest *View) *View {
	if k == Endpoints {
		return latest
	}
	return s.view
}

// ahead tells of what waits for no step.
func (s *Session) ahead(k Kind, latest *View, now time.Time) *response {
	t, v := &s.topics[k], s.aim(k, latest)
	if !t.begun || t.flight != nil {
		return nil
	}
	if t.again || len(t.asked) > 0 {
		send, missing := s.answer(k, v)
		return s.response(k, v, send, missing, false, now)
	}
	if k == Endpoints && t.lag(v) {
		if send := t.news(s.server, k, v); len(send) > 0 {
			return s.response(k, v, s.whole(k, send), nil, false, now)
		}
	}
	if send, removed := t.half(k); len(send)+len(removed) > 0 {
		return s.response(k, v, send, removed, true, now)
	}
	return nil
}

// answer gives what the proxy waits for.
func (s *Session) answer(k Kind, v *View) (send []*Resource, missing []string) {
	t := &s.topics[k]
	if t.told != nil || !t.all {
		send, missing = t.answer(k, v, s.view)
		return s.whole(k, send), missing
	}
	for _, name := range t.asked {
		delete(t.odd, name) // so that it is among the news
		if v.Find(k, name) == nil {
			missing = append(missing, name)
		}
	}
	t.asked = nil
	return s.whole(k, t.news(s.server, k, v)), missing
}

// whole makes of what a proxy lacks what it has to be told for it.
func (s *Session) whole(k Kind, lacks []*Resource) []*Resource {
	t := &s.topics[k]
	if k == Clusters {
		s.follow(lacks)
	}
	if s.variant == delta || facts[k].parts && !t.all || t.told == nil {
		return lacks
	}
	return t.list(k)
}

// held says how long a step has to wait.
func (s *Session) held(st step, now time.Time) (wait time.Duration) {
	if st.gone && s.topics[st.kind].begun && len(s.topics[st.kind].odd) > 0 {
		wait = s.first.Add(early).Sub(now)
	}
	for k := range s.topics {
		if f := s.topics[k].flight; f != nil && !f.half {
			wait = max(wait, f.sent.Add(patience).Sub(now))
		}
	}
	return wait
}

// tell takes a step. A kind of which the last response is not answered is passed over, and has its turn when it is.
func (s *Session) tell(st step, now time.Time) *response {
	k, t := st.kind, &s.topics[st.kind]
	if !t.begun || t.flight != nil {
		return nil
	}
	if !st.gone {
		if !t.lag(s.view) || k == Endpoints {
			return nil
		}
		if send := t.news(s.server, k, s.view); len(send) > 0 {
			return s.response(k, s.view, s.whole(k, send), nil, false, now)
		}
		return nil
	}
	if len(t.odd) == 0 || t.told == nil {
		return nil
	}
	removed := t.gone(k)
	if len(removed) == 0 {
		return nil
	}
	if s.variant == world {
		if !t.all && facts[k].parts {
			return nil // nobody is told that a named one is gone
		}
		list := t.list(k)
		if !t.all && len(list) == 0 {
			return nil // a proxy that wants names is not told of nothing: Envoy refuses it
		}
		return s.response(k, t.told, list, nil, false, now)
	}
	if facts[k].stays {
		return nil
	}
	return s.response(k, t.told, nil, removed, false, now)
}

// behind says whether there is something left to tell of.
func (s *Session) behind(latest *View) bool {
	for k := range s.topics {
		if t := &s.topics[k]; t.flight == nil && t.lag(latest) {
			return true
		}
	}
	return false
}

// settle notes that the proxy has answered all of the view.
func (s *Session) settle() {
	for k := range s.topics {
		if s.topics[k].flight != nil {
			return
		}
	}
	s.settled = s.view
}
