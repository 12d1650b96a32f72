package decode

import (
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	commonv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/common/v3"
	leastv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/least_request/v3"
	maglevv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/maglev/v3"
	randomv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/random/v3"
	ringv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/ring_hash/v3"
	roundv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/round_robin/v3"
	subsetv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/subset/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/weftmesh/weft/config"
)

// Envoy's sizes of rings and tables.
const (
	defaultMinRing  = 1024
	maxRing         = 8 << 20
	defaultTable    = 65537
	maxTable        = 5_000_011
	defaultMinShare = 10 // percent of its weight that a new endpoint has at least
)

var balancers = map[clusterv3.Cluster_LbPolicy]config.Balancer{
	clusterv3.Cluster_ROUND_ROBIN:      config.RoundRobin,
	clusterv3.Cluster_LEAST_REQUEST:    config.LeastRequest,
	clusterv3.Cluster_RANDOM:           config.Random,
	clusterv3.Cluster_RING_HASH:        config.RingHash,
	clusterv3.Cluster_MAGLEV:           config.Maglev,
	clusterv3.Cluster_CLUSTER_PROVIDED: config.ClusterProvided,
}

// balancing reads how endpoints are chosen: from load_balancing_policy, or from the older fields.
func (s *session) balancing(c *config.Cluster, m *clusterv3.Cluster, p *at) {
	c.ChoiceCount, c.ActiveBias, c.Panic = 2, 1, 50
	c.Hashing = config.Hashing{MinRing: defaultMinRing, MaxRing: maxRing, TableSize: defaultTable}
	common, pc := m.GetCommonLbConfig(), p.field("common_lb_config")
	if t := common.GetHealthyPanicThreshold(); t != nil {
		c.Panic = t.GetValue()
	}
	if m.GetLoadBalancingPolicy() != nil {
		if m.GetLbSubsetConfig() != nil {
			s.problem(p.field("lb_subset_config"), "load_balancing_policy is set: subsets are a policy of it")
		}
		if common.GetLocalityWeightedLbConfig() != nil || common.GetZoneAwareLbConfig() != nil || common.GetConsistentHashingLbConfig() != nil {
			s.problem(pc, "load_balancing_policy is set: zone_aware_lb_config, locality_weighted_lb_config and consistent_hashing_lb_config belong into its policies")
		}
		s.policy(c, m.GetLoadBalancingPolicy(), p.field("load_balancing_policy"))
		return
	}
	if m.GetLbPolicy() == clusterv3.Cluster_LOAD_BALANCING_POLICY_CONFIG {
		s.problem(p.field("load_balancing_policy"), "a policy is missing: lb_policy says that there is one")
	}
	c.Balancer = balancers[m.GetLbPolicy()]
	c.ByLocality = common.GetLocalityWeightedLbConfig() != nil
	s.consistent(c, common.GetConsistentHashingLbConfig(), pc.field("consistent_hashing_lb_config"))
	if p := pc.field("consistent_hashing_lb_config").field("use_hostname_for_hashing"); c.Hashing.ByHostname && m.GetType() != clusterv3.Cluster_STRICT_DNS {
		s.problem(p, "for clusters of type STRICT_DNS, says Envoy; a load_balancing_policy may have it")
	}
	mine := func(name string, set bool, b config.Balancer) {
		if set && c.Balancer != b {
			s.problem(p.field(name), "lb_policy is %v: leave this out, or say %s", m.GetLbPolicy(), strings.ToUpper(strings.TrimSuffix(name, "_lb_config")))
		}
	}
	mine("round_robin_lb_config", m.GetRoundRobinLbConfig() != nil, config.RoundRobin)
	mine("least_request_lb_config", m.GetLeastRequestLbConfig() != nil, config.LeastRequest)
	mine("ring_hash_lb_config", m.GetRingHashLbConfig() != nil, config.RingHash)
	mine("maglev_lb_config", m.GetMaglevLbConfig() != nil, config.Maglev)
	if l := m.GetLeastRequestLbConfig(); l != nil {
		p := p.field("least_request_lb_config")
		s.least(c, l.GetChoiceCount(), l.GetActiveRequestBias(), p)
		s.slowStart(c, l.GetSlowStartConfig(), p.field("slow_start_config"))
	}
	s.slowStart(c, m.GetRoundRobinLbConfig().GetSlowStartConfig(), p.field("round_robin_lb_config").field("slow_start_config"))
	if r := m.GetRingHashLbConfig(); r != nil {
		s.ring(c, r.GetMinimumRingSize(), r.GetMaximumRingSize(), r.GetHashFunction() == clusterv3.Cluster_RingHashLbConfig_MURMUR_HASH_2, p.field("ring_hash_lb_config"))
	}
	s.maglev(c, m.GetMaglevLbConfig().GetTableSize(), p.field("maglev_lb_config"))
	if m.GetLbSubsetConfig() != nil {
		readSubsets(s, c, m.GetLbSubsetConfig(), int32(m.GetLbSubsetConfig().GetFallbackPolicy()), m.GetLbSubsetConfig().GetSubsetSelectors(),
			func(l *clusterv3.Cluster_LbSubsetConfig_LbSubsetSelector) int32 { return int32(l.GetFallbackPolicy()) }, p.field("lb_subset_config"))
		c.ByLocality = c.ByLocality && (c.Subsets == nil || m.GetLbSubsetConfig().GetLocalityWeightAware())
	}
}

