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
		{[]string{"--kinds=false", "--attached"}, "kubernetes.io/service-account.name: weftd\n  name: weftd-token\n", "patch"},
		{[]string{"--write-status"}, "- virtualservices/status\n", "patch"},
		{[]string{"--kinds=false"}, "kind: ClusterRole\n", "Webhook"},
		{[]string{"--webhooks"}, "name: weft-sidecar-injector-default\n", "weft-revision-tag"},
		{[]string{"--webhooks"}, "- mutatingwebhookconfigurations\n  - validatingwebhookconfigurations\n  verbs:\n  - get\n  - list\n  - watch\n  - patch\n", "weftd-"},
		{[]string{"--webhooks", "--namespace", "mesh"}, "namespace: mesh\n      path: /validate\n", "istio-system"},
		{[]string{"--webhooks", "--revision", "two", "--tags", "canary,two"}, "name: weft-revision-tag-canary\n", "istio-injection\n      operator: In\n"},
		{[]string{"--webhooks", "--revision", "two"}, "name: weftd-two\n", "weft-revision-tag"},
		{[]string{"--webhooks", "--revision", "two", "--tags", "default"}, "istio-injection\n      operator: In\n", "weft-sidecar-injector-default"},
	} {
		code, out, said := control(append([]string{"manifests"}, c.args...)...)
		if code != exitDone || !strings.Contains(out, c.has) || strings.Contains(out, c.lack) || said != "" {
			t.Errorf("%q: %d, %q: want %q and no %q:\n%s", c.args, code, said, c.has, c.lack, out)
		}
	}
	for _, args := range [][]string{{"--revision", "two"}, {"--tags", "a"}, {"--webhooks", "--revision", "Two"}, {"--webhooks", "--tags", "a,b c"}} {
		if code, out, said := control(append([]string{"manifests"}, args...)...); code != exitUsage || out != "" || said == "" {
			t.Errorf("%q: %d %s %s", args, code, out, said)
		}
	}
	if code, _, said := control("manifests", "all"); code != exitUsage || !strings.Contains(said, `unexpected argument "all"`) {
		t.Errorf("%d %s", code, said)
	}
}
