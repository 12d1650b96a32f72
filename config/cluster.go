package config

import (
	"iter"
	"net/netip"
	"reflect"
	"time"
)

// Transport is what is spoken below a connection's own protocol. One of Transports is for endpoints whose metadata have all of Match, of
// TransportMatch.
type Transport struct {
	Match map[string]any
	TLS   *TLS // nil: plain text
	// ProxyHeader is the version of the PROXY protocol in which the endpoint is told, before anything else, whom the connection is for; 0:
	// it is not told.
	ProxyHeader uint8
}

// AllTLS are the cluster's transport sockets that speak TLS.
func (c *Cluster) AllTLS() iter.Seq[*TLS] {
	return func(yield func(*TLS) bool) {
		if c.TLS != nil && !yield(c.TLS) {
			return
		}
		for i := range c.Transports {
			if t := c.Transports[i].TLS; t != nil && !yield(t) {
				return
			}
		}
	}
}

// TransportOf is what an endpoint with those metadata speaks.
func (c *Cluster) TransportOf(metadata Metadata) *Transport {
	own := metadata[TransportMatch]
	for i := range c.Transports {
		t := &c.Transports[i]
		fits := true
		for k, v := range t.Match {
			fits = fits && reflect.DeepEqual(own[k], v)
		}
		if fits {
			return t
		}
	}
	return &c.Transport
}

// TransportMatch is the namespace of an endpoint's metadata that Transports look at.
const TransportMatch = "envoy.transport_socket_match"

// Cluster is a set of endpoints that are as good as one another, and how to talk to them. Durations of 0 mean "never".
type Cluster struct {
	Name     string
	StatName string // as statistics call it; Name if the resource says nothing else
	Hash     Hash   // of everything but the endpoints
	Metadata Metadata
	Type     ClusterType
	// Static is the assignment of a cluster of type Static; of types StrictDNS and LogicalDNS, with names in the place of addresses.
	Static     *Assignment
	Discovered bool // not part of the bootstrap
	// ServiceName is what an EDS cluster's endpoints are found by in the snapshot.
	ServiceName string
	// EndpointFile is watched for the endpoints of ServiceName, if set.
	EndpointFile *WatchedFile
	// EndpointStream is where they come from instead, if set.
	EndpointStream *Subscription
	Balancer       Balancer
	ChoiceCount    uint32       // LEAST_REQUEST: how many are compared, at least 2
	ActiveBias     float64      // LEAST_REQUEST with weights
	FullScan       bool         // LEAST_REQUEST: compare all
	SlowStart      *SlowStart   // ROUND_ROBIN and LEAST_REQUEST; nil: endpoints have their whole weight at once
	Hashing        Hashing      // RING_HASH and MAGLEV
	ByLocality     bool         // localities get their shares by weight, before endpoints do
	Panic          float64      // percent of healthy endpoints below which health is ignored
	Subsets        *Subsets     // nil: every endpoint may serve every request
	Outliers       *Outliers    // nil: nobody is ejected
	Health         *HealthCheck // nil: nobody is asked
	KeepRemoved    bool         // with Health: an endpoint that its source takes away stays while it is well
	CloseUnwell    bool         // tunnels of an endpoint that becomes unwell are closed
	CloseOnChange  bool         // no connection outlives a change of the endpoints, or of what is known of their health, by more than its exchange
	Transport                   // of endpoints that Transports have nothing for
	// Transports are for endpoints with some metadata, the first that fits, instead of TLS.
	Transports []Transport
	// NameFrom is the field of a request, in lower case, that says which name of a TLS server is asked for, its authority among them, if
	// set, and in place of one that is not there; VerifyNameFrom has that name be the certificate's, too.
	NameFrom       string
	VerifyNameFrom bool
	ConnectTimeout time.Duration
	// BufferLimit is the watermark, in bytes, of each direction of a connection. Never 0.
	BufferLimit uint32
	Breakers    [2]Breaker // by Priority
	// Names is for clusters of types StrictDNS and LogicalDNS; nil for all others.
	Names *Names
	// Original is for clusters of type OriginalDestination.
	Original  *OriginalDestinations
	KeepAlive *TCPKeepAlive
	Binding   *Binding // nil: our side of connections is as the kernel likes
	// HTTP.
	Protocol              Protocol
	IdleTimeout           time.Duration
	MaxConnectionDuration time.Duration
	MaxStreamDuration     time.Duration
	MaxRequestsPerConn    uint32 // 0: no limit
	MaxHeaders            uint32
	MaxHeadBytes          uint32
	Spelling              Spelling
	ForwardReason         bool // keep the reason phrase of responses
	Trailers              bool
	AllowChunkedLength    bool
	Policies              *ClusterPolicies // nil: routes say all
	Raw                   []byte
}

