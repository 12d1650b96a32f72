package sidecars

import (
	"cmp"
	"context"
	"maps"
	"sync"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	managerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/xds/stream"
)

// What a sidecar asks for.
const (
	clusters  = "envoy.config.cluster.v3.Cluster"
	endpoints = "envoy.config.endpoint.v3.ClusterLoadAssignment"
	listeners = "envoy.config.listener.v3.Listener"
	routes    = "envoy.config.route.v3.RouteConfiguration"
	hosts     = "envoy.config.route.v3.VirtualHost"
)

// sidecar is one of many.
type sidecar struct {
	crowd  *crowd
	stream *stream.Stream
	wants  map[string]map[string]bool // names, by kind, that it has asked for
	waits  map[named]bool             // for what it has asked and of which nothing has come
	byHost bool                       // it has asked for virtual hosts
}

// named is something of a kind; no name: all of it.
type named struct{ kind, name string }

// versioned is a resource.
type versioned struct{ name, version string }

// crowd are all of them, and what has come to them since it was last asked.
type crowd struct {
	mu       sync.Mutex
	all      []*sidecar
	waiting  int // for a first answer about something
	heard    map[*sidecar]int
	bytes    int
	last     time.Time
	changed  chan struct{} // has room for one
	failures []string
	// named are what a resource makes a proxy ask for, by its version, which is one of its bytes: who is of the same view is told the same.
	named map[versioned][]string
}

func newCrowd() *crowd {
	return &crowd{heard: map[*sidecar]int{}, changed: make(chan struct{}, 1), named: map[versioned][]string{}}
}

// join adds a sidecar, which speaks until the context ends.
func (c *crowd) join(ctx context.Context, server *config.Cluster, node *corev3.Node) {
	s := &sidecar{crowd: c, wants: map[string]map[string]bool{}, waits: map[named]bool{}}
	s.stream = stream.New(stream.Options{Server: server, Node: node, Delta: true, Once: true, Hear: s.hear, Secrets: func() map[string]*config.Secret { return nil }})
	c.mu.Lock()
	c.all = append(c.all, s)
	s.await(clusters, "")
	c.mu.Unlock()
	s.stream.Want(clusters, true, nil)
	go s.stream.Run(ctx)
}

// await notes that something is to come. It is called with the crowd's lock held.
func (s *sidecar) await(kind, name string) {
	if len(s.waits) == 0 {
		s.crowd.waiting++
	}
	s.waits[named{kind, name}] = true
}

func (s *sidecar) came(kind, name string) {
	if len(s.waits) == 0 {
		return
	}
	if delete(s.waits, named{kind, name}); len(s.waits) == 0 {
		s.crowd.waiting--
	}
}

// hear takes what the control plane says. As a proxy does, it asks for endpoints before it answers for clusters, and for routes before listeners.
func (s *sidecar) hear(_ context.Context, e stream.Event) {
	c := s.crowd
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.Err != nil {
		c.fail(e.Err.Error())
		return
	}
	r := e.Response
	before := len(s.waits)
	switch r.Message {
	case clusters:
		s.follow(r, endpoints, edsName)
		if s.wants[listeners] == nil {
			s.wants[listeners] = map[string]bool{}
			s.await(listeners, "")
			s.stream.Want(listeners, true, nil)
		}
		s.came(clusters, "")
	case listeners:
		s.follow(r, routes, tableNames)
		s.came(listeners, "")
	case routes:
		for i := range r.Resources {
			s.came(routes, r.Resources[i].Name)
			if !s.byHost && c.names(&r.Resources[i], vhds) != nil {
				s.byHost = true
				s.await(hosts, "")
				s.stream.Want(hosts, true, nil)
			}
		}
	case endpoints:
		for i := range r.Resources {
			s.came(endpoints, r.Resources[i].Name)
		}
	case hosts:
		s.came(hosts, "")
	}
	for _, name := range r.Removed {
		s.came(r.Message, name)
	}
	for i := range r.Resources {
		c.bytes += len(r.Resources[i].Wire)
	}
	s.stream.Answer(r, nil, "")
	c.heard[s]++
	c.last = time.Now()
	if before > 0 && len(s.waits) == 0 || c.waiting == 0 {
		c.poke()
	}
}

func (c *crowd) fail(text string) {
	if len(c.failures) < 10 {
		c.failures = append(c.failures, text)
	}
	c.poke()
}

func (c *crowd) poke() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// follow asks for what resources name of another kind, besides what was named before.
func (s *sidecar) follow(r *stream.Response, kind string, of func([]byte) []string) {
	before := s.wants[kind]
	all := before
	for i := range r.Resources {
		for _, name := range s.crowd.names(&r.Resources[i], of) {
			if all[name] {
				continue
			}
			if len(all) == len(before) { // the stream has what it was given
				if all = maps.Clone(before); all == nil {
					all = make(map[string]bool, len(r.Resources))
				}
			}
			all[name] = true
			s.await(kind, name)
		}
	}
	if s.wants[kind] = all; len(all) > len(before) {
		s.stream.Want(kind, false, all)
	}
}

// names finds what a resource names, once for each version.
func (c *crowd) names(r *stream.Resource, of func([]byte) []string) []string {
	key := versioned{r.Name, r.Version}
	list, known := c.named[key]
	if !known {
		list = of(r.Wire)
		c.named[key] = list
	}
	return list
}

// edsName is what a cluster's endpoints are asked for by; nothing: they are in it.
func edsName(b []byte) []string {
	c := &clusterv3.Cluster{}
	if proto.Unmarshal(b, c) != nil || c.GetEdsClusterConfig() == nil {
		return nil
	}
	return []string{cmp.Or(c.GetEdsClusterConfig().GetServiceName(), c.GetName())}
}

// tableNames are the route tables that a listener names.
func tableNames(b []byte) (list []string) {
	l := &listenerv3.Listener{}
	if proto.Unmarshal(b, l) != nil {
		return nil
	}
	for _, chain := range append(l.GetFilterChains(), l.GetDefaultFilterChain()) {
		for _, f := range chain.GetFilters() {
			m := &managerv3.HttpConnectionManager{}
			if f.GetTypedConfig().MessageIs(m) && f.GetTypedConfig().UnmarshalTo(m) == nil && m.GetRds() != nil {
				list = append(list, m.GetRds().GetRouteConfigName())
			}
		}
	}
	return list
}

// vhds says of a table whether its virtual hosts come one by one.
func vhds(b []byte) []string {
	t := &routev3.RouteConfiguration{}
	if proto.Unmarshal(b, t) != nil || t.GetVhds() == nil {
		return nil
	}
	return []string{""}
}
