package capture

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Mode is how inbound connections come to the proxy. Outbound ones are always redirected.
type Mode string

const (
	// Redirect changes the destination: the application sees the proxy's address as that of the client.
	Redirect Mode = "REDIRECT"
	// Transparent keeps both addresses (TPROXY): the proxy's listener must be transparent, and what it opens to the application marked.
	Transparent Mode = "TPROXY"
)

// Settings say what is captured. Their meaning is that of istio-iptables, whose flags are in Parse.
type Settings struct {
	ProxyPort   uint16 // takes what goes out
	InboundPort uint16 // takes what comes in
	TunnelPort  uint16 // where tunnels of the mesh come in: never captured
	// ProxyUIDs and ProxyGIDs are the users and groups of the proxy: what they send is not captured.
	ProxyUIDs, ProxyGIDs []uint32

	Mode       Mode
	Mark       uint32 // of packets that are the proxy's by TPROXY; not 0
	RouteTable uint32 // the routing table that brings them to it

	// InboundPorts are the ports that are captured, or all of them. ExcludedInboundPorts count only where all are.
	InboundPorts         Ports
	ExcludedInboundPorts []uint16

	// OutboundRanges are the destinations that are captured, or all of them; OutboundPorts are captured wherever they are.
	OutboundRanges         Ranges
	ExcludedOutboundRanges []netip.Prefix
	OutboundPorts          []uint16
	ExcludedOutboundPorts  []uint16

	// Groups are the groups whose processes are captured, or all of them. ExcludedGroups count only where all are.
	Groups         Groups
	ExcludedGroups []uint32

	ExcludedInterfaces []string // neither what comes in nor what goes out by them is captured
	VirtualInterfaces  []string // what comes in by them, from virtual machines, counts as going out

	// Loopback are the addresses by which programs of the pod speak to each other without the proxy.
	Loopback netip.Prefix

	DNS       bool         // questions at port 53 go to port 15053
	AllDNS    bool         // whomever they are for, and not only for the Resolvers
	Resolvers []netip.Addr // whom the pod asks

	DropInvalid bool // packets outside of a connection's window are dropped, and not answered with a reset
	IPv6        bool // IPv6 is captured, too
}

// Ports is a list of ports, or all.
type Ports struct {
	All  bool
	List []uint16
}

// None says that there is none.
func (p Ports) None() bool { return !p.All && len(p.List) == 0 }

// Ranges is a list of ranges of addresses, or all.
type Ranges struct {
	All  bool
	List []netip.Prefix
}

// Groups is a list of groups, or all.
type Groups struct {
	All  bool
	List []uint32
}

// DNSPort is where questions are taken to: the proxy answers there.
const DNSPort = 15053

// Defaults are Istio's for a program that is called without flags: nothing comes in or goes out captured.
func Defaults() Settings {
	return Settings{
		ProxyPort: 15001, InboundPort: 15006, TunnelPort: 15008, ProxyUIDs: []uint32{1337}, ProxyGIDs: []uint32{1337},
		Mode: Redirect, Mark: 1337, RouteTable: 133, Groups: Groups{All: true}, Loopback: netip.MustParsePrefix("127.0.0.1/32"),
	}
}

// maxGroups bounds the groups that are included: they are matches of one rule, of which a kernel takes 128 to 1,200.
const maxGroups = 64

// maxRules bounds a plan. A kernel walks rules one by one for each new connection, and what is told it comes in one message.
const maxRules = 4096

// check says what of settings cannot be carried out.
func (s Settings) check() error {
	var errs []error
	want := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	want(s.Mode == Redirect || s.Mode == Transparent, "--istio-inbound-interception-mode is %q: want REDIRECT or TPROXY, and no capture at all for NONE", s.Mode)
	want(s.ProxyPort != 0 && s.InboundPort != 0 && s.TunnelPort != 0, "ports of the proxy are from 1 to 65535")
	want(s.ProxyPort != s.InboundPort, "--envoy-port and --inbound-capture-port are both %d: the proxy tells by the port what comes in from what goes out", s.ProxyPort)
	want(s.Mark != 0 && s.Mark != outboundMark, "--istio-inbound-tproxy-mark is %d: want neither 0, which every packet has, nor %d, which has a meaning here", s.Mark, outboundMark)
	want(s.RouteTable != 0 && (s.RouteTable < 253 || s.RouteTable > 255), "--istio-inbound-tproxy-route-table is %d: 0 and 253 to 255 are the system's own tables", s.RouteTable)
	want(len(s.ProxyUIDs) > 0, "--proxy-uid names nobody: the proxy would capture what it sends itself")
	want(s.Groups.All || len(s.Groups.List) <= maxGroups, "ISTIO_OUTBOUND_OWNER_GROUPS names %d groups: want at most %d", len(s.Groups.List), maxGroups)
	want(s.Loopback.Addr().Is4() && s.Loopback.Addr().IsLoopback() && s.Loopback.Bits() >= 8, "ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR is %s: want a range within 127.0.0.0/8", s.Loopback)
	if len(errs) == 0 {
		if n := len(Make(s).Rules); n > maxRules {
			errs = append(errs, fmt.Errorf("these settings take %d rules: want at most %d, with ranges in place of lists", n, maxRules))
		}
	}
	return errors.Join(errs...)
}

// Options are what a command line says: what is captured, and by which means.
type Options struct {
	Settings
	Backend   string // BackendAuto, BackendIPTables, BackendNFTables or BackendEBPF
	Cgroup    string // of the application and its proxy, for BackendEBPF: its folder in the unified hierarchy
	ShortCuts bool   // with BackendEBPF: what is sent to the proxy by whoever is on this machine and captured so goes from socket to socket
	Binary    string // of iptables: "legacy", "nft", or empty for the one that has rules
	Namespace string // path of the network namespace, if it is not our own
	OwnLock   bool   // iptables-legacy locks the namespace and not the host
	DryRun    bool   // say what would be done
	SkipApply bool   // change nothing
	CleanOnly bool   // take away what is there
	Force     bool   // apply even what is there already
	Probe     bool   // send a connection through what is captured
	ProbePort uint16
	ProbeWait time.Duration
	Output    string   // how it is shown: FormTable, FormIPTables, FormNFT or FormJSON
	Warnings  []string // what the settings leave out, though it looks as if it was there
}

// Values of Options.Backend.
const (
	BackendAuto     = "auto"
	BackendIPTables = "iptables"
	BackendNFTables = "nftables"
	BackendEBPF     = "ebpf"
)

// Values of Options.Output.
const (
	FormTable    = "table"
	FormIPTables = "iptables"
	FormNFT      = "nft"
	FormJSON     = "json"
)

var forms = []string{FormTable, FormIPTables, FormNFT, FormJSON}