// ClusterPolicies are what a cluster says of its requests instead of their routes, and of answers.
type ClusterPolicies struct {
	Retry        *Retry       // nil: the route's
	HashPolicies []HashPolicy // none: the route's; 64 at most
	Mirrors      []Mirror     // none: the route's
	Errors       *AnswerMatch // the answers that count against an endpoint; nil: 5xx
}

// AnswerMatch is a condition on the head of an answer.
type AnswerMatch struct {
	Kind    AnswerMatchKind
	Headers []HeaderMatch // of AnswerHeaders: all of them
	Of      []AnswerMatch // of the combinations; of AnswerNot one
}

// AnswerMatchKind is what a condition is made of.
type AnswerMatchKind uint8

// The kinds.
const (
	AnswerAny AnswerMatchKind = iota
	AnswerHeaders
	AnswerAll
	AnswerEither
	AnswerNot
)

// Binding is what our side of a connection is made with before it connects.
type Binding struct {
	Source   netip.AddrPort // not valid: the kernel chooses; port 0: the kernel chooses the port
	Other    netip.AddrPort // Source for endpoints of the other family; not valid: Source is for all
	Freebind bool           // Source need not be an address of this host
	Options  []SocketOption
}

// HealthCheck is how endpoints are asked whether they are well. Exactly one of HTTP, GRPC and TCP is set. Durations are never 0 but jitters.
type HealthCheck struct {
	Timeout                              time.Duration // of one attempt
	Interval                             time.Duration // between two
	Unhealthy                            time.Duration // of an endpoint that is not well
	UnhealthyEdge, HealthyEdge           time.Duration // of one that is about to be, and of one that is about to be well again
	NoTraffic, NoTrafficHealthy          time.Duration // while no connection was ever made to the cluster
	InitialJitter, Jitter                time.Duration // up to so much before the first, and between two
	JitterPercent                        uint32        // of the interval, beside Jitter
	HealthyThreshold, UnhealthyThreshold uint32        // results in a row that change what is believed, at least 1
	IgnoreNew                            bool          // endpoints do not count before their first result
	Reuse                                bool          // a connection serves for more than one attempt
	Events                               []string      // files to which changes are written
	TellFailures, TellSuccess            bool          // and each failure, or each success
	Offer                                []string      // protocols that its connections offer over TLS; none: as the cluster's do
	HTTP                                 *HTTPCheck
	GRPC                                 *GRPCCheck
	TCP                                  *TCPCheck
}

// HTTPCheck is a request that is well answered by an endpoint that is well.
type HTTPCheck struct {
	HTTP2               bool // whatever the cluster's Protocol says; else HTTP/1
	Method, Path        string
	Host                string // empty: the cluster's name
	Add                 []Field
	Remove              []string // in lower case
	Send                []byte
	Receive             [][]byte // that the answer's body has, one behind the other
	Room                int      // how much of the body is looked at, in bytes
	Expected, Retriable []Int64Range
	Service             *StringMatch // what the answer says whose the endpoint is must be like; nil: it does not matter
}

// GRPCCheck is a call of grpc.health.v1.Health/Check, over HTTP/2 whatever the cluster's Protocol says.
type GRPCCheck struct {
	Service string // that is asked about; empty: the whole server
	Host    string // empty: the cluster's name
	Add     []Field
}

// Field is a header field; its name is in lower case.
type Field struct{ Name, Value string }

// TCPCheck is what is said to an endpoint, and what it must say.
type TCPCheck struct {
	Send    []byte
	Receive [][]byte // none: that it can be reached is enough
}

// EndpointCheck is how an endpoint is asked in another way than the others of its cluster.
type EndpointCheck struct {
	Address  Address // zero: where it serves
	Port     uint16  // 0: of that address
	Hostname string  // empty: as the check says
	Disabled bool    // not at all: it is well
}

