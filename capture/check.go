package capture

import (
	"fmt"
	"strings"
)

// Report is what Check finds.
type Report struct {
	Backend string `json:"backend"`
	Why     string `json:"why"`
	Difference
	// Foreign are rules of others that come before ours and may take traffic away.
	Foreign []string `json:"foreign,omitempty"`
	// Elsewhere are backends other than this that have rules of ours, too: packets walk both.
	Elsewhere []string `json:"elsewhere,omitempty"`
	// Held says that somebody else listens where traffic is taken to.
	Held string `json:"held,omitempty"`
	// Escapes is what is not captured, as the settings say; Connections what is not, because it was there before.
	Escapes     []Escape `json:"escapes,omitempty"`
	Connections []string `json:"connections,omitempty"`
	// More is how many connections beyond those that are listed.
	More int `json:"moreConnections,omitempty"`
}

// Escape is traffic that does not come to the proxy.
type Escape struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// OK says that the kernel does what was planned. What escapes by settings, or by its age, does not count against it.
func (r Report) OK() bool {
	return r.none() && len(r.Foreign) == 0 && len(r.Elsewhere) == 0 && r.Held == ""
}

// maxConnections bounds those that are named.
const maxConnections = 20

// Check holds the kernel against the settings, and says what escapes.
func Check(o Options) (Report, error) {
	if o.Backend == BackendEBPF {
		return checkPrograms(o)
	}
	b, why, others, err := choose(o)
	if err != nil {
		return Report{}, err
	}
	p := Make(o.Settings)
	r := Report{Backend: b.name(), Why: why, Escapes: Escapes(o.Settings)}
	if r.Difference, err = b.compare(p); err != nil {
		return r, err
	}
	if r.Foreign, err = b.foreign(p); err != nil {
		return r, err
	}
	routes, err := missingRoutes(p)
	if err != nil {
		return r, err
	}
	r.Missing = append(r.Missing, routes...)
	for _, other := range others {
		if there, err := other.ours(); err == nil && there {
			r.Elsewhere = append(r.Elsewhere, other.name())
		}
	}
	if err := held(o.Settings); err != nil {
		r.Held = err.Error()
	}
	all, err := sockets("tcp")
	if err != nil {
		return r, err
	}
	if len(all) == maxSockets {
		r.Escapes = append(r.Escapes, Escape{"connections that are not looked at", fmt.Sprintf("there are more than %d sockets", maxSockets)})
	}
	for _, c := range standing(o.Settings, all) {
		if len(r.Connections) == maxConnections {
			r.More++
			continue
		}
		r.Connections = append(r.Connections, fmt.Sprintf("%s to %s, of user %d", c.local, c.remote, c.user))
	}
	return r, nil
}

// Escapes is what settings leave out, and why.
func Escapes(s Settings) []Escape {
	var list []Escape
	add := func(what, why string, args ...any) { list = append(list, Escape{what, fmt.Sprintf(why, args...)}) }
	udp := "UDP both ways (QUIC at port 443, too), ICMP and raw sockets"
	if s.DNS {
		udp = "UDP both ways but for questions at port 53 (QUIC at port 443 escapes), ICMP and raw sockets"
	}
	add(udp, "only TCP is captured")
	add("all that processes of user "+join(s.ProxyUIDs, ", ")+" or group "+join(s.ProxyGIDs, ", ")+" send", "they are the proxy; whoever runs as one of them is not captured")
	add("what the pod's programs say to each other over lo", "destinations in %s and ::1, and the pod's own addresses", s.Loopback)
	add(fmt.Sprintf("inbound connections to port %d", s.TunnelPort), "--inbound-tunnel-port")
	switch {
	case s.InboundPorts.None():
		add("all inbound connections", "--istio-inbound-ports is empty")
	case !s.InboundPorts.All:
		add("inbound connections to other ports than "+join(s.InboundPorts.List, ", "), "--istio-inbound-ports")
	case len(s.ExcludedInboundPorts) > 0:
		add("inbound connections to the ports "+join(s.ExcludedInboundPorts, ", "), "--istio-local-exclude-ports")
	}
	if len(s.ExcludedOutboundPorts) > 0 {
		add("outbound connections to the ports "+join(s.ExcludedOutboundPorts, ", "), "--istio-local-outbound-ports-exclude")
	}
	if len(s.ExcludedOutboundRanges) > 0 {
		add("outbound connections to "+join(s.ExcludedOutboundRanges, ", "), "--istio-service-exclude-cidr")
	}
	if !s.OutboundRanges.All {
		var but []string
		if len(s.OutboundRanges.List) > 0 {
			but = append(but, join(s.OutboundRanges.List, ", "))
		}
		if len(s.OutboundPorts) > 0 {
			but = append(but, "the ports "+join(s.OutboundPorts, ", "))
		}
		what := "all outbound connections"
		if len(but) > 0 {
			what += " but to " + strings.Join(but, " and ")
		}
		add(what, "--istio-service-cidr is not *")
	}
	switch {
	case !s.Groups.All && len(s.Groups.List) == 0:
		add("all outbound connections", "ISTIO_OUTBOUND_OWNER_GROUPS is empty")
	case !s.Groups.All:
		add("what processes outside of the groups "+join(s.Groups.List, ", ")+" send", "ISTIO_OUTBOUND_OWNER_GROUPS")
	case len(s.ExcludedGroups) > 0:
		add("what processes of the groups "+join(s.ExcludedGroups, ", ")+" send", "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE")
	}
	if len(s.ExcludedInterfaces) > 0 {
		add("all that goes by the interfaces "+strings.Join(s.ExcludedInterfaces, ", "), "--istio-exclude-interfaces")
	}
	if !s.IPv6 {
		add("all of IPv6", "the first address of this namespace is IPv4 and --dual-stack is off")
	}
	if s.DNS && !s.AllDNS {
		if len(s.Resolvers) == 0 {
			add("all questions", "/etc/resolv.conf names no resolver and --capture-all-dns is off, so that --redirect-dns does nothing")
		} else {
			add("questions to other resolvers than "+join(s.Resolvers, ", "), "--capture-all-dns is off")
		}
	}
	return list
}
