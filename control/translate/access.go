package translate

import (
	"fmt"
	"slices"
	"strconv"
	"weak"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	httprbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcprbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	security "istio.io/api/security/v1beta1"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/control/source"
)

type spaceKey struct {
	objects   ref[mesh.Objects]
	namespace string
	root      string
}

// space is the objects that hold for workloads of a namespace: those of the root, then its own, each the oldest first.
type space struct{ objects []*source.Object }

func (t *Translator) space(m *mesh.Mesh, objects *mesh.Objects, namespace string) *space {
	return t.spaces.get(spaceKey{weak.Make(objects), namespace, m.Settings.RootNamespace}, func() *space {
		s := &space{objects: objects.In(m.Settings.RootNamespace)}
		if namespace != m.Settings.RootNamespace {
			s.objects = append(s.objects, objects.In(namespace)...)
		}
		return s
	})
}

// guards are what decides who may send a workload anything.
type guards struct {
	access *chain    // AuthorizationPolicies
	tokens *chain    // RequestAuthentications
	seen   ref[seen] // services that tokens' keys may come from, or that are asked, if there are any
}

// unguarded lets everybody.
var unguarded = &guards{}

// guards finds those of a workload. held has to be kept with what is made of them.
func (t *Translator) guards(m *mesh.Mesh, p *Proxy, s *seen) (g guards, held [2]*space) {
	access, tokens := (*chain)(nil), (*chain)(nil)
	held = [2]*space{t.space(m, m.Access, p.Namespace), t.space(m, m.Tokens, p.Namespace)}
	for _, o := range held[0].objects {
		spec := o.Spec.(*security.AuthorizationPolicy)
		// One that names a target is for that, and none of these is a sidecar or a gateway of Istio's own kind.
		if spec.GetTargetRef() == nil && len(spec.GetTargetRefs()) == 0 && has(p.Labels, spec.GetSelector().GetMatchLabels()) {
			access = t.chains.add(access, o)
		}
	}
	for _, o := range held[1].objects {
		spec := o.Spec.(*security.RequestAuthentication)
		if spec.GetTargetRef() == nil && len(spec.GetTargetRefs()) == 0 && has(p.Labels, spec.GetSelector().GetMatchLabels()) {
			tokens = t.chains.add(tokens, o)
		}
	}
	g = guards{access: access, tokens: tokens}
	if tokens != nil || len(custom(access)) > 0 {
		g.seen = weak.Make(s)
	}
	return g, held
}

// objectsOf are those of a chain, in their order.
func objectsOf(c *chain) (list []*source.Object) {
	for ; c != nil; c = c.before {
		list = append(list, c.item.(*source.Object))
	}
	slices.Reverse(list)
	return list
}

// dryRun has a policy be weighed and not kept to.
const dryRun = "istio.io/dry-run"

// Prefixes of the statistics of policies that are only weighed.
const (
	weighedAllow = "istio_dry_run_allow_"
	weighedDeny  = "istio_dry_run_deny_"
)

// actions are the lists in the order in which they are asked.
var actions = []struct {
	said    security.AuthorizationPolicy_Action
	action  rbacv3.RBAC_Action
	weighed string
}{
	{security.AuthorizationPolicy_AUDIT, rbacv3.RBAC_LOG, ""},
	{security.AuthorizationPolicy_DENY, rbacv3.RBAC_DENY, weighedDeny},
	{security.AuthorizationPolicy_ALLOW, rbacv3.RBAC_ALLOW, weighedAllow},
}

// rulesOf are the policies of an action, those that are kept to and those that are only weighed; nil: there are none.
func rulesOf(s *mesh.Settings, objects []*source.Object, said security.AuthorizationPolicy_Action, action rbacv3.RBAC_Action, tcp bool) (kept, weighed *rbacv3.RBAC) {
	for _, o := range objects {
		if o.Spec.(*security.AuthorizationPolicy).GetAction() != said {
			continue
		}
		to := &kept
		if dry, _ := strconv.ParseBool(o.Annotations[dryRun]); dry {
			to = &weighed
		}
		if *to == nil {
			*to = &rbacv3.RBAC{Action: action, Policies: map[string]*rbacv3.Policy{}}
		}
		addRules(*to, s, o, tcp, func(i int) string { return ruleName(o, i) })
	}
	return kept, weighed
}

