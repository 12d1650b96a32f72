package proxy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/dubbo"
	"github.com/weftmesh/weft/proxy/l4"
	"github.com/weftmesh/weft/proxy/l7"
	"github.com/weftmesh/weft/proxy/listener"
	"github.com/weftmesh/weft/tls"
)

// openLogs opens the access logs of all filter chains, and what clusters write events to.
func (p *Proxy) openLogs(s *config.Snapshot) error {
	if !s.SameClusters(p.current) {
		if err := p.openOfClusters(s); err != nil {
			return err
		}
	}
	for _, l := range s.Listeners {
		for _, a := range l.AccessLogs {
			if _, err := p.options.Logs.Open(a); err != nil {
				return fmt.Errorf("proxy: listener %q: access log: %w", l.Name, err)
			}
		}
		for c := range l.AllChains() {
			if err := p.openKeyLog(c.TLS); err != nil {
				return fmt.Errorf("proxy: listener %q: key_log: %w", l.Name, err)
			}
			logs := []config.AccessLog(nil)
			switch {
			case c.HTTP != nil:
				logs = c.HTTP.AccessLogs
			case c.TCP != nil:
				logs = c.TCP.AccessLogs
			case c.Dubbo != nil:
				logs = c.Dubbo.AccessLogs
			}
			for _, a := range logs {
				if _, err := p.options.Logs.Open(a); err != nil {
					return fmt.Errorf("proxy: listener %q: access log: %w", l.Name, err)
				}
			}
		}
	}
	return nil
}

func (p *Proxy) openOfClusters(s *config.Snapshot) error {
	for _, c := range s.Clusters {
		if err := p.openEvents(c); err != nil {
			return fmt.Errorf("proxy: cluster %q: log of events: %w", c.Name, err)
		}
		for t := range c.AllTLS() {
			if err := p.openKeyLog(t); err != nil {
				return fmt.Errorf("proxy: cluster %q: key_log: %w", c.Name, err)
			}
		}
	}
	return nil
}

func (p *Proxy) openKeyLog(t *config.TLS) error {
	if t == nil || t.KeyLog == nil {
		return nil
	}
	_, err := p.options.Logs.Lines(t.KeyLog.Path)
	return err
}

