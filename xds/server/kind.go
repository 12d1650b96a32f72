package server

import "strings"

// typePrefix is what a type begins with in an Any.
const typePrefix = "type.googleapis.com/"

// kindFacts is what is to be known of a kind.
type kindFacts struct {
	name    string // for people
	message string // full name of its message
	// all: who names none in a first request wants all. Of other kinds it wants none, and has to say "*" for all.
	all bool
	// parts: over the state of the world a response about named ones need not have all of them.
	parts bool
	// stays: nobody is told that a named one is gone. Connections that began before may go on with who named it, and Envoy would answer their requests with 500.
	stays bool
	// service has methods of its own for the kind: Stream and Delta with what follows. VHDS has deltas only.
	service, method string
	deltaOnly       bool
}

// facts are by kind.
var facts = [kindCount]kindFacts{
	Clusters:     {name: "clusters", message: "envoy.config.cluster.v3.Cluster", all: true, service: "envoy.service.cluster.v3.ClusterDiscoveryService", method: "Clusters"},
	Endpoints:    {name: "endpoints", message: "envoy.config.endpoint.v3.ClusterLoadAssignment", parts: true, service: "envoy.service.endpoint.v3.EndpointDiscoveryService", method: "Endpoints"},
	Listeners:    {name: "listeners", message: "envoy.config.listener.v3.Listener", all: true, service: "envoy.service.listener.v3.ListenerDiscoveryService", method: "Listeners"},
	Routes:       {name: "routes", message: "envoy.config.route.v3.RouteConfiguration", parts: true, service: "envoy.service.route.v3.RouteDiscoveryService", method: "Routes"},
	VirtualHosts: {name: "virtual hosts", message: "envoy.config.route.v3.VirtualHost", all: true, service: "envoy.service.route.v3.VirtualHostDiscoveryService", method: "VirtualHosts", deltaOnly: true},
	Secrets:      {name: "secrets", message: "envoy.extensions.transport_sockets.tls.v3.Secret", service: "envoy.service.secret.v3.SecretDiscoveryService", method: "Secrets"},
	Extensions:   {name: "extensions", message: "envoy.config.core.v3.TypedExtensionConfig", stays: true, service: "envoy.service.extension.v3.ExtensionConfigDiscoveryService", method: "ExtensionConfigs"},
	Names:        {name: "names", message: "istio.networking.nds.v1.NameTable", all: true},
}

// String is the kind's name for people.
func (k Kind) String() string { return facts[k].name }

// Type is how the kind is called in requests and responses.
func (k Kind) Type() string { return typePrefix + facts[k].message }

// Kinds is how many kinds there are; the first is 0.
const Kinds = int(kindCount)

// kindOf finds a kind by the type that a request names.
func kindOf(url string) (Kind, bool) {
	message := strings.TrimPrefix(url, typePrefix)
	for k := range facts {
		if facts[k].message == message {
			return Kind(k), true
		}
	}
	return 0, false
}
