package filters

import (
	"context"
	"net/netip"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/match"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/telemetry/accesslog"
	"github.com/weftmesh/weft/tls"
	"github.com/weftmesh/weft/wire/http"
)

// Action is what a hook wants to happen next.
type Action uint8

// The actions.
const (
	// Continue hands the headers, chunk or trailers to the next filter.
	Continue Action = iota
	// Replied says that the filter has called Exchange.Reply: the request goes no further, and the reply takes its way back.
	Replied
	// Hold keeps what has come of the message, and what comes, from the next filter. The body hook still sees each chunk as it
	// comes; when it answers Continue, everything that was kept goes on at once. What is kept is bounded by the connection's
	// buffer limit: a request over it is answered with 413, a response over it becomes a 500.
	Hold
	// Await says that the filter has called one of Exchange's Await methods: nothing of this message moves until Resume.
	Await
	// Changed is for body hooks: the piece goes no further, since what the filter gave to Exchange.PassOn takes its place. From Resume
	// after such a hook, it has the hook see what has come meanwhile; Await after PassOn keeps nothing for the filter either. Of a head hook
	// it says that Exchange.AddBody was called.
	Changed
)

// Filter sees one exchange at a time, on its loop: hooks must not block and need no locks. It is used again for another exchange
// after Done, so a filter's own state is fields that Done resets. Embed Pass for the hooks that are not needed.
type Filter interface {
	// RequestHeaders sees the head; end says that no body follows.
	RequestHeaders(x Exchange, end bool) Action
	// RequestBody sees a piece of the body, valid during the call only; end says that it is the last one; after trailers it comes
	// once more, with nothing.
	RequestBody(x Exchange, data []byte, end bool) Action
	RequestTrailers(x Exchange, trailers *http.Header) Action
	ResponseHeaders(x Exchange, end bool) Action
	ResponseBody(x Exchange, data []byte, end bool) Action
	ResponseTrailers(x Exchange, trailers *http.Header) Action
	// Resume is called when what was awaited is there, in the place of the hook that answered Await.
	Resume(x Exchange, result Result) Action
	// Done is called once for each exchange that the filter saw, however it ended.
	Done(x Exchange)
}

// Pass is a filter that lets everything through.
type Pass struct{}

// RequestHeaders continues.
func (Pass) RequestHeaders(Exchange, bool) Action { return Continue }

// RequestBody continues.
func (Pass) RequestBody(Exchange, []byte, bool) Action { return Continue }

// RequestTrailers continues.
func (Pass) RequestTrailers(Exchange, *http.Header) Action { return Continue }

// ResponseHeaders continues.
func (Pass) ResponseHeaders(Exchange, bool) Action { return Continue }

// ResponseBody continues.
func (Pass) ResponseBody(Exchange, []byte, bool) Action { return Continue }

// ResponseTrailers continues.
func (Pass) ResponseTrailers(Exchange, *http.Header) Action { return Continue }

// Resume continues.
func (Pass) Resume(Exchange, Result) Action { return Continue }

// Done does nothing.
func (Pass) Done(Exchange) {}

