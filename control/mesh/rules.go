package mesh

import (
	"reflect"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/weftmesh/weft/control/source"
)

// DestinationRule is what holds for connections to a host, of all that those of one namespace who tell the same namespaces say. It never changes.
type DestinationRule struct {
	Host      string // in full
	Namespace string
	From      []source.Key // the oldest first
	Visible   Visibility
	Spec      *networking.DestinationRule
}

// Subset gives a subset by its name; nil: there is none.
func (r *DestinationRule) Subset(name string) *networking.Subset {
	for _, s := range r.Spec.GetSubsets() {
		if s.GetName() == name {
			return s
		}
	}
	return nil
}

// Rules is the index of DestinationRules.
type Rules struct {
	root   string                            // namespace
	byHost table[string, []*DestinationRule] // that of the oldest first
	wild   map[string]bool                   // namespaces that have some for wildcards
}

func (m *Mesh) deriveRules(before *Mesh, news touched, anew bool) {
	if len(news) == 0 && !anew {
		return
	}
	objects, were := m.objects[source.DestinationRule], before.objects[source.DestinationRule]
	hosts := map[string]map[string][]*source.Object{} // to look at, by namespace
	for k := range keysOf(m, before, source.DestinationRule, news, anew) {
		for _, o := range []*source.Object{objects.Get(k.Namespace, k.Name), were.Get(k.Namespace, k.Name)} {
			if o != nil {
				if hosts[k.Namespace] == nil {
					hosts[k.Namespace] = map[string][]*source.Object{}
				}
				hosts[k.Namespace][m.Settings.HostIn(o.Spec.(*networking.DestinationRule).GetHost(), o.Namespace)] = nil
			}
		}
	}
	e := before.Rules.byHost.edit()
	for namespace, by := range hosts {
		for _, o := range objects.spaces[namespace] {
			host := m.Settings.HostIn(o.Spec.(*networking.DestinationRule).GetHost(), namespace)
			if list, ok := by[host]; ok {
				by[host] = append(list, o)
			}
		}
		for host, list := range by {
			if len(list) == 0 {
				e.drop(namespace, host)
				continue
			}
			slices.SortFunc(list, older)
			rules, was := m.merge(host, list), e.now[namespace][host]
			same := len(rules) == len(was)
			for i, r := range rules {
				if i < len(was) && r.equal(was[i]) {
					rules[i] = was[i]
				} else {
					same = false
				}
			}
			if !same {
				e.set(namespace, host, rules)
			}
		}
	}
	if e.changed() || m.Settings.RootNamespace != before.Rules.root {
		m.Rules = &Rules{root: m.Settings.RootNamespace, byHost: e.now, wild: map[string]bool{}}
		for namespace, space := range e.now {
			for host := range space {
				if strings.HasPrefix(host, "*") {
					m.Rules.wild[namespace] = true
					break
				}
			}
		}
	}
}

func (r *DestinationRule) equal(other *DestinationRule) bool {
	a, b := *r, *other
	a.Spec, b.Spec = nil, nil
	return reflect.DeepEqual(a, b) && proto.Equal(r.Spec, other.Spec)
}

// merge puts those of a host together that are for the same namespaces: the policy of the first that has one counts, and of subsets the first
// of each name.
func (m *Mesh) merge(host string, list []*source.Object) (rules []*DestinationRule) {
	for _, o := range list {
		spec := o.Spec.(*networking.DestinationRule)
		v := visibility(spec.GetExportTo(), m.Settings.Config.GetDefaultDestinationRuleExportTo(), o.Namespace)
		i := slices.IndexFunc(rules, func(r *DestinationRule) bool { return reflect.DeepEqual(r.Visible, v) })
		if i < 0 {
			rules = append(rules, &DestinationRule{Host: host, Namespace: o.Namespace, From: []source.Key{o.Key}, Visible: v, Spec: spec})
			continue
		}
		r := rules[i]
		if len(r.From) == 1 {
			r.Spec = proto.Clone(r.Spec).(*networking.DestinationRule)
		}
		r.From = append(r.From, o.Key)
		if r.Spec.TrafficPolicy == nil {
			r.Spec.TrafficPolicy = spec.TrafficPolicy
		}
		for _, s := range spec.GetSubsets() {
			if r.Subset(s.GetName()) == nil {
				r.Spec.Subsets = append(r.Spec.Subsets, s)
			}
		}
	}
	return rules
}

// For finds the rule for a host that clients of a namespace reach, served from a namespace: theirs, else the service's, else that of the root; of
// each the one that says the host most exactly. nil: there is none.
func (x *Rules) For(client, host, serving string) *DestinationRule {
	if r := x.in(client, host, client, client == x.root); r != nil {
		return r
	}
	if r := x.in(serving, host, client, false); r != nil {
		return r
	}
	return x.in(x.root, host, client, false)
}

// in finds the rule of a namespace. private: only those that no other namespace sees, since what the root says for all comes last.
func (x *Rules) in(namespace, host, client string, private bool) *DestinationRule {
	space := x.byHost[namespace]
	if len(space) == 0 {
		return nil
	}
	for name := host; ; {
		for _, r := range space[name] {
			if r.Visible.In(client) && !(private && (r.Visible.All || len(r.Visible.Namespaces) > 1)) {
				return r
			}
		}
		if name == "*" || !x.wild[namespace] {
			return nil
		}
		name = wider(name)
	}
}

// wider is the next wildcard that has a host or wildcard in it: *.b.c of a.b.c, *.c of *.b.c, * of *.c.
func wider(host string) string {
	rest := strings.TrimPrefix(host, "*.")
	if _, rest, ok := strings.Cut(rest, "."); ok {
		return "*." + rest
	}
	return "*"
}
