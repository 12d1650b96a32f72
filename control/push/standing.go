package push

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/weftmesh/weft/control/source"
)

// How things stand with what was refused and what goes step by step, for people, and what they may have be otherwise.

// RefusedObject is an object that a refused resource was made of.
type RefusedObject struct {
	Object  string    `json:"object"`
	Proxies int       `json:"proxies"` // that refuse it
	Kind    string    `json:"kind"`    // of the resource
	Name    string    `json:"name,omitempty"`
	Because string    `json:"because"`
	At      time.Time `json:"at"` // when it was last refused
	key     source.Key
}

// Rollout is a set of changes that goes step by step.
type Rollout struct {
	Objects []string  `json:"objects"`
	Step    string    `json:"step"` // "one", "zone" or "all"; "next": it waits for the one before; "taken back": it is found out what was refused
	First   string    `json:"first,omitempty"`
	Zone    string    `json:"zone,omitempty"` // of the first
	Waits   []string  `json:"waitsFor,omitempty"`
	Missed  []string  `json:"unanswered,omitempty"` // proxies that were waited for, and are no longer
	Began   time.Time `json:"began,omitzero"`
	Since   time.Time `json:"since,omitzero"` // when the step began
	Because string    `json:"because,omitempty"`
}

// HeldBack is a version of an object that nobody is told of. What was there before it stays in force.
type HeldBack struct {
	Object  string    `json:"object"`
	Path    string    `json:"path"` // by which it is resumed
	Gone    bool      `json:"gone,omitempty"`
	Proxy   string    `json:"proxy,omitempty"` // that refused it
	Because string    `json:"because"`
	At      time.Time `json:"at"`
}

// stepWords are the steps as people read them.
var stepWords = [...]string{toOne: "one", toZone: "zone", toAll: "all"}

// maxWaits is how many proxies are named that are waited for.
const maxWaits = 100

// rollouts are what is under way, and what comes next.
func (c *cohorts) rollouts() (list []Rollout) {
	if w := c.way; w != nil {
		one := Rollout{Objects: sortedNames(w.changes), Step: stepWords[w.step], Began: w.began, Since: w.since, Missed: slices.Clone(w.missed[:min(len(w.missed), maxWaits)])}
		if w.first != nil {
			one.First = w.first.proxy.ID
			if w.zone.Zone != "" {
				one.Zone = w.zone.Region + "/" + w.zone.Zone
			}
		}
		for m := range w.open {
			one.Waits = append(one.Waits, m.proxy.ID)
		}
		slices.Sort(one.Waits)
		one.Waits = one.Waits[:min(len(one.Waits), maxWaits)]
		if w.paused != nil {
			one.Step, one.Because = "taken back", w.paused.text()
		}
		list = append(list, one)
	}
	if len(c.next) > 0 {
		list = append(list, Rollout{Objects: sortedNames(c.next), Step: "next"})
	}
	return list
}

// heldBack are what nobody is told of.
func (c *cohorts) heldBack() (list []HeldBack) {
	for _, key := range slices.SortedFunc(maps.Keys(c.held), source.Compare) {
		h := c.held[key]
		list = append(list, HeldBack{Object: key.String(), Path: key.Path(), Gone: h.object == nil, Proxy: h.proxy, Because: h.because, At: h.at})
	}
	return list
}

// text is why something is not told, in a line.
func (r *refusedBy) text() string {
	if r.proxy == "" {
		return r.because
	}
	return r.proxy + " refuses " + r.because
}

// refusedObjects are by object, resource and reason. It is called with the lock held.
func (p *Push) refusedObjects() map[RefusedObject]RefusedObject {
	all := map[RefusedObject]RefusedObject{}
	for _, r := range p.refused {
		f := p.findings[r.as()]
		if f == nil {
			continue
		}
		for _, key := range f.keys {
			id := RefusedObject{Object: key.String(), Kind: r.Kind, Name: r.Name, Because: r.Because, key: key}
			one, is := all[id]
			if !is {
				one = id
			}
			if one.Proxies++; r.At.After(one.At) {
				one.At = r.At
			}
			all[id] = one
		}
	}
	return all
}

// refusals are as problems of objects. It is called with the lock held.
func (p *Push) refusals() (out []source.Problem) {
	add := func(key source.Key, o *source.Object, warning bool, text string) {
		one := source.Problem{Key: key, Text: text, Warning: warning}
		if o != nil {
			one.From = o.From
		}
		out = append(out, one)
	}
	for _, one := range p.refusedObjects() {
		o := p.mesh.Objects(one.key.Kind).Get(one.key.Namespace, one.key.Name)
		add(one.key, o, true, fmt.Sprintf("%d proxies refuse %s %s, which is made of it: %s", one.Proxies, one.Kind, one.Name, one.Because))
	}
	for key, h := range p.cohorts.held {
		add(key, h.object, false, "is held back, and what was there before stays in force: "+h.text())
	}
	slices.SortFunc(out, func(a, b source.Problem) int {
		return cmp.Or(source.Compare(a.Key, b.Key), strings.Compare(a.Text, b.Text))
	})
	return out
}

// HeldBack says why nobody is told of the last version of an object; empty: it is not held back.
func (p *Push) HeldBack(key source.Key) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h := p.cohorts.held[key]; h != nil {
		return h.text()
	}
	return ""
}

// Resume has an object that is held back be tried again, from its first step on.
func (p *Push) Resume(ctx context.Context, key source.Key) error {
	return p.ask(ctx, func() error {
		if !p.cohorts.resume(key) {
			return fmt.Errorf("%s is not held back: weftctl status lists what is", key)
		}
		p.Log.Info("it is tried again", "object", key)
		return nil
	})
}

// Abort holds back an object that is under way, or comes next.
func (p *Push) Abort(ctx context.Context, key source.Key, because string) error {
	return p.ask(ctx, func() error {
		if !p.cohorts.abort(key, refusedBy{because: because, at: time.Now()}) {
			return fmt.Errorf("%s is not under way: weftctl status lists what is", key)
		}
		p.Log.Warn("a change is taken back", "object", key, "because", because)
		return nil
	})
}

// ask has the goroutine that runs do something, with the lock held.
func (p *Push) ask(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	select {
	case p.asked <- func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		done <- f()
	}:
		return <-done
	case <-ctx.Done():
		return ctx.Err()
	}
}
