package source

import (
	"regexp"
	"strings"

	bootstrap "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	connectionmanager "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	networking "istio.io/api/networking/v1alpha3"
)

// maxPatchPattern bounds the regular expressions in a patch, which are Envoy's own: more than Istio's may have, since some that long are in use.
const maxPatchPattern = 16 << 10 // bytes

// maxPatch bounds a value, in bytes of protobuf: it may be put into each of thousands of clusters or chains, and is there as often for each kind of proxy.
const maxPatch = 128 << 10

const managerName = "envoy.filters.network.http_connection_manager"

// Patched is a new message of what a patch of an EnvoyFilter is put into; nil: nothing is known by that name.
func Patched(to networking.EnvoyFilter_ApplyTo) proto.Message {
	switch to {
	case networking.EnvoyFilter_LISTENER:
		return &listener.Listener{}
	case networking.EnvoyFilter_FILTER_CHAIN:
		return &listener.FilterChain{}
	case networking.EnvoyFilter_LISTENER_FILTER:
		return &listener.ListenerFilter{}
	case networking.EnvoyFilter_NETWORK_FILTER:
		return &listener.Filter{}
	case networking.EnvoyFilter_HTTP_FILTER:
		return &connectionmanager.HttpFilter{}
	case networking.EnvoyFilter_ROUTE_CONFIGURATION:
		return &route.RouteConfiguration{}
	case networking.EnvoyFilter_VIRTUAL_HOST:
		return &route.VirtualHost{}
	case networking.EnvoyFilter_HTTP_ROUTE:
		return &route.Route{}
	case networking.EnvoyFilter_CLUSTER:
		return &cluster.Cluster{}
	case networking.EnvoyFilter_EXTENSION_CONFIG:
		return &core.TypedExtensionConfig{}
	case networking.EnvoyFilter_BOOTSTRAP:
		return &bootstrap.Bootstrap{}
	}
	return nil
}

func (c *checker) envoyFilter(e *networking.EnvoyFilter) {
	c.selector("workloadSelector.labels", e.WorkloadSelector != nil, e.WorkloadSelector.GetLabels())
	c.targets(nil, nil, e.TargetRefs)
	if e.WorkloadSelector != nil && len(e.TargetRefs) > 0 {
		c.bad("targetRefs", "only one of targetRefs or workloadSelector can be set")
	}
	each(c, "configPatches", e.ConfigPatches, func(_ int, p *networking.EnvoyFilter_EnvoyConfigObjectPatch) {
		switch {
		case p.Match.GetContext() == networking.EnvoyFilter_WAYPOINT:
			c.warn("match.context", "WAYPOINT concerns nobody: there are no waypoints here")
		case Patched(p.ApplyTo) == nil:
			c.bad("applyTo", "missing applyTo, or one that is not known: %v", p.ApplyTo)
		case p.Patch == nil:
			c.bad("patch", "missing patch")
		case p.Patch.Operation == networking.EnvoyFilter_Patch_INVALID:
			c.bad("patch.operation", "missing patch operation")
		case p.Patch.Operation != networking.EnvoyFilter_Patch_REMOVE && p.Patch.Value == nil:
			c.bad("patch.value", "missing patch value for non-remove operation")
		default:
			c.patchMatch(p)
			c.patchValue(p)
		}
	})
}

func (c *checker) patchMatch(p *networking.EnvoyFilter_EnvoyConfigObjectPatch) {
	m := p.Match
	if m == nil {
		return
	}
	c.at("match")
	defer c.up()
	if v := m.Proxy.GetProxyVersion(); v != "" {
		c.fault("proxy.proxyVersion", anyPattern(v, maxPattern))
	}
	var fits bool
	var class string
	switch p.ApplyTo {
	case networking.EnvoyFilter_LISTENER, networking.EnvoyFilter_FILTER_CHAIN, networking.EnvoyFilter_NETWORK_FILTER, networking.EnvoyFilter_HTTP_FILTER,
		networking.EnvoyFilter_LISTENER_FILTER:
		fits, class = m.GetListener() != nil, "listener"
	case networking.EnvoyFilter_ROUTE_CONFIGURATION, networking.EnvoyFilter_VIRTUAL_HOST, networking.EnvoyFilter_HTTP_ROUTE:
		fits, class = m.GetRouteConfiguration() != nil, "routeConfiguration"
	case networking.EnvoyFilter_CLUSTER:
		fits, class = m.GetCluster() != nil, "cluster"
	default:
		return
	}
	if m.ObjectTypes != nil && !fits {
		c.bad("", "applyTo %v can have a match of a %s only", p.ApplyTo, class)
		return
	}
	f := m.GetListener().GetFilterChain().GetFilter()
	if f == nil {
		return
	}
	c.at("listener.filterChain.filter")
	defer c.up()
	if p.ApplyTo == networking.EnvoyFilter_LISTENER || p.ApplyTo == networking.EnvoyFilter_FILTER_CHAIN {
		c.warn("", "filter match has no effect when used with %v", p.ApplyTo)
	}
	switch {
	case f.Name == "":
		c.bad("name", "filter match has no name to match on")
	case f.SubFilter == nil:
	case p.ApplyTo != networking.EnvoyFilter_HTTP_FILTER:
		c.bad("subFilter", "subfilter match can be used with applyTo HTTP_FILTER only")
	case f.Name != managerName && f.Name != "envoy.http_connection_manager":
		c.bad("name", "subfilter match requires filter match with %s", managerName)
	case f.SubFilter.Name == "":
		c.bad("subFilter.name", "subfilter match has no name to match on")
	}
}

