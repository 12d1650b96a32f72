package translate

import (
	"slices"
	"strconv"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/xds/server"
)

// patcher carries patches out.
type patcher struct {
	role Role
	set  *patches
}

// patchOne carries patches out on a resource; nil: one of them takes it away. What none of them changes is the resource that it was.
func (t *Translator) patchOne(w *patcher, kind server.Kind, r *server.Resource) *server.Resource {
	m := newMessage(kind)
	if proto.Unmarshal(r.Body, m) != nil {
		return r
	}
	keep := true
	switch m := m.(type) {
	case *clusterv3.Cluster:
		keep = w.cluster(m)
	case *listenerv3.Listener:
		keep = w.listener(m)
	case *routev3.RouteConfiguration:
		w.table(tableContext(w.role, m.Name), m)
	case *routev3.VirtualHost:
		table, _, _ := strings.Cut(r.Name, "/")
		keep = w.host(tableContext(w.role, table), m)
	}
	if !keep {
		return nil
	}
	return t.message(kind, r.Name, m)
}

func newMessage(kind server.Kind) proto.Message {
	switch kind {
	case server.Clusters:
		return &clusterv3.Cluster{}
	case server.Listeners:
		return &listenerv3.Listener{}
	case server.Routes:
		return &routev3.RouteConfiguration{}
	}
	return &routev3.VirtualHost{}
}

// added are the messages that are added of a kind.
func (w *patcher) added(kind server.Kind) (list []proto.Message) {
	to := map[server.Kind]networking.EnvoyFilter_ApplyTo{server.Clusters: networking.EnvoyFilter_CLUSTER, server.Listeners: networking.EnvoyFilter_LISTENER, server.Extensions: networking.EnvoyFilter_EXTENSION_CONFIG}[kind]
	for _, p := range w.set.by[to] {
		context := p.GetMatch().GetContext()
		mine := context == networking.EnvoyFilter_ANY || (context == networking.EnvoyFilter_GATEWAY) == (w.role == Gateway)
		if p.operation() == networking.EnvoyFilter_Patch_ADD && mine {
			list = append(list, p.value)
		}
	}
	return list
}

// meant tells whether a patch is for what is in a context.
func meant(p *patch, context networking.EnvoyFilter_PatchContext) bool {
	c := p.GetMatch().GetContext()
	return c == networking.EnvoyFilter_ANY || c == context
}

// contextOf gives the context of a gateway, or the one that is meant of a sidecar.
func contextOf(role Role, inbound bool) networking.EnvoyFilter_PatchContext {
	switch {
	case role == Gateway:
		return networking.EnvoyFilter_GATEWAY
	case inbound:
		return networking.EnvoyFilter_SIDECAR_INBOUND
	}
	return networking.EnvoyFilter_SIDECAR_OUTBOUND
}

// onto carries a patch out on what it is for, and says whether that stays.
func (p *patch) onto(m proto.Message) bool {
	if merges, replacing := p.merges(); merges {
		merge(m.ProtoReflect(), p.value.ProtoReflect(), replacing)
	}
	return p.operation() != networking.EnvoyFilter_Patch_REMOVE
}

// cluster says whether it stays.
func (w *patcher) cluster(c *clusterv3.Cluster) bool {
	context := contextOf(w.role, strings.HasPrefix(c.Name, "inbound|") || c.Name == inboundPassthroughCluster)
	name := c.Name
	for _, p := range w.set.by[networking.EnvoyFilter_CLUSTER] {
		if !meant(p, context) || !clusterMatches(p.GetMatch().GetCluster(), name) {
			continue
		}
		if !p.onto(c) {
			return false
		}
	}
	return true
}

// clusterMatches holds what a patch asks for against a cluster's name, which says all of it.
func clusterMatches(m *networking.EnvoyFilter_ClusterMatch, name string) bool {
	if m == nil {
		return true
	}
	if m.Name != "" {
		return m.Name == name
	}
	parts := strings.SplitN(name, "|", 4)
	if len(parts) < 4 {
		return m.Service == "" && m.Subset == "" && m.PortNumber == 0
	}
	return (m.Service == "" || m.Service == parts[3]) && (m.Subset == "" || m.Subset == parts[2]) && (m.PortNumber == 0 || portText(m.PortNumber) == parts[1])
}

