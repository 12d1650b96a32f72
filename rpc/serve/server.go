package serve

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"

	"github.com/weftmesh/weft/rpc/line"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/wire/http2"
)

// What is waited for, and what one peer may have us hold.
const (
	// greeting is how long a connection may take for the handshake of TLS, and again to become one of HTTP/2.
	greeting = 10 * time.Second
	// alive is how long nothing may be heard of a connection before it is asked whether it is there, and aliveAnswer how long that may take.
	alive, aliveAnswer = 30 * time.Second, 10 * time.Second
	// unused is how long a connection may be there without a call, whatever else is heard of it.
	unused = time.Minute
	// often is how often a peer may ask whether we are there; patience is how many times more it may ask before its connection ends.
	often, patience = 5 * time.Second, 20
	// perConnection bounds the calls of a connection, those among them that their caller has given up and whose handlers run still.
	perConnection = 100
	// speaking is how long the caller of a method that takes one message may take to send it.
	speaking = 10 * time.Second
	// maxHeld bounds the bytes of messages of a connection that were not taken yet, wholly here or not, besides what one message may have.
	maxHeld = 1 << 20
)

// Options are what a server is made from.
type Options struct {
	TLS            *tls.Config       // nil: plain text
	Codec          encoding.CodecV2  // of messages
	MaxMessage     int               // bytes of one that comes
	MaxConnections int               // at a time
	Stats          *telemetry.Values // of Stats; nil: nothing is counted
}

// Server answers calls. It is what services are registered with.
type Server struct {
	Options
	line    line.Options
	methods map[string]method // by path

	mu       sync.Mutex
	stopped  bool
	listener net.Listener
	open     map[*conn]struct{}
	parts    sync.WaitGroup // connections and calls
}

// method is how a call is answered: with one message for one, or with as many as the handler likes.
type method struct {
	service any
	unary   grpc.MethodHandler
	stream  grpc.StreamHandler
}

// New makes a server without services.
func New(o Options) *Server {
	if o.TLS != nil {
		o.TLS = o.TLS.Clone()
		o.TLS.NextProtos = []string{"h2"}
	}
	s := &Server{Options: o, methods: map[string]method{}, open: map[*conn]struct{}{}}
	s.line = line.Options{
		HTTP2:      http2.Options{Server: true, MaxConcurrentStreams: perConnection, MaxStreamWindow: 1 << 20, MaxConnWindow: 4 << 20, StreamErrors: true},
		MaxMessage: o.MaxMessage, MaxHeld: maxHeld, TooLarge: func() { s.count(messagesTooLarge) },
	}
	return s
}

// RegisterService adds a service, before Serve.
func (s *Server) RegisterService(d *grpc.ServiceDesc, service any) {
	for _, m := range d.Methods {
		s.methods["/"+d.ServiceName+"/"+m.MethodName] = method{service: service, unary: m.Handler}
	}
	for _, m := range d.Streams {
		s.methods["/"+d.ServiceName+"/"+m.StreamName] = method{service: service, stream: m.Handler}
	}
}

// pause is how long accepting rests when the process has no descriptor left.
const pause = 50 * time.Millisecond

// Serve takes connections until Stop, or until the listener is closed, and closes it.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	s.listener = l
	over := s.stopped
	s.mu.Unlock()
	if over {
		return l.Close()
	}
	defer l.Close()
	for {
		raw, err := l.Accept()
		switch {
		case err == nil:
			s.take(raw)
		case errors.Is(err, net.ErrClosed):
			return nil
		default: // which goes by
			time.Sleep(pause)
		}
	}
}

// take has a connection be served, if there is room.
func (s *Server) take(raw net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped || len(s.open) >= s.MaxConnections {
		s.count(connectionsRefused)
		raw.Close()
		return
	}
	c := newConn(s, raw)
	s.open[c] = struct{}{}
	s.count(connectionsTotal)
	if s.Stats != nil {
		s.Stats.Inc(connectionsNow)
	}
	s.parts.Go(func() {
		c.serve()
		s.mu.Lock()
		delete(s.open, c)
		s.mu.Unlock()
		if s.Stats != nil {
			s.Stats.Dec(connectionsNow)
		}
	})
}

// Stop ends it: connections are closed, and it returns when no handler runs any more.
func (s *Server) Stop() {
	s.mu.Lock()
	s.stopped = true
	if s.listener != nil {
		s.listener.Close()
	}
	for c := range s.open {
		c.raw.Close()
	}
	s.mu.Unlock()
	s.parts.Wait()
}

func (s *Server) count(row int) {
	if s.Stats != nil {
		s.Stats.Inc(row)
	}
}
