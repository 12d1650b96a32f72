package source

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
)

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
	ExternalIPs              []string          `json:"externalIPs,omitempty"`
	Status                   ServiceStatus     `json:"-"` // it stands beside the spec
}

// ServiceStatus is where a Service is reached from outside of its cluster, as its load balancer says.
type ServiceStatus struct {
	LoadBalancer LoadBalancer `json:"loadBalancer,omitzero"`
}

// LoadBalancer is that of a Service.
type LoadBalancer struct {
	Ingress []LoadBalancerIngress `json:"ingress,omitempty"`
}

// LoadBalancerIngress is an address, or a name, of a load balancer.
type LoadBalancerIngress struct {
	IP       string `json:"ip,omitempty"`
	Hostname string `json:"hostname,omitempty"`
}

// Reached are the addresses by which a Service is reached from outside of its cluster: those of its load balancer, or else those that its author says.
func (s *ServiceSpec) Reached() (all []string) {
	for _, one := range s.Status.LoadBalancer.Ingress {
		if one.IP != "" {
			all = append(all, one.IP)
		}
	}
	if len(all) == 0 {
		return s.ExternalIPs
	}
	return all
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

// podStatus is the status as it is written.
type podStatus struct {
	PodStatus
	Conditions []struct{ Type, Status string } `json:"conditions"`
}

func (p *podStatus) status() PodStatus {
	s := p.PodStatus
	for _, c := range p.Conditions {
		s.Ready = s.Ready || c.Type == "Ready" && c.Status == "True"
	}
	return s
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

// IngressSpec is an Ingress.
type IngressSpec struct {
	ClassName      string          `json:"ingressClassName,omitempty"`
	DefaultBackend *IngressBackend `json:"defaultBackend,omitempty"`
	TLS            []IngressTLS    `json:"tls,omitempty"`
	Rules          []IngressRule   `json:"rules,omitempty"`
}

// IngressTLS are hosts whose certificate is in a Secret.
type IngressTLS struct {
	Hosts      []string `json:"hosts,omitempty"`
	SecretName string   `json:"secretName,omitempty"`
}

// IngressRule is about one host; without one it is about all.
type IngressRule struct {
	Host string `json:"host,omitempty"`
	HTTP struct {
		Paths []IngressPath `json:"paths,omitempty"`
	} `json:"http,omitzero"`
}

// IngressPath leads to a backend.
type IngressPath struct {
	Path     string         `json:"path,omitempty"`
	PathType string         `json:"pathType,omitempty"` // Exact, Prefix or ImplementationSpecific
	Backend  IngressBackend `json:"backend,omitzero"`
}

// IngressBackend is a Service of the Ingress's namespace.
type IngressBackend struct {
	Service *IngressService `json:"service,omitempty"`
}

// IngressService is a Service's port, by its number or its name.
type IngressService struct {
	Name string `json:"name,omitempty"`
	Port struct {
		Name   string `json:"name,omitempty"`
		Number int32  `json:"number,omitempty"`
	} `json:"port,omitzero"`
}

// IngressClassSpec says who carries Ingresses of a class out.
type IngressClassSpec struct {
	Controller string `json:"controller,omitempty"`
}

// kubernetes reads a kind of Kubernetes' into the object: what its struct names.
func (r *reading) kubernetes(o *Object, fields, meta []*yaml.Node, w *writer) {
	read := func(path string, n *yaml.Node, into any) {
		if n == nil || r.wrong > 0 {
			return
		}
		from := len(w.out)
		if f := w.value(n, 0); f != nil {
			f.path = below(path, f.path)
			r.note(o.Key, f)
			return
		}
		if err := json.Unmarshal(w.out[from:], into); err != nil {
			f := &fault{path: path, line: n.Line, text: err.Error()}
			var kind *json.UnmarshalTypeError
			if errors.As(err, &kind) {
				f.text = fmt.Sprintf("is a %s and ought to be a %s", kind.Value, kind.Type)
				again := &writer{mark: true}
				again.value(n, 0) // it was good before
				if bad := again.at(int(kind.Offset) - 1); bad != nil {
					more, _ := pathOf(n, bad, 0)
					f.path, f.line = below(path, more), bad.Line
				}
			}
			r.note(o.Key, f)
		}
	}
	part := func(name string, into any) { read(name, field(fields, name), into) }
	switch o.Kind {
	case Service:
		spec := &ServiceSpec{}
		part("spec", spec)
		part("status", &spec.Status)
		o.Spec = spec
	case EndpointSlice:
		spec := &EndpointSliceSpec{}
		part("addressType", &spec.AddressType)
		part("endpoints", &spec.Endpoints)
		part("ports", &spec.Ports)
		o.Spec = spec
	case Pod:
		spec := &PodSpec{}
		part("spec", spec)
		var status podStatus
		part("status", &status)
		spec.Status = status.status()
		var owners []struct {
			Kind, Name string
			Controller bool
		}
		read("metadata.ownerReferences", field(meta, "ownerReferences"), &owners)
		for _, owner := range owners {
			if owner.Controller {
				spec.Owner = ObjectRef{Kind: owner.Kind, Namespace: o.Namespace, Name: owner.Name}
			}
		}
		o.Spec = spec
	case Node:
		o.Spec = &NodeSpec{}
	case Namespace:
		o.Spec = &NamespaceSpec{}
	case Secret:
		spec := &SecretSpec{}
		part("type", &spec.Type)
		part("data", &spec.Data)
		var plain map[string]string
		part("stringData", &plain)
		for k, v := range plain { // it comes over the other, as at an API server
			if spec.Data == nil {
				spec.Data = map[string][]byte{}
			}
			spec.Data[k] = []byte(v)
		}
		o.Spec = spec
	case ConfigMap:
		spec := &ConfigMapSpec{}
		part("data", &spec.Data)
		o.Spec = spec
	case Ingress:
		spec := &IngressSpec{}
		part("spec", spec)
		o.Spec = spec
	case IngressClass:
		spec := &IngressClassSpec{}
		part("spec", spec)
		o.Spec = spec
	}
}

// UnmarshalJSON takes a number or a name.
func (t *TargetPort) UnmarshalJSON(b []byte) error {
	*t = TargetPort{}
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &t.Name)
	}
	return json.Unmarshal(b, &t.Number)
}

