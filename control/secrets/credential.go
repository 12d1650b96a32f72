package secrets

import (
	"fmt"
	"slices"
	"strings"
	"weak"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
	"github.com/weftmesh/weft/xds/server"
)

// Withheld is a secret that a proxy's configuration names and that it is not told.
type Withheld struct {
	Name    string `json:"name"`
	Because string `json:"because"`
}

// credentialKey is who asks for what.
type credentialKey struct{ cluster, namespace, name string }

// credential is what was made of an object. Views hold it, so that no key is kept that nobody has any more.
type credential struct {
	object   *source.Object
	resource weak.Pointer[server.Resource]
}

// What names of credentials begin with, and the end of those that are about roots.
const (
	inSecret    = "kubernetes://"
	ofGateway   = "kubernetes-gateway://"
	inConfigMap = "configmap://"
	rootsEnd    = "-cacert"
)

// Credentials are what a proxy of a cluster that has shown to be of a namespace is told of credentials that its configuration names, and what it is not: they are those of its cluster, where it was asked whether it
// may have them. last is what it was told before, or nil: what is the same stays the same part.
func (s *Secrets) Credentials(m *mesh.Mesh, cluster, namespace string, names []string, last *server.Part) (part *server.Part, not []Withheld) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*server.Resource
	for _, name := range names {
		r, err := s.credential(m, cluster, namespace, name)
		if err != nil {
			not = append(not, Withheld{name, err.Error()})
			continue
		}
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b *server.Resource) int { return strings.Compare(a.Name, b.Name) })
	switch {
	case len(list) == 0:
		return nil, not
	case last != nil && slices.Equal(last.Resources, list):
		return last, not
	}
	return &server.Part{Kind: server.Secrets, Resources: list}, not
}

// credential is one of them.
func (s *Secrets) credential(m *mesh.Mesh, cluster, namespace, name string) (*server.Resource, error) {
	kind, of, roots, err := read(name, namespace)
	if err != nil {
		return nil, err
	}
	if of.Namespace != namespace { // before anybody looks whether it is there (hazard 83)
		return nil, fmt.Errorf("it is of namespace %q and the proxy of %q: a proxy is told secrets of its own namespace only", of.Namespace, namespace)
	}
	of.Cluster = cluster
	o := m.Get(of)
	if plain, ok := strings.CutSuffix(of.Name, rootsEnd); o == nil && ok && roots {
		of.Name = plain // the one with the certificate has the roots, too
		o = m.Get(of)
	}
	if o == nil {
		return nil, fmt.Errorf("there is no %s", of)
	}
	key := credentialKey{cluster, namespace, name}
	known := s.credentials[key]
	if r := known.resource.Value(); r != nil && known.object == o {
		return r, nil
	}
	r, err := credentialOf(name, o, roots)
	if err != nil {
		return nil, fmt.Errorf("%s %s/%s: %w", kind, o.Namespace, o.Name, err)
	}
	s.forget()
	s.credentials[key] = credential{o, weak.Make(r)}
	return r, nil
}

// forget takes out what no view has any more. Something new is made seldom enough.
func (s *Secrets) forget() {
	for key, one := range s.credentials {
		if one.resource.Value() == nil {
			delete(s.credentials, key)
		}
	}
}

// read finds out what a name stands for to proxies of a namespace: of objects a name that ends in -cacert means the roots.
func read(name, namespace string) (kind source.Kind, of source.Key, roots bool, err error) {
	kind, roots = source.Secret, strings.HasSuffix(name, rootsEnd)
	rest, ok := strings.CutPrefix(name, inSecret)
	if !ok {
		rest, ok = strings.CutPrefix(name, ofGateway)
	}
	if !ok {
		if rest, ok = strings.CutPrefix(name, inConfigMap); ok {
			kind, roots = source.ConfigMap, true
			rest = strings.TrimSuffix(rest, rootsEnd)
		}
	}
	if !ok {
		return kind, of, roots, fmt.Errorf("want a name, %sNAME or %sNAMESPACE/NAME", inSecret, inConfigMap)
	}
	of = source.Key{Kind: kind, Namespace: namespace, Name: rest}
	if space, own, ok := strings.Cut(rest, "/"); ok {
		of.Namespace, of.Name = space, own
	}
	return kind, of, roots, nil
}
