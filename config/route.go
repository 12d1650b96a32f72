package config

import (
	"regexp"
	"time"
)

// RouteConfiguration is a table of virtual hosts.
type RouteConfiguration struct {
	Name         string
	VirtualHosts []*VirtualHost
	Headers      HeaderChanges
	Filters      map[string]FilterOverride
	// InternalOnly fields are taken out of requests from outside, besides Envoy's own. In lower case.
	InternalOnly     []string
	IgnorePortInHost bool
	// IgnoreParameters has routes match the path without what follows a semicolon in each of its segments.
	IgnoreParameters bool
	// VirtualHostHeader is the field, in lower case, by whose value virtual hosts are found instead of the authority, if set.
	VirtualHostHeader string
	MostSpecificFirst bool // header changes of the route are applied last instead of first
	// Hosts is where more virtual hosts come from, those that requests ask for; nil: nowhere.
	Hosts *Subscription
	// ValidateClusters has been obeyed by the decoder.
	Raw []byte
}

// VirtualHost is a set of domains and the routes that serve them, in order.
type VirtualHost struct {
	Name    string
	Domains []string // in lower case
	Routes  []*Route // all there are
	// Matcher leads to one of Lists, if set, whose routes are then asked as those of other hosts are: if none of them matches, none does.
	Matcher                                       *Matcher
	Lists                                         [][]*Route
	Headers                                       HeaderChanges
	Filters                                       map[string]FilterOverride
	AttemptCountInRequest, AttemptCountInResponse bool
	SayTimeoutRetry                               bool // x-envoy-is-timeout-retry, in a try after the first
	RequireTLS                                    RequireTLS
	RateLimits                                    []RateLimit
	Metadata                                      Metadata
	VirtualClusters                               []VirtualCluster // if any: statistics of each, and of requests that are in none
}

// VirtualCluster is a part of a virtual host's requests: those whose fields are like that, if no part before it has them.
type VirtualCluster struct {
	Name    string
	Headers []HeaderMatch
}

// RequireTLS says which requests are redirected to https.
type RequireTLS uint8

// The choices.
const (
	TLSNone RequireTLS = iota
	TLSExternalOnly
	TLSAll
)

// Route is one rule: what it matches and what is done. Exactly one of Forward, Redirect and Direct is set.
type Route struct {
	Name string
	// StatPrefix has statistics of its own kept of the route, if set.
	StatPrefix string
	Match      Match
	Forward    *Forward
	Redirect   *Redirect
	Direct     *Direct
	Headers    HeaderChanges
	Filters    map[string]FilterOverride
	Metadata   Metadata
}

// FilterOverride is a filter's configuration for one virtual host or route.
type FilterOverride struct {
	Config   any // the filter's own type; nil: only Disabled is meant
	Disabled bool
}

// Match is what a request must be like. All that is set must hold.
type Match struct {
	Kind          PathKind
	Path          string         // for PathRegex what the path begins with, as it is; else what is to be matched
	Regex         *regexp.Regexp // for PathRegex; what follows Path must match to its end. A template is one, too, with groups named as its variables
	CaseSensitive bool           // for the kinds that have Path
	Headers       []HeaderMatch
	Also          *Conditions // what else is asked for; nil: nothing
}

// Conditions are what few rules ask for. All that is set must hold.
type Conditions struct {
	Query   []QueryMatch
	Cookies []CookieMatch
	GRPC    bool // the content type must be one of gRPC
	// Share, if set, is the share of requests that match, drawn at random.
	Share    *Fraction
	Metadata []MetadataMatch // of what filters have noted
	State    []StateMatch
	// What must be true or false of the client's certificate; nil: does not matter.
	CertificatePresented, CertificateValidated *bool
}

// QueryMatch is a condition on the first value of a query parameter.
type QueryMatch struct {
	Name    string
	Present *bool       // only whether there is one counts; String is not looked at
	String  StringMatch // if there is none, it does not match
}

// CookieMatch is a condition on a cookie. One that is not there fails, or, with Invert, holds.
type CookieMatch struct {
	Name   string
	String StringMatch
	Invert bool
}

