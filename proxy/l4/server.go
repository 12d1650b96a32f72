package l4

import (
	"slices"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/proxy/upstream"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/telemetry/accesslog"
)

// Server is a running TCP proxy. It is not written to after it was made.
type Server struct {
	config   *config.TCP
	stats    *telemetry.Owner
	logs     []*accesslog.Log
	state    []config.SetState // of every connection
	limit    int
	chain    string // the filter chain's name
	id       string // and its ID
	listener string
	about    accesslog.About
	nextConn *atomic.Uint64
}

// NewServer compiles the TCP proxy of a filter chain. nextConn numbers the process's connections.
func NewServer(chain *config.FilterChain, l *config.Listener, store *telemetry.Store, logs func(config.AccessLog) *accesslog.Log, nextConn *atomic.Uint64) *Server {
	c := chain.TCP
	s := &Server{
		config:   c,
		stats:    store.Acquire(Stats, "tcp."+c.StatPrefix+".", telemetry.Tag{Name: "tcp_prefix", Value: c.StatPrefix}),
		limit:    int(l.BufferLimit),
		chain:    chain.Name,
		id:       chain.ID,
		listener: l.Name,
		state:    chain.State,
		nextConn: nextConn,
	}
	s.about[accesslog.OfListener], s.about[accesslog.OfChain] = l.Metadata, chain.Metadata
	for _, a := range c.AccessLogs {
		s.logs = append(s.logs, logs(a))
	}
	return s
}

// Local is what TCP has of one loop: its tunnels, and the clusters that new ones get.
type Local struct {
	Loop     *loop.Loop
	Clusters upstream.Clusters
	Demands  upstream.Demands
	Known    map[config.Demand]bool // what there is an answer about, of what was demanded
	tunnels  *tunnel                // all of them, through next and prev
	movable  func(*Movable)         // hears of each that comes to stand; nil: nobody does
	answered *answered              // all of them, through next and prev
	wish     upstream.Wish
}

// CloseAll ends the loop's connections at once.
func (l *Local) CloseAll() {
	for t := l.tunnels; t != nil; {
		next := t.next
		t.end("server shutdown")
		t = next
	}
	for l.answered != nil {
		l.answered.drop()
	}
}

// Connections is the number of downstream connections of the loop.
func (l *Local) Connections() int {
	n := 0
	for t := l.tunnels; t != nil; t = t.next {
		n++
	}
	for c := l.answered; c != nil; c = c.next {
		n++
	}
	return n
}

// wishOf is what a tunnel asks of the choice of its endpoint; nil for nothing in particular.
func (l *Local) wishOf(t *tunnel, subset *config.Subset) *upstream.Wish {
	destination := t.down.Destination()
	hashed := t.server.config.HashSource
	if own := t.cluster.Config.Hashing.Policies; len(own) > 0 {
		hashed = slices.ContainsFunc(own, func(p config.HashPolicy) bool { return p.Kind == config.HashSource })
	}
	hashed = hashed && t.down.Remote().IsValid()
	if subset == nil && !hashed && !destination.IsValid() {
		return nil
	}
	l.wish = upstream.Wish{Subset: subset, Destination: destination, Hashed: hashed}
	if hashed {
		var b [64]byte
		l.wish.Hash = xxhash.Sum64(t.down.Remote().Addr().AppendTo(b[:0]))
	}
	return &l.wish
}

// choose picks a share by its weight.
func choose(c *config.TCP, random uint64) *config.WeightedCluster {
	if len(c.Clusters) == 1 {
		return &c.Clusters[0]
	}
	at := uint32(random % uint64(c.TotalWeight))
	for i := range c.Clusters {
		if at < c.Clusters[i].Weight {
			return &c.Clusters[i]
		}
		at -= c.Clusters[i].Weight
	}
	return &c.Clusters[len(c.Clusters)-1]
}
