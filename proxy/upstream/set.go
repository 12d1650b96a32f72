package upstream

import (
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/wire/http1"
)

// Set is everything upstream that lives in a process. Update is called by one goroutine; what it returns is read by the loops.
type Set struct {
	loops   []*loop.Loop
	store   *telemetry.Store
	zone    string // that we are in; empty: nobody has said
	options Options

	mu           sync.Mutex // between Update and whoever lists
	clusters     map[string]*Cluster
	breakers     map[string]*Breakers
	endpoints    map[endpointKey]*Endpoint
	standings    map[standingKey]*Standing
	destinations map[string]*destinations // by cluster
	services     map[string][]string      // clusters whose endpoints come under another name than their own, by that
	unused       []*Endpoint              // that may be named by nobody any more
	epoch        time.Time
	numbers      atomic.Uint64
	resolver     *resolver
}

// NewSet makes an empty set for those loops of a process in that zone.
func NewSet(loops []*loop.Loop, zone string, store *telemetry.Store, o Options) *Set {
	s := &Set{loops: loops, zone: zone, store: store, options: o, clusters: map[string]*Cluster{}, breakers: map[string]*Breakers{}, endpoints: map[endpointKey]*Endpoint{},
		standings: map[standingKey]*Standing{}, destinations: map[string]*destinations{}, resolver: newResolver(), epoch: time.Now()}
	s.numbers.Store(o.Numbered)
	return s
}

// Numbered is the number of the last upstream connection.
func (s *Set) Numbered() uint64 { return s.numbers.Load() }

// Clusters are a generation's clusters by name. It is not written to after it was made.
type Clusters map[string]*Cluster

// Update makes the clusters of a snapshot run. What did not change is the very same as before; endpoints, connections, breakers and
// numbers of what did are carried over; what is no longer named is drained: its idle connections close now, the others when their
// exchange is over.
func (s *Set) Update(snapshot *config.Snapshot) Clusters {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := make(Clusters, len(snapshot.Clusters))
	s.services = map[string][]string{}
	for _, c := range snapshot.Clusters {
		assignment := c.Static
		if c.Type == config.EDS {
			assignment = snapshot.Endpoints.Get(c.ServiceName)
			if c.ServiceName != c.Name {
				s.services[c.ServiceName] = append(s.services[c.ServiceName], c.Name)
			}
		}
		running := s.clusters[c.Name]
		if running == nil || running.Config.Hash != c.Hash {
			running = s.start(c)
		}
		if running.names == nil && running.source != assignment {
			s.assign(running, assignment)
		}
		if running.checker != nil && running.names == nil && s.clusters[c.Name] != running {
			running.checker.follow() // though there may be nobody to check
		}
		next[c.Name] = running
	}
	for name, old := range s.clusters {
		if next[name] != old {
			s.retire(old)
		}
		if next[name] == nil {
			delete(s.breakers, name)
		}
	}
	for name, d := range s.destinations {
		if c := next[name]; c == nil || c.destinations != d {
			d.close()
			d.count(s.clusters[name])
			delete(s.destinations, name)
		}
	}
	s.clusters = next
	s.drain()
	return next
}

// Assign gives the clusters of these service names the endpoints that a snapshot has, of which nothing else is another than in the one
// before it. What it costs is up to how many endpoints have changed, whatever else there is.
func (s *Set) Assign(snapshot *config.Snapshot, names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		a := snapshot.Endpoints.Get(name)
		if c := s.clusters[name]; c != nil && c.Config.Type == config.EDS && c.Config.ServiceName == name {
			s.assign(c, a)
		}
		for _, cluster := range s.services[name] {
			if c := s.clusters[cluster]; c != nil {
				s.assign(c, a)
			}
		}
	}
	s.drain()
}

// List is the clusters that run now, for whoever shows them.
func (s *Set) List() Clusters {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clusters
}

