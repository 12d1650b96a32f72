package translate

import (
	"strings"
	"weak"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/xds/server"
)

// clusterTraits are what clusters depend on of a proxy and of the whole mesh.
type clusterTraits struct {
	settings *mesh.Settings
	traits   Traits
	identity Identity
	passes   bool // others send to it by names of clusters
}

type clustersKey struct {
	clusterTraits
	ruled     ref[ruled]
	endpoints ref[mesh.Steady]
}

// clusterLayer is the clusters of all that a proxy sees.
type clusterLayer struct {
	part *part
	of   *ruled
	made []*pieces
}

type serviceClustersKey struct {
	clusterTraits
	service   *mesh.Service
	rule      *mesh.DestinationRule
	accounts  string          // of its endpoints
	endpoints *mesh.Endpoints // if they are a part of its clusters
}

func (t *Translator) clusterLayer(m *mesh.Mesh, p *Proxy, s *scope) *clusterLayer {
	k := clusterTraits{m.Settings, p.Traits, p.Identity, s.passes}
	return t.clusters.get(clustersKey{k, weak.Make(s.ruled), weak.Make(m.Endpoints.Steady)}, func() *clusterLayer {
		layer := &clusterLayer{of: s.ruled, made: make([]*pieces, len(s.ruled.services))}
		var all []*server.Resource
		for i, svc := range s.ruled.services {
			endpoints := m.Endpoints.Of(svc)
			key := serviceClustersKey{clusterTraits: k, service: svc, rule: s.ruled.rules[i]}
			if key.accounts = strings.Join(endpoints.Accounts, " "); svc.Resolution != mesh.Listed {
				key.endpoints = endpoints
			}
			layer.made[i] = t.clusterPieces.get(key, func() *pieces { return t.clustersOf(&key, endpoints) })
			all = append(all, layer.made[i].resources...)
		}
		layer.part = t.part(server.Clusters, all)
		return layer
	})
}

// clustersOf are the clusters of a service: for each port the whole of it, and each subset.
func (t *Translator) clustersOf(k *serviceClustersKey, endpoints *mesh.Endpoints) *pieces {
	made := &pieces{}
	add := func(port int, subset *networking.Subset) {
		if c := k.cluster(port, subset, endpoints); c != nil {
			made.resources = append(made.resources, t.message(server.Clusters, c.Name, c))
			if k.passes && passed(k.service) {
				c = passage(c, k.service.Ports[port].Number, subset.GetName(), k.service.Host)
				made.resources = append(made.resources, t.message(server.Clusters, c.Name, c))
			}
		}
	}
	for i, port := range k.service.Ports {
		if port.Protocol == mesh.UDP {
			continue
		}
		add(i, nil)
		if k.rule != nil {
			for _, s := range k.rule.Spec.GetSubsets() {
				add(i, s)
			}
		}
	}
	return made
}

// cluster is the one for a port and a subset; nil: it would never have an endpoint.
func (k *serviceClustersKey) cluster(at int, subset *networking.Subset, endpoints *mesh.Endpoints) *clusterv3.Cluster {
	svc, port := k.service, k.service.Ports[at]
	p := policyOf(k.rule, subset.GetName(), port.Number)
	if p.pool == nil {
		p.pool = k.settings.Config.GetDefaultTrafficPolicy().GetConnectionPool()
	}
	if p.outlier == nil {
		p.outlier = k.settings.Config.GetDefaultTrafficPolicy().GetOutlierDetection()
	}
	c := &clusterv3.Cluster{Name: outboundName(port.Number, subset.GetName(), svc.Host), CommonLbConfig: &clusterv3.Cluster_CommonLbConfig{}}
	c.AltStatName = statName(k.settings, k.settings.Config.GetOutboundClusterStatName(), c.Name, svc.Host, subset.GetName(), port.Name, port.Number, 0) + ";"
	kind := clusterv3.Cluster_EDS
	switch svc.Resolution {
	case mesh.Listed:
		c.EdsClusterConfig = &clusterv3.Cluster_EdsClusterConfig{EdsConfig: fromStream(), ServiceName: c.Name}
	case mesh.Passthrough:
		if kind = clusterv3.Cluster_ORIGINAL_DST; k.traits.Gateway {
			kind = clusterv3.Cluster_EDS
			c.EdsClusterConfig = &clusterv3.Cluster_EdsClusterConfig{EdsConfig: fromStream(), ServiceName: c.Name}
		}
	default:
		if kind = clusterv3.Cluster_STRICT_DNS; svc.Resolution == mesh.DNSRound {
			kind = clusterv3.Cluster_LOGICAL_DNS
		}
		c.LoadAssignment = assignment(&assignmentTraits{settings: k.settings, traits: k.traits}, c.Name, chosen(endpoints, at, subset), p.outlier != nil, p.balancer)
		if len(c.LoadAssignment.Endpoints) == 0 {
			return nil
		}
		if kind == clusterv3.Cluster_LOGICAL_DNS { // which has one endpoint
			c.LoadAssignment.Endpoints = c.LoadAssignment.Endpoints[:1]
			c.LoadAssignment.Endpoints[0].LbEndpoints = c.LoadAssignment.Endpoints[0].LbEndpoints[:1]
			c.LoadAssignment.Endpoints[0].LoadBalancingWeight = nil
		}
		if c.DnsLookupFamily = clusterv3.Cluster_V4_ONLY; k.traits.IPv6 {
			c.DnsLookupFamily = clusterv3.Cluster_V6_ONLY
		}
		c.RespectDnsTtl, c.DnsRefreshRate, c.DnsJitter = true, durationpb.New(k.settings.DNSRefresh), durationpb.New(dnsJitter)
	}
	c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: kind}
	o := &httpv3.HttpProtocolOptions{}
	http2 := port.Protocol.IsHTTP2() || upgrades(k.settings, port.Protocol, p.pool)
	switch {
	case http2:
		useHTTP2(o)
	case port.Protocol == mesh.Unknown:
		useDownstream(o)
	}
	if applyPool(c, o, k.settings, &p); port.Protocol == mesh.Dubbo {
		o.UpstreamProtocolOptions = nil // the client's, which a rule for all ports may ask for
	}
	applyOutlier(c, p.outlier)
	applyBalancer(c, p.balancer)
	if distributes(k.settings, p.balancer) {
		c.CommonLbConfig.LocalityConfigSpecifier = &clusterv3.Cluster_CommonLbConfig_LocalityWeightedLbConfig_{LocalityWeightedLbConfig: &clusterv3.Cluster_CommonLbConfig_LocalityWeightedLbConfig{}}
	}
	k.secure(c, o, at, subset.GetName(), &p, http2, endpoints)
	setOptions(c, o)
	if k.traits.Weft && port.Protocol == mesh.Dubbo {
		markCalls(c)
	}
	if k.traits.Istio {
		c.Metadata = &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{"istio": about(svc, port.Number, subset.GetName())}}
	}
	return c
}

