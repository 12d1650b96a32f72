package config

import (
	"iter"
	"net/netip"
	"time"
)

// FilterChain is what a connection goes through: its guards, and then the one of HTTP, TCP, Dubbo and Answer that is set.
type FilterChain struct {
	Name string
	// ID tells the chain from the others of its listener, and stays when what is in the chain changes.
	ID    string
	Hash  Hash // of all of it
	Match ChainMatch
	// TLS is what connections speak; nil: plain text. HandshakeTimeout bounds how long it takes until they do; 0: a minute.
	TLS              *TLS
	HandshakeTimeout time.Duration
	// Guards may turn a connection away, in order.
	Guards []Guard
	// State is set of every connection, and with it of what comes over it.
	State  []SetState
	HTTP   *HTTP
	TCP    *TCP
	Dubbo  *Dubbo
	Answer *Answer

	Metadata Metadata
}

// Guard limits how many connections of a filter chain there are at a time, or, with a rate, how many come, or says by rules whose may stand.
type Guard struct {
	StatPrefix string
	Off        bool          // everybody is let in, unless Key says otherwise
	Key        *Key          // of whether it is on; nil: none
	Max        uint64        // at least 1, without Rate and Access
	Delay      time.Duration // until a connection that is one too many, or that rules deny, is closed
	Rate       *Rate
	ShareKey   string       // guards of the same rate that have it share a bucket; "": this one has its own
	Access     *AccessCheck // looked at when the connection stands, after its TLS handshake
}

// SetState sets a named value for later filters and logs. Format is a *accesslog.Format.
type SetState struct {
	Name      string
	Format    any
	SkipEmpty bool // an empty value is not set
	Hashable  bool // balancers may hash it
}

// Answer is what is said to a connection that is for nobody else.
type Answer struct {
	Echo bool   // what it says itself
	Text []byte // this, and then it is closed; not with Echo
}

// ChainMatch is what a connection has to be. An empty list or a zero asks for nothing.
type ChainMatch struct {
	DestinationPort uint16
	Destinations    []netip.Prefix
	// ServerNames are names of TLS servers; one that begins with a dot stands for all that end with it.
	ServerNames   []string
	Transport     string // "tls" or "raw_buffer"
	Applications  []string
	DirectSources []netip.Prefix // of the peer of the socket
	SourceType    SourceType
	Sources       []netip.Prefix // of whom a PROXY protocol names, else the same
	SourcePorts   []uint16
}

// SourceType is where a connection comes from, roughly.
type SourceType uint8

// The types.
const (
	AnySource   SourceType = iota
	LocalSource            // the address that it goes to, or loopback
	OtherSource
)

// AllChains are the chains and the default one.
func (l *Listener) AllChains() iter.Seq[*FilterChain] {
	return func(yield func(*FilterChain) bool) {
		for _, c := range l.Chains {
			if !yield(c) {
				return
			}
		}
		if l.Default != nil {
			yield(l.Default)
		}
	}
}

// ListenerFilter looks at a connection before its chain is chosen.
type ListenerFilter struct {
	Kind     FilterKind
	Disabled *ConnectionMatch // is left out for connections that match; nil: for none
	// MaxHello bounds a ClientHello, in bytes with its records.
	MaxHello int
	// CloseOther closes what is not TLS.
	CloseOther bool
	// Proxy is for ReadProxyHeader.
	Proxy ProxyHeader
	// Mark is for KeepSource: what the kernel marks packets to endpoints with; 0: nothing.
	Mark uint32
}

// ProxyHeader is what is wanted of the PROXY protocol.
type ProxyHeader struct {
	Optional   bool    // connections without a header are taken as they are
	Refused    [3]bool // by version: what begins with such a header has none
	StatPrefix string
}

// FilterKind is what a listener filter looks for.
type FilterKind uint8

// The kinds.
const (
	LookForTLS         FilterKind = iota // server name and protocols of a ClientHello
	LookForHTTP                          // the version of HTTP
	LookForDestination                   // where a redirected connection was going
	ReadProxyHeader                      // whom a connection is from, as a proxy says
	KeepSource                           // connections to endpoints seem to come from the client's address
)

// ConnectionMatch is a condition on a connection. One of the four is set; the zero value is met by every connection.
type ConnectionMatch struct {
	Or, And []ConnectionMatch
	Not     *ConnectionMatch
	Ports   *PortRange // of the destination
}

// PortRange holds its beginning and not its end.
type PortRange struct{ From, To int32 }
