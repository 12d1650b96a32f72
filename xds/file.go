package xds

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/xds/decode"
)

// Kind is a type of resource.
type Kind uint8

// The kinds that come from files.
const (
	Routes Kind = iota
	Endpoints
	Clusters
	Listeners
	Secrets
	Extensions   // configurations of filters
	Runtimes     // layers of runtime values
	Scopes       // of connection managers that choose among tables
	VirtualHosts // that requests have missed
	DubboRoutes
	Names // what names mean, for whoever answers the pod's questions; never from files
)

// kinds are all of them, in the order in which what came together is taken: whoever is named before who names it.
var kinds = [...]Kind{Runtimes, Clusters, Endpoints, Secrets, Extensions, Listeners, Scopes, Routes, DubboRoutes, VirtualHosts, Names}

// Message is the full name of the protobuf message.
func (k Kind) Message() string {
	return [...]string{"envoy.config.route.v3.RouteConfiguration", "envoy.config.endpoint.v3.ClusterLoadAssignment",
		"envoy.config.cluster.v3.Cluster", "envoy.config.listener.v3.Listener", "envoy.extensions.transport_sockets.tls.v3.Secret",
		"envoy.config.core.v3.TypedExtensionConfig", "envoy.service.runtime.v3.Runtime", "envoy.config.route.v3.ScopedRouteConfiguration", "envoy.config.route.v3.VirtualHost",
		"envoy.extensions.filters.network.dubbo_proxy.v3.MultipleRouteConfiguration", "istio.networking.nds.v1.NameTable"}[k]
}

// String is the message's own name.
func (k Kind) String() string { return string(protoreflect.FullName(k.Message()).Name()) }

// routes says that the resources are tables of routes.
func (k Kind) routes() bool { return k == Routes || k == DubboRoutes }

// content is what one reading of a file brought.
type content struct {
	version   string
	resources map[string]resource // by name; those that were read, even if others were not
	order     []string            // their names
	// faults say why the content is not taken; unreadable that it was no configuration at all.
	faults     Faults
	unreadable bool
}

// resource is one resource of a file.
type resource struct {
	value any // *config.RouteConfiguration, *config.DubboRoutes, *config.Assignment, *config.Cluster, *config.Listener, *config.Secret, *config.Extension, *config.RuntimeValues or *config.Scope; nil if it is faulty. Of a file of scopes, a []*config.Scope
	wire  []byte
}

// responseKeys are the fields of a DiscoveryResponse. A file has use for the first three; the others concern a conversation.
var responseKeys = []string{"version_info", "resources", "type_url", "canary", "nonce", "control_plane", "resource_errors"}

// readContent reads a DiscoveryResponse in YAML or JSON.
func readContent(d *decode.Decoder, path string, kind Kind) content {
	fail := func(line int, format string, args ...any) content {
		return content{faults: Faults{{File: path, Line: line, Text: fmt.Sprintf(format, args...)}}, unreadable: true}
	}
	b, err := readBounded(path)
	if err != nil {
		return fail(0, "%v", err)
	}
	var root *node
	switch formatOf(path) {
	case formatYAML:
		root, err = parseYAML(b)
	case formatJSON:
		root, err = parseJSON(b)
	default:
		return fail(0, "want a file in YAML (.yaml, .yml) or JSON")
	}
	if err != nil {
		var at *textError
		errors.As(err, &at)
		return fail(at.line, "%s", at.text)
	}
	if root.kind != objectNode {
		return fail(root.line, "want a DiscoveryResponse, an object with version_info and resources, not %s", root.kind)
	}

	c := content{resources: map[string]resource{}}
	r := messageReader{file: path}
	var resources *node
	seen := map[string]bool{}
	for i, k := range root.keys {
		v, key := root.items[i], k.text
		for _, known := range responseKeys {
			if sameField(key, known) {
				key = known
			}
		}
		if seen[key] {
			r.fault(k, key, "is set twice")
		}
		seen[key] = true
		switch {
		case !slices.Contains(responseKeys, key):
			r.fault(k, key, "DiscoveryResponse has no field %q%s", key, nearest(key, responseKeys))
		case v.kind == nullNode:
		case key == "version_info":
			if v.kind != stringNode {
				r.fault(v, key, "want a string, not %s: put it in quotes", v.show())
			}
			c.version = v.text
		case key == "type_url":
			if v.text != "" && v.text[strings.LastIndexByte(v.text, '/')+1:] != kind.Message() {
				r.fault(v, key, "want type.googleapis.com/%s, not %s", kind.Message(), v.show())
			}
		case key == "resources":
			resources = v
		}
	}
	if resources != nil {
		items := resources.items
		if resources.kind != listNode {
			items = []*node{resources}
		}
		for i, n := range items {
			c.resource(d, &r, text{path, root}, n, kind, "resources["+strconv.Itoa(i)+"]")
		}
	}
	c.faults = r.faults
	return c
}

