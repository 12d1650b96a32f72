package rbac

import (
	"google.golang.org/protobuf/proto"

	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/match"
	"github.com/weftmesh/weft/xds/decode"
)

// policy is one configuration of the filter, of its chain or of a route.
type policy struct {
	kept, weighed side // rules that are enforced, and those of which only is noted what they would do
	each          bool // policies are counted one by one
}

// side are rules, and how they are counted and noted.
type side struct {
	rules  *config.AccessRules // nil: nobody is looked at
	prefix string              // of what is counted and noted; a route's may be empty, and then its chain's is taken for notes
	notes
	names []any // of the policies, as they are noted
}

// notes are the keys of what is noted.
type notes struct{ result, policy string }

// Spec is the filter.
func Spec() filters.Spec {
	return filters.Spec{
		Name:     "envoy.filters.http.rbac",
		Type:     "envoy.extensions.filters.http.rbac.v3.RBAC",
		Override: "envoy.extensions.filters.http.rbac.v3.RBACPerRoute",
		Decode: func(wire []byte) (any, error) {
			var m rbacv3.RBAC
			if err := proto.Unmarshal(wire, &m); err != nil {
				return nil, err
			}
			return read(&m, "")
		},
		DecodeOverride: func(wire []byte, _ string) (any, error) {
			var m rbacv3.RBACPerRoute
			if err := proto.Unmarshal(wire, &m); err != nil {
				return nil, err
			}
			return read(m.GetRbac(), "rbac.")
		},
		Hooks: filters.OnRequestHeaders,
		Judge: func(c any, who match.Caller) filters.Judgement { return c.(*policy).judge(who) },
		Build: build,
	}
}

// judge says which policy decides.
func (p *policy) judge(who match.Caller) (j filters.Judgement) {
	r := p.kept.rules
	if r == nil {
		return j
	}
	words, passes := match.Words(r, who)
	if j.Words = words; !passes {
		j.Status = 403
	}
	return j
}

// read reads a configuration at a path. Of nothing, which is a route's that wants none of it, comes one that looks at nobody.
func read(m *rbacv3.RBAC, path string) (*policy, error) {
	kept, err := decode.AccessRules(m.GetRules(), path+"rules")
	if err != nil {
		return nil, err
	}
	weighed, err := decode.AccessRules(m.GetShadowRules(), path+"shadow_rules")
	if err != nil {
		return nil, err
	}
	return &policy{kept: newSide(kept, m.GetRulesStatPrefix(), "enforced_"), weighed: newSide(weighed, m.GetShadowRulesStatPrefix(), "shadow_"), each: m.GetTrackPerRuleStats()}, nil
}

func newSide(r *config.AccessRules, prefix, kind string) side {
	s := side{rules: r, prefix: prefix, notes: notes{prefix + kind + "engine_result", prefix + kind + "effective_policy_id"}}
	if r != nil {
		for i := range r.Policies {
			s.names = append(s.names, r.Policies[i].Name)
		}
	}
	return s
}
