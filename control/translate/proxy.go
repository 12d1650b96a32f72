package translate

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	meshv1 "istio.io/api/mesh/v1alpha1"

	"github.com/weftmesh/weft/control/mesh"
)

// Role is what a proxy is for.
type Role uint8

// The roles.
const (
	Sidecar Role = iota
	Gateway
)

// String is the role as nodes say it.
func (r Role) String() string {
	if r == Gateway {
		return "router"
	}
	return "sidecar"
}

// Identity is where a proxy has its own certificate from.
type Identity uint8

// The ways.
const (
	FromAgent Identity = iota // the agent beside it serves secrets on a socket
	FromPlane                 // the control plane serves them on its stream
	NoIdentity
)

// Proxy is all that translation may know of a proxy. It never changes.
type Proxy struct {
	Role      Role
	ID        string // pod.namespace
	Address   string // of the workload; empty: unknown
	Namespace string
	Account   string // service account; empty: unknown
	Domain    string // in which the workload looks names up, such as ns.svc.cluster.local
	Labels    map[string]string
	Locality  mesh.Locality
	Network   string
	Identity  Identity
	Version   string // of Istio, as its agent says it; empty: there is none
	Cluster   string // of Kubernetes, as its agent says it: by it a proxy takes the Services, addresses and endpoints of its own cluster before others'; empty: unsaid, which is the first
	Revision  string // of the control plane that it is meant for, for people; empty: unsaid
	Mesh      string // as its agent names it, for people; empty: unsaid
	Service   string // what it calls itself in what it reports; empty: unsaid
	Tracing   string // what its own ProxyConfig says of traces, as an encoded istio.mesh.v1alpha1.Tracing; empty: nothing
	Topology  string // and of what is before it, if it is a gateway, as an encoded Topology; empty: nothing
	Traits    Traits
	// Group is the WorkloadGroup that it registers itself of, as Istio's agent outside of Kubernetes does, and Entry the WorkloadEntry that somebody has written of it; empty: there is none. Probed
	// says that its agent tells whether the workload is well.
	Group  string
	Entry  string
	Probed bool
}

// Traits are what kinds of proxies differ by. They are few, and many proxies share them.
type Traits struct {
	// ByHost: it takes virtual hosts one by one, as weft does. A stream that tells the state of the world cannot: who serves one clears it.
	ByHost bool
	// Weft: it is weft, which has no tracer and no Wasm yet.
	Weft bool
	// Istio: it has the filters that only istio-proxy and weft have.
	Istio bool
	// Bound: nobody redirects traffic to it, so that listeners are bound.
	Bound bool
	// Transparent: traffic comes as it was, by TPROXY.
	Transparent bool
	// Captured: what the workload asks its DNS is answered beside it, by a table of names, with addresses that the mesh has allocated.
	Captured bool
	HTTP10   bool
	// Gateway: nobody's own traffic comes to it, so that there is no destination to pass anything on to.
	Gateway bool
	IPv6    bool
	// Proxyless: it is a client of gRPC's own, and no proxy.
	Proxyless bool
}

// Metadata of nodes, as Istio's, but for the last, which says where the node has its identity from: "agent", "ads" or "none". Unsaid, it is the agent
// if the node says which Istio it has, since Istio's agent always does, and else the stream.
const (
	metaNamespace    = "NAMESPACE"
	metaAccount      = "SERVICE_ACCOUNT"
	metaLabels       = "LABELS"
	metaNetwork      = "NETWORK"
	metaVersion      = "ISTIO_VERSION"
	metaInterception = "INTERCEPTION_MODE"
	metaAddresses    = "INSTANCE_IPS"
	metaDNSCapture   = "DNS_CAPTURE"
	metaHTTP10       = "HTTP10"
	metaCluster      = "CLUSTER_ID"
	metaRevision     = "ISTIO_REVISION"
	metaGenerator    = "GENERATOR"
	metaMesh         = "MESH_ID"
	metaGroup        = "AUTO_REGISTER_GROUP"
	metaEntry        = "WORKLOAD_ENTRY"
	metaProxyConfig  = "PROXY_CONFIG"
	metaIdentity     = "WEFT_IDENTITY"
)

// maxNode bounds, in bytes, what a proxy says of itself. Istio's agent writes the labels and annotations of its pod into it, which have 256 KB at most.
const maxNode = 512 << 10

// weftAgent is what weft calls itself to control planes.
const weftAgent = "weft"

