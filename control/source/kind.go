package source

// kindNames are as manifests spell them.
var kindNames = [kindCount]string{
	VirtualService: "VirtualService", DestinationRule: "DestinationRule", Gateway: "Gateway", ServiceEntry: "ServiceEntry",
	WorkloadEntry: "WorkloadEntry", WorkloadGroup: "WorkloadGroup", Sidecar: "Sidecar", ProxyConfig: "ProxyConfig", EnvoyFilter: "EnvoyFilter",
	PeerAuthentication: "PeerAuthentication", RequestAuthentication: "RequestAuthentication", AuthorizationPolicy: "AuthorizationPolicy",
	Telemetry: "Telemetry", WasmPlugin: "WasmPlugin", MeshConfig: "MeshConfig", MeshNetworks: "MeshNetworks",
	Service: "Service", EndpointSlice: "EndpointSlice", Pod: "Pod", Node: "Node", Namespace: "Namespace", Secret: "Secret", ConfigMap: "ConfigMap",
}

func (k Kind) String() string { return kindNames[k] }
