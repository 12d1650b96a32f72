package istiod

import (
	"encoding/json"
	"runtime"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	statusv3 "github.com/envoyproxy/go-control-plane/envoy/service/status/v3"

	"github.com/weftmesh/weft/control/push"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/xds/server"
)

// Options are what a Face is made from.
type Options struct {
	Push  *push.Push
	Stats *telemetry.Store
	// Until is when the root of the mesh's certificates ends, and the first of those that lead to it; nil: there is no authority here.
	Until func() (root, chain time.Time)
	// Clusters are those that are followed: the first, if there is one, then others.
	Clusters func() []Cluster
	// Name is this process's among several, and Version that of its program.
	Name, Version string
}

// Face is what is asked.
type Face struct {
	Options
	conflicts conflicts
}

// What istioctl asks: how proxies stand (proxy-status), what one of them is to have (proxy-status POD), and a debug page by its name.
const (
	typeSyncz = "istio.io/debug/syncz"
	typeDump  = "istio.io/debug/config_dump"
	typePage  = "istio.io/debug"
)

// elsewhere is what istioctl reads as a word to ask the next one of several.
const elsewhere = "Proxy not connected to this Pilot instance. It may be connected to another instance."

// Answer answers a question that came over xDS. The error is one of gRPC's.
func (f *Face) Answer(q *server.Question) (*server.Answer, error) {
	a := &server.Answer{By: f.identifier()}
	switch q.Type {
	case typeSyncz:
		for _, p := range f.Push.Status().Proxies {
			one, err := anypb.New(clientConfig(&p))
			if err != nil {
				return nil, status.Error(codes.Internal, err.Error())
			}
			a.Resources = append(a.Resources, &discoveryv3.Resource{Name: p.ID, Resource: one})
		}
		return a, nil
	case typeDump:
		if len(q.Names) != 1 {
			return nil, status.Errorf(codes.InvalidArgument, "%s of %d names: want one, as POD.NAMESPACE", typeDump, len(q.Names))
		}
		dump, is, err := f.dump(q.Names[0])
		if err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
		if !is {
			a.Resources = []*discoveryv3.Resource{{Name: q.Names[0], Resource: &anypb.Any{TypeUrl: typePage, Value: []byte(elsewhere)}}}
		}
		for _, one := range dump.GetConfigs() {
			a.Resources = append(a.Resources, &discoveryv3.Resource{Name: q.Names[0], Resource: one})
		}
		return a, nil
	case typePage:
		if len(q.Names) != 1 {
			return nil, status.Errorf(codes.InvalidArgument, "%s of %d names: want that of one page, such as syncz", typePage, len(q.Names))
		}
		text, err := f.page(q.Names[0])
		if err != nil {
			return nil, status.Error(codes.NotFound, err.Error())
		}
		a.Resources = []*discoveryv3.Resource{{Name: q.Names[0], Resource: &anypb.Any{TypeUrl: typePage, Value: text}}}
		return a, nil
	}
	return nil, status.Errorf(codes.InvalidArgument, "%q is not answered here: want %s, %s or %s", q.Type, typeSyncz, typeDump, typePage)
}

// build is what istiod says of its program.
type build struct {
	Version       string `json:"version"`
	GitRevision   string `json:"revision"`
	GolangVersion string `json:"golang_version"`
	BuildStatus   string `json:"status"`
	GitTag        string `json:"tag"`
}

// identifier is who answers, as istioctl prints it in the column ISTIOD.
func (f *Face) identifier() string {
	text, _ := json.Marshal(struct { // which has nothing that cannot be written
		Component, ID string
		Info          build
	}{"istiod", f.Name, build{f.Version, "", runtime.Version(), "", f.Version}})
	return string(text)
}

// clientConfig is how a proxy stands.
func clientConfig(p *push.Proxy) *statusv3.ClientConfig {
	said := map[string]*structpb.Value{}
	for name, value := range map[string]string{"CLUSTER_ID": p.Cluster, "NAMESPACE": p.Namespace, "ISTIO_VERSION": p.Version} {
		if value != "" {
			said[name] = structpb.NewStringValue(value)
		}
	}
	c := &statusv3.ClientConfig{Node: &corev3.Node{Id: p.ID, Metadata: &structpb.Struct{Fields: said}}}
	for _, k := range p.Kinds {
		one := &statusv3.ClientConfig_GenericXdsConfig{TypeUrl: k.Type, VersionInfo: k.Version, ConfigStatus: configStatus(&k)}
		if !k.Sent.IsZero() {
			one.LastUpdated = timestamppb.New(k.Sent)
		}
		if k.Refused != "" {
			one.ErrorState = &adminv3.UpdateFailureState{Details: k.Refused, LastUpdateAttempt: one.LastUpdated}
		}
		c.GenericXdsConfigs = append(c.GenericXdsConfigs, one)
	}
	return c
}

func configStatus(k *push.Kind) statusv3.ConfigStatus {
	switch {
	case k.Refused != "":
		return statusv3.ConfigStatus_ERROR
	case k.Sent.IsZero():
		return statusv3.ConfigStatus_NOT_SENT
	case k.Waits > 0:
		return statusv3.ConfigStatus_STALE
	}
	return statusv3.ConfigStatus_SYNCED
}

// dump is what a proxy is to have, as Envoy's admin page would show it, without secrets; false: it is not connected here.
func (f *Face) dump(id string) (*adminv3.ConfigDump, bool, error) {
	told, version, is := f.Push.Told(id)
	if !is {
		return nil, false, nil
	}
	resource := func(k server.Kind, r *server.Resource) *anypb.Any {
		return &anypb.Any{TypeUrl: k.Type(), Value: r.Body}
	}
	clusters := &adminv3.ClustersConfigDump{VersionInfo: version}
	for _, r := range told[server.Clusters] {
		clusters.DynamicActiveClusters = append(clusters.DynamicActiveClusters, &adminv3.ClustersConfigDump_DynamicCluster{VersionInfo: r.Version, Cluster: resource(server.Clusters, r)})
	}
	listeners := &adminv3.ListenersConfigDump{VersionInfo: version}
	for _, r := range told[server.Listeners] {
		listeners.DynamicListeners = append(listeners.DynamicListeners, &adminv3.ListenersConfigDump_DynamicListener{Name: r.Name,
			ActiveState: &adminv3.ListenersConfigDump_DynamicListenerState{VersionInfo: r.Version, Listener: resource(server.Listeners, r)}})
	}
	routes := &adminv3.RoutesConfigDump{}
	for _, r := range told[server.Routes] {
		routes.DynamicRouteConfigs = append(routes.DynamicRouteConfigs, &adminv3.RoutesConfigDump_DynamicRouteConfig{VersionInfo: r.Version, RouteConfig: resource(server.Routes, r)})
	}
	endpoints := &adminv3.EndpointsConfigDump{}
	for _, r := range told[server.Endpoints] {
		endpoints.DynamicEndpointConfigs = append(endpoints.DynamicEndpointConfigs, &adminv3.EndpointsConfigDump_DynamicEndpointConfig{VersionInfo: r.Version, EndpointConfig: resource(server.Endpoints, r)})
	}
	d := &adminv3.ConfigDump{}
	for _, part := range []proto.Message{clusters, listeners, routes, endpoints} {
		one, err := anypb.New(part)
		if err != nil {
			return nil, true, err
		}
		d.Configs = append(d.Configs, one)
	}
	return d, true, nil
}
