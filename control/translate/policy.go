package translate

import (
	"math"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	meshv1 "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/mesh"
)

// policy is what holds for connections to one port of a service, or of a subset of it.
type policy struct {
	pool     *networking.ConnectionPoolSettings
	outlier  *networking.OutlierDetection
	balancer *networking.LoadBalancerSettings
	tls      *networking.ClientTLSSettings
	tunnel   *networking.TrafficPolicy_TunnelSettings
	proxy    *networking.TrafficPolicy_ProxyProtocol
	budget   *networking.TrafficPolicy_RetryBudget
}

// policyOf finds what a rule says of a port; subset "" is the whole service.
func policyOf(rule *mesh.DestinationRule, subset string, port uint32) (p policy) {
	if rule == nil {
		return p
	}
	p.over(rule.Spec.GetTrafficPolicy(), port)
	if s := rule.Subset(subset); s != nil {
		p.over(s.GetTrafficPolicy(), port)
	}
	return p
}

// over puts another policy over it. What is said of a port takes the place of all that is said of ports alike, whether it says it or not.
func (p *policy) over(t *networking.TrafficPolicy, port uint32) {
	if t == nil {
		return
	}
	for _, s := range t.GetPortLevelSettings() {
		if s.GetPort().GetNumber() == port {
			p.pool, p.outlier, p.balancer, p.tls = s.GetConnectionPool(), s.GetOutlierDetection(), s.GetLoadBalancer(), s.GetTls()
			return
		}
	}
	if t.ConnectionPool != nil {
		p.pool = t.ConnectionPool
	}
	if t.OutlierDetection != nil {
		p.outlier = t.OutlierDetection
	}
	if t.LoadBalancer != nil {
		p.balancer = t.LoadBalancer
	}
	if t.Tls != nil {
		p.tls = t.Tls
	}
	if t.Tunnel != nil {
		p.tunnel = t.Tunnel
	}
	if t.ProxyProtocol != nil {
		p.proxy = t.ProxyProtocol
	}
	if t.RetryBudget != nil {
		p.budget = t.RetryBudget
	}
}

// hash is what requests are hashed by; nil: they are not.
func (p *policy) hash() *networking.LoadBalancerSettings_ConsistentHashLB {
	return p.balancer.GetConsistentHash()
}

func u32(v uint32) *wrapperspb.UInt32Value { return wrapperspb.UInt32(v) }

// unlimited are breakers that never open: Envoy's own limits are too low for endpoints that come and go many at a time.
func unlimited() *clusterv3.CircuitBreakers_Thresholds {
	return &clusterv3.CircuitBreakers_Thresholds{
		MaxConnections: u32(math.MaxUint32), MaxPendingRequests: u32(math.MaxUint32), MaxRequests: u32(math.MaxUint32), MaxRetries: u32(math.MaxUint32), TrackRemaining: true,
	}
}

// applyPool has a cluster keep to limits.
func applyPool(c *clusterv3.Cluster, o *httpv3.HttpProtocolOptions, s *mesh.Settings, p *policy) {
	limits := unlimited()
	if b := p.budget; b != nil {
		limits.RetryBudget = &clusterv3.CircuitBreakers_Thresholds_RetryBudget{BudgetPercent: &typev3.Percent{Value: 20}, MinRetryConcurrency: u32(3), BudgetInterval: b.GetBudgetInterval()}
		if b.GetPercent() != nil {
			limits.RetryBudget.BudgetPercent.Value = b.GetPercent().GetValue()
		}
		if b.GetMinRetryConcurrency() > 0 {
			limits.RetryBudget.MinRetryConcurrency = u32(b.GetMinRetryConcurrency())
		}
	}
	c.CircuitBreakers = &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{limits}}
	c.ConnectTimeout = durationpb.New(s.ConnectTimeout)
	tcp, http := p.pool.GetTcp(), p.pool.GetHttp()
	set := func(to **wrapperspb.UInt32Value, v int32) {
		if v > 0 {
			*to = u32(uint32(v))
		}
	}
	set(&limits.MaxConnections, tcp.GetMaxConnections())
	set(&limits.MaxPendingRequests, http.GetHttp1MaxPendingRequests())
	set(&limits.MaxRequests, http.GetHttp2MaxRequests())
	set(&limits.MaxRetries, http.GetMaxRetries())
	if tcp.GetConnectTimeout() != nil {
		c.ConnectTimeout = tcp.GetConnectTimeout()
	}
	if k := keepalive(s.Config.GetTcpKeepalive(), tcp.GetTcpKeepalive()); k != nil {
		c.UpstreamConnectionOptions = &clusterv3.UpstreamConnectionOptions{TcpKeepalive: k}
	}
	common := &corev3.HttpProtocolOptions{IdleTimeout: http.GetIdleTimeout(), MaxConnectionDuration: tcp.GetMaxConnectionDuration()}
	if common.IdleTimeout == nil {
		common.IdleTimeout = tcp.GetIdleTimeout()
	}
	set(&common.MaxRequestsPerConnection, http.GetMaxRequestsPerConnection())
	if common.IdleTimeout != nil || common.MaxConnectionDuration != nil || common.MaxRequestsPerConnection != nil {
		o.CommonHttpProtocolOptions = common
	}
	if h2 := o.GetExplicitHttpConfig().GetHttp2ProtocolOptions(); h2 != nil {
		set(&h2.MaxConcurrentStreams, http.GetMaxConcurrentStreams())
		if k := http.GetHttp2KeepAlive(); k != nil {
			h2.ConnectionKeepalive = &corev3.KeepaliveSettings{Interval: k.GetInterval(), Timeout: k.GetTimeout()}
		}
	}
	if http.GetUseClientProtocol() {
		useDownstream(o)
	}
}

