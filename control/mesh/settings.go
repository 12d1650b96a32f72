package mesh

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	meshv1 "istio.io/api/mesh/v1alpha1"
)

// Settings is what the mesh's configuration says, with Istio's defaults where it says nothing.
type Settings struct {
	Config   *meshv1.MeshConfig // as it was said; never nil
	Networks *meshv1.MeshNetworks

	RootNamespace string
	TrustDomain   string
	Domain        string // that the hosts of services end in, after "svc."
	// RegistryOnly: traffic to hosts that nobody has named is blocked.
	RegistryOnly   bool
	ConnectTimeout time.Duration
	// DetectionTimeout is how long the first bytes are waited for where the protocol has to be found out; 0: for ever.
	DetectionTimeout time.Duration
	AutoMTLS         bool
	DNSRefresh       time.Duration
	// Cluster is the own name of the first cluster.
	Cluster    string
	networks   []network         // the longest prefix first
	registries map[string]string // the networks of what clusters have, if nothing else says, by the names of those
	local      hostRules         // which Services are of one cluster only
}

type network struct {
	prefix netip.Prefix
	name   string
}

// Default settings, as Istio's.
const (
	defaultRoot           = "istio-system"
	defaultTrustDomain    = "cluster.local"
	defaultDomain         = "cluster.local"
	defaultCluster        = "Kubernetes"
	defaultConnectTimeout = 10 * time.Second
	defaultDNSRefresh     = 60 * time.Second
)

// settingsOf reads the settings. Of several objects of these kinds the oldest counts.
func settingsOf(configs, networks *Objects, cluster string) *Settings {
	s := &Settings{Config: &meshv1.MeshConfig{}, Networks: &meshv1.MeshNetworks{}, Cluster: or(cluster, defaultCluster), registries: map[string]string{}}
	if all := configs.All(); len(all) > 0 {
		s.Config = all[0].Spec.(*meshv1.MeshConfig)
	}
	if all := networks.All(); len(all) > 0 {
		s.Networks = all[0].Spec.(*meshv1.MeshNetworks)
	}
	c := s.Config
	s.RootNamespace = or(c.GetRootNamespace(), defaultRoot)
	s.TrustDomain = or(c.GetTrustDomain(), defaultTrustDomain)
	s.Domain = defaultDomain
	s.RegistryOnly = c.GetOutboundTrafficPolicy() != nil && c.GetOutboundTrafficPolicy().GetMode() == meshv1.MeshConfig_OutboundTrafficPolicy_REGISTRY_ONLY
	s.ConnectTimeout = span(c.GetConnectTimeout(), defaultConnectTimeout)
	s.DetectionTimeout = span(c.GetProtocolDetectionTimeout(), 0)
	s.AutoMTLS = c.GetEnableAutoMtls() == nil || c.GetEnableAutoMtls().GetValue()
	s.DNSRefresh = span(c.GetDnsRefreshRate(), defaultDNSRefresh)
	for name, n := range s.Networks.GetNetworks() {
		for _, e := range n.GetEndpoints() {
			if registry := e.GetFromRegistry(); registry != "" {
				if was, is := s.registries[registry]; !is || name < was {
					s.registries[registry] = name
				}
			} else if p, err := netip.ParsePrefix(e.GetFromCidr()); err == nil {
				s.networks = append(s.networks, network{p.Masked(), name})
			}
		}
	}
	slices.SortFunc(s.networks, func(a, b network) int {
		if a.prefix.Bits() != b.prefix.Bits() {
			return b.prefix.Bits() - a.prefix.Bits()
		}
		return strings.Compare(a.prefix.String()+a.name, b.prefix.String()+b.name)
	})
	s.local = localHosts(c, s.Domain)
	return s
}

// equal tells whether the settings say the same.
func (s *Settings) equal(other *Settings) bool {
	a, b := *s, *other
	same := proto.Equal(a.Config, b.Config) && proto.Equal(a.Networks, b.Networks)
	a.Config, a.Networks, b.Config, b.Networks = nil, nil, nil, nil
	return same && reflect.DeepEqual(a, b)
}

// networkOf says which network an address of a cluster is in, if nothing that is nearer to it says so.
func (s *Settings) networkOf(cluster, address string) string {
	if a, err := netip.ParseAddr(address); err == nil {
		for _, n := range s.networks {
			if n.prefix.Contains(a) {
				return n.name
			}
		}
	}
	return s.registries[s.ClusterName(cluster)]
}

// HostIn is a host as it is said in an object of a namespace: a name without dots is that of a service there.
func (s *Settings) HostIn(host, namespace string) string {
	if host == "*" || strings.Contains(host, ".") || namespace == "" || host == "" {
		return strings.ToLower(host)
	}
	return strings.ToLower(host) + "." + namespace + ".svc." + s.Domain
}

func or(s, usual string) string {
	if s == "" {
		return usual
	}
	return s
}

func span(d *durationpb.Duration, usual time.Duration) time.Duration {
	if d == nil {
		return usual
	}
	return d.AsDuration()
}

// Provider gives the one of a name that the mesh's author has described; nil: there is none.
func (s *Settings) Provider(name string) *meshv1.MeshConfig_ExtensionProvider {
	for _, p := range s.Config.GetExtensionProviders() {
		if p.GetName() == name {
			return p
		}
	}
	return nil
}
