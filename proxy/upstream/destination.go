package upstream

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"unique"
	"unsafe"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/telemetry"
)

// destinations are the endpoints of a cluster of type ORIGINAL_DST: each comes when a request first wants to go there, and goes when
// none has for a while and no connection is left. They go by the cluster's name and outlive its configurations.
type destinations struct {
	set     *Set
	cluster string

	mu      sync.Mutex // a loop takes it for a place that is new to it
	of      map[netip.AddrPort]*destination
	connect unique.Handle[connectSettings] // that the endpoints are connected to with
	closed  bool                           // no configuration has the cluster any more
	counted [2]int                         // in the gauges of owner: all, and the healthy ones
	owner   *telemetry.Owner
}

// destination is one of them.
type destination struct {
	Member
	used atomic.Bool // since the keeper has last looked
}

// maxDestinations bounds a cluster's destinations, of which a peer may name as many as it likes.
const maxDestinations = 16 << 10

// chooseDestination is Choose for such a cluster. Whether an endpoint is healthy does not matter: there is no other.
func (c *Cluster) chooseDestination(l *loop.Loop, local *Local, w *Wish) *Member {
	if w == nil || !w.Destination.IsValid() {
		return nil
	}
	to := netip.AddrPortFrom(w.Destination.Addr().Unmap(), w.Destination.Port())
	if port := c.Config.Original.Port; port != 0 {
		to = netip.AddrPortFrom(to.Addr(), port)
	}
	d := local.destinations[to]
	if d == nil || d.gone.Load() {
		if d = c.destinations.find(c, to); d == nil {
			c.keeper.owner.Loop(l.Index()).Inc(DestinationsOverflow)
			return nil
		}
		if local.destinations == nil {
			local.destinations = map[netip.AddrPort]*destination{}
		}
		local.destinations[to] = d
	}
	if !d.used.Load() {
		d.used.Store(true)
	}
	return &d.Member
}

// find is the destination at a place, made if it is new; nil if there are too many.
func (s *destinations) find(c *Cluster, to netip.AddrPort) *destination {
	s.mu.Lock()
	defer s.mu.Unlock()
	connect := connectSettingsOf(c.Config, nil, "")
	if s.closed || connect != s.connect {
		// The request has begun with a configuration that is gone: what it gets goes with it.
		d := s.make(to, connect, &Standing{})
		d.Standing.outlier.Store(&outlier{})
		d.gone.Store(true)
		return d
	}
	d := s.of[to]
	if d != nil {
		return d
	}
	if len(s.of) >= maxDestinations {
		return nil
	}
	d = s.make(to, connect, &Standing{})
	if c.detector != nil {
		d.Standing.outlier.Store(&outlier{})
	}
	d.used.Store(true)
	s.of[to] = d
	c.Overall.Loop(len(s.set.loops)).Inc(MembershipChange)
	return d
}

func (s *destinations) make(to netip.AddrPort, connect unique.Handle[connectSettings], standing *Standing) *destination {
	address := config.Address{AddrPort: to}
	e := &Endpoint{key: endpointKey{s.cluster, address, connect}, Standing: standing, numbers: &s.set.numbers, pools: make([]atomic.Pointer[Pool], len(s.set.loops))}
	return &destination{Member: Member{Endpoint: e, Traits: &Traits{Hostname: s.cluster + to.String(), Weight: 1}}}
}

// serve gives a cluster's configuration the destinations of the one before. If it connects in another way the endpoints are others, of
// the same standing.
func (s *destinations) serve(c *Cluster) {
	s.mu.Lock()
	defer s.mu.Unlock()
	connect := connectSettingsOf(c.Config, nil, "")
	for to, d := range s.of {
		if c.detector == nil {
			d.Standing.mark(Ejected, false) // by a configuration that is gone
		} else if d.Standing.outlier.Load() == nil {
			d.Standing.outlier.Store(&outlier{})
		}
		if connect != s.connect {
			s.of[to] = s.make(to, connect, d.Standing)
			s.set.end(d.Endpoint)
		}
	}
	s.connect = connect
}

// close ends all of them, for nothing names the cluster any more.
func (s *destinations) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, d := range s.of {
		s.set.end(d.Endpoint)
	}
	s.of = nil
}

