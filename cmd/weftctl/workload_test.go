package main

import (
	"strings"
	"testing"

	plane "github.com/weftmesh/weft/control"
)

// TestWorkload prints the bootstrap of a machine, and says what is wrong with how that is asked for.
func TestWorkload(t *testing.T) {
	weftdWith(t, map[string]string{"groups.yaml": `
{apiVersion: networking.istio.io/v1, kind: WorkloadGroup, metadata: {name: vm, namespace: shop}, spec: {template: {serviceAccount: web}}}
---
{apiVersion: networking.istio.io/v1, kind: WorkloadGroup, metadata: {name: plain, namespace: shop}, spec: {template: {}}}
`}, plane.Options{SecureGRPC: "127.0.0.1:0"})
	good := []string{"workload", "vm", "-n", "shop", "--address", "10.0.0.7", "--plane", "weftd.test:15012"}
	with := func(more ...string) []string { return append(good[:len(good):len(good)], more...) }
	for _, c := range []struct {
		line     []string
		code     int
		out, err string
	}{
		{good, exitDone, `metadata: {"AUTO_REGISTER_GROUP":"vm","INTERCEPTION_MODE":"NONE","NAMESPACE":"shop","SERVICE_ACCOUNT":"web"}`, ""},
		{good, exitDone, `value: "Bearer weft-join-`, ""},
		{with("--network", "n1"), exitDone, `"NETWORK":"n1"`, ""},
		{with("--plane", "10.0.0.1:15012"), exitDone, `type: STATIC`, ""},
		{with("--address", "2001:db8::1"), exitDone, `id: "sidecar~2001:db8::1~vm-2001-db8--1.shop~shop.svc.cluster.local"`, ""},
		{[]string{"workload", "plain", "-n", "shop", "--address", "10.0.0.7", "--plane", "weftd.test:15012"}, exitDone, `"SERVICE_ACCOUNT":"default"`, ""},
		{[]string{"workload", "none", "-n", "shop", "--address", "10.0.0.7", "--plane", "weftd.test:15012"}, exitFailed, "", "404"},
		{[]string{"workload"}, exitUsage, "", "of which group?"},
		{[]string{"workload", "V M"}, exitUsage, "", "is no name of an object"},
		{with("--address", "vm.test"), exitUsage, "", "want the IP"},
		{with("--address", "0.0.0.0"), exitUsage, "", "want the IP"},
		{with("--plane", "weftd.test"), exitUsage, "", "want HOST:PORT"},
		{with("--plane", "weftd.test:x"), exitUsage, "", "want HOST:PORT"},
		{with("--mode", "SOME"), exitUsage, "", "want NONE, REDIRECT or TPROXY"},
		{with("--network", "N 1"), exitUsage, "", "small letters"},
		{with("--life", "25h"), exitUsage, "", "at most"},
		{with("--trust-domain", "other.test"), exitFailed, "", `want "cluster.local"`},
	} {
		code, out, wrong := control(c.line...)
		if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(wrong, c.err) || (c.out == "") != (out == "") || (c.err == "") != (wrong == "") {
			t.Errorf("weftctl %q: exit code %d, output %q, errors %q: want %d, %q, %q", c.line, code, out, wrong, c.code, c.out, c.err)
		}
	}
}
