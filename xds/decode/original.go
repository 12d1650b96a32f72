package decode

import (
	"math"
	"strings"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"

	"github.com/weftmesh/weft/config"
)

// originalDstHeader is the field that says where to go, if no other is configured.
const originalDstHeader = "x-envoy-original-dst-host"

// originalOf reads how a cluster of type ORIGINAL_DST finds where to go.
func (s *session) originalOf(c *config.Cluster, m *clusterv3.Cluster, p *at) {
	provided := m.GetLbPolicy() == clusterv3.Cluster_CLUSTER_PROVIDED
	o := m.GetOriginalDstLbConfig()
	if m.GetType() != clusterv3.Cluster_ORIGINAL_DST {
		if provided {
			s.problem(p.field("lb_policy"), "CLUSTER_PROVIDED is for the type ORIGINAL_DST, and this is %v", m.GetType())
		}
		if o != nil {
			s.problem(p.field("original_dst_lb_config"), "the cluster's type is %v: leave this out, or say type: ORIGINAL_DST", m.GetType())
		}
		return
	}
	switch {
	case !provided || m.GetLoadBalancingPolicy() != nil:
		s.problem(p.field("lb_policy"), "%v: want CLUSTER_PROVIDED, for a cluster of type ORIGINAL_DST has nothing to choose from", m.GetLbPolicy())
	case m.GetLbSubsetConfig() != nil:
		s.problem(p.field("lb_subset_config"), "a cluster of type ORIGINAL_DST has no subsets")
	}
	c.Type, c.Original = config.OriginalDestination, &config.OriginalDestinations{Cleanup: s.duration(m.GetCleanupInterval(), 5*time.Second, p.field("cleanup_interval"))}
	if c.Original.Cleanup < time.Millisecond {
		s.problem(p.field("cleanup_interval"), "%v: want at least 1ms", c.Original.Cleanup)
	}
	p = p.field("original_dst_lb_config")
	name := o.GetHttpHeaderName()
	switch {
	case !o.GetUseHttpHeader() && name != "":
		s.problem(p.field("http_header_name"), "leave this out, or say use_http_header: true")
	case o.GetUseHttpHeader():
		if c.Original.Header = strings.ToLower(name); name == "" {
			c.Original.Header = originalDstHeader
		}
	}
	if key := o.GetMetadataKey(); key != nil {
		c.Original.Path = s.metadataPath(key, p.field("metadata_key"))
	}
	if port := o.GetUpstreamPortOverride(); port != nil {
		if port.GetValue() > math.MaxUint16 || port.GetValue() == 0 {
			s.problem(p.field("upstream_port_override"), "%d: want 1 to %d", port.GetValue(), math.MaxUint16)
		}
		c.Original.Port = uint16(port.GetValue())
	}
}
