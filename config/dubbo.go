package config

// Dubbo is a Dubbo proxy: every call is carried to a cluster by itself.
type Dubbo struct {
	StatPrefix string
	Services   []DubboService // the first that a call is for, and that has a route for it, counts
	Filters    []DubboFilter  // what a call has to pass before that, in order
	AccessLogs []AccessLog
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
	Clusters    []WeightedCluster // one or more; weights sum to TotalWeight
	TotalWeight uint32
}

// DubboArgument is what an argument has to be.
type DubboArgument struct {
	Index uint32 // from 0
	Exact string // as it is written; empty, without Range: it only has to be there
	Range *Int64Range
}
