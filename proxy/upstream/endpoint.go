package upstream

import (
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"unique"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/loop"
)

// Endpoint is one place where a cluster is served, as long as it is: it goes by the cluster, its address and how we connect to it,
// and outlives the configurations that name it, with its connections and counts.
type Endpoint struct {
	key  endpointKey
	refs int // assignments that name it; for the Set's goroutine
	gone atomic.Bool
	// moved is where the endpoint is now, if that may change; connections that stand stay where they are.
	moved atomic.Pointer[config.Address]
	pools []atomic.Pointer[Pool] // by loop
	// Standing is shared with endpoints of the same address that are connected to in another way.
	Standing *Standing
	// numbers is the Set's: the last upstream connection's number.
	numbers *atomic.Uint64

	// Active is the requests, or TCP connections, that are under way over all loops.
	Active InFlight
	Counts EndpointCounts
}

// renew closes the endpoint's idle connections and has those in use close when their exchange is over: what made it unwell may be a matter
// of theirs.
func (e *Endpoint) renew() {
	for i := range e.pools {
		if p := e.pools[i].Load(); p != nil {
			p.loop.Post(func() {
				p.era++
				p.drain()
			})
		}
	}
}

// unwell renews the endpoint and closes tunnels that it has for those who want that.
func (e *Endpoint) unwell() {
	e.renew()
	for i := range e.pools {
		if p := e.pools[i].Load(); p != nil {
			p.loop.Post(func() {
				for _, t := range slices.Collect(maps.Keys(p.tunnels)) { // who is closed may make another one
					if _, ok := p.tunnels[t]; ok {
						t.unwell()
					}
				}
			})
		}
	}
}

// EndpointCounts are an endpoint's numbers over all loops, as /clusters shows them.
type EndpointCounts struct {
	CxTotal, CxActive, CxConnectFail       atomic.Int64
	RqTotal, RqSuccess, RqError, RqTimeout atomic.Int64
}

// endpointKey is an endpoint's identity. A change of anything here makes another endpoint, with connections of its own.
type endpointKey struct {
	cluster string
	address config.Address
	connect unique.Handle[connectSettings] // of a word's size: most endpoints have the same
}

// connectSettings is the part of a cluster's configuration that a connection is made with and cannot change afterwards.
type connectSettings struct {
	keepAlive       config.TCPKeepAlive
	binding         string // as fmt writes it; empty: none
	maxHeaders      uint32
	maxHeadBytes    uint32
	trailers        bool
	allowChunkedLen bool
	spelling        config.Spelling
	forwardReason   bool
	tls             config.Hash // zero: plain text
	header          uint8       // the version of the PROXY protocol; 0: none
	name            string      // that the endpoint's TLS server is asked for; "": as the cluster says
}

// connectSettingsOf is how an endpoint is connected to, with those metadata and that name of its own.
func connectSettingsOf(c *config.Cluster, metadata config.Metadata, hostname string) unique.Handle[connectSettings] {
	s := connectSettings{maxHeaders: c.MaxHeaders, maxHeadBytes: c.MaxHeadBytes, trailers: c.Trailers,
		allowChunkedLen: c.AllowChunkedLength, spelling: c.Spelling, forwardReason: c.ForwardReason}
	if c.KeepAlive != nil {
		s.keepAlive = *c.KeepAlive
	}
	transport := c.TransportOf(metadata)
	s.header = transport.ProxyHeader
	if t := transport.TLS; t != nil {
		s.tls = t.Hash
		if t.EndpointName {
			s.name = hostname
		}
	}
	if c.Binding != nil {
		s.binding = fmt.Sprint(*c.Binding)
	}
	return unique.Make(s)
}

// Address is where the endpoint is, and where new connections go.
func (e *Endpoint) Address() config.Address {
	if a := e.moved.Load(); a != nil {
		return *a
	}
	return e.key.address
}

