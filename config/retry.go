package config

import "time"

// Retry is when a request is tried again, and how.
type Retry struct {
	On  RetryOn
	Max uint32 // tries after the first
	// PerTry bounds one try, from the moment at which it has a connection and the request is whole; 0: the route's timeout alone does.
	PerTry time.Duration
	// PerTryIdle bounds the time in which nothing of an answer comes; 0: nothing does.
	PerTryIdle     time.Duration
	Statuses       []uint16      // for OnStatuses
	Headers        []HeaderMatch // of the response, one of which is to match, for OnHeaders
	RequestHeaders []HeaderMatch // one of which the request must match to be tried again at all; none: every request may be
	BaseBackoff    time.Duration // the first pause is a random part of it, each further one of twice the last
	MaxBackoff     time.Duration
	ResetHeaders   []ResetHeader // of a response, which say how long to wait
	MaxReset       time.Duration // beyond which they are not believed
	AvoidTried     bool          // endpoints that were tried are passed over
	// SpendPriorities has priorities that were tried passed over, looked at after every that many tries; 0: they are not.
	SpendPriorities uint32
	ChooseAgain     uint32 // times that another choice is asked for, to pass one over
}

// RetryOn is a set of reasons to try again.
type RetryOn uint32

// The reasons, under the names that Envoy's retry_on gives them.
const (
	On5xx RetryOn = 1 << iota
	OnGatewayError
	OnConnectFailure
	OnEnvoyRateLimited
	OnRetriable4xx
	OnRefusedStream
	OnStatuses
	OnHeaders
	OnReset
	OnResetBeforeRequest
	OnHTTP3PostConnectFailure
	OnCancelled
	OnDeadlineExceeded
	OnInternal
	OnResourceExhausted
	OnUnavailable

	// OnGRPC are those that a grpc-status gives.
	OnGRPC = OnCancelled | OnDeadlineExceeded | OnInternal | OnResourceExhausted | OnUnavailable
)

// RetryReasons are the words of retry_on and x-envoy-retry-on, and those of gRPC.
var RetryReasons = []struct {
	Word string
	On   RetryOn
}{
	{"5xx", On5xx},
	{"gateway-error", OnGatewayError},
	{"connect-failure", OnConnectFailure},
	{"envoy-ratelimited", OnEnvoyRateLimited},
	{"retriable-4xx", OnRetriable4xx},
	{"refused-stream", OnRefusedStream},
	{"retriable-status-codes", OnStatuses},
	{"retriable-headers", OnHeaders},
	{"reset", OnReset},
	{"reset-before-request", OnResetBeforeRequest},
	{"http3-post-connect-failure", OnHTTP3PostConnectFailure},
	{"cancelled", OnCancelled},
	{"deadline-exceeded", OnDeadlineExceeded},
	{"internal", OnInternal},
	{"resource-exhausted", OnResourceExhausted},
	{"unavailable", OnUnavailable},
}

// ResetHeader names a response header that says when it is worth while to ask again.
type ResetHeader struct {
	Name     string // in lower case
	UnixTime bool   // the time itself, instead of the seconds until it
}

// Mirror sends a copy of requests to another cluster, whose answers nobody sees.
type Mirror struct {
	Cluster       string
	ClusterHeader string // names the request header that names the cluster, instead of Cluster
	Share         Fraction
	KeepHost      bool   // else "-shadow" is appended to the host
	HostRewrite   string // instead of either
	Mutations     []HeaderMutation
}