// Exchange is what a filter sees of the request and response that it works on.
type Exchange interface {
	// Request is the request's head, to read and to change.
	Request() *http.Request
	// Response is the response's head, to read and to change; meaningful from ResponseHeaders on.
	Response() *http.Response
	// Override is this filter's own configuration for the matched route or virtual host, nil if there is none.
	Override() any
	// Overrides appends all of them to list, from the most general (the virtual host's) to the most specific (the share's), for filters
	// that merge them.
	Overrides(list []any) []any
	// ClearRoute has the route matched anew when the request reaches the router, because the filter changed what it depends on.
	ClearRoute()
	// Downstream is the address of the peer that the request is trusted to come from.
	Downstream() netip.AddrPort
	// Source is the address that the connection comes from, as a PROXY protocol says, or else the peer of the socket.
	Source() netip.AddrPort
	// Now is the loop's time.
	Now() time.Time
	// Reply answers the request in the upstream's place. details is the response code detail of the access log. The answer passes the
	// response hooks of all filters, this one's among them, before Reply returns; Done may be called before it returns, too.
	Reply(status uint16, body []byte, details string)
	// ReplyGRPC is Reply, and says which status a request of gRPC is told instead of the one that its HTTP status stands for.
	ReplyGRPC(status uint16, code uint8, body []byte, details string)
	// PassOn hands a piece of the body to the next filter, in the place of what the running body or trailer hook was given; the hook
	// then answers Changed. It may be called again and again, so that what a small piece swells to need not be held at once. False
	// says that the exchange is over: Done has been called and nothing may be passed on any more.
	PassOn(b []byte) bool
	// AddBody gives a message that has no body one: for head hooks that are told that none follows, and answer Changed then. b is valid until
	// the filter is called again.
	AddBody(b []byte)
	// Fail ends the exchange in the middle of a body that cannot be right: with this answer, or, once a head has been sent downstream,
	// with its connection, so that nobody takes what came for the whole. The hook answers Replied; Done may be called before it returns.
	Fail(status uint16, body []byte, details string)

	// HoldUpTo changes, for this request, how many bytes of its body filters may hold each: the limit of the connection's buffer unless
	// they say so.
	HoldUpTo(bytes int)

	// Entry is what access logs will tell of the exchange, to read.
	Entry() *accesslog.Entry
	// Flag adds to the response flags that are logged.
	Flag(f accesslog.Flags)
	// Metadata is what filters have noted so far, to read; nil if nothing.
	Metadata() config.Metadata
	// SetMetadata notes a value for later filters, routes and logs. It tells whether there was room: an exchange has room for
	// MaxMetadata values.
	SetMetadata(namespace, key string, value any) bool
	// FilterState is a value that was set under that name.
	FilterState(name string) (value string, ok bool)
	// SetFilterState sets one. It tells whether there was room: an exchange has room for MaxFilterState of them.
	SetFilterState(s config.State) bool
	// OfConnection is what this downstream connection keeps under a key, made at the first call. It ends with the connection.
	OfConnection(key any, make func() any) any
	// Path is the request's path as routes are matched by: without its query, and without what follows a semicolon in each of its segments
	// if the route table wants that. It is valid until routes are matched anew.
	Path() []byte
	// Random is a random number of this loop's.
	Random() uint64
	// Endpoints is how many endpoints a cluster has, and how many of them may get requests; false: there is no such cluster.
	Endpoints(cluster string) (all, well int, known bool)

	// MatchHeaders tells whether all conditions hold for the request, MatchString whether one does for a string, as in routes.
	MatchHeaders(list []config.HeaderMatch) bool
	MatchString(m *config.StringMatch, b []byte) bool
	// AddHeader adds or sets a field of either head, as configured.
	AddHeader(h *http.Header, a *config.HeaderAdd)
	// UpstreamVersion is the version in which the chosen cluster would be spoken to; false: there is no such cluster, or it is not spoken to in HTTP.
	UpstreamVersion() (http.Version, bool)
	// UpstreamDubbo tells whether endpoints of the chosen cluster are spoken to in Dubbo.
	UpstreamDubbo() bool
	// Offer has connections to TLS servers for this request offer those protocols by ALPN, whatever the cluster says. Requests that offer
	// something else never share a connection with it.
	Offer(o *tls.Offer)
	// RateLimits are those of the matched route and its virtual host; include says that the route wants both.
	RateLimits() (route, virtualHost []config.RateLimit, include bool)
	// Cluster is the cluster that the matched route chose, "" if it forwards nothing.
	Cluster() string

	// AwaitTimer asks for Resume after d.
	AwaitTimer(d time.Duration)
	// AwaitCall asks for Resume with the answer to a request that this loop's own upstream client sends to a cluster. The request
	// and body are copied. A second call while one is pending panics: that is a bug of the filter.
	AwaitCall(cluster string, r *http.Request, body []byte, timeout time.Duration)
	// AwaitFunc asks for Resume with what f returns. f may block and runs on a goroutine of its own, so it must not touch the
	// exchange, nor bytes that it got from it; ctx ends with the exchange.
	AwaitFunc(f func(ctx context.Context) (any, error))
	// AwaitMissing asks for Resume when what the request lacks has come, or is known not to be there, or, with an error, when it is late: its
	// virtual host, its scope's routes or its cluster. clusters says where clusters come from; nil: nowhere. The request goes on with what is
	// in force then, and its route is matched anew. False says that nothing is lacking that can be asked for, and nothing is awaited.
	AwaitMissing(clusters *config.OnDemand) bool
	// AwaitRoom asks for Resume when what PassOn has handed on is on its way: nothing behind the filter holds it up, and the connection
	// that it goes to has less to send than its watermark. That is in another turn of the loop, even if there is room now. For body and
	// trailer hooks, and Resume after them, of filters that make much of little: they pass on some, keep what they have not used yet, and
	// wait. The exchange's idle timeout ends the wait for who takes nothing.
	AwaitRoom()
}

