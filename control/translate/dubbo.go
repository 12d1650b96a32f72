package translate

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	dubbov3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/dubbo_proxy/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"
	networking "istio.io/api/networking/v1alpha3"

	dubbov1 "github.com/weftmesh/weft/api/dubbo/v1"
	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
)

// Names of what sees calls, and of what a route has to say beyond Envoy's words, which only weft reads.
const (
	filterDubboRules  = "weft.filters.dubbo.rbac"
	filterDubboRouter = "envoy.filters.dubbo.router"
	dubboMore         = "weft.dubbo"
)

// dubboStatistics are what statistics of calls are called, as ASM spells it: dashboards ask for envoy_dubbo_dubbo_incomming_stats_outbound_20880_request.
func dubboStatistics(direction string, port uint32) string {
	return "dubbo_incomming_stats_" + direction + "_" + portText(port)
}

// dubboProxy takes calls to a port. What policies ask of requests weft asks of each call, and an Envoy as much as can be asked of a connection.
func (k *connections) dubboProxy(direction string, port uint32, g *guards, services []*dubbov3.RouteConfiguration) []*listenerv3.Filter {
	p := &dubbov3.DubboProxy{StatPrefix: dubboStatistics(direction, port), RouteSpecifier: &dubbov3.DubboProxy_MultipleRouteConfig{
		MultipleRouteConfig: &dubbov3.MultipleRouteConfiguration{Name: direction + "_" + portText(port), RouteConfig: services},
	}}
	proxy := func() []*listenerv3.Filter {
		return append(k.metered.tcp(), networkFilter("envoy.filters.network.dubbo_proxy", p))
	}
	if !k.traits.Weft {
		return k.guarded(port, g, proxy())
	}
	for _, rules := range requestRules(k.settings, g.access) {
		p.DubboFilters = append(p.DubboFilters, &dubbov3.DubboFilter{Name: filterDubboRules, Config: wrap(rules)})
	}
	if logs := k.logs(true); len(logs) > 0 {
		p.DubboFilters = append(p.DubboFilters, &dubbov3.DubboFilter{Name: filterDubboRouter, Config: wrap(&dubbov1.Router{AccessLog: logs})})
	} else if len(p.DubboFilters) > 0 {
		p.DubboFilters = append(p.DubboFilters, &dubbov3.DubboFilter{Name: filterDubboRouter})
	}
	return k.passed(port, g, nil, proxy())
}

// toCluster sends all calls to a cluster.
func toCluster(cluster string) *dubbov3.RouteConfiguration {
	return &dubbov3.RouteConfiguration{Name: cluster, Interface: "*", Routes: []*dubbov3.Route{{
		Match: &dubbov3.RouteMatch{Method: &dubbov3.MethodMatch{Name: regex(".*")}}, Route: &dubbov3.RouteAction{ClusterSpecifier: &dubbov3.RouteAction_Cluster{Cluster: cluster}},
	}}}
}

// calls takes calls to a port of a service: those that VirtualServices have a route for by that, and all others to the service itself.
func (w *listenerWriter) calls(svc *mesh.Service, port *mesh.Port) []*listenerv3.Filter {
	var services []*dubbov3.RouteConfiguration
	for _, v := range rawFor(w.k.raw, svc.Host) {
		services = append(services, w.dubboRoutes(v, svc.Host, port)...)
	}
	services = append(services, toCluster(outboundName(port.Number, "", svc.Host)))
	return w.k.dubboProxy("outbound", port.Number, w.who, services)
}

// dubboRoutes are those of a VirtualService, of calls for a host. A route that the proxy cannot run is left out.
func (w *listenerWriter) dubboRoutes(v *mesh.VirtualService, host string, port *mesh.Port) (list []*dubbov3.RouteConfiguration) {
	for _, s := range v.Dubbo {
		interfaces, others := interfacesOf(s.Services)
		add := func(i dubboInterface, services []source.TextMatch) {
			c := &dubbov3.RouteConfiguration{Name: v.From.Namespace + "/" + v.From.Name, Interface: i.name, Version: i.version, Group: i.group}
			for _, r := range s.Routes {
				found := r.Match
				if len(found) == 0 {
					found = []source.DubboMatch{{}}
				}
				for _, m := range found {
					for _, m := range append(w.genericMatches(&m), m) {
						if one := w.dubboRoute(v, host, port, r.Route, &m, services); one != nil {
							c.Routes = append(c.Routes, one)
						}
					}
				}
			}
			if len(c.Routes) > 0 {
				list = append(list, c)
			}
		}
		for _, i := range interfaces {
			add(i, nil)
		}
		if len(others) > 0 {
			add(dubboInterface{name: "*"}, others)
		}
	}
	return list
}

