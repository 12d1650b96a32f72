package translate

import (
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/weftmesh/weft/control/mesh"
)

// Names that Istio gives, which people know from dashboards.
const (
	passthroughCluster        = "PassthroughCluster"
	blackHoleCluster          = "BlackHoleCluster"
	inboundPassthroughCluster = "InboundPassthroughCluster"
	virtualOutbound           = "virtualOutbound"
	virtualInbound            = "virtualInbound"
)

// Ports that a workload's traffic is redirected to, unless the mesh says others.
const (
	outboundPort = 15001
	inboundPort  = 15006
)

func portText(port uint32) string { return strconv.FormatUint(uint64(port), 10) }

func outboundName(port uint32, subset, host string) string {
	return "outbound|" + portText(port) + "|" + subset + "|" + host
}

func inboundName(port uint32) string { return "inbound|" + portText(port) + "||" }

// serverName is what mTLS calls a cluster, since names of hosts have no bars in them.
func serverName(port uint32, subset, host string) string {
	return "outbound_." + portText(port) + "_." + subset + "_." + host
}

// fromStream is the one stream that all comes from. Without a timeout, since half of a mesh is no mesh.
func fromStream() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
		InitialFetchTimeout:   durationpb.New(0), ResourceApiVersion: corev3.ApiVersion_V3,
	}
}

func addressOf(ip string, port uint32) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{Address: ip, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port}}}}
}

// statName is what statistics of a cluster are called: as the mesh says it, or by the cluster's own name.
func statName(s *mesh.Settings, pattern, name, host, subset, portName string, port, target uint32) string {
	if pattern == "" {
		return name
	}
	service, short := host, host
	if rest, is := strings.CutSuffix(host, ".svc."+s.Domain); is { // of Kubernetes: NAME.NAMESPACE
		service, _, _ = strings.Cut(rest, ".")
		short = rest
	}
	return strings.NewReplacer("%SERVICE%", short, "%SERVICE_NAME%", service, "%SERVICE_FQDN%", host, "%SERVICE_PORT%", portText(port), "%SERVICE_PORT_NAME%", portName,
		"%TARGET_PORT%", portText(target), "%SUBSET_NAME%", subset).Replace(pattern)
}
