package rbac

import (
	"strings"
	"sync"

	"github.com/weftmesh/weft/filters"
	"github.com/weftmesh/weft/telemetry"
)

// Rows of the filter's numbers, under Envoy's names.
const (
	allowed = iota
	denied
)

// Of the rules that are enforced, of those that are only weighed, and of the policies of either.
var (
	stats             = table("http_rbac", "")
	shadowStats       = table("http_rbac_shadow", "shadow_")
	policyStats       = table("http_rbac_policy", "")
	shadowPolicyStats = table("http_rbac_shadow_policy", "shadow_")
)

func table(kind, before string) *telemetry.Table {
	return &telemetry.Table{Kind: kind, Metrics: []telemetry.Metric{allowed: {Name: before + "allowed"}, denied: {Name: before + "denied"}}}
}

// counters are where one side of a filter is counted, on all loops. What routes have of their own is counted there, too, as in Envoy.
type counters struct {
	store    *telemetry.Store
	prefix   string
	owner    *telemetry.Owner
	table    *telemetry.Table // of policies
	policies sync.Map         // *telemetry.Owner, by the policy's name: those that were met, of which a configuration has so many
}

func newCounters(site *filters.Site, prefix string, of, ofPolicies *telemetry.Table) *counters {
	c := &counters{store: site.Stats, prefix: site.StatPrefix + "rbac.", table: ofPolicies}
	if prefix != "" {
		c.prefix += strings.TrimSuffix(prefix, ".") + "."
	}
	c.owner = site.Stats.Acquire(of, c.prefix)
	return c
}

// policy is where a policy is counted.
func (c *counters) policy(name string, loop int) *telemetry.Values {
	o, ok := c.policies.Load(name)
	if !ok {
		o, _ = c.policies.LoadOrStore(name, c.store.Acquire(c.table, c.prefix+"policy."+name+"."))
	}
	return o.(*telemetry.Owner).Loop(loop)
}
