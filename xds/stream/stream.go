package stream

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/rpc"
	"github.com/weftmesh/weft/telemetry"
)

// How long after a failure the next attempt is made: at random between a quarter of a span and all of it, which doubles each time.
const (
	firstPause = 500 * time.Millisecond
	lastPause  = 30 * time.Second
)

// How long a control plane waits that sends again what was turned down: the span doubles.
const (
	firstRefusal = 50 * time.Millisecond
	lastRefusal  = time.Second
)

// maxQueue is how many messages may wait to be sent before no more are read: a control plane that does not read is not listened to.
const maxQueue = 64

// Options are what a stream is made from.
type Options struct {
	Server  *config.Cluster // whose endpoints are tried in turn
	Node    *corev3.Node
	Delta   bool
	Once    bool   // the node is told with the first message of each connection only
	Message string // the full name of the message of the one kind of resources that is talked about; empty: all are
	Secrets func() map[string]*config.Secret
	Refresh time.Duration // as config.Stream has it; 0: there is a stream
	Timeout time.Duration // of a poll
	// Metadata is told beside each call, as config.Stream has it, and after it what Beside says, which is asked before each connection. It returns when the context ends at the
	// latest; nil: nothing. What is wrong with it is said as if the server could not be reached.
	Metadata string
	Beside   func(context.Context) (string, error)
	// Hear is called for each thing that happens, from a goroutine of the stream, which goes on when it returns. It returns when the
	// context ends at the latest.
	Hear  func(context.Context, Event)
	Stats *telemetry.Values // of Stats; nil: nothing is counted
}

// Event is something that a stream tells. One of the fields is set.
type Event struct {
	Response *Response
	Err      error // why the conversation has ended; it is begun again
}

// Response is what a control plane says of one kind of resources.
type Response struct {
	Message   string // full name of their message
	Version   string
	Resources []Resource
	Removed   []string // of a delta
	Whole     bool     // it is the state of the world: of a kind of which all is wanted, what is not named is not there
	nonce     string
	epoch     uint64
	body      rpc.Body // that Wire of its resources lies in; nothing: they have their own
}

// Resource is one of a response. Its Wire is valid until the response is answered.
type Resource struct {
	Name    string
	Version string
	Wire    []byte
	TTL     time.Duration // after which it counts as removed unless it comes again; 0: never
	Aliases []string      // other names that it was asked for by
	Renewal bool          // only TTL counts: what is there stays
	Err     error         // what is wrong with its envelope; of what is within, nothing is known
}

// Stats is what is counted of a stream.
var Stats = &telemetry.Table{Kind: "control_plane", Metrics: []telemetry.Metric{
	connectedState:  {Name: "connected_state", Type: telemetry.Gauge},
	pendingRequests: {Name: "pending_requests", Type: telemetry.Gauge},
	tooLarge:        {Name: "response_too_large"},
}}

const (
	connectedState = iota
	pendingRequests
	tooLarge
)

// Stream is a conversation with a control plane, over as many connections as it takes.
type Stream struct {
	Options

	mu       sync.Mutex
	kinds    map[string]*kind // by message
	queue    []request
	wake     chan struct{} // has room for one: there is something to send
	drained  chan struct{} // has room for one: there is room in the queue
	epoch    uint64        // of the connection
	up       bool
	told     bool    // the node, on this connection
	health   *string // why the workload beside the proxy is not well; empty: it is; nil: nobody has said
	next     int     // the endpoint that is tried first
	contacts func(context.Context) (conversation, error)
}

// conversation is one connection's worth of messages.
type conversation interface {
	send(m any) error
	receive() (*Response, error)
	close()
}

// kind is what is wanted of one kind of resources, and what is known of it.
type kind struct {
	all      bool            // everything that there is
	loose    bool            // what comes may have other names than it was asked for by
	wanted   map[string]bool // by name; with all, beside it: those that may not be there yet
	asked    map[string]bool // of those, on this connection
	begun    bool            // it was asked for on this connection
	version  string          // of the state of the world that was taken last
	nonce    string          // of the response that was answered last, on this connection
	versions map[string]string
	refused  string        // the version that was turned down last; empty: none since one was taken
	why      string        // what was wrong with it
	pause    time.Duration // before the same is turned down again
	held     *request      // an answer that waits for that
}