// setOptions gives a cluster its options about HTTP, if there are any.
func setOptions(c *clusterv3.Cluster, o *httpv3.HttpProtocolOptions) {
	if o.UpstreamProtocolOptions == nil && o.CommonHttpProtocolOptions == nil && o.UpstreamHttpProtocolOptions == nil {
		return
	}
	if o.UpstreamProtocolOptions == nil {
		o.UpstreamProtocolOptions = &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
			ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{HttpProtocolOptions: &corev3.Http1ProtocolOptions{}},
		}}
	}
	c.TypedExtensionProtocolOptions = map[string]*anypb.Any{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": wrap(o)}
}

// about is what istio.stats reads of a cluster.
func about(svc *mesh.Service, port uint32, subset string) *structpb.Struct {
	text := structpb.NewStringValue
	of := &structpb.Struct{Fields: map[string]*structpb.Value{"host": text(svc.Host), "name": text(svc.Name), "namespace": text(svc.Namespace)}}
	s := &structpb.Struct{Fields: map[string]*structpb.Value{
		"services":              structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{structpb.NewStructValue(of)}}),
		"default_original_port": structpb.NewNumberValue(float64(port)),
	}}
	if subset != "" {
		s.Fields["subset"] = text(subset)
	}
	if svc.External {
		s.Fields["external"] = structpb.NewBoolValue(true)
	}
	return s
}

// secure chooses how a cluster's connections are secured.
func (k *serviceClustersKey) secure(c *clusterv3.Cluster, o *httpv3.HttpProtocolOptions, at int, subset string, p *policy, http2 bool, endpoints *mesh.Endpoints) {
	svc, port := k.service, k.service.Ports[at]
	names := append(strings.Fields(k.accounts), svc.Accounts...)
	sni := serverName(port.Number, subset, svc.Host)
	switch p.tls.GetMode() {
	case networking.ClientTLSSettings_SIMPLE, networking.ClientTLSSettings_MUTUAL:
		if p.tls.GetCredentialName() != "" && !toldCredentials(k.traits.Gateway, k.rule) {
			break // who is told it is the gateway behind
		}
		socket, autoSNI, autoNames := originate(&k.clusterTraits, p.tls, k.rule, http2, svc.Accounts, svc.External)
		if c.TransportSocket = socket; autoSNI || autoNames {
			o.UpstreamHttpProtocolOptions = &corev3.UpstreamHttpProtocolOptions{AutoSni: autoSNI, AutoSanValidation: autoNames}
		}
	case networking.ClientTLSSettings_ISTIO_MUTUAL:
		if said := p.tls.GetSubjectAltNames(); len(said) > 0 {
			names = said
		}
		if said := p.tls.GetSni(); said != "" {
			sni = said
		}
		c.TransportSocket = meshTLS(&k.clusterTraits, port.Protocol, http2, names, sni)
	default:
		if p.tls != nil || svc.External || !k.settings.AutoMTLS || k.identity == NoIdentity {
			break // it was said, or nobody has anything to prove it by
		}
		socket := meshTLS(&k.clusterTraits, port.Protocol, http2, names, sni)
		if c.GetType() == clusterv3.Cluster_ORIGINAL_DST { // what an address takes is not known there, but of all endpoints it may be
			if allTake(endpoints, at) {
				c.TransportSocket = socket
			}
			break
		}
		takes := &structpb.Struct{Fields: map[string]*structpb.Value{"tlsMode": structpb.NewStringValue("istio")}}
		c.TransportSocketMatches = []*clusterv3.Cluster_TransportSocketMatch{
			{Name: "tlsMode-istio", Match: takes, TransportSocket: socket},
			{Name: "tlsMode-disabled", Match: &structpb.Struct{}, TransportSocket: rawSocket()},
		}
	}
}

// allTake tells whether a port has endpoints, and all take mTLS.
func allTake(e *mesh.Endpoints, at int) bool {
	if len(e.Ports) <= at || len(e.Ports[at]) == 0 {
		return false
	}
	for _, one := range e.Ports[at] {
		if !one.Sidecar {
			return false
		}
	}
	return true
}

// chosen are the endpoints of a port that are in a subset.
func chosen(e *mesh.Endpoints, at int, subset *networking.Subset) []*mesh.Endpoint {
	if len(e.Ports) <= at {
		return nil
	}
	if len(subset.GetLabels()) == 0 {
		return e.Ports[at]
	}
	var list []*mesh.Endpoint
	for _, one := range e.Ports[at] {
		if one.Has(subset.GetLabels()) {
			list = append(list, one)
		}
	}
	return list
}
