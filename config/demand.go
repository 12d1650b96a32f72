package config

import "time"

// Demand is a resource that a request or a connection has found missing, and may wait for.
type Demand struct {
	Kind DemandKind
	From Stream
	Name string // of the cluster, of the route configuration, or, of a virtual host, table/host
}

// DemandKind is the kind of such a resource.
type DemandKind uint8

// The kinds.
const (
	DemandCluster DemandKind = iota
	DemandRoutes             // of a scope
	DemandHost
)

// OnDemand is where clusters come from that requests name and that are not there.
type OnDemand struct {
	From    Stream
	Timeout time.Duration // how long a request waits for one
}
