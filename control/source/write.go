package source

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// lastApplied is a whole manifest in an annotation, which kubectl keeps for itself.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// written is a manifest. The order of its fields is the one that people know.
type written struct {
	APIVersion  string          `json:"apiVersion"`
	Kind        string          `json:"kind"`
	Metadata    writtenMetadata `json:"metadata"`
	Spec        any             `json:"spec,omitempty"`
	Type        string          `json:"type,omitempty"`
	AddressType string          `json:"addressType,omitempty"`
	Endpoints   any             `json:"endpoints,omitempty"`
	Ports       any             `json:"ports,omitempty"`
	Data        any             `json:"data,omitempty"`
	Status      any             `json:"status,omitempty"`
}

type writtenMetadata struct {
	Name            string            `json:"name"`
	Namespace       string            `json:"namespace,omitempty"`
	Labels          map[string]string `json:"labels,omitempty"`
	Annotations     map[string]string `json:"annotations,omitempty"`
	Created         *time.Time        `json:"creationTimestamp,omitempty"`
	Generation      int64             `json:"generation,omitempty"`
	ResourceVersion string            `json:"resourceVersion,omitempty"`
	Owners          []writtenOwner    `json:"ownerReferences,omitempty"`
}

type writtenOwner struct {
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	Controller bool   `json:"controller"`
}

// Manifest writes an object as its author would: JSON that Read reads as the same, and that is the same for the same object. A MeshConfig and
// MeshNetworks are written as the files are that they come from.
func Manifest(o *Object) ([]byte, error) { return manifest(o, false) }

// Known writes an object as Manifest does, with what else is known of it: when it was made, and which generation and revision it is.
func Known(o *Object) ([]byte, error) { return manifest(o, true) }

func manifest(o *Object, all bool) ([]byte, error) {
	w := &written{APIVersion: o.Kind.APIVersion(), Kind: Forms[o.Kind].Name}
	w.Metadata = writtenMetadata{Name: o.Name, Namespace: o.Namespace, Labels: o.Labels}
	for k, v := range o.Annotations {
		if k != lastApplied {
			put(&w.Metadata.Annotations, k, v)
		}
	}
	if all {
		w.Metadata.Generation, w.Metadata.ResourceVersion = o.Generation, o.Revision
		if !o.Created.IsZero() {
			created := o.Created.UTC().Truncate(time.Second)
			w.Metadata.Created = &created
		}
	}
	switch spec := o.Spec.(type) {
	case proto.Message:
		text, err := specText(spec, o.More)
		if err != nil {
			return nil, fmt.Errorf("source: %s cannot be written: %w", o.Key, err)
		}
		if Forms[o.Kind].Versions == nil {
			return text, nil
		}
		w.Spec = text
		if o.Health != nil {
			w.Status = map[string]any{"conditions": []any{o.Health.Condition()}}
		}
	case *ServiceSpec:
		if w.Spec = spec; len(spec.Status.LoadBalancer.Ingress) > 0 {
			w.Status = spec.Status
		}
	case *EndpointSliceSpec:
		w.AddressType, w.Endpoints, w.Ports = spec.AddressType, spec.Endpoints, spec.Ports
	case *PodSpec:
		w.Spec = spec
		type condition struct {
			Type   string `json:"type"`
			Status string `json:"status"`
		}
		status := struct {
			PodStatus
			Conditions []condition `json:"conditions,omitempty"`
		}{PodStatus: spec.Status}
		if spec.Status.Ready {
			status.Conditions = []condition{{"Ready", "True"}}
		}
		w.Status = status
		if spec.Owner != (ObjectRef{}) {
			w.Metadata.Owners = []writtenOwner{{spec.Owner.Kind, spec.Owner.Name, true}}
		}
	case *IngressSpec, *IngressClassSpec:
		w.Spec = spec
	case *NodeSpec, *NamespaceSpec:
	case *SecretSpec:
		w.Type, w.Data = spec.Type, spec.Data
	case *ConfigMapSpec:
		w.Data = spec.Data
	default:
		w.Spec = spec
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(w); err != nil {
		return nil, fmt.Errorf("source: %s cannot be written: %w", o.Key, err)
	}
	return bytes.TrimSpace(out.Bytes()), nil
}

// specText is a message with what ASM adds to it, as JSON that is always the same: protobuf's writer puts now a space and now none between its words.
func specText(m proto.Message, more any) (json.RawMessage, error) {
	text, err := protojson.Marshal(m)
	if err != nil {
		return nil, err
	}
	if more == nil {
		var plain bytes.Buffer
		err := json.Compact(&plain, text)
		return plain.Bytes(), err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	spec := map[string]any{}
	if err := dec.Decode(&spec); err != nil {
		return nil, err
	}
	switch more := more.(type) {
	case *VirtualServiceMore:
		if more.Dubbo != nil {
			spec["dubbo"] = more.Dubbo
		}
		for i, route := range more.HTTP {
			r := item(spec, "http", i)
			if route.HeaderToDynamicSubsetKey != nil {
				r["headerToDynamicSubsetKey"] = route.HeaderToDynamicSubsetKey
			}
			if route.Dubbo != nil {
				r["dubbo"] = route.Dubbo
			}
			for j, f := range route.Fallbacks {
				item(r, "route", j)["fallback"] = f
			}
		}
	case *DestinationRuleMore:
		if more.Policy != nil {
			more.Policy.write(mapping(spec, "trafficPolicy"))
		}
		for i, p := range more.Subsets {
			p.write(mapping(item(spec, "subsets", i), "trafficPolicy"))
		}
	case *SidecarSettings:
		text, err := json.Marshal(more)
		if err == nil {
			err = json.Unmarshal(text, &spec) // none of its fields is one of Istio's
		}
		if err != nil {
			return nil, err
		}
	case *WasmPluginMore:
		if more.Router {
			spec["phase"] = "ASM_ROUTER"
		}
	}
	return json.Marshal(spec)
}

func (t *TrafficPolicyMore) write(policy map[string]any) {
	t.LoadBalancer.write(policy)
	for i, lb := range t.Ports {
		lb.write(item(policy, "portLevelSettings", i))
	}
}

func (b *LoadBalancerMore) write(policy map[string]any) {
	if b == nil {
		return
	}
	lb := mapping(policy, "loadBalancer")
	if b.PeakEWMA {
		lb["simple"] = "PEAK_EWMA"
	}
	if b.DynamicSubset != nil {
		lb["dynamicSubset"] = b.DynamicSubset
	}
}

// mapping is the one below a field, which is made if there is none.
func mapping(m map[string]any, name string) map[string]any {
	below, is := m[name].(map[string]any)
	if !is {
		below = map[string]any{}
		m[name] = below
	}
	return below
}

// item is the mapping at a place of a list; it is there, since additions are read off what is there.
func item(m map[string]any, name string, i int) map[string]any {
	list, _ := m[name].([]any)
	for len(list) <= i {
		list = append(list, map[string]any{})
		m[name] = list
	}
	one, is := list[i].(map[string]any)
	if !is {
		one = map[string]any{}
		list[i] = one
	}
	return one
}
