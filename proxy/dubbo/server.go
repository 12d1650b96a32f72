package dubbo

import (
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/proxy/upstream"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/telemetry/accesslog"
	wire "github.com/weftmesh/weft/wire/dubbo"
)

// Server is a running Dubbo proxy. It is not written to after it was made, but for what it has said.
type Server struct {
	config   *config.Dubbo
	stats    *telemetry.Owner
	limit    int
	inbound  bool
	log      *slog.Logger
	filters  []filter
	logs     []*accesslog.Log
	chain    string // the filter chain's name
	listener string
	about    accesslog.About
	nextConn *atomic.Uint64
	next     atomic.Pointer[Server]     // whose chain has taken the place of its own; nil: none has
	last     atomic.Pointer[Generation] // its chain has gone, and this is what its calls meet; nil: whatever is in force
	said     sync.Map                   // serializations that are not read, and of which that was said
}

// Generation is what a call keeps to its end: the routes that have come by themselves, by name, and the clusters of one configuration. It is not written to after it was made.
type Generation struct {
	Routes   map[string]*config.DubboRoutes
	Clusters upstream.Clusters
}

// Origin is what servers are made with.
type Origin struct {
	Stats    *telemetry.Store
	Kept     *filters.Kept // buckets of filters, which outlive configurations
	Logs     func(config.AccessLog) *accesslog.Log
	NextConn *atomic.Uint64 // the last connection's number
	Log      *slog.Logger
}

// NewServer compiles the Dubbo proxy of a filter chain.
func NewServer(chain *config.FilterChain, l *config.Listener, o *Origin) *Server {
	c := chain.Dubbo
	s := &Server{
		config:   c,
		stats:    o.Stats.Acquire(Stats, "dubbo."+c.StatPrefix+"."),
		filters:  newFilters(c, l.Name+"/"+chain.ID, o.Kept, o.Stats),
		limit:    int(l.BufferLimit),
		inbound:  l.Direction == config.Inbound,
		log:      o.Log,
		chain:    chain.Name,
		listener: l.Name,
		nextConn: o.NextConn,
	}
	s.about[accesslog.OfListener], s.about[accesslog.OfChain] = l.Metadata, chain.Metadata
	for _, a := range c.AccessLogs {
		s.logs = append(s.logs, o.Logs(a))
	}
	return s
}

// EndsWith says that a server is gone and that none has taken its place: calls that still come on its connections meet this generation.
func (s *Server) EndsWith(g *Generation) { s.last.Store(g) }

// generation is what a call meets that begins now.
func (s *Server) generation(l *Local) *Generation {
	if last := s.last.Load(); last != nil {
		return last
	}
	return l.Generation
}

// table is the routes that a call of this server meets; nil if they have not arrived.
func (s *Server) table(g *Generation) *config.DubboRoutes {
	if s.config.Routes != nil {
		return s.config.Routes
	}
	return g.Routes[s.config.RouteName]
}

// unread says once that calls of a serialization are not looked into.
func (s *Server) unread(of wire.Serialization) {
	if _, is := s.said.LoadOrStore(of, true); !is {
		s.log.Warn("calls in a serialization that is not read go by the route that asks for nothing", "serialization", of, "proxy", s.config.StatPrefix)
	}
}

// Local is what Dubbo has of one loop.
type Local struct {
	Loop       *loop.Loop
	Generation *Generation // set, on the loop, before the first connection
	conns      *conn       // all of them, through next and prev
	spare      *call       // through next
	spares     int
	reader     wire.Call
	asks       caller
	wish       upstream.Wish
	scratch    []byte
	kept       int     // bytes of frames that are kept to be sent again
	mirrors    *mirror // idle, through next
	idle       int
	underWay   int // copies of calls
	mirrored   int // bytes of their frames
}

// CloseAll ends the loop's connections at once.
func (l *Local) CloseAll() {
	for l.conns != nil {
		l.conns.end(cxLocalActive)
	}
}

// SucceededBy says which server has taken the place of one that is gone, before Retire is called on the loops.
func (s *Server) SucceededBy(next *Server) { s.next.Store(next) }

// Retire has the connections of a server that is gone go on with the one that has taken its place, each from its next call on; if there is none they end with the calls that are under way.
func (l *Local) Retire(old *Server) {
	for c := l.conns; c != nil; {
		after := c.next
		if c.server == old {
			c.follow()
		}
		c = after
	}
}

// Part asks the clients of all connections to go, or of those of inbound listeners alone.
func (l *Local) Part(inboundOnly bool) {
	for c := l.conns; c != nil; {
		after := c.next
		if !inboundOnly || c.server.inbound {
			c.retire()
		}
		c = after
	}
}

// Connections is the number of downstream connections of the loop.
func (l *Local) Connections() (n int) {
	for c := l.conns; c != nil; c = c.next {
		n++
	}
	return n
}

// keepCalls bounds what a loop keeps for later.
const keepCalls = 1024

func (l *Local) call() *call {
	t := l.spare
	if t == nil {
		return new(call)
	}
	l.spare, t.next = t.next, nil
	l.spares--
	return t
}

func (l *Local) release(t *call) {
	t.end(l)
	if l.spares < keepCalls {
		t.next, l.spare = l.spare, t
		l.spares++
	}
}