// policy reads the one policy that a list of them comes down to: the first, since the table refuses what is not known.
func (s *session) policy(c *config.Cluster, m *clusterv3.LoadBalancingPolicy, p *at) {
	p = p.field("policies")
	if len(m.GetPolicies()) == 0 {
		s.problem(p, "a policy is missing")
		return
	}
	a := m.GetPolicies()[0].GetTypedExtensionConfig().GetTypedConfig()
	p = p.item(0).field("typed_extension_config").field("typed_config")
	if a == nil {
		s.problem(p, "a configuration is missing: it says which policy is meant")
		return
	}
	o := s.open(a)
	p = p.as(o.name)
	switch m := o.message.(type) {
	case *roundv3.RoundRobin:
		c.Balancer = config.RoundRobin
		s.localities(c, m.GetLocalityLbConfig())
		s.slowStart(c, m.GetSlowStartConfig(), p.field("slow_start_config"))
	case *leastv3.LeastRequest:
		c.Balancer = config.LeastRequest
		s.least(c, m.GetChoiceCount(), m.GetActiveRequestBias(), p)
		c.FullScan = m.GetSelectionMethod() == leastv3.LeastRequest_FULL_SCAN || m.GetEnableFullScan().GetValue()
		s.localities(c, m.GetLocalityLbConfig())
		s.slowStart(c, m.GetSlowStartConfig(), p.field("slow_start_config"))
	case *randomv3.Random:
		c.Balancer = config.Random
		s.localities(c, m.GetLocalityLbConfig())
	case *ringv3.RingHash:
		c.Balancer = config.RingHash
		s.ring(c, m.GetMinimumRingSize(), m.GetMaximumRingSize(), m.GetHashFunction() == ringv3.RingHash_MURMUR_HASH_2, p)
		c.Hashing.ByHostname, c.Hashing.BalanceFactor = m.GetUseHostnameForHashing(), u32(m.GetHashBalanceFactor(), 0)
		s.consistent(c, m.GetConsistentHashingLbConfig(), p.field("consistent_hashing_lb_config"))
		c.ByLocality = m.GetLocalityWeightedLbConfig() != nil
	case *maglevv3.Maglev:
		c.Balancer = config.Maglev
		s.maglev(c, m.GetTableSize(), p)
		s.consistent(c, m.GetConsistentHashingLbConfig(), p.field("consistent_hashing_lb_config"))
		c.ByLocality = m.GetLocalityWeightedLbConfig() != nil
	case *subsetv3.Subset:
		if c.Subsets != nil {
			s.problem(p, "subsets of subsets are not known")
			return
		}
		readSubsets(s, c, m, int32(m.GetFallbackPolicy()), m.GetSubsetSelectors(),
			func(l *subsetv3.Subset_LbSubsetSelector) int32 { return int32(l.GetFallbackPolicy()) }, p)
		s.policy(c, m.GetSubsetLbPolicy(), p.field("subset_lb_policy"))
		c.ByLocality = c.ByLocality && (c.Subsets == nil || m.GetLocalityWeightAware())
	}
}

