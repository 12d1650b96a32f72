package accesslog

import (
	"net/netip"
	"slices"
	"time"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/wire/http"
)

// Entry is what a log line, or a header value with %operators%, can tell of an exchange or a connection. Whoever owns the exchange
// fills it; what does not apply stays zero and is written as "-".
type Entry struct {
	Request          *http.Request // nil for TCP
	Response         *http.Response
	ResponseTrailers *http.Header
	Protocol         http.Version
	HasProtocol      bool // false for TCP, and before a request's head was understood
	Answered         bool // the response is written whole
	Status           uint16
	Flags            Flags
	Details          string // response code details
	Termination      string // connection termination details

	Start time.Time
	// The following are since Start; negative: has not happened.
	RequestEnd, UpstreamFirstSent, UpstreamLastSent, UpstreamHead, UpstreamEnd, DownstreamHead, End time.Duration

	BytesReceived, BytesSent                     uint64 // bodies
	WireReceived, WireSent                       uint64 // with heads and framing, downstream
	UpstreamWireReceived, UpstreamWireSent       uint64
	ConnectionID                                 uint64
	Attempts                                     uint32
	Remote, Direct, Local                        netip.AddrPort // downstream: trusted, as connected, our side
	DirectLocal                                  netip.AddrPort // our side of the socket, if Local is where the connection was going before; else not valid
	ServerName                                   string         // that a TLS client asked for
	UpstreamHost                                 netip.AddrPort // whom the last attempt was for
	UpstreamRemote, UpstreamLocal                netip.AddrPort // of the connection that it got
	RemotePath, LocalPath, UpstreamPath          string         // instead of the above for Unix sockets
	Route, VirtualHost, Cluster, ClusterStatName string
	VirtualCluster                               string
	Routed                                       bool   // there is a route, which may have no name
	Failure, UpstreamFailure                     string // transport failure reasons
	UpstreamConnectionID                         uint64
	UpstreamProtocol                             http.Version // that what goes upstream goes in
	UpstreamRaw                                  bool         // what goes upstream is no HTTP
	FilterChain                                  string
	UpstreamName                                 string // of the endpoint; empty: it has none
	Whole                                        bool   // a connection, as its listener logs it
	HealthCheck                                  bool   // a filter took it for one
	Moment                                       config.LogMoment
	Metadata                                     config.Metadata // what filters noted; nil if nothing
	State                                        []config.State  // what filters set
	About                                        About
	More                                         *More     // nil unless a format asks for it
	TLS, UpstreamTLS                             Transport // nil: there is none
	LocalBody                                    []byte    // of an answer in the upstream's place, while another body is made of it
}

// ConnectionLog logs a connection as a whole. Whoever has it tells how it went, just before it leaves.
type ConnectionLog interface{ Ended(e *Entry) }

// Owner is somebody of whom a configuration holds metadata.
type Owner uint8

// The owners.
const (
	OfRoute Owner = iota
	OfVirtualHost
	OfCluster
	OfEndpoint
	OfListener
	OfChain
	owners
)

// About is what is configured of each owner.
type About [owners]config.Metadata

// SetState sets values as configured, in order.
func (e *Entry) SetState(list []config.SetState) {
	for i := range list {
		s := &list[i]
		if v := string(s.Format.(*Format).Append(nil, e)); v != "" || !s.SkipEmpty {
			e.State = append(slices.DeleteFunc(e.State, func(o config.State) bool { return o.Name == s.Name }), config.State{Name: s.Name, Value: v, Hashable: s.Hashable})
		}
	}
}

// StateOf finds a named value.
func (e *Entry) StateOf(name string) (string, bool) {
	for i := range e.State {
		if e.State[i].Name == name {
			return e.State[i].Value, true
		}
	}
	return "", false
}