// dubboRoute is the one for a match; nil: the proxy cannot run it.
func (w *listenerWriter) dubboRoute(v *mesh.VirtualService, host string, port *mesh.Port, to []source.DubboDestination, m *source.DubboMatch, services []source.TextMatch) *dubbov3.Route {
	match, rest := dubboMatch(m)
	for _, s := range services {
		if rest == nil {
			rest = &dubbov1.Match{}
		}
		rest.Services = append(rest.Services, textMatcher(s))
	}
	if rest != nil && !w.k.traits.Weft {
		return nil
	}
	more := &dubbov1.Route{Match: rest}
	cluster := func(d *source.FallbackHost) string {
		said := d.Destination()
		if said.Host == "" {
			said.Host = host
		}
		return w.cluster(v, said, port)
	}
	fallback := func(from string, f *source.Fallback) {
		if f == nil || !w.k.traits.Weft {
			return
		}
		var list []string
		if f.Target != nil {
			list = append(list, cluster(f.Target))
		}
		for _, t := range f.Targets {
			list = append(list, cluster(t.Destination))
		}
		if more.Fallbacks == nil {
			more.Fallbacks = map[string]*dubbov1.Fallbacks{}
		}
		more.Fallbacks[from] = &dubbov1.Fallbacks{Clusters: list}
	}
	action := &dubbov3.RouteAction{}
	if len(to) == 1 {
		name := cluster(to[0].Destination)
		action.ClusterSpecifier = &dubbov3.RouteAction_Cluster{Cluster: name}
		fallback(name, to[0].Fallback)
	} else {
		weighted := &routev3.WeightedCluster{}
		for _, one := range to {
			if one.Weight > 0 {
				name := cluster(one.Destination)
				weighted.Clusters = append(weighted.Clusters, &routev3.WeightedCluster_ClusterWeight{Name: name, Weight: u32(uint32(one.Weight))})
				fallback(name, one.Fallback)
			}
		}
		action.ClusterSpecifier = &dubbov3.RouteAction_WeightedClusters{WeightedClusters: weighted}
	}
	if more.Match != nil || more.Fallbacks != nil {
		action.MetadataMatch = &corev3.Metadata{TypedFilterMetadata: map[string]*anypb.Any{dubboMore: wrap(more)}}
	}
	return &dubbov3.Route{Match: match, Route: action}
}

// dubboDestinations are all that a destination names, its fallbacks included, by the path of each; those without a host are the one that is called.
func dubboDestinations(d *source.DubboDestination) iter.Seq2[string, *networking.Destination] {
	return func(yield func(string, *networking.Destination) bool) {
		if !yield("destination", d.Destination.Destination()) || d.Fallback == nil {
			return
		}
		if t := d.Fallback.Target; t != nil && !yield("fallback.target", t.Destination()) {
			return
		}
		for i, t := range d.Fallback.Targets {
			if !yield(fmt.Sprintf("fallback.targets[%d].destination", i), t.Destination.Destination()) {
				return
			}
		}
	}
}

// dubboInterface is which calls Envoy can tell by who they are for; a name may end in *, which stands for one character at least, and what is empty is any.
type dubboInterface struct{ name, version, group string }

// registered is how registries begin the names of what providers offer: providers:<interface>:<version>:<group>.
const registered = "providers:"

// interfacesOf are some services as Envoy can tell them, and those that it cannot.
func interfacesOf(services []source.TextMatch) (list []dubboInterface, others []source.TextMatch) {
	if len(services) == 0 {
		return []dubboInterface{{name: "*"}}, nil
	}
	for _, s := range services {
		if found := interfaces(s); found != nil {
			list = append(list, found...)
		} else {
			others = append(others, s)
		}
	}
	return list, others
}