// Outliers is how endpoints that fail more than others are found and kept from requests for a while.
type Outliers struct {
	Interval                                             time.Duration // at least 1 ms
	BaseTime, MaxTime                                    time.Duration // of an ejection; it grows with each by BaseTime
	MaxJitter                                            time.Duration // on top of it
	MaxPercent                                           uint32        // of the endpoints that are out at once
	Events                                               string        // a file to which ejections are written; empty: none
	UnejectOnCheck                                       bool          // a health check that is passed ends an ejection
	Degrade                                              bool          // an endpoint that says so in an answer is degraded for a while
	AlwaysOne                                            bool          // one may be out whatever MaxPercent says
	SplitOrigins                                         bool          // what fails on our side has a row and a rate of its own
	Consecutive5xx, ConsecutiveGateway, ConsecutiveLocal uint32        // failures in a row; 0 never comes
	RateHosts, RateVolume, RateStdev                     uint32        // success rates: endpoints, requests of each in an interval, thousandths of the deviation
	FailureHosts, FailureVolume, FailureThreshold        uint32        // as those, and the percent of failures
	// Enforcing is the percent of ejections that are carried out: by failures in a row (5xx, gateway, local), success rate, local
	// success rate, failure percentage, local failure percentage.
	Enforcing [7]uint32
}

// ClusterType is where endpoints come from.
type ClusterType uint8

// The types.
const (
	Static ClusterType = iota
	EDS
	// OriginalDestination goes where the downstream connection was going before it was redirected.
	OriginalDestination
	// StrictDNS has an endpoint for each address of its names.
	StrictDNS
	// LogicalDNS has one endpoint, which is at the first address of its name.
	LogicalDNS
)

// Names is how the names of a cluster's endpoints are resolved.
type Names struct {
	Refresh      time.Duration // between two lookups
	LeastRefresh time.Duration // what a TTL makes of it is not less
	Jitter       time.Duration // up to so much is added to each
	// FailureRefresh doubles with every failure in a row up to MaxFailureRefresh, and the next lookup comes after a random part of it;
	// 0: after Refresh.
	FailureRefresh, MaxFailureRefresh time.Duration
	RespectTTL                        bool // the answer's TTL stands in for Refresh
	Warm                              bool // a process that starts waits for the first answer before it serves
	Family                            AddressFamily
	Resolver                          Resolver
}

// Resolver is who is asked for names, and how.
type Resolver struct {
	Servers  []netip.AddrPort // none: those of the machine
	Fallback bool             // Servers are for a machine that has none
	TCP      bool             // in place of UDP, not only for what UDP has no room for
	NoSearch bool             // names are looked for as they are, not within the machine's domains
	Timeout  time.Duration    // of one try
	Tries    uint32           // of each server; at least 1
}

// AddressFamily is which of a name's addresses are taken.
type AddressFamily uint8

// The families.
const (
	FamilyV6First AddressFamily = iota // IPv4 if there is no IPv6
	FamilyV4
	FamilyV6
	FamilyV4First // IPv6 if there is no IPv4
	FamilyAll
)

// OriginalDestinations is how a cluster of type OriginalDestination finds where to go.
type OriginalDestinations struct {
	Header  string        // a request's field, in lower case, that says where to go before the connection is asked; empty: none
	Path    []string      // of a text in the request's metadata, namespace and keys, that says so first; none: not asked
	Port    uint16        // goes there whatever the destination's port; 0: to the destination's
	Cleanup time.Duration // how long an endpoint stays that nobody uses, at least
}

// Balancer chooses an endpoint.
type Balancer uint8

// The balancers.
const (
	RoundRobin Balancer = iota
	LeastRequest
	Random
	RingHash
	Maglev
	ClusterProvided // the cluster's type decides
)

// SlowStart gives an endpoint less than its weight for a while after it has come.
type SlowStart struct {
	Window     time.Duration // more than 0
	Aggression float64       // more than 0; the part of the weight is the part of the window to the power of 1/Aggression
	MinWeight  float64       // the least part of the weight, from 0 to 1
}

