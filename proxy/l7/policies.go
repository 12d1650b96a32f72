package l7

import (
	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/proxy/route"
	"github.com/weftmesh/weft/proxy/upstream"
	"github.com/weftmesh/weft/wire/http"
)

// What a cluster says of its requests holds instead of what their route says, as a whole.

func (x *exchange) retryPolicy() *config.Retry {
	if p := x.cluster.Config.Policies; p != nil && p.Retry != nil {
		return p.Retry
	}
	return x.forward.Retry
}

// hashPolicies are what the request is hashed by: as the cluster's balancer says, or the cluster, or else the route.
func (x *exchange) hashPolicies() []config.HashPolicy {
	if own := x.cluster.Config.Hashing.Policies; len(own) > 0 {
		return own
	}
	if p := x.cluster.Config.Policies; p != nil && len(p.HashPolicies) > 0 {
		return p.HashPolicies
	}
	return x.forward.HashPolicies
}

func (x *exchange) mirrorPolicies() []config.Mirror {
	if p := x.cluster.Config.Policies; p != nil && len(p.Mirrors) > 0 {
		return p.Mirrors
	}
	return x.forward.Mirrors
}

// outcome is what an answer says of its endpoint. The cluster may say itself which answers are errors, whatever their status; one that is
// counts as what it is only if that is 5xx, since a gateway's are told apart.
func outcome(c *upstream.Cluster, r *http.Response) upstream.Outcome {
	o := upstream.Outcome{Status: r.Status}
	if p := c.Config.Policies; p != nil && p.Errors != nil {
		switch {
		case !route.MatchAnswer(p.Errors, r):
			o.CountsAs = 200
		case r.Status < 500 || r.Status > 599:
			o.CountsAs = 500
		}
	}
	return o
}