// interfaces are the interfaces that a service's name holds of; nil: Envoy has no words for them.
func interfaces(s source.TextMatch) []dubboInterface {
	if strings.Contains(s.Exact+s.Prefix, "*") {
		return nil // which would stand for something else
	}
	if s.Exact != "" {
		rest, is := strings.CutPrefix(s.Exact, registered)
		parts := strings.Split(rest, ":")
		switch {
		case !is:
			return []dubboInterface{{name: s.Exact}}
		case len(parts) == 3 && !slices.Contains(parts, ""):
			return []dubboInterface{{parts[0], parts[1], parts[2]}}
		}
		return nil
	}
	if s.Prefix == "" {
		return nil
	}
	if strings.HasPrefix(registered, s.Prefix) {
		return []dubboInterface{{name: "*"}}
	}
	rest, is := strings.CutPrefix(s.Prefix, registered)
	parts := strings.Split(rest, ":")
	switch {
	case !is:
		return []dubboInterface{{name: s.Prefix}, {name: s.Prefix + "*"}}
	case len(parts) == 1:
		return []dubboInterface{{name: rest}, {name: rest + "*"}}
	case len(parts) == 2 && parts[1] == "":
		return []dubboInterface{{name: parts[0]}}
	case len(parts) == 3 && parts[1] != "" && parts[2] == "":
		return []dubboInterface{{name: parts[0], version: parts[1]}}
	}
	return nil
}

// dubboMatch is the condition of a route as Envoy has it, and what it has no words for; nil: there is nothing of that.
func dubboMatch(m *source.DubboMatch) (*dubbov3.RouteMatch, *dubbov1.Match) {
	match, rest := &dubbov3.RouteMatch{Method: &dubbov3.MethodMatch{Name: regex(".*")}}, &dubbov1.Match{}
	for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
		said := m.Headers[name]
		patterns, none := said.All()
		if !none && len(patterns) > 1 {
			rest.Attachments = append(rest.Attachments, &dubbov1.Attachment{Name: name, Texts: textsOf(&said)})
			continue
		}
		for _, p := range patterns { // of which none may fit: where there is no attachment neither does
			match.Headers = append(match.Headers, &routev3.HeaderMatcher{Name: name, InvertMatch: none, HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: textMatcher(p)}})
		}
	}
	if method := m.Method; method != nil {
		switch {
		case method.Name != "":
			match.Method.Name = textMatcher(source.TextMatch{Exact: method.Name})
		case method.NameMatch != nil:
			match.Method.Name = textMatcher(*method.NameMatch)
		}
		if method.Argc != 0 {
			rest.Argc = u32(method.Argc)
		}
		for i := range method.Args {
			a := &method.Args[i]
			if text, plain := plainArgument(a); plain {
				if _, taken := match.Method.ParamsMatch[a.Index-1]; !taken {
					if match.Method.ParamsMatch == nil {
						match.Method.ParamsMatch = map[uint32]*dubbov3.MethodMatch_ParameterMatchSpecifier{}
					}
					match.Method.ParamsMatch[a.Index-1] = &dubbov3.MethodMatch_ParameterMatchSpecifier{ParameterMatchSpecifier: &dubbov3.MethodMatch_ParameterMatchSpecifier_ExactMatch{ExactMatch: text}}
					continue
				}
			}
			rest.Arguments = append(rest.Arguments, argumentOf(a))
		}
	}
	if rest.Argc == nil && rest.Arguments == nil && rest.Attachments == nil {
		rest = nil
	}
	return match, rest
}

func textMatcher(m source.TextMatch) *matcherv3.StringMatcher {
	switch {
	case m.Prefix != "":
		return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: m.Prefix}}
	case m.Regex != "":
		return regex(m.Regex)
	}
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: m.Exact}}
}

func textsOf(m *source.TextMatches) *dubbov1.Texts {
	patterns, none := m.All()
	t := &dubbov1.Texts{None: none}
	for _, p := range patterns {
		t.Patterns = append(t.Patterns, textMatcher(p))
	}
	return t
}

func numberOf(m source.NumberMatch) *dubbov1.Number {
	if m.Range != nil {
		return &dubbov1.Number{Pattern: &dubbov1.Number_Range{Range: &typev3.DoubleRange{Start: m.Range.Start, End: m.Range.End}}}
	}
	return &dubbov1.Number{Pattern: &dubbov1.Number_Exact{Exact: *m.Exact}}
}

