package xds

import (
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/xds/stream"
)

// What peers can have this process ask for is bounded: how many wishes wait to be heard, how many names are wanted at a time, and how long one
// is remembered that nobody has, or of which nobody says anything: over the state of the world a control plane cannot say that it has none.
// Those that somebody has are kept, as in Envoy.
const (
	maxWishes    = 1024
	maxDemanded  = 10_000
	absentStays  = 30 * time.Second
	unheardStays = 5 * time.Minute
	turnedStays  = time.Second // after which a name that was turned away may be asked for again
)

// demand is what is known of a name that requests have missed.
type demand struct {
	told   bool      // the control plane has said something of it
	absent bool      // namely that there is none, which is taken for granted
	until  time.Time // when it is forgotten; zero: it is kept
}

// DemandStats is counted of what requests have had asked for.
var DemandStats = &telemetry.Table{Kind: "on_demand", Metrics: []telemetry.Metric{
	demandAsked:   {Name: "requested"},
	demandWanted:  {Name: "wanted", Type: telemetry.Gauge},
	demandDropped: {Name: "dropped"},
	demandRefused: {Name: "refused"},
}}

const (
	demandAsked   = iota // names
	demandWanted         // names, now
	demandDropped        // wishes for which there was no room
	demandRefused        // names more than may be wanted
)

// Demand has the feed want a resource that a request misses, from any goroutine. Configurations say in Answered what became of it; false: too
// many wait to be heard.
func (f *Feed) Demand(d config.Demand) bool {
	select {
	case f.wishes <- d:
		return true
	default:
		f.dropped.Add(1)
		return false
	}
}

// wish takes one in, and what else waits.
func (f *Feed) wish(d config.Demand, serve func(*config.Snapshot) error) {
	f.want(d)
	for range maxBatch {
		select {
		case d = <-f.wishes:
			f.want(d)
			continue
		default:
		}
		break
	}
	f.advance(serve)
}

func (f *Feed) want(d config.Demand) {
	if n := f.dropped.Swap(0); n > 0 && f.demandStats != nil {
		f.demandStats.Add(demandDropped, n)
	}
	if f.demands[d] != nil {
		f.answers = true // it may be answered, and somebody not know it yet
		return
	}
	if len(f.demands) >= maxDemanded {
		f.countDemand(demandRefused)
		f.turned, f.answers = append(f.turned, d), true
		return
	}
	one := &demand{until: f.now().Add(unheardStays)}
	f.demands[d] = one
	f.countDemand(demandAsked)
	f.countWanted()
	f.asking = true
	switch d.Kind {
	case config.DemandRoutes:
		one.until = time.Time{} // scopes name them, and not peers
		f.stale = true          // a scope's routes are part of the plan
	case config.DemandCluster:
		f.answers = f.answers || f.known[d.Name]
		l := f.link(d.From, Clusters)
		if !slices.ContainsFunc(f.heads, func(h *head) bool { return h.kind == Clusters && h.link == l }) {
			h := &head{kind: Clusters, link: l, named: true, members: map[string]*member{}}
			f.mu.Lock()
			f.heads = append(f.heads, h)
			f.mu.Unlock()
		}
	}
}

func (f *Feed) countDemand(row int) {
	if f.demandStats != nil {
		f.demandStats.Inc(row)
	}
}

func (f *Feed) countWanted() {
	if f.demandStats != nil {
		f.demandStats.Set(demandWanted, uint64(len(f.demands)))
	}
}

// demanded says that a request has missed a table.
func (f *Feed) demanded(from *config.Subscription, name string) bool {
	return from != nil && f.demands[config.Demand{Kind: config.DemandRoutes, From: from.Stream, Name: name}] != nil
}

// tell notes what a control plane has said of names.
func (f *Feed) tell(l *link, kind Kind, names []string, absent bool) {
	if kind != Clusters && kind != VirtualHosts {
		return
	}
	d := config.Demand{Kind: config.DemandCluster, From: l.Stream}
	if kind == VirtualHosts {
		d.Kind = config.DemandHost
	}
	for _, name := range names {
		d.Name = name
		if one := f.demands[d]; one != nil {
			if one.told, one.absent, one.until = true, absent, (time.Time{}); absent {
				one.until = f.now().Add(absentStays)
			}
			f.answers = true
		}
	}
}

