package upstream

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/weftmesh/weft/config"
)

// Picture is a cluster and its endpoints as a request would find them now.
type Picture struct {
	Name      string          `json:"name"`
	Type      string          `json:"type"`
	Balancer  string          `json:"lb_policy"`
	TLS       bool            `json:"tls,omitempty"`
	Endpoints []EndpointState `json:"endpoints,omitempty"`
	More      int             `json:"endpoints_left_out,omitempty"` // that are not listed
	Priority  []LevelState    `json:"priorities,omitempty"`
	Notes     []string        `json:"notes,omitempty"`
}

// EndpointState is one endpoint.
type EndpointState struct {
	Address  string `json:"address"`
	Hostname string `json:"hostname,omitempty"`
	Priority uint8  `json:"priority"`
	Locality string `json:"locality,omitempty"`
	Weight   uint32 `json:"weight"`
	Health   string `json:"health"`        // healthy, degraded or unhealthy
	Why      string `json:"why,omitempty"` // it is not healthy
	Pick     bool   `json:"pick"`          // it could be picked now
	Active   int64  `json:"active"`        // requests or connections under way
}

// LevelState is how much of the requests a priority gets now.
type LevelState struct {
	Priority uint8 `json:"priority"`
	Percent  uint8 `json:"percent"`
	Degraded bool  `json:"degraded,omitempty"`
	Panic    bool  `json:"panic,omitempty"` // too few are healthy, so that health does not count
}

// mostPictured bounds the endpoints that are listed.
const mostPictured = 256

// Explain draws a picture of the cluster for a request, or a connection, that wants that subset; to is where it was going, for a cluster that
// goes there.
func (c *Cluster) Explain(subset *config.Subset, to netip.AddrPort) *Picture {
	p := &Picture{Name: c.Config.Name, Type: typeNames[c.Config.Type], Balancer: balancerNames[c.Config.Balancer], TLS: c.Config.TLS != nil}
	if c.Config.Type == config.OriginalDestination {
		c.explainDestination(p, to)
		return p
	}
	e := c.Endpoints()
	from, how := &e.choices, foundAsked
	if e.subsets != nil {
		from, how = e.subsets.find(subset, &e.choices)
		p.subsetNotes(subset, how)
	}
	reach := map[int32]bool{}
	if from != nil {
		p.Priority = from.levels()
		from.reach(reach)
	}
	if how == foundByCluster && len(reach) == 0 && e.subsets.panicAny {
		p.Notes = append(p.Notes, "the fallback has nobody, so that any endpoint is taken (panic_mode_any)")
		p.Priority = e.choices.levels()
		e.choices.reach(reach)
	}
	for i := range e.All {
		m := &e.All[i]
		if len(p.Endpoints) == mostPictured {
			p.More = len(e.All) - mostPictured
			break
		}
		s := EndpointState{Address: m.Address().String(), Hostname: m.Hostname, Priority: m.Priority, Locality: localityWords(&m.Locality), Weight: m.Weight,
			Pick: reach[int32(i)], Active: m.Active.Load()}
		s.Health, s.Why = m.healthWords()
		p.Endpoints = append(p.Endpoints, s)
	}
	switch {
	case len(e.All) == 0 && c.Config.Type == config.EDS:
		p.Notes = append(p.Notes, fmt.Sprintf("the cluster has no endpoints, or those of %q have not come yet", c.Config.ServiceName))
	case len(e.All) == 0:
		p.Notes = append(p.Notes, "the cluster has no endpoints")
	case len(reach) == 0:
		p.Notes = append(p.Notes, "no endpoint can be picked now")
	}
	if of, in := c.Dropped().Of, c.Dropped().In; of > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("%d of %d requests are refused before an endpoint is picked (drop_overloads)", of, in))
	}
	return p
}

// explainDestination says where a request goes that goes where its connection was going.
func (c *Cluster) explainDestination(p *Picture, to netip.AddrPort) {
	o := c.Config.Original
	if o.Header != "" {
		p.Notes = append(p.Notes, fmt.Sprintf("a request that has the header %s goes where that says", o.Header))
	}
	if !to.IsValid() {
		p.Notes = append(p.Notes, "the cluster goes where the connection was going before it was redirected, and this one was not redirected: nobody can be picked")
		return
	}
	if o.Port != 0 {
		to = netip.AddrPortFrom(to.Addr(), o.Port)
	}
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	s := EndpointState{Address: to.String(), Weight: 1, Health: "healthy", Pick: true}
	for i, e := 0, c.Endpoints(); i < len(e.All); i++ {
		if m := &e.All[i]; m.Address().AddrPort == to {
			s.Health, s.Why = m.healthWords()
			s.Active = m.Active.Load()
		}
	}
	p.Endpoints = []EndpointState{s}
}