// ruleName is that of a policy's rule.
func ruleName(o *source.Object, i int) string {
	return fmt.Sprintf("ns[%s]-policy[%s]-rule[%d]", o.Namespace, o.Name, i)
}

// addRules adds what a policy is for.
func addRules(to *rbacv3.RBAC, s *mesh.Settings, o *source.Object, tcp bool, name func(int) string) {
	rules := o.Spec.(*security.AuthorizationPolicy).GetRules()
	for i, r := range rules {
		w := &ruleWriter{settings: s, namespace: o.Namespace, tcp: tcp, wider: to.GetAction() != rbacv3.RBAC_ALLOW}
		if p := w.policy(r); p != nil {
			to.Policies[name(i)] = p
		}
	}
	if len(rules) == 0 { // it matches nothing: nobody is allowed by it, nobody denied
		to.Policies[name(0)] = &rbacv3.Policy{
			Permissions: []*rbacv3.Permission{{Rule: &rbacv3.Permission_NotRule{NotRule: anyPermission()}}},
			Principals:  []*rbacv3.Principal{{Identifier: &rbacv3.Principal_NotId{NotId: anyPrincipal()}}},
		}
	}
}

// accessHTTP decides by requests.
func accessHTTP(s *mesh.Settings, access *chain) (list []*hcmv3.HttpFilter) {
	for _, f := range requestRules(s, access) {
		list = append(list, httpFilter(filterHTTPRules, f))
	}
	return list
}

// requestRules are the policies of requests, in the order in which they are asked.
func requestRules(s *mesh.Settings, access *chain) (list []*httprbacv3.RBAC) {
	objects := objectsOf(access)
	for _, a := range actions {
		kept, weighed := rulesOf(s, objects, a.said, a.action, false)
		if kept == nil && weighed == nil {
			continue
		}
		f := &httprbacv3.RBAC{Rules: kept, ShadowRules: weighed}
		if weighed != nil {
			f.ShadowRulesStatPrefix = a.weighed
		}
		list = append(list, f)
	}
	return list
}

// accessTCP decides by connections.
func accessTCP(s *mesh.Settings, access *chain) (list []*listenerv3.Filter) {
	objects := objectsOf(access)
	for _, a := range actions {
		kept, weighed := rulesOf(s, objects, a.said, a.action, true)
		if kept == nil && weighed == nil {
			continue
		}
		f := &tcprbacv3.RBAC{Rules: kept, ShadowRules: weighed, StatPrefix: "tcp."}
		if weighed != nil {
			f.ShadowRulesStatPrefix = a.weighed
		}
		list = append(list, networkFilter(filterTCPRules, f))
	}
	return list
}

// ruleWriter writes a rule. What cannot be decided where it is to be, such as a path of a connection, makes it deny more or allow less: wider, the
// condition is left out; else the rule is.
type ruleWriter struct {
	settings  *mesh.Settings
	namespace string
	tcp       bool
	wider     bool
	lost      bool // something could not be decided
}

