package translate

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/test/manifest"
)

// TestCredentialsAreThoseThatAreNamed holds the names that a proxy may be told to those that its view has it ask for.
func TestCredentialsAreThoseThatAreNamed(t *testing.T) {
	text, err := os.ReadFile("testdata/credentials.yaml")
	if err != nil {
		t.Fatal(err)
	}
	objects, _, _ := strings.Cut(string(text), markNode)
	m, tr := mesh.New().With(manifest.Read(t, objects)), New()
	egress := []string{"configmap://edge/roots-cacert", "kubernetes://client", "kubernetes://client-cacert"}
	for _, c := range []struct {
		name, node string
		want       []string
	}{
		{"the gateway", `{id: router~10.1.9.1~ingress.edge~edge.svc.cluster.local, metadata: {NAMESPACE: edge, LABELS: {app: ingress}}}`,
			append([]string{"configmap://other/roots-cacert", "kubernetes://edge/partner", "kubernetes://partner", "kubernetes://partner-cacert", "kubernetes://web-curve", "kubernetes://web-rsa"}, egress...)},
		{"another gateway", `{id: router~10.1.9.2~egress.edge~edge.svc.cluster.local, metadata: {NAMESPACE: edge, LABELS: {app: egress}}}`, egress},
		{"a sidecar", `{id: sidecar~10.1.9.3~web.edge~edge.svc.cluster.local, metadata: {NAMESPACE: edge, LABELS: {app: ingress}}}`, nil},
	} {
		slices.Sort(c.want)
		p := proxyOf(t, c.node)
		if _, got := tr.Told(m, p); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		// All of these, and no others, are asked for by what it is told.
		var told strings.Builder
		for _, part := range tr.View(m, p).Parts {
			for _, r := range part.Resources {
				told.Write(r.Body)
			}
		}
		for _, name := range c.want {
			if !strings.Contains(told.String(), name) {
				t.Errorf("%s: nothing asks for %s", c.name, name)
			}
		}
		if n := strings.Count(told.String(), "kubernetes://") + strings.Count(told.String(), "configmap://"); (n > 0) != (len(c.want) > 0) {
			t.Errorf("%s: %d names are asked for", c.name, n)
		}
	}
}