// Hashing is how RING_HASH and MAGLEV place endpoints.
type Hashing struct {
	MinRing, MaxRing uint64 // places on the ring
	Murmur           bool   // the ring's places are hashed by MurmurHash2 instead of xxHash
	TableSize        uint32 // of MAGLEV: a prime
	ByHostname       bool   // endpoints are hashed by their hostname instead of their address
	// BalanceFactor bounds what an endpoint has under way, in percent of the average, at least 100. 0: it is not bounded.
	BalanceFactor uint32
	// Policies are what requests are hashed by, whatever their routes say; none: as they say.
	Policies []HashPolicy
}

// Subsets cut a cluster up by what the endpoints' metadata says in "envoy.lb".
type Subsets struct {
	Selectors []SubsetSelector
	Fallback  SubsetFallback // never FallbackUnset or FallbackKeys
	Default   Subset         // for FallbackDefault
	PanicAny  bool           // a fallback that finds nobody takes any endpoint
	ListAsAny bool           // an endpoint whose value is a list is in the subsets of all that is in it
	// Redundant lets a request ask for more keys than a selector has: of those whose keys it all asks for the one with the most counts, which
	// is the first of Selectors.
	Redundant bool
	// ScaleLocalities has a locality weigh, with ByLocality, by the part of its endpoints that are in the subset.
	ScaleLocalities bool
}

// SubsetSelector makes a subset for each combination of values that endpoints have of its keys.
type SubsetSelector struct {
	Keys         []string // sorted, without repetition, at least one
	Fallback     SubsetFallback
	FallbackKeys []string // sorted: for FallbackKeys
	SingleHost   bool     // a subset is one endpoint, whatever its health
}

// SubsetFallback says who serves a request whose subset has no endpoint.
type SubsetFallback uint8

// The fallbacks.
const (
	FallbackUnset SubsetFallback = iota // as the cluster says
	FallbackNone
	FallbackAny
	FallbackDefault
	FallbackKeys // the subset of fewer keys
)

// Subset is what a route asks of an endpoint's metadata in "envoy.lb".
type Subset struct {
	Keys   []string // sorted
	Values []string // by key, as encoding/json writes what Metadata holds
	// Of are the keys and values in turn, each with a NUL behind it, which tells two subsets apart.
	Of string
}

// Breaker limits what is in flight towards a cluster.
type Breaker struct {
	MaxConnections, MaxPending, MaxRequests, MaxRetries uint32
	TrackRemaining                                      bool
	// RetryBudget stands in for MaxRetries; nil: there is none.
	RetryBudget *RetryBudget
	// MaxHostConnections is for each endpoint; 0: no limit.
	MaxHostConnections uint32
}

// RetryBudget limits retries by the requests that are under way.
type RetryBudget struct {
	Percent float64
	Least   uint32 // this many are always allowed
}

// Assignment is a cluster's endpoints.
type Assignment struct {
	Name string
	// Endpoints of a later version that have not changed are the very same.
	Endpoints   []*Endpoint
	TotalWeight uint64
	// Overprovisioning is how much more than its share the healthy part of a priority or locality is taken to bear, in percent.
	Overprovisioning uint32
	// WeighHealth counts endpoints by their weight when it is asked which part of a priority is healthy.
	WeighHealth bool
	// Drop is the share of requests that is refused before an endpoint is chosen.
	Drop         Fraction
	DropCategory string // as reports call those
	Raw          []byte
}

// Endpoint is one place where a cluster is served.
type Endpoint struct {
	Address  Address
	Host     string // a name to be resolved, whose addresses, with Port, stand in for Address; empty: none
	Port     uint16
	Hostname string
	Weight   uint32 // at least 1
	Health   Health
	Locality Locality
	// LocalityWeight is the whole locality's at this priority; 0: none was given.
	LocalityWeight uint32
	Priority       uint8          // 0 is the highest; at most 127
	Metadata       Metadata       // nil: none
	Check          *EndpointCheck // nil: as the cluster says
}

// Locality says where an endpoint is.
type Locality struct{ Region, Zone, SubZone string }

// Health is what the source of an endpoint says of it.
type Health uint8

// The states. Draining and Timeout count as unhealthy for new requests.
const (
	HealthUnknown Health = iota
	HealthHealthy
	HealthUnhealthy
	HealthDraining
	HealthTimeout
	HealthDegraded
)
