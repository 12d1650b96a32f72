package decode

import (
	"crypto/sha256"
	"fmt"
	"regexp"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	dubbov3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/dubbo_proxy/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	runtimev3 "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
)

// Decoder reads resources. It keeps nothing between two of them but what many of them say alike, and may be used from several goroutines.
//
// A message that is given to it is its own from then on: it may be brought into canonical form. An error is of type Problems.
type Decoder struct {
	filters, overrides map[string]*filters.Spec // by the message that they read
	options            Options
	outlines           sync.Map // as outline makes them: by a message's name and place
	recent             recent
}

// Options are what a decoder is told beside its filters.
type Options struct {
	// AllowUnknownFields takes fields of a bootstrap that this program does not know for absent, as Envoy's flag
	// --allow-unknown-static-fields does. Fields that are known and refused stay refused.
	AllowUnknownFields bool
	// HasCluster says whether a cluster is there, for route configurations that stand alone and say validate_clusters: true. Nil: it is
	// not known, and nothing is said about clusters.
	HasCluster func(name string) bool
	// Resolver and Binding are what the bootstrap says for clusters that say nothing else; nil: nothing.
	Resolver *config.Resolver
	Binding  *config.Binding
	// Ejections is the file to which the bootstrap has ejections written; empty: none.
	Ejections string
	// Traced says that the bootstrap names a tracer, for connection managers that want spans and name none.
	Traced bool
	// Shared says that there is a stream that every kind of resource may come over; Servers are the clusters that streams of their own may
	// be with.
	Shared  bool
	Servers map[string]bool
	// Foreign says that what is read is another process's, as that shows it: files and variables that it names are not here, and what it has
	// redacted is taken to be good. What comes of it is not to be run.
	Foreign bool
	// Harmless is told of every field that is set and changes nothing, with the reason; nil: nobody is.
	Harmless func(Problem)
}

// New makes a decoder for a program with these HTTP filters.
func New(specs []filters.Spec, o Options) *Decoder {
	d := &Decoder{filters: map[string]*filters.Spec{}, overrides: map[string]*filters.Spec{}, options: o}
	for i := range specs {
		d.filters[specs[i].Type] = &specs[i]
		if specs[i].Override != "" {
			d.overrides[specs[i].Override] = &specs[i]
		}
	}
	return d
}

// session is the reading of one resource.
type session struct {
	*Decoder
	allowUnknown bool
	problems     Problems
	opened       map[*anypb.Any]*opened
	trusted      bool                      // nothing is visited
	broken       bool                      // and what an Any holds does not keep Envoy's own rules
	depth        int                       // of the Any that is being opened
	deep         bool                      // there is one deeper than may be
	whole        proto.Message             // what is being read
	raw          []byte                    // its canonical bytes
	files        []string                  // that data sources have named so far
	sum          []byte                    // of what was in them
	hasCluster   func(string) bool         // may be nil
	within       string                    // the listener that is being read
	ends         map[string]*regexp.Regexp // what follows literal beginnings of paths, shared by the routes that say the same
	named        bool                      // endpoints of what is being read have names for addresses
	asked        *config.Resolver          // as bound: who is asked for names
	ejections    string                    // as bound: a file for ejections
	bound        *config.Binding           // the bootstrap's, for clusters that say nothing else; may be nil
	traced       bool                      // as Options.Traced
	shared       bool                      // as Options.Shared
	controls     map[string]bool           // as Options.Servers
	anybody      bool                      // may be a control plane, as far as is known here
}

func (d *Decoder) session() *session {
	return &session{Decoder: d, opened: map[*anypb.Any]*opened{}, hasCluster: d.options.HasCluster, asked: d.options.Resolver, bound: d.options.Binding, ejections: d.options.Ejections,
		traced: d.options.Traced, shared: d.options.Shared, controls: d.options.Servers}
}

// trust says that a message can be converted without having been visited, by the bytes that it was read from: there is nothing to find in
// them, and they are in form. What its Anys hold is held against Envoy's own rules when it is opened; found then says what has become of
// that.
func (s *session) trust(m proto.Message, wire []byte) bool {
	if wire == nil || s.options.Harmless != nil {
		return false
	}
	seen := scan{decoder: s.Decoder, clean: true, same: true}
	seen.message(wire, s.outline(m.ProtoReflect().Descriptor(), "", false))
	if v, ok := m.(validated); !seen.clean || !seen.same || ok && v.ValidateAll() != nil {
		return false
	}
	s.trusted, s.whole, s.raw = true, m, wire
	return true
}

// found says that something is wrong after all: all is visited then, which tells what.
func (s *session) found() bool { return s.broken || len(s.problems) > 0 }

// check brings a message into canonical form, visits all that is set and holds it against Envoy's own rules.
func (s *session) check(m proto.Message, p *at) {
	if s.canonical(m.ProtoReflect()); s.deep {
		s.problem(p, "messages are in one another more than %d deep", maxNested)
		return
	}
	s.whole, s.raw = m, marshal(m)
	s.walk(m.ProtoReflect(), "", p)
	s.validate(m, p)
}

