package decode

import (
	"math"
	"net/netip"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	commondnsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/common/dns/v3"
	dnsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/dns/v3"
	caresv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/network/dns_resolver/cares/v3"

	"github.com/weftmesh/weft/config"
)

// Envoy's defaults of names.
const (
	defaultRefresh    = 5 * time.Second
	defaultDNSTimeout = 5 * time.Second
	defaultDNSTries   = 4
	maxDNSTries       = 16
)

var (
	families = map[clusterv3.Cluster_DnsLookupFamily]config.AddressFamily{
		clusterv3.Cluster_V4_ONLY:      config.FamilyV4,
		clusterv3.Cluster_V6_ONLY:      config.FamilyV6,
		clusterv3.Cluster_V4_PREFERRED: config.FamilyV4First,
		clusterv3.Cluster_ALL:          config.FamilyAll,
	}
	typedFamilies = map[commondnsv3.DnsLookupFamily]config.AddressFamily{
		commondnsv3.DnsLookupFamily_V4_ONLY:      config.FamilyV4,
		commondnsv3.DnsLookupFamily_V6_ONLY:      config.FamilyV6,
		commondnsv3.DnsLookupFamily_V4_PREFERRED: config.FamilyV4First,
		commondnsv3.DnsLookupFamily_ALL:          config.FamilyAll,
	}
)

// namesOf reads a cluster whose endpoints have names, from its older fields or its cluster_type; false if it is none.
func (s *session) namesOf(c *config.Cluster, m *clusterv3.Cluster, p *at) bool {
	n := &config.Names{Warm: isTrue(m.GetWaitForWarmOnInit(), true)}
	switch {
	case m.GetClusterType() != nil:
		a := m.GetClusterType().GetTypedConfig()
		pt := p.field("cluster_type").field("typed_config")
		if a == nil {
			s.problem(pt, "a configuration is missing: it says which type is meant")
			return true
		}
		o := s.open(a)
		t, ok := o.message.(*dnsv3.DnsCluster)
		if !ok {
			return true // the table refuses it
		}
		if m.GetDnsRefreshRate() != nil || m.GetDnsFailureRefreshRate() != nil || m.GetRespectDnsTtl() || m.GetDnsJitter() != nil || m.GetDnsLookupFamily() != 0 ||
			len(m.GetDnsResolvers()) > 0 || m.GetUseTcpForDnsLookups() || m.GetTypedDnsResolverConfig() != nil {
			s.problem(p.field("cluster_type"), "the cluster's own fields about DNS are not read beside this: move them here")
		}
		pt = pt.as(o.name)
		c.Type = config.StrictDNS
		if t.GetAllAddressesInSingleEndpoint() {
			c.Type = config.LogicalDNS
		}
		n.RespectTTL, n.Family = t.GetRespectDnsTtl(), typedFamilies[t.GetDnsLookupFamily()]
		n.LeastRefresh = s.duration(t.GetDnsMinRefreshRate(), 0, pt.field("dns_min_refresh_rate"))
		s.refreshing(n, t.GetDnsRefreshRate(), t.GetDnsJitter(), t.GetDnsFailureRefreshRate(), pt)
		n.Resolver = s.resolver(t.GetTypedDnsResolverConfig(), pt.field("typed_dns_resolver_config"))
	case m.GetType() == clusterv3.Cluster_STRICT_DNS || m.GetType() == clusterv3.Cluster_LOGICAL_DNS:
		c.Type = config.StrictDNS
		if m.GetType() == clusterv3.Cluster_LOGICAL_DNS {
			c.Type = config.LogicalDNS
		}
		n.RespectTTL, n.Family = m.GetRespectDnsTtl(), families[m.GetDnsLookupFamily()]
		s.refreshing(n, m.GetDnsRefreshRate(), m.GetDnsJitter(), m.GetDnsFailureRefreshRate(), p)
		n.Resolver = s.resolver(m.GetTypedDnsResolverConfig(), p.field("typed_dns_resolver_config"))
		if m.GetTypedDnsResolverConfig() == nil {
			if list := m.GetDnsResolvers(); len(list) > 0 {
				n.Resolver.Servers = s.servers(list, p.field("dns_resolvers"))
			}
			n.Resolver.TCP = n.Resolver.TCP || m.GetUseTcpForDnsLookups()
		}
	default:
		return false
	}
	c.Names = n
	if m.GetEdsClusterConfig() != nil {
		s.problem(p.field("eds_cluster_config"), "the cluster's endpoints are resolved by DNS: leave this out, or say type: EDS")
	}
	s.named = true
	c.Static = s.assignment(m.GetLoadAssignment(), p.field("load_assignment"))
	s.named = false
	if c.Type == config.LogicalDNS && (len(m.GetLoadAssignment().GetEndpoints()) != 1 || len(c.Static.Endpoints) != 1) {
		s.problem(p.field("load_assignment").field("endpoints"), "a cluster with all addresses in one endpoint has one locality with one endpoint")
	}
	return true
}