func (s *session) localities(c *config.Cluster, m *commonv3.LocalityLbConfig) {
	c.ByLocality = m.GetLocalityWeightedLbConfig() != nil
}

func (s *session) least(c *config.Cluster, choices *wrapperspb.UInt32Value, bias *corev3.RuntimeDouble, p *at) {
	c.ChoiceCount = u32(choices, 2)
	if bias == nil {
		return
	}
	if c.ActiveBias = bias.GetDefaultValue(); !(c.ActiveBias >= 0) {
		s.problem(p.field("active_request_bias").field("default_value"), "%v: want 0 or more", c.ActiveBias)
	}
}

// slowStarting is the older message and the newer one.
type slowStarting interface {
	GetSlowStartWindow() *durationpb.Duration
	GetAggression() *corev3.RuntimeDouble
	GetMinWeightPercent() *typev3.Percent
}

func (s *session) slowStart(c *config.Cluster, m slowStarting, p *at) {
	window := s.duration(m.GetSlowStartWindow(), 0, p.field("slow_start_window"))
	if window < time.Millisecond {
		return
	}
	c.SlowStart = &config.SlowStart{Window: window, Aggression: 1, MinWeight: defaultMinShare / 100.0}
	if a := m.GetAggression(); a != nil && a.GetDefaultValue() > 0 { // Envoy takes 1 for anything else
		c.SlowStart.Aggression = a.GetDefaultValue()
	}
	if w := m.GetMinWeightPercent(); w != nil {
		c.SlowStart.MinWeight = w.GetValue() / 100
	}
}

func (s *session) ring(c *config.Cluster, least, most *wrapperspb.UInt64Value, murmur bool, p *at) {
	h := &c.Hashing
	h.Murmur = murmur
	if least != nil {
		h.MinRing = least.GetValue()
	}
	if most != nil {
		h.MaxRing = most.GetValue()
	}
	if h.MinRing > h.MaxRing {
		s.problem(p.field("minimum_ring_size"), "%d: want at most the maximum_ring_size, which is %d", h.MinRing, h.MaxRing)
	}
}

func (s *session) maglev(c *config.Cluster, size *wrapperspb.UInt64Value, p *at) {
	if size == nil {
		return
	}
	n := size.GetValue()
	if n < 2 || n > maxTable || !new(big.Int).SetUint64(n).ProbablyPrime(0) {
		s.problem(p.field("table_size"), "%d: want a prime from 2 to %d", n, maxTable)
		return
	}
	c.Hashing.TableSize = uint32(n)
}

// consistentHashing is the older message and the newer one.
type consistentHashing interface {
	GetUseHostnameForHashing() bool
	GetHashBalanceFactor() *wrapperspb.UInt32Value
}

func (s *session) consistent(c *config.Cluster, m consistentHashing, p *at) {
	switch m := m.(type) {
	case *clusterv3.Cluster_CommonLbConfig_ConsistentHashingLbConfig:
		if m == nil {
			return
		}
	case *commonv3.ConsistentHashingLbConfig:
		if m == nil {
			return
		}
		c.Hashing.Policies = s.hashPolicies(m.GetHashPolicy(), p.field("hash_policy"))
	}
	c.Hashing.ByHostname, c.Hashing.BalanceFactor = m.GetUseHostnameForHashing(), u32(m.GetHashBalanceFactor(), 0)
}

// subsetting and selecting are the older messages and the newer ones.
type (
	subsetting interface {
		GetDefaultSubset() *structpb.Struct
		GetPanicModeAny() bool
		GetLocalityWeightAware() bool
		GetScaleLocalityWeight() bool
		GetListAsAny() bool
	}
	selecting interface {
		GetKeys() []string
		GetSingleHostPerSubset() bool
		GetFallbackKeysSubset() []string
	}
)

