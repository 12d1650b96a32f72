package source

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Served is an object as an API server tells it.
type Served struct {
	Key
	Version  string    // of the object there, which changes with whatever anybody writes
	Object   *Object   // nil: something is wrong with it
	Problems []Problem // with it
	Revision string    // of the control plane that it is for; empty: all
}

// servedMeta is what is read of an object's metadata.
type servedMeta struct {
	Name              string            `json:"name"`
	Namespace         string            `json:"namespace"`
	Labels            map[string]string `json:"labels"`
	Annotations       map[string]string `json:"annotations"`
	CreationTimestamp time.Time         `json:"creationTimestamp"` // null leaves it as it is
	Generation        int64             `json:"generation"`
	ResourceVersion   string            `json:"resourceVersion"`
	OwnerReferences   []struct {
		Kind, Name string
		Controller bool
	} `json:"ownerReferences"`
	ManagedFields []servedWriter `json:"managedFields"`
}

// servedWriter is who has written fields, and when he last did.
type servedWriter struct {
	Manager     string    `json:"manager"`
	Subresource string    `json:"subresource"`
	Time        time.Time `json:"time"`
	Fields      struct {
		Spec json.RawMessage `json:"f:spec"`
	} `json:"fieldsV1"`
}

// author is the manager who last wrote the spec; empty: nobody has said. Times are in seconds: of two in the same one it is who has more of the spec, since the one
// before him has kept only what is the same in both.
func (m *servedMeta) author() (name string) {
	var last servedWriter
	for _, one := range m.ManagedFields {
		size, most := len(one.Fields.Spec), len(last.Fields.Spec)
		if size == 0 || one.Subresource != "" || !IsAuthor(one.Manager) {
			continue
		}
		if c := one.Time.Compare(last.Time); c > 0 || c == 0 && size >= most {
			last = one
		}
	}
	return last.Manager
}

// ReadServed reads and checks an object of a kind as an API server tells it, in JSON. It is not as strict as Read about what is around the spec of one of
// Istio's kinds, and about all of Kubernetes' own: the server has checked them, and a later one may have fields that nobody knows here. Labels and annotations
// that mean nothing to a mesh are left out, so that who writes only those changes nothing. An error says that the text is no such object at all.
func ReadServed(kind Kind, data []byte, from Origin) (Served, error) {
	if Forms[kind].message != nil {
		return readServedMessage(kind, data, from)
	}
	var meta servedMeta
	o := &Object{Key: Key{Kind: kind}, From: from}
	if wanted[kind] == nil {
		return Served{}, fmt.Errorf("control/source: a %s is no kind of an API server", kind)
	}
	data, err := prune(make([]byte, 0, 1<<10), data, wanted[kind])
	if err != nil {
		return served(o, &meta, err)
	}
	// Each spec is a value of its own: a pointer into what is read of an object would keep all of that.
	switch kind {
	case Service:
		spec := &ServiceSpec{}
		err = json.Unmarshal(data, &struct {
			Metadata *servedMeta    `json:"metadata"`
			Spec     *ServiceSpec   `json:"spec"`
			Status   *ServiceStatus `json:"status"`
		}{&meta, spec, &spec.Status})
		o.Spec = spec
	case EndpointSlice:
		spec := &EndpointSliceSpec{}
		err = json.Unmarshal(data, &struct {
			Metadata *servedMeta `json:"metadata"`
			*EndpointSliceSpec
		}{&meta, spec})
		o.Spec = spec
	case Pod:
		spec, status := &PodSpec{}, podStatus{}
		err = json.Unmarshal(data, &struct {
			Metadata *servedMeta `json:"metadata"`
			Spec     *PodSpec    `json:"spec"`
			Status   *podStatus  `json:"status"`
		}{&meta, spec, &status})
		spec.Status = status.status()
		for _, owner := range meta.OwnerReferences {
			if owner.Controller {
				spec.Owner = ObjectRef{Kind: owner.Kind, Namespace: meta.Namespace, Name: owner.Name}
			}
		}
		o.Spec = spec
	case Secret:
		spec := &SecretSpec{}
		err = json.Unmarshal(data, &struct {
			Metadata *servedMeta `json:"metadata"`
			*SecretSpec
		}{&meta, spec})
		o.Spec = spec
	case ConfigMap:
		spec := &ConfigMapSpec{}
		err = json.Unmarshal(data, &struct {
			Metadata *servedMeta `json:"metadata"`
			*ConfigMapSpec
		}{&meta, spec})
		o.Spec = spec
	case Ingress:
		spec := &IngressSpec{}
		err = json.Unmarshal(data, &struct {
			Metadata *servedMeta  `json:"metadata"`
			Spec     *IngressSpec `json:"spec"`
		}{&meta, spec})
		o.Spec = spec
	case IngressClass:
		spec := &IngressClassSpec{}
		err = json.Unmarshal(data, &struct {
			Metadata *servedMeta       `json:"metadata"`
			Spec     *IngressClassSpec `json:"spec"`
		}{&meta, spec})
		o.Spec = spec
	case Node, Namespace:
		err = json.Unmarshal(data, &struct {
			Metadata *servedMeta `json:"metadata"`
		}{&meta})
		o.Spec = &NodeSpec{}
		if kind == Namespace {
			o.Spec = &NamespaceSpec{}
		}
	}
	s, err := served(o, &meta, err)
	if err != nil {
		return s, err
	}
	o.Revision = s.Version
	for _, p := range Check(o) {
		s.note(p)
	}
	return s, nil
}

