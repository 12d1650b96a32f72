package proxy

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/admin"
	"github.com/weftmesh/weft/proxy/l4"
	"github.com/weftmesh/weft/proxy/l7"
	"github.com/weftmesh/weft/proxy/listener"
)

// Explain says what a connection, and a request on it, would meet. It asks the tables that serve, without their indexes, and nothing else: no
// loop is touched and nothing is sent. An error is about the question.
func (p *Proxy) Explain(q *admin.Question) (*admin.Answer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l, c, a, err := p.reach(q)
	if err != nil || l == nil {
		return a, err
	}
	in, handOver, notes := l.Look(c)
	if handOver.IsValid() {
		to := p.places().At(netip.AddrPortFrom(handOver.Addr().Unmap(), handOver.Port()))
		switch {
		case to == nil:
			a.Notes = append(a.Notes, fmt.Sprintf("no listener is at %s, so that %q serves the connection itself (use_original_dst)", handOver, l.Config.Name))
		case to != l:
			a.From, l = l.Config.Name, to
			c.HandedOver = true
			in, _, notes = l.Look(c)
		}
	}
	a.Notes = append(a.Notes, notes...)
	a.Listener, a.Address = l.Config.Name, l.Address.String()
	a.Seen = admin.Seen{Destination: addressWords(in.Destination), Source: addressWords(in.Source), Transport: in.Transport, ServerName: in.ServerName, Applications: in.Applications}
	chain, steps := l.Chains.Explain(&in)
	if a.Chains = steps; chain == nil {
		a.Ends = "no filter chain matches and there is no default one: the connection is closed"
		return a, nil
	}
	a.Chain = l.Chains.NameOf(chain)
	return a, p.follow(a, chain, q, c, &in)
}

// reach finds the listener that the connection comes to first; nil: the answer says why it comes to none.
func (p *Proxy) reach(q *admin.Question) (*listener.Listener, *listener.Connection, *admin.Answer, error) {
	a := &admin.Answer{}
	c := &listener.Connection{Source: q.Source, Destination: q.Address.AddrPort, TLS: q.TLS, ServerName: q.ServerName, Applications: q.Applications}
	switch {
	case c.TLS || len(c.Applications) > 0:
	case q.Call != nil:
		c.Applications = []string{"dubbo"}
	case q.URL != "":
		c.Applications = []string{"http/1.1"}
	}
	if !c.Source.IsValid() && q.Address.Path == "" {
		c.Source = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)
		a.Notes = append(a.Notes, "no source is said: the connection is taken to come from 127.0.0.1")
	}
	var l *listener.Listener
	switch {
	case q.Listener != "":
		if l = p.listeners[q.Listener]; l == nil {
			return nil, nil, nil, fmt.Errorf("there is no listener %q: there are %s", q.Listener, strings.Join(quoteAll(slices.Sorted(maps.Keys(p.listeners))), ", "))
		}
	case q.Address.Path != "":
		for _, name := range slices.Sorted(maps.Keys(p.listeners)) {
			if slices.ContainsFunc(p.listeners[name].Config.AllAddresses(), func(at config.Address) bool { return at.Path == q.Address.Path }) {
				l = p.listeners[name]
			}
		}
	default:
		l = p.taking(c.Destination, a)
	}
	if l == nil {
		a.Ends = fmt.Sprintf("no listener is at %s, and none takes redirected connections (use_original_dst)", q.Address)
		return nil, nil, a, nil
	}
	if own := l.Address.AddrPort; q.Address == (config.Address{}) && own.IsValid() {
		if own.Addr().IsUnspecified() {
			own = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), own.Port())
		}
		c.Destination = own
		a.Notes = append(a.Notes, fmt.Sprintf("no address is said: the client is taken to connect to %s", own))
	}
	c.Redirected = c.Destination.IsValid() && !l.Has(c.Destination)
	return l, c, a, nil
}

// taking is the listener that a connection to an address comes to: the one whose socket is there, or one that redirected connections come to.
func (p *Proxy) taking(to netip.AddrPort, a *admin.Answer) *listener.Listener {
	if l := p.places().At(to); l != nil && l.Has(to) {
		return l
	}
	var takers []string
	for _, name := range slices.Sorted(maps.Keys(p.listeners)) {
		if l := p.listeners[name]; l.Config.HandOver && !l.Config.Unbound {
			takers = append(takers, name)
		}
	}
	if len(takers) == 0 {
		return nil
	}
	a.Notes = append(a.Notes, fmt.Sprintf("no socket is at %s: the connection is taken to be redirected to listener %q (use_original_dst)", to, takers[0]))
	if len(takers) > 1 {
		a.Notes = append(a.Notes, fmt.Sprintf("%s would take it, too: say listener=NAME", strings.Join(quoteAll(takers[1:]), ", ")))
	}
	return p.listeners[takers[0]]
}