func (s *Set) start(c *config.Cluster) *Cluster {
	b := s.breakers[c.Name]
	if b == nil {
		b = &Breakers{}
		s.breakers[c.Name] = b
	}
	prefix, tag := "cluster."+c.StatName+".", telemetry.Tag{Name: "cluster_name", Value: c.StatName}
	running := &Cluster{
		Config:   c,
		Breakers: b,
		Drops:    &Drops{},
		Stats:    s.store.Acquire(Stats, prefix, tag),
		Codes:    s.store.Acquire(Codes, prefix, tag),
		Overall:  s.store.Acquire(Overall, prefix, tag),
		store:    s.store,
		from:     s.zone,
		epoch:    s.epoch,
		locals:   make([]atomic.Pointer[Local], len(s.loops)),
		decode: http1.Options{
			Limits:             http1.Limits{MaxHeadBytes: int(c.MaxHeadBytes), MaxHeaders: int(c.MaxHeaders)},
			KeepSpelling:       c.Spelling == config.SpellAsReceived,
			KeepReason:         c.ForwardReason,
			EnableTrailers:     c.Trailers,
			AllowChunkedLength: c.AllowChunkedLength,
		},
		encode: http1.WriteOptions{Spelling: http1.Spelling(c.Spelling)},
	}
	if c.Protocol.Mode != config.ProtocolHTTP1 {
		running.http2 = OptionsHTTP2(&c.Protocol.HTTP2, int(c.MaxHeadBytes), int(c.MaxHeaders))
		running.codec = s.store.Acquire(CodecStats, prefix+"http2.", tag)
	}
	running.tls = s.secure(c, prefix, tag)
	if old := s.clusters[c.Name]; old != nil {
		running.inherit(old)
	}
	for i, priority := range [...]string{"default", "high"} {
		if c.Breakers[i].TrackRemaining {
			running.remaining[i] = s.store.Acquire(Remaining, prefix+"circuit_breakers."+priority+".", tag)
		}
	}
	switch c.Balancer {
	case config.RingHash:
		running.table = s.store.Acquire(Rings, prefix, tag)
	case config.Maglev:
		running.table = s.store.Acquire(Maglevs, prefix, tag)
	}
	s.detect(running, prefix, tag)
	s.check(running, prefix, tag)
	s.keep(running, prefix, tag)
	running.endpoints.Store(compile(c, nil, nil))
	if c.Type == config.StrictDNS {
		running.Overall.Loop(len(s.loops)).Set(MaxHostWeight, 1)
	}
	s.resolve(running, prefix, tag)
	return running
}

// Refresh brings the gauges up to date that are only worth it when somebody looks.
func (s *Set) Refresh() {
	bit := map[bool]uint64{true: 1}
	for _, c := range s.List() {
		if c.destinations != nil {
			c.destinations.count(c)
		}
		for i := range c.Breakers {
			limits, counts := &c.Config.Breakers[i], &c.Breakers[i]
			retries := counts.RetryLimit(limits)
			v, rows := c.Overall.Loop(len(s.loops)), i*openRows
			v.Set(rows+OpenConnections, bit[counts.Connections.Open(limits.MaxConnections)])
			v.Set(rows+OpenPending, bit[counts.Pending.Open(limits.MaxPending)])
			v.Set(rows+OpenRequests, bit[counts.Requests.Open(limits.MaxRequests)])
			v.Set(rows+OpenRetries, bit[counts.Retries.Open(retries)])
			if c.remaining[i] == nil {
				continue
			}
			v = c.remaining[i].Loop(len(s.loops))
			v.Set(RemainingConnections, counts.Connections.Remaining(limits.MaxConnections))
			v.Set(RemainingPending, counts.Pending.Remaining(limits.MaxPending))
			v.Set(RemainingRequests, counts.Requests.Remaining(limits.MaxRequests))
			v.Set(RemainingRetries, counts.Retries.Remaining(retries))
		}
	}
}