// sweep ends those that nobody has used since the last time, and tells which they were.
func (s *destinations) sweep() (gone []netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for to, d := range s.of {
		if d.used.Swap(false) || d.Counts.CxActive.Load() > 0 {
			continue
		}
		delete(s.of, to)
		d.gone.Store(true)
		gone = append(gone, to)
	}
	return gone
}

// list is the destinations now, as endpoints for whoever shows or judges them.
func (s *destinations) list(c *config.Cluster) *Endpoints {
	s.mu.Lock()
	defer s.mu.Unlock()
	members := make([]Member, 0, len(s.of))
	for _, d := range s.of {
		members = append(members, d.Member)
	}
	return compile(c, nil, members)
}

// count brings the cluster's gauges up to date, which nobody needs before somebody looks.
func (s *destinations) count(c *Cluster) {
	e, v := s.list(c.Config), c.Overall.Loop(len(s.set.loops))
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Overall != s.owner {
		s.owner, s.counted = c.Overall, [2]int{} // it is called by another name now
	}
	now := [...]int{len(e.All), e.Healthy()}
	v.Add(MembershipTotal, uint64(now[0]-s.counted[0]))
	v.Add(MembershipHealthy, uint64(now[1]-s.counted[1]))
	s.counted = now
}

// ParseDestination reads where a request's field asks to go; what makes no sense is counted, and is nowhere.
func (c *Cluster) ParseDestination(l *loop.Loop, text []byte) (to netip.AddrPort) {
	// A string that is of the same bytes: nothing of it outlives the call but in the error, which is dropped.
	to, err := netip.ParseAddrPort(unsafe.String(unsafe.SliceData(text), len(text)))
	if err != nil || to.Addr().Zone() != "" {
		c.keeper.owner.Loop(l.Index()).Inc(DestinationsInvalid)
		return netip.AddrPort{}
	}
	return to
}

// keeper sweeps a cluster's destinations. It lives on one loop.
type keeper struct {
	cluster *Cluster
	set     *Set
	owner   *telemetry.Owner
	timer   loop.Timer
	stopped bool
}

func (k *keeper) start() {
	home := k.set.loops[0]
	home.Post(func() {
		if !k.stopped {
			home.SetTimer(&k.timer, k.cluster.Config.Original.Cleanup, k)
		}
	})
}

func (k *keeper) stop() {
	home := k.set.loops[0]
	home.Post(func() {
		k.stopped = true
		home.StopTimer(&k.timer)
	})
}

// Expired sweeps, and has every loop forget what is gone.
func (k *keeper) Expired(*loop.Timer) {
	c := k.cluster
	k.set.loops[0].SetTimer(&k.timer, c.Config.Original.Cleanup, k)
	gone := c.destinations.sweep()
	if len(gone) == 0 {
		return
	}
	c.Overall.Loop(0).Inc(MembershipChange)
	for _, l := range k.set.loops {
		l.Post(func() {
			known := c.Local(l).destinations
			for _, to := range gone {
				if d := known[to]; d != nil && d.gone.Load() {
					delete(known, to)
				}
			}
		})
	}
}

// OnPanic lets the sweeps go on: Expired has set the next one first.
func (k *keeper) OnPanic(any) {}

// keep gives a cluster its destinations, if it is of that kind.
func (s *Set) keep(c *Cluster, prefix string, tag telemetry.Tag) {
	if c.Config.Type != config.OriginalDestination {
		return
	}
	d := s.destinations[c.Config.Name]
	if d == nil {
		d = &destinations{set: s, cluster: c.Config.Name, of: map[netip.AddrPort]*destination{}}
		s.destinations[c.Config.Name] = d
	}
	d.serve(c)
	c.destinations = d
	c.keeper = &keeper{cluster: c, set: s, owner: s.store.Acquire(Destinations, prefix, tag)}
	c.keeper.start()
}

// Rows of what is told of destinations.
const (
	DestinationsInvalid = iota
	DestinationsOverflow
)

// Destinations is the table of these numbers: the first under Envoy's name.
var Destinations = &telemetry.Table{Kind: "cluster", Metrics: []telemetry.Metric{
	DestinationsInvalid:  {Name: "original_dst_host_invalid"},
	DestinationsOverflow: {Name: "original_dst_host_overflow"},
}}
