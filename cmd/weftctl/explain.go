package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	view "github.com/weftmesh/weft/proxy/admin"
	"github.com/weftmesh/weft/proxy/l7"
	"github.com/weftmesh/weft/proxy/upstream"
)

const explainText = `Say what a connection, and a request on it, would meet in a running weft: listener, filter chain, filters, route, cluster, endpoints; and
which rules came close, and why they do not match. Nothing is sent: the proxy asks the very tables that it serves with.

Say where the client connects to (--address, or --listener) and, for HTTP, the URL of the request. For a call of Dubbo say dubbo://IP:PORT/INTERFACE,
which says where, too, with --method, and what the call has of --version, --group, --argument and --attachment.

Usage:
  weftctl proxy explain [URL] [flags]

Examples:
  weftctl proxy explain --address 10.0.0.1:9080 http://reviews:9080/reviews/1
  weftctl proxy explain --address 10.0.0.9:8080 --identity spiffe://cluster.local/ns/shop/sa/web --method POST /carts    who may do what, and by which rule
  weftctl proxy explain --listener ingress --sni shop.example.com https://shop.example.com/cart -H 'x-user: tester'
  weftctl proxy explain --address 10.0.0.9:5432          a TCP connection
  weftctl proxy explain --listener http --all /api       every rule that was looked at
  weftctl proxy explain dubbo://10.0.0.3:20880/org.example.Shop --method search --version 1.0.0 --group blue --argument java.lang.String=tea --argument int=5 --attachment canary=yes
  weftctl proxy explain --listener dubbo dubbo:///org.example.Shop --method '$invoke' --argument java.lang.String=search --argument 'java.lang.String[]=["int"]' --argument 'java.lang.Object[]=[5]'`

func proxyExplain(ctx context.Context, p *pages, o *proxyOptions, s streams) error {
	q := url.Values{}
	set := func(name string, values ...string) {
		for _, v := range values {
			if v != "" {
				q.Add(name, v)
			}
		}
	}
	set("listener", o.listener)
	set("address", o.address)
	set("source", o.source)
	set("sni", o.sni)
	set("alpn", o.alpn...)
	set("identity", o.identity)
	set("method", o.method)
	set("url", o.name())
	set("header", o.headers...)
	set("version", o.version)
	set("group", o.group)
	set("argument", o.arguments...)
	set("attachment", o.attachments...)
	if o.tls {
		set("tls", "true")
	}
	if o.listener == "" && o.address == "" && !strings.HasPrefix(o.name(), "dubbo://") {
		return errors.New("where does the client connect to? say --address IP:PORT, or --listener NAME (weftctl proxy listeners has the names)")
	}
	var a view.Answer
	if err := p.getJSON(ctx, "/explain?"+q.Encode(), &a); err != nil {
		return err
	}
	if o.format != "table" {
		return printed(s.out, o.format, &a)
	}
	e := explained{w: s.out, all: o.all}
	e.answer(&a)
	return nil
}

// explained writes an answer for people.
type explained struct {
	w   io.Writer
	all bool
}

func (e *explained) line(depth int, format string, args ...any) {
	fmt.Fprintf(e.w, "%s%s\n", strings.Repeat("  ", depth), fmt.Sprintf(format, args...))
}

func (e *explained) notes(depth int, list []string) {
	for _, n := range list {
		e.line(depth, "note: %s", n)
	}
}

func (e *explained) answer(a *view.Answer) {
	if a.Listener != "" {
		e.line(0, "listener %s at %s", a.Listener, a.Address)
		if a.From != "" {
			e.line(1, "handed over by listener %s", a.From)
		}
	}
	e.notes(1, a.Notes)
	if a.Chain != "" {
		e.line(0, "filter chain %s", a.Chain)
	}
	left := 0
	for _, c := range a.Chains {
		if c.Met || !e.all && len(a.Chains) > mostShown && left >= mostShown {
			if !c.Met {
				left++
			}
			continue
		}
		left++
		e.line(1, "not %s: %s", c.Name, c.Why)
	}
	if hidden := left - mostShown; !e.all && len(a.Chains) > mostShown && hidden > 0 {
		e.line(1, "and %d more (--all shows them)", hidden)
	}
	if len(a.NetworkFilters) > 0 {
		e.line(1, "network filters: %s", strings.Join(a.NetworkFilters, ", "))
	}
	for _, t := range a.TCP {
		e.target(0, &t)
	}
	if a.HTTP != nil {
		e.http(a.HTTP)
	}
	if a.Dubbo != nil {
		e.dubbo(a.Dubbo)
	}
	if a.Ends != "" {
		e.line(0, "the end: %s", a.Ends)
	}
}

// mostShown is how many rules that do not match are shown without --all.
const mostShown = 5