// bytes are a message's canonical bytes.
func (s *session) bytes(m proto.Message) []byte {
	if m == s.whole {
		return s.raw
	}
	return marshal(m)
}

// hash is the fingerprint of canonical bytes.
func hash(b []byte) (h config.Hash) {
	sum := sha256.Sum256(b)
	copy(h[:], sum[:])
	return h
}

// one reads a resource that stands alone.
func one[M proto.Message, C any](d *Decoder, m M, wire []byte, read func(*session, M, *at) C) (C, error) {
	s := d.session()
	if s.trust(m, wire) {
		if c := read(s, m, nil); !s.found() {
			return c, nil
		}
		s = d.session()
	}
	var c C
	if s.check(m, nil); !s.deep {
		c = read(s, m, nil)
	}
	if err := s.err(); err != nil {
		var none C
		return none, err
	}
	return c, nil
}

// Bootstrap reads a bootstrap with all its static resources. Clusters that a static route configuration names must be among them.
func (d *Decoder) Bootstrap(m *bootstrapv3.Bootstrap) (*config.Bootstrap, error) {
	s := d.session()
	s.allowUnknown = d.options.AllowUnknownFields
	s.check(m, nil)
	b := s.bootstrap(m, nil)
	if err := s.err(); err != nil {
		return nil, err
	}
	return b, nil
}

// Listener reads a listener.
func (d *Decoder) Listener(m *listenerv3.Listener) (*config.Listener, error) {
	return one(d, m, nil, (*session).listener)
}

// Cluster reads a cluster.
func (d *Decoder) Cluster(m *clusterv3.Cluster) (*config.Cluster, error) {
	return one(d, m, nil, (*session).cluster)
}

// RouteConfiguration reads a table of routes. Whether the clusters that it names exist is judged if it asks for that and
// Options.HasCluster can say.
func (d *Decoder) RouteConfiguration(m *routev3.RouteConfiguration) (*config.RouteConfiguration, error) {
	return one(d, m, nil, (*session).routeConfiguration)
}

// Assignment reads the endpoints of a cluster.
func (d *Decoder) Assignment(m *endpointv3.ClusterLoadAssignment) (*config.Assignment, error) {
	return one(d, m, nil, (*session).assignment)
}

// Secret reads a secret, and the files that it names.
func (d *Decoder) Secret(m *tlsv3.Secret) (*config.Secret, error) {
	return one(d, m, nil, (*session).secret)
}

// Wire reads any of the resources from protobuf's wire format: *config.Listener, *config.Cluster, *config.RouteConfiguration,
// *config.DubboRoutes, *config.Scope, *config.Assignment, *config.Secret, *config.Extension or *config.RuntimeValues, by the full name of its message. It keeps the bytes, which must not change from then on.
func (d *Decoder) Wire(message string, wire []byte) (any, error) {
	switch message {
	case "envoy.config.listener.v3.Listener":
		return fromWire(d, wire, &listenerv3.Listener{}, (*session).listener)
	case "envoy.config.cluster.v3.Cluster":
		return fromWire(d, wire, &clusterv3.Cluster{}, (*session).cluster)
	case "envoy.config.route.v3.RouteConfiguration":
		return fromWire(d, wire, &routev3.RouteConfiguration{}, (*session).routeConfiguration)
	case "envoy.extensions.filters.network.dubbo_proxy.v3.MultipleRouteConfiguration":
		return fromWire(d, wire, &dubbov3.MultipleRouteConfiguration{}, (*session).dubboRoutes)
	case "envoy.config.route.v3.ScopedRouteConfiguration":
		return fromWire(d, wire, &routev3.ScopedRouteConfiguration{}, (*session).scope)
	case "envoy.config.endpoint.v3.ClusterLoadAssignment":
		return fromWire(d, wire, &endpointv3.ClusterLoadAssignment{}, (*session).assignment)
	case "envoy.extensions.transport_sockets.tls.v3.Secret":
		return fromWire(d, wire, &tlsv3.Secret{}, (*session).secret)
	case "envoy.config.core.v3.TypedExtensionConfig":
		return fromWire(d, wire, &corev3.TypedExtensionConfig{}, (*session).extension)
	case "envoy.service.runtime.v3.Runtime":
		return fromWire(d, wire, &runtimev3.Runtime{}, (*session).layer)
	}
	return nil, Problems{{Text: fmt.Sprintf("%q is no resource", message)}}
}

func fromWire[M proto.Message, C any](d *Decoder, wire []byte, m M, read func(*session, M, *at) C) (any, error) {
	if err := proto.Unmarshal(wire, m); err != nil {
		return nil, Problems{{Text: fmt.Sprintf("not a %s: %v", m.ProtoReflect().Descriptor().Name(), plain(err))}}
	}
	c, err := one(d, m, wire, read)
	if err != nil {
		return nil, err
	}
	return c, nil
}