// readServedMessage is ReadServed of a kind of Istio's.
func readServedMessage(kind Kind, data []byte, from Origin) (Served, error) {
	o := &Object{Key: Key{Kind: kind}, From: from}
	var meta servedMeta
	var head, text, status []byte
	var unknown []string
	err := Members(data, func(name, value []byte) (err error) {
		switch string(name) {
		case "metadata":
			head, err = prune(head[:0], value, wantedAuthored)
		case "spec":
			text = value
		case "status":
			status = value
		default:
			if !slices.Contains(top, string(name)) {
				unknown = append(unknown, string(name))
			}
		}
		return err
	})
	if err == nil {
		err = json.Unmarshal(head, &meta)
	}
	s, err := served(o, &meta, err)
	if err != nil {
		return s, err
	}
	if kind == WorkloadEntry && len(status) > 0 {
		var said entryStatus
		json.Unmarshal(status, &said) // what is no such status says nothing
		o.Health = said.health()
	}
	r := &reading{from: from, revision: s.Revision}
	for _, name := range unknown { // a spec whose name is written wrongly is no empty spec
		r.note(o.Key, &fault{path: step(short(name)), text: "is no field of a " + kind.String() + nearest(name, top)})
	}
	// What Istio's own message takes is nothing else to the reading of files either. That reads what ASM adds, knows more ways to write a time, and says what
	// is wrong, and where; and it takes twice as long.
	m := Forms[kind].message()
	root := &yaml.Node{Kind: yaml.MappingNode}
	switch {
	case r.wrong > 0:
	case len(text) <= maxObject && (len(text) == 0 || strict.Unmarshal(text, m) == nil):
		o.Spec = m
		r.finish(o, root, text)
	default:
		spec, f := parseJSON(text)
		if f != nil {
			r.note(o.Key, f.in("spec"))
			break
		}
		root.Content = []*yaml.Node{{Kind: yaml.ScalarNode, Value: "spec"}, spec}
		w := &writer{out: make([]byte, 0, 1<<10)}
		r.message(o, "spec", spec, w)
		r.finish(o, root, w.out)
	}
	for _, p := range r.Problems {
		s.note(p)
	}
	return s, nil
}

// note keeps a problem, which has no line: an API server keeps no text.
func (s *Served) note(p Problem) {
	p.From.Line = 0
	s.Problems = append(s.Problems, p)
	if !p.Warning {
		s.Object = nil
	}
}

// served has an object be what its metadata says it is.
func served(o *Object, m *servedMeta, err error) (Served, error) {
	if err == nil && m.Name == "" {
		err = errors.New("it has no name")
	}
	o.Namespace, o.Name, o.Created, o.Generation, o.Author = m.Namespace, m.Name, m.CreationTimestamp, m.Generation, m.author()
	if err != nil {
		return Served{Key: o.Key}, fmt.Errorf("control/source: a %s of an API server's cannot be read: %w", o.Kind, err)
	}
	o.Labels, o.Annotations = m.Labels, m.Annotations
	trim(o)
	return Served{Key: o.Key, Version: m.ResourceVersion, Object: o, Revision: revisionOf(o.Kind, o.Labels)}, nil
}

// labelSlice says which Service a slice is of.
const labelSlice = "kubernetes.io/service-name"

// trim leaves out labels and annotations that mean nothing to a mesh.
func trim(o *Object) {
	keep(&o.Annotations, meansSomething)
	switch o.Kind {
	case EndpointSlice: // the others are those of its Service
		keep(&o.Labels, func(name string) bool { return name == labelSlice || meansSomething(name) })
	case Node:
		keep(&o.Labels, func(name string) bool { return strings.HasPrefix(name, "topology.") || meansSomething(name) })
	}
}

func keep(m *map[string]string, is func(string) bool) {
	for name := range *m {
		if !is(name) {
			delete(*m, name)
		}
	}
	if len(*m) == 0 {
		*m = nil
	}
}

// meansSomething tells whether a label or an annotation is for a mesh.
func meansSomething(name string) bool {
	domain, _, is := strings.Cut(name, "/")
	return name == RolloutAnnotation || name == IngressClassAnnotation || is && (domain == "istio.io" || strings.HasSuffix(domain, ".istio.io") || domain == "istio.alibabacloud.com" || strings.HasSuffix(domain, ".istio.alibabacloud.com"))
}
