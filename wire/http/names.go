package http

// ID numbers the header fields that the proxy itself looks at, so that asking for one costs a bit test and not a comparison of
// strings. Any other field has the ID Other.
type ID uint8

// The fields with an ID of their own.
const (
	Other ID = iota
	Accept
	AcceptEncoding
	Authorization
	CacheControl
	Connection
	ContentEncoding
	ContentLength
	ContentType
	Cookie
	Date
	Etag
	Expect
	GRPCMessage
	GRPCStatus
	GRPCTimeout
	Host
	HTTP2Settings
	KeepAlive
	LastModified
	Location
	Origin
	ProxyAuthenticate
	ProxyAuthorization
	ProxyConnection
	Range
	Referer
	RetryAfter
	Server
	SetCookie
	TE
	Trailer
	TransferEncoding
	Upgrade
	UserAgent
	Vary
	Via
	XClientTraceID
	XEnvoyAttemptCount
	XEnvoyDecoratorOperation
	XEnvoyDownstreamServiceCluster
	XEnvoyDownstreamServiceNode
	XEnvoyExpectedRqTimeoutMs
	XEnvoyExternalAddress
	XEnvoyForceTrace
	XEnvoyHedgeOnPerTryTimeout
	XEnvoyImmediateHealthCheckFail
	XEnvoyInternal
	XEnvoyIPTags
	XEnvoyIsTimeoutRetry
	XEnvoyMaxRetries
	XEnvoyOriginalHost
	XEnvoyOriginalPath
	XEnvoyOriginalURL
	XEnvoyOverloaded
	XEnvoyDropOverload
	XEnvoyUnconditionalDropOverload
	XEnvoyRateLimited
	XEnvoyRetriableHeaderNames
	XEnvoyRetriableStatusCodes
	XEnvoyRetryGRPCOn
	XEnvoyRetryOn
	XEnvoyUpstreamAltStatName
	XEnvoyUpstreamCanary
	XEnvoyUpstreamRqPerTryTimeoutMs
	XEnvoyUpstreamRqTimeoutAltResponse
	XEnvoyUpstreamRqTimeoutMs
	XEnvoyUpstreamServiceTime
	XEnvoyUpstreamStreamDurationMs
	XForwardedClientCert
	XForwardedFor
	XForwardedHost
	XForwardedPort
	XForwardedProto
	XRequestID
	numIDs
)

var names = [numIDs]string{
	Other:                              "",
	Accept:                             "accept",
	AcceptEncoding:                     "accept-encoding",
	Authorization:                      "authorization",
	CacheControl:                       "cache-control",
	Connection:                         "connection",
	ContentEncoding:                    "content-encoding",
	ContentLength:                      "content-length",
	ContentType:                        "content-type",
	Cookie:                             "cookie",
	Date:                               "date",
	Etag:                               "etag",
	Expect:                             "expect",
	GRPCMessage:                        "grpc-message",
	GRPCStatus:                         "grpc-status",
	GRPCTimeout:                        "grpc-timeout",
	Host:                               "host",
	HTTP2Settings:                      "http2-settings",
	KeepAlive:                          "keep-alive",
	LastModified:                       "last-modified",
	Location:                           "location",
	Origin:                             "origin",
	ProxyAuthenticate:                  "proxy-authenticate",
	ProxyAuthorization:                 "proxy-authorization",
	ProxyConnection:                    "proxy-connection",
	Range:                              "range",
	Referer:                            "referer",
	RetryAfter:                         "retry-after",
	Server:                             "server",
	SetCookie:                          "set-cookie",
	TE:                                 "te",
	Trailer:                            "trailer",
	TransferEncoding:                   "transfer-encoding",
	Upgrade:                            "upgrade",
	UserAgent:                          "user-agent",
	Vary:                               "vary",
	Via:                                "via",
	XClientTraceID:                     "x-client-trace-id",
	XEnvoyAttemptCount:                 "x-envoy-attempt-count",
	XEnvoyDecoratorOperation:           "x-envoy-decorator-operation",
	XEnvoyDownstreamServiceCluster:     "x-envoy-downstream-service-cluster",
	XEnvoyDownstreamServiceNode:        "x-envoy-downstream-service-node",
	XEnvoyExpectedRqTimeoutMs:          "x-envoy-expected-rq-timeout-ms",
	XEnvoyExternalAddress:              "x-envoy-external-address",
	XEnvoyForceTrace:                   "x-envoy-force-trace",
	XEnvoyHedgeOnPerTryTimeout:         "x-envoy-hedge-on-per-try-timeout",
	XEnvoyImmediateHealthCheckFail:     "x-envoy-immediate-health-check-fail",
	XEnvoyInternal:                     "x-envoy-internal",
	XEnvoyIPTags:                       "x-envoy-ip-tags",
	XEnvoyIsTimeoutRetry:               "x-envoy-is-timeout-retry",
	XEnvoyMaxRetries:                   "x-envoy-max-retries",
	XEnvoyOriginalHost:                 "x-envoy-original-host",
	XEnvoyOriginalPath:                 "x-envoy-original-path",
	XEnvoyOriginalURL:                  "x-envoy-original-url",
	XEnvoyOverloaded:                   "x-envoy-overloaded",
	XEnvoyDropOverload:                 "x-envoy-drop-overload",
	XEnvoyUnconditionalDropOverload:    "x-envoy-unconditional-drop-overload",
	XEnvoyRateLimited:                  "x-envoy-ratelimited",
	XEnvoyRetriableHeaderNames:         "x-envoy-retriable-header-names",
	XEnvoyRetriableStatusCodes:         "x-envoy-retriable-status-codes",
	XEnvoyRetryGRPCOn:                  "x-envoy-retry-grpc-on",
	XEnvoyRetryOn:                      "x-envoy-retry-on",
	XEnvoyUpstreamAltStatName:          "x-envoy-upstream-alt-stat-name",
	XEnvoyUpstreamCanary:               "x-envoy-upstream-canary",
	XEnvoyUpstreamRqPerTryTimeoutMs:    "x-envoy-upstream-rq-per-try-timeout-ms",
	XEnvoyUpstreamRqTimeoutAltResponse: "x-envoy-upstream-rq-timeout-alt-response",
	XEnvoyUpstreamRqTimeoutMs:          "x-envoy-upstream-rq-timeout-ms",
	XEnvoyUpstreamServiceTime:          "x-envoy-upstream-service-time",
	XEnvoyUpstreamStreamDurationMs:     "x-envoy-upstream-stream-duration-ms",
	XForwardedClientCert:               "x-forwarded-client-cert",
	XForwardedFor:                      "x-forwarded-for",
	XForwardedHost:                     "x-forwarded-host",
	XForwardedPort:                     "x-forwarded-port",
	XForwardedProto:                    "x-forwarded-proto",
	XRequestID:                         "x-request-id",
}

