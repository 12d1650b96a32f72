package kube

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/weftmesh/weft/control/source"
)

// Role are the manifests of what a control plane needs to be allowed, and of who is: a ClusterRole of that name and its binding to the service account of
// the same name in a namespace. With publishes it may keep the roots of the mesh in every namespace. YAML, a document each.
func Role(name, namespace string, publishes bool) []byte {
	type object = map[string]any
	rules := []object{
		{"apiGroups": []string{"apiextensions.k8s.io"}, "resources": []string{"customresourcedefinitions"}, "verbs": []string{"get", "list", "watch"}},
		{"apiGroups": []string{"authentication.k8s.io"}, "resources": []string{"tokenreviews"}, "verbs": []string{"create"}},
	}
	if publishes {
		rules = append(rules,
			object{"apiGroups": []string{""}, "resources": []string{"configmaps"}, "verbs": []string{"create", "patch"}},
			object{"apiGroups": []string{"coordination.k8s.io"}, "resources": []string{"leases"}, "verbs": []string{"get", "create", "update"}})
	}
	var groups []string
	plurals := map[string][]string{}
	for _, f := range source.Forms {
		if len(f.Versions) == 0 {
			continue
		}
		if plurals[f.Group] == nil {
			groups = append(groups, f.Group)
		}
		plurals[f.Group] = append(plurals[f.Group], f.Plural)
	}
	for _, group := range groups {
		rules = append(rules, object{"apiGroups": []string{group}, "resources": plurals[group], "verbs": []string{"get", "list", "watch"}})
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetIndent("", "  ")
	const group = "rbac.authorization.k8s.io"
	for _, one := range []object{
		{"apiVersion": group + "/v1", "kind": "ClusterRole", "metadata": object{"name": name}, "rules": rules},
		{"apiVersion": group + "/v1", "kind": "ClusterRoleBinding", "metadata": object{"name": name},
			"roleRef":  object{"apiGroup": group, "kind": "ClusterRole", "name": name},
			"subjects": []object{{"kind": "ServiceAccount", "name": name, "namespace": namespace}}},
	} {
		out.WriteString("---\n")
		e.Encode(one)
	}
	return []byte(strings.TrimSpace(out.String()) + "\n")
}