// listener says whether it stays.
func (w *patcher) listener(l *listenerv3.Listener) bool {
	context := contextOf(w.role, l.TrafficDirection == corev3.TrafficDirection_INBOUND)
	for _, p := range w.set.by[networking.EnvoyFilter_LISTENER] {
		if !meant(p, context) || !listenerMatches(p, l) {
			continue
		}
		if !p.onto(l) {
			return false
		}
	}
	l.ListenerFilters = insert(l.ListenerFilters, w.set.by[networking.EnvoyFilter_LISTENER_FILTER], func(p *patch) bool { return meant(p, context) && listenerMatches(p, l) }, func(p *patch) string {
		return p.GetMatch().GetListener().GetListenerFilter()
	}, nil)
	chains := slices.Clone(l.FilterChains)
	if l.DefaultFilterChain != nil {
		chains = append(chains, l.DefaultFilterChain)
	}
	gone := map[*listenerv3.FilterChain]bool{}
	for _, p := range w.set.by[networking.EnvoyFilter_FILTER_CHAIN] {
		if !meant(p, context) || !listenerMatches(p, l) {
			continue
		}
		for _, c := range chains {
			if !gone[c] && chainMatches(p, l, c) {
				gone[c] = !p.onto(c)
			}
		}
		if p.operation() == networking.EnvoyFilter_Patch_ADD {
			l.FilterChains = append(l.FilterChains, proto.Clone(p.value).(*listenerv3.FilterChain))
		}
	}
	l.FilterChains = slices.DeleteFunc(l.FilterChains, func(c *listenerv3.FilterChain) bool { return gone[c] })
	if gone[l.DefaultFilterChain] {
		l.DefaultFilterChain = nil
	}
	for _, c := range chains {
		if !gone[c] {
			w.chain(context, l, c)
		}
	}
	return len(l.FilterChains) > 0 || l.DefaultFilterChain != nil // without any a proxy would refuse it
}

// chain patches the filters of a chain, and what is in them.
func (w *patcher) chain(context networking.EnvoyFilter_PatchContext, l *listenerv3.Listener, c *listenerv3.FilterChain) {
	here := func(p *patch) bool { return meant(p, context) && listenerMatches(p, l) && chainMatches(p, l, c) }
	c.Filters = insert(c.Filters, w.set.by[networking.EnvoyFilter_NETWORK_FILTER], here, func(p *patch) string {
		return p.GetMatch().GetListener().GetFilterChain().GetFilter().GetName()
	}, nil)
	if !w.set.any(networking.EnvoyFilter_HTTP_FILTER, networking.EnvoyFilter_ROUTE_CONFIGURATION, networking.EnvoyFilter_VIRTUAL_HOST, networking.EnvoyFilter_HTTP_ROUTE) {
		return
	}
	for _, f := range c.Filters {
		m := &hcmv3.HttpConnectionManager{}
		if !f.GetTypedConfig().MessageIs(m) || f.GetTypedConfig().UnmarshalTo(m) != nil {
			continue
		}
		m.HttpFilters = insert(m.HttpFilters, w.set.by[networking.EnvoyFilter_HTTP_FILTER], func(p *patch) bool {
			asked := p.GetMatch().GetListener().GetFilterChain().GetFilter()
			return here(p) && (asked.GetName() == "" || plainName(asked.GetName()) == plainName(f.Name))
		}, func(p *patch) string {
			return p.GetMatch().GetListener().GetFilterChain().GetFilter().GetSubFilter().GetName()
		}, addPlace)
		if r := m.GetRouteConfig(); r != nil {
			w.table(tableContext(w.role, r.Name), r)
		}
		f.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: wrap(m)}
	}
}

// listenerMatches holds what a patch asks for against a listener. The ports of the listener that takes all inbound traffic are its chains'.
func listenerMatches(p *patch, l *listenerv3.Listener) bool {
	m := p.GetMatch().GetListener()
	if m.GetName() != "" && m.GetName() != l.Name {
		return false
	}
	return m.GetPortNumber() == 0 || l.Name == virtualInbound || l.GetAddress().GetSocketAddress().GetPortValue() == m.GetPortNumber()
}

// chainMatches does so with one of its chains.
func chainMatches(p *patch, l *listenerv3.Listener, c *listenerv3.FilterChain) bool {
	m := p.GetMatch().GetListener()
	if l.Name == virtualInbound && m.GetPortNumber() != 0 && c.GetFilterChainMatch().GetDestinationPort().GetValue() != m.GetPortNumber() {
		return false
	}
	asked, is := m.GetFilterChain(), c.GetFilterChainMatch()
	switch {
	case asked.GetName() != "" && asked.GetName() != c.Name,
		asked.GetSni() != "" && !slices.Contains(is.GetServerNames(), asked.GetSni()),
		asked.GetTransportProtocol() != "" && asked.GetTransportProtocol() != is.GetTransportProtocol(),
		asked.GetDestinationPort() != 0 && asked.GetDestinationPort() != is.GetDestinationPort().GetValue():
		return false
	}
	if asked.GetApplicationProtocols() != "" {
		for one := range strings.SplitSeq(asked.GetApplicationProtocols(), ",") {
			if !slices.Contains(is.GetApplicationProtocols(), strings.TrimSpace(one)) {
				return false
			}
		}
	}
	// Of a chain without the filter that is asked for nothing is changed, whatever is.
	if name := asked.GetFilter().GetName(); name != "" && p.GetApplyTo() == networking.EnvoyFilter_FILTER_CHAIN {
		return slices.ContainsFunc(c.Filters, func(f *listenerv3.Filter) bool { return plainName(f.Name) == plainName(name) })
	}
	return true
}