// assign gives a cluster other endpoints. Those that it keeps are acquired before the old ones are released, so they live on.
func (s *Set) assign(c *Cluster, a *config.Assignment) {
	old := c.endpoints.Load()
	head, tail := 0, 0 // how many of the first and of the last are the same as before
	var members []Member
	if a != nil {
		members = make([]Member, len(a.Endpoints))
		if c.source != nil && !c.Config.KeepRemoved && len(old.All) == len(c.source.Endpoints) {
			head, tail = ends(a.Endpoints, c.source.Endpoints)
			copy(members, old.All[:head])
			copy(members[len(members)-tail:], old.All[len(old.All)-tail:])
		}
		for i := head; i < len(members)-tail; i++ {
			e := a.Endpoints[i]
			members[i] = Member{Endpoint: s.acquire(c.Config, e), Traits: &Traits{Hostname: e.Hostname, Weight: e.Weight, Health: e.Health, Priority: e.Priority,
				LocalityWeight: e.LocalityWeight, Locality: e.Locality, Metadata: e.Metadata, Canary: e.Metadata[lbMetadata]["canary"] == true, Check: e.Check,
				zone: c.zone(e.Locality.Zone)}}
			standing := members[i].Standing
			if c.detector == nil {
				standing.mark(Ejected|DegradedAnswer, false) // by a configuration that is gone
			} else if standing.outlier.Load() == nil {
				standing.outlier.Store(&outlier{})
			}
			standing.await(c.checker != nil && (e.Check == nil || !e.Check.Disabled), c.checker != nil && c.Config.Health.IgnoreNew)
		}
	}
	c.source = a
	members = s.keepLeaving(c, old.All, members)
	gone, come := old.All[head:len(old.All)-tail], members[head:len(members)-tail]
	s.compile(c, members)
	s.release(gone)
	if c.checker != nil {
		c.checker.follow()
	}
	v := c.Overall.Loop(len(s.loops))
	v.Add(MembershipChange, changedPriorities(gone, come))
	if c.Config.Type == config.EDS || c.Config.Type == config.StrictDNS {
		most := uint32(1)
		for i := range members {
			most = max(most, members[i].Weight)
		}
		v.Set(MaxHostWeight, uint64(most))
	}
}

// ends is how many of two lists are the same from the beginning, and from the end.
func ends(now, was []*config.Endpoint) (head, tail int) {
	least := min(len(now), len(was))
	for head < least && now[head] == was[head] {
		head++
	}
	for tail < least-head && now[len(now)-1-tail] == was[len(was)-1-tail] {
		tail++
	}
	return head, tail
}

// changedPriorities is in how many priorities there are other endpoints than before.
func changedPriorities(before, now []Member) (n uint64) {
	if len(before) == 0 && len(now) == 0 {
		return 0
	}
	had := make(map[*Endpoint]uint8, len(before))
	for i := range before {
		had[before[i].Endpoint] = before[i].Priority
	}
	var changed [256]bool
	for i := range now {
		p, ok := had[now[i].Endpoint]
		if !ok || p != now[i].Priority {
			changed[now[i].Priority] = true
		}
		if ok && p == now[i].Priority {
			delete(had, now[i].Endpoint)
		}
	}
	for _, p := range had {
		changed[p] = true
	}
	for _, yes := range changed {
		if yes {
			n++
		}
	}
	return n
}

// keepLeaving adds to a cluster's endpoints those that it has no more by its source, and that are well by its health checks: what a
// source forgets may be a mistake of the source.
func (s *Set) keepLeaving(c *Cluster, old, members []Member) []Member {
	if c.checker == nil || !c.Config.KeepRemoved {
		return members
	}
	stays := make(map[*Endpoint]bool, len(members))
	for i := range members {
		stays[members[i].Endpoint] = true
	}
	for _, m := range old {
		if !stays[m.Endpoint] && !m.Standing.Has(FailedCheck) {
			m.refs++
			m.leaving = true
			members = append(members, m)
		}
	}
	return members
}

// compile makes members what the cluster's next choices are made among, by what is known of their health now.
func (s *Set) compile(c *Cluster, members []Member) {
	e := compile(c.Config, c.source, members)
	old := c.endpoints.Swap(e)
	if c.Config.CloseOnChange {
		for i := range e.All {
			e.All[i].renew()
		}
	}
	v := c.Overall.Loop(len(s.loops))
	v.Add(MembershipTotal, uint64(len(e.All)-len(old.All)))
	v.Add(MembershipHealthy, uint64(e.Healthy()-old.Healthy()))
	v.Add(MembershipDegraded, uint64(e.Degraded()-old.Degraded()))
	v.Add(MembershipExcluded, uint64(e.excluded-old.excluded))
	if e.subsets != nil {
		v := c.Stats.Loop(len(s.loops))
		v.Set(SubsetsActive, uint64(len(e.subsets.of)))
		v.Add(SubsetsCreated, uint64(e.subsets.notIn(old.subsets)))
		v.Add(SubsetsCut, uint64(e.subsets.cut))
		v.Add(SubsetsRemoved, uint64(old.subsets.notIn(e.subsets)))
	}
	if c.table != nil {
		v := c.table.Loop(len(s.loops))
		v.Set(TableLeast, e.tables.least)
		v.Set(TableMost, e.tables.most)
		if c.Config.Balancer == config.RingHash {
			v.Set(TableSize, e.tables.size)
		}
	}
}

