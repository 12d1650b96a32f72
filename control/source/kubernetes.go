package source

// What is read of Kubernetes' kinds. Names are Kubernetes' own, so that their objects are read straight into these, and what is not here is
// not kept.

// ServiceSpec is of a Service.
type ServiceSpec struct {
	ClusterIP                string            `json:"clusterIP,omitempty"`
	ClusterIPs               []string          `json:"clusterIPs,omitempty"`
	Type                     string            `json:"type,omitempty"`
	ExternalName             string            `json:"externalName,omitempty"`
	Ports                    []ServicePort     `json:"ports,omitempty"`
	Selector                 map[string]string `json:"selector,omitempty"`
	PublishNotReadyAddresses bool              `json:"publishNotReadyAddresses,omitempty"`
}

// ServicePort is a port of a Service.
type ServicePort struct {
	Name        string     `json:"name,omitempty"`
	Protocol    string     `json:"protocol,omitempty"`
	AppProtocol *string    `json:"appProtocol,omitempty"`
	Port        int32      `json:"port"`
	TargetPort  TargetPort `json:"targetPort,omitzero"`
	NodePort    int32      `json:"nodePort,omitempty"`
}

// TargetPort is a number, or the name of a container's port.
type TargetPort struct {
	Number int32
	Name   string
}

// EndpointSliceSpec is an EndpointSlice, which has no spec of its own.
type EndpointSliceSpec struct {
	AddressType string          `json:"addressType"`
	Endpoints   []SliceEndpoint `json:"endpoints"`
	Ports       []SlicePort     `json:"ports"`
}

// SliceEndpoint is an endpoint of a slice.
type SliceEndpoint struct {
	Addresses  []string `json:"addresses"`
	Conditions struct {
		Ready       *bool `json:"ready,omitempty"`
		Serving     *bool `json:"serving,omitempty"`
		Terminating *bool `json:"terminating,omitempty"`
	} `json:"conditions,omitzero"`
	Hostname  *string    `json:"hostname,omitempty"`
	NodeName  *string    `json:"nodeName,omitempty"`
	Zone      *string    `json:"zone,omitempty"`
	TargetRef *ObjectRef `json:"targetRef,omitempty"`
}

// ObjectRef names another object.
type ObjectRef struct {
	Kind      string `json:"kind,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
}

// SlicePort is a port of a slice.
type SlicePort struct {
	Name        string  `json:"name,omitempty"`
	Protocol    string  `json:"protocol,omitempty"`
	Port        int32   `json:"port,omitempty"`
	AppProtocol *string `json:"appProtocol,omitempty"`
}

// PodSpec is a Pod.
type PodSpec struct {
	NodeName           string          `json:"nodeName,omitempty"`
	ServiceAccountName string          `json:"serviceAccountName,omitempty"`
	HostNetwork        bool            `json:"hostNetwork,omitempty"`
	Containers         []ContainerSpec `json:"containers,omitempty"`
	Status             PodStatus       `json:"-"` // it stands beside the spec
	Owner              ObjectRef       `json:"-"` // its controller, of the metadata
}

// ContainerSpec is a container of a Pod.
type ContainerSpec struct {
	Name  string          `json:"name"`
	Ports []ContainerPort `json:"ports,omitempty"`
}

// ContainerPort is a port of a container.
type ContainerPort struct {
	Name          string `json:"name,omitempty"`
	ContainerPort int32  `json:"containerPort"`
	Protocol      string `json:"protocol,omitempty"`
}

// PodStatus is what has become of a Pod.
type PodStatus struct {
	Phase  string  `json:"phase,omitempty"`
	PodIP  string  `json:"podIP,omitempty"`
	PodIPs []PodIP `json:"podIPs,omitempty"`
	Ready  bool    `json:"-"` // the condition of that name
}

// PodIP is an address of a Pod.
type PodIP struct {
	IP string `json:"ip"`
}

// NodeSpec is a Node, of which only the labels matter.
type NodeSpec struct{}

// NamespaceSpec is a Namespace, of which only labels and annotations matter.
type NamespaceSpec struct{}

// SecretSpec is a Secret.
type SecretSpec struct {
	Type string            `json:"type,omitempty"`
	Data map[string][]byte `json:"data,omitempty"`
}

// ConfigMapSpec is a ConfigMap.
type ConfigMapSpec struct {
	Data map[string]string `json:"data,omitempty"`
}
