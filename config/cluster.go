package config

import "time"

// Cluster is a set of endpoints that are as good as one another, and how to talk to them. Durations of 0 mean "never".
type Cluster struct {
	Name     string
	StatName string // as statistics call it; Name if the resource says nothing else
	Hash     Hash   // of everything but the endpoints
	Type     ClusterType
	// Static is the assignment of a cluster of type Static.
	Static *Assignment
	// ServiceName is what an EDS cluster's endpoints are found by in the snapshot.
	ServiceName string
	// EndpointFile is watched for the endpoints of ServiceName, if set.
	EndpointFile   *WatchedFile
	Balancer       Balancer
	ChoiceCount    uint32  // LEAST_REQUEST: how many are compared, at least 2
	ActiveBias     float64 // LEAST_REQUEST with weights
	FullScan       bool    // LEAST_REQUEST: compare all
	Panic          float64 // percent of healthy endpoints below which health is ignored
	ConnectTimeout time.Duration
	// BufferLimit is the watermark, in bytes, of each direction of a connection. Never 0.
	BufferLimit uint32
	Breakers    [2]Breaker // by Priority
	KeepAlive   *TCPKeepAlive
	// HTTP.
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
	Raw                   []byte
}

// ClusterType is where endpoints come from.
type ClusterType uint8

// The types.
const (
	Static ClusterType = iota
	EDS
)

// Balancer chooses an endpoint.
type Balancer uint8

// The balancers.
const (
	RoundRobin Balancer = iota
	LeastRequest
	Random
)

// Breaker limits what is in flight towards a cluster.
type Breaker struct {
	MaxConnections, MaxPending, MaxRequests, MaxRetries uint32
	TrackRemaining                                      bool
}

// Assignment is a cluster's endpoints.
type Assignment struct {
	Name      string
	Hash      Hash
	Endpoints []Endpoint
	Raw       []byte
}

// Endpoint is one place where a cluster is served.
type Endpoint struct {
	Address  Address
	Hostname string
	Weight   uint32 // at least 1
	Health   Health
	Locality Locality
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