func (s *Set) acquire(c *config.Cluster, of *config.Endpoint) *Endpoint {
	k := endpointKey{c.Name, identity(c, of), connectSettingsOf(c, of.Metadata, of.Hostname)}
	e := s.endpoints[k]
	if e == nil {
		e = &Endpoint{key: k, Standing: s.standing(c.Name, k.address), numbers: &s.numbers, pools: make([]atomic.Pointer[Pool], len(s.loops))}
		s.endpoints[k] = e
	}
	if k.address != of.Address {
		e.moved.Store(&of.Address)
	}
	e.refs++
	return e
}

// identity is what an endpoint goes by: its address or, in a cluster of type LOGICAL_DNS, its name, so that it is the same wherever it
// moves to.
func identity(c *config.Cluster, e *config.Endpoint) config.Address {
	if c.Type != config.LogicalDNS {
		return e.Address
	}
	return config.Address{Path: net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port)))}
}

func (s *Set) standing(cluster string, a config.Address) *Standing {
	k := standingKey{cluster, a}
	v := s.standings[k]
	if v == nil {
		v = &Standing{key: k}
		v.since.Store(int64(time.Since(s.epoch)))
		s.standings[k] = v
	}
	v.refs++
	return v
}

func (s *Set) release(members []Member) {
	for i := range members {
		s.drop(members[i].Endpoint)
	}
}

// drop says that an endpoint is named once less.
func (s *Set) drop(e *Endpoint) {
	if e.refs--; e.refs == 0 {
		s.unused = append(s.unused, e)
	}
}

func (s *Set) retire(c *Cluster) {
	e := c.endpoints.Load()
	s.release(e.All)
	if len(e.All) != 0 {
		v := c.Overall.Loop(len(s.loops))
		v.Add(MembershipTotal, uint64(-len(e.All)))
		v.Add(MembershipHealthy, uint64(-e.Healthy()))
		v.Add(MembershipDegraded, uint64(-e.Degraded()))
		v.Add(MembershipExcluded, uint64(-e.excluded))
	}
	if c.table != nil {
		s.store.Release(c.table)
	}
	if c.checker != nil {
		c.checker.stop()
		s.store.Release(c.checker.owner)
	}
	if c.names != nil {
		c.names.end()
		s.store.Release(c.names.owner)
	}
	if c.keeper != nil {
		c.keeper.stop()
		s.store.Release(c.keeper.owner)
	}
	if c.detector != nil {
		c.detector.stop()
		s.store.Release(c.detector.owner)
	}
	if t := c.tls; t != nil {
		s.store.Release(t.stats)
		s.store.Release(t.agreed)
	}
	if c.codec != nil {
		s.store.Release(c.codec)
	}
	s.store.Release(c.Stats)
	s.store.Release(c.Codes)
	s.store.Release(c.Overall)
	c.releaseParts()
	for _, owner := range c.remaining {
		if owner != nil {
			s.store.Release(owner)
		}
	}
}

// drain ends the endpoints that nothing names any more.
func (s *Set) drain() {
	for _, e := range s.unused {
		if e.refs > 0 || s.endpoints[e.key] != e { // it is named again, or was in the list twice
			continue
		}
		delete(s.endpoints, e.key)
		if e.Standing.refs--; e.Standing.refs == 0 {
			delete(s.standings, e.Standing.key)
		}
		s.end(e)
	}
	s.unused = nil
}

// end closes an endpoint's idle connections; the others close when their exchange is over.
func (s *Set) end(e *Endpoint) {
	e.gone.Store(true)
	for i := range e.pools {
		if p := e.pools[i].Load(); p != nil {
			s.loops[i].Post(p.drain)
		}
	}
}