// Result is what was awaited.
type Result struct {
	Backward bool           // a response hook awaited it
	Value    any            // from AwaitFunc
	Response *http.Response // from AwaitCall; valid during Resume only
	Body     []byte         // from AwaitCall, bounded by MaxCallBody; valid during Resume only
	Err      error          // why there is no value or response
}

// What an exchange has room for at most: configurations name the keys, peers only the values, whose size is that of a head.
const (
	MaxMetadata    = 256
	MaxFilterState = 64
)

// MaxCallBody bounds, in bytes, the answer to an AwaitCall; a longer one is an error.
const MaxCallBody = 1 << 20

// Hooks says which hooks a filter has, so that the others are not called.
type Hooks uint8

// The hooks.
const (
	OnRequestHeaders Hooks = 1 << iota
	OnRequestBody
	OnRequestTrailers
	OnResponseHeaders
	OnResponseBody
	OnResponseTrailers
)

// Spec is a kind of filter.
type Spec struct {
	// Name is the filter's well-known name, such as "envoy.filters.http.fault".
	Name string
	// Type is the full name of its configuration message; Override that of its configuration per route, if routes may have one.
	Type, Override string
	// Decode reads a message of type Type from protobuf's wire format. An error begins with the path of the field below the message.
	Decode func(wire []byte) (config any, err error)
	// DecodeOverride does the same for type Override. place names the virtual host, route or share that it belongs to, the same in
	// every configuration that has it, for what a filter keeps from one to the next.
	DecodeOverride func(wire []byte, place string) (config any, err error)
	Hooks          Hooks
	// Judge says what a configuration makes of a request that nobody sends, for explain; nil: that shows only when the filter runs.
	Judge func(config any, who match.Caller) Judgement
	// Build compiles a configuration, once per generation; it cannot fail. The function that it returns makes a filter.
	Build func(config any, site Site) func(loop int) Filter
}

// Judgement is what a filter makes of a request.
type Judgement struct {
	Words  string // which rule says so; empty: nothing is to be said
	Status uint16 // it is answered with that; 0: it passes
}

// Site is where a chain of filters stands.
type Site struct {
	StatPrefix string // "http.ingress."
	Name       string // as the chain calls the filter
	Stats      *telemetry.Store
	Place      string // names the filter in its chain and listener, the same in every configuration that has it
	Kept       *Kept
	Mates      map[any]any // what filters of this chain that work together have in common, by keys of theirs; for Build
	Health     *Health
	Cluster    string // of this process: --service-cluster
	Node       string // likewise: --service-node
	NodeAs     []byte // all that the bootstrap says of the node, in protobuf's wire format
}