func (p *Proxy) openEvents(c *config.Cluster) error {
	if c.Outliers != nil && c.Outliers.Events != "" {
		if _, err := p.options.Logs.Lines(c.Outliers.Events); err != nil {
			return err
		}
	}
	if c.Health != nil {
		for _, path := range c.Health.Events {
			if _, err := p.options.Logs.Lines(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// listenerError is what one listener fails with, without which the others could be.
type listenerError struct {
	name string
	error
}

// Listener is its name.
func (e *listenerError) Listener() string { return e.name }

// Unwrap is what it fails with.
func (e *listenerError) Unwrap() error { return e.error }

// change is what the next configuration changes about listeners.
type change struct {
	fresh   map[string]*listener.Listener // bound, and not accepting yet
	rechain map[string]*listener.Chains   // of listeners of which nothing but chains has changed
	next    map[string]*config.Listener
}

// openListeners binds what is new or has changed, without accepting yet.
func (p *Proxy) openListeners(s *config.Snapshot) (*change, error) {
	to := &change{fresh: map[string]*listener.Listener{}, rechain: map[string]*listener.Chains{}, next: map[string]*config.Listener{}}
	for _, c := range s.Listeners {
		to.next[c.Name] = c
		old := p.listeners[c.Name]
		switch {
		case old != nil && old.Config.Hash == c.Hash:
		case p.shut.covers(c) || old != nil && p.shut.covers(old.Config):
			// To bind it anew would take connections from whoever has come in this process's place, and reset them in the end.
		case old != nil && old.Config.Outer == c.Outer:
			to.rechain[c.Name] = listener.Compile(c, old.Chains, p.builder(c))
		default:
			l, err := listener.Open(c, old, listener.Compile(c, nil, p.builder(c)), listener.Origin{
				Loops: len(p.loops), Stats: p.options.Stats, Log: p.log, NextConn: &p.nextConn, Tell: p.unshaken, Handed: p.options.Handed,
			})
			if err != nil {
				p.owners.listeners.Inc(listenersFailed)
				for _, opened := range to.fresh {
					opened.Discard()
				}
				return nil, &listenerError{c.Name, err}
			}
			to.fresh[c.Name] = l
		}
	}
	return to, nil
}

// link has the connection managers of the next generation filter, and find tables, by what has come by itself.
func (p *Proxy) link(g *l7.Generation, s *config.Snapshot, to *change, own map[*config.RouteConfiguration]*l7.Table) {
	for _, c := range s.Listeners {
		chains := to.rechain[c.Name]
		if l := to.fresh[c.Name]; l != nil {
			chains = l.Chains
		} else if chains == nil {
			last := p.listeners[c.Name]
			if last == nil {
				continue // it came when nobody was let in any more
			}
			chains = last.Chains
		}
		for _, chain := range chains.All {
			if chain.HTTP != nil {
				g.Link(chain.HTTP, s.Extensions)
				g.Scopes(chain.HTTP, s.Scopes, own)
			}
		}
	}
}

// builder makes the chains of a listener.
func (p *Proxy) builder(l *config.Listener) func(*config.FilterChain) *listener.Chain {
	return func(c *config.FilterChain) *listener.Chain {
		chain := &listener.Chain{Config: c, Guards: l4.NewGuards(c.Guards, l.Name+"/"+c.ID, &p.origin.Kept, p.options.Stats), Rules: l4.NewRules(c, p.options.Stats)}
		if c.TLS != nil {
			chain.TLS = tls.NewServer(c.TLS, p.secrets)
		}
		switch {
		case c.HTTP != nil:
			chain.HTTP = l7.NewServer(c, l, p.origin)
		case c.TCP != nil:
			chain.TCP = l4.NewServer(c, l, p.options.Stats, p.log, &p.nextConn)
		case c.Dubbo != nil:
			chain.Dubbo = dubbo.NewServer(c, l, &dubbo.Origin{Stats: p.options.Stats, Kept: &p.origin.Kept, Logs: p.log, NextConn: &p.nextConn, Log: p.options.Log})
		default:
			chain.Answer = l4.NewAnswer(c.Answer, l)
		}
		return chain
	}
}

// pin has the connections of chains that are about to go, and whose place none takes that could serve them, end as they were served: by the tables and clusters that are in force until now. Those of
// the next configuration need not have what these chains name. It is called before that is served.
func (p *Proxy) pin(to *change) {
	for name, l := range p.listeners {
		gone, next := l.Chains.All, (*listener.Chains)(nil)
		switch fresh, chains := to.fresh[name], to.rechain[name]; {
		case fresh != nil:
			next = fresh.Chains
		case chains != nil:
			gone, next = missing(l.Chains, chains), chains
		case to.next[name] != nil:
			continue
		}
		for _, c := range gone {
			var after *listener.Chain
			if next != nil {
				after = next.Successor(c)
			}
			if c.HTTP != nil && (after == nil || after.HTTP == nil) {
				c.HTTP.EndsWith(p.generation)
			}
			if c.Dubbo != nil && (after == nil || after.Dubbo == nil) {
				c.Dubbo.EndsWith(p.calls)
			}
		}
	}
}

// replaceListeners accepts on the new ones and ends those that are gone: their sockets at once, their connections politely. Where only
// chains changed, the socket stays, and so do the connections of chains that stay.
func (p *Proxy) replaceListeners(s *config.Snapshot, to *change) {
	v := p.owners.listeners
	for name, chains := range to.rechain {
		v.Inc(listenersInPlace)
		l := p.listeners[name]
		gone := missing(l.Chains, chains)
		l.Rechain(chains, to.next[name])
		p.onLoops(l.Swap)
		p.drainChains(gone, chains)
	}
	// The next ones come before the last ones go: in between, connections that are handed over by address would find nobody.
	last := p.listeners
	p.listeners = maps.Clone(last)
	for _, name := range startOrder(to.fresh) {
		l := to.fresh[name]
		p.listeners[name] = l
		if last[name] != nil {
			v.Inc(listenersModified)
		} else {
			v.Inc(listenersAdded)
		}
		v.Add(listenersCreated, uint64(len(p.loops)))
		p.onLoops(func(i int) {
			if err := l.Start(p.locals[i]); err != nil {
				p.options.Log.Error("a listener does not accept on one of the loops", "listener", name, "loop", i, "error", err)
			}
		})
	}
	var closing []*listener.Listener
	for name, old := range last {
		if to.next[name] == nil || to.fresh[name] != nil {
			closing = append(closing, old)
		}
	}
	listener.Shut(closing, p.loops)
	for name, old := range last {
		switch {
		case to.next[name] == nil:
			v.Inc(listenersRemoved)
			delete(p.listeners, name)
		case to.fresh[name] == nil:
			continue
		}
		old.End(p.loops, to.fresh[name] != nil)
		var next *listener.Chains
		if l := to.fresh[name]; l != nil {
			next = l.Chains
		}
		p.drainChains(old.Chains.All, next)
	}
	v.Set(listenersActive, uint64(len(p.listeners)))
	v.Set(workersStarted, 1)
}

// startOrder has listeners that only others hand over to begin before those, which accept at once: in between, connections would find nobody.
func startOrder(fresh map[string]*listener.Listener) []string {
	return slices.SortedFunc(maps.Keys(fresh), func(a, b string) int {
		if x, y := fresh[a].Config.Unbound, fresh[b].Config.Unbound; x != y {
			if x {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
}

// missing are the chains that the next ones have not taken over.
func missing(old, next *listener.Chains) (gone []*listener.Chain) {
	keep := map[*listener.Chain]bool{}
	for _, c := range next.All {
		keep[c] = true
	}
	for _, c := range old.All {
		if !keep[c] {
			gone = append(gone, c)
		}
	}
	return gone
}

// drainChains ends the HTTP connections of chains with an exchange each, which the chain serves that has taken their place, if one has; those of Dubbo go on with that. Tunnels stand
// until one of their ends has enough.
func (p *Proxy) drainChains(gone []*listener.Chain, next *listener.Chains) {
	for _, c := range gone {
		if c.Dubbo != nil {
			if next != nil {
				if s := next.Successor(c); s != nil && s.Dubbo != nil {
					c.Dubbo.SucceededBy(s.Dubbo)
				}
			}
			p.onLoops(func(i int) { p.locals[i].Dubbo.Retire(c.Dubbo) })
		}
		if c.HTTP == nil {
			continue
		}
		if next != nil {
			if s := next.Successor(c); s != nil && s.HTTP != nil {
				c.HTTP.SucceededBy(s.HTTP)
			}
		}
		p.onLoops(func(i int) { p.locals[i].HTTP.Retire(c.HTTP) })
	}
}
