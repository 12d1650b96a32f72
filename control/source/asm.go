package source

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// What ASM adds to Istio's kinds, in its spelling. It is taken out before Istio's message is read, which knows nothing of it. But for what an ASMProxyConfig
// says, and for Dubbo, nothing of it is run yet, so that each is refused by its name where it stands (taken.refuse): what comes to run one takes that refusal away.

// VirtualServiceMore is Object.More of a VirtualService.
type VirtualServiceMore struct {
	HTTP  map[int]*HTTPRouteMore // by the place in spec.http
	Dubbo []DubboServiceRoute
}

// HTTPRouteMore is added to a route.
type HTTPRouteMore struct {
	Fallbacks                map[int]*Fallback // by the place in its route
	HeaderToDynamicSubsetKey []HeaderToSubsetKey
	Dubbo                    *DubboCalls // which is Higress', and no addition of ASM's
}

// Fallback says where requests go instead if a destination has nobody.
type Fallback struct {
	Case    string          `json:"case,omitempty"` // noinstances, noavailableinstances, noavailabled
	Target  *FallbackHost   `json:"target,omitempty"`
	Targets []FallbackEntry `json:"targets,omitempty"`
}

// FallbackHost is a destination.
type FallbackHost struct {
	Host   string `json:"host,omitempty"`
	Subset string `json:"subset,omitempty"`
	Port   *struct {
		Number uint32 `json:"number,omitempty"`
	} `json:"port,omitempty"`
}

// FallbackEntry is one of several, which are tried in turn.
type FallbackEntry struct {
	Destination *FallbackHost `json:"destination,omitempty"`
	HostRewrite bool          `json:"host_rewrite,omitempty"`
}

// HeaderToSubsetKey has a header's value choose among labels.
type HeaderToSubsetKey struct {
	Header       string `json:"header,omitempty"`
	Key          string `json:"key,omitempty"`
	DefaultValue string `json:"defaultValue,omitempty"`
}

// DestinationRuleMore is Object.More of a DestinationRule: of its policy, and of its subsets' by their place.
type DestinationRuleMore struct {
	Policy  *TrafficPolicyMore
	Subsets map[int]*TrafficPolicyMore
}

// TrafficPolicyMore is added to a policy, and to its settings for ports by their place.
type TrafficPolicyMore struct {
	LoadBalancer *LoadBalancerMore
	Ports        map[int]*LoadBalancerMore
}

// LoadBalancerMore is added to a load balancer.
type LoadBalancerMore struct {
	PeakEWMA      bool // simple: PEAK_EWMA
	DynamicSubset *DynamicSubset
}

// DynamicSubset chooses among endpoints by labels that a request names.
type DynamicSubset struct {
	SubsetSelectors []struct {
		Keys           []string `json:"keys,omitempty"`
		FallbackPolicy string   `json:"fallbackPolicy,omitempty"`
	} `json:"subsetSelectors,omitempty"`
	FallbackPolicy string            `json:"fallbackPolicy,omitempty"` // NO_FALLBACK, ANY_ENDPOINT, DEFAULT_SUBSET
	DefaultSubset  map[string]string `json:"defaultSubset,omitempty"`
	LbPolicy       string            `json:"lbPolicy,omitempty"` // RANDOM, ROUND_ROBIN, LEAST_REQUEST
}

// WasmPluginMore is Object.More of a WasmPlugin.
type WasmPluginMore struct {
	Router bool // phase: ASM_ROUTER, just before the router
}

// take takes what ASM adds out of an object: into its More, and off what is written for Istio's message.
func take(o *Object, spec *yaml.Node, w *writer, say func(*fault)) {
	t := taken{w: w, say: say}
	switch o.Kind {
	case VirtualService:
		more := &VirtualServiceMore{}
		if t.virtualService(more, spec); more.Dubbo != nil || more.HTTP != nil {
			o.More = more
		}
	case DestinationRule:
		more := &DestinationRuleMore{}
		_, policy := key(spec, "trafficPolicy")
		more.Policy = t.policy("trafficPolicy", policy)
		_, subsets := key(spec, "subsets")
		for i, s := range items(subsets) {
			_, policy := key(s, "trafficPolicy")
			if p := t.policy(fmt.Sprintf("subsets[%d].trafficPolicy", i), policy); p != nil {
				put(&more.Subsets, i, p)
			}
		}
		if t.any {
			o.More = more
		}
	case ASMProxyConfig:
		if more := t.sidecarSettings(spec); t.any {
			o.More = more
		}
	case WasmPlugin:
		if name, phase := key(spec, "phase"); phase != nil && (phase.Value == "ASM_ROUTER" || phase.Value == "100") {
			o.More = &WasmPluginMore{Router: true}
			t.out(name)
		}
	}
}

// taken is what take is at.
type taken struct {
	w     *writer
	say   func(*fault)
	any   bool
	nodes int // of all additions, which are bounded together
}

// refuse says that something is not run.
func (t *taken) refuse(path string, name *yaml.Node, what string) {
	t.say(&fault{path: path, line: name.Line, text: what + " is an addition of ASM's that is not run here yet"})
}

