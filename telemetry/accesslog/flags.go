package accesslog

// Flags say what went wrong with an exchange, as Envoy's response flags do.
type Flags uint32

// The flags.
const (
	UpstreamRetryLimitExceeded Flags = 1 << iota // first: Envoy sets it before the failure that it is said of
	NoHealthyUpstream
	UpstreamConnectionFailure
	UpstreamOverflow
	NoRouteFound
	NoClusterFound
	ConnectAttemptsExceeded // the same to readers, of a tunnel: Envoy sets it after the failure
	UpstreamRequestTimeout
	LocalReset
	UpstreamRemoteReset
	UpstreamConnectionTermination
	DownstreamConnectionTermination
	DelayInjected // as Envoy sets them: a fault comes after its delay
	FaultInjected
	RateLimited
	Unauthorized
	StreamIdleTimeout
	DownstreamProtocolError
	UpstreamProtocolError
	UpstreamMaxStreamDurationReached
	DurationTimeout
	OverloadManager
	FailedLocalHealthCheck
	InvalidEnvoyRequestHeaders
	RateLimitServiceError
	ResponseFromCacheFilter
	NoFilterConfigFound
	DNSResolutionFailed
	DropOverload
	UnconditionalDropOverload
	DownstreamRemoteReset
	flagCount = iota
)

var flagNames = [flagCount][2]string{
	{"URX", "UpstreamRetryLimitExceeded"},
	{"UH", "NoHealthyUpstream"},
	{"UF", "UpstreamConnectionFailure"},
	{"UO", "UpstreamOverflow"},
	{"NR", "NoRouteFound"},
	{"NC", "NoClusterFound"},
	{"URX", "UpstreamRetryLimitExceeded"},
	{"UT", "UpstreamRequestTimeout"},
	{"LR", "LocalReset"},
	{"UR", "UpstreamRemoteReset"},
	{"UC", "UpstreamConnectionTermination"},
	{"DC", "DownstreamConnectionTermination"},
	{"DI", "DelayInjected"},
	{"FI", "FaultInjected"},
	{"RL", "RateLimited"},
	{"UAEX", "UnauthorizedExternalService"},
	{"SI", "StreamIdleTimeout"},
	{"DPE", "DownstreamProtocolError"},
	{"UPE", "UpstreamProtocolError"},
	{"UMSDR", "UpstreamMaxStreamDurationReached"},
	{"DT", "DurationTimeout"},
	{"OM", "OverloadManagerTerminated"},
	{"LH", "FailedLocalHealthCheck"},
	{"IH", "InvalidEnvoyRequestHeaders"},
	{"RLSE", "RateLimitServiceError"},
	{"RFCF", "ResponseFromCacheFilter"},
	{"NFCF", "NoFilterConfigFound"},
	{"DF", "DnsResolutionFailed"},
	{"DO", "DropOverload"},
	{"UDO", "UnconditionalDropOverload"},
	{"DR", "DownstreamRemoteReset"},
}
