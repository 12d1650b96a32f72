package source

import (
	"cmp"
	"strings"
	"time"
)

// Kind is a kind of object.
type Kind uint8

// The kinds.
const (
	VirtualService Kind = iota
	DestinationRule
	Gateway
	ServiceEntry
	WorkloadEntry
	WorkloadGroup
	Sidecar
	ProxyConfig
	EnvoyFilter
	PeerAuthentication
	RequestAuthentication
	AuthorizationPolicy
	Telemetry
	WasmPlugin
	ASMProxyConfig
	MeshConfig
	MeshNetworks
	Service
	EndpointSlice
	Pod
	Node
	Namespace
	Secret
	ConfigMap
	Ingress
	IngressClass
	kindCount
)

// Key names an object. What has no namespace has an empty one.
type Key struct {
	Kind            Kind
	Namespace, Name string
	// Cluster is the one that was attached and whose object it is, of the kinds of Kubernetes' that every cluster has by itself; empty: the first cluster, or no
	// cluster at all. Of two clusters objects of one name are two objects.
	Cluster string
}

// Object is a thing of a mesh. It never changes: a later version of it is another value.
type Object struct {
	Key
	Labels, Annotations map[string]string
	Created             time.Time // zero: nobody has said
	Generation          int64     // of the spec; 0: nobody counts
	Revision            string    // whatever the source tells versions apart by
	Author              string    // who last wrote the spec; empty: nobody has said
	// Spec is by kind: a pointer to Istio's own message (networking/v1alpha3, security/v1beta1, telemetry/v1alpha1, extensions/v1alpha1,
	// networking/v1beta1 for a ProxyConfig, mesh/v1alpha1, whose ProxyConfig an ASMProxyConfig has), or to a struct of this package with what is read of a kind of Kubernetes'.
	Spec any
	// More is what ASM, and for HTTP to Dubbo Higress, adds to a kind of Istio's, or to the message of Istio's that a kind of its own has; nil: nothing of it is said.
	More any
	// Health is what the status of a WorkloadEntry says of its workload; nil: nothing, or it is of another kind.
	Health *Health
	From   Origin
}

// Origin is where an object was found.
type Origin struct {
	Source string // which source: a directory, or a cluster's name
	File   string // below it; empty: it is not from a file
	Line   int    // where the object begins in the file, or began when it was last read: it may have moved since; the first is 1
}

// String is what people find the object by.
func (k Key) String() string {
	text := k.Kind.String() + " "
	if k.Namespace != "" {
		text += k.Namespace + "/"
	}
	if text += k.Name; k.Cluster != "" {
		text += " of the cluster " + k.Cluster
	}
	return text
}

// Path is a key as paths have it, such as virtualservices.networking.istio.io/shop/reviews. What has no namespace has "-" there, which is none.
func (k Key) Path() string {
	namespace := k.Namespace
	if namespace == "" {
		namespace = "-"
	}
	return k.Kind.Resource() + "/" + namespace + "/" + k.Name
}

// ParsePath reads a Path, of which the kind may be said in any way that KindOf knows.
func ParsePath(path string) (Key, bool) {
	word, rest, _ := strings.Cut(path, "/")
	namespace, name, _ := strings.Cut(rest, "/")
	kind, known := KindOf(word)
	if !known || len(name) > maxName || !names.MatchString(name) || (namespace == "-") != (Forms[kind].Cluster || Forms[kind].Versions == nil) {
		return Key{}, false
	}
	if namespace == "-" {
		return Key{Kind: kind, Name: name}, true
	}
	return Key{Kind: kind, Namespace: namespace, Name: name}, len(namespace) <= maxName && names.MatchString(namespace)
}

// Compare orders keys: by kind, namespace, name and cluster.
func Compare(a, b Key) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Cluster, b.Cluster))
}

// Change is an object that is new or another than it was, or that is gone.
type Change struct {
	Key
	Object *Object // nil: it is gone
}

// Problem is something wrong with an object, or with a file that objects should be in.
type Problem struct {
	Key
	From    Origin
	Path    string // of the field, as in spec.http[0].route[1].weight; empty: the whole
	Text    string // what is wrong and what would be right
	Warning bool   // it is served all the same
	// Revision is the one of several control planes that the object is for, by its label; empty: all, or it is about no object of Istio's.
	Revision string
}

// Batch is what a source tells at once: it is all seen together or not at all. A source's first one is all that there is, so that nobody is
// served half a mesh.
type Batch struct {
	Changes  []Change
	Problems []Problem // all that there are now, of the source
}