// out leaves a key out of what is written.
func (t *taken) out(name *yaml.Node) {
	t.any = true
	if t.w.skip == nil {
		t.w.skip = map[*yaml.Node]bool{}
	}
	t.w.skip[name] = true
}

// read takes a field out of a mapping that is not run.
func (t *taken) read(path string, in *yaml.Node, names []string, into any) bool {
	for _, one := range names {
		if name, _ := key(in, one); name == nil {
			continue
		}
		if name, good := t.lift(path, in, one, into); good {
			t.refuse(below(path, one), name, one)
		}
		return true
	}
	return false
}

// lift takes a field out of a mapping, into a value of its own; good: it was there, and could be read.
func (t *taken) lift(path string, in *yaml.Node, one string, into any) (name *yaml.Node, good bool) {
	name, v := key(in, one)
	if name == nil {
		return nil, false
	}
	t.out(name)
	path = below(path, one)
	w := &writer{nodes: t.nodes}
	f := w.value(v, 0)
	t.nodes = w.nodes
	if f != nil {
		f.path = below(path, f.path)
		t.say(f)
		return name, false
	}
	dec := json.NewDecoder(bytes.NewReader(w.out))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		text := strings.TrimPrefix(err.Error(), "json: ")
		if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
			ought := wrong.Type.String()
			switch wrong.Type.Kind() {
			case reflect.Struct:
				ought = "mapping"
			case reflect.Slice:
				ought = "list"
			}
			if text = fmt.Sprintf("is a %s and ought to be a %s", wrong.Value, ought); wrong.Field != "" {
				text = wrong.Field + " " + text
			}
		}
		t.say(&fault{path: path, line: name.Line, text: text})
		return name, false
	}
	return name, true
}

func (t *taken) virtualService(more *VirtualServiceMore, spec *yaml.Node) {
	t.lift("", spec, "dubbo", &more.Dubbo)
	_, http := key(spec, "http")
	for i, route := range items(http) {
		at := func() *HTTPRouteMore {
			if more.HTTP[i] == nil {
				put(&more.HTTP, i, &HTTPRouteMore{})
			}
			return more.HTTP[i]
		}
		for _, name := range []string{"headerToDynamicSubsetKey", "header_to_dynamic_subset_key"} {
			if has(route, name) {
				t.read(fmt.Sprintf("http[%d]", i), route, []string{name}, &at().HeaderToDynamicSubsetKey)
			}
		}
		var calls *DubboCalls
		if t.lift(fmt.Sprintf("http[%d]", i), route, "dubbo", &calls); calls != nil {
			at().Dubbo = calls
		}
		_, destinations := key(route, "route")
		for j, d := range items(destinations) {
			if has(d, "fallback") {
				f := &Fallback{}
				t.read(fmt.Sprintf("http[%d].route[%d]", i, j), d, []string{"fallback"}, f)
				put(&at().Fallbacks, j, f)
			}
		}
	}
}

func (t *taken) policy(path string, policy *yaml.Node) *TrafficPolicyMore {
	own := t.balancer(path, policy)
	var ports map[int]*LoadBalancerMore
	_, list := key(policy, "portLevelSettings")
	for i, p := range items(list) {
		if lb := t.balancer(fmt.Sprintf("%s.portLevelSettings[%d]", path, i), p); lb != nil {
			put(&ports, i, lb)
		}
	}
	if own == nil && ports == nil {
		return nil
	}
	return &TrafficPolicyMore{LoadBalancer: own, Ports: ports}
}

func (t *taken) balancer(path string, policy *yaml.Node) *LoadBalancerMore {
	_, lb := key(policy, "loadBalancer")
	name, simple := key(lb, "simple")
	ewma := simple != nil && simple.Value == "PEAK_EWMA"
	if !ewma && !has(lb, "dynamicSubset") && !has(lb, "dynamic_subset") {
		return nil
	}
	more := &LoadBalancerMore{PeakEWMA: ewma}
	path += ".loadBalancer"
	if ewma {
		t.out(name)
		t.refuse(path+".simple", name, simple.Value)
	}
	subset := &DynamicSubset{}
	if t.read(path, lb, []string{"dynamicSubset", "dynamic_subset"}, subset) {
		more.DynamicSubset = subset
	}
	return more
}

// has says whether a mapping has a key.
func has(n *yaml.Node, name string) bool {
	k, _ := key(n, name)
	return k != nil
}

// key finds a key of a mapping and its value; nil: it has none, or is no mapping.
func key(n *yaml.Node, name string) (k, v *yaml.Node) {
	if n = real(n); n == nil || n.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i], real(n.Content[i+1])
		}
	}
	return nil, nil
}

// items are those of a list; what is none has none.
func items(n *yaml.Node) []*yaml.Node {
	if n = real(n); n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	return n.Content
}

func put[K comparable, V any](m *map[K]V, at K, v V) {
	if *m == nil {
		*m = map[K]V{}
	}
	(*m)[at] = v
}

// equalMore compares what is no message of protobuf's.
func equalMore(a, b any) bool { return reflect.DeepEqual(a, b) }
