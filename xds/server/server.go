package server

import (
	"context"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/weftmesh/weft/rpc/serve"
	"github.com/weftmesh/weft/telemetry"
)

// Control says what proxies may be told. It is called from the goroutines of streams, of each stream one call at a time.
type Control interface {
	// Join says that a proxy has come, of which Node tells. An error, with a status of gRPC's, ends the stream. Nothing is told before the first Show.
	Join(*Session) error
	// Leave says that a session that has joined is over.
	Leave(*Session)
	// Answered says what a proxy has made of a response.
	Answered(*Session, Verdict)
	// Probed says what the agent beside a proxy has found of the workload there: why it is not well, or, if that is empty, that it is.
	Probed(s *Session, because string)
	// Settled says that a proxy has answered all that is new to it in a view, if anything was.
	Settled(*Session, *View)
}

// What is waited for, and what a proxy may send.
const (
	maxRequest   = 4 << 20 // bytes of a message
	firstRequest = 10 * time.Second
	// DefaultMaxStreams is how many streams a server takes if nothing else is said.
	DefaultMaxStreams = 20_000
)

// Options are what a server is made from.
type Options struct {
	Control Control
	// Answer is asked what tools want to know of the control plane itself. An error, with a status of gRPC's, ends the stream. Nil: nobody is told.
	Answer func(context.Context, *Question) (*Answer, error)
	// Asked is told which names of a kind a stream asks for by now, whenever they are others. It is called with the session's lock held: of the session it may call Show. nil: nobody is.
	Asked      func(k Kind, names []string)
	Stats      *telemetry.Values // of Stats; nil: nothing is counted
	MaxStreams int               // at a time; 0: DefaultMaxStreams
}

// Server answers proxies.
type Server struct {
	Options
	streams  atomic.Int64
	numbers  atomic.Uint64
	compared [kindCount]atomic.Pointer[compared]
}

// New makes a server.
func New(o Options) *Server {
	if o.MaxStreams == 0 {
		o.MaxStreams = DefaultMaxStreams
	}
	return &Server{Options: o}
}

// Transport is what a serve.Server has to be made with that this server is registered at: its responses are written by a codec of their own.
func Transport() serve.Options {
	return serve.Options{Codec: newCodec(), MaxMessage: maxRequest, MaxConnections: 2 * DefaultMaxStreams}
}

// Register has a gRPC server answer for this one: about all kinds, and about each by itself.
func (s *Server) Register(to grpc.ServiceRegistrar) {
	to.RegisterService(s.service("envoy.service.discovery.v3.AggregatedDiscoveryService", "AggregatedResources", kindCount, false), nil)
	for k := range facts {
		if f := &facts[k]; f.service != "" {
			to.RegisterService(s.service(f.service, f.method, Kind(k), f.deltaOnly), nil)
		}
	}
}

func (s *Server) service(name, method string, only Kind, deltaOnly bool) *grpc.ServiceDesc {
	one := func(name string, v variant) grpc.StreamDesc {
		return grpc.StreamDesc{StreamName: name, ServerStreams: true, ClientStreams: true, Handler: func(_ any, stream grpc.ServerStream) error {
			return s.serve(stream, v, only)
		}}
	}
	d := &grpc.ServiceDesc{ServiceName: name, Streams: []grpc.StreamDesc{one("Delta"+method, delta)}}
	if !deltaOnly {
		d.Streams = append(d.Streams, one("Stream"+method, world))
	}
	return d
}

func (s *Server) count(row int) {
	if s.Stats != nil {
		s.Stats.Inc(row)
	}
}

// enter finds room for a stream.
func (s *Server) enter() error {
	n := s.streams.Add(1)
	if n > int64(s.MaxStreams) {
		s.streams.Add(-1)
		s.count(streamsRefused)
		return status.Errorf(codes.ResourceExhausted, "%d streams are open: this server takes no more", s.MaxStreams)
	}
	if s.count(streamsTotal); s.Stats != nil {
		s.Stats.Inc(streamsNow)
	}
	return nil
}

func (s *Server) leave() {
	s.streams.Add(-1)
	if s.Stats != nil {
		s.Stats.Dec(streamsNow)
	}
}