// resource reads one resource and adds it.
func (c *content) resource(d *decode.Decoder, r *messageReader, t text, n *node, kind Kind, path string) {
	before := len(r.faults)
	a := &anypb.Any{}
	r.any(a, n, path)
	if len(r.faults) > before {
		return
	}
	if name := string(a.MessageName()); name != kind.Message() {
		r.fault(n, path, "want a resource with \"@type\": type.googleapis.com/%s, not %q", kind.Message(), name)
		return
	}
	v, err := d.Wire(kind.Message(), a.GetValue())
	if err != nil {
		for _, p := range problemsOf(err) {
			p.Path = join(path+"("+kind.String()+")", p.Path)
			r.faults = append(r.faults, locate([]text{t}, decode.Problems{p})...)
		}
		if name := resourceName(a); name != "" {
			c.resources[name] = resource{wire: a.GetValue()}
		}
		return
	}
	if table, ok := v.(*config.RouteConfiguration); ok && table.Hosts != nil {
		r.fault(n, join(path+"("+kind.String()+")", "vhds"), "virtual hosts come for tables that come over a stream themselves")
		return
	}
	name, _, wire := identity(v)
	if _, ok := c.resources[name]; ok {
		r.fault(n, path, "%s %q is in the file twice", kind, name)
		return
	}
	c.resources[name] = resource{v, wire}
	c.order = append(c.order, name)
}

// identity is what every resource has: its name, its bytes, and the fingerprint of all that it says, which may be more than its bytes. Tables
// of routes and assignments have none: they say no more than their bytes, and change so often that to make one would cost more than to compare.
func identity(v any) (name string, hash config.Hash, raw []byte) {
	switch v := v.(type) {
	case *config.RouteConfiguration:
		return v.Name, config.Hash{}, v.Raw
	case *config.DubboRoutes:
		return v.Name, config.Hash{}, v.Raw
	case *config.Assignment:
		return v.Name, config.Hash{}, v.Raw
	case *config.Cluster:
		return v.Name, v.Hash, v.Raw
	case *config.Listener:
		return v.Name, v.Hash, v.Raw
	case *config.Secret:
		return v.Name, v.Hash, v.Raw
	case *config.Extension:
		return v.Name, v.Hash, v.Raw
	case *config.RuntimeValues:
		return v.Name, v.Hash, v.Raw
	case *config.Scope:
		return v.Name, v.Hash, v.Raw
	case []byte: // of a virtual host, which is read with its table
		return "", config.Hash{}, v
	}
	return "", config.Hash{}, nil
}

// of is one resource of a file, or why there is none.
func (c *content) of(f *file, name string) (resource, Faults) {
	if f.kind == Scopes {
		return c.scopes(f.Path)
	}
	r, faults := c.resources[name], c.faults
	if len(faults) == 0 && r.value == nil {
		faults = c.missing(f.Path, f.kind, name)
	}
	return r, faults
}

// wires are the resources of a file as they were read, by name.
func (c *content) wires() map[string][]byte {
	all := map[string][]byte{}
	for name, r := range c.resources {
		all[name] = r.wire
	}
	return all
}

// resourceName is the name of a resource that is faulty, to show it under its name.
func resourceName(a *anypb.Any) string {
	m, err := anypb.UnmarshalNew(a, proto.UnmarshalOptions{})
	if err != nil {
		return ""
	}
	for _, field := range []protoreflect.Name{"name", "cluster_name"} {
		if f := m.ProtoReflect().Descriptor().Fields().ByName(field); f != nil {
			return m.ProtoReflect().Get(f).String()
		}
	}
	return ""
}

// missing says that a file is good and lacks a resource.
func (c *content) missing(path string, kind Kind, name string) Faults {
	has := "it holds none"
	if len(c.resources) > 0 {
		var names []string
		for _, n := range slices.Sorted(maps.Keys(c.resources)) {
			names = append(names, strconv.Quote(n))
		}
		has = "it holds " + strings.Join(names[:min(len(names), 10)], ", ")
	}
	return Faults{{File: path, Path: "resources", Text: fmt.Sprintf("%s %q is missing; %s", kind, name, has)}}
}