// patchValue checks that a value can be what it is put into. A field that is not known here is a warning, as at Istio's: it cannot be sent on.
func (c *checker) patchValue(p *networking.EnvoyFilter_EnvoyConfigObjectPatch) {
	if p.Patch.Value == nil {
		return
	}
	c.at("patch.value")
	defer c.up()
	m, dropped, err := PatchValue(p.ApplyTo, p.Patch.Value)
	if err != nil {
		c.bad("", "%s", err)
		return
	}
	if dropped != "" {
		c.warn("", "%s: it is left out", dropped)
	}
	whole := walkMessages(m, 0, func(one proto.Message) bool {
		x, is := one.(*matcher.RegexMatcher)
		if is {
			if err := anyPattern(x.Regex, maxPatchPattern); err != nil {
				c.bad("", "%v", err)
				return false
			}
		}
		return true
	})
	if n := proto.Size(m); whole && n > maxPatch {
		c.bad("", "has %d bytes: want %d at most, since it may go into each cluster of a mesh; what is larger belongs into a file, or is served by itself (ECDS)", n, maxPatch)
	}
}

// PatchValue reads a patch's value as what it is put into. What it says of a field that is not known is left out and said.
func PatchValue(to networking.EnvoyFilter_ApplyTo, value *structpb.Struct) (m proto.Message, dropped string, err error) {
	m = Patched(to)
	text, err := protojson.Marshal(patchDurations(value, m.ProtoReflect().Descriptor()))
	if err != nil {
		return nil, "", err
	}
	first := strict.Unmarshal(text, m)
	if first == nil {
		return m, "", nil
	}
	m = Patched(to)
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(text, m); err != nil {
		return nil, "", patchError(err)
	}
	return m, patchError(first).Error(), nil
}

// anyType is what protobuf's reader says of a type that it does not know.
var anyType = regexp.MustCompile(`unable to resolve "([^"]*)"`)

type patchFault string

func (p patchFault) Error() string { return string(p) }

// patchError says what protobuf's reader says, without where it was in a text that nobody has seen.
func patchError(err error) error {
	text := strings.ReplaceAll(err.Error(), "\u00a0", " ")
	if m := anyType.FindStringSubmatch(text); m != nil {
		text = "referenced type unknown: " + short(m[1])
		if strings.Contains(m[1], ".v2.") {
			text += " (try the v3 API)"
		}
		return patchFault(text)
	}
	if at := protoText.FindStringIndex(text); at != nil {
		text = text[at[1]:]
	}
	return patchFault(short(strings.TrimPrefix(text, "proto: ")))
}

// walkMessages visits a message and all that are in it, also those that are packed, until one says that it is enough.
func walkMessages(m proto.Message, depth int, visit func(proto.Message) bool) (more bool) {
	if depth > maxDepth {
		return true
	}
	if more = visit(m); !more {
		return false
	}
	if a, is := m.(*anypb.Any); is {
		inner, err := a.UnmarshalNew()
		return err != nil || walkMessages(inner, depth+1, visit)
	}
	m.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsMap():
			if f.MapValue().Message() != nil {
				v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
					more = walkMessages(v.Message().Interface(), depth+1, visit)
					return more
				})
			}
		case f.Message() == nil:
		case f.IsList():
			for i := range v.List().Len() {
				if more = walkMessages(v.List().Get(i).Message().Interface(), depth+1, visit); !more {
					break
				}
			}
		default:
			more = walkMessages(v.Message().Interface(), depth+1, visit)
		}
		return more
	})
	return more
}
