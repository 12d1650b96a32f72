package capture

import "net/netip"

// Family is the version of IP that a rule is for; 0 for both.
type Family uint8

const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// Rule is one rule of one chain.
type Rule struct {
	Table, Chain string
	Family       Family // 0: both
	// Head says that the rule comes before those that others have in PREROUTING or OUTPUT, and not behind.
	Head bool
	Match
	Target
}

// own says that nothing but the rule itself shows that it is ours: it is in a chain of everybody, and does not go on to one of ours.
func (r Rule) own() bool {
	return (r.Chain == prerouting || r.Chain == output) && r.Target.Kind != Jump
}

// Match is what a packet has to be. What is empty does not count.
type Match struct {
	Source, Destination netip.Prefix
	NotDestination      bool // anything but the destination
	In, Out             string
	Protocol            string // tcp or udp
	SourcePort          uint16
	Ports               []uint16 // of the destination
	NotPorts            bool     // anything but the ports
	Owners              []Owner
	State               string // of the connection: INVALID, or RELATED,ESTABLISHED
	Mark, ConnMark      uint32
	NotMark             bool // anything but the mark
}

// Owner is a user, or group, whose process sends the packet; or anybody else.
type Owner struct {
	ID    uint32
	Group bool
	Not   bool
}

// Kind is what becomes of a packet.
type Kind string

const (
	Return      Kind = "RETURN"
	Accept      Kind = "ACCEPT"
	Drop        Kind = "DROP"
	Jump        Kind = "jump"
	ToPort      Kind = "REDIRECT" // to Port of this host
	ToProxy     Kind = "TPROXY"   // to the socket at Port, with Mark
	SetMark     Kind = "MARK"
	SaveMark    Kind = "save mark"    // of the packet, as that of the connection
	RestoreMark Kind = "restore mark" // of the connection, as that of the packet
	SetZone     Kind = "CT"           // the connection is looked up among those of Zone
)

// Target is what becomes of a packet that matches.
type Target struct {
	Kind  Kind
	Chain string // of Jump
	Port  uint16
	Mark  uint32
	Zone  uint16
}
