package translate

import (
	"fmt"
	"strings"
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/proto"

	"github.com/weftmesh/weft/control/mesh"
	"github.com/weftmesh/weft/test/manifest"
	"github.com/weftmesh/weft/xds/server"
)

const passing = `kind: Gateway
metadata: {name: cross, namespace: istio-system}
spec: {selector: {istio: eastwest}, servers: [{port: {number: 15443, name: tls, protocol: TLS}, tls: {mode: AUTO_PASSTHROUGH}, hosts: ["*.local"]}]}
`

const eastwest = "{id: router~10.0.0.5~eastwest-1.istio-system~istio-system.svc.cluster.local, metadata: {NAMESPACE: istio-system, LABELS: {istio: eastwest}}}"

// TestNobodyIsPassedOnByManyNames has no ServiceEntry of whatever namespace give the door a chain that an Envoy refuses, and with it all of the listener.
func TestNobodyIsPassedOnByManyNames(t *testing.T) {
	entry := func(hosts, resolution string) string {
		endpoints := ""
		if resolution == "STATIC" {
			endpoints = ", endpoints: [{address: 10.9.0.1}]"
		}
		return "---\nkind: ServiceEntry\nmetadata: {name: e" + strings.ToLower(resolution) + ", namespace: evil}\nspec: {hosts: [" + hosts + "], location: MESH_INTERNAL, resolution: " + resolution + ", ports: [{number: 443, name: tls, protocol: TLS}]" + endpoints + "}\n"
	}
	v := New().View(mesh.New().With(manifest.Read(t, passing+entry(`"*.evil.local", good.local`, "STATIC")+entry(`"*.bad.local"`, "NONE"))), proxyOf(t, eastwest))
	valid(t, v)
	l := &listenerv3.Listener{}
	if r := v.Find(server.Listeners, "0.0.0.0_15443"); r == nil || proto.Unmarshal(r.Body, l) != nil {
		t.Fatal("no listener")
	}
	var names []string
	for _, c := range l.FilterChains {
		names = append(names, c.FilterChainMatch.ServerNames...)
	}
	if got, want := strings.Join(names, " "), "outbound_.443_._.good.local"; got != want {
		t.Errorf("passed on: %s, want %s", got, want)
	}
	for _, part := range v.Parts {
		for _, r := range part.Resources {
			if strings.HasPrefix(r.Name, "outbound_.") && strings.Contains(r.Name, "*") {
				t.Errorf("%s %s is told, to which nothing is sent", kindWords[part.Kind], r.Name)
			}
		}
	}
}

// TestPassagesAreMadeInTurn has twice as many services take about twice as much: each chain is held against all earlier ones.
func TestPassagesAreMadeInTurn(t *testing.T) {
	made := func(n int) float64 {
		var b strings.Builder
		b.WriteString(passing)
		for i := range n {
			fmt.Fprintf(&b, "---\nkind: Service\nmetadata: {name: s%d, namespace: a}\nspec: {clusterIP: None, ports: [{name: http, port: 80}, {name: tcp, port: 90}]}\n", i)
		}
		m, p := mesh.New().With(manifest.Read(t, b.String())), proxyOf(t, eastwest)
		return testing.AllocsPerRun(1, func() { New().View(m, p) })
	}
	if few, many := made(200), made(400); many > 3*few {
		t.Errorf("%.0f allocations for 400 services, and %.0f for 200", many, few)
	}
}