func (e *explained) http(h *l7.Account) {
	e.line(0, "request %s %s%s", h.Request.Method, h.Request.Authority, h.Request.Path)
	e.notes(1, h.Notes)
	if h.Status != 0 {
		e.line(0, "answered %d: %s", h.Status, h.Why)
	}
	if w := h.Routing; w != nil {
		e.line(0, "routes %s", w.Table)
		if w.Host != "" {
			e.line(1, "virtual host %s", w.Host)
		}
		shown := 0
		for _, v := range w.Hosts {
			if !v.Met && (e.all || v.Near || w.Host == "" && shown < mostShown) {
				shown++
				e.line(2, "not %s: %s", v.Name, v.Why)
			}
		}
		if w.List != "" {
			e.line(1, "%s", w.List)
		}
		if w.Why != "" {
			e.line(1, "%s", w.Why)
		}
		close := 0
		for _, r := range w.Routes {
			name := fmt.Sprintf("#%d", r.Index)
			if r.Name != "" {
				name += " " + r.Name
			}
			switch {
			case r.Met && r.Why != "":
				e.line(1, "route %s, %s: %s", name, r.Why, r.Rule)
			case r.Met:
				e.line(1, "route %s: %s", name, r.Rule)
			case e.all || r.Near && close < mostShown:
				close++
				e.line(2, "not %s: %s", name, r.Why)
			}
		}
		if w.RoutesMore > 0 && e.all {
			e.line(2, "and %d more", w.RoutesMore)
		}
	}
	for _, o := range h.Outcomes {
		e.outcome(&o, len(h.Outcomes) > 1)
	}
}

func (e *explained) outcome(o *l7.Outcome, several bool) {
	words := o.Action
	if o.Status != 0 {
		words += fmt.Sprintf(" %d", o.Status)
	}
	if o.Location != "" {
		words += " to " + o.Location
	}
	if o.Path != "" {
		words += ", as path " + o.Path
	}
	if o.Host != "" {
		words += ", as host " + o.Host
	}
	if o.Timeout != "" {
		words += ", timeout " + o.Timeout
	}
	if o.Retries > 0 {
		words += fmt.Sprintf(", retries %d", o.Retries)
	}
	if o.Route >= 0 && several {
		words = fmt.Sprintf("by route #%d: %s", o.Route, words)
		if o.Of < o.In {
			words = fmt.Sprintf("in %d of %d requests, %s", o.Of, o.In, words)
		} else {
			words = "else, " + words
		}
	}
	e.line(0, "%s", words)
	var on, off []string
	for _, f := range o.Filters {
		if f.On {
			on = append(on, f.Name)
		} else {
			off = append(off, f.Name)
		}
	}
	e.line(1, "HTTP filters: %s", strings.Join(on, ", "))
	for _, f := range o.Filters {
		if f.Says != "" {
			e.line(1, "%s: %s", f.Name, f.Says)
		}
		if f.Status != 0 {
			e.line(1, "so the request is answered %d, and goes nowhere", f.Status)
			break
		}
	}
	if len(off) > 0 {
		e.line(1, "off: %s", strings.Join(off, ", "))
	}
	if o.Shared != "" {
		e.line(1, "shared by %s", o.Shared)
	}
	for i := range o.Clusters {
		e.target(1, &o.Clusters[i])
	}
	for _, m := range o.Mirrors {
		e.copied(&m, "requests")
	}
}

func (e *explained) copied(m *upstream.Copy, what string) {
	words := fmt.Sprintf("copy to %s in %d of %d %s", m.Cluster, m.Of, m.In, what)
	if m.Why != "" {
		words += ": " + m.Why
	}
	e.line(1, "%s", words)
}

func (e *explained) target(depth int, t *upstream.Target) {
	words := "cluster " + t.Cluster
	switch {
	case t.Chosen:
		words += " (it is this one)"
	case t.Of > 1:
		words += fmt.Sprintf(", weight %d of %d", t.Weight, t.Of)
	}
	if t.Why != "" {
		words += ": " + t.Why
	}
	e.line(depth, "%s", words)
	p := t.Picture
	if p == nil {
		return
	}
	e.line(depth+1, "%s, %s", p.Type, p.Balancer)
	e.notes(depth+1, p.Notes)
	if len(p.Priority) > 1 {
		for _, l := range p.Priority {
			e.line(depth+1, "priority %d gets %d%%", l.Priority, l.Percent)
		}
	}
	shown := 0
	for _, s := range p.Endpoints {
		if !e.all && shown >= 2*mostShown {
			break
		}
		shown++
		words := fmt.Sprintf("%s %s", s.Address, s.Health)
		if s.Why != "" {
			words += " (" + s.Why + ")"
		}
		if s.Locality != "" {
			words += ", in " + s.Locality
		}
		if s.Priority > 0 {
			words += fmt.Sprintf(", priority %d", s.Priority)
		}
		if !s.Pick {
			words += ", not picked now"
		}
		e.line(depth+1, "%s", words)
	}
	if more := len(p.Endpoints) + p.More - shown; more > 0 {
		e.line(depth+1, "and %d more endpoints", more)
	}
}
