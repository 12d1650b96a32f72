package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestInjectCommand(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const service = "kind:   Service # as it is\napiVersion: v1\n"
	const deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: cart, namespace: shop}\nspec:\n  template:\n    metadata: {labels: {app: cart}}\n    spec:\n      containers: [{name: cart, image: cart}]\n"
	shop := file("shop.yaml", service+"---\n"+deployment)
	two := file("two.yaml", strings.ReplaceAll(deployment, "cart", "two"))
	host := file("host.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: node}\nspec: {hostNetwork: true, containers: []}\n")
	wrong := file("wrong.yaml", strings.Replace(deployment, "{labels: {app: cart}}", `{annotations: {sidecar.istio.io/logLevel: loud}}`, 1))
	config := file("inject.yaml", "image: registry.test/a:1\nsidecar: {logLevel: info}\n")
	mesh := file("mesh.yaml", "trustDomain: one.test\nrootNamespace: root\n")
	objects := file("objects.yaml", "apiVersion: istio.alibabacloud.com/v1\nkind: ASMProxyConfig\nmetadata: {name: all, namespace: root}\nspec: {concurrency: 7}\n---\n{apiVersion: istio.alibabacloud.com/v1, kind: ASMProxyConfig, metadata: {name: all, namespace: shop}, spec: {logLevel: trace}}\n")
	for _, c := range []struct {
		args      []string
		code      int
		out, lack string
		said      string
	}{
		{[]string{"-f", shop, "--inject-config", config}, exitDone, service + "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: cart, namespace: shop}\n", "trace", ""},
		{[]string{"-f", shop, "--inject-config", config}, exitDone, "--proxyLogLevel=info\n", "", ""},
		{[]string{"-f", shop, "--set", "image=registry.test/b", "--set", "tag=2"}, exitDone, "image: registry.test/b:2\n", "", ""},
		{[]string{"-f", shop, "-f", two, "--inject-config", config}, exitDone, "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: two, namespace: shop}\n", "", ""},
		{[]string{"-f", shop, "--inject-config", config, "--mesh-config", mesh, "--objects", objects}, exitDone, `"concurrency":7`, "", ""},
		{[]string{"-f", shop, "--inject-config", config, "--mesh-config", mesh, "--objects", objects}, exitDone, "value: one.test\n", "proxyLogLevel=info", ""},
		{[]string{"-f", shop, "--inject-config", config, "--revision", "two", "--kube-namespace", "mesh"}, exitDone, "value: weftd-two.mesh.svc:15012\n", "", ""},
		{[]string{"-f", shop, "--inject-config", config, "--discovery", "a.test:1"}, exitDone, "value: a.test:1\n", "", ""},
		{[]string{"-f", host, "--inject-config", config}, exitDone, "hostNetwork: true", "istio-proxy", "host.yaml:1: Pod default/node stays as it is: it is on its node's network"},
		{[]string{"-f", shop}, exitFailed, "", "", "no image of a sidecar is named"},
		{[]string{"-f", shop, "-f", wrong, "--inject-config", config}, exitFailed, "", "", `wrong.yaml: line 1: Deployment shop/cart: metadata.annotations["sidecar.istio.io/logLevel"]: "loud" is no level`},
		{[]string{"-f", shop, "--set", "imagee=a"}, exitFailed, "", "", "--inject-config and --set: "},
		{[]string{"-f", shop, "--set", "agent=envoy"}, exitFailed, "", "", "agent: \"envoy\" is none"},
		{[]string{"-f", filepath.Join(dir, "none.yaml"), "--inject-config", config}, exitFailed, "", "", "there is no such file"},
		{[]string{"-f", shop, "--inject-config", filepath.Join(dir, "none.yaml")}, exitFailed, "", "", "--inject-config: open"},
		{[]string{"-f", shop, "--inject-config", config, "--objects", shop}, exitFailed, "", "", "--objects: "},
		{nil, exitUsage, "", "", "want -f FILE"},
		{[]string{shop}, exitUsage, "", "", "files are named by -f"},
	} {
		code, out, said := control(append([]string{"inject"}, c.args...)...)
		if code != c.code || !strings.Contains(out, c.out) || c.lack != "" && strings.Contains(out, c.lack) || !strings.Contains(said, c.said) || (c.code != exitDone) != (out == "") {
			t.Errorf("%q: %d\n%s\n%s", c.args, code, said, out)
		}
	}
}