func (w *ruleWriter) policy(r *security.Rule) *rbacv3.Policy {
	p := &rbacv3.Policy{}
	froms, tos := r.GetFrom(), r.GetTo()
	if len(froms) == 0 {
		froms = []*security.Rule_From{{}}
	}
	if len(tos) == 0 {
		tos = []*security.Rule_To{{}}
	}
	for _, f := range froms {
		s := f.GetSource()
		var and []*rbacv3.Principal
		add := func(values, not []string, one func(string) *rbacv3.Principal) {
			and = append(and, w.principals(values, not, one)...)
		}
		add(w.expand(s.GetPrincipals()), w.expand(s.GetNotPrincipals()), w.principal)
		add(s.GetRequestPrincipals(), s.GetNotRequestPrincipals(), w.requestPrincipal)
		add(s.GetServiceAccounts(), s.GetNotServiceAccounts(), w.account)
		add(s.GetTrustDomains(), s.GetNotTrustDomains(), w.trustDomain)
		add(s.GetNamespaces(), s.GetNotNamespaces(), w.space)
		add(s.GetRemoteIpBlocks(), s.GetNotRemoteIpBlocks(), w.remote)
		add(s.GetIpBlocks(), s.GetNotIpBlocks(), w.direct)
		for _, c := range r.GetWhen() {
			if one, values, not := w.whenPrincipal(c); one != nil {
				add(values, not, one)
			}
		}
		if len(and) == 0 {
			and = append(and, anyPrincipal())
		}
		p.Principals = append(p.Principals, &rbacv3.Principal{Identifier: &rbacv3.Principal_AndIds{AndIds: &rbacv3.Principal_Set{Ids: and}}})
	}
	for _, t := range tos {
		o := t.GetOperation()
		var and []*rbacv3.Permission
		add := func(values, not []string, one func(string) *rbacv3.Permission) {
			and = append(and, w.permissions(values, not, one)...)
		}
		add(o.GetHosts(), o.GetNotHosts(), w.host)
		add(o.GetMethods(), o.GetNotMethods(), w.method)
		add(o.GetPaths(), o.GetNotPaths(), w.path)
		add(o.GetPorts(), o.GetNotPorts(), w.port)
		for _, c := range r.GetWhen() {
			if one := w.whenPermission(c.GetKey()); one != nil {
				add(c.GetValues(), c.GetNotValues(), one)
			}
		}
		if len(and) == 0 {
			and = append(and, anyPermission())
		}
		p.Permissions = append(p.Permissions, &rbacv3.Permission{Rule: &rbacv3.Permission_AndRules{AndRules: &rbacv3.Permission_Set{Rules: and}}})
	}
	for _, c := range r.GetWhen() {
		if one, _, _ := w.whenPrincipal(c); one == nil && w.whenPermission(c.GetKey()) == nil {
			w.lost = true // nobody knows such a condition
		}
	}
	if w.lost && !w.wider {
		return nil
	}
	return p
}

func anyPrincipal() *rbacv3.Principal {
	return &rbacv3.Principal{Identifier: &rbacv3.Principal_Any{Any: true}}
}

func anyPermission() *rbacv3.Permission {
	return &rbacv3.Permission{Rule: &rbacv3.Permission_Any{Any: true}}
}

// principals are a list of values of which one has to be, and one of which none may be.
func (w *ruleWriter) principals(values, not []string, one func(string) *rbacv3.Principal) (and []*rbacv3.Principal) {
	if or := either(w, values, one); len(or) > 0 {
		and = append(and, orPrincipal(or))
	}
	if or := either(w, not, one); len(or) > 0 {
		and = append(and, &rbacv3.Principal{Identifier: &rbacv3.Principal_NotId{NotId: orPrincipal(or)}})
	}
	return and
}

func orPrincipal(list []*rbacv3.Principal) *rbacv3.Principal {
	return &rbacv3.Principal{Identifier: &rbacv3.Principal_OrIds{OrIds: &rbacv3.Principal_Set{Ids: list}}}
}

// permissions is principals of what is asked for.
func (w *ruleWriter) permissions(values, not []string, one func(string) *rbacv3.Permission) (and []*rbacv3.Permission) {
	if or := either(w, values, one); len(or) > 0 {
		and = append(and, orPermission(or))
	}
	if or := either(w, not, one); len(or) > 0 {
		and = append(and, &rbacv3.Permission{Rule: &rbacv3.Permission_NotRule{NotRule: orPermission(or)}})
	}
	return and
}

func orPermission(list []*rbacv3.Permission) *rbacv3.Permission {
	return &rbacv3.Permission{Rule: &rbacv3.Permission_OrRules{OrRules: &rbacv3.Permission_Set{Rules: list}}}
}

// either are the conditions of values of which one has to be; none, if there are no values, or if one of them cannot be decided here: of one less,
// a rule that denies would deny less.
func either[T any](w *ruleWriter, values []string, one func(string) *T) (or []*T) {
	for _, v := range values {
		p := one(v)
		if p == nil {
			w.lost = true
			return nil
		}
		or = append(or, p)
	}
	return or
}
