package main

import (
	"fmt"
	"strings"

	"github.com/weftmesh/weft/proxy/dubbo"
)

// dubbo writes what becomes of a call.
func (e *explained) dubbo(d *dubbo.Account) {
	c := &d.Call
	words := fmt.Sprintf("call %s.%s(%s)", c.Interface, c.Method, strings.Join(c.Types, ", "))
	if c.Version != "" {
		words += " version " + c.Version
	}
	if c.Group != "" {
		words += " group " + c.Group
	}
	e.line(0, "%s", words)
	if c.Target != "" {
		e.line(1, "stands for %s(%s)", c.Target, strings.Join(c.TargetTypes, ", "))
	}
	for _, f := range d.Filters {
		for _, words := range f.Says {
			e.line(1, "%s: %s", f.Name, words)
		}
	}
	if d.Routing != nil {
		e.calls(d.Routing)
	}
	if d.Answered != nil {
		e.line(0, "answered %d: %s", d.Answered.Status, d.Answered.Words)
		return
	}
	words = "forward"
	if d.Timeout != "" {
		words += ", timeout " + d.Timeout
	}
	if d.Repeats != "" {
		words += fmt.Sprintf(", retries %d of %s", d.Retries, d.Repeats)
	}
	if d.PerTry != "" {
		words += ", each at most " + d.PerTry
	}
	e.line(0, "%s", words)
	if d.Shared != "" {
		e.line(1, "shared by %s", d.Shared)
	}
	for i := range d.Clusters {
		one := &d.Clusters[i]
		e.target(1, &one.Target)
		if one.Answered != nil {
			e.line(2, "so the call is answered %d: %s", one.Answered.Status, one.Answered.Words)
		}
		for k := range one.Fallbacks {
			if name := one.Fallbacks[k].Cluster; name == one.Taken {
				e.line(2, "has nobody who is well, so that this fallback gets its calls:")
			} else {
				e.line(2, "has a fallback, while it has nobody who is well:")
			}
			e.target(3, &one.Fallbacks[k])
		}
	}
	for _, m := range d.Mirrors {
		e.copied(&m, "calls")
	}
}

// calls writes the walk through a table of calls.
func (e *explained) calls(w *dubbo.Walk) {
	e.line(0, "routes %s", strings.TrimSpace(w.Table+" of Dubbo"))
	shown := 0
	for _, s := range w.Services {
		if !s.Met {
			if e.all || s.Near || w.Route < 0 && shown < mostShown {
				shown++
				e.line(2, "not service #%d %s: %s", s.Index, s.Rule, s.Why)
			}
			continue
		}
		e.line(1, "service #%d %s", s.Index, s.Rule)
		near := 0
		for _, r := range s.Routes {
			switch {
			case r.Met:
				e.line(1, "route #%d: %s", r.Index, r.Rule)
			case e.all || near < mostShown && (r.Near || w.Route < 0):
				near++
				e.line(2, "not #%d: %s", r.Index, r.Why)
			}
		}
		if s.More > 0 && e.all {
			e.line(2, "and %d more", s.More)
		}
	}
	if w.More > 0 && e.all {
		e.line(2, "and %d more services", w.More)
	}
	if w.Why != "" {
		e.line(1, "%s", w.Why)
	}
}
