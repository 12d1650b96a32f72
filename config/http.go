package config

import (
	"net/netip"
	"time"
)

// HTTP is an HTTP connection manager: how requests are read, judged and answered. Durations of 0 mean "never".
type HTTP struct {
	StatPrefix string

	// Routes is inline; else RouteName names one of the snapshot's.
	Routes    *RouteConfiguration
	RouteName string
	// RouteFile is watched for the routes of RouteName, if set.
	RouteFile *WatchedFile
	// RouteStream is where they come from instead, if set.
	RouteStream *Subscription
	// Scoped has a table for each scope, instead of all these, if set.
	Scoped *ScopedRoutes

	// Filters run in this order for requests and backward for responses. The router ends them and is not among them.
	Filters    []HTTPFilter
	Router     Router
	AccessLogs []AccessLog
	LogStart   bool          // a request is logged when it comes, too
	LogTunnel  bool          // and when it has become a tunnel
	LogEvery   time.Duration // and after each such time; 0: not
	Upgrades   []Upgrade
	Replies    *Replies // what becomes of answers in the upstream's place; nil: nothing

	Codec Codec
	HTTP2 HTTP2

	// HTTP/1.
	AllowHTTP10          bool
	DefaultHost          string // for HTTP/1.0 without one
	AllowAbsoluteURL     bool
	AllowChunkedLength   bool
	CustomMethods        bool // beside those that are known
	Trailers             bool
	Spelling             Spelling
	StreamErrorOnInvalid bool // a malformed message ends its stream only, where the codec can tell

	// Of either version.
	Underscores           Underscores
	MaxHeadBytes          uint32
	MaxHeaders            uint32
	MaxRequestsPerConn    uint32 // 0: no limit
	IdleTimeout           time.Duration
	MaxConnectionDuration time.Duration
	DurationJitter        float64 // a random part of MaxConnectionDuration, up to this much of it, is added
	SafeMaxDuration       bool    // a connection that has lived its time ends with the response to its next request only
	MaxStreamDuration     time.Duration
	StreamIdleTimeout     time.Duration
	// FlushTimeout is, instead of the stream idle timeout, how long the peer may take to open a window for the end of a response of
	// HTTP/2, which is queued; nil: as long as that.
	FlushTimeout          *time.Duration
	RequestTimeout        time.Duration
	RequestHeadersTimeout time.Duration
	DrainTimeout          time.Duration
	DrainJitter           float64 // as DurationJitter, of DrainTimeout
	DelayedCloseTimeout   time.Duration

	// What is done to a request's head. Early is done before all else.
	Early               []HeaderMutation
	UseRemoteAddress    bool
	Detections          []Detection // instead of x-forwarded-for; the first that finds the client's address
	TrustedHops         uint32
	SkipXFFAppend       bool
	AppendForwardedPort bool
	// HTTPSPorts and HTTPPorts: what was going to one of them before it came here is https, or http, to x-forwarded-proto.
	HTTPSPorts, HTTPPorts []uint32
	Via                   string
	Internal              []netip.Prefix // addresses that count as ours; nil: RFC 1918, RFC 4193 and loopback only where Envoy says so
	UnixSocketsInternal   bool
	GenerateRequestID     bool
	PreserveExternalID    bool
	RequestIDInResponse   bool
	NormalizePath         bool
	MergeSlashes          bool
	EscapedSlashes        EscapedSlashes
	StripPort             StripPort
	StripTrailingHostDot  bool
	AddUserAgent          bool
	// ClientCert is what becomes of x-forwarded-client-cert.
	ClientCert          ClientCert
	SchemeOverwrite     string // "" keeps what came
	MatchUpstreamScheme bool
	Proxy100Continue    bool
	PackTraceReason     bool // of request ids; nothing is traced yet
	MapIPv4InIPv6       bool // write ::ffff:a.b.c.d for IPv4 peers

	// What is done to a response's head.
	ServerName   string
	ServerHeader ServerHeader
}

// Detection is a way to find a client's address in a request: in a field of its own, or, without Header, in x-forwarded-for.
type Detection struct {
	Header string // in lower case
	Trust  bool   // what Header says may be an address of ours
	Reject uint16 // the status of who has no address in Header; 0: the next way is tried
	Hops   uint32 // of x-forwarded-for, how many addresses are passed over from the right
	// Trusted are, instead of Hops, whose addresses are passed over; the peer must be one of them.
	Trusted []netip.Prefix
	Append  bool // the peer's address is added to x-forwarded-for
}

// Router is the configuration of the filter that ends every HTTP chain.
type Router struct {
	SuppressEnvoyHeaders   bool
	RespectExpectedTimeout bool
	StrictCheck            []string // fields of x-envoy-…, in lower case: a request in which one means nothing is refused
}

// Replies changes what is answered in the upstream's place: as the first mapper whose filter wants it says, then by the format.
type Replies struct {
	Mappers []ReplyMapper
	Format  *BodyFormat // nil: bodies stay as they are
}

// ReplyMapper changes the answers that its filter wants.
type ReplyMapper struct {
	Filter  *LogFilter
	Status  uint16      // 0: stays
	Body    *[]byte     // nil: stays
	Format  *BodyFormat // instead of the one for all; nil: that one
	Headers []HeaderAdd
}

// BodyFormat makes the body of an answer. Format is a *accesslog.Format; Type is the content type, empty for plain text.
type BodyFormat struct {
	Format any
	Type   string
	JSON   bool
}

