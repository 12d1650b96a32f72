package translate

import (
	"fmt"
	"slices"

	networking "istio.io/api/networking/v1alpha3"
)

// Operations that lists of named things take, and those that what is found by its match takes.
var (
	onLists = []networking.EnvoyFilter_Patch_Operation{networking.EnvoyFilter_Patch_ADD, networking.EnvoyFilter_Patch_INSERT_BEFORE, networking.EnvoyFilter_Patch_INSERT_AFTER, networking.EnvoyFilter_Patch_INSERT_FIRST,
		networking.EnvoyFilter_Patch_REMOVE, networking.EnvoyFilter_Patch_REPLACE, networking.EnvoyFilter_Patch_MERGE, networking.EnvoyFilter_Patch_MERGE_AND_REPLACE_LIST}
	onThings = []networking.EnvoyFilter_Patch_Operation{networking.EnvoyFilter_Patch_ADD, networking.EnvoyFilter_Patch_REMOVE, networking.EnvoyFilter_Patch_MERGE, networking.EnvoyFilter_Patch_MERGE_AND_REPLACE_LIST}
)

// operations are those that do something, by what they are for.
var operations = map[networking.EnvoyFilter_ApplyTo][]networking.EnvoyFilter_Patch_Operation{
	networking.EnvoyFilter_LISTENER:            onThings,
	networking.EnvoyFilter_LISTENER_FILTER:     onLists,
	networking.EnvoyFilter_FILTER_CHAIN:        onThings,
	networking.EnvoyFilter_NETWORK_FILTER:      onLists,
	networking.EnvoyFilter_HTTP_FILTER:         onLists,
	networking.EnvoyFilter_ROUTE_CONFIGURATION: {networking.EnvoyFilter_Patch_MERGE, networking.EnvoyFilter_Patch_MERGE_AND_REPLACE_LIST},
	networking.EnvoyFilter_VIRTUAL_HOST:        onThings,
	networking.EnvoyFilter_HTTP_ROUTE: slices.DeleteFunc(slices.Clone(onLists), func(o networking.EnvoyFilter_Patch_Operation) bool {
		return o == networking.EnvoyFilter_Patch_REPLACE
	}),
	networking.EnvoyFilter_CLUSTER:          onThings,
	networking.EnvoyFilter_EXTENSION_CONFIG: {networking.EnvoyFilter_Patch_ADD},
}

// envoyFilter says what of an EnvoyFilter does nothing, or not what it asks for.
func (c *checking) envoyFilter(spec *networking.EnvoyFilter) {
	if len(spec.GetTargetRefs()) > 0 {
		c.warn("spec.targetRefs", "what it is aimed at by these is a proxy of Kubernetes' Gateway API, of which there are none here: nothing of it is run")
	}
	for i, p := range spec.GetConfigPatches() {
		at := fmt.Sprintf("spec.configPatches[%d].", i)
		op, m := p.GetPatch().GetOperation(), p.GetMatch()
		if len(m.GetProxy().GetMetadata()) > 0 {
			c.refuse(at+"match.proxy.metadata", "choosing proxies by metadata is not run yet: want labels in workloadSelector")
		}
		if m.GetListener().GetPortName() != "" || m.GetRouteConfiguration().GetPortName() != "" {
			c.warn(at+"match", "portName is not looked at, as at Istio: want portNumber")
		}
		switch {
		case p.GetApplyTo() == networking.EnvoyFilter_BOOTSTRAP:
			c.warn(at+"applyTo", "a bootstrap is written where a proxy starts, and not told from here: the patch does nothing")
		case !slices.Contains(operations[p.GetApplyTo()], op):
			c.warn(at+"patch.operation", "%s of a %s does nothing: want one of %v", op, p.GetApplyTo(), operations[p.GetApplyTo()])
		case slices.Contains(onThings[1:], op) || op == networking.EnvoyFilter_Patch_REPLACE:
			f := m.GetListener()
			unnamed := p.GetApplyTo() == networking.EnvoyFilter_HTTP_FILTER && f.GetFilterChain().GetFilter().GetSubFilter() == nil ||
				p.GetApplyTo() == networking.EnvoyFilter_NETWORK_FILTER && f.GetFilterChain().GetFilter() == nil || p.GetApplyTo() == networking.EnvoyFilter_LISTENER_FILTER && f.GetListenerFilter() == ""
			if unnamed {
				c.warn(at+"match.listener", "%s of a %s that the match does not name does nothing: name it", op, p.GetApplyTo())
			}
		}
	}
}
