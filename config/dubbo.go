package config

import "time"

// Dubbo is a Dubbo proxy: every call is carried to a cluster by itself.
type Dubbo struct {
	StatPrefix string
	// Routes is inline; else RouteName, which may be empty, names one of the snapshot's.
	Routes    *DubboRoutes
	RouteName string
	// RouteFile is watched for the routes of RouteName, if set.
	RouteFile *WatchedFile
	// RouteStream is where they come from instead, if set.
	RouteStream *Subscription
	Filters     []DubboFilter // what a call has to pass before it is routed, in order
	AccessLogs  []AccessLog
}

// DubboRoutes is a table of routes. Without services it has none for any call.
type DubboRoutes struct {
	Name     string
	Services []DubboService // the first that a call is for, and that has a route for it, counts
	// Raw is the resource as it was accepted, in protobuf's wire format, to be shown.
	Raw []byte
}

// DubboFilter is one of two.
type DubboFilter struct {
	Access *DubboAccess
	Limit  *DubboLimit
}

// DubboAccess are policies about calls, each of which is to them a POST to /<interface>/<method> with its attachments as headers.
type DubboAccess struct {
	AccessCheck
	Prefix string // of what is counted of Rules
}

// DubboLimit is how many calls pass.
type DubboLimit struct {
	StatPrefix       string
	Standard         *Rate       // nil: none is for all
	Of               []DubboRate // the first that is for a call counts, beside Standard
	Enabled, Imposed Fraction
}

// DubboRate is for some calls. What is empty asks for nothing.
type DubboRate struct {
	Interface, Method string
	Rate              Rate
}

// DubboService is calls of some interfaces. What is empty asks for nothing.
type DubboService struct {
	// Interface may begin, or else end, with a * for any characters, one at least; it is never empty.
	Interface      string
	Group, Version string
	Routes         []DubboRoute
}

// DubboRoute is where some calls go. The zero conditions hold of every call that names a method.
type DubboRoute struct {
	Method      *StringMatch
	Arguments   []DubboArgument
	Attachments []HeaderMatch
	More        *DubboMore        // what it asks for besides; nil: nothing
	Clusters    []WeightedCluster // one or more; weights sum to TotalWeight
	TotalWeight uint32
	Timeout     time.Duration // of all attempts together; 0: none
	Retry       *DubboRetry   // nil: there is one attempt
	Mirrors     []DubboMirror
	Fallbacks   map[string][]string // the clusters that are tried in turn, by the name of the one that has nobody
}

// DubboMore is what a call has to meet that Envoy's conditions cannot say.
type DubboMore struct {
	Services    []StringMatch // one of them; none: any
	Argc        *uint32       // nil: any
	Arguments   []DubboParameter
	Attachments []DubboAttachment
}

// DubboParameter is what an argument has to be. It has to be there in any case.
type DubboParameter struct {
	Index uint32 // from 0
	Type  string // as Java's sources name it; empty: any
	Value *DubboValue
}

// DubboAttachment is what an attachment has to be.
type DubboAttachment struct {
	Name  string
	Value DubboValue
}

// DubboValue holds of a value that one of the conditions of its kind holds of, or none if None is set; of null and of what is no single value neither.
type DubboValue struct {
	Kind     DubboKind
	None     bool
	Texts    []StringMatch
	Numbers  []DubboNumber
	Booleans []bool
}

// DubboKind is what of a DubboValue counts.
type DubboKind uint8

// The kinds. A text is how a value is written, whatever it is; numbers hold of numbers alone, and booleans of booleans.
const (
	DubboTexts DubboKind = iota
	DubboNumbers
	DubboBooleans
)

// DubboNumber holds of numbers in [From, To), or, if these are the same, of that number.
type DubboNumber struct{ From, To float64 }

// DubboRetry says how often a call is made again, and when.
type DubboRetry struct {
	Attempts   uint32        // after the first
	PerTry     time.Duration // 0: what is left of the route's timeout
	Idempotent bool          // what an endpoint may have begun is made again, too
}

// DubboMirror is a cluster that gets copies of calls.
type DubboMirror struct {
	Cluster string
	Share   Fraction
}

// DubboArgument is what an argument has to be.
type DubboArgument struct {
	Index uint32 // from 0
	Exact string // as it is written; empty, without Range: it only has to be there
	Range *Int64Range
}
