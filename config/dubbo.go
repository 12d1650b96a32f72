package config

// Dubbo is a Dubbo proxy: every call is carried to a cluster by itself.
type Dubbo struct {
	StatPrefix string
	Services   []DubboService // the first that a call is for, and that has a route for it, counts
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
