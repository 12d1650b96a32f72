package main

import (
	"strings"
	"testing"
)

func TestManifestsCommand(t *testing.T) {
	for _, c := range []struct {
		args      []string
		has, lack string
	}{
		{nil, "kind: CustomResourceDefinition\n", "leases"},
		{nil, "name: weftd\n  namespace: istio-system\n", "patch"},
		{[]string{"--kinds=false"}, "kind: ClusterRole\n", "CustomResourceDefinition\n"},
		{[]string{"--publish-roots", "--namespace", "mesh", "--account", "plane"}, "- leases\n", "istio-system"},
		{[]string{"--store"}, "kind: Role\nmetadata:\n  name: weftd\n  namespace: istio-system\nrules:\n- apiGroups:\n  - \"\"\n  resources:\n  - secrets\n  verbs:\n  - create\n  - update\n  - delete\n", "patch"},
		{[]string{"--write-status"}, "- virtualservices/status\n", "patch"},
	} {
		code, out, said := control(append([]string{"manifests"}, c.args...)...)
		if code != exitDone || !strings.Contains(out, c.has) || strings.Contains(out, c.lack) || said != "" {
			t.Errorf("%q: %d, %q: want %q and no %q:\n%s", c.args, code, said, c.has, c.lack, out)
		}
	}
	if code, _, said := control("manifests", "all"); code != exitUsage || !strings.Contains(said, `unexpected argument "all"`) {
		t.Errorf("%d %s", code, said)
	}
}
