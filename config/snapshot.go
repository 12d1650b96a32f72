package config

import (
	"net/netip"
	"reflect"
	"time"
)

// Hash tells two contents of a resource apart. Equal hashes mean equal resources.
type Hash [16]byte

// Snapshot is one complete configuration. It and all that it points to are never written to after it was made, so snapshots share
// what did not change between them.
type Snapshot struct {
	Listeners []*Listener
	Clusters  []*Cluster
	// Routes holds the route configurations that listeners name, by name. One that has not arrived is absent.
	Routes map[string]*RouteConfiguration
	// DubboRoutes holds those of Dubbo, as Routes does.
	DubboRoutes map[string]*DubboRoutes
	// Scopes are those that connection managers choose tables by, by where they come from, in the order of their names.
	Scopes map[ScopeSource][]*Scope
	// Endpoints holds the endpoints of clusters of type EDS by their service name. One that has not arrived is absent.
	Endpoints Assignments
	// Secrets are what transport sockets name, by name. One that has not arrived is absent.
	Secrets map[string]*Secret
	// Extensions are filters' configurations that come by themselves, by name. One that has not arrived is absent.
	Extensions map[string]*Extension
	// Runtime are layers of runtime values, by name. One that has not arrived is absent.
	Runtime map[string]*RuntimeValues
	// Answered are the resources of those that were missed that are in force, or are said not to be there.
	Answered map[Demand]bool
}

// OnlyEndpoints are the service names under which a snapshot has other endpoints than the one before it, if nothing else is another and
// that can be told without looking at all. It may be that there is none.
func (s *Snapshot) OnlyEndpoints(before *Snapshot) (names []string, ok bool) {
	if !sameList(s.Listeners, before.Listeners) || !sameList(s.Clusters, before.Clusters) || !sameMap(s.Routes, before.Routes) || !sameMap(s.DubboRoutes, before.DubboRoutes) || !sameMap(s.Scopes, before.Scopes) || !sameMap(s.Secrets, before.Secrets) ||
		!sameMap(s.Extensions, before.Extensions) || !sameMap(s.Runtime, before.Runtime) || !sameMap(s.Answered, before.Answered) {
		return nil, false
	}
	return s.Endpoints.Changed(before.Endpoints)
}

// SameClusters says that a snapshot has the clusters of the one before it, with their endpoints, if that can be told without looking at all.
func (s *Snapshot) SameClusters(before *Snapshot) bool {
	names, ok := s.Endpoints.Changed(before.Endpoints)
	return ok && len(names) == 0 && sameList(s.Clusters, before.Clusters)
}

// OnlyAnswered says that a snapshot has other answers than the one before it, and that nothing else is another.
func (s *Snapshot) OnlyAnswered(before *Snapshot) bool {
	same := *s
	same.Answered = before.Answered
	names, ok := same.OnlyEndpoints(before)
	return ok && len(names) == 0
}

// sameList says that two slices are one: they share their elements, which nobody writes to.
func sameList[T any](a, b []T) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// sameMap says that two maps are one.
func sameMap[K comparable, V any](a, b map[K]V) bool {
	return reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer()
}

// Bootstrap is what a process starts from.
type Bootstrap struct {
	Node   Node
	Admin  *Admin // nil: no admin listener
	Static Snapshot
	// Dynamic is where more listeners and clusters come from.
	Dynamic Dynamic
	Runtime []RuntimeLayer
	// MaxConnections is how many downstream connections all listeners together may have at once; 0: as many as come.
	MaxConnections int64
	// Statistics is how numbers are shown; nil: all of them, with the names and buckets that Envoy has by default.
	Statistics *Statistics
	LogFormat  string // of the process's own log; empty: the default
	// Raw is the bootstrap as it was read, in protobuf's wire format, to be shown.
	Raw []byte
}

// Dynamic is where listeners and clusters come from, and what the bootstrap says for clusters that say nothing else.
type Dynamic struct {
	Listeners, Clusters *WatchedFile  // nil: no file
	ListenerStream      *Subscription // nil: no stream; without a file, there are none but the static ones
	ClusterStream       *Subscription // as ListenerStream
	Shared              *Stream       // the stream that every kind may come over; nil: there is none
	Resolver            *Resolver     // who is asked for names; nil: as this host does
	Binding             *Binding      // our side of connections; nil: as the kernel likes
	LoadReports         *Stream       // with whom load is reported; nil: it is not
	Ejections           string        // a file to which ejections are written; empty: none
	Traced              bool          // there is a tracer for who wants spans
}

