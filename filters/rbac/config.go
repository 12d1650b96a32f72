package rbac

import (
	"google.golang.org/protobuf/proto"

	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/xds/decode"
)

// policy is one configuration of the filter, of its chain or of a route.
type policy struct {
	rules, shadow             *config.AccessRules // nil: nobody is looked at
	rulesPrefix, shadowPrefix string              // of what is counted and noted
	each                      bool                // policies are counted one by one
}

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
		Build: build,
	}
}

// read reads a configuration at a path. Of nothing, which is a route's that wants none of it, comes one that looks at nobody.
func read(m *rbacv3.RBAC, path string) (p *policy, err error) {
	p = &policy{rulesPrefix: m.GetRulesStatPrefix(), shadowPrefix: m.GetShadowRulesStatPrefix(), each: m.GetTrackPerRuleStats()}
	if p.rules, err = decode.AccessRules(m.GetRules(), path+"rules"); err != nil {
		return nil, err
	}
	if p.shadow, err = decode.AccessRules(m.GetShadowRules(), path+"shadow_rules"); err != nil {
		return nil, err
	}
	return p, nil
}
