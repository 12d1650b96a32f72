package push

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/weftmesh/weft/control/ca"
	"github.com/weftmesh/weft/control/translate"
	"github.com/weftmesh/weft/xds/server"
)

// group are the streams of proxies that are all the same to translation: they are told the same.
type group struct {
	key     string
	proxy   *translate.Proxy
	denied  string       // why they are told no credentials but their own; empty: they may be
	cluster string       // whose credentials those would be
	who     ca.Identity  // that all of them have shown to be; zero: nobody has
	view    *server.View // that is shown to them; nil: none yet. The goroutine that runs writes it.
	members map[*member]bool
	first   bool // it is of the one that is told first of what is under way
	dressed
}

// member is a stream.
type member struct {
	session *server.Session
	proxy   *translate.Proxy // its own, of which the group's may have another name
	shown   Shown
	out     bool // its stream is being ended
	group   *group
	view    *server.View
	since   time.Time // when what it has not answered yet came about; zero: it has answered all
	counted bool      // among those that have not answered a change
	attempt int       // that it was last waited for in
	// refusals is how many of its refusals are remembered.
	refusals atomic.Int32
}

// keyOf tells apart what translation tells apart. Names of proxies are not in it.
func keyOf(p *translate.Proxy, who ca.Identity, cluster, denied string) string {
	var b strings.Builder
	if who != (ca.Identity{}) {
		fmt.Fprintf(&b, "%s %q %q ", who, cluster, denied)
	}
	fmt.Fprintf(&b, "%d %q %q %q %q %q %d %q %q %q %q %q %q %+v %q %q %q", p.Role, p.Address, p.Namespace, p.Account, p.Domain, p.Network, p.Identity, p.Version, p.Cluster, p.Mesh, p.Service, p.Tracing, p.Topology, p.Traits, p.Locality.Region, p.Locality.Zone, p.Locality.SubZone)
	for _, k := range slices.Sorted(maps.Keys(p.Labels)) {
		fmt.Fprintf(&b, " %q=%q", k, p.Labels[k])
	}
	return b.String()
}

// Join implements server.Control.
func (p *Push) Join(s *server.Session) error {
	proxy, err := translate.ProxyOf(s.Node())
	if err != nil {
		p.count(turned, 1)
		p.Log.Warn("a proxy is turned away", "peer", s.Peer(), "because", err)
		return status.Error(codes.InvalidArgument, err.Error())
	}
	proxy.Traits.ByHost = proxy.Traits.ByHost && s.Delta()
	var shown Shown
	if p.Admit != nil {
		if shown, err = p.Admit(s, proxy); err != nil {
			p.count(turned, 1)
			p.Log.Warn("a proxy is turned away", "proxy", proxy.ID, "peer", s.Peer(), "because", err)
			return err
		}
	}
	key := keyOf(proxy, shown.Who, shown.Cluster, shown.Denied)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.Revision != "" && proxy.Revision != "" && proxy.Revision != p.Revision && !p.other {
		p.other = true
		p.Log.Warn("proxies that are meant for the control plane of another revision are told what this one has. It is said once; /status has all of them", "proxy", proxy.ID, "revision", proxy.Revision, "this", p.Revision)
	}
	if m := p.mesh; m != nil && !p.strange && len(m.Clusters()) > 0 && proxy.Cluster != "" && proxy.Cluster != m.Settings.Cluster && m.ClusterOf(proxy.Cluster) == "" {
		p.strange = true
		p.Log.Warn("proxies come of a cluster that is not attached, and are told what those of the first one are. It is said once; /status has all of them", "proxy", proxy.ID, "cluster", proxy.Cluster, "first", m.Settings.Cluster)
	}
	if err := p.revoked(shown); err != nil { // with the lock held, so that whoever is revoked meanwhile is not overlooked
		p.count(turned, 1)
		p.Log.Warn("a proxy is turned away", "proxy", proxy.ID, "peer", s.Peer(), "because", err)
		return err
	}
	p.hold(s, proxy, shown)
	g := p.groups[key]
	if g == nil {
		g = &group{key: key, proxy: proxy, who: shown.Who, denied: shown.Denied, cluster: shown.Cluster, members: map[*member]bool{}}
		p.groups[key] = g
		p.arrived = append(p.arrived, g)
	}
	m := &member{session: s, proxy: proxy, group: g, shown: shown}
	if g.proxy.ID == proxy.ID {
		m.proxy = g.proxy
	}
	g.members[m] = true
	p.proxies[s] = m
	p.gauge(connected, len(p.proxies))
	p.Log.Debug("a proxy has come", "proxy", proxy.ID, "peer", s.Peer())
	if p.cohorts.way != nil {
		p.happen(event{what: (*Push).hasCome})
	}
	if g.view != nil {
		p.showOne(m, g.view, time.Now(), false)
		return nil
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
	return nil
}

// Leave implements server.Control.
func (p *Push) Leave(s *server.Session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.proxies[s]
	delete(p.proxies, s)
	p.release(m)
	p.gauge(connected, len(p.proxies))
	p.Log.Debug("a proxy has gone", "proxy", m.proxy.ID, "peer", s.Peer())
	for r := range p.refused {
		if r.session == s {
			p.pardon(r)
		}
	}
	p.gauge(refusing, len(p.refused))
	p.forget(m.group, m)
	p.close(m)
	if p.cohorts.way != nil {
		p.happen(event{member: m, what: (*Push).hasLeft})
	}
}

// forget takes a member out of a group, which is no more if it was the last. It is called with the lock held.
func (p *Push) forget(g *group, m *member) {
	if delete(g.members, m); len(g.members) == 0 {
		delete(p.groups, g.key)
		p.arrived = slices.DeleteFunc(p.arrived, func(other *group) bool { return other == g })
	}
}

// Probed implements server.Control. What becomes of a workload that is not well says who keeps its WorkloadEntry.
func (p *Push) Probed(*server.Session, string) {}

// Settled implements server.Control.
func (p *Push) Settled(s *server.Session, v *server.View) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.proxies[s]; m != nil && m.view == v && !m.since.IsZero() {
		p.observe(answered, time.Since(m.since))
		p.close(m)
		if w := p.cohorts.way; w != nil && w.attempt > 0 && m.attempt == w.attempt {
			p.happen(event{member: m, attempt: w.attempt, what: (*Push).hasSettled})
		}
	}
}