// Fallbacks by the numbers that both enums have.
var (
	fallbacks         = []config.SubsetFallback{config.FallbackNone, config.FallbackAny, config.FallbackDefault}
	selectorFallbacks = []config.SubsetFallback{config.FallbackUnset, config.FallbackNone, config.FallbackAny, config.FallbackDefault, config.FallbackKeys}
)

func readSubsets[S selecting](s *session, c *config.Cluster, m subsetting, fallback int32, selectors []S, fallbackOf func(S) int32, p *at) {
	out := &config.Subsets{PanicAny: m.GetPanicModeAny(), ListAsAny: m.GetListAsAny(), Fallback: fallbacks[max(0, min(int(fallback), len(fallbacks)-1))]}
	if d := subsetOf(m.GetDefaultSubset().AsMap()); d != nil {
		out.Default = *d
	}
	p = p.field("subset_selectors")
	for i, l := range selectors {
		p := p.item(i)
		sel := config.SubsetSelector{Keys: sortedSet(l.GetKeys()), SingleHost: l.GetSingleHostPerSubset(), FallbackKeys: sortedSet(l.GetFallbackKeysSubset()),
			Fallback: selectorFallbacks[max(0, min(int(fallbackOf(l)), len(selectorFallbacks)-1))]}
		switch {
		case len(sel.Keys) == 0:
			continue // no request asks for nothing
		case sel.Fallback != config.FallbackKeys && len(sel.FallbackKeys) > 0:
			s.problem(p.field("fallback_keys_subset"), "leave this out, or say fallback_policy: KEYS_SUBSET")
		case sel.Fallback == config.FallbackKeys && (len(sel.FallbackKeys) == 0 || len(sel.FallbackKeys) >= len(sel.Keys) || !within(sel.FallbackKeys, sel.Keys)):
			s.problem(p.field("fallback_keys_subset"), "want some of the selector's keys, and not all")
		}
		out.Selectors = append(out.Selectors, sel)
	}
	if r, ok := m.(interface{ GetAllowRedundantKeys() bool }); ok && r.GetAllowRedundantKeys() {
		out.Redundant = true
		slices.SortStableFunc(out.Selectors, func(a, b config.SubsetSelector) int { return len(b.Keys) - len(a.Keys) })
	}
	out.ScaleLocalities = m.GetLocalityWeightAware() && m.GetScaleLocalityWeight()
	// Envoy leaves subsets alone where there is nothing to cut by.
	if len(out.Selectors) > 0 {
		c.Subsets = out
	}
}

func sortedSet(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

func within(some, all []string) bool {
	return !slices.ContainsFunc(some, func(k string) bool { return !slices.Contains(all, k) })
}

// subsetOf is what is asked of an endpoint's metadata; nil if that is nothing.
func subsetOf(about map[string]any) *config.Subset {
	if len(about) == 0 {
		return nil
	}
	out := &config.Subset{}
	for k := range about {
		out.Keys = append(out.Keys, k)
	}
	slices.Sort(out.Keys)
	var of strings.Builder
	for _, k := range out.Keys {
		v, err := json.Marshal(about[k])
		if err != nil {
			panic("decode: what a Struct holds is JSON: " + err.Error())
		}
		out.Values = append(out.Values, string(v))
		of.WriteString(k + "\x00" + string(v) + "\x00")
	}
	out.Of = of.String()
	return out
}

// lbMetadata is the namespace of what balancers read.
const lbMetadata = "envoy.lb"

// metadataMatch reads what a route asks of endpoints, and a share of it besides, whose word goes before the route's.
func metadataMatch(list ...*corev3.Metadata) *config.Subset {
	about := map[string]any{}
	for _, m := range list {
		for k, v := range m.GetFilterMetadata()[lbMetadata].AsMap() {
			about[k] = v
		}
	}
	return subsetOf(about)
}