// places are the listeners by address.
func (p *Proxy) places() listener.Places {
	places := listener.Places{}
	for _, l := range p.listeners {
		places.Add(l)
	}
	return places
}

// follow says what the chain makes of the connection, and of the request on it.
func (p *Proxy) follow(a *admin.Answer, chain *listener.Chain, q *admin.Question, c *listener.Connection, in *listener.Input) error {
	for i := range chain.Config.Guards {
		name := "envoy.filters.network.connection_limit"
		switch g := &chain.Config.Guards[i]; {
		case g.Rate != nil:
			name = "envoy.filters.network.local_ratelimit"
		case g.Access != nil:
			name = "envoy.filters.network.rbac"
		}
		a.NetworkFilters = append(a.NetworkFilters, name)
	}
	switch {
	case chain.TLS != nil && !q.TLS:
		a.Ends = "the chain speaks TLS and the connection is in plain text: the handshake fails"
	case chain.TLS == nil && q.TLS && chain.HTTP != nil:
		a.Ends = "the chain reads HTTP in plain text and the connection speaks TLS: what comes is no request"
	case chain.TLS == nil && q.TLS && chain.Dubbo != nil:
		a.Ends = "the chain reads Dubbo in plain text and the connection speaks TLS: what comes is no call"
	case q.Call != nil && chain.HTTP != nil:
		a.Ends = "the chain reads HTTP and the connection speaks Dubbo: what comes is no request, and the connection is closed"
	case q.Call == nil && q.URL != "" && chain.Dubbo != nil:
		a.Ends = "the chain reads Dubbo and the connection speaks HTTP: what comes is no call, and the connection is closed"
	}
	if a.Ends == "" {
		says, passes := chain.Rules.Explain(&l4.Asked{Source: in.Source, Destination: in.Destination, ServerName: in.ServerName, TLS: chain.TLS != nil, Identity: q.Identity})
		for _, words := range says {
			a.Notes = append(a.Notes, "envoy.filters.network.rbac: "+words)
		}
		if !passes {
			a.Ends = "envoy.filters.network.rbac: the connection is " + says[len(says)-1] + ", and is closed"
			a.Notes = a.Notes[:len(a.Notes)-1]
			return nil
		}
	}
	var to netip.AddrPort
	if c.Redirected {
		to = in.Destination
	}
	clusters := p.clusters.List()
	switch {
	case chain.HTTP != nil:
		a.NetworkFilters = append(a.NetworkFilters, "envoy.filters.network.http_connection_manager")
		if q.URL == "" || a.Ends != "" {
			if a.Ends == "" {
				a.Notes = append(a.Notes, "the chain serves HTTP: say url to ask about a request")
			}
			return nil
		}
		scheme, authority, path, err := q.SplitURL()
		if err != nil {
			return err
		}
		asked := &l7.Asked{Method: q.Method, Authority: authority, Path: path, Fields: q.Headers, TLS: chain.TLS != nil, Source: in.Source, Local: in.Destination, Destination: to, ServerName: in.ServerName, Identity: q.Identity}
		if scheme == "https" && !q.TLS {
			asked.Scheme = scheme // of a target in absolute form
		}
		a.HTTP = chain.HTTP.Explain(p.generation, clusters, asked)
	case chain.TCP != nil:
		a.NetworkFilters = append(a.NetworkFilters, "envoy.filters.network.tcp_proxy")
		a.TCP = chain.TCP.Explain(clusters, in.ServerName, to)
		if q.URL != "" {
			a.Notes = append(a.Notes, "the chain carries bytes (tcp_proxy): nothing looks at the request")
		}
	case chain.Dubbo != nil:
		a.NetworkFilters = append(a.NetworkFilters, "envoy.filters.network.dubbo_proxy")
		if a.Ends != "" {
			return nil
		}
		if q.Call == nil {
			a.Notes = append(a.Notes, chain.Dubbo.Waiting(p.calls)+": say url=dubbo://IP:PORT/INTERFACE and method to ask about a call")
			return nil
		}
		if passed := q.Passed(); len(passed) > 0 {
			a.Notes = append(a.Notes, fmt.Sprintf("%s of the URL is nothing of a call, and passed over", strings.Join(quoteAll(passed), ", ")))
		}
		asked := *q.Call
		asked.Source, asked.To, asked.Destination, asked.Name, asked.TLS, asked.Identity = in.Source, in.Destination, to, in.ServerName, chain.TLS != nil, q.Identity
		var err error
		a.Dubbo, err = chain.Dubbo.Explain(p.calls, &asked)
		return err
	default:
		a.Ends = chain.Answer.Words()
	}
	return nil
}

func addressWords(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func quoteAll(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = fmt.Sprintf("%q", s)
	}
	return out
}