// failureRate is the older message and the newer one.
type failureRate interface {
	GetBaseInterval() *durationpb.Duration
	GetMaxInterval() *durationpb.Duration
}

func (s *session) refreshing(n *config.Names, refresh, jitter *durationpb.Duration, failure failureRate, p *at) {
	n.Refresh = s.duration(refresh, defaultRefresh, p.field("dns_refresh_rate"))
	n.Jitter = s.duration(jitter, 0, p.field("dns_jitter"))
	p = p.field("dns_failure_refresh_rate")
	if failure.GetBaseInterval() == nil {
		return
	}
	n.FailureRefresh = s.duration(failure.GetBaseInterval(), 0, p.field("base_interval"))
	n.MaxFailureRefresh = s.duration(failure.GetMaxInterval(), 10*n.FailureRefresh, p.field("max_interval"))
	if n.MaxFailureRefresh < n.FailureRefresh {
		s.problem(p.field("max_interval"), "%v: want at least the base_interval, which is %v", n.MaxFailureRefresh, n.FailureRefresh)
	}
}

// resolver reads who is asked: what is said here or, if that is nothing, in the bootstrap.
func (s *session) resolver(m *corev3.TypedExtensionConfig, p *at) config.Resolver {
	if m == nil {
		if s.asked != nil {
			return *s.asked
		}
		return config.Resolver{Timeout: defaultDNSTimeout, Tries: defaultDNSTries}
	}
	r := config.Resolver{Timeout: defaultDNSTimeout, Tries: defaultDNSTries}
	p = p.field("typed_config")
	if m.GetTypedConfig() == nil {
		s.problem(p, "a configuration is missing: it says which resolver is meant")
		return r
	}
	o := s.open(m.GetTypedConfig())
	c, ok := o.message.(*caresv3.CaresDnsResolverConfig)
	if !ok {
		return r // the table refuses it
	}
	p = p.as(o.name)
	r.Servers = s.servers(c.GetResolvers(), p.field("resolvers"))
	r.Fallback = c.GetUseResolversAsFallback()
	r.TCP, r.NoSearch = c.GetDnsResolverOptions().GetUseTcpForDnsLookups(), c.GetDnsResolverOptions().GetNoDefaultSearchDomain()
	if t := c.GetQueryTimeoutSeconds(); t != nil {
		if t.GetValue() == 0 || t.GetValue() > 3600 {
			s.problem(p.field("query_timeout_seconds"), "%d: want 1 to 3600", t.GetValue())
		}
		r.Timeout = time.Duration(min(t.GetValue(), 3600)) * time.Second
	}
	if r.Tries = u32(c.GetQueryTries(), defaultDNSTries); r.Tries == 0 || r.Tries > maxDNSTries {
		s.problem(p.field("query_tries"), "%d: want 1 to %d", r.Tries, maxDNSTries)
	}
	return r
}

// servers reads addresses of name servers, whose port is 53 if none is said.
func (s *session) servers(list []*corev3.Address, p *at) (out []netip.AddrPort) {
	for i, a := range list {
		p := p.item(i).field("socket_address")
		sa := a.GetSocketAddress()
		ip, err := netip.ParseAddr(sa.GetAddress())
		if err != nil {
			s.problem(p.field("address"), "%q is not an IP address", sa.GetAddress())
			continue
		}
		port := sa.GetPortValue()
		if port == 0 {
			port = 53
		}
		out = append(out, netip.AddrPortFrom(ip, uint16(port)))
	}
	return out
}

// maxName is the most bytes that a name has (RFC 1035 §2.3.4), as it is written without the dot at its end.
const (
	maxName  = 253
	maxLabel = 63
)

// host reads a name that is to be resolved, or an address that stands for itself, and a port.
func (s *session) host(a *corev3.Address, p *at) (string, uint16) {
	sa := a.GetSocketAddress()
	if sa == nil {
		s.problem(p.field("socket_address"), "a name to be resolved is missing")
		return "", 0
	}
	p = p.field("socket_address")
	name := strings.TrimSuffix(sa.GetAddress(), ".")
	if _, err := netip.ParseAddr(name); err != nil {
		for label := range strings.SplitSeq(name, ".") {
			if label == "" || len(label) > maxLabel || len(name) > maxName || strings.ContainsFunc(label, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
				s.problem(p.field("address"), "%q is no name: want labels of 1 to %d characters, and %d in all", sa.GetAddress(), maxLabel, maxName)
				break
			}
		}
	}
	if port := sa.GetPortValue(); port == 0 || port > math.MaxUint16 {
		s.problem(p.field("port_value"), "%d: want 1 to %d", port, math.MaxUint16)
	}
	return sa.GetAddress(), uint16(sa.GetPortValue())
}