// genericMatches are a match as it is meant of generic calls, by an Envoy: what ASM's own example asks, three arguments of which the first is a text, is asked of $invoke itself and its name of a method. weft
// sees to that by itself.
func (w *listenerWriter) genericMatches(m *source.DubboMatch) []source.DubboMatch {
	if w.k.traits.Weft {
		return nil
	}
	return genericMatches(m)
}

func genericMatches(m *source.DubboMatch) (list []source.DubboMatch) {
	method := m.Method
	if method == nil || method.Name != "" || method.NameMatch != nil || method.Argc != 0 && method.Argc != genericArguments || len(method.Args) != 1 {
		return nil
	}
	a := &method.Args[0]
	if a.Index != 1 || a.Type != "" && a.Type != "java.lang.String" || a.StrValue == nil || method.Argc == 0 && a.Type == "" {
		return nil // which is asked of all calls alike, or of nothing that $invoke has
	}
	patterns, none := a.StrValue.All()
	if none || slices.ContainsFunc(patterns, func(p source.TextMatch) bool { return p.Exact == "" }) {
		return nil
	}
	for _, p := range patterns {
		list = append(list, source.DubboMatch{Headers: m.Headers, Method: &source.DubboMethod{
			NameMatch: &source.TextMatch{Regex: `\$invoke(Async)?`}, Args: []source.DubboArgument{{Index: 1, StrValue: &source.TextMatches{Patterns: []source.TextMatch{p}}}},
		}})
	}
	return list
}

// genericArguments is how many $invoke has: the name of a method, the types of its arguments, and these.
const genericArguments = 3

// plainArgument tells whether an argument has to be one text and nothing more, which Envoy can ask. Numbers it does not read.
func plainArgument(a *source.DubboArgument) (text string, plain bool) {
	if a.Type != "" || a.StrValue == nil {
		return "", false
	}
	patterns, none := a.StrValue.All()
	if none || len(patterns) != 1 {
		return "", false
	}
	return patterns[0].Exact, patterns[0].Exact != ""
}

func argumentOf(a *source.DubboArgument) *dubbov1.Argument {
	made := &dubbov1.Argument{Index: a.Index - 1, Type: a.Type}
	switch {
	case a.StrValue != nil:
		made.Value = &dubbov1.Argument_Texts{Texts: textsOf(a.StrValue)}
	case a.NumValue != nil:
		patterns, none := a.NumValue.All()
		n := &dubbov1.Numbers{None: none}
		for _, p := range patterns {
			n.Patterns = append(n.Patterns, numberOf(p))
		}
		made.Value = &dubbov1.Argument_Numbers{Numbers: n}
	case a.BoolValue != nil:
		patterns, none := a.BoolValue.All()
		b := &dubbov1.Booleans{None: none}
		for _, p := range patterns {
			b.Values = append(b.Values, *p.Exact)
		}
		made.Value = &dubbov1.Argument_Booleans{Booleans: b}
	}
	return made
}

// dubbo says what of routes of calls only weft runs.
func (c *checking) dubbo(list []source.DubboServiceRoute) {
	const left = "an Envoy that is not weft cannot ask that of a call: it gets no such route"
	for i, s := range list {
		at := fmt.Sprintf("spec.dubbo[%d]", i)
		_, others := interfacesOf(s.Services)
		for k, one := range s.Services {
			if slices.Contains(others, one) {
				c.warn(fmt.Sprintf("%s.services[%d]", at, k), left)
			}
		}
		for k, r := range s.Routes {
			at := fmt.Sprintf("%s.routes[%d]", at, k)
			for j := range r.Match {
				switch _, rest := dubboMatch(&r.Match[j]); {
				case rest == nil:
				case genericMatches(&r.Match[j]) != nil:
					c.warn(fmt.Sprintf("%s.match[%d]", at, j), "an Envoy that is not weft asks that of generic calls ($invoke) only")
				default:
					c.warn(fmt.Sprintf("%s.match[%d]", at, j), left)
				}
			}
			for j, d := range r.Route {
				if d.Fallback != nil {
					c.warn(fmt.Sprintf("%s.route[%d].fallback", at, j), "an Envoy that is not weft runs none: calls there end with an error when nobody is left")
				}
			}
		}
	}
}