// close notes that a proxy has nothing to answer any more. It is called with the lock held.
func (p *Push) close(m *member) {
	m.since = time.Time{}
	if !m.counted {
		return
	}
	m.counted = false
	if p.open--; p.open == 0 {
		p.last.Answered = time.Since(p.began)
		p.observe(converged, p.last.Answered)
	}
}

// maxRefused bounds what is remembered of what was refused, in all. Beyond it is counted and logged only.
const maxRefused = 10_000

// refusal names what a stream has refused. Without a name it is a list as a whole.
type refusal struct {
	session *server.Session
	kind    server.Kind
	name    string
}

// Answered implements server.Control.
func (p *Push) Answered(s *server.Session, v server.Verdict) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.proxies[s]
	if m == nil {
		return
	}
	if v.Refused == "" {
		p.count(acks+int(v.Kind), 1)
		if len(p.refused) == 0 {
			return
		}
		p.pardon(refusal{s, v.Kind, ""})
		for _, r := range v.Resources {
			p.pardon(refusal{s, v.Kind, r.Name})
		}
		for _, name := range v.Removed {
			p.pardon(refusal{s, v.Kind, name})
		}
		p.gauge(refusing, len(p.refused))
		return
	}
	p.count(nacks+int(v.Kind), 1)
	key, version := refusal{s, v.Kind, ""}, ""
	if v.View != nil {
		version = v.View.Version
	}
	if len(v.Resources) == 1 {
		key.name, version = v.Resources[0].Name, v.Resources[0].Version
	}
	before, again := p.refused[key]
	switch {
	case again && before.Version == version: // said already; a proxy may ask for the same, and refuse it, as often as it likes
		before.At = time.Now()
		p.refused[key] = before
	case again || len(p.refused) < maxRefused:
		p.Log.Error("a proxy has refused what it was told", "proxy", m.proxy.ID, "kind", v.Kind, "name", key.name, "version", version, "because", v.Refused)
		p.pardon(key)
		m.refusals.Add(1)
		p.refused[key] = Refusal{Proxy: m.proxy.ID, Kind: v.Kind.String(), Name: key.name, Version: version, Because: v.Refused, At: time.Now(), earlier: before.Version}
		p.suspect(m, v, p.refused[key].as())
	default:
		p.count(unremembered, 1)
	}
	p.gauge(refusing, len(p.refused))
	if p.cohorts.way != nil {
		p.happen(event{member: m, what: (*Push).hasRefused, verdict: v})
	}
}
