package kube

import (
	"slices"

	"github.com/weftmesh/weft/control/source"
)

// What an API server asks a webhook waits for at most so long.
const webhookSeconds = 10

// Webhooks are the manifests of what has an API server ask a control plane about pods, which get a sidecar, and about objects of Istio's kinds, which are refused
// if something is wrong with them; and of the Service that leads to it. YAML, a document each.
//
// Pods are the revision's that name it in their label istio.io/rev, or whose namespace does, and those of each of its tags; the default one's are those with
// sidecar.istio.io/inject, or whose namespace has istio-injection: enabled.
func Webhooks(namespace, revision string, tags []string) []byte {
	service := webhookApp
	if revision != "" && revision != defaultRevision {
		service += "-" + revision
	}
	labels := object{appLabel: webhookApp, revisionLabel: revisionName(revision)}
	all := []object{
		{"apiVersion": "v1", "kind": "Service", "metadata": object{"name": service, "namespace": namespace, "labels": labels},
			"spec": object{"selector": labels, "ports": []object{
				{"name": "https-dns", "port": 15012, "protocol": "TCP"},
				{"name": "https-webhook", "port": 443, "targetPort": 15017, "protocol": "TCP"}}}},
		mutating("weft-sidecar-injector", service, namespace, revisionName(revision), labels),
	}
	for _, tag := range tags {
		if tag == revisionName(revision) {
			continue
		}
		marked := object{"istio.io/tag": tag}
		for k, v := range labels {
			marked[k] = v
		}
		all = append(all, mutating("weft-revision-tag", service, namespace, tag, marked))
	}
	var rules []object
	groups := map[string][]string{}
	for kind, f := range source.Forms {
		if taught(source.Kind(kind)) {
			groups[f.Group] = append(groups[f.Group], f.Plural)
		}
	}
	for _, group := range sortedKeys(groups) {
		rules = append(rules, object{"operations": []string{"CREATE", "UPDATE"}, "apiGroups": []string{group}, "apiVersions": []string{"*"},
			"resources": groups[group], "scope": "Namespaced"})
	}
	validate := webhook("validation.weftmesh.io", service, namespace, "/validate", rules)
	if revisionName(revision) != defaultRevision { // the others' objects are the others' to judge
		validate["objectSelector"] = object{"matchExpressions": []object{in(revisionLabel, revision)}}
	}
	all = append(all, object{"apiVersion": webhookGroup + "/v1", "kind": "ValidatingWebhookConfiguration",
		"metadata": object{"name": "weft-validator-" + revisionName(revision), "labels": labels}, "webhooks": []object{validate}})
	return documents(all...)
}

// webhook is one that is asked by a path of a Service. What it cannot answer is refused: a pod without its sidecar would be one without its policies.
func webhook(name, service, namespace, path string, rules []object) object {
	return object{"name": name, "clientConfig": object{"service": object{"name": service, "namespace": namespace, "path": path, "port": 443}}, "rules": rules,
		"failurePolicy": "Fail", "sideEffects": "None", "admissionReviewVersions": []string{"v1"}, "timeoutSeconds": webhookSeconds}
}

func in(key string, values ...string) object {
	return object{"key": key, "operator": "In", "values": values}
}

func notIn(key string, values ...string) object {
	return object{"key": key, "operator": "NotIn", "values": values}
}

func none(key string) object { return object{"key": key, "operator": "DoesNotExist"} }

// mutating is the configuration for the pods of a revision, or of a tag.
func mutating(name, service, namespace, revision string, labels object) object {
	const injection, inject = "istio-injection", "sidecar.istio.io/inject"
	one := func(name string, of, pods []object) object {
		w := webhook(name+".sidecar-injector.weftmesh.io", service, namespace, "/inject",
			[]object{{"operations": []string{"CREATE"}, "apiGroups": []string{""}, "apiVersions": []string{"v1"}, "resources": []string{"pods"}, "scope": "Namespaced"}})
		w["namespaceSelector"], w["objectSelector"] = object{"matchExpressions": of}, object{"matchExpressions": pods}
		return w
	}
	webhooks := []object{
		one("rev.namespace", []object{in(revisionLabel, revision), none(injection)}, []object{notIn(inject, "false")}),
		one("rev.object", []object{none(revisionLabel), none(injection)}, []object{notIn(inject, "false"), in(revisionLabel, revision)}),
	}
	if revision == defaultRevision {
		webhooks = append(webhooks,
			one("namespace", []object{in(injection, "enabled")}, []object{notIn(inject, "false")}),
			one("object", []object{none(injection), none(revisionLabel)}, []object{in(inject, "true"), none(revisionLabel)}))
	}
	return object{"apiVersion": webhookGroup + "/v1", "kind": "MutatingWebhookConfiguration",
		"metadata": object{"name": name + "-" + revision, "labels": labels}, "webhooks": webhooks}
}

func sortedKeys[V any](m map[string]V) (out []string) {
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
