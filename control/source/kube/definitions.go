package kube

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/weftmesh/weft/control/source"
)

// Definitions are the manifests of the kinds of Istio's that are read, as an API server has to have them (CustomResourceDefinition): YAML, a document each.
// It says nothing of what is in an object, since an API server drops what a definition does not name: who has written it would never hear of it. The
// definitions that Istio installs do as well.
func Definitions() []byte {
	type object = map[string]any
	var out bytes.Buffer
	for _, f := range source.Forms {
		if !strings.HasSuffix(f.Group, ".istio.io") {
			continue
		}
		var versions []object
		for i, name := range f.Versions {
			versions = append(versions, object{"name": name, "served": true, "storage": i == 0, "subresources": object{"status": object{}},
				"schema": object{"openAPIV3Schema": object{"type": "object", "x-kubernetes-preserve-unknown-fields": true}}})
		}
		out.WriteString("---\n")
		e := json.NewEncoder(&out)
		e.SetIndent("", "  ")
		e.Encode(object{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": object{"name": f.Plural + "." + f.Group},
			"spec": object{"group": f.Group, "scope": "Namespaced", "versions": versions,
				"names": object{"kind": f.Name, "listKind": f.Name + "List", "plural": f.Plural, "singular": strings.ToLower(f.Name), "categories": []string{"istio-io"}}}})
	}
	return out.Bytes()
}