// firstNames are those that filters had at first and that patches may still say, by those that they have here.
var firstNames = map[string]string{
	"envoy.http_connection_manager": "envoy.filters.network.http_connection_manager",
	"envoy.tcp_proxy":               "envoy.filters.network.tcp_proxy",
	"envoy.router":                  "envoy.filters.http.router",
	"envoy.cors":                    filterCORS,
	"envoy.fault":                   filterFault,
	"envoy.grpc_web":                "envoy.filters.http.grpc_web",
}

// plainName is a filter's name today.
func plainName(name string) string {
	if today, old := firstNames[name]; old {
		return today
	}
	return name
}

// named is something in a list whose order counts.
type named interface {
	proto.Message
	GetName() string
}

// insert carries patches out on a list of filters or routes. anchor is the name that a patch goes by; place, where what is only added goes: nil: before
// the last, which is the one that ends a chain.
func insert[T named](list []T, all []*patch, here func(*patch) bool, anchor func(*patch) string, place func([]T, *patch) int) []T {
	for _, p := range all {
		if !here(p) {
			continue
		}
		name := plainName(anchor(p))
		at := slices.IndexFunc(list, func(one T) bool { return name != "" && plainName(one.GetName()) == name })
		value := func() T { return proto.Clone(p.value).(T) }
		merges, replacing := p.merges()
		switch op := p.operation(); {
		case op == networking.EnvoyFilter_Patch_ADD:
			to := max(len(list)-1, 0)
			if place != nil {
				to = place(list, p)
			}
			list = slices.Insert(list, to, value())
		case op == networking.EnvoyFilter_Patch_INSERT_FIRST && (name == "" || at >= 0), op == networking.EnvoyFilter_Patch_INSERT_BEFORE && name == "":
			list = slices.Insert(list, 0, value())
		case op == networking.EnvoyFilter_Patch_INSERT_BEFORE && at >= 0:
			list = slices.Insert(list, at, value())
		case op == networking.EnvoyFilter_Patch_INSERT_AFTER && name == "":
			list = append(list, value())
		case op == networking.EnvoyFilter_Patch_INSERT_AFTER && at >= 0:
			list = slices.Insert(list, at+1, value())
		case op == networking.EnvoyFilter_Patch_REMOVE && at >= 0:
			list = slices.Delete(list, at, at+1)
		case op == networking.EnvoyFilter_Patch_REPLACE && at >= 0:
			list[at] = value()
		case merges && at >= 0:
			merge(list[at].ProtoReflect(), p.value.ProtoReflect(), replacing)
		}
	}
	return list
}

// addPlace is where a filter goes that is only added: by its class, and before the router.
func addPlace(list []*hcmv3.HttpFilter, p *patch) int {
	after := func(names ...string) int {
		for i := len(list) - 1; i >= 0; i-- {
			if slices.Contains(names, list[i].Name) {
				return i + 1
			}
		}
		return 0
	}
	const peers, tokens, access = "istio.metadata_exchange", "envoy.filters.http.jwt_authn", "envoy.filters.http.rbac"
	switch p.GetPatch().GetFilterClass() {
	case networking.EnvoyFilter_Patch_AUTHN:
		return after(tokens, peers)
	case networking.EnvoyFilter_Patch_AUTHZ:
		return after(access, tokens, peers)
	}
	return max(len(list)-1, 0)
}

// tableAt is a table's context, and what a patch may ask of it.
type tableAt struct {
	context       networking.EnvoyFilter_PatchContext
	name, gateway string
	port          uint32
}

// tableContext reads a table's name.
func tableContext(role Role, name string) *tableAt {
	at := &tableAt{context: contextOf(role, strings.HasPrefix(name, "inbound|")), name: name}
	number := name
	switch parts := strings.Split(name, "."); {
	case strings.HasPrefix(name, "inbound|"):
		number, _, _ = strings.Cut(strings.TrimPrefix(name, "inbound|"), "|")
	case role == Gateway && parts[0] == "https" && len(parts) > 4:
		number, at.gateway = parts[1], parts[len(parts)-1]+"/"+strings.Join(parts[3:len(parts)-1], ".")
	case role == Gateway && len(parts) == 2:
		number = parts[1]
	default:
		number = name[strings.LastIndexByte(name, ':')+1:]
	}
	if n, err := strconv.ParseUint(number, 10, 16); err == nil {
		at.port = uint32(n)
	}
	return at
}
