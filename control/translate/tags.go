package translate

import (
	"cmp"
	"maps"
	"slices"

	tagmetav3 "github.com/envoyproxy/go-control-plane/envoy/type/metadata/v3"
	tagv3 "github.com/envoyproxy/go-control-plane/envoy/type/tracing/v3"
	meshv1 "istio.io/api/mesh/v1alpha1"
	telemetryv1 "istio.io/api/telemetry/v1alpha1"
)

func literalTag(name, value string) *tagv3.CustomTag {
	return &tagv3.CustomTag{Tag: name, Type: &tagv3.CustomTag_Literal_{Literal: &tagv3.CustomTag_Literal{Value: value}}}
}

// workloadTags is what Istio has proxies say of the workload, by the names that people know.
func workloadTags(p *Proxy) []*tagv3.CustomTag {
	return []*tagv3.CustomTag{
		literalTag("istio.canonical_revision", cmp.Or(p.Labels["service.istio.io/canonical-revision"], "latest")),
		literalTag("istio.canonical_service", cmp.Or(p.Labels["service.istio.io/canonical-name"], "unknown")),
		literalTag("istio.cluster_id", cmp.Or(p.Cluster, "unknown")),
		literalTag("istio.mesh_id", cmp.Or(p.Mesh, "unknown")),
		literalTag("istio.namespace", p.Namespace),
	}
}

// weighedTags is what policies would have done that are only weighed. Without such policies there are no such tags.
var weighedTags = []*tagv3.CustomTag{
	weighedTag("allow_policy.name", weighedAllow+"shadow_effective_policy_id"), weighedTag("allow_policy.result", weighedAllow+"shadow_engine_result"),
	weighedTag("deny_policy.name", weighedDeny+"shadow_effective_policy_id"), weighedTag("deny_policy.result", weighedDeny+"shadow_engine_result"),
}

func weighedTag(name, key string) *tagv3.CustomTag {
	return &tagv3.CustomTag{Tag: "istio.authorization.dry_run." + name, Type: &tagv3.CustomTag_Metadata_{Metadata: &tagv3.CustomTag_Metadata{
		Kind:        &tagmetav3.MetadataKind{Kind: &tagmetav3.MetadataKind_Request_{Request: &tagmetav3.MetadataKind_Request{}}},
		MetadataKey: &tagmetav3.MetadataKey{Key: filterHTTPRules, Path: []*tagmetav3.MetadataKey_PathSegment{{Segment: &tagmetav3.MetadataKey_PathSegment_Key{Key: key}}}},
	}}}
}

func environmentTag(name, variable, usual string) *tagv3.CustomTag {
	return &tagv3.CustomTag{Tag: name, Type: &tagv3.CustomTag_Environment_{Environment: &tagv3.CustomTag_Environment{Name: variable, DefaultValue: usual}}}
}

func headerTag(name, header, usual string) *tagv3.CustomTag {
	return &tagv3.CustomTag{Tag: name, Type: &tagv3.CustomTag_RequestHeader{RequestHeader: &tagv3.CustomTag_Header{Name: header, DefaultValue: usual}}}
}

// saidTags are those of Telemetry.
func saidTags(p *Proxy, tags map[string]*telemetryv1.Tracing_CustomTag) (list []*tagv3.CustomTag) {
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		switch tag := tags[name].GetType().(type) {
		case *telemetryv1.Tracing_CustomTag_Literal:
			list = append(list, literalTag(name, tag.Literal.GetValue()))
		case *telemetryv1.Tracing_CustomTag_Environment:
			list = append(list, environmentTag(name, tag.Environment.GetName(), tag.Environment.GetDefaultValue()))
		case *telemetryv1.Tracing_CustomTag_Header:
			list = append(list, headerTag(name, tag.Header.GetName(), tag.Header.GetDefaultValue()))
		case *telemetryv1.Tracing_CustomTag_Formatter:
			if !older(p.Version, 29) {
				list = append(list, &tagv3.CustomTag{Tag: name, Type: &tagv3.CustomTag_Value{Value: tag.Formatter.GetValue()}})
			}
		}
	}
	return list
}

// checkTag tells why proxies would not take a tag: they refuse it with all of the listener.
func checkTag(t *tagv3.CustomTag) error {
	if err := t.ValidateAll(); err != nil {
		return err
	}
	return checkFormat(t.GetValue())
}

// ownTags are those of ProxyConfig.
func ownTags(own *meshv1.Tracing) (list []*tagv3.CustomTag) {
	for _, name := range slices.Sorted(maps.Keys(own.GetCustomTags())) {
		switch tag := own.GetCustomTags()[name].GetType().(type) {
		case *meshv1.Tracing_CustomTag_Literal:
			list = append(list, literalTag(name, tag.Literal.GetValue()))
		case *meshv1.Tracing_CustomTag_Environment:
			list = append(list, environmentTag(name, tag.Environment.GetName(), tag.Environment.GetDefaultValue()))
		case *meshv1.Tracing_CustomTag_Header:
			list = append(list, headerTag(name, tag.Header.GetName(), tag.Header.GetDefaultValue()))
		}
	}
	return list
}