func (p *Picture) subsetNotes(s *config.Subset, how found) {
	asked := "no subset is asked for"
	if s != nil {
		var parts []string
		for i, k := range s.Keys {
			parts = append(parts, k+" = "+s.Values[i])
		}
		asked = "the subset " + strings.Join(parts, ", ") + " is asked for"
	}
	switch how {
	case foundAsked:
		p.Notes = append(p.Notes, asked)
	case foundNone:
		p.Notes = append(p.Notes, asked+", which has nobody, and there is no fallback")
	default:
		if s != nil {
			asked += ", which has nobody"
		}
		p.Notes = append(p.Notes, asked+": the fallback serves")
	}
}

// levels is how the load is shared out.
func (c *choices) levels() (out []LevelState) {
	var before uint8
	for i := range c.shares {
		s := &c.shares[i]
		if s.until > before {
			out = append(out, LevelState{Priority: s.priority, Percent: s.until - before, Degraded: s.degraded, Panic: s.panic})
		}
		before = s.until
	}
	return out
}

// reach adds the positions of all endpoints that a choice may fall on.
func (c *choices) reach(to map[int32]bool) {
	add := func(at int32) {
		g := &c.groups[at]
		if g.table != nil {
			for _, h := range g.table.hosts {
				to[h.member] = true
			}
			return
		}
		for _, i := range g.members {
			to[i] = true
		}
	}
	var before uint8
	for i := range c.shares {
		s := &c.shares[i]
		switch {
		case s.until == before:
		case s.localities == nil:
			add(s.group)
		default:
			for _, l := range s.localities {
				add(l.group)
			}
		}
		before = s.until
	}
}

// healthWords are what the endpoint is good for, and why it is not good for more.
func (m *Member) healthWords() (health, why string) {
	var list []string
	switch m.Health {
	case config.HealthUnhealthy:
		list = append(list, "its source says that it is unhealthy")
	case config.HealthDraining:
		list = append(list, "its source says that it is draining")
	case config.HealthTimeout:
		list = append(list, "its source says that health checks have timed out")
	case config.HealthDegraded:
		list = append(list, "its source says that it is degraded")
	}
	for _, one := range []struct {
		mark  uint32
		words string
	}{
		{PendingCheck, "no health check has passed yet"},
		{FailedCheck, "health checks fail"},
		{Ejected, "outlier detection has ejected it"},
		{DegradedCheck, "a health check says that it is degraded"},
		{DegradedAnswer, "an answer says that it is degraded"},
		{SaidUnwell, "an answer says that it is not well"},
	} {
		if m.Standing.Has(one.mark) && !(one.mark == FailedCheck && m.Standing.Has(PendingCheck)) {
			list = append(list, one.words)
		}
	}
	if m.leaving {
		list = append(list, "its source has taken it away, and it stays while it is well")
	}
	return [...]string{"healthy", "degraded", "unhealthy"}[m.state()], strings.Join(list, "; ")
}

func localityWords(l *config.Locality) string {
	return strings.TrimRight(l.Region+"/"+l.Zone+"/"+l.SubZone, "/")
}

var typeNames = [...]string{config.Static: "STATIC", config.EDS: "EDS", config.OriginalDestination: "ORIGINAL_DST", config.StrictDNS: "STRICT_DNS", config.LogicalDNS: "LOGICAL_DNS"}

var balancerNames = [...]string{config.RoundRobin: "ROUND_ROBIN", config.LeastRequest: "LEAST_REQUEST", config.Random: "RANDOM", config.RingHash: "RING_HASH",
	config.Maglev: "MAGLEV", config.ClusterProvided: "CLUSTER_PROVIDED"}

// Target is a cluster that traffic may go to.
type Target struct {
	Cluster string   `json:"cluster"`
	Weight  uint32   `json:"weight"`
	Of      uint32   `json:"of"`                // what all weights sum to
	Chosen  bool     `json:"chosen,omitempty"`  // the request itself says that it is this one
	Why     string   `json:"why,omitempty"`     // what names it, or why there is none
	Picture *Picture `json:"picture,omitempty"` // nil: there is no such cluster
}

// Target looks a cluster up.
func (list Clusters) Target(name string, subset *config.Subset, to netip.AddrPort) Target {
	t := Target{Cluster: name, Weight: 1, Of: 1}
	if c := list[name]; c != nil {
		t.Picture = c.Explain(subset, to)
		return t
	}
	t.Why = fmt.Sprintf("there is no cluster %q", name)
	return t
}

// Copy is where a copy goes of Of of In requests, or calls.
type Copy struct {
	Cluster string `json:"cluster"`
	Of      uint64 `json:"of"`
	In      uint64 `json:"in"`
	Why     string `json:"why,omitempty"`
}
