package kube

import (
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/weftmesh/weft/control/source"
)

type object = map[string]any

// documents writes objects as YAML, a document each.
func documents(all ...object) (out []byte) {
	for _, one := range all {
		text, err := yaml.Marshal(one)
		if err != nil {
			panic(err) // they are maps, lists and words
		}
		out = append(append(out, "---\n"...), text...)
	}
	return out
}

// Definitions are the manifests of the kinds of Istio's that are read, as an API server has to have them (CustomResourceDefinition): YAML, a document each.
// It says nothing of what is in an object, since an API server drops what a definition does not name: who has written it would never hear of it. The
// definitions that Istio installs do as well.
func Definitions() []byte {
	var all []object
	for kind, f := range source.Forms {
		if !taught(source.Kind(kind)) {
			continue
		}
		var versions []object
		for i, name := range f.Versions {
			versions = append(versions, object{"name": name, "served": true, "storage": i == 0, "subresources": object{"status": object{}},
				"schema": object{"openAPIV3Schema": object{"type": "object", "x-kubernetes-preserve-unknown-fields": true}}})
		}
		all = append(all, object{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": object{"name": f.Plural + "." + f.Group},
			"spec": object{"group": f.Group, "scope": "Namespaced", "versions": versions,
				"names": object{"kind": f.Name, "listKind": f.Name + "List", "plural": f.Plural, "singular": strings.ToLower(f.Name), "categories": []string{"istio-io"}}}})
	}
	return documents(all...)
}

// Duties are what a control plane writes.
type Duties struct {
	Roots  bool // of the mesh, in every namespace
	Status bool // of objects
	Store  bool // Secrets in its own namespace, which hold what must outlive it
	// Webhooks: by which certificates those of this control plane are believed.
	Webhooks  bool
	Signer    string // that it asks for certificates; empty: none
	Workloads bool   // WorkloadEntries of machines that register themselves
	// Attached: it is in another cluster, and shows a token that lasts, which is in a Secret.
	Attached bool
}

// tokenOf is the name of the Secret with the token of an account.
func tokenOf(account string) string { return account + "-token" }

// Role are the manifests of who a control plane is and what it needs to be allowed: a namespace, a service account in it, and a ClusterRole of the same name, bound
// to that, and for a store a Role in that namespace. YAML, a document each.
func Role(name, namespace string, d Duties) []byte {
	const group = "rbac.authorization.k8s.io"
	read := []string{"get", "list", "watch"}
	rule := func(group string, resources, verbs []string) object {
		return object{"apiGroups": []string{group}, "resources": resources, "verbs": verbs}
	}
	rules := []object{
		rule("apiextensions.k8s.io", []string{"customresourcedefinitions"}, read),
		rule("authentication.k8s.io", []string{"tokenreviews"}, []string{"create"}),
		rule("authorization.k8s.io", []string{"subjectaccessreviews"}, []string{"create"}),
	}
	// Of ConfigMaps these alone: others are nobody's business here.
	maps, names := rule("", []string{"configmaps"}, read), []string{meshName}
	if d.Roots {
		names = append(names, rootsName)
		maps["verbs"] = append(read[:len(read):len(read)], "patch")
		rules = append(rules, rule("", []string{"configmaps"}, []string{"create"})) // which cannot be restricted to names
	}
	maps["resourceNames"] = names
	rules = append(rules, maps)
	if d.Webhooks {
		rules = append(rules, rule(webhookGroup, webhookKinds, append(read[:len(read):len(read)], "patch")))
	}
	if d.Signer != "" {
		approve := rule("certificates.k8s.io", []string{"signers"}, []string{"approve"})
		approve["resourceNames"] = []string{d.Signer}
		rules = append(rules, rule("certificates.k8s.io", []string{"certificatesigningrequests"}, []string{"create", "get", "delete"}),
			rule("certificates.k8s.io", []string{"certificatesigningrequests/approval"}, []string{"update"}), approve)
	}
	leases := []string{"get", "create", "update"}
	if d.Workloads {
		leases = append(leases, "delete")
		rules = append(rules, rule("networking.istio.io", []string{"workloadentries", "workloadentries/status"}, []string{"create", "update", "delete"}))
	}
	if d.Roots || d.Status || d.Webhooks || d.Workloads {
		rules = append(rules, rule("coordination.k8s.io", []string{"leases"}, leases))
	}
	var groups []string
	plurals := map[string][]string{}
	istio := map[string]bool{}
	for kind, f := range source.Forms {
		if len(f.Versions) == 0 || source.Kind(kind) == source.ConfigMap {
			continue
		}
		istio[f.Group] = taught(source.Kind(kind))
		if plurals[f.Group] == nil {
			groups = append(groups, f.Group)
		}
		plurals[f.Group] = append(plurals[f.Group], f.Plural)
	}
	for _, group := range groups {
		rules = append(rules, rule(group, plurals[group], read))
		if d.Status && istio[group] {
			var status []string
			for _, one := range plurals[group] {
				status = append(status, one+"/status")
			}
			rules = append(rules, rule(group, status, []string{"update"}))
		}
	}
	all := []object{
		{"apiVersion": "v1", "kind": "Namespace", "metadata": object{"name": namespace}},
		{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": object{"name": name, "namespace": namespace}},
		{"apiVersion": group + "/v1", "kind": "ClusterRole", "metadata": object{"name": name}, "rules": rules},
		{"apiVersion": group + "/v1", "kind": "ClusterRoleBinding", "metadata": object{"name": name},
			"roleRef":  object{"apiGroup": group, "kind": "ClusterRole", "name": name},
			"subjects": []object{{"kind": "ServiceAccount", "name": name, "namespace": namespace}}},
	}
	if d.Attached {
		all = append(all, object{"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
			"metadata": object{"name": tokenOf(name), "namespace": namespace, "annotations": object{"kubernetes.io/service-account.name": name}}})
	}
	if d.Store { // in its own namespace alone
		here := object{"name": name, "namespace": namespace}
		all = append(all,
			object{"apiVersion": group + "/v1", "kind": "Role", "metadata": here, "rules": []object{rule("", []string{"secrets"}, []string{"create", "update", "delete"})}},
			object{"apiVersion": group + "/v1", "kind": "RoleBinding", "metadata": here,
				"roleRef":  object{"apiGroup": group, "kind": "Role", "name": name},
				"subjects": []object{{"kind": "ServiceAccount", "name": name, "namespace": namespace}}})
	}
	return documents(all...)
}

// taught tells whether a kind is one of Istio's or ASM's, which an API server does not have by itself.
func taught(kind source.Kind) bool {
	group := source.Forms[kind].Group
	return strings.HasSuffix(group, ".istio.io") || group == "istio.alibabacloud.com"
}