// MarshalJSON writes it as it is read.
func (t TargetPort) MarshalJSON() ([]byte, error) {
	if t.Name != "" {
		return json.Marshal(t.Name)
	}
	return json.Marshal(t.Number)
}

// service checks what an API server would have.
func (c *checker) service(s *ServiceSpec) {
	names, numbers := map[string]bool{}, map[string]bool{}
	each(c, "ports", s.Ports, func(_ int, p ServicePort) {
		c.fault("port", port(p.Port))
		if p.Name != "" || len(s.Ports) > 1 {
			c.fault("name", portName(p.Name))
		}
		protocol := p.Protocol
		if protocol == "" {
			protocol = "TCP"
		}
		if protocol != "TCP" && protocol != "UDP" && protocol != "SCTP" {
			c.bad("protocol", "%q is not TCP, UDP or SCTP", short(p.Protocol))
		}
		if number := protocol + strconv.Itoa(int(p.Port)); numbers[number] {
			c.bad("port", "%d is there twice", p.Port)
		} else {
			numbers[number] = true
		}
		if names[p.Name] {
			c.bad("name", "%q is there twice", short(p.Name))
		}
		names[p.Name] = true
		if t := p.TargetPort; t != (TargetPort{}) && t.Name == "" {
			c.fault("targetPort", port(t.Number))
		}
	})
	for _, ip := range append([]string{s.ClusterIP}, s.ClusterIPs...) {
		if ip != "" && ip != "None" && !isAddress(ip) {
			c.bad("clusterIP", "%s is not a valid IP, and not None", short(ip))
		}
	}
	if s.Type == "ExternalName" {
		c.fault("externalName", fqdn(s.ExternalName))
	}
}

func (c *checker) endpointSlice(e *EndpointSliceSpec) {
	if !slices.Contains([]string{"IPv4", "IPv6", "FQDN"}, e.AddressType) {
		c.bad("addressType", "%q is not IPv4, IPv6 or FQDN", short(e.AddressType))
	}
	each(c, "endpoints", e.Endpoints, func(_ int, one SliceEndpoint) {
		if len(one.Addresses) == 0 {
			c.bad("addresses", "endpoint has no address")
		}
		each(c, "addresses", one.Addresses, func(_ int, a string) {
			if e.AddressType == "FQDN" {
				c.fault("", fqdn(a))
			} else {
				c.fault("", address(a))
			}
		})
	})
	each(c, "ports", e.Ports, func(_ int, p SlicePort) {
		if p.Port != 0 { // or all
			c.fault("port", port(p.Port))
		}
	})
}