// answered are the names that there is an answer about in a configuration with these clusters.
func (f *Feed) answered(next *config.Snapshot, known map[string]bool) map[config.Demand]bool {
	f.answers = false
	var out map[config.Demand]bool
	add := func(d config.Demand) {
		if out == nil {
			out = map[config.Demand]bool{}
		}
		out[d] = true
	}
	for d, one := range f.demands {
		is := one.absent
		switch d.Kind {
		case config.DemandCluster:
			is = is || known[d.Name]
		case config.DemandHost:
			is = one.told
		case config.DemandRoutes:
			h := f.link(d.From, Routes).held[resourceKey{Routes, d.Name}]
			is = next.Routes[d.Name] != nil || h != nil && h.absent
		}
		if is {
			add(d)
		}
	}
	f.turnedUntil = time.Time{}
	for _, d := range f.turned {
		add(d)
		f.turnedUntil = f.now().Add(turnedStays)
	}
	f.turned = nil
	if maps.Equal(out, f.snapshot.Answered) {
		return f.snapshot.Answered
	}
	return out
}

// wantDemanded adds the names to what is wanted of each link.
func (f *Feed) wantDemanded(want func(l *link, kind Kind, name string)) {
	for d := range f.demands {
		switch d.Kind {
		case config.DemandCluster:
			want(f.link(d.From, Clusters), Clusters, d.Name)
		case config.DemandHost:
			want(f.link(d.From, VirtualHosts), VirtualHosts, d.Name)
		}
	}
	for _, s := range f.asked {
		if r, ok := s.held.value.(*config.RouteConfiguration); ok && r.Hosts != nil {
			want(f.link(r.Hosts.Stream, VirtualHosts), VirtualHosts, unnamed)
		}
	}
}

// unnamed stands for the virtual hosts that a control plane sends unasked. As with Envoy, it is asked for none by name first.
const unnamed = ""

// letGo forgets names that nobody has. Who still waits for one of which nothing was said is told that it is in vain.
func (f *Feed) letGo(now time.Time) {
	if !f.turnedUntil.IsZero() && !now.Before(f.turnedUntil) {
		f.answers, f.turnedUntil = true, time.Time{}
	}
	for d, one := range f.demands {
		if one.until.IsZero() || now.Before(one.until) {
			continue
		}
		if !one.told {
			f.turned = append(f.turned, d)
		}
		delete(f.demands, d)
		f.answers, f.asking = true, true
	}
	f.countWanted()
}

