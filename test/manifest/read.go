package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	meshv1 "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	"sigs.k8s.io/yaml"

	"github.com/weftmesh/weft/control/source"
)

// messages are Istio's kinds.
var messages = map[string]struct {
	kind source.Kind
	of   func() proto.Message
}{
	"VirtualService":        {source.VirtualService, func() proto.Message { return &networking.VirtualService{} }},
	"DestinationRule":       {source.DestinationRule, func() proto.Message { return &networking.DestinationRule{} }},
	"Gateway":               {source.Gateway, func() proto.Message { return &networking.Gateway{} }},
	"ServiceEntry":          {source.ServiceEntry, func() proto.Message { return &networking.ServiceEntry{} }},
	"WorkloadEntry":         {source.WorkloadEntry, func() proto.Message { return &networking.WorkloadEntry{} }},
	"Sidecar":               {source.Sidecar, func() proto.Message { return &networking.Sidecar{} }},
	"PeerAuthentication":    {source.PeerAuthentication, func() proto.Message { return &security.PeerAuthentication{} }},
	"AuthorizationPolicy":   {source.AuthorizationPolicy, func() proto.Message { return &security.AuthorizationPolicy{} }},
	"RequestAuthentication": {source.RequestAuthentication, func() proto.Message { return &security.RequestAuthentication{} }},
	"MeshConfig":            {source.MeshConfig, func() proto.Message { return &meshv1.MeshConfig{} }},
	"MeshNetworks":          {source.MeshNetworks, func() proto.Message { return &meshv1.MeshNetworks{} }},
}

// Read reads objects from documents of YAML.
func Read(t testing.TB, text string) (changes []source.Change) {
	t.Helper()
	for i, document := range strings.Split("\n"+text, "\n---") {
		if strings.TrimSpace(document) == "" {
			continue
		}
		o, err := readOne(document)
		if err != nil {
			t.Fatalf("document %d: %v", i, err)
		}
		changes = append(changes, source.Change{Key: o.Key, Object: o})
	}
	return changes
}

func readOne(text string) (*source.Object, error) {
	var d struct {
		Kind     string
		Metadata struct {
			Name, Namespace     string
			Labels, Annotations map[string]string
			CreationTimestamp   time.Time
		}
		Spec, Status, Data, Endpoints, Ports json.RawMessage
		AddressType                          string
	}
	if err := yaml.Unmarshal([]byte(text), &d); err != nil {
		return nil, err
	}
	o := &source.Object{Key: source.Key{Namespace: d.Metadata.Namespace, Name: d.Metadata.Name}, Labels: d.Metadata.Labels, Annotations: d.Metadata.Annotations, Created: d.Metadata.CreationTimestamp}
	strict := func(raw []byte, to any) error {
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.DisallowUnknownFields()
		return dec.Decode(to)
	}
	if m, ok := messages[d.Kind]; ok {
		spec := m.of()
		o.Kind, o.Spec = m.kind, spec
		return o, protojson.Unmarshal(d.Spec, spec)
	}
	switch d.Kind {
	case "Service":
		spec := &source.ServiceSpec{}
		o.Kind, o.Spec = source.Service, spec
		return o, strict(d.Spec, spec)
	case "EndpointSlice":
		spec := &source.EndpointSliceSpec{AddressType: d.AddressType}
		o.Kind, o.Spec = source.EndpointSlice, spec
		if err := strict(d.Endpoints, &spec.Endpoints); err != nil {
			return nil, err
		}
		return o, strict(d.Ports, &spec.Ports)
	case "Pod":
		spec := &source.PodSpec{}
		o.Kind, o.Spec = source.Pod, spec
		if err := strict(d.Spec, spec); err != nil {
			return nil, err
		}
		err := strict(d.Status, &spec.Status)
		spec.Status.Ready = true
		return o, err
	case "Node":
		o.Kind, o.Spec = source.Node, &source.NodeSpec{}
		return o, nil
	case "Namespace":
		o.Kind, o.Spec = source.Namespace, &source.NamespaceSpec{}
		return o, nil
	}
	return nil, fmt.Errorf("kind %q is not read here", d.Kind)
}