// PathKind is how a path is matched.
type PathKind uint8

// The kinds.
const (
	PathPrefix PathKind = iota
	PathExact
	PathSeparatedPrefix // the prefix must end where a segment ends
	PathRegex
	PathConnect // no path: the method is CONNECT
)

// HeaderMatch is a condition on one header. Name is in lower case and may be :method, :path, :authority or :scheme.
type HeaderMatch struct {
	Name         string
	Present      bool // only its presence (or, with Invert, absence) counts; String is not looked at
	String       StringMatch
	Range        *Int64Range // instead of String
	Invert       bool
	MissingEmpty bool // a missing header counts as an empty one
}

// Int64Range holds Start <= v < End.
type Int64Range struct{ Start, End int64 }

// StringMatch is a condition on a string.
type StringMatch struct {
	Kind       StringKind
	Value      string // in lower case if IgnoreCase; of StringRegex what is in all that matches, and may be empty
	Regex      *regexp.Regexp
	IgnoreCase bool
}

// StringKind is how a string is matched.
type StringKind uint8

// The kinds.
const (
	StringExact StringKind = iota
	StringPrefix
	StringSuffix
	StringContains
	StringRegex // the whole string must match
)

// Forward sends the request to a cluster. Durations of 0 mean "never".
type Forward struct {
	Clusters    []WeightedCluster // one or more; weights sum to TotalWeight
	TotalWeight uint32
	// ShareHeader is the field, in lower case, whose number decides the share, if set and if it is one; ShareByHash has HashPolicies
	// decide. Otherwise chance does.
	ShareHeader  string
	ShareByHash  bool
	HashPolicies []HashPolicy // 64 at most
	Timeout      time.Duration
	// IdleTimeout replaces the connection manager's stream idle timeout if set.
	IdleTimeout *time.Duration
	// FlushTimeout replaces the connection manager's if set. If neither is, the stream idle timeout of this route holds.
	FlushTimeout *time.Duration
	// GRPCTimeout, if set, makes the timeout of requests of gRPC, instead of Timeout.
	GRPCTimeout *GRPCTimeout
	// BoundsStream says that the route bounds the whole stream, so that Timeout and GRPCTimeout do not apply and requests of gRPC are
	// told the bound. MaxStreamDuration replaces the connection manager's if set; GRPCDuration, if set, makes it of what the request
	// brings.
	BoundsStream        bool
	MaxStreamDuration   *time.Duration
	GRPCDuration        *GRPCTimeout
	PrefixRewrite       string
	Path                *PathRewrite // instead of PrefixRewrite; nil: none
	HostRewrite         string
	Host                *HostRewrite // instead of HostRewrite; nil: none
	AppendForwardedHost bool
	Upgrades            []Upgrade // override the connection manager's, by name
	TunnelPosts         bool      // the body of a POST goes upstream as it is, as a CONNECT does that ends here
	MissingCluster      uint16    // the status if the cluster is not there: 503, 404 or 500
	Priority            Priority
	Retry               *Retry  // nil: tried again only if the request says so
	Follow              *Follow // redirects that are followed here; nil: none
	HedgeOnTimeout      bool    // a try that takes longer than Retry.PerTry goes on beside the next one
	Mirrors             []Mirror
	// ReplayLimit bounds the bytes of a request's body that are kept for tries and copies; nil: as the connection's buffer.
	ReplayLimit       *uint64
	RateLimits        []RateLimit
	VirtualHostLimits bool // the virtual host's rate limits hold, too, whatever a filter says
}

// Follow says which redirects of the upstream are followed here instead of by the client.
type Follow struct {
	Codes       []uint16
	Max         uint32   // for one request
	CrossScheme bool     // to another scheme, too
	Copy        []string // fields of the redirect, in lower case, that the next request brings instead of its own
	// What else must hold: the scheme is not a safer one than the request came by; the route that is met has not been met from this one
	// before; its name is in each of the lists.
	SafeScheme bool
	NotAgain   bool
	Listed     [][]string
}