// pool is the loop's pool of connections to the endpoint, made at first use.
func (e *Endpoint) pool(l *loop.Loop) *Pool {
	slot := &e.pools[l.Index()]
	if p := slot.Load(); p != nil {
		return p
	}
	p := &Pool{endpoint: e, loop: l}
	slot.Store(p)
	return p
}

// Endpoints is a cluster's endpoints at one time, with what balancing needs of them worked out. It is not written to after it was made.
type Endpoints struct {
	All      []Member
	choices                  // among all
	counts   [3]int          // by state
	drop     config.Fraction // of requests, that are refused
	category string          // of those
	excluded int             // that do not count when it is asked which part is well
	subsets  *subsets        // nil: the cluster has none
	tables   tableNumbers    // of the hash table that was made last
	// slowUntil is when the newest endpoint has its whole weight, in nanoseconds since the Set was made.
	slowUntil int64
}

// Member is an endpoint and what this assignment says of it.
type Member struct {
	*Endpoint
	*Traits
	leaving bool // its source has taken it away, and it stays while it is well
}

// Traits are what the source of a cluster's endpoints says of one. They are shared by all that is made of the same words, so that a change of
// one of a thousand copies two pointers of each of the others.
type Traits struct {
	Hostname       string
	Weight         uint32
	Health         config.Health // as the source of the assignment says
	Priority       uint8
	LocalityWeight uint32
	Locality       config.Locality
	Metadata       config.Metadata
	Canary         bool                  // its metadata say so
	Check          *config.EndpointCheck // nil: as the cluster says
	zone           *zone                 // nil: its answers are not counted by zones
}

// counts tells whether the endpoint is among those of which a part must be well. One that its source is taking out is not.
func (m *Member) counts() bool { return !m.Standing.Has(excluded) && m.Health != config.HealthDraining }

// state is what an endpoint is good for.
type state uint8

const (
	healthy state = iota
	degraded
	unhealthy
)

// Leaving tells whether the endpoint is one that its source has taken away.
func (m *Member) Leaving() bool { return m.leaving }

// state judges by all that is known now.
func (m *Member) state() state {
	switch m.Health {
	case config.HealthUnhealthy, config.HealthDraining, config.HealthTimeout:
		return unhealthy
	}
	switch {
	case m.Standing.Has(Ejected | FailedCheck):
		return unhealthy
	case m.Health == config.HealthDegraded || m.Standing.Has(DegradedCheck|DegradedAnswer):
		return degraded
	}
	return healthy
}

// compile works out who may get requests.
func compile(c *config.Cluster, a *config.Assignment, all []Member) *Endpoints {
	e := &Endpoints{All: all}
	f := factors{cluster: c, overprovisioning: defaultOverprovisioning}
	if a != nil {
		f.overprovisioning, f.weigh = uint64(a.Overprovisioning), a.WeighHealth
		e.drop, e.category = a.Drop, a.DropCategory
	}
	members := make([]int32, len(all))
	for i := range all {
		members[i] = int32(i)
		e.counts[all[i].state()]++
		if !all[i].counts() {
			e.excluded++
		}
	}
	e.choices = f.choices(all, members)
	e.tables = f.tables
	if c.SlowStart != nil {
		for i := range all {
			if all[i].state() == healthy {
				e.slowUntil = max(e.slowUntil, all[i].Standing.since.Load()+int64(c.SlowStart.Window))
			}
		}
	}
	if c.Subsets != nil {
		e.subsets = f.subsets(all)
	}
	return e
}

// defaultOverprovisioning is Envoy's, in percent.
const defaultOverprovisioning = 140

// Healthy is the number of endpoints that were healthy when this was compiled.
func (e *Endpoints) Healthy() int { return e.counts[healthy] }

// Degraded is the number of endpoints that serve only while there are too few healthy ones.
func (e *Endpoints) Degraded() int { return e.counts[degraded] }