// Stream is a conversation with a control plane, over gRPC or by polls.
type Stream struct {
	Shared   bool   // the bootstrap's own, Dynamic.Shared; the rest says nothing then
	Server   string // a static cluster of the bootstrap, whose endpoints are tried in turn
	Delta    bool   // only what changes is sent
	NodeOnce bool   // the node is told with the first message of each connection only
	// Refresh is how long after an answer a control plane that is polled is asked again, at random up to twice as long; 0: it is not polled.
	Refresh time.Duration
	Timeout time.Duration // of a poll
	// Metadata is told beside each call of gRPC's: lines of "name: value".
	Metadata string
}

// Subscription is that resources come over a stream.
type Subscription struct {
	Stream
	Wait time.Duration // how long whoever needs one waits for it to come for the first time; 0: for ever
}

// Node says who this proxy is.
type Node struct {
	ID, Cluster           string
	Region, Zone, SubZone string
	// Message is all that the bootstrap says of the node, in protobuf's wire format, for control planes.
	Message []byte
}

// Admin is the address where the process answers its operator.
type Admin struct {
	Address    Address
	Profile    string        // the file that /cpuprofiler writes
	Allow      []StringMatch // paths, with their queries, of which one must fit; none: all are served
	AccessLogs []AccessLog
}

// Address is where a socket is bound, or what it connects to.
type Address struct {
	// AddrPort is an IP address with its port; not valid if Path is set.
	AddrPort netip.AddrPort
	// Path is a Unix socket's path; one that begins with @ is in the abstract namespace.
	Path string
	// Mode is the permission bits of a Unix socket's file; 0: as the umask says.
	Mode uint32
}

// String is host:port, or the path.
func (a Address) String() string {
	if a.Path != "" {
		return a.Path
	}
	return a.AddrPort.String()
}

// Direction is which way a listener's traffic goes, seen from the workload.
type Direction uint8

// The directions.
const (
	Unspecified Direction = iota
	Inbound
	Outbound
)

// Listener is a bound socket and what is done with its connections.
type Listener struct {
	Name       string
	Metadata   Metadata
	Hash       Hash
	Address    Address
	Direction  Direction
	StatPrefix string // replaces the address in statistics
	// BufferLimit is the watermark, in bytes, of each direction of a connection. Never 0.
	BufferLimit uint32
	Backlog     int // of the accept queue
	ReusePort   bool
	// ExactBalance has every loop serve as many of the connections as the others.
	ExactBalance bool
	Freebind     bool
	Transparent  bool
	IPv4Compat   bool // an IPv6 socket takes IPv4 connections too
	KeepAlive    *TCPKeepAlive
	// Additional are more addresses that the listener is bound to.
	Additional    []AdditionalAddress
	SocketOptions []SocketOption
	// BeyondLimit has the listener's connections neither count for Bootstrap.MaxConnections nor be refused by it.
	BeyondLimit bool
	// Unbound listeners have no socket: others hand connections over to them by their address.
	Unbound bool
	// HandOver gives connections that were redirected to the listener at the address that they were going to, if there is one.
	HandOver bool
	// AccessLogs tell of connections as a whole, when they end.
	AccessLogs []AccessLog
	// Filters look at a connection, in order, before its chain is chosen.
	Filters []ListenerFilter
	// FilterTimeout bounds how long Filters may wait for bytes; 0: it does not. What is late is closed unless ContinueOnTimeout is set.
	FilterTimeout     time.Duration
	ContinueOnTimeout bool
	// Chains are what a connection may meet, by what it is. No two of them have the same match.
	Chains []*FilterChain
	// Matcher, if set, finds a chain by its place in Chains, and what they match themselves does not count.
	Matcher *Matcher
	// Default is what a connection meets that no chain matches; nil: it is closed.
	Default *FilterChain
	// Outer is the fingerprint of all but the chains: while it stays, sockets and the connections of chains that stay are left alone.
	Outer Hash
	// Raw is the resource as it was accepted, in protobuf's wire format, to be shown.
	Raw []byte
}

// AdditionalAddress is one more address of a listener, and what is set on its sockets in place of what the listener says.
type AdditionalAddress struct {
	Address
	KeepAlive     *TCPKeepAlive
	SocketOptions []SocketOption
}

// AllAddresses are the address and the additional ones.
func (l *Listener) AllAddresses() []Address {
	all := []Address{l.Address}
	for _, a := range l.Additional {
		all = append(all, a.Address)
	}
	return all
}

// SocketOption is one call of setsockopt with a number. State is for listening sockets; others are set before they connect.
type SocketOption struct {
	Level, Name, Value int
	State              SocketState
}

// SocketState is when an option is set.
type SocketState uint8

// The states.
const (
	BeforeBind SocketState = iota
	Bound
	Listening
)

// TCPKeepAlive is how the kernel probes an idle peer; 0: the kernel's own value.
type TCPKeepAlive struct {
	Probes, Time, Interval uint32 // count, seconds, seconds
}