// Upgrade allows one upgrade type; Name is in lower case.
type Upgrade struct {
	Name    string
	Enabled bool
	// Terminate ends a CONNECT here: what the client says in it goes upstream as it is. Of a route only.
	Terminate bool
}

// Spelling is how header names are written to a peer that speaks HTTP/1.
type Spelling uint8

// The spellings.
const (
	SpellLower Spelling = iota
	SpellProper
	SpellAsReceived
)

// Underscores is what becomes of a header whose name has an underscore.
type Underscores uint8

// The actions.
const (
	UnderscoresAllow Underscores = iota
	UnderscoresReject
	UnderscoresDrop
)

// EscapedSlashes is what becomes of %2F and %5C in a path.
type EscapedSlashes uint8

// The actions.
const (
	EscapedKeep EscapedSlashes = iota
	EscapedReject
	EscapedUnescapeRedirect
	EscapedUnescapeForward
)

// StripPort says which port is taken off the authority.
type StripPort uint8

// The choices.
const (
	StripNone StripPort = iota
	StripMatching
	StripAny
)

// ServerHeader is what the response's server field says.
type ServerHeader uint8

// The choices.
const (
	ServerOverwrite ServerHeader = iota
	ServerAppendIfAbsent
	ServerPassThrough
)

// HTTPFilter is one filter of a chain. Config is the filter's own type, made by its decoder and read by its builder only.
type HTTPFilter struct {
	Name     string // as the chain calls it; overrides go by this name
	Type     string // which filter it is; empty: that comes with its configuration
	Config   any
	Disabled bool // unless a route turns it on
	// Discovery says that the configuration comes by itself, under Name. Type and Config then stand in for it as long as it has not.
	Discovery *Discovery
}

// Discovery is where a filter's configuration comes from.
type Discovery struct {
	File   *WatchedFile
	Stream *Subscription // instead
	Types  []string      // full names of the messages of which it may be one
	NoWait bool          // the listener does not wait for it: what stands in for it will do
}

// Extension is a filter's configuration that came by itself.
type Extension struct {
	Name    string
	Hash    Hash
	Message string // full name of the configuration's message
	Type    string // which filter it is
	Config  any
	Raw     []byte
}

// AccessLog is one log of what was served. Format is a *accesslog.Format.
type AccessLog struct {
	Sink   LogSink
	Path   string // for SinkFile
	Format any
	Remote *RemoteLog // for SinkRemote
	Filter *LogFilter // nil: everything is logged
}

// LogFilter says what is logged. Of its fields Kind says which are meant.
type LogFilter struct {
	Kind    LogFilterKind
	Compare Comparison
	Value   uint32        // a status, or milliseconds
	Key     *Key          // of Value, or, with LogShare, of how many of Share.In; nil: none
	Share   Fraction      // LogShare
	Parts   []LogFilter   // LogAll, LogAny
	Headers []HeaderMatch // LogHeaders
	Flags   []string      // LogFlags: one of them, by their short names; none: any flag
	Codes   []int         // LogGRPC: one of these statuses
	Exclude bool          // LogGRPC, LogTypes: none of them instead
	OfHTTP  LogMoments    // LogTypes: when requests are logged
	OfTCP   LogMoments    // LogTypes: when connections are

	Metadata *MetadataMatch // LogMetadata
	Missing  bool           // LogMetadata: what is logged if the value is not there

	Expression any // LogExpression: an accesslog.Expression
}

// LogMoment is when something is logged.
type LogMoment uint8

// The moments.
const (
	LogAtEnd LogMoment = iota
	LogAtStart
	LogAtTunnel // the other side stands, too
	LogMeanwhile
)

// LogMoments are some of them, each a bit.
type LogMoments uint8

// LogFilterKind is what a log is filtered by.
type LogFilterKind uint8

// The kinds.
const (
	LogStatus LogFilterKind = iota
	LogDuration
	LogNoHealthCheck
	LogShare
	LogAll
	LogAny
	LogHeaders
	LogFlags
	LogGRPC
	LogTypes
	LogMetadata
	LogExpression
)

// Comparison is how a number is compared with a configured one.
type Comparison uint8

// The comparisons.
const (
	CompareEqual Comparison = iota
	CompareAtLeast
	CompareAtMost
	CompareOther
)

// LogSink is where log lines go.
type LogSink uint8

// The sinks.
const (
	SinkFile LogSink = iota
	SinkStdout
	SinkStderr
	SinkRemote
)

// WatchedFile is a file whose content is one resource's or several resources' current state.
type WatchedFile struct {
	Path      string
	Directory string // watched instead of the file's own folder, if set
}

// TCP is a TCP proxy: every connection is carried to a cluster. Durations of 0 mean "never".
type TCP struct {
	StatPrefix            string
	Clusters              []WeightedCluster // one or more; weights sum to TotalWeight
	TotalWeight           uint32
	IdleTimeout           time.Duration
	MaxDownstreamDuration time.Duration
	DurationJitter        float64       // a random part of MaxDownstreamDuration, up to this much of it, is added
	MaxConnectAttempts    uint32        // at least 1
	BaseBackoff           time.Duration // before the second attempt, at most; twice as long before each further one
	MaxBackoff            time.Duration
	OnDemand              *OnDemand     // where the cluster comes from if it is not there; nil: nowhere
	ByServerName          bool          // the name that a TLS client asks for is the cluster's, if it asks for one
	HashSource            bool          // endpoints are chosen by a hash of the client's address
	LogStart              bool          // a connection is logged when it comes, too
	LogConnected          bool          // and when its upstream connection stands
	LogEvery              time.Duration // and after each such time; 0: not
	AccessLogs            []AccessLog
}
