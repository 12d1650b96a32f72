package kube

import (
	"strings"
	"testing"
	"time"
)

// What the server keeps is what was applied, and it is there when the server comes back.
func TestAClusterKeepsWhatIsApplied(t *testing.T) {
	began := time.Now()
	c := Start(t)
	t.Logf("ready after %v", time.Since(began))
	c.Install()
	t.Logf("installed after %v", time.Since(began))
	c.Apply(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: a}
spec: {hosts: [shop.test], http: [{route: [{destination: {host: shop.test}}]}], sepc: 1}
`)
	c.Restart()
	t.Logf("restarted after %v", time.Since(began))
	var o struct{ Spec struct{ Hosts []string } }
	const name = "{apiVersion: networking.istio.io/v1alpha3, kind: VirtualService, metadata: {name: shop, namespace: a}}"
	c.Get(name, &o)
	if len(o.Spec.Hosts) != 1 || o.Spec.Hosts[0] != "shop.test" {
		t.Errorf("%+v", o)
	}
	c.Account("a", "one")
	if token := c.Token("a", "one", "istio-ca"); strings.Count(token, ".") != 2 {
		t.Errorf("token %q", token)
	}
	c.KubeconfigOf("a", "one")
	c.Delete(name)
}