// keepalive puts what a rule says over what the mesh does; nil: nobody has said anything.
func keepalive(usual, said *networking.ConnectionPoolSettings_TCPSettings_TcpKeepalive) *corev3.TcpKeepalive {
	if usual == nil && said == nil {
		return nil
	}
	k := &corev3.TcpKeepalive{}
	for _, one := range []*networking.ConnectionPoolSettings_TCPSettings_TcpKeepalive{usual, said} {
		if one.GetProbes() > 0 {
			k.KeepaliveProbes = u32(one.GetProbes())
		}
		if one.GetTime() != nil {
			k.KeepaliveTime = u32(uint32(one.GetTime().GetSeconds()))
		}
		if one.GetInterval() != nil {
			k.KeepaliveInterval = u32(uint32(one.GetInterval().GetSeconds()))
		}
	}
	return k
}

// upgrades tells whether requests of HTTP/1 go on as HTTP/2. Of those that become calls no version says anything.
func upgrades(s *mesh.Settings, protocol mesh.Protocol, pool *networking.ConnectionPoolSettings) bool {
	if pool.GetHttp().GetUseClientProtocol() || protocol == mesh.Dubbo {
		return false
	}
	switch pool.GetHttp().GetH2UpgradePolicy() {
	case networking.ConnectionPoolSettings_HTTPSettings_UPGRADE:
		return true
	case networking.ConnectionPoolSettings_HTTPSettings_DO_NOT_UPGRADE:
		return false
	}
	return protocol.IsHTTP() && s.Config.GetH2UpgradePolicy() == meshv1.MeshConfig_UPGRADE
}

func useHTTP2(o *httpv3.HttpProtocolOptions) {
	o.UpstreamProtocolOptions = &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
		ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{Http2ProtocolOptions: &corev3.Http2ProtocolOptions{}},
	}}
}

func useDownstream(o *httpv3.HttpProtocolOptions) {
	o.UpstreamProtocolOptions = &httpv3.HttpProtocolOptions_UseDownstreamProtocolConfig{UseDownstreamProtocolConfig: &httpv3.HttpProtocolOptions_UseDownstreamHttpConfig{
		HttpProtocolOptions: &corev3.Http1ProtocolOptions{}, Http2ProtocolOptions: &corev3.Http2ProtocolOptions{},
	}}
}

// applyOutlier has a cluster turn away from endpoints that fail.
func applyOutlier(c *clusterv3.Cluster, d *networking.OutlierDetection) {
	if d == nil {
		return
	}
	o := &clusterv3.OutlierDetection{EnforcingSuccessRate: u32(0), Interval: d.GetInterval(), BaseEjectionTime: d.GetBaseEjectionTime()}
	count := func(to, enforcing **wrapperspb.UInt32Value, said *wrapperspb.UInt32Value) {
		if said == nil {
			return
		}
		*to, *enforcing = u32(said.GetValue()), u32(0)
		if said.GetValue() > 0 {
			*enforcing = u32(100)
		}
	}
	count(&o.Consecutive_5Xx, &o.EnforcingConsecutive_5Xx, d.GetConsecutive_5XxErrors())
	count(&o.ConsecutiveGatewayFailure, &o.EnforcingConsecutiveGatewayFailure, d.GetConsecutiveGatewayErrors())
	if d.GetMaxEjectionPercent() > 0 {
		o.MaxEjectionPercent = u32(uint32(d.GetMaxEjectionPercent()))
	}
	if d.GetSplitExternalLocalOriginErrors() {
		o.SplitExternalLocalOriginErrors, o.EnforcingLocalOriginSuccessRate = true, u32(0)
		if n := d.GetConsecutiveLocalOriginFailures().GetValue(); n > 0 {
			o.ConsecutiveLocalOriginFailure, o.EnforcingConsecutiveLocalOriginFailure = u32(n), u32(100)
		}
	}
	c.OutlierDetection = o
	// Few endpoints are the usual case, and to send to those that fail, for half of them do, would be worse than to send to few.
	c.CommonLbConfig.HealthyPanicThreshold = &typev3.Percent{Value: float64(d.GetMinHealthPercent())}
}