// Name is the field's name in lower case; empty for Other.
func (id ID) Name() string { return names[id] }

// keys are what is compared first of the names: the first and last bytes, as words, and the length. Up to sixteen bytes they are the
// whole name. The masks have the bit that makes a letter lower case, for each letter.
var keys = func() (t [numIDs]struct {
	first, last         uint64
	firstMask, lastMask uint64
	n                   int
}) {
	for id := Other + 1; id < numIDs; id++ {
		k, masks := &t[id], []byte(names[id])
		for i, c := range masks {
			masks[i] = 0
			if c-'a' < 26 {
				masks[i] = 0x20
			}
		}
		k.first, k.last = ends(names[id])
		k.firstMask, k.lastMask = ends(masks)
		k.n = len(names[id])
	}
	return t
}()

// slots is an open-addressed table from a hash of a name to its ID, an eighth full.
var slots = func() (t [1 << slotBits]ID) {
	for id := Other + 1; id < numIDs; id++ {
		h := slot(keys[id].first, keys[id].last)
		for t[h] != Other {
			h = (h + 1) % uint64(len(t))
		}
		t[h] = id
	}
	return t
}()

const slotBits = 9

// ends are the first and last bytes of a name that is not empty.
func ends[T string | []byte](name T) (first, last uint64) {
	switch n := len(name); {
	case n >= 8:
		return word(name[:8]), word(name[n-8:])
	case n >= 4:
		return half(name[:4]), half(name[n-4:])
	default:
		return uint64(name[0]) | uint64(name[n/2])<<8 | uint64(name[n-1])<<16, 0
	}
}

// word and half spell out what the compiler makes one load of.
func word[T string | []byte](b T) uint64 {
	_ = b[7]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

func half[T string | []byte](b T) uint64 {
	_ = b[3]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24
}

// slot is the same for a name in any case.
func slot(first, last uint64) uint64 {
	const fold = 0x2020202020202020
	return ((first|fold)*0x9e3779b97f4a7c15 ^ (last|fold)*0xc2b2ae3d27d4eb4f) >> (64 - slotBits)
}

// Lookup finds the ID of a name in lower case; Other if it has none.
func Lookup[T string | []byte](name T) ID {
	if id := LookupFold(name); names[id] == string(name) {
		return id
	}
	return Other
}

// LookupFold finds the ID of a name in any case; Other if it has none.
func LookupFold[T string | []byte](name T) ID {
	n := len(name)
	if n == 0 {
		return Other
	}
	first, last := ends(name)
	for h := slot(first, last); ; h = (h + 1) % uint64(len(slots)) {
		id := slots[h]
		if id == Other {
			return Other
		}
		k := &keys[id]
		if first|k.firstMask == k.first && last|k.lastMask == k.last && k.n == n && (n <= 16 || middle(name, names[id])) {
			return id
		}
	}
}

// middle compares what ends leaves out of a name longer than sixteen bytes.
func middle[T string | []byte](name T, own string) bool {
	for i := 8; i < len(name)-8; i++ {
		c := name[i]
		if c-'A' < 26 {
			c |= 0x20
		}
		if c != own[i] {
			return false
		}
	}
	return true
}
