package upstream

import (
	"math"
	"slices"
	"sync/atomic"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/loop"
)

// Endpoint is one place where a cluster is served, as long as it is: it goes by the cluster, its address and how we connect to it,
// and outlives the configurations that name it, with its connections and counts.
type Endpoint struct {
	key   endpointKey
	refs  int // assignments that name it; for the Set's goroutine
	gone  atomic.Bool
	pools []atomic.Pointer[Pool] // by loop
	// numbers is the Set's: the last upstream connection's number.
	numbers *atomic.Uint64

	// Active is the requests, or TCP connections, that are under way over all loops.
	Active InFlight
	Counts EndpointCounts
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
	connect connectSettings
}

// connectSettings is the part of a cluster's configuration that a connection is made with and cannot change afterwards.
type connectSettings struct {
	keepAlive       config.TCPKeepAlive
	maxHeaders      uint32
	maxHeadBytes    uint32
	trailers        bool
	allowChunkedLen bool
	spelling        config.Spelling
	forwardReason   bool
}

func connectSettingsOf(c *config.Cluster) connectSettings {
	s := connectSettings{maxHeaders: c.MaxHeaders, maxHeadBytes: c.MaxHeadBytes, trailers: c.Trailers,
		allowChunkedLen: c.AllowChunkedLength, spelling: c.Spelling, forwardReason: c.ForwardReason}
	if c.KeepAlive != nil {
		s.keepAlive = *c.KeepAlive
	}
	return s
}

// Address is where the endpoint is.
func (e *Endpoint) Address() config.Address { return e.key.address }

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
	All     []Member
	healthy []int32 // positions in All that may get requests
	// panic: too few are healthy, so health is not looked at.
	panic    bool
	weighted bool // not all of equal weight
}

// Member is an endpoint and what this assignment says of it.
type Member struct {
	*Endpoint
	Hostname string
	Weight   uint32
	Health   config.Health
	Locality config.Locality
}

// overprovisioning is how much more than its share the healthy part is taken to bear: with 72 % healthy nothing is amiss, whatever the
// panic threshold. Envoy's default.
const overprovisioning = 1.4

// compile works out who may get requests, as Envoy does: the healthy ones; without any of those the degraded; all of them in a panic,
// which is when too few are either.
func compile(all []Member, panicPercent float64) *Endpoints {
	e := &Endpoints{All: all}
	var degraded []int32
	for i := range all {
		switch all[i].Health {
		case config.HealthUnknown, config.HealthHealthy:
			e.healthy = append(e.healthy, int32(i))
		case config.HealthDegraded:
			degraded = append(degraded, int32(i))
		}
		e.weighted = e.weighted || all[i].Weight != all[0].Weight
	}
	n, good := float64(len(all)), float64(len(e.healthy)+len(degraded))
	e.panic = overprovisioning*good < n && 100*good < math.Floor(panicPercent)*n // whole percents only, as seen of Envoy 1.40
	switch {
	case e.panic:
		e.healthy = e.healthy[:0]
		for i := range all {
			e.healthy = append(e.healthy, int32(i))
		}
	case len(e.healthy) == 0:
		e.healthy = degraded
	}
	e.healthy = slices.Clip(e.healthy)
	return e
}

// Healthy is the number of endpoints that the source calls healthy, or says nothing of.
func (e *Endpoints) Healthy() int {
	n := 0
	for i := range e.All {
		if h := e.All[i].Health; h == config.HealthUnknown || h == config.HealthHealthy {
			n++
		}
	}
	return n
}

// Panic tells whether so few are healthy that health is not looked at.
func (e *Endpoints) Panic() bool { return e.panic }