// request is a message that waits to be sent. What it asks for is found out when it is.
type request struct {
	message string
	answer  bool // to the response of nonce
	nonce   string
	err     string // the response is turned down, and why
}

// New makes a stream. Run has it speak.
func New(o Options) *Stream {
	s := &Stream{Options: o, kinds: map[string]*kind{}, wake: make(chan struct{}, 1), drained: make(chan struct{}, 1)}
	if s.contacts = s.dial; o.Refresh > 0 {
		s.contacts = s.poll
	}
	return s
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Want says what is wanted of a kind of resources: all, or those of these names.
func (s *Stream) Want(message string, all bool, names map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.kinds[message]
	if k == nil {
		if !all && len(names) == 0 {
			return
		}
		k = &kind{versions: map[string]string{}, loose: message == virtualHosts}
		s.kinds[message] = k
	}
	same := k.all == all && len(k.wanted) == len(names)
	for name := range names {
		same = same && k.wanted[name]
	}
	if k.wanted != nil && same {
		return
	}
	k.all, k.wanted = all, make(map[string]bool, len(names))
	for name := range names {
		k.wanted[name] = true
	}
	if !all && !k.loose {
		for name := range k.versions {
			if !k.wanted[name] {
				delete(k.versions, name) // if it is wanted again, it has to come again
			}
		}
	}
	if s.up {
		s.push(request{message: message})
	}
}

// Answer says what became of a response: refused are the resources that were not taken, with err for all of them.
func (s *Stream) Answer(r *Response, refused map[string]bool, err string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer r.body.Free()
	k := s.kinds[r.Message]
	if k == nil {
		return
	}
	for i := range r.Resources {
		if one := &r.Resources[i]; !refused[one.Name] && one.Err == nil && (k.all || k.loose || k.wanted[one.Name]) {
			k.versions[one.Name] = one.Version
		}
	}
	for _, name := range r.Removed {
		delete(k.versions, name)
	}
	if r.Whole && err == "" {
		k.version = r.Version
	}
	if r.epoch != s.epoch || !s.up {
		return
	}
	k.nonce = r.nonce
	if len(err) > maxReason+1 { // no more of it will be said
		err = err[:maxReason+1]
	}
	answer := request{message: r.Message, answer: true, nonce: r.nonce, err: err}
	// A control plane that says the same again as soon as it is turned down would have both do nothing else, under whatever version.
	again := err != "" && (r.Whole && r.Version == k.refused || err == k.why)
	if k.refused, k.why = "", err; err != "" {
		k.refused = r.Version
	}
	if k.held != nil && !again && !r.Whole {
		s.push(*k.held) // of what changes, each response is answered, in turn
	}
	if k.held = nil; !again {
		k.pause = firstRefusal
		s.push(answer)
		return
	}
	held := &answer
	k.held = held // of several that say the same, the last is answered
	time.AfterFunc(k.pause, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.up && s.epoch == r.epoch && k.held == held {
			k.held = nil
			s.push(answer)
		}
	})
	k.pause = min(2*k.pause, lastRefusal)
}

// Forget says that a resource that was taken is no longer there, though nobody has removed it: it has outlived its TTL.
func (s *Stream) Forget(message, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.kinds[message]; k != nil {
		delete(k.versions, name)
	}
}

// push queues a request. One that only says what is wanted is not queued twice.
func (s *Stream) push(r request) {
	if !r.answer && slices.Contains(s.queue, r) {
		return
	}
	s.queue = append(s.queue, r)
	s.count(pendingRequests, uint64(len(s.queue)))
	poke(s.wake)
}

func (s *Stream) count(row int, v uint64) {
	if s.Stats != nil {
		s.Stats.Set(row, v)
	}
}

// Run speaks until the context ends.
func (s *Stream) Run(ctx context.Context) {
	pause := firstPause
	for {
		heard, err := s.talk(ctx)
		if ctx.Err() != nil {
			return
		}
		excess := status.Code(err) == codes.ResourceExhausted
		if large := (*rpc.TooLarge)(nil); errors.As(err, &large) && s.Stats != nil {
			s.Stats.Inc(tooLarge)
		}
		s.Hear(ctx, Event{Err: err})
		if heard && !excess {
			pause = firstPause
		}
		wait := time.NewTimer(pause/4 + rand.N(pause*3/4))
		select {
		case <-ctx.Done():
			wait.Stop()
			return
		case <-wait.C:
		}
		if pause = min(2*pause, lastPause); !heard || excess {
			s.mu.Lock()
			s.next++
			s.mu.Unlock()
		}
	}
}

