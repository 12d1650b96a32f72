package translate

import (
	"cmp"
	"net"
	"slices"
	"strconv"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	meshv1 "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/xds/server"
)

// ingress is what a Sidecar says of a port that its workload serves.
type ingress struct {
	bind     string // address; empty: any
	bound    bool   // nobody redirects traffic to it
	endpoint string // where the workload is: ADDRESS:PORT or unix://PATH; empty: where the client wanted to go
}

// ingressOf are the ports that a Sidecar says its workload serves, in the place of those of services. said: it says some.
func ingressOf(o *source.Object, traits Traits) (list []served, said bool) {
	if o == nil {
		return nil, false
	}
	for _, l := range o.Spec.(*networking.Sidecar).GetIngress() {
		said = true
		number := l.GetPort().GetNumber()
		if number == 0 || slices.ContainsFunc(list, func(other served) bool { return other.number == number }) {
			continue
		}
		mode := l.GetCaptureMode()
		one := served{host: o.Name + "." + o.Namespace, protocol: mesh.ProtocolNamed(l.GetPort().GetProtocol()), asked: number, name: l.GetPort().GetName(), number: number}
		one.ingress = ingress{l.GetBind(), mode == networking.CaptureMode_NONE || mode == networking.CaptureMode_DEFAULT && traits.Bound, l.GetDefaultEndpoint()}
		if one.ingress.bound && !local(one.ingress.endpoint) {
			continue // whoever connects means the listener itself, and that is no place to send anything on to
		}
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b served) int { return cmp.Compare(a.number, b.number) })
	return list, said
}

// local tells whether an endpoint is of the workload's own host alone.
func local(endpoint string) bool {
	host, _, _ := net.SplitHostPort(endpoint)
	return host == "127.0.0.1" || host == "::1" || strings.HasPrefix(endpoint, "unix://")
}

// inboundCluster is where what comes to a port goes.
func (w *inboundWriter) inboundCluster(s served) *clusterv3.Cluster {
	c := original(w.k.settings, inboundName(s.number), s.protocol)
	c.AltStatName = w.statName(s) + ";"
	host, port, _ := net.SplitHostPort(s.ingress.endpoint)
	number, _ := strconv.ParseUint(port, 10, 16)
	var address *corev3.Address
	switch path, pipe := strings.CutPrefix(s.ingress.endpoint, "unix://"); {
	case pipe:
		address = &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: path}}}
	case local(s.ingress.endpoint):
		address = addressOf(host, uint32(number))
	case s.ingress.endpoint == "" && w.k.settings.Config.GetInboundTrafficPolicy().GetMode() == meshv1.MeshConfig_InboundTrafficPolicy_LOCALHOST:
		address = addressOf(anyAddress(Traits{Bound: true, IPv6: w.k.traits.IPv6}), s.number)
	default:
		if number != 0 && uint32(number) != s.number {
			c.LbConfig = &clusterv3.Cluster_OriginalDstLbConfig_{OriginalDstLbConfig: &clusterv3.Cluster_OriginalDstLbConfig{UpstreamPortOverride: u32(uint32(number))}}
		}
		c.UpstreamBindConfig = localBind(w.k.traits.IPv6)
		return c
	}
	c.ClusterDiscoveryType, c.LbPolicy = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}, clusterv3.Cluster_ROUND_ROBIN
	c.LoadAssignment = &endpointv3.ClusterLoadAssignment{ClusterName: c.Name, Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
		HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: address}},
	}}}}}
	return c
}

// statName is what statistics of a port are called.
func (w *inboundWriter) statName(s served) string {
	return statName(w.k.settings, w.k.settings.Config.GetInboundClusterStatName(), inboundName(s.number), s.host, "", s.name, s.asked, s.number)
}

// boundListener takes what comes to a port that nobody redirects; nil: nobody may come.
func (w *inboundWriter) boundListener(t *Translator, s served) *server.Resource {
	one := &inboundWriter{k: w.k, modes: w.modes, tls: map[uint32]bool{}, http: map[uint32]bool{}}
	one.port(s.number, s.number, w.modes.At(s.number), s.protocol, inboundName(s.number), s.operation(), w.statName(s))
	if len(one.chains) == 0 {
		return nil
	}
	ip := cmp.Or(s.ingress.bind, anyAddress(Traits{IPv6: w.k.traits.IPv6}))
	l := one.listener(ip+"_"+portText(s.number), ip, s.number)
	return t.message(server.Listeners, l.Name, l)
}
