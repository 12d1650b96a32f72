package source

import (
	"strings"

	"google.golang.org/protobuf/proto"
	extensions "istio.io/api/extensions/v1alpha1"
	mesh "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	networkingbeta "istio.io/api/networking/v1beta1"
	security "istio.io/api/security/v1beta1"
	telemetry "istio.io/api/telemetry/v1alpha1"
)

// Form is how the objects of a kind are written.
type Form struct {
	Name, Plural string   // as in a manifest, and in the paths of an API server
	Group        string   // of the API; empty: Kubernetes' own core
	Versions     []string // of the group that are read, all in the same way; the first is the one to ask an API server for
	Cluster      bool     // it has no namespace
	message      func() proto.Message
}

var (
	networkingVersions = []string{"v1", "v1beta1", "v1alpha3"}
	securityVersions   = []string{"v1", "v1beta1"}
	telemetryVersions  = []string{"v1", "v1alpha1"}
	extensionVersions  = []string{"v1alpha1"}
	coreVersions       = []string{"v1"}
)

// Forms are all that is read. A MeshConfig and MeshNetworks have no group: they are files of their own (ReadMeshConfig, ReadMeshNetworks).
var Forms = [kindCount]Form{
	VirtualService: {"VirtualService", "virtualservices", "networking.istio.io", networkingVersions, false,
		func() proto.Message { return &networking.VirtualService{} }},
	DestinationRule: {"DestinationRule", "destinationrules", "networking.istio.io", networkingVersions, false,
		func() proto.Message { return &networking.DestinationRule{} }},
	Gateway: {"Gateway", "gateways", "networking.istio.io", networkingVersions, false,
		func() proto.Message { return &networking.Gateway{} }},
	ServiceEntry: {"ServiceEntry", "serviceentries", "networking.istio.io", networkingVersions, false,
		func() proto.Message { return &networking.ServiceEntry{} }},
	WorkloadEntry: {"WorkloadEntry", "workloadentries", "networking.istio.io", networkingVersions, false,
		func() proto.Message { return &networking.WorkloadEntry{} }},
	WorkloadGroup: {"WorkloadGroup", "workloadgroups", "networking.istio.io", networkingVersions, false,
		func() proto.Message { return &networking.WorkloadGroup{} }},
	Sidecar: {"Sidecar", "sidecars", "networking.istio.io", networkingVersions, false,
		func() proto.Message { return &networking.Sidecar{} }},
	ProxyConfig: {"ProxyConfig", "proxyconfigs", "networking.istio.io", []string{"v1beta1"}, false,
		func() proto.Message { return &networkingbeta.ProxyConfig{} }},
	EnvoyFilter: {"EnvoyFilter", "envoyfilters", "networking.istio.io", []string{"v1alpha3"}, false,
		func() proto.Message { return &networking.EnvoyFilter{} }},
	PeerAuthentication: {"PeerAuthentication", "peerauthentications", "security.istio.io", securityVersions, false,
		func() proto.Message { return &security.PeerAuthentication{} }},
	RequestAuthentication: {"RequestAuthentication", "requestauthentications", "security.istio.io", securityVersions, false,
		func() proto.Message { return &security.RequestAuthentication{} }},
	AuthorizationPolicy: {"AuthorizationPolicy", "authorizationpolicies", "security.istio.io", securityVersions, false,
		func() proto.Message { return &security.AuthorizationPolicy{} }},
	Telemetry: {"Telemetry", "telemetries", "telemetry.istio.io", telemetryVersions, false,
		func() proto.Message { return &telemetry.Telemetry{} }},
	WasmPlugin: {"WasmPlugin", "wasmplugins", "extensions.istio.io", extensionVersions, false,
		func() proto.Message { return &extensions.WasmPlugin{} }},
	ASMProxyConfig: {"ASMProxyConfig", "asmproxyconfigs", "istio.alibabacloud.com", []string{"v1", "v1beta1"}, false,
		func() proto.Message { return &mesh.ProxyConfig{} }},
	MeshConfig:    {Name: "MeshConfig", message: func() proto.Message { return &mesh.MeshConfig{} }},
	MeshNetworks:  {Name: "MeshNetworks", message: func() proto.Message { return &mesh.MeshNetworks{} }},
	Service:       {"Service", "services", "", coreVersions, false, nil},
	EndpointSlice: {"EndpointSlice", "endpointslices", "discovery.k8s.io", coreVersions, false, nil},
	Pod:           {"Pod", "pods", "", coreVersions, false, nil},
	Node:          {"Node", "nodes", "", coreVersions, true, nil},
	Namespace:     {"Namespace", "namespaces", "", coreVersions, true, nil},
	Secret:        {"Secret", "secrets", "", coreVersions, false, nil},
	ConfigMap:     {"ConfigMap", "configmaps", "", coreVersions, false, nil},
	Ingress:       {"Ingress", "ingresses", "networking.k8s.io", coreVersions, false, nil},
	IngressClass:  {"IngressClass", "ingressclasses", "networking.k8s.io", coreVersions, true, nil},
}

func (k Kind) String() string { return Forms[k].Name }

// formOf finds a kind by what a manifest says of it.
func formOf(group, name string) (Kind, bool) {
	for k := range Forms {
		if f := &Forms[k]; f.Name == name && f.Group == group && f.Versions != nil {
			return Kind(k), true
		}
	}
	return 0, false
}

// shortNames are what people type.
var shortNames = map[string]Kind{
	"vs": VirtualService, "dr": DestinationRule, "gw": Gateway, "se": ServiceEntry, "we": WorkloadEntry, "wg": WorkloadGroup, "sc": Sidecar, "ef": EnvoyFilter,
	"pa": PeerAuthentication, "ra": RequestAuthentication, "ap": AuthorizationPolicy, "wp": WasmPlugin, "tm": Telemetry,
	"svc": Service, "po": Pod, "no": Node, "ns": Namespace, "cm": ConfigMap, "ing": Ingress,
}

// KindOf finds a kind by what people call it: its name or plural in any letters, alone or with its group behind a dot, or its short name.
func KindOf(word string) (Kind, bool) {
	word = strings.ToLower(word)
	if k, is := shortNames[word]; is {
		return k, true
	}
	for k := range Forms {
		f := &Forms[k]
		name := strings.ToLower(f.Name)
		plural := f.Plural
		if f.Group != "" {
			if rest, is := strings.CutSuffix(word, "."+f.Group); is && (rest == name || rest == plural) {
				return Kind(k), true
			}
		}
		if word == name || word == plural && plural != "" {
			return Kind(k), true
		}
	}
	return 0, false
}

// Resource is how a kind is called where its group has to be said: virtualservices.networking.istio.io.
func (k Kind) Resource() string {
	f := &Forms[k]
	switch {
	case f.Plural == "":
		return strings.ToLower(f.Name)
	case f.Group == "":
		return f.Plural
	}
	return f.Plural + "." + f.Group
}

// APIVersion is what a manifest of the kind says.
func (k Kind) APIVersion() string {
	f := &Forms[k]
	if len(f.Versions) == 0 {
		return ""
	}
	return strings.TrimPrefix(f.Group+"/"+f.Versions[0], "/")
}

// ours says whether a group is one whose kinds the mesh ought to know. What installs Istio is nothing to it.
func ours(group string) bool {
	return group != "install.istio.io" && strings.HasSuffix(group, ".istio.io") || group == "istio.alibabacloud.com"
}