// leastRing is how many places a ring has, if nobody has said.
const leastRing = 1024

// applyBalancer chooses how endpoints are chosen.
func applyBalancer(c *clusterv3.Cluster, b *networking.LoadBalancerSettings) {
	if c.GetType() == clusterv3.Cluster_ORIGINAL_DST {
		c.LbPolicy = clusterv3.Cluster_CLUSTER_PROVIDED
		return
	}
	slow := slowStart(b)
	switch b.GetSimple() {
	case networking.LoadBalancerSettings_RANDOM:
		c.LbPolicy = clusterv3.Cluster_RANDOM
	case networking.LoadBalancerSettings_ROUND_ROBIN:
		c.LbPolicy = clusterv3.Cluster_ROUND_ROBIN
		if slow != nil {
			c.LbConfig = &clusterv3.Cluster_RoundRobinLbConfig_{RoundRobinLbConfig: &clusterv3.Cluster_RoundRobinLbConfig{SlowStartConfig: slow}}
		}
	case networking.LoadBalancerSettings_PASSTHROUGH:
		c.LbPolicy, c.LoadAssignment, c.EdsClusterConfig = clusterv3.Cluster_CLUSTER_PROVIDED, nil, nil
		c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_ORIGINAL_DST}
	default:
		c.LbPolicy = clusterv3.Cluster_LEAST_REQUEST
		if slow != nil {
			c.LbConfig = &clusterv3.Cluster_LeastRequestLbConfig_{LeastRequestLbConfig: &clusterv3.Cluster_LeastRequestLbConfig{SlowStartConfig: slow}}
		}
	}
	h := b.GetConsistentHash()
	switch by := h.GetHashAlgorithm().(type) {
	case *networking.LoadBalancerSettings_ConsistentHashLB_Maglev:
		c.LbPolicy = clusterv3.Cluster_MAGLEV
		if n := by.Maglev.GetTableSize(); n > 0 {
			c.LbConfig = &clusterv3.Cluster_MaglevLbConfig_{MaglevLbConfig: &clusterv3.Cluster_MaglevLbConfig{TableSize: wrapperspb.UInt64(n)}}
		} else {
			c.LbConfig = nil
		}
	default:
		if h == nil {
			return
		}
		size := uint64(leastRing)
		if n := h.GetMinimumRingSize(); n > 0 { // as long as Istio takes it
			size = n
		}
		if ring, ok := by.(*networking.LoadBalancerSettings_ConsistentHashLB_RingHash_); ok && ring.RingHash.GetMinimumRingSize() > 0 {
			size = ring.RingHash.GetMinimumRingSize()
		}
		c.LbPolicy = clusterv3.Cluster_RING_HASH
		c.LbConfig = &clusterv3.Cluster_RingHashLbConfig_{RingHashLbConfig: &clusterv3.Cluster_RingHashLbConfig{MinimumRingSize: wrapperspb.UInt64(size)}}
	}
}

// slowStart has new endpoints warm up; nil: they need not.
func slowStart(b *networking.LoadBalancerSettings) *clusterv3.Cluster_SlowStartConfig {
	w := b.GetWarmup()
	if w == nil {
		if old := b.GetWarmupDurationSecs(); old != nil { // as long as Istio takes it
			return &clusterv3.Cluster_SlowStartConfig{SlowStartWindow: old}
		}
		return nil
	}
	c := &clusterv3.Cluster_SlowStartConfig{
		SlowStartWindow: w.GetDuration(), Aggression: &corev3.RuntimeDouble{DefaultValue: 1, RuntimeKey: "lb.warmup_aggression"}, MinWeightPercent: &typev3.Percent{Value: 10},
	}
	if w.GetAggression() != nil {
		c.Aggression.DefaultValue = w.GetAggression().GetValue()
	}
	if w.GetMinimumPercent() != nil {
		c.MinWeightPercent.Value = w.GetMinimumPercent().GetValue()
	}
	return c
}