// ProxyOf reads what a node says of itself: its id is TYPE~ADDRESS~ID~DOMAIN, and the rest Istio's metadata. It does not prove any of it.
func ProxyOf(node *corev3.Node) (*Proxy, error) {
	if n := proto.Size(node); n > maxNode {
		return nil, fmt.Errorf("translate: a node of %d bytes, with the id %.128q: want %d at most", n, node.GetId(), maxNode)
	}
	parts := strings.Split(node.GetId(), "~")
	if len(parts) != 4 {
		return nil, fmt.Errorf("translate: node id %.128q: want TYPE~ADDRESS~ID~DOMAIN", node.GetId())
	}
	p := &Proxy{ID: parts[2], Domain: parts[3]}
	switch parts[0] {
	case "sidecar":
	case "router":
		p.Role, p.Traits.Gateway = Gateway, true
	default:
		return nil, fmt.Errorf("translate: node id %.128q: type %.128q is not served: want sidecar or router", node.GetId(), parts[0])
	}
	meta := node.GetMetadata().GetFields()
	said := func(name string) string { return meta[name].GetStringValue() }
	if p.Address = parts[1]; p.Address == "" {
		p.Address, _, _ = strings.Cut(said(metaAddresses), ",")
	}
	if p.Address != "" {
		a, err := netip.ParseAddr(p.Address)
		if err != nil {
			return nil, fmt.Errorf("translate: node id %.128q: %.128q is not an address", node.GetId(), p.Address)
		}
		p.Traits.IPv6 = a.Is6() && !a.Is4In6()
	}
	if p.Namespace = said(metaNamespace); p.Namespace == "" {
		// An id is pod.namespace, and pods may have dots.
		if p.Namespace = p.ID[strings.LastIndexByte(p.ID, '.')+1:]; p.Namespace == p.ID || p.Namespace == "" {
			return nil, fmt.Errorf("translate: node id %.128q: neither metadata %s nor an id of the form NAME.NAMESPACE says its namespace", node.GetId(), metaNamespace)
		}
	}
	p.Account, p.Network, p.Version = said(metaAccount), said(metaNetwork), said(metaVersion)
	p.Cluster, p.Revision = said(metaCluster), said(metaRevision)
	p.Mesh, p.Service = said(metaMesh), node.GetCluster()
	var err error
	if p.Tracing, err = ownConfig(node, "tracing", &meshv1.Tracing{}); err != nil {
		return nil, err
	}
	if p.Role == Gateway {
		topology := &meshv1.Topology{}
		if p.Topology, err = ownConfig(node, "gatewayTopology", topology); err != nil {
			return nil, err
		}
		if said := topology.GetForwardClientCertDetails(); meshv1.ForwardClientCertDetails_name[int32(said)] == "" {
			return nil, fmt.Errorf("translate: node %.128q: metadata %s: gatewayTopology: forwardClientCertDetails is %d: want SANITIZE_SET or the like", node.GetId(), metaProxyConfig, said)
		}
	}
	p.Group, p.Entry = said(metaGroup), said(metaEntry)
	p.Probed = meta[metaProxyConfig].GetStructValue().GetFields()["readinessProbe"].GetStructValue() != nil
	p.Labels = map[string]string{}
	for name, v := range meta[metaLabels].GetStructValue().GetFields() {
		p.Labels[name] = v.GetStringValue()
	}
	if l := node.GetLocality(); l != nil {
		p.Locality = mesh.Locality{Region: l.GetRegion(), Zone: l.GetZone(), SubZone: l.GetSubZone()}
	}
	p.Traits.Weft = node.GetUserAgentName() == weftAgent
	p.Traits.ByHost = p.Traits.Weft
	p.Traits.Istio = p.Traits.Weft || said(metaVersion) != ""
	switch mode := said(metaInterception); mode {
	case "", "REDIRECT":
	case "TPROXY":
		p.Traits.Transparent = true
	case "NONE":
		p.Traits.Bound = true
	default:
		return nil, fmt.Errorf("translate: node %.128q: metadata %s is %.128q: want REDIRECT, TPROXY or NONE", node.GetId(), metaInterception, mode)
	}
	if said(metaGenerator) == "grpc" {
		if p.Role != Sidecar {
			return nil, fmt.Errorf("translate: node id %.128q: metadata %s is grpc, which is said of type sidecar", node.GetId(), metaGenerator)
		}
		p.Traits, p.Identity = Traits{Proxyless: true}, NoIdentity // its certificates are its own
		return p, nil
	}
	isTrue := func(name string) bool {
		v := meta[name]
		return v.GetBoolValue() || strings.EqualFold(v.GetStringValue(), "true") || v.GetStringValue() == "1"
	}
	p.Traits.Captured, p.Traits.HTTP10 = isTrue(metaDNSCapture), isTrue(metaHTTP10)
	switch from := said(metaIdentity); {
	case from == "none":
		p.Identity = NoIdentity
	case from == "ads" || from == "" && said(metaVersion) == "":
		p.Identity = FromPlane
	case from == "agent" || from == "":
	default:
		return nil, fmt.Errorf("translate: node %.128q: metadata %s is %.128q: want agent, ads or none", node.GetId(), metaIdentity, from)
	}
	return p, nil
}

// ownConfig reads a part of the ProxyConfig that a node says it has, and gives it encoded; empty: it says nothing of it.
func ownConfig(node *corev3.Node, name string, into proto.Message) (string, error) {
	own := node.GetMetadata().GetFields()[metaProxyConfig].GetStructValue().GetFields()[name].GetStructValue()
	if own == nil {
		return "", nil
	}
	text, err := protojson.Marshal(own)
	if err == nil {
		err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(text, into)
	}
	if err != nil {
		return "", fmt.Errorf("translate: node %.128q: metadata %s: %s: %v", node.GetId(), metaProxyConfig, name, err)
	}
	return string(encode(into)), nil
}

// older tells whether a version of Istio is before 1.minor; one that nobody says is not.
func older(version string, minor int) bool {
	rest, ok := strings.CutPrefix(version, "1.")
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(rest)
	}
	n, err := strconv.Atoi(rest[:end])
	return ok && err == nil && n < minor
}
