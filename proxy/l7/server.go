package l7

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/proxy/loop"
	"github.com/weftmesh/weft/proxy/upstream"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/wire/http1"
	"github.com/weftmesh/weft/wire/http2"
)

// Generation is what a request keeps to its end: the routes and the clusters of one configuration. It is not written to after it was
// made.
type Generation struct {
	Routes   map[string]*Table // those that connection managers name
	Clusters upstream.Clusters
	Answered map[config.Demand]bool // as a snapshot has it
	scopes   map[*Server]scopes     // of those that choose among tables
	links    map[*Server]*links     // of those of which some filters' configurations come by themselves
}

// Link has a connection manager of this generation filter by what has come for its filters. It is for who makes the generation.
func (g *Generation) Link(s *Server, come map[string]*config.Extension) {
	if !s.Discovers() {
		return
	}
	s.link(come)
	if g.links == nil {
		g.links = map[*Server]*links{}
	}
	g.links[s] = s.links.Load()
}

// Server is a running HTTP connection manager. It is not written to after it was made, but for its filters.
type Server struct {
	config   *config.HTTP
	inline   *Table // if the routes came with the listener
	decode   http1.Options
	http2    http2.Options
	codec    *telemetry.Owner // of HTTP/2, of the whole process
	encode   http1.WriteOptions
	links    atomic.Pointer[links]
	scopes   atomic.Pointer[scopes] // the last ones, for connections that outlive their chain
	mates    map[any]any            // what its filters have in common
	stats    *telemetry.Owner
	logs     []*accesslog.Log
	mappers  []mapper // of replies
	chainAs  string   // the filter chain's name
	chainID  string
	listener string
	about    accesslog.About
	state    []config.SetState // of every connection
	limit    int               // watermark of a connection, in bytes
	via      []byte
	agent    []byte
	name     []byte
	node     []byte // of --service-node, for add_user_agent
	inbound  config.Direction
	origin   *Origin
	next     atomic.Pointer[Server]     // whose chain has taken the place of its own; nil: none has
	last     atomic.Pointer[Generation] // its chain has gone, and this is what its requests meet; nil: whatever is in force
}

// Origin is what all servers of a process share.
type Origin struct {
	Stats    *telemetry.Store
	Cluster  string     // --service-cluster
	Node     string     // --service-node
	NodeAs   []byte     // all that the bootstrap says of the node, in protobuf's wire format
	Host     netip.Addr // this host's own address; not valid: loopback stays loopback
	Drain    *Drain
	Specs    []filters.Spec
	Logs     func(config.AccessLog) *accesslog.Log
	NextConn *atomic.Uint64 // the last connection's number
	Kept     filters.Kept
	Health   filters.Health
}

// NewServer compiles the connection manager of a filter chain.
func NewServer(chain *config.FilterChain, l *config.Listener, o *Origin) *Server {
	c := chain.HTTP
	s := &Server{
		config: c,
		decode: http1.Options{
			Limits:             http1.Limits{MaxHeadBytes: int(c.MaxHeadBytes), MaxHeaders: int(c.MaxHeaders)},
			KeepSpelling:       c.Spelling == config.SpellAsReceived,
			AllowHTTP10:        c.AllowHTTP10,
			DefaultHost:        []byte(c.DefaultHost),
			AllowAbsoluteURL:   c.AllowAbsoluteURL,
			EnableTrailers:     c.Trailers,
			AllowChunkedLength: c.AllowChunkedLength,
			KnownMethods:       !c.CustomMethods,
			Underscores:        http1.Underscores(c.Underscores),
			CutFragment:        cutsFragment,
		},
		encode:   http1.WriteOptions{Spelling: http1.Spelling(c.Spelling)},
		stats:    o.Stats.Acquire(Stats, "http."+c.StatPrefix+".", telemetry.Tag{Name: "http_conn_manager_prefix", Value: c.StatPrefix}),
		limit:    int(l.BufferLimit),
		chainAs:  chain.Name,
		chainID:  chain.ID,
		mates:    map[any]any{},
		listener: l.Name,
		state:    chain.State,
		via:      []byte(c.Via),
		agent:    []byte(o.Cluster),
		node:     []byte(o.Node),
		name:     []byte(c.ServerName),
		inbound:  l.Direction,
		origin:   o,
	}
	s.http2 = upstream.OptionsHTTP2(&c.HTTP2, int(c.MaxHeadBytes), int(c.MaxHeaders))
	s.http2.Server, s.http2.Underscores = true, http2.Underscores(c.Underscores)
	s.codec = o.Stats.Acquire(upstream.CodecStats, "http2.")
	s.about[accesslog.OfListener], s.about[accesslog.OfChain] = l.Metadata, chain.Metadata
	if c.Routes != nil {
		s.inline = CompileTable(c.Routes, nil, o.Stats)
	}
	for _, a := range c.AccessLogs {
		s.logs = append(s.logs, o.Logs(a))
	}
	s.mappers = compileMappers(c.Replies)
	s.link(nil)
	return s
}

// Local is what HTTP has of one loop: the generation that new requests get, and the exchanges that wait to be used again.
type Local struct {
	Loop         *loop.Loop
	Generation   *Generation
	Demands      upstream.Demands
	free         []*exchange
	mirrors      []*mirror     // that wait to be used again
	wish         upstream.Wish // of the choice that is being made
	spares       http2.Spares
	streams      *stream // that wait to be used again, through next
	spareStreams int
	values       map[*Server]*telemetry.Values
	conns        *Conn // all of them, through next and prev
	clients      int   // calls of filters that are under way
}

// NewLocal makes a loop's part, without a generation: Generation is to be set, on the loop, before the first connection.
func NewLocal(l *loop.Loop) *Local {
	return &Local{Loop: l, values: map[*Server]*telemetry.Values{}}
}

// freeExchanges bounds what a loop keeps for later: as many as were busy at once, up to this.
const freeExchanges = 1024

func (l *Local) exchange() *exchange {
	if n := len(l.free); n > 0 {
		x := l.free[n-1]
		l.free[n-1] = nil
		l.free = l.free[:n-1]
		return x
	}
	return &exchange{local: l}
}

func (l *Local) recycle(x *exchange) {
	if len(l.free) < freeExchanges {
		l.free = append(l.free, x)
	}
}

// table is the routes that a request of this server meets now; nil if they have not arrived.
func (s *Server) table(g *Generation) *Table {
	if s.inline != nil {
		return s.inline
	}
	return g.Routes[s.config.RouteName]
}

func milliseconds(ns int64) uint64 { return uint64(max(ns, 0)) / uint64(time.Millisecond) }