// GRPCTimeout is how the grpc-timeout that a request of gRPC brings is heeded.
type GRPCTimeout struct {
	Max    time.Duration // the longest; 0: any
	Offset time.Duration // taken off, so that we give up before the client does
}

// PathRewrite makes another path, to which the query is added. One of the two is set.
type PathRewrite struct {
	Replace *Replacement
	Format  any // a *accesslog.Format
}

// HostRewrite makes another host. One of the four is set; what they make of it must not be empty.
type HostRewrite struct {
	Header   string       // the value of this field, in lower case
	Path     *Replacement // what this makes of the path
	Format   any          // a *accesslog.Format
	Endpoint bool         // the name of the endpoint, when an attempt has chosen it
}

// Replacement replaces each part of a text that Pattern matches.
type Replacement struct {
	Pattern *regexp.Regexp
	With    []ReplacementPart
}

// ReplacementPart is literal text, or, if that is empty, what a group of the pattern matched; group 0 is the whole.
type ReplacementPart struct {
	Text  string
	Group int
}

// HashPolicy is one thing that a request is hashed by.
type HashPolicy struct {
	Kind     HashKind
	Name     string       // of the header or cookie (in lower case for a header), of the query parameter, or of what a filter set
	Replace  *Replacement // of a header's values; nil: as they are
	Cookie   *NewCookie   // a client that has no such cookie gets one; nil: it does not
	Terminal bool         // what follows does not count if there is a hash by now
}

// HashKind is what a request is hashed by.
type HashKind uint8

// The kinds.
const (
	HashHeader HashKind = iota
	HashCookie
	HashSource // the client's address
	HashQuery
	HashState // what a filter set under that name, if that may be hashed
)

// NewCookie is how a client is given a cookie.
type NewCookie struct {
	TTL        time.Duration // whole seconds; 0: for the session
	Path       string
	Attributes []CookieAttribute
}

// CookieAttribute is a further attribute of a cookie. Value may be empty.
type CookieAttribute struct{ Name, Value string }

// WeightedCluster is one share of a route's traffic.
type WeightedCluster struct {
	Name        string
	Header      string // the field, in lower case, that names the cluster, if Name is empty
	Weight      uint32
	Headers     HeaderChanges
	Filters     map[string]FilterOverride
	HostRewrite string
	Subset      *Subset // which endpoints may serve it, by the route's word and the share's; nil: all
}

// Priority chooses the circuit breaker.
type Priority uint8

// The priorities.
const (
	PriorityDefault Priority = iota
	PriorityHigh
)

// Redirect answers with another location.
type Redirect struct {
	Status        uint16 // 301, 302, 303, 307 or 308
	HTTPS         bool
	Scheme        string // "" keeps it
	Host          string // "" keeps it
	Port          uint32 // 0 keeps it
	Path          string // replaces the path if not empty; may hold a query of its own
	PrefixRewrite *string
	Rewrite       *PathRewrite // instead of Path and PrefixRewrite; nil: none
	StripQuery    bool
}

// Direct answers at once.
type Direct struct {
	Status uint16
	Body   []byte
	Format *BodyFormat // makes another body of it; nil: it stays
}

// HeaderChanges is what is done to a message's header fields: removals first, then additions in order.
type HeaderChanges struct {
	RequestAdd, ResponseAdd       []HeaderAdd
	RequestRemove, ResponseRemove []string // in lower case
}

// HeaderAdd adds one field. Value is a *accesslog.Format, so that it may name properties of the exchange.
type HeaderAdd struct {
	Name      string // in lower case
	Value     any
	Action    AddAction
	KeepEmpty bool
}

// HeaderMutation is one change of a message's header fields. One of the three is set.
type HeaderMutation struct {
	Add    *HeaderAdd
	Remove string       // in lower case
	Match  *StringMatch // of names that are removed
}

// AddAction is what is done if the field is there already.
type AddAction uint8

// The actions.
const (
	AddAppend AddAction = iota
	AddIfAbsent
	AddOverwrite
	AddOverwriteIfExists
)