// takeHosts takes a response about virtual hosts. Each is judged by itself, as a part of its table.
func (f *Feed) takeHosts(v *judgement) {
	type change struct {
		hosts map[string]host
		names []string // of resources that are new
	}
	for _, s := range f.asked {
		if r, ok := s.held.value.(*config.RouteConfiguration); ok && r.Hosts != nil && !s.held.hosting.IsZero() && f.link(r.Hosts.Stream, VirtualHosts) == v.link {
			s.held.hosting, f.stale = time.Time{}, true // a listener may have waited for it
		}
	}
	changes := map[*held]*change{}
	table := func(name string) (*held, *change) {
		i := strings.LastIndexByte(name, '/')
		if i < 0 {
			return nil, nil
		}
		for _, s := range f.asked {
			r, ok := s.held.value.(*config.RouteConfiguration)
			if !ok || r.Name != name[:i] || r.Hosts == nil || f.link(r.Hosts.Stream, VirtualHosts) != v.link {
				continue
			}
			if changes[s.held] == nil {
				changes[s.held] = &change{hosts: maps.Clone(s.held.hosts)}
				if s.held.hosts == nil {
					changes[s.held].hosts = map[string]host{}
				}
			}
			return s.held, changes[s.held]
		}
		return nil, nil
	}
	var there []string
	for _, r := range v.fresh(func(*stream.Resource) (same, again bool) { return false, false }) {
		names := append([]string{r.Name}, r.Aliases...)
		if r.Wire == nil {
			f.tell(v.link, VirtualHosts, names, true)
			continue
		}
		r.Keep()
		if _, c := table(r.Name); c != nil {
			c.hosts[r.Name] = host{wire: r.Wire, version: r.Version, updated: f.now()}
			c.names = append(c.names, r.Name)
		}
		there = append(there, names...)
	}
	f.tell(v.link, VirtualHosts, v.response.Removed, true)
	for _, name := range v.response.Removed {
		if _, c := table(name); c != nil {
			delete(c.hosts, name)
		}
	}
	for h, c := range changes {
		merged, err := f.merge(h.value, h.base, c.hosts)
		if err != nil { // one by one, then, in the order of their names
			slices.Sort(c.names)
			for _, name := range c.names {
				delete(c.hosts, name)
			}
			for name := range c.hosts {
				if was, ok := h.hosts[name]; ok {
					c.hosts[name] = was
				}
			}
			if merged, err = f.merge(h.value, h.base, c.hosts); err != nil {
				continue // it was good
			}
			for _, name := range c.names {
				old, had := h.hosts[name]
				r := v.resource(name)
				c.hosts[name] = host{wire: r.Wire, version: r.Version, updated: f.now()}
				next, err := f.merge(merged, h.base, c.hosts)
				if err == nil {
					merged = next
					continue
				}
				var faults []Fault
				for _, p := range problemsOf(err) {
					faults = append(faults, Fault{Path: p.Path, Text: p.Text})
				}
				v.refuse(name, faults...)
				if delete(c.hosts, name); had {
					c.hosts[name] = old
				}
			}
			if next, err := f.merge(merged, h.base, c.hosts); err == nil {
				merged = next
			}
		}
		f.mu.Lock()
		h.hosts = c.hosts
		if !equal(merged, h.value) {
			v.count++
			h.value, h.updated = merged, f.now()
			f.renewed = append(f.renewed, h)
		}
		f.mu.Unlock()
	}
	f.tell(v.link, VirtualHosts, there, false)
}

// host is a virtual host that has come by itself.
type host struct {
	wire    []byte
	version string
	updated time.Time
}

// merge reads a table with virtual hosts beside its own, in the order of their names. Those that it has before are not read again.
func (f *Feed) merge(before any, base []byte, hosts map[string]host) (any, error) {
	wire := base
	if len(hosts) > 0 {
		const field = 2
		at := 0 // behind the table's own
		for at < len(base) {
			number, _, n := protowire.ConsumeField(base[at:])
			if n < 0 || number > field {
				break
			}
			at += n
		}
		wire = slices.Clone(base[:at])
		for _, name := range slices.Sorted(maps.Keys(hosts)) {
			wire = protowire.AppendTag(wire, field, protowire.BytesType)
			wire = protowire.AppendBytes(wire, hosts[name].wire)
		}
		wire = append(wire, base[at:]...)
	}
	return f.decoder.After(Routes.Message(), wire, before)
}

// withHosts is another version of a table with the virtual hosts that have come for it. Those that do not fit it any more are left out.
func (f *Feed) withHosts(h *held, value any) any {
	r, ok := value.(*config.RouteConfiguration)
	if !ok {
		return value
	}
	h.base = r.Raw
	if r.Hosts == nil {
		h.hosts = nil
	}
	if len(h.hosts) == 0 {
		return value
	}
	if merged, err := f.merge(value, h.base, h.hosts); err == nil {
		return merged
	}
	fit := map[string]host{}
	for _, name := range slices.Sorted(maps.Keys(h.hosts)) {
		fit[name] = h.hosts[name]
		merged, err := f.merge(value, h.base, fit)
		if err != nil {
			delete(fit, name)
			f.unsaid = append(f.unsaid, Outcome{Kind: VirtualHosts, Name: name, Err: Faults{{Text: err.Error()}}})
			continue
		}
		value = merged
	}
	h.hosts = fit
	return value
}

// hostStates tells of virtual hosts that have come by themselves.
func (h *held) hostStates() (out []State) {
	for _, name := range slices.Sorted(maps.Keys(h.hosts)) {
		one := h.hosts[name]
		out = append(out, State{Kind: VirtualHosts, Name: name, Version: one.version, Updated: one.updated, Resource: one.wire})
	}
	return out
}