// talk holds one conversation to its end, and says whether anything was heard in it.
func (s *Stream) talk(ctx context.Context) (heard bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c, err := s.contacts(ctx)
	if err != nil {
		return false, err
	}
	s.begin()
	ended := make(chan error, 1)
	done, mute := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			r, err := c.receive()
			if err != nil {
				ended <- err
				return
			}
			heard = true
			if r == nil {
				continue
			}
			r.epoch = s.epoch
			s.Hear(ctx, Event{Response: r})
			if !s.room(ctx, mute) {
				ended <- ctx.Err()
				return
			}
		}
	}()
	err = s.speak(ctx, c, ended, mute)
	cancel()
	c.close()
	<-done
	s.end()
	return heard, err
}

// room waits until the queue is short, or nothing of it will be sent any more: then who reads comes to why that is.
func (s *Stream) room(ctx context.Context, mute <-chan struct{}) bool {
	for {
		s.mu.Lock()
		short := len(s.queue) < maxQueue
		s.mu.Unlock()
		if short {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-mute:
			return true
		case <-s.drained:
		}
	}
}

// begin has everything be asked for on a new connection.
func (s *Stream) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch++
	s.up, s.told, s.queue = true, false, nil
	s.count(connectedState, 1)
	for _, message := range order {
		if k := s.kinds[message]; k != nil {
			k.asked, k.begun, k.nonce, k.held = map[string]bool{}, false, "", nil
			s.push(request{message: message})
		}
	}
	if s.health != nil {
		s.push(request{message: healthInformation})
	}
}

// Health says how the workload beside the proxy does, as Istio's control planes want to hear it of machines outside of Kubernetes: because is why it is not well; empty: it is. It is said again on
// each connection.
func (s *Stream) Health(because string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.health = &because; s.up {
		s.push(request{message: healthInformation})
	}
}

func (s *Stream) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.up, s.queue = false, nil
	s.count(connectedState, 0)
	s.count(pendingRequests, 0)
}

// speak sends what is queued until the conversation ends. It closes mute when nothing can be sent any more.
func (s *Stream) speak(ctx context.Context, c conversation, ended <-chan error, mute chan<- struct{}) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-ended:
			return err
		case <-s.wake:
		}
		for {
			m, ok := s.pop()
			if !ok {
				break
			}
			if m == nil {
				continue
			}
			if c.send(m) != nil {
				close(mute)
				return <-ended // says why
			}
		}
	}
}

// pop takes the next request out of the queue, as the message that it has become; nil if there is nothing to be said.
func (s *Stream) pop() (m any, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		return nil, false
	}
	r := s.queue[0]
	s.queue = s.queue[1:]
	s.count(pendingRequests, uint64(len(s.queue)))
	poke(s.drained)
	if r.message == healthInformation {
		return s.healthOf(*s.health), true
	}
	if s.Delta {
		return s.delta(r), true
	}
	return s.world(r), true
}

// order is that in which kinds are asked for when a connection begins: clusters before what is said of them, listeners then, and routes.
var order = []string{
	"envoy.service.runtime.v3.Runtime",
	"envoy.config.cluster.v3.Cluster",
	"envoy.config.endpoint.v3.ClusterLoadAssignment",
	"envoy.extensions.transport_sockets.tls.v3.Secret",
	"envoy.config.listener.v3.Listener",
	"envoy.config.core.v3.TypedExtensionConfig",
	"envoy.config.route.v3.ScopedRouteConfiguration",
	"envoy.config.route.v3.RouteConfiguration",
	virtualHosts,
	nameTables,
}

// virtualHosts are resources whose names are not their messages'.
const virtualHosts = "envoy.config.route.v3.VirtualHost"

// healthInformation is no kind of resources: a request for it asks for nothing, and says by its error that something is not well.
const healthInformation = "istio.v1.HealthInformation"

// nameTables have no name of their own.
const nameTables = "istio.networking.nds.v1.NameTable"
